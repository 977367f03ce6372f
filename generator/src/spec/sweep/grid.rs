//! What a sweep varies, as written.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::print;
use crate::{
    diag::{Code, Diagnostic, Span},
    spec::{
        decode::{At, Found, Place, Written, entries, shorten, wrong_type},
        leaf::empty,
        tree::{Node, Value},
    },
};

/// The axes of a sweep; never empty, no place twice.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid(pub Vec<Axis>);

/// A place and its values.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// The place: keys from the top of the specification, with dots between them.
    pub place: At<String>,
    /// Its values; never empty, none twice.
    pub(super) values: Vec<Node>,
}

impl Axis {
    /// A value as it is written in YAML on one line.
    pub fn shown(&self, value: usize) -> String {
        print::flow(&self.values[value].value)
    }

    /// Where a value stands.
    pub fn span(&self, value: usize) -> Span {
        self.values[value].span
    }

    /// How many values it has.
    pub fn size(&self) -> usize {
        self.values.len()
    }
}

impl JsonSchema for Grid {
    fn schema_name() -> Cow<'static, str> {
        "Grid".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Places of the specification, keys with dots between them, each with its values.",
            "type": "object",
            "minProperties": 1,
            "propertyNames": { "pattern": "^[^.]+(\\.[^.]+)*$" },
            "additionalProperties": {
                "type": "array",
                "minItems": 1,
                "uniqueItems": true,
                "items": { "description": "Anything that can stand there." },
            },
        })
    }
}

impl Written for Grid {
    fn read(node: &Node, place: Place<'_>, found: &mut Found) -> Option<Self> {
        let entries = entries(node, place, found)?;
        if entries.is_empty() {
            empty(place, found);
            return None;
        }
        let axes = entries.into_iter().map(|entry| {
            let place = Place {
                name: &entry.key,
                span: entry.key_span,
            };
            let place_value = At {
                value: entry.key.clone(),
                span: entry.key_span,
            };
            Some(Axis {
                values: values(&entry.node, place, found)?,
                place: place_value,
            })
        });
        // An axis that cannot be read is left out once all are looked at; what it lacks has been reported.
        let read: Vec<Option<Axis>> = axes.collect();
        let axes: Vec<Axis> = read.into_iter().flatten().collect();
        (!axes.is_empty()).then_some(Self(axes))
    }
}

/// The values of an axis; those that stand there twice are reported.
fn values(node: &Node, place: Place<'_>, found: &mut Found) -> Option<Vec<Node>> {
    let Value::List(items) = &node.value else {
        wrong_type(node, place, "a list", found);
        return None;
    };
    if items.is_empty() {
        empty(place, found);
        return None;
    }
    let mut kept: Vec<Node> = Vec::with_capacity(items.len());
    for item in items {
        if kept.iter().any(|other| same(&other.value, &item.value)) {
            let value = print::flow(&item.value);
            let words = format!("{place} has the value `{}` twice", shorten(&value));
            found.push(Diagnostic::error(Code::Repeated, item.span, words).label("remove one of the two"));
        } else {
            kept.push(item.clone());
        }
    }
    Some(kept)
}

/// Whether two values say the same, wherever they stand: 1 is 1.0, and the order of keys says nothing.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Whole(whole), Value::Real(real)) | (Value::Real(real), Value::Whole(whole)) => {
            *whole as f64 == *real
        }
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(&a.value, &b.value))
        }
        (Value::Map(a), Value::Map(b)) => {
            let held = |entry: &super::Entry| {
                b.iter()
                    .any(|other| other.key == entry.key && same(&other.node.value, &entry.node.value))
            };
            a.len() == b.len() && a.iter().all(held)
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::tree;

    #[test]
    fn values_are_the_same_by_what_they_say() {
        let value = |text: &str| tree::parse(text).unwrap().value;
        let alike = [
            ("1", "1.0"),
            ("{a: 1, b: [x]}", "{b: [x], a: 1}"),
            ("'a'", "a"),
            ("0.1", "1e-1"),
        ];
        for (a, b) in alike {
            assert!(same(&value(a), &value(b)), "{a} {b}");
        }
        for (a, b) in [
            ("1", "'1'"),
            ("{a: 1}", "{a: 1, b: 2}"),
            ("[a]", "[a, a]"),
            ("a", "A"),
        ] {
            assert!(!same(&value(a), &value(b)), "{a} {b}");
        }
    }
}
