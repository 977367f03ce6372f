//! Diagnostics: what is wrong, where, and what to do, each with a code that has a page.
//!
//! A stage that reads what people write pushes [`Diagnostic`]s; the edges show them with [`Diagnostics::render`] or
//! [`Diagnostics::to_json`]. Codes and titles are in one table, [`Code`]; pages are in `docs/codes/`, see [`explain`].

mod codes;
mod json;
mod render;
mod source;

use std::cmp::Reverse;

pub use codes::{Code, all_codes, explain};
pub use json::{DiagnosticJson, DiagnosticsJson};
pub use render::Colour;
pub use source::{Span, Text};

/// Whether what was found stops the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The input is refused.
    Error,
    /// The input is accepted, but probably not what was meant.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// One thing found in a text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Diagnostic {
    /// Which rule speaks.
    pub code: Code,
    /// Whether it stops the work.
    pub severity: Severity,
    /// What is wrong, in the reader's words.
    pub message: String,
    /// Where.
    pub span: Span,
    /// Said beside the caret: what is allowed there. May be empty.
    pub label: String,
    /// What to do, if there is more to say than the label.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error of `code` at `span`.
    pub fn error(code: Code, span: Span, message: impl Into<String>) -> Self {
        let (severity, message) = (Severity::Error, message.into());
        Self {
            code,
            severity,
            message,
            span,
            label: String::new(),
            help: None,
        }
    }

    /// A warning of `code` at `span`.
    pub fn warning(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, span, message)
        }
    }

    /// The same, with words beside the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// The same, with what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Everything found in one text, in the order of the text and without repetitions.
#[derive(Debug, Clone)]
pub struct Diagnostics {
    text: Text,
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Orders `list` by position; of equal entries (an alias repeats what it stands for) one is kept.
    pub fn new(text: Text, mut list: Vec<Diagnostic>) -> Self {
        list.sort_by(|a, b| {
            let key = |d: &Diagnostic| (d.span.offset, Reverse(d.span.length), d.code);
            key(a).cmp(&key(b)).then_with(|| a.message.cmp(&b.message))
        });
        list.dedup();
        Self { text, list }
    }

    /// The text they are about.
    pub fn text(&self) -> &Text {
        &self.text
    }

    /// All of them, in the order of the text.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// How many there are of `severity`.
    pub fn count(&self, severity: Severity) -> usize {
        self.iter()
            .filter(|diagnostic| diagnostic.severity == severity)
            .count()
    }

    /// Whether any is an error.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
