//! `fedwing explain` and `fedwing schema`: what the specification means.

use serde::Serialize;

use crate::{diag, spec};

/// The page of a diagnostic code.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// Format version.
    pub fedwing_explain: u32,
    /// The code.
    pub code: String,
    /// Its page, Markdown.
    pub page: &'static str,
}

/// The page of `code`, in upper or lower case.
///
/// # Errors
/// The codes there are, when it is none of them.
pub fn explain(code: &str) -> Result<Explanation, Vec<&'static str>> {
    let code = code.to_ascii_uppercase();
    match diag::explain(&code) {
        Some(page) => Ok(Explanation {
            fedwing_explain: 1,
            code,
            page,
        }),
        None => Err(diag::all_codes().map(|(code, _)| code).collect()),
    }
}

/// The JSON Schema of specifications.
pub fn schema() -> String {
    spec::schema()
}
