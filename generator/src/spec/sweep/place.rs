//! Places in a specification, named by keys with dots between them.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::grid::Axis;
use crate::{
    diag::{Code, Diagnostic, Span},
    spec::{
        decode::{At, Found, guess, listed, shorten},
        schema,
        tree::{Entry, Node, Value},
    },
};

/// Keys a sweep cannot vary: they say what the text is, or are given to each point by the sweep.
const FIXED: [&str; 2] = ["fedwing", "name"];

/// Reports an axis whose place is not one of a specification.
pub(super) fn check(axis: &Axis, base: &Node, found: &mut Found) -> bool {
    let At { value: place, span } = &axis.place;
    if FIXED.contains(&place.as_str()) {
        let words = format!("a sweep cannot vary `{place}`");
        let error = Diagnostic::error(Code::SweepPlace, *span, words).label("the same for every point");
        found.push(error.help("each point gets a name of its own, made of the experiment's and its values"));
        return false;
    }
    match unknown(place, base) {
        None => true,
        Some(unknown) => {
            found.push(unknown.told(place, *span));
            false
        }
    }
}

/// Reports axes of which one lies inside another: a value of the one would undo the other's.
pub(super) fn apart(axes: &[Axis], found: &mut Found) {
    for inner in axes {
        let inside = |outer: &&Axis| {
            inner
                .place
                .value
                .strip_prefix(outer.place.value.as_str())
                .is_some_and(|rest| rest.starts_with('.'))
        };
        if let Some(outer) = axes.iter().find(inside) {
            let words = format!("`{}` lies within `{}`", inner.place.value, outer.place.value);
            found.push(
                Diagnostic::error(Code::SweepPlace, inner.place.span, words)
                    .label("both would set it")
                    .help("write the inner values into those of the outer place"),
            );
        }
    }
}

/// The first key of a place that is none, and what could stand there.
struct Unknown {
    before: String,
    key: String,
    known: Vec<String>,
}

impl Unknown {
    fn told(&self, place: &str, span: Span) -> Diagnostic {
        let Self { before, key, known } = self;
        let inside = if before.is_empty() {
            "the specification".to_owned()
        } else {
            format!("`{before}`")
        };
        let words = format!("`{}` is no place in this specification", shorten(place));
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let error = Diagnostic::error(Code::SweepPlace, span, words);
        let help = match known.is_empty() {
            true => format!("{inside} has no keys"),
            false => format!("the keys of {inside} are {}", listed(&known)),
        };
        match guess(key, known.iter().copied()) {
            Some(guess) => error.label(format!("did you mean `{guess}` for `{}`?", shorten(key))),
            None => error.label(format!("{inside} has no key `{}`", shorten(key))),
        }
        .help(help)
    }
}

/// Follows a place through the schema, which knows every key, and through the specification, which has names of its own
/// (datasets, sites).
fn unknown(place: &str, base: &Node) -> Option<Unknown> {
    let root = schema::value();
    let mut at = vec![&root];
    let mut written = Some(base);
    let mut before = String::new();
    for key in place.split('.') {
        let mut known = BTreeSet::new();
        let mut next = Vec::new();
        for schema in at.iter().flat_map(|schema| alternatives(&root, schema)) {
            if let Some(Json::Object(properties)) = schema.get("properties") {
                known.extend(properties.keys().cloned());
                next.extend(properties.get(key));
            } else if let Some(any @ Json::Object(_)) = schema.get("additionalProperties") {
                known.extend(written.into_iter().flat_map(keys));
                next.extend(written.and_then(|node| inside(node, key)).map(|_| any));
            }
        }
        if before.is_empty() {
            known.retain(|key| key != super::KEY && !FIXED.contains(&key.as_str()));
            next.retain(|_| key != super::KEY);
        }
        if next.is_empty() {
            return Some(Unknown {
                before,
                key: key.to_owned(),
                known: known.into_iter().collect(),
            });
        }
        at = next;
        written = written.and_then(|node| inside(node, key));
        if !before.is_empty() {
            before.push('.');
        }
        before.push_str(key);
    }
    None
}

