//! A tree as YAML text. Reading it gives the same tree; the same tree gives the same bytes.

use std::fmt::Write;

use crate::spec::tree::{Entry, Node, Value};

/// A specification with what is special about it in its first lines.
pub(super) fn specification(tree: &Node, special: &[String]) -> String {
    let mut text = String::from("# A point of a sweep:\n");
    for line in special {
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(text, "#   {line}");
    }
    text.push('\n');
    text + &block(tree)
}

/// A mapping with a line for each key, mappings inside it indented; everything else on one line.
pub(super) fn block(tree: &Node) -> String {
    let mut text = String::new();
    match &tree.value {
        Value::Map(entries) if !entries.is_empty() => lines(entries, 0, &mut text),
        value => {
            write_flow(value, &mut text);
            text.push('\n');
        }
    }
    text
}

fn lines(entries: &[Entry], depth: usize, text: &mut String) {
    for Entry {
        key,
        key_span: _,
        node,
    } in entries
    {
        for _ in 0..depth {
            text.push_str("  ");
        }
        write_text(key, text);
        text.push(':');
        match &node.value {
            Value::Map(inner) if inner.iter().any(|entry| is_deep(&entry.node)) => {
                text.push('\n');
                lines(inner, depth + 1, text);
            }
            value => {
                text.push(' ');
                write_flow(value, text);
                text.push('\n');
            }
        }
    }
}

/// Whether a mapping with this in it is easier to read over several lines.
fn is_deep(node: &Node) -> bool {
    match &node.value {
        Value::Map(inner) => inner.len() > 1 || inner.iter().any(|entry| is_deep(&entry.node)),
        _ => false,
    }
}

/// A value on one line.
pub(super) fn flow(value: &Value) -> String {
    let mut text = String::new();
    write_flow(value, &mut text);
    text
}

fn write_flow(value: &Value, text: &mut String) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(value) => {
            let _ = write!(text, "{value}");
        }
        Value::Whole(value) => {
            let _ = write!(text, "{value}");
        }
        Value::Real(value) => write_real(*value, text),
        Value::Text(value) => write_text(value, text),
        Value::List(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push_str(", ");
                }
                write_flow(&item.value, text);
            }
            text.push(']');
        }
        Value::Map(entries) => {
            text.push('{');
            for (index, entry) in entries.iter().enumerate() {
                if index > 0 {
                    text.push_str(", ");
                }
                write_text(&entry.key, text);
                text.push_str(": ");
                write_flow(&entry.node.value, text);
            }
            text.push('}');
        }
    }
}

fn write_real(value: f64, text: &mut String) {
    if value.is_nan() {
        text.push_str(".nan");
    } else if value.is_infinite() {
        text.push_str(if value > 0.0 { ".inf" } else { "-.inf" });
    } else {
        // The shortest text that reads back as the same number, with a point or an exponent.
        let _ = write!(text, "{value:?}");
    }
}

/// A text as it is where it can mean nothing else, in quotes otherwise.
fn write_text(value: &str, text: &mut String) {
    if is_plain(value) {
        text.push_str(value);
        return;
    }
    text.push('"');
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            c if c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') =>
            {
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text.push('"');
}

/// Words that other readers of YAML take for truth values, numbers or nothing.
const WORDS: [&str; 12] = [
    "true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf", "infinity",
];

fn is_plain(text: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ' ');
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && !text.ends_with(' ')
        && text.len() <= 200
        && text.chars().all(inside)
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{diag::Span, spec::tree};
    use proptest::prelude::*;

    fn bare(value: Value) -> Node {
        Node {
            span: Span::default(),
            value,
        }
    }

    /// Places say where something stood, not what it says.
    fn without_places(node: Node) -> Node {
        bare(match node.value {
            Value::List(items) => Value::List(items.into_iter().map(without_places).collect()),
            Value::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|entry| Entry {
                        key: entry.key,
                        key_span: Span::default(),
                        node: without_places(entry.node),
                    })
                    .collect(),
            ),
            other => other,
        })
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let single = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(|value| Value::Whole(value.into())),
            any::<f64>()
                .prop_filter("not a number equals nothing", |value| !value.is_nan())
                .prop_map(Value::Real),
            "\\PC{0,12}|[a-zA-Z0-9._/: #-]{0,12}|(?s).{0,6}|(?i)true|no|null|\\.inf|1e5|0x1f|~|007"
                .prop_map(Value::Text),
        ];
        single.prop_recursive(4, 24, 4, |inner| {
            let node = inner.prop_map(bare);
            let entry =
                ("[a-z._ -]{1,6}|\\PC{1,4}|1|true|<<|\"", node.clone()).prop_map(|(key, node)| Entry {
                    key,
                    key_span: Span::default(),
                    node,
                });
            prop_oneof![
                prop::collection::vec(node, 0..4).prop_map(Value::List),
                prop::collection::vec(entry, 0..4).prop_map(Value::Map),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(value in any_value()) {
            let tree = bare(Value::Map(vec![Entry { key: "a".into(), key_span: Span::default(), node: bare(value) }]));
            for text in [block(&tree), flow(&tree.value)] {
                let back = tree::parse(&text).map_err(|found| TestCaseError::fail(format!("{found:?}\n{text}")))?;
                prop_assert_eq!(without_places(back), without_places(tree.clone()), "{}", text);
            }
        }
    }
}
