//! Makes a [`Comparison`] of the points' reports.

use super::{
    ComparedDataset, ComparedMeasure, ComparedPoint, Comparison, CurvePoint, PointState, SeedDataset,
    SeedGroup, SeedMeasure,
};
use crate::{
    record::{SweepAxis, SweepList, SweepPoint},
    report::{
        model::{DatasetReport, JobCounts, Report, RunState, Use},
        scores::{MEASURES, Measure},
    },
};

/// The place whose values only draw anew.
const SEED: &str = "seed";

/// What is known of a point.
#[derive(Debug, Clone)]
pub enum Known {
    /// Nothing is there yet.
    NotBegun,
    /// This is its report.
    Report {
        /// The report.
        report: Box<Report>,
        /// Its HTML file, seen from the folder of the comparison; none where it was not written.
        link: Option<String>,
    },
    /// It cannot be told, or could not be run, for this reason.
    Problem(String),
}

/// Compares the points of `list`; `known` is what is known of each, in the same order. Of one report after the other only what
/// is compared is kept.
pub fn compare(list: &SweepList, known: impl IntoIterator<Item = Known>) -> Comparison {
    let pairs = list.points.iter().zip(known);
    let mut points: Vec<ComparedPoint> = pairs.map(|(point, known)| compared(point, known)).collect();
    against_first(&mut points);
    let over_seeds = over_seeds(&list.axes, &points);
    Comparison {
        fedwing_comparison: Comparison::VERSION,
        experiment: list.experiment.to_string(),
        intent: list.intent.clone(),
        synthetic: points.iter().any(|point| point.synthetic),
        state: state(&points),
        axes: list.axes.clone(),
        over_seeds,
        points,
        spec_digest: list.digest.clone(),
    }
}

fn state(points: &[ComparedPoint]) -> RunState {
    let any = |states: &[PointState]| points.iter().any(|point| states.contains(&point.state));
    if any(&[PointState::Failed, PointState::Unknown]) {
        RunState::Failed
    } else if any(&[PointState::Interrupted]) {
        RunState::Interrupted
    } else if any(&[PointState::Unfinished, PointState::NotBegun]) {
        RunState::Unfinished
    } else {
        RunState::Done
    }
}

fn compared(point: &SweepPoint, known: Known) -> ComparedPoint {
    let mut compared = ComparedPoint {
        name: point.name.to_string(),
        values: point.values.clone(),
        state: PointState::NotBegun,
        problem: None,
        report: None,
        synthetic: false,
        elapsed_s: 0.0,
        jobs: JobCounts::default(),
        failed_jobs: Vec::new(),
        used: Use::default(),
        datasets: Vec::new(),
    };
    match known {
        Known::NotBegun => {}
        Known::Problem(why) => {
            compared.state = PointState::Unknown;
            compared.problem = Some(why);
        }
        Known::Report { report, link } => {
            compared.state = match report.state {
                RunState::Done => PointState::Done,
                RunState::Failed => PointState::Failed,
                RunState::Interrupted => PointState::Interrupted,
                RunState::Unfinished => PointState::Unfinished,
            };
            compared.report = link;
            compared.synthetic = report.synthetic;
            compared.elapsed_s = report.elapsed_s;
            compared.jobs = report.jobs;
            compared.failed_jobs = report.failed_jobs.into_iter().map(|failed| failed.job).collect();
            compared.used = report.totals;
            compared.datasets = report.datasets.iter().map(dataset).collect();
        }
    }
    compared
}

fn dataset(report: &DatasetReport) -> ComparedDataset {
    let evaluated = report.rounds.iter().filter_map(|round| {
        let metrics = round.metrics.as_ref()?;
        let values = MEASURES.iter().map(|measure| (measure.of)(metrics));
        Some(CurvePoint {
            round: round.round,
            values: values.collect(),
        })
    });
    let curve: Vec<CurvePoint> = evaluated.collect();
    let last = report.last.as_ref();
    let measures = MEASURES.iter().enumerate().map(|(index, measure)| {
        let best = best(measure, index, &curve);
        ComparedMeasure {
            measure: measure.name.to_owned(),
            last: last.and_then(|last| (measure.of)(&last.metrics)),
            best: best.map(|(_, value)| value),
            best_round: best.map(|(round, _)| round),
            against_first: None,
        }
    });
    ComparedDataset {
        name: report.name.clone(),
        synthetic: report.synthetic,
        last_round: last.map(|last| last.round),
        measures: measures.collect(),
        curve,
    }
}

