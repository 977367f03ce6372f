//! From the positioned tree to the types of [`super::types`], reporting every mistake on the way.
//!
//! A broken value is reported and becomes `None` in the field that holds it; its neighbours are read all the same.
//! [`Written`] is what a type of the specification can do: be read from a node, and describe itself as JSON Schema.

use std::{borrow::Cow, collections::BTreeSet, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::tree::{Entry, Node, Value};
use crate::diag::{Code, Diagnostic, Span};

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Its place; the place of the key above it where a default stands in.
    pub span: Span,
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// Where a value belongs, for messages.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The key or word it belongs to.
    pub name: &'a str,
    /// Where that key or word stands.
    pub span: Span,
}

impl fmt::Display for Place<'_> {
    /// The name in backticks; a whole file in plain words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if [WHOLE, WHOLE_POOL].contains(&self.name) {
            f.write_str(self.name)
        } else {
            write!(f, "`{}`", self.name)
        }
    }
}

/// The name of the place of a whole specification.
pub const WHOLE: &str = "the specification";

/// The name of the place of a whole pool file.
pub const WHOLE_POOL: &str = "the pool file";

/// What was found while reading.
pub type Found = Vec<Diagnostic>;

/// A type of the written specification.
pub trait Written: Sized + JsonSchema {
    /// Reads a node that stands at `place`; reports to `found` and returns `None` when it cannot be read.
    fn read(node: &Node, place: Place<'_>, found: &mut Found) -> Option<Self>;

    /// The value when only its name is written, for mappings that need no key.
    fn bare(_place: Place<'_>) -> Option<Self> {
        None
    }
}

/// Reads a node into a value with its place.
pub fn at<T: Written>(node: &Node, place: Place<'_>, found: &mut Found) -> Option<At<T>> {
    let value = T::read(node, place, found)?;
    let span = match node.value {
        Value::Map(_) | Value::List(_) => place.span,
        _ => node.span,
    };
    Some(At { value, span })
}

/// Reports a value of the wrong type; `wanted` as in "a list".
pub fn wrong_type(node: &Node, place: Place<'_>, wanted: &str, found: &mut Found) {
    let given = match &node.value {
        Value::Null => {
            let words = format!("{place} has no value");
            return found
                .push(Diagnostic::error(Code::NoValue, place.span, words).label(format!("needs {wanted}")));
        }
        Value::Bool(value) => format!("`{value}`"),
        Value::Whole(value) => format!("the number {value}"),
        Value::Real(value) => format!("the number {value}"),
        Value::Text(text) => format!("the text `{}`", shorten(text)),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
    };
    let error = Diagnostic::error(
        Code::WrongType,
        node.span,
        format!("{place} must be {wanted}, not {given}"),
    )
    .label(format!("must be {wanted}"));
    found.push(match &node.value {
        Value::Whole(_) | Value::Real(_) | Value::Bool(_) if wanted.contains("text") => {
            error.help("put it in quotes to make it a text")
        }
        Value::Text(text) if text.parse::<f64>().is_ok() && wanted.contains("number") => {
            error.help("remove the quotes to make it a number")
        }
        Value::Text(text) if wanted == "a list" => error.help(format!("write `[{}]`", shorten(text))),
        _ => error,
    });
}

/// The entries of a mapping, the first of each key; later ones are reported.
pub fn entries<'a>(node: &'a Node, place: Place<'_>, found: &mut Found) -> Option<Vec<&'a Entry>> {
    let Value::Map(map) = &node.value else {
        wrong_type(node, place, "a mapping", found);
        return None;
    };
    let mut seen = BTreeSet::new();
    let mut first = Vec::with_capacity(map.len());
    for entry in map {
        if seen.insert(entry.key.as_str()) {
            first.push(entry);
        } else {
            let words = format!("`{}` is given twice in {place}", shorten(&entry.key));
            found.push(
                Diagnostic::error(Code::DuplicateKey, entry.key_span, words).label("remove one of the two"),
            );
        }
    }
    Some(first)
}

/// The fields of a mapping, taken one by one; what is left at the end was unknown.
pub struct Fields<'a, 'f> {
    place: Place<'a>,
    left: Vec<&'a Entry>,
    known: &'static [&'static str],
    missing: Vec<&'static str>,
    found: &'f mut Found,
}