/// The schemas a schema stands for: its reference, its alternatives, itself.
fn alternatives<'s>(root: &'s Json, schema: &'s Json) -> Vec<&'s Json> {
    if let Some(reference) = schema.get("$ref").and_then(Json::as_str) {
        let pointer = reference.trim_start_matches('#');
        return root
            .pointer(pointer)
            .map_or(Vec::new(), |schema| alternatives(root, schema));
    }
    let several = ["oneOf", "anyOf"].iter().find_map(|key| schema.get(key));
    match several.and_then(Json::as_array) {
        Some(several) => several
            .iter()
            .flat_map(|schema| alternatives(root, schema))
            .collect(),
        None => vec![schema],
    }
}

fn keys(node: &Node) -> Vec<String> {
    match &node.value {
        Value::Map(entries) => entries.iter().map(|entry| entry.key.clone()).collect(),
        _ => Vec::new(),
    }
}

fn inside<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    match &node.value {
        Value::Map(entries) => entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.node),
        _ => None,
    }
}

/// Puts a value into a place; keys that are not there are made, and a word on the way gives way to a mapping.
pub(super) fn set(tree: &mut Node, place: &At<String>, value: &Node) {
    let mut node = tree;
    let mut keys = place.value.split('.').peekable();
    while let Some(key) = keys.next() {
        let entry = entry(node, key, place.span);
        if keys.peek().is_none() {
            // What is said of a mapping or a list is said at its key: where the value stands.
            entry.key_span = value.span;
            entry.node = value.clone();
            return;
        }
        node = &mut entry.node;
    }
}

/// Gives a specification another name.
pub(super) fn rename(tree: &mut Node, name: &str) {
    let entry = entry(tree, "name", Span::default());
    entry.node.value = Value::Text(name.to_owned());
}

/// The entry of a mapping with that key; new and empty where there is none.
fn entry<'n>(node: &'n mut Node, key: &str, span: Span) -> &'n mut Entry {
    if !matches!(node.value, Value::Map(_)) {
        node.value = Value::Map(Vec::new());
    }
    let Value::Map(entries) = &mut node.value else {
        unreachable!("it was made a mapping above");
    };
    let index = entries.iter().position(|entry| entry.key == key);
    let index = index.unwrap_or_else(|| {
        entries.push(Entry {
            key: key.to_owned(),
            key_span: span,
            node: Node {
                span,
                value: Value::Map(Vec::new()),
            },
        });
        entries.len() - 1
    });
    &mut entries[index]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::tree;

    fn missing(place: &str) -> Option<(String, String)> {
        let base = tree::parse("datasets: {nih: {task: {binary: {negative: [x]}}}}").unwrap();
        unknown(place, &base).map(|unknown| (unknown.before, unknown.key))
    }

    #[test]
    fn places_are_those_of_the_schema_and_of_names_that_are_there() {
        for place in [
            "seed",
            "federation.algorithm",
            "federation.algorithm.fedprox.mu",
            "datasets.nih",
            "datasets.nih.clients.by.dirichlet.alpha",
            "execution.resources.train.cpus",
            "federation.local.optimizer.sgd.learning_rate",
        ] {
            assert_eq!(missing(place), None, "{place}");
        }
        let gap = |before: &str, key: &str| Some((before.to_owned(), key.to_owned()));
        assert_eq!(missing("federaton.rounds"), gap("", "federaton"));
        assert_eq!(missing("federation.round"), gap("federation", "round"));
        assert_eq!(missing("datasets.other.test"), gap("datasets", "other"));
        assert_eq!(missing("sites.a.data"), gap("sites", "a"));
        assert_eq!(missing("seed.more"), gap("seed", "more"));
        assert_eq!(missing("sweep.grid"), gap("", "sweep"));
        assert_eq!(missing(""), gap("", ""));
        assert_eq!(missing("federation..rounds"), gap("federation", ""));
    }

    #[test]
    fn a_value_is_put_into_its_place_and_nothing_else_changes() {
        let mut tree = tree::parse("a: {b: 1, c: word}\nd: [x]\n").unwrap();
        let place = |text: &str| At {
            value: text.to_owned(),
            span: Span::default(),
        };
        let value = tree::parse("7").unwrap();
        for name in ["a.b", "a.c.e", "f.g"] {
            set(&mut tree, &place(name), &value);
        }
        assert_eq!(
            super::super::print::flow(&tree.value),
            "{a: {b: 7, c: {e: 7}}, d: [x], f: {g: 7}}"
        );
    }
}