/// The first round with the best value, and the value. The initial model is no result.
fn best(measure: &Measure, index: usize, curve: &[CurvePoint]) -> Option<(u32, f64)> {
    let rounds = curve.iter().filter(|point| point.round > 0);
    let values = rounds.filter_map(|point| Some((point.round, (*point.values.get(index)?)?)));
    values.reduce(|best, next| {
        let better = if measure.share {
            next.1 > best.1
        } else {
            next.1 < best.1
        };
        if better { next } else { best }
    })
}

/// How far each point's last round is from the first point's.
fn against_first(points: &mut [ComparedPoint]) {
    let Some((first, others)) = points.split_first_mut() else {
        return;
    };
    for dataset in others.iter_mut().flat_map(|point| &mut point.datasets) {
        let Some(base) = first.datasets.iter().find(|base| base.name == dataset.name) else {
            continue;
        };
        for (measure, base) in dataset.measures.iter_mut().zip(&base.measures) {
            measure.against_first = measure.last.zip(base.last).map(|(last, base)| last - base);
        }
    }
}

/// Points that differ in the seed alone, in the order of their first.
fn over_seeds(axes: &[SweepAxis], points: &[ComparedPoint]) -> Vec<SeedGroup> {
    let Some(seed) = axes
        .iter()
        .position(|axis| axis.place == SEED && axis.values.len() > 1)
    else {
        return Vec::new();
    };
    let mut groups: Vec<SeedGroup> = Vec::new();
    for (index, point) in points.iter().enumerate() {
        let values = point.values.iter().enumerate();
        let values: Vec<Option<usize>> = values
            .map(|(axis, value)| (axis != seed).then_some(*value))
            .collect();
        match groups.iter_mut().find(|group| group.values == values) {
            Some(group) => group.points.push(index),
            None => groups.push(SeedGroup {
                values,
                points: vec![index],
                datasets: Vec::new(),
            }),
        }
    }
    for group in &mut groups {
        group.datasets = seed_datasets(&group.points, points);
    }
    groups
}

fn seed_datasets(members: &[usize], points: &[ComparedPoint]) -> Vec<SeedDataset> {
    let datasets = || members.iter().flat_map(|index| &points[*index].datasets);
    let mut names: Vec<&str> = datasets().map(|dataset| dataset.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let of = |name: &str| {
        let measures = MEASURES.iter().enumerate().map(|(index, measure)| {
            let of_name = datasets().filter(|dataset| dataset.name == name);
            let last = of_name.filter_map(|dataset| dataset.measures.get(index)?.last);
            over(measure.name, &last.collect::<Vec<f64>>())
        });
        SeedDataset {
            name: name.to_owned(),
            measures: measures.collect(),
        }
    };
    names.into_iter().map(of).collect()
}

/// Mean and sample standard deviation.
fn over(measure: &str, values: &[f64]) -> SeedMeasure {
    let n = values.len() as f64;
    let mean = (!values.is_empty()).then(|| values.iter().sum::<f64>() / n);
    let sd = mean.filter(|_| values.len() > 1).map(|mean| {
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (squares / (n - 1.0)).sqrt()
    });
    SeedMeasure {
        measure: measure.to_owned(),
        seeds: values.len(),
        mean,
        sd,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_over_seeds_is_that_of_a_sample() {
        let spread = over("AUROC", &[0.5, 0.7, 0.9]);
        assert!((spread.mean.unwrap() - 0.7).abs() < 1e-12);
        assert!((spread.sd.unwrap() - 0.2).abs() < 1e-12);
        assert_eq!((over("x", &[0.5]).mean, over("x", &[0.5]).sd), (Some(0.5), None));
        assert_eq!(over("x", &[]).mean, None);
    }

    #[test]
    fn the_best_round_is_the_first_of_the_best_and_never_the_initial_model() {
        let at = |round, value| CurvePoint {
            round,
            values: vec![value],
        };
        let curve = [
            at(0, Some(0.9)),
            at(1, Some(0.6)),
            at(2, None),
            at(3, Some(0.8)),
            at(4, Some(0.8)),
        ];
        assert_eq!(best(&MEASURES[0], 0, &curve), Some((3, 0.8)));
        assert_eq!(
            best(&MEASURES[3], 0, &curve),
            Some((1, 0.6)),
            "of the loss the smallest"
        );
        assert_eq!(best(&MEASURES[0], 0, &curve[..1]), None);
    }
}
