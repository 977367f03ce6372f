//! Labels, and what a folder of DICOM files takes them from.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{
    decode::{At, Found, Place, Written, at, entries, shorten, wrong_type},
    leaf::{Text, Whole, empty, inline_schema, text},
    tree::{Node, Value},
};
use crate::diag::{Code, Diagnostic};

/// A label: a text, or the number of a class where a source numbers its classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Label {
    /// As the source writes it.
    Text(String),
    /// The number of a class.
    Number(u32),
}

inline_schema!(Label, {
    "anyOf": [
        { "type": "string", "minLength": 1, "pattern": "\\S" },
        { "type": "integer", "minimum": 0, "maximum": MAX_CLASS },
    ]
});

/// The largest number of a class.
const MAX_CLASS: u64 = 999;

/// The number of a class.
pub type ClassNumber = Whole<0, MAX_CLASS>;

impl Written for Label {
    fn read(node: &Node, place: Place<'_>, found: &mut Found) -> Option<Self> {
        match node.value {
            Value::Whole(_) => {
                ClassNumber::read(node, place, found).map(|number| Self::Number(number.get32()))
            }
            Value::Text(_) => Text::read(node, place, found).map(|text| Self::Text(text.0)),
            _ => {
                wrong_type(node, place, "a text or the number of a class", found);
                None
            }
        }
    }
}

/// The keyword of a DICOM attribute (PS3.6), such as `InstitutionName`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyword(pub String);

inline_schema!(Keyword, { "type": "string", "pattern": "^[A-Z][A-Za-z0-9]{0,63}$" });

impl Written for Keyword {
    fn read(node: &Node, place: Place<'_>, found: &mut Found) -> Option<Self> {
        let given = text(node, place, found)?;
        let inside = |rest: &str| rest.len() < 64 && rest.chars().all(|c| c.is_ascii_alphanumeric());
        if given.starts_with(|c: char| c.is_ascii_uppercase()) && inside(&given[1..]) {
            return Some(Self(given.to_owned()));
        }
        let words = format!("`{}` is not the keyword of a DICOM attribute", shorten(given));
        found.push(
            Diagnostic::error(Code::InvalidName, node.span, words)
                .label("must be a keyword")
                .help("write it as the standard does: `InstitutionName`, not `Institution Name` and not `(0008,0080)`"),
        );
        None
    }
}

/// A class number by label; never empty, no label twice.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassOf(pub Vec<(At<String>, At<ClassNumber>)>);

inline_schema!(ClassOf, {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": { "type": "integer", "minimum": 0, "maximum": MAX_CLASS },
});

impl Written for ClassOf {
    fn read(node: &Node, place: Place<'_>, found: &mut Found) -> Option<Self> {
        let entries = entries(node, place, found)?;
        if entries.is_empty() {
            empty(place, found);
            return None;
        }
        // Without one of its classes the rest would say too little: all or none, once every mistake is reported.
        let read: Vec<_> = entries
            .into_iter()
            .map(|entry| {
                let place = Place {
                    name: &entry.key,
                    span: entry.key_span,
                };
                let name = At {
                    value: entry.key.clone(),
                    span: place.span,
                };
                Some((name, at(&entry.node, place, found)?))
            })
            .collect();
        read.into_iter().collect::<Option<Vec<_>>>().map(Self)
    }
}

/// What a DICOM image shows: the class of its collection, or the text of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum DicomLabels {
    /// The class of each collection.
    Collections(ClassOf),
    /// The keyword of the attribute.
    Attribute(At<Keyword>),
}

/// The key that stands for an attribute; a collection may be called so too, and then has a number.
const ATTRIBUTE: &str = "attribute";

impl JsonSchema for DicomLabels {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "DicomLabels".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                generator.subschema_for::<ClassOf>(),
                {
                    "type": "object",
                    "properties": { ATTRIBUTE: generator.subschema_for::<Keyword>() },
                    "required": [ATTRIBUTE],
                    "additionalProperties": false,
                },
            ]
        })
    }
}

impl Written for DicomLabels {
    fn read(node: &Node, place: Place<'_>, found: &mut Found) -> Option<Self> {
        if let Value::Map(_) = node.value
            && let [entry] = entries(node, place, found)?[..]
            && entry.key == ATTRIBUTE
            && matches!(entry.node.value, Value::Text(_))
        {
            let place = Place {
                name: &entry.key,
                span: entry.key_span,
            };
            return at(&entry.node, place, found).map(Self::Attribute);
        }
        ClassOf::read(node, place, found).map(Self::Collections)
    }
}
