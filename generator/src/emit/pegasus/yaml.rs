//! Scalars and short lists as YAML text that every YAML version reads the same way.

use std::fmt::{self, Display, Write};

/// A text that reads back as itself: plain where nothing can be misread, else in double quotes.
pub struct Text<'a>(pub &'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_plain(self.0) {
            return f.write_str(self.0);
        }
        f.write_char('"')?;
        if self
            .0
            .bytes()
            .all(|b| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\')
        {
            f.write_str(self.0)?;
            return f.write_char('"');
        }
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                // YAML folds line breaks and forbids controls: both become escapes.
                c if c.is_control()
                    || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') =>
                {
                    write!(f, "\\u{:04X}", u32::from(c))?;
                }
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

/// Whether a text needs no quotes: a letter, then letters, digits and `_./-`, and not a word with a meaning.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 10] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan"];
    const LONGEST: usize = "false".len();
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'/' | b'-'))
        && (text.len() > LONGEST || !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word)))
}

/// A command line as a flow list, one flag with its value a line.
pub struct Arguments<'a>(pub &'a [String]);

impl Display for Arguments<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('[')?;
        for (i, word) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(if word.starts_with("--") { ",\n    " } else { ", " })?;
            }
            Text(word).fmt(f)?;
        }
        f.write_char(']')
    }
}

/// Keys and values as a flow map.
pub struct Map<'a>(pub &'a [(&'a str, String)]);

impl Display for Map<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('{')?;
        for (i, (key, value)) in self.0.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(f, "{comma}{}: {}", Text(key), Text(value))?;
        }
        f.write_char('}')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_text_reads_back_as_itself(text in any::<String>()) {
            let yaml = format!("key: {}\nlist: [{}]\n", Text(&text), Text(&text));
            #[derive(serde::Deserialize)]
            struct Document { key: String, list: Vec<String> }
            let document: Document = serde_saphyr::from_str(&yaml).unwrap();
            prop_assert_eq!(&document.key, &text);
            prop_assert_eq!(&document.list, std::slice::from_ref(&text));
        }
    }

    #[test]
    fn words_with_a_meaning_and_numbers_are_quoted() {
        for text in [
            "true", "No", "null", "1", "0x1", "1e5", "", "a: b", "-", "~", "a #b",
        ] {
            assert!(Text(text).to_string().starts_with('"'), "{text}");
        }
        for text in ["train", "e1.nih.stats.json", "train-nih-r0001-c0000"] {
            assert_eq!(Text(text).to_string(), text);
        }
    }
}
