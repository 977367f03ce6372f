//! Sweeps as text: their points, how far they are, what they came to.

use std::{fmt::Write, num::NonZeroUsize, time::Duration};

use indicatif::HumanDuration;

use super::status;
use crate::{
    ops::{
        DatasetResult, PointState, PointStatus, PointsResult, RoundStatus, RunState, SweepCancelResult,
        SweepResult, SweepStatus,
    },
    record::SweepSystem,
};

/// The points of a sweep in columns.
pub fn points(result: &PointsResult) -> String {
    let head: Vec<&str> = std::iter::once("point")
        .chain(result.places.iter().map(String::as_str))
        .collect();
    let rows = result.points.iter().map(|point| {
        let values = point.values.iter().map(String::as_str);
        std::iter::once(point.name.as_str()).chain(values).collect()
    });
    let rows: Vec<Vec<&str>> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..=result.places.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths);
        let line: Vec<String> = cells.map(|(cell, width)| format!("{cell:<width$}")).collect();
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(text, "{}", line.join("  ").trim_end());
    }
    text
}

/// How far a sweep is, in lines; at most `most` points, those that matter now.
pub fn text(status: &SweepStatus, most: Option<NonZeroUsize>) -> String {
    let mut text = format!(
        "{} (sweep of {} points, {}), {}\n",
        status.name,
        status.points.len(),
        system(status.system),
        status::word(status.state)
    );
    let _ = writeln!(text, "  {:<11} {}", "jobs", status::counts(&status.jobs));
    for point in shown(&status.points, most) {
        let _ = writeln!(text, "  {}", point_text(point));
    }
    if let Some(help) = help(status) {
        let _ = writeln!(text, "  {:<11} {help}", "help");
    }
    text
}

/// A line that tells how many points and jobs are how far.
pub fn short(status: &SweepStatus) -> String {
    let done = status.points.iter().filter(|point| point.state == RunState::Done);
    format!(
        "{}: {} of {} points done; jobs: {}",
        status::word(status.state),
        done.count(),
        status.points.len(),
        status::counts(&status.jobs)
    )
}

/// What is new of a sweep, once it is told: points that ended, their evaluated rounds, failed jobs.
pub fn news(status: &SweepStatus) -> Vec<String> {
    let mut lines = Vec::new();
    for point in &status.points {
        lines.extend(
            point
                .rounds
                .iter()
                .map(|round| format!("{}: {}", point.name, round_text(round))),
        );
        lines.extend(
            point
                .failed
                .iter()
                .map(|job| format!("failed: {}: {job}", point.name)),
        );
        if !matches!(point.state, RunState::NotSubmitted | RunState::Waiting) {
            lines.push(format!("{}: {}", point.name, status::word(point.state)));
        }
    }
    lines
}

/// What cancelling a sweep came to.
pub fn cancelled(result: &SweepCancelResult) -> String {
    format!(
        "{}: {} of {} jobs are done; `fedwing resume {}` continues",
        status::word(result.state),
        result.jobs.done,
        result.jobs.total,
        result.dir.display()
    )
}

/// What the points of a sweep came to on this machine, a line for each dataset.
pub fn results(result: &SweepResult) -> String {
    let mut text = String::new();
    for point in &result.points {
        let state = match point.state {
            PointState::Done => None,
            PointState::Failed => Some("a job failed"),
            PointState::Interrupted => Some("stopped"),
            PointState::Impossible => Some("could not be run"),
            PointState::NotBegun => Some("not begun"),
        };
        if let Some(state) = state {
            let why = point
                .problem
                .as_ref()
                .map_or(String::new(), |why| format!(": {why}"));
            let _ = writeln!(text, "{}: {state}{why}", point.name);
        }
        for last in &point.results {
            let _ = writeln!(text, "{}: {}", point.name, last_round(last));
        }
    }
    text
}

/// A dataset's last round on one line.
pub fn last_round(last: &DatasetResult) -> String {
    let auroc = last
        .auroc
        .map_or("undefined".to_owned(), |auroc| format!("{auroc:.3}"));
    let synthetic = if last.synthetic { " (SYNTHETIC)" } else { "" };
    format!(
        "{}: round {}, AUROC {auroc}, accuracy {:.3}{synthetic}",
        last.dataset, last.round, last.accuracy
    )
}

fn point_text(point: &PointStatus) -> String {
    let mut text = format!("{}: {}", point.name, status::word(point.state));
    if point.state != RunState::NotSubmitted {
        let elapsed = Duration::try_from_secs_f64(point.elapsed_s).unwrap_or_default();
        let since = match point.state {
            RunState::Running => "for",
            _ => "after",
        };
        let _ = write!(
            text,
            " {since} {}, {}",
            HumanDuration(elapsed),
            status::counts(&point.jobs)
        );
    }
    for round in &point.rounds {
        let _ = write!(text, "; {}", round_text(round));
    }
    if !point.failed.is_empty() {
        let _ = write!(text, "; failed: {}", point.failed.join(", "));
    }
    text
}

fn round_text(round: &RoundStatus) -> String {
    let auroc = round
        .auroc
        .map_or("undefined".to_owned(), |auroc| format!("{auroc:.3}"));
    let accuracy = round.accuracy.unwrap_or_default();
    let synthetic = if round.synthetic == Some(true) {
        " (SYNTHETIC)"
    } else {
        ""
    };
    format!(
        "{}: round {}, AUROC {auroc}, accuracy {accuracy:.3}{synthetic}",
        round.dataset, round.round
    )
}

/// All points; where not all fit, the last one that is done and what follows.
fn shown(points: &[PointStatus], most: Option<NonZeroUsize>) -> &[PointStatus] {
    let most = most.map_or(points.len(), NonZeroUsize::get).min(points.len());
    let open = points.iter().position(|point| point.state != RunState::Done);
    let open = open.unwrap_or(points.len());
    let first = (open + 1).saturating_sub(most).min(points.len() - most);
    &points[first..first + most]
}

fn system(system: SweepSystem) -> &'static str {
    match system {
        SweepSystem::Local => "this machine",
        SweepSystem::Dagman => "DAGMan",
        SweepSystem::Pegasus => "Pegasus",
    }
}

fn help(status: &SweepStatus) -> Option<String> {
    let dir = status.dir.display();
    match status.state {
        RunState::NotSubmitted => Some(format!("`fedwing submit {dir}` starts it")),
        RunState::Failed => Some(format!(
            "mend the cause, then `fedwing resume {dir}` does what is not done"
        )),
        RunState::Stopped | RunState::Dead => Some(format!(
            "`fedwing resume {dir}` does what is not done; points that are done stay as they are"
        )),
        RunState::Waiting | RunState::Running | RunState::Done => None,
    }
}
