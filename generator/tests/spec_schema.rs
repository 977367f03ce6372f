//! The JSON Schema and the reader agree: whatever the schema describes is read, whatever it does not is refused.
//!
//! `UPDATE=1 cargo test -p fedwing --test spec_schema` rewrites `generator/spec.schema.json`.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::{collections::BTreeMap, fs, path::Path};

use fedwing::{
    check::check,
    diag::{Code, Colour, Diagnostics},
    spec,
};
use serde_json::{Map, Value, json};

fn schema() -> Value {
    serde_json::from_str(&spec::schema()).unwrap()
}

#[test]
fn the_schema_in_the_repository_is_the_schema_of_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("spec.schema.json");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, spec::schema()).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == spec::schema(),
        "run `UPDATE=1 cargo test -p fedwing --test spec_schema` and look at the diff"
    );
}

/// Follows `$ref` to its definition.
fn resolved<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(reference) => root.pointer(reference.strip_prefix('#').unwrap()).unwrap(),
        None => schema,
    }
}

/// Every value of the schema worth trying: each alternative once, each with all optional keys and with none.
fn samples(root: &Value, schema: &Value) -> Vec<Value> {
    let schema = resolved(root, schema);
    if let Some(word) = schema.get("const") {
        return vec![word.clone()];
    }
    if let Some(Value::Array(words)) = schema.get("enum") {
        return words.clone();
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(Value::Array(alternatives)) = schema.get(key) {
            return alternatives
                .iter()
                .flat_map(|alternative| samples(root, alternative))
                .collect();
        }
    }
    if schema.get("type").is_none() {
        return vec![json!(1), json!(["any"])];
    }
    match schema["type"].as_str().unwrap() {
        "boolean" => vec![json!(true), json!(false)],
        "integer" => vec![schema["minimum"].clone(), schema["maximum"].clone()],
        "number" => vec![json!(0.25)],
        "string" => vec![string(schema)],
        "array" => vec![Value::Array(samples(root, &schema["items"]))],
        "object" => objects(root, schema),
        other => panic!("{other}"),
    }
}

fn string(schema: &Value) -> Value {
    let pattern = schema.get("pattern").and_then(Value::as_str).unwrap_or("");
    match pattern {
        p if p.contains("[dhms]") => json!("90m"),
        p if p.contains("webgpu") => json!("auto"),
        p if p.contains("KMGT") => json!("8 GiB"),
        p if p.starts_with("^[A-Z]") => json!("BodyPartExamined"),
        _ => json!("abc"),
    }
}

fn objects(root: &Value, schema: &Value) -> Vec<Value> {
    let Some(Value::Object(properties)) = schema.get("properties") else {
        let entries = samples(root, &schema["additionalProperties"]);
        return entries.into_iter().map(|value| json!({ "e0": value })).collect();
    };
    assert_eq!(
        schema["additionalProperties"],
        json!(false),
        "unknown keys are refused"
    );
    let required = |key: &str| {
        schema
            .get("required")
            .is_some_and(|keys| keys.as_array().unwrap().contains(&json!(key)))
    };
    let tried: BTreeMap<&String, Vec<Value>> = properties
        .iter()
        .map(|(key, schema)| (key, samples(root, schema)))
        .collect();
    let first = |only_required: bool| -> Map<String, Value> {
        let keys = tried.iter().filter(|(key, _)| !only_required || required(key));
        keys.map(|(key, values)| ((*key).clone(), values[0].clone()))
            .collect()
    };
    let mut objects = vec![Value::Object(first(true))];
    for (key, values) in &tried {
        for value in values {
            let mut object = first(false);
            object.insert((*key).clone(), value.clone());
            objects.push(Value::Object(object));
        }
    }
    objects.dedup();
    objects
}

fn checked(spec: &Value) -> Diagnostics {
    // JSON is YAML.
    check(
        &serde_json::to_string_pretty(spec).unwrap(),
        "sample.json",
        Path::new("/specs"),
    )
    .diagnostics
}

/// Mistakes of form, which the schema could have told; not those of meaning.
fn form(diagnostics: &Diagnostics) -> bool {
    diagnostics
        .iter()
        .any(|found| matches!(&found.code.as_str()[..4], "FL01" | "FL02") && found.code != Code::Repeated)
}

