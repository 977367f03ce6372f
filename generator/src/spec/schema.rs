//! The JSON Schema of a specification, for editors and other programs.

use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{pool::Pool, types::Spec};

/// Whether a key must be there.
pub enum Presence {
    /// It must.
    Required,
    /// It may be absent.
    Optional,
    /// It may be absent, and then has this value.
    Default(Value),
}

/// A key of a mapping.
pub struct Property {
    /// The key.
    pub name: &'static str,
    /// Its documentation.
    pub description: &'static str,
    /// Whether it must be there.
    pub presence: Presence,
    /// What its value must be.
    pub schema: Schema,
}

/// A mapping with these keys and no others.
pub fn object<const N: usize>(description: &str, properties: [Property; N]) -> Schema {
    let (mut described, mut required) = (Map::new(), Vec::new());
    for Property {
        name,
        description,
        presence,
        mut schema,
    } in properties
    {
        schema.insert("description".to_owned(), json!(prose(description)));
        match presence {
            Presence::Required => required.push(name),
            Presence::Optional => {}
            Presence::Default(value) => {
                schema.insert("default".to_owned(), value);
            }
        }
        described.insert(name.to_owned(), schema.to_value());
    }
    let mut schema = schemars::json_schema!({
        "description": prose(description),
        "type": "object",
        "properties": described,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    schema
}

/// One of several alternatives.
pub fn one_of(description: &str, alternatives: Vec<Value>) -> Schema {
    schemars::json_schema!({ "description": prose(description), "oneOf": alternatives })
}

/// A word on its own.
pub fn word(word: &str, description: &str) -> Value {
    json!({ "description": prose(description), "const": word })
}

/// A word with settings.
pub fn word_with(word: &str, description: &str, settings: Schema) -> Value {
    json!({
        "description": prose(description),
        "type": "object",
        "properties": { word: settings },
        "required": [word],
        "additionalProperties": false,
    })
}

/// Documentation as one paragraph.
fn prose(documentation: &str) -> String {
    documentation.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The JSON Schema of a specification (draft 2020-12), pretty-printed, with a closing newline.
pub fn schema() -> String {
    format!("{:#}\n", value())
}

/// The same as a value.
pub(super) fn value() -> Value {
    titled::<Spec>("fedwing specification")
}

/// The JSON Schema of a pool file, likewise.
pub fn pool_schema() -> String {
    format!("{:#}\n", titled::<Pool>("fedwing pool"))
}

fn titled<T: JsonSchema>(title: &str) -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<T>();
    schema.insert("title".to_owned(), json!(title));
    schema.to_value()
}
