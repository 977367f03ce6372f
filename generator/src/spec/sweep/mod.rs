//! Sweeps: many specifications from one.
//!
//! In: the tree of a specification with `sweep`. Out: [`Sweep`], whose points are trees of specifications without it,
//! and texts of the same. Values keep their place in the sweep, so that a mistake in one is shown where it was written.
//! Start at [`expand`].

mod grid;
mod names;
mod place;
mod print;

use contract::ids::ExperimentName;

pub use grid::{Axis, Grid};

use super::{
    decode::{At, Found, Place, WHOLE, Written, at},
    leaf::{Name, Text},
    tree::{Entry, Node, Value},
    types::{self, Spec},
};
use crate::diag::{Code, Diagnostic, Span};

/// The key that makes a specification a sweep.
const KEY: &str = "sweep";

/// The most points of a sweep.
pub const MAX_POINTS: usize = 1_000;

/// The most bytes of all points' texts together.
const MAX_TEXT: usize = 64 << 20;

/// A sweep as written.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// The experiment's name, with which those of its points begin; none where a mistake has been reported.
    pub name: Option<ExperimentName>,
    /// What the sweep is for, in the author's words.
    pub intent: Option<String>,
    /// What is varied, in the order written.
    pub axes: Vec<Axis>,
    /// The most points a pool works on at once.
    pub at_once: u32,
    /// Every combination, the last axis varying first. With mistakes in the sweep itself, one point without a name, so
    /// that mistakes in the rest are found as well.
    pub points: Vec<Point>,
}

/// One combination of values.
#[derive(Debug, Clone)]
pub struct Point {
    /// Its name as an experiment; none where a mistake has been reported.
    pub name: Option<ExperimentName>,
    /// Which value it has of each axis, counted from 0.
    pub values: Vec<usize>,
    /// The text of its specification.
    pub text: String,
    tree: Node,
}

impl Point {
    /// Its specification, with the places of the sweep's text.
    pub fn read(&self, found: &mut Found) -> Option<Spec> {
        read(&self.tree, found)
    }
}

/// Reads a specification from its tree.
pub(super) fn read(tree: &Node, found: &mut Found) -> Option<Spec> {
    let place = Place {
        name: WHOLE,
        span: Span::default(),
    };
    Spec::read(tree, place, found)
}

/// The points of a specification with `sweep`; `None` when it has none.
pub(super) fn expand(tree: &Node, found: &mut Found) -> Option<Sweep> {
    let Value::Map(entries) = &tree.value else {
        return None;
    };
    let entry = entries.iter().find(|entry| entry.key == KEY)?;
    let before = found.len();
    for again in entries.iter().filter(|entry| entry.key == KEY).skip(1) {
        let words = format!("`{KEY}` is given twice in {WHOLE}");
        found.push(
            Diagnostic::error(Code::DuplicateKey, again.key_span, words).label("remove one of the two"),
        );
    }
    let base = without_sweep(entries, tree.span);
    let section = at::<types::Sweep>(
        &entry.node,
        Place {
            name: KEY,
            span: entry.key_span,
        },
        found,
    );
    let (axes, at_once) = match section {
        Some(At {
            value: types::Sweep { grid, at_once },
            span: _,
        }) => (grid, at_once.map(|limit| limit.value.get32())),
        None => (None, None),
    };
    let broken = axes.is_none() || at_once.is_none();
    let mut axes = axes.map_or(Vec::new(), |grid| grid.value.0);
    axes.retain(|axis| place::check(axis, &base, found));
    place::apart(&axes, found);
    let name = text_of(&base, "name", |node, place| {
        Name::read(node, place, &mut Found::new()).map(|name| name.0)
    });
    let count = if found.len() > before || broken {
        None
    } else {
        count(&axes, &base, entry.key_span, found)
    };
    let mut sweep = Sweep {
        name,
        intent: text_of(&base, "intent", |node, place| {
            Text::read(node, place, &mut Found::new()).map(|text| text.0)
        }),
        at_once: at_once.unwrap_or(1),
        points: Vec::new(),
        axes,
    };
    sweep.points = match count {
        Some(count) => points(&sweep, &base, count),
        // What stands first stands for all.
        None => vec![point(&sweep.axes, &base, vec![0; sweep.axes.len()], None)],
    };
    Some(sweep)
}

