//! YAML into a tree in which every key and value knows its place.
//!
//! Nothing is judged here but what is not YAML at all: repeated keys, nulls and odd types all stay in the tree, so
//! that [`super::decode`] can report every mistake at once. Size, depth and the work of aliases are limited.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Location, NonFiniteFloatPolicy, Spanned};

use crate::diag::{Code, Diagnostic, Span};

/// The largest specification read, in bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// The deepest nesting read; a specification needs 8.
const MAX_DEPTH: usize = 32;
/// The most values read, aliases expanded.
const MAX_NODES: usize = 100_000;

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it stands; where an alias stands for it, where it was defined.
    pub span: Span,
    /// What it is.
    pub value: Value,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Whole(i128),
    /// Another number; may be infinite or not a number.
    Real(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Keys and values in the order written, repetitions included.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub node: Node,
}

/// Reads one YAML document.
///
/// # Errors
/// [`Code::TooLarge`] above [`MAX_BYTES`]; [`Code::NotYaml`] for what is not one YAML document, or too deep or too
/// entangled for a specification.
pub fn parse(text: &str) -> Result<Node, Box<Diagnostic>> {
    if text.len() > MAX_BYTES {
        let found = Diagnostic::error(
            Code::TooLarge,
            Span::default(),
            format!(
                "this file has {} bytes, a specification at most {MAX_BYTES}",
                text.len()
            ),
        );
        return Err(Box::new(
            found.help("give the specification, not the data it describes"),
        ));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 4 * MAX_NODES,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_NODES,
            max_replay_stack_depth: MAX_DEPTH,
        },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
    };
    serde_saphyr::from_str_with_options::<Spanned<Value>>(text, options)
        .map(node)
        .map_err(|error| Box::new(unreadable(text, &error)))
}

fn node(spanned: Spanned<Value>) -> Node {
    let mut span = span(&spanned.defined);
    if matches!(spanned.value, Value::List(_) | Value::Map(_)) {
        // The parser gives a collection's opening only.
        span.length = span.length.min(1);
    }
    Node {
        span,
        value: spanned.value,
    }
}

fn span(location: &Location) -> Span {
    let bytes = |value: Option<u64>| value.and_then(|value| usize::try_from(value).ok()).unwrap_or(0);
    let span = location.span();
    Span {
        offset: bytes(span.byte_offset()),
        length: bytes(span.byte_len()),
    }
}

fn unreadable(text: &str, error: &serde_saphyr::Error) -> Diagnostic {
    let error = error.without_snippet();
    let place = error.location().map_or(
        Span {
            offset: text.len(),
            length: 0,
        },
        |location| match location.span().byte_offset() {
            Some(_) => span(&location),
            None => Span {
                offset: offset(text, &location),
                length: 0,
            },
        },
    );
    let words = error.to_string();
    let words = words.lines().next().unwrap_or_default();
    let words = words
        .split_once(": ")
        .filter(|(head, _)| *head == "error")
        .map_or(words, |(_, rest)| rest);
    // The place is shown with the source; the parser's own wording of it would say it twice.
    let words = words.split_once(" at line ").map_or(words, |(words, _)| words);
    Diagnostic::error(Code::NotYaml, place, format!("not readable as YAML: {words}"))
}

/// The byte of a place known by line and column only.
fn offset(text: &str, location: &Location) -> usize {
    let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX).saturating_sub(1);
    let mut lines = text.split_inclusive('\n');
    let before: usize = lines.by_ref().take(number(location.line())).map(str::len).sum();
    let line = lines.next().unwrap_or_default();
    before
        + line
            .chars()
            .take(number(location.column()))
            .map(char::len_utf8)
            .sum::<usize>()
}

