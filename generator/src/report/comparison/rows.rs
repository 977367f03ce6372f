//! What the page and the Markdown both tell of a comparison: rows of tables and sentences. Pure.

use super::{ComparedDataset, ComparedMeasure, ComparedPoint, Comparison, PointState, SeedGroup};
use crate::report::{
    findings::NOTHING,
    model::RunState,
    numbers::{bytes, count, counted, difference, metric, metric_or_undefined, seconds},
    scores::MEASURES,
};

/// Measures with their best round and the difference to the first point; the others have their last value alone.
const FULL: usize = 2;

/// What the best rounds mean.
pub(super) const BEST_WORDS: &str = "Δ: against the first point. Best rounds are chosen by the test samples themselves, so \
     they promise more than a new test would keep.";

/// What the table over seeds shows.
pub(super) const SEED_WORDS: &str =
    "After the last evaluated round: mean ± sample standard deviation over seeds.";

/// What the table of time shows.
pub(super) const USE_WORDS: &str = "Wall and CPU time are sums over all attempts of all jobs, failed ones included; elapsed is from \
     the first to the last event of the point's record.";

/// The names of all datasets, in order.
pub(super) fn datasets(comparison: &Comparison) -> Vec<&str> {
    let datasets = comparison.points.iter().flat_map(|point| &point.datasets);
    let mut names: Vec<&str> = datasets.map(|dataset| dataset.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Whether any point's samples of the dataset are drawn.
pub(super) fn is_synthetic(comparison: &Comparison, dataset: &str) -> bool {
    let datasets = comparison.points.iter().flat_map(|point| &point.datasets);
    datasets
        .filter(|found| found.name == dataset)
        .any(|found| found.synthetic)
}

/// The last key of each place; the whole place where two end alike.
pub(super) fn places(comparison: &Comparison) -> Vec<&str> {
    let last = |place: &'_ str| -> usize { place.rfind('.').map_or(0, |dot| dot + 1) };
    let ends = |end: &str| {
        let axes = comparison.axes.iter();
        axes.filter(|axis| &axis.place[last(&axis.place)..] == end)
            .count()
    };
    let axes = comparison.axes.iter().map(|axis| {
        let end = &axis.place[last(&axis.place)..];
        if ends(end) > 1 { axis.place.as_str() } else { end }
    });
    axes.collect()
}

/// A point's values, in the order of the axes.
pub(super) fn values(comparison: &Comparison, point: &ComparedPoint) -> Vec<String> {
    let axes = comparison.axes.iter().zip(&point.values);
    axes.map(|(axis, value)| axis.values.get(*value).cloned().unwrap_or_default())
        .collect()
}

/// A point's name without the experiment's.
pub(super) fn short<'p>(comparison: &Comparison, point: &'p ComparedPoint) -> &'p str {
    let rest = point.name.strip_prefix(comparison.experiment.as_str());
    rest.and_then(|rest| rest.strip_prefix('-'))
        .unwrap_or(&point.name)
}

/// The heads of the table of a dataset: point, state, measures.
pub(super) fn result_heads(comparison: &Comparison) -> Vec<String> {
    let mut heads = vec!["Point".to_owned()];
    heads.extend(places(comparison).into_iter().map(str::to_owned));
    for (index, measure) in MEASURES.iter().enumerate() {
        heads.push(measure.name.to_owned());
        if index < FULL {
            heads.extend(["Δ".to_owned(), "Best (round)".to_owned()]);
        }
    }
    heads
}

/// A point's row in the table of a dataset.
pub(super) fn result_cells(comparison: &Comparison, point: &ComparedPoint, dataset: &str) -> Vec<String> {
    let mut cells = vec![short(comparison, point).to_owned()];
    cells.extend(values(comparison, point));
    let found = point.datasets.iter().find(|found| found.name == dataset);
    for index in 0..MEASURES.len() {
        let measure = found.and_then(|found| found.measures.get(index));
        cells.push(last_cell(point, found, measure));
        if index < FULL {
            let against = measure.and_then(|measure| measure.against_first);
            cells.push(against.map_or(NOTHING.to_owned(), difference));
            cells.push(measure.and_then(best_cell).unwrap_or(NOTHING.to_owned()));
        }
    }
    cells
}

fn last_cell(
    point: &ComparedPoint,
    dataset: Option<&ComparedDataset>,
    measure: Option<&ComparedMeasure>,
) -> String {
    match (dataset.and_then(|dataset| dataset.last_round), measure) {
        (Some(_), Some(measure)) => metric_or_undefined(measure.last),
        _ => point.state.as_str().to_owned(),
    }
}

fn best_cell(measure: &ComparedMeasure) -> Option<String> {
    Some(format!("{} ({})", metric(measure.best?), measure.best_round?))
}

/// The heads of the table over seeds.
pub(super) fn seed_heads(comparison: &Comparison) -> Vec<String> {
    let mut heads: Vec<String> = comparison
        .axes
        .iter()
        .zip(places(comparison))
        .zip(
            comparison
                .over_seeds
                .first()
                .map_or(&[][..], |group| &group.values),
        )
        .filter(|(_, value)| value.is_some())
        .map(|((_, place), _)| place.to_owned())
        .collect();
    if heads.is_empty() {
        heads.push("Points".to_owned());
    }
    heads.push("Seeds".to_owned());
    heads.extend(MEASURES.iter().map(|measure| measure.name.to_owned()));
    heads
}

