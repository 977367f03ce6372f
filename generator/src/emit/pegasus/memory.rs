//! Memory that grows from attempt to attempt, in HTCondor's words.

/// What HTCondor calls the number of a node's attempt, counted from 0; Pegasus puts it on every job.
const ATTEMPT: &str = "DAGNodeRetry";

/// A `request_memory` in MiB: what the job asks for at first, and that much more in every further attempt.
pub fn growing(mebibytes: u64) -> String {
    format!("ifthenelse(isundefined({ATTEMPT}), {mebibytes}, {mebibytes} * ({ATTEMPT} + 1))")
}

/// What an expression that asks for the attempt gives the first one; none of any other text.
pub fn first_attempt(expression: &str) -> Option<&str> {
    const OPENS: &str = "ifthenelse(";
    let text = expression.trim();
    let head = text.get(..OPENS.len())?;
    let inside = text.get(OPENS.len()..)?.strip_suffix(')')?;
    let (condition, rest) = split_at_comma(inside)?;
    let (first, _) = split_at_comma(rest)?;
    let first_only = condition
        .to_ascii_lowercase()
        .starts_with(&format!("isundefined({})", ATTEMPT.to_ascii_lowercase()));
    (head.eq_ignore_ascii_case(OPENS) && first_only).then_some(first.trim())
}

/// Splits at the first comma outside brackets.
fn split_at_comma(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_u32;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1)?,
            ',' if depth == 0 => return Some((&text[..at], &text[at + 1..])),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_attempt_is_read_from_ours_and_from_the_form_of_the_manual() {
        assert_eq!(first_attempt(&growing(2048)), Some("2048"));
        let manual = " ifThenElse(isundefined(DAGNodeRetry) || DAGNodeRetry == 0, 1024, 4096) ";
        assert_eq!(first_attempt(manual), Some("1024"));
        for other in [
            "2048",
            "ifthenelse(MemoryUsage > 1, 2, 3)",
            "ifthenelse(",
            "ifthenelse(isundefined(DAGNodeRetry))",
        ] {
            assert_eq!(first_attempt(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in any::<String>()) {
            let _ = first_attempt(&text);
            let _ = first_attempt(&format!("ifthenelse({text})"));
        }
    }
}
