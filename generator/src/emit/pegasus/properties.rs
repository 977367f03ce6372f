//! The planner's properties file, as far as it says where catalogs are.

use std::collections::BTreeMap;

/// Keys and values of Java properties text: `key = value`, `key: value` or `key value`, `#` and `!` comments, and
/// lines continued by a backslash at their end.
pub fn parse(text: &str) -> BTreeMap<String, String> {
    let mut properties = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let line = line.trim_start();
        if line.starts_with(['#', '!']) {
            continue;
        }
        let mut whole = line.to_owned();
        while whole.ends_with('\\') {
            whole.pop();
            match lines.next() {
                Some(next) => whole.push_str(next.trim_start()),
                None => break,
            }
        }
        let line = whole.trim_end();
        let end = line.find(|c: char| c == '=' || c == ':' || c.is_whitespace());
        let (key, rest) = line.split_at(end.unwrap_or(line.len()));
        if key.is_empty() {
            continue;
        }
        let rest = rest.trim_start();
        let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start();
        properties.insert(key.to_owned(), value.to_owned());
    }
    properties
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_way_to_write_a_property_reads_the_same() {
        let text = "# no\n! no\na = 1\nb=2\nc: 3\nd 4\ne = one \\\n   two\n\nf=\n";
        let expected = [
            ("a", "1"),
            ("b", "2"),
            ("c", "3"),
            ("d", "4"),
            ("e", "one two"),
            ("f", ""),
        ];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(parse(text), BTreeMap::from(expected));
    }

    proptest! {
        #[test]
        fn any_text_parses(text in any::<String>()) {
            parse(&text);
        }
    }
}
