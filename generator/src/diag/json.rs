//! Diagnostics for programs.

use serde::{Deserialize, Serialize};

use super::{Diagnostic, Diagnostics, Severity};

/// Everything found in one text, as versioned JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiagnosticsJson {
    /// Format version, [`DiagnosticsJson::VERSION`].
    pub fedwing_diagnostics: u32,
    /// The file, as named by the caller.
    pub file: String,
    /// Number of errors.
    pub errors: usize,
    /// Number of warnings.
    pub warnings: usize,
    /// What was found, in the order of the text.
    pub diagnostics: Vec<DiagnosticJson>,
}

/// One thing found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiagnosticJson {
    /// Code, as in `FL0201`.
    pub code: String,
    /// `error` or `warning`.
    pub severity: String,
    /// The rule's title.
    pub title: String,
    /// What is wrong.
    pub message: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Bytes from the start of the text.
    pub offset: usize,
    /// Length in bytes.
    pub length: usize,
    /// What is allowed there; may be empty.
    pub label: String,
    /// What to do; `null` when the label says it all.
    pub help: Option<String>,
}

impl DiagnosticsJson {
    /// The format version this code writes.
    pub const VERSION: u32 = 1;
}

impl Diagnostics {
    /// The same for programs.
    pub fn to_json(&self) -> DiagnosticsJson {
        let one = |diagnostic: &Diagnostic| {
            let Diagnostic {
                code,
                severity,
                message,
                span,
                label,
                help,
            } = diagnostic;
            let place = self.text().position(span.offset);
            DiagnosticJson {
                code: code.as_str().to_owned(),
                severity: severity.as_str().to_owned(),
                title: code.title().to_owned(),
                message: message.clone(),
                line: place.line,
                column: place.column,
                offset: span.offset,
                length: span.length,
                label: label.clone(),
                help: help.clone(),
            }
        };
        DiagnosticsJson {
            fedwing_diagnostics: DiagnosticsJson::VERSION,
            file: self.text().name().to_owned(),
            errors: self.count(Severity::Error),
            warnings: self.count(Severity::Warning),
            diagnostics: self.iter().map(one).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::diag::{Code, Diagnostic, Diagnostics, Span, Text};

    #[test]
    fn json_carries_place_and_words() {
        let found = vec![
            Diagnostic::warning(Code::UnknownKey, Span { offset: 7, length: 1 }, "later"),
            Diagnostic::error(Code::OutOfRange, Span { offset: 3, length: 1 }, "first")
                .label("l")
                .help("h"),
            Diagnostic::error(Code::OutOfRange, Span { offset: 3, length: 1 }, "first")
                .label("l")
                .help("h"),
        ];
        let json = Diagnostics::new(Text::new("f.yml", "a: 1\né: 2"), found).to_json();
        assert_eq!(
            (json.errors, json.warnings, json.diagnostics.len()),
            (1, 1, 2),
            "repetitions are dropped"
        );
        assert_eq!(json.diagnostics[0].code, "FL0206");
        assert_eq!((json.diagnostics[1].line, json.diagnostics[1].column), (2, 2));
        let text = serde_json::to_string(&json).unwrap();
        assert_eq!(
            serde_json::from_str::<super::DiagnosticsJson>(&text).unwrap(),
            json
        );
    }
}
