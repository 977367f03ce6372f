//! What several rules share.

use std::collections::BTreeSet;

use crate::{
    diag::{Code, Diagnostic, Span},
    spec::{At, Found, Several, Text, guess, listed},
};

/// Refuses a value whose feature is described but not built.
pub fn not_built(what: &str, span: Span, instead: &str, found: &mut Found) {
    let words = format!("{what} is part of the specification but not built yet");
    found.push(
        Diagnostic::error(Code::NotBuilt, span, words)
            .label("not built yet")
            .help(instead),
    );
}

/// The texts of a list; reports repetitions.
pub fn texts(name: &str, list: At<Several<Text>>, found: &mut Found) -> Vec<At<String>> {
    let texts = list.value.0.into_iter().map(
        |At {
             value: Text(value),
             span,
         }| At { value, span },
    );
    distinct(name, texts, found)
}

/// Values without repetitions, which are reported.
pub fn distinct(
    name: &str,
    list: impl IntoIterator<Item = At<String>>,
    found: &mut Found,
) -> Vec<At<String>> {
    let mut seen = BTreeSet::new();
    let mut kept = Vec::new();
    for at in list {
        if seen.insert(at.value.clone()) {
            kept.push(at);
        } else {
            found.push(repeated(name, &at.value, at.span));
        }
    }
    kept
}

/// A value listed twice.
pub fn repeated(name: &str, value: &str, span: Span) -> Diagnostic {
    Diagnostic::error(Code::Repeated, span, format!("`{name}` lists `{value}` twice"))
        .label("remove one of the two")
}

/// Reports labels that are not among those a source has.
pub fn known_labels(labels: &[At<String>], known: &[&str], source: &str, found: &mut Found) {
    for At { value, span } in labels {
        if known.contains(&value.as_str()) {
            continue;
        }
        let words = format!("{source} has no label `{value}`");
        let error = Diagnostic::error(Code::UnknownLabel, *span, words);
        let help = format!("its labels are {}", listed(known));
        found.push(match guess(value, known.iter().copied()) {
            Some(guess) => error.label(format!("did you mean `{guess}`?")).help(help),
            None => error.label("not a label of this source").help(help),
        });
    }
}

/// Values without their places.
pub fn plain<T>(list: Vec<At<T>>) -> Vec<T> {
    list.into_iter().map(|at| at.value).collect()
}
