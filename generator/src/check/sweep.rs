//! Proves every point of a sweep, and tells each mistake once.

use std::{collections::HashMap, path::Path};

use contract::ids::{ExperimentName, SpecDigest};

use crate::{
    diag::{Diagnostic, Text},
    spec::{self, Found},
};

/// Values of a point that are named in a message.
const SHOWN: usize = 6;

/// A proven sweep: every point's specification is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep {
    /// The experiment's name.
    pub name: ExperimentName,
    /// What the sweep is for, in the author's words.
    pub intent: Option<String>,
    /// SHA-256 of its text.
    pub digest: SpecDigest,
    /// What is varied, in the order written. Never empty.
    pub axes: Vec<Axis>,
    /// The most points a pool works on at once, at least 1.
    pub at_once: u32,
    /// Its points, the last axis varying first. Never empty.
    pub points: Vec<Point>,
}

/// A place and its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// The place, keys with dots between them.
    pub place: String,
    /// Its values as YAML on one line. Never empty.
    pub values: Vec<String>,
}

/// One combination of values: an experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// Its name as an experiment, which no other point has.
    pub name: ExperimentName,
    /// Which value it has of each axis, counted from 0.
    pub values: Vec<usize>,
    /// The text of its specification; relative paths in it start where those of the sweep do.
    pub text: String,
}

/// Applies every rule to every point. `None` when any is rejected or the sweep itself has mistakes.
pub(super) fn prove(
    written: &spec::Sweep,
    text: &Text,
    digest: SpecDigest,
    base: &Path,
    found: &mut Found,
) -> Option<Sweep> {
    let mut mistakes = Mistakes::default();
    for (index, point) in written.points.iter().enumerate() {
        let mut found = Found::new();
        if let Some(spec) = point.read(&mut found) {
            super::prove(spec, super::digest(&point.text), base, &mut found);
        }
        mistakes.take(index, found);
    }
    mistakes.tell(written, text, found);
    let points = written.points.iter().map(|point| {
        Some(Point {
            name: point.name.clone()?,
            values: point.values.clone(),
            text: point.text.clone(),
        })
    });
    Some(Sweep {
        points: points.collect::<Option<_>>()?,
        name: written.name.clone()?,
        intent: written.intent.clone(),
        digest,
        axes: written.axes.iter().map(axis).collect(),
        at_once: written.at_once,
    })
}

fn axis(written: &spec::Axis) -> Axis {
    Axis {
        place: written.place.value.clone(),
        values: (0..written.size()).map(|value| written.shown(value)).collect(),
    }
}

/// What was found in points, each with the points it was found in.
#[derive(Default)]
struct Mistakes {
    index: HashMap<Diagnostic, usize>,
    list: Vec<(Diagnostic, Vec<usize>)>,
}

impl Mistakes {
    fn take(&mut self, point: usize, found: Found) {
        for diagnostic in found {
            let known = *self.index.entry(diagnostic).or_insert_with_key(|diagnostic| {
                self.list.push((diagnostic.clone(), Vec::new()));
                self.list.len() - 1
            });
            let points = &mut self.list[known].1;
            // An alias repeats what it stands for.
            if points.last() != Some(&point) {
                points.push(point);
            }
        }
    }

    /// A mistake of every point is one of the specification; any other is told with its first point.
    fn tell(self, written: &spec::Sweep, text: &Text, found: &mut Found) {
        for (diagnostic, points) in self.list {
            found.push(if points.len() == written.points.len() {
                diagnostic
            } else {
                of_points(diagnostic, &points, written, text)
            });
        }
    }
}

fn of_points(diagnostic: Diagnostic, points: &[usize], written: &spec::Sweep, text: &Text) -> Diagnostic {
    let first = &written.points[points[0]];
    let name = first
        .name
        .as_ref()
        .map_or(String::new(), |name| format!(" `{name}`"));
    let others = match points.len() - 1 {
        0 => String::new(),
        others => format!(" (and {others} more)"),
    };
    let values = written.axes.iter().zip(&first.values).take(SHOWN);
    let values: Vec<String> = values
        .map(|(axis, value)| {
            let at = text.position(axis.span(*value).offset);
            format!(
                "`{}: {}` ({}:{})",
                axis.place.value,
                axis.shown(*value),
                at.line,
                at.column
            )
        })
        .collect();
    let of = format!("point{name} has {}", values.join(", "));
    let help = match &diagnostic.help {
        Some(help) => format!("{help}\n{of}"),
        None => of,
    };
    Diagnostic {
        message: format!("point{name}{others}: {}", diagnostic.message),
        help: Some(help),
        ..diagnostic
    }
}
