//! Names of a sweep's points: the experiment's, and a short word for each value.

use std::collections::BTreeSet;

use contract::ids::{ExperimentName, MAX_NAME};

use super::grid::Axis;
use crate::spec::tree::{Node, Value};

/// The longest word a value gets.
const LONGEST: usize = 24;

/// A name for each combination of values, no two alike; numbers where words would be too long or not different.
pub(super) fn names(
    experiment: &ExperimentName,
    axes: &[Axis],
    combinations: &[Vec<usize>],
) -> Vec<Option<ExperimentName>> {
    let words: Vec<Vec<String>> = axes.iter().map(words).collect();
    let by_values = combinations.iter().map(|values| {
        let words: Vec<&str> = words
            .iter()
            .zip(values)
            .map(|(words, value)| words[*value].as_str())
            .collect();
        ExperimentName::new(&format!("{experiment}-{}", words.join("-"))).ok()
    });
    let names: Vec<Option<ExperimentName>> = by_values.collect();
    let different: BTreeSet<_> = names.iter().flatten().collect();
    if different.len() == combinations.len() {
        return names;
    }
    let digits = combinations.len().saturating_sub(1).to_string().len().max(2);
    let tail = "-p".len() + digits;
    // Cut where it leaves no room: the number tells points apart, the whole name is the sweep's.
    let head = &experiment.as_str()[..experiment.as_str().len().min(MAX_NAME - tail)];
    (0..combinations.len())
        .map(|number| ExperimentName::new(&format!("{head}-p{number:0digits$}")).ok())
        .collect()
}

/// A word for each value of an axis, no two alike.
fn words(axis: &Axis) -> Vec<String> {
    let key = axis.place.value.rsplit('.').next().unwrap_or_default();
    let initial = key
        .chars()
        .find(char::is_ascii_alphabetic)
        .map_or('v', |c| c.to_ascii_lowercase());
    let of = |word: fn(&Node, char) -> String| -> Option<Vec<String>> {
        let words: Vec<String> = axis.values.iter().map(|value| word(value, initial)).collect();
        let fit = words.iter().all(|word| !word.is_empty() && word.len() <= LONGEST);
        let different: BTreeSet<&String> = words.iter().collect();
        (fit && different.len() == words.len()).then_some(words)
    };
    of(short).or_else(|| of(full)).unwrap_or_else(|| {
        (0..axis.values.len())
            .map(|number| format!("{initial}{number}"))
            .collect()
    })
}

/// A word as it is, the word of settings without them, a number with its key's initial.
fn short(value: &Node, initial: char) -> String {
    match &value.value {
        Value::Map(entries) => match entries.as_slice() {
            [entry] => letters(&entry.key),
            _ => String::new(),
        },
        Value::List(_) => String::new(),
        _ => full(value, initial),
    }
}

/// The same with all settings.
fn full(value: &Node, initial: char) -> String {
    match &value.value {
        Value::Null => "none".to_owned(),
        Value::Bool(value) => format!("{initial}{value}"),
        Value::Whole(number) => format!("{initial}{}", digits(&number.to_string())),
        Value::Real(number) => format!("{initial}{}", digits(&real(*number))),
        Value::Text(text) => letters(text),
        Value::List(items) => joined(items.iter().map(|item| full(item, initial))),
        Value::Map(entries) => joined(entries.iter().map(|entry| {
            let initial = letters(&entry.key).chars().next().unwrap_or('v');
            match &entry.node.value {
                Value::Map(_) => format!("{}-{}", letters(&entry.key), full(&entry.node, initial)),
                _ => full(&entry.node, initial),
            }
        })),
    }
}

/// A number as it is read easily, with an exponent where it would be long.
fn real(number: f64) -> String {
    const LONG: usize = 10;
    let plain = number.to_string();
    if plain.len() > LONG {
        format!("{number:e}")
    } else {
        plain
    }
}

fn joined(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join("-")
}

/// Small letters and digits; runs of anything else become `_`.
fn letters(text: &str) -> String {
    let mut word = String::new();
    for character in text.chars() {
        if character.is_ascii_alphanumeric() {
            word.push(character.to_ascii_lowercase());
        } else if !word.is_empty() && !word.ends_with('_') {
            word.push('_');
        }
    }
    word.trim_end_matches('_').to_owned()
}

/// A number in the letters of a name: `0.1` is `0_1`, `-3` is `m3`.
fn digits(number: &str) -> String {
    number
        .chars()
        .filter_map(|c| match c {
            '.' => Some('_'),
            '-' => Some('m'),
            '+' => None,
            c => Some(c.to_ascii_lowercase()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        diag::Span,
        spec::{decode::At, tree},
    };

    fn axis(place: &str, values: &str) -> Axis {
        let Value::List(values) = tree::parse(values).unwrap().value else {
            panic!("a list")
        };
        let span = Span::default();
        Axis {
            place: At {
                value: place.to_owned(),
                span,
            },
            values,
        }
    }

    fn named(experiment: &str, axes: &[Axis]) -> Vec<String> {
        let count = axes.iter().map(Axis::size).product();
        let combinations: Vec<_> = (0..count)
            .map(|index| super::super::combination(axes, index))
            .collect();
        let names = names(&ExperimentName::new(experiment).unwrap(), axes, &combinations);
        names.into_iter().map(|name| name.unwrap().to_string()).collect()
    }

    #[test]
    fn names_say_what_is_special() {
        let axes = [
            axis("federation.algorithm", "[fedavg, {fedprox: {mu: 0.01}}]"),
            axis("datasets.nih.clients.by.dirichlet.alpha", "[0.1, 1e+30, 1e-4]"),
        ];
        assert_eq!(
            named("e1", &axes),
            [
                "e1-fedavg-a0_1",
                "e1-fedavg-a1e30",
                "e1-fedavg-a0_0001",
                "e1-fedprox-a0_1",
                "e1-fedprox-a1e30",
                "e1-fedprox-a0_0001"
            ]
        );
    }

    #[test]
    fn settings_are_named_where_the_word_is_not_enough() {
        let axes = [axis(
            "a.algorithm",
            "[{fedprox: {mu: 0.01}}, {fedprox: {mu: 0.1}}]",
        )];
        assert_eq!(named("e", &axes), ["e-fedprox-m0_01", "e-fedprox-m0_1"]);
        assert_eq!(
            named("e", &[axis("evaluation.baselines", "[[a, b], [b, a], []]")]),
            ["e-b0", "e-b1", "e-b2"]
        );
        assert_eq!(
            named("e", &[axis("x.by", "[natural, 'No Finding!', ÄÖ]")]),
            ["e-b0", "e-b1", "e-b2"]
        );
    }

    #[test]
    fn numbers_stand_in_for_words_that_are_too_long_or_meet() {
        let long = "a".repeat(64);
        assert_eq!(
            named(&long, &[axis("seed", "[1, 2]")]),
            [
                format!("{}-p00", "a".repeat(60)),
                format!("{}-p01", "a".repeat(60))
            ]
        );
        let meeting = [axis("x", "[a-b, a]"), axis("y", "[c, b-c]")];
        assert_eq!(named("e", &meeting).len(), 4);
    }
}