#[test]
fn whatever_the_schema_describes_is_read() {
    let root = schema();
    let samples = samples(&root, &root);
    assert!(samples.len() > 100, "{}", samples.len());
    for sample in samples {
        let diagnostics = checked(&sample);
        assert!(
            !form(&diagnostics),
            "{sample:#}\n{}",
            diagnostics.render(Colour::Never)
        );
    }
}

/// Calls `visit` with a pointer to every mapping of a value.
fn mappings(value: &Value, at: &str, visit: &mut dyn FnMut(&str, &Map<String, Value>)) {
    match value {
        Value::Object(map) => {
            visit(at, map);
            map.iter()
                .for_each(|(key, value)| mappings(value, &format!("{at}/{key}"), visit));
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(i, item)| mappings(item, &format!("{at}/{i}"), visit));
        }
        _ => {}
    }
}

#[test]
fn a_key_the_schema_does_not_describe_is_refused_everywhere() {
    let root = schema();
    let mut tried = 0;
    for sample in samples(&root, &root).into_iter().step_by(3) {
        let mut places = Vec::new();
        mappings(&sample, "", &mut |at, _| places.push(at.to_owned()));
        for place in places {
            let mut broken = sample.clone();
            let map = broken.pointer_mut(&place).unwrap().as_object_mut().unwrap();
            // A list fits none of the mappings with free keys either.
            map.insert("zzz unknown".to_owned(), json!([]));
            assert!(form(&checked(&broken)), "at {place:?}: {broken:#}");
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried}");
}

#[test]
fn a_required_key_that_is_missing_is_refused() {
    let root = schema();
    let definitions = root["$defs"].as_object().unwrap();
    let required: usize = definitions
        .values()
        .filter_map(|schema| schema.get("required"))
        .map(|keys| keys.as_array().unwrap().len())
        .sum();
    assert!(required > 30, "{required}");
    let shortest = samples(&root, &root).remove(0);
    assert!(!form(&checked(&shortest)));
    let mut places = Vec::new();
    mappings(&shortest, "", &mut |at, map| {
        places.extend(map.keys().map(|key| (at.to_owned(), key.clone())))
    });
    for (place, key) in places {
        let mut broken = shortest.clone();
        broken
            .pointer_mut(&place)
            .unwrap()
            .as_object_mut()
            .unwrap()
            .remove(&key);
        assert!(form(&checked(&broken)), "`{key}` removed at {place:?}");
    }
}

#[test]
fn every_key_and_word_is_documented() {
    fn walk(schema: &Value, at: &str) {
        if let Some(Value::Object(properties)) = schema.get("properties") {
            for (key, property) in properties {
                let alone = properties.len() == 1 && schema.get("description").is_some();
                let documented = property.get("description").is_some_and(|text| text != "");
                assert!(documented || alone, "`{key}` at {at} says nothing");
            }
        }
        if let Some(Value::Array(alternatives)) = schema.get("oneOf") {
            for alternative in alternatives {
                assert!(
                    alternative.get("description").is_some_and(|text| text != ""),
                    "a word at {at} says nothing"
                );
                walk(alternative, at);
            }
        }
    }
    let root = schema();
    walk(&root, "the top");
    for (name, definition) in root["$defs"].as_object().unwrap() {
        walk(definition, name);
    }
}

#[test]
fn every_default_is_a_value_its_key_accepts() {
    fn walk(schema: &Value, visit: &mut dyn FnMut(&str, &Value, &Value)) {
        if let Some(Value::Object(properties)) = schema.get("properties") {
            for (key, property) in properties {
                if let Some(default) = property.get("default") {
                    visit(key, default, property);
                }
            }
        }
    }
    let root = schema();
    let mut defaults = 0;
    for definition in root["$defs"].as_object().unwrap().values() {
        walk(definition, &mut |key, default, property| {
            defaults += 1;
            if let Some(value) = default.as_f64() {
                let bound = |name: &str| property.get(name).and_then(Value::as_f64);
                assert!(bound("minimum").is_none_or(|min| value >= min), "{key}");
                assert!(bound("maximum").is_none_or(|max| value <= max), "{key}");
                assert!(bound("exclusiveMinimum").is_none_or(|min| value > min), "{key}");
                assert!(bound("exclusiveMaximum").is_none_or(|max| value < max), "{key}");
            }
        });
    }
    assert!(defaults > 15, "{defaults}");
}