impl<'a, 'f> Fields<'a, 'f> {
    /// Opens a mapping whose keys are `known`.
    pub fn open(
        node: &'a Node,
        place: Place<'a>,
        known: &'static [&'static str],
        found: &'f mut Found,
    ) -> Option<Self> {
        let left = entries(node, place, found)?;
        Some(Self {
            place,
            left,
            known,
            missing: Vec::new(),
            found,
        })
    }

    fn take(&mut self, name: &str) -> Option<&'a Entry> {
        let index = self.left.iter().position(|entry| entry.key == name)?;
        Some(self.left.remove(index))
    }

    fn value<T: Written>(&mut self, entry: &'a Entry) -> Option<At<T>> {
        at(
            &entry.node,
            Place {
                name: &entry.key,
                span: entry.key_span,
            },
            self.found,
        )
    }

    /// A key that must be there.
    pub fn required<T: Written>(&mut self, name: &'static str) -> Option<At<T>> {
        match self.take(name) {
            Some(entry) => self.value(entry),
            None => {
                self.missing.push(name);
                None
            }
        }
    }

    /// A key that may be absent.
    pub fn optional<T: Written>(&mut self, name: &'static str) -> Option<At<T>> {
        let entry = self.take(name)?;
        self.value(entry)
    }

    /// A key that may be absent and then has this value.
    pub fn default<T: Written>(&mut self, name: &'static str, value: T) -> Option<At<T>> {
        match self.take(name) {
            Some(entry) => self.value(entry),
            None => Some(At {
                value,
                span: self.place.span,
            }),
        }
    }

    /// Reports the keys nobody took and those that are missing. An unknown key that resembles a missing one is
    /// taken for its misspelling: one mistake, one error.
    pub fn close(self) {
        let Self {
            place,
            left,
            known,
            mut missing,
            found,
        } = self;
        for entry in left {
            let guess = guess(&entry.key, known.iter().copied());
            if let Some(guess) = guess {
                missing.retain(|name| *name != guess);
            }
            let words = format!("{place} has no key `{}`", shorten(&entry.key));
            let error = Diagnostic::error(Code::UnknownKey, entry.key_span, words);
            let allowed = format!("the keys of {place} are {}", listed(known));
            found.push(match guess {
                Some(guess) => error.label(format!("did you mean `{guess}`?")).help(allowed),
                None => error.label("not a key here").help(allowed),
            });
        }
        for name in missing {
            let words = format!("{place} lacks the key `{name}`");
            found.push(
                Diagnostic::error(Code::MissingKey, place.span, words)
                    .label(format!("needs `{name}`"))
                    .help(format!("the keys of {place} are {}", listed(known))),
            );
        }
    }
}

/// A word, and what may follow it.
pub struct Choice<'a> {
    /// The word.
    pub word: &'a str,
    /// Where it stands.
    pub span: Span,
    /// What follows it, in `{word: ...}`.
    pub settings: Option<&'a Node>,
}