fn without_sweep(entries: &[Entry], span: Span) -> Node {
    let kept = entries.iter().filter(|entry| entry.key != KEY);
    Node {
        span,
        value: Value::Map(kept.cloned().collect()),
    }
}

/// A value at the top of the specification, read without a word about its mistakes: they are told once, by the points.
fn text_of<T>(base: &Node, key: &str, read: impl FnOnce(&Node, Place<'_>) -> Option<T>) -> Option<T> {
    let Value::Map(entries) = &base.value else {
        return None;
    };
    let entry = entries.iter().find(|entry| entry.key == key)?;
    let place = Place {
        name: key,
        span: entry.key_span,
    };
    read(&entry.node, place)
}

/// The number of points, if there are not too many.
fn count(axes: &[Axis], base: &Node, span: Span, found: &mut Found) -> Option<usize> {
    let sizes = axes.iter().map(|axis| axis.values.len());
    let count = sizes
        .clone()
        .try_fold(1, |product: usize, size| product.checked_mul(size));
    let text = print::block(base).len();
    let (limit, why) = match count {
        Some(count) if count > MAX_POINTS => (MAX_POINTS, ""),
        Some(count) if count.saturating_mul(text) > MAX_TEXT => {
            (MAX_TEXT / text.max(1), " of a specification of this length")
        }
        Some(count) => return Some(count),
        None => (MAX_POINTS, ""),
    };
    let product: Vec<String> = sizes.map(|size| size.to_string()).collect();
    let given = count.map_or("too many".to_owned(), |count| count.to_string());
    let words = format!("this sweep has {given} points ({})", product.join(" x "));
    found.push(
        Diagnostic::error(Code::SweepSize, span, words)
            .label(format!("may have {limit} points{why}"))
            .help("leave values out, or make several sweeps of it"),
    );
    None
}

fn points(sweep: &Sweep, base: &Node, count: usize) -> Vec<Point> {
    let combinations: Vec<Vec<usize>> = (0..count).map(|index| combination(&sweep.axes, index)).collect();
    let names = match &sweep.name {
        Some(name) => names::names(name, &sweep.axes, &combinations),
        None => vec![None; count],
    };
    combinations
        .into_iter()
        .zip(names)
        .map(|(values, name)| point(&sweep.axes, base, values, name))
        .collect()
}

/// Which value the point with that number has of each axis: the last axis varies first.
fn combination(axes: &[Axis], mut index: usize) -> Vec<usize> {
    let mut values = vec![0; axes.len()];
    for (value, axis) in values.iter_mut().zip(axes).rev() {
        *value = index % axis.values.len();
        index /= axis.values.len();
    }
    values
}

fn point(axes: &[Axis], base: &Node, values: Vec<usize>, name: Option<ExperimentName>) -> Point {
    let mut tree = base.clone();
    for (axis, value) in axes.iter().zip(&values) {
        place::set(&mut tree, &axis.place, &axis.values[*value]);
    }
    let text = name.as_ref().map_or(String::new(), |name| {
        place::rename(&mut tree, name.as_str());
        print::specification(&tree, &described(axes, &values))
    });
    Point {
        name,
        values,
        text,
        tree,
    }
}

/// `place: value` for each axis.
fn described(axes: &[Axis], values: &[usize]) -> Vec<String> {
    axes.iter()
        .zip(values)
        .map(|(axis, value)| format!("{}: {}", axis.place.value, axis.shown(*value)))
        .collect()
}