struct AnyValue;

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, a list or a mapping with plain keys")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Whole(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Whole(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Whole(value))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(i128::try_from(value).map_or(Value::Real(value as f64), Value::Whole))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Real(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Value>>()? {
            list.push(node(item));
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some((key, value)) = entries.next_entry::<Spanned<String>, Spanned<Value>>()? {
            if map.len() >= MAX_NODES {
                return Err(A::Error::custom("too many entries in one mapping"));
            }
            map.push(Entry {
                key_span: span(&key.defined),
                key: key.value,
                node: node(value),
            });
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Text;
    use proptest::prelude::*;

    fn map(text: &str) -> Vec<Entry> {
        match parse(text).unwrap().value {
            Value::Map(entries) => entries,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn keys_and_values_know_their_bytes() {
        let text = "é: 1\nb: {c: [x, 'y z', 1e-4]}\nd: \"q\"\n";
        let source = Text::new("a", text);
        let entries = map(text);
        assert_eq!(source.slice(entries[0].key_span), "é");
        assert_eq!(source.slice(entries[0].node.span), "1");
        let Value::Map(inner) = &entries[1].node.value else {
            panic!()
        };
        let Value::List(items) = &inner[0].node.value else {
            panic!()
        };
        assert_eq!(source.slice(items[1].span), "'y z'");
        assert_eq!(items[2].value, Value::Real(1e-4));
        assert_eq!(source.slice(entries[1].node.span), "{");
        assert_eq!(source.slice(entries[2].node.span), "\"q\"");
    }

    #[test]
    fn scalars_are_read_as_yaml_1_2_does() {
        let read = |text: &str| map(&format!("a: {text}")).remove(0).node.value;
        for text in ["no", "yes", "on", "007", "1_000", "\"1\"", "No Finding"] {
            assert!(matches!(read(text), Value::Text(_)), "{text}");
        }
        assert_eq!(read("true"), Value::Bool(true));
        assert_eq!(read("-3"), Value::Whole(-3));
        assert_eq!(read("18446744073709551615"), Value::Whole((1 << 64) - 1));
        assert_eq!(
            read("18446744073709551616"),
            Value::Real(2f64.powi(64)),
            "beyond 64 bits"
        );
        assert_eq!(read("1e400"), Value::Real(f64::INFINITY));
        assert!(matches!(read(".nan"), Value::Real(value) if value.is_nan()));
        assert_eq!(read("~"), Value::Null);
        assert_eq!(read(""), Value::Null);
    }

    #[test]
    fn repeated_keys_stay_in_the_tree() {
        assert_eq!(map("a: 1\na: 2\n").len(), 2);
    }

    #[test]
    fn aliases_stand_for_what_they_name_and_merges_are_overridden() {
        let entries = map("x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  b: 3\n");
        let Value::Map(inner) = &entries[1].node.value else {
            panic!()
        };
        let mut found: Vec<_> = inner
            .iter()
            .map(|e| (e.key.as_str(), e.node.value.clone()))
            .collect();
        found.sort_by_key(|(key, _)| *key);
        assert_eq!(found, [("a", Value::Whole(1)), ("b", Value::Whole(3))]);
    }

    #[test]
    fn bombs_are_refused_without_exploding() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..12 {
            let items = vec![format!("*a{}", i - 1); 10].join(", ");
            bomb += &format!("a{i}: &a{i} [{items}]\n");
        }
        assert_eq!(parse(&bomb).unwrap_err().code, Code::NotYaml);
        let deep = format!("a: {}{}", "[".repeat(5000), "]".repeat(5000));
        assert_eq!(parse(&deep).unwrap_err().code, Code::NotYaml);
        assert_eq!(
            parse(&" ".repeat(MAX_BYTES + 1)).unwrap_err().code,
            Code::TooLarge
        );
    }

    #[test]
    fn two_documents_are_not_one() {
        assert_eq!(parse("a: 1\n---\nb: 2\n").unwrap_err().code, Code::NotYaml);
        assert!(parse("---\na: 1\n").is_ok());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(?s).{0,200}") {
            let _: Result<_, _> = parse(&text);
        }

        #[test]
        fn no_text_of_yaml_marks_makes_it_panic(text in "[ \\-:{}\\[\\],&*!|>'\"%@`#?~<a0.\n\t\u{feff}é]{0,120}") {
            if let Err(found) = parse(&text) {
                prop_assert!(Text::new("a", &text).position(found.span.offset).line > 0);
            }
        }
    }
}