/// A group's row in the table over seeds of a dataset.
pub(super) fn seed_cells(comparison: &Comparison, group: &SeedGroup, dataset: &str) -> Vec<String> {
    let axes = comparison.axes.iter().zip(&group.values);
    let mut cells: Vec<String> = axes
        .filter_map(|(axis, value)| axis.values.get((*value)?).cloned())
        .collect();
    if cells.is_empty() {
        cells.push("all".to_owned());
    }
    let found = group.datasets.iter().find(|found| found.name == dataset);
    let seeds = found.and_then(|found| found.measures.iter().map(|measure| measure.seeds).max());
    cells.push(format!("{} of {}", seeds.unwrap_or(0), group.points.len()));
    for index in 0..MEASURES.len() {
        let measure = found.and_then(|found| found.measures.get(index));
        cells.push(
            match measure.and_then(|measure| Some((measure.mean?, measure.sd))) {
                Some((mean, Some(sd))) => format!("{} ± {}", metric(mean), metric(sd)),
                Some((mean, None)) => metric(mean),
                None => NOTHING.to_owned(),
            },
        );
    }
    cells
}

/// The heads of the table of jobs and time.
pub(super) const USE_HEADS: [&str; 10] = [
    "Point",
    "State",
    "Jobs done",
    "Failed",
    "Retries",
    "Elapsed",
    "Wall time",
    "CPU time",
    "Bytes in",
    "Bytes out",
];

/// Columns of it that hold words.
pub(super) const USE_WORD_COLUMNS: usize = 2;

/// A point's row in the table of jobs and time.
pub(super) fn use_cells(comparison: &Comparison, point: &ComparedPoint) -> Vec<String> {
    let mut cells = vec![
        short(comparison, point).to_owned(),
        point.state.as_str().to_owned(),
    ];
    if matches!(point.state, PointState::NotBegun | PointState::Unknown) {
        cells.extend((USE_WORD_COLUMNS..USE_HEADS.len()).map(|_| NOTHING.to_owned()));
        return cells;
    }
    cells.extend([
        format!("{} of {}", count(point.jobs.done), count(point.jobs.total)),
        count(point.jobs.failed),
        count(point.jobs.retries),
        seconds(point.elapsed_s),
        seconds(point.used.wall_s),
        seconds(point.used.cpu_s),
        bytes(point.used.bytes_in),
        bytes(point.used.bytes_out),
    ]);
    cells
}

/// Points that are not done, each with what is known.
pub(super) fn troubles(comparison: &Comparison) -> Vec<(&ComparedPoint, String)> {
    let open = comparison
        .points
        .iter()
        .filter(|point| point.state != PointState::Done);
    open.map(|point| (point, trouble(point))).collect()
}

fn trouble(point: &ComparedPoint) -> String {
    let jobs = || {
        format!(
            "{} of {} are done",
            count(point.jobs.done),
            counted(point.jobs.total, "job", "jobs")
        )
    };
    match (point.state, &point.problem) {
        (_, Some(problem)) => problem.clone(),
        (PointState::Failed, None) => {
            format!("{}; failed: {}", jobs(), named(&point.failed_jobs))
        }
        (PointState::Interrupted, None) => format!("stopped by the user; {}", jobs()),
        (PointState::Unfinished, None) => format!("still going, or killed; {}", jobs()),
        (PointState::NotBegun | PointState::Unknown | PointState::Done, None) => {
            point.state.as_str().to_owned()
        }
    }
}

/// The first names, and how many more there are.
fn named(jobs: &[String]) -> String {
    const SHOWN: usize = 5;
    let first = jobs.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>();
    match jobs.len().saturating_sub(SHOWN) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// What is missing from a comparison of points that are not all done; `None` where they are.
pub(super) fn state_words(comparison: &Comparison) -> Option<String> {
    let done = comparison
        .points
        .iter()
        .filter(|point| point.state == PointState::Done);
    let done = done.count();
    (comparison.state != RunState::Done).then(|| {
        format!(
            "{done} of {} points are done. Results below are of what was reached. \"fedwing resume\" continues.",
            comparison.points.len()
        )
    })
}

/// What nobody may overlook of drawn images.
pub(super) const SYNTHETIC_WORDS: &str =
    "Images behind these numbers are drawn by a program; such numbers say nothing about patients.";

/// The sweep in a few words each.
pub(super) fn facts(comparison: &Comparison) -> Vec<(&'static str, String)> {
    let done = |point: &&ComparedPoint| point.state == PointState::Done;
    let points = &comparison.points;
    let sum = |of: fn(&ComparedPoint) -> f64| points.iter().map(of).sum::<f64>();
    let jobs = |of: fn(&ComparedPoint) -> u64| count(points.iter().map(of).sum());
    vec![
        (
            "Points done",
            format!("{} of {}", points.iter().filter(done).count(), points.len()),
        ),
        (
            "Jobs done",
            format!(
                "{} of {}",
                jobs(|point| point.jobs.done),
                jobs(|point| point.jobs.total)
            ),
        ),
        ("Wall time of jobs", seconds(sum(|point| point.used.wall_s))),
        ("CPU time of jobs", seconds(sum(|point| point.used.cpu_s))),
        ("Specification", comparison.spec_digest.chars().take(12).collect()),
    ]
}

/// What is varied: each place with its values.
pub(super) fn axis_rows(comparison: &Comparison) -> Vec<Vec<String>> {
    let axes = comparison.axes.iter();
    axes.map(|axis| vec![axis.place.clone(), axis.values.join(", ")])
        .collect()
}