/// Reads `word` or `{word: settings}`; `known` are the words.
pub fn choice<'a>(
    node: &'a Node,
    place: Place<'_>,
    known: &'static [&'static str],
    found: &mut Found,
) -> Option<Choice<'a>> {
    let read = match &node.value {
        Value::Text(word) => Choice {
            word,
            span: node.span,
            settings: None,
        },
        Value::Map(_) => {
            let entries = entries(node, place, found)?;
            let [entry] = entries[..] else {
                let given: Vec<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
                let span = entries.get(1).map_or(place.span, |second| second.key_span);
                let words = format!("{place} takes one of its words, not {}", given.len());
                found.push(
                    Diagnostic::error(Code::WrongType, span, words)
                        .label(if given.is_empty() {
                            "needs one of them"
                        } else {
                            "only one can stand here"
                        })
                        .help(format!("the words are {}", listed(known))),
                );
                return None;
            };
            Choice {
                word: &entry.key,
                span: entry.key_span,
                settings: Some(&entry.node),
            }
        }
        _ => {
            wrong_type(node, place, &either(known), found);
            return None;
        }
    };
    if known.contains(&read.word) {
        return Some(read);
    }
    unknown_word(read.word, read.span, place, known, found);
    None
}

/// Reports a word that is not among those known.
pub fn unknown_word(word: &str, span: Span, place: Place<'_>, known: &[&str], found: &mut Found) {
    let words = format!("{place} cannot be `{}`", shorten(word));
    let error = Diagnostic::error(Code::UnknownWord, span, words);
    let allowed = format!("it can be {}", either(known));
    found.push(match guess(word, known.iter().copied()) {
        Some(guess) => error.label(format!("did you mean `{guess}`?")).help(allowed),
        None => error.label("not known here").help(allowed),
    });
}

/// Reports settings given to a word that has none.
pub fn no_settings(word: &str, node: &Node, place: Place<'_>, found: &mut Found) {
    let words = format!("`{word}` has no settings");
    found.push(
        Diagnostic::error(Code::WrongType, node.span, words)
            .label("nothing can stand here")
            .help(format!("write `{}: {word}`", place.name)),
    );
}

/// Reports a word whose settings are missing.
pub fn needs_settings(word: &str, span: Span, found: &mut Found) {
    let words = format!("`{word}` needs settings");
    let error = Diagnostic::error(Code::MissingKey, span, words).label("needs settings");
    found.push(error.help(format!(
        "write `{{{word}: ...}}`; `fedwing schema` describes them"
    )));
}

/// The known word closest to `given`, if it is close enough to be meant.
pub fn guess<'k>(given: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    if given.len() > 64 {
        return None;
    }
    let plain = |word: &str| word.to_lowercase().replace(['-', ' '], "_");
    let given = plain(given);
    let longer = |a: &str, b: &str| a.len() >= 4 && b.starts_with(a);
    known
        .map(|word| (strsim::damerau_levenshtein(&given, &plain(word)), word))
        .filter(|(distance, word)| {
            let close = *distance <= 1.max(word.len() / 3) && *distance < word.len();
            close || longer(&given, word) || longer(word, &given)
        })
        .min()
        .map(|(_, word)| word)
}

/// Words as "`a`, `b` and `c`".
pub fn listed(words: &[&str]) -> String {
    joined(words, "and")
}

/// Words as "`a`, `b` or `c`".
fn either(words: &[&str]) -> String {
    joined(words, "or")
}

fn joined(words: &[&str], last_joint: &str) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        None => "none".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} {last_joint} {last}", rest.join(", ")),
    }
}

/// A text from the input, short enough for a message.
pub fn shorten(text: &str) -> String {
    if text.chars().count() <= 60 {
        text.to_owned()
    } else {
        text.chars().take(59).chain(['…']).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_are_close_or_none() {
        let known = ["learning_rate", "momentum", "mu"];
        assert_eq!(guess("learningrate", known.into_iter()), Some("learning_rate"));
        assert_eq!(guess("Learning-Rate", known.into_iter()), Some("learning_rate"));
        assert_eq!(guess("momentun", known.into_iter()), Some("momentum"));
        assert_eq!(guess("architecture", ["arch"].into_iter()), Some("arch"));
        assert_eq!(guess("weights", known.into_iter()), None);
        assert_eq!(guess("x", known.into_iter()), None);
    }
}
