//! A pool file from what a run left: medians of waits, overheads and job times, and how they spread.
//!
//! In: [`Tried`] jobs, whose times whoever ran them told. Out: [`Calibrated`]. Start at [`calibrate`].

use std::collections::BTreeMap;

use contract::ids::Seed;

use super::{
    Work,
    pool::{Dagman, JobTime, KINDS, Pegasus, Pool, Queue, Slots, Staging, SubmitHost, Varying},
};

/// One try at a job that ended well. Times are in seconds, from any one moment.
#[derive(Debug, Clone)]
pub struct Tried<'a> {
    /// The kind of job, as in a pool file.
    pub kind: &'static str,
    /// The machine; none for the submit host.
    pub host: Option<&'a str>,
    /// The site of the specification that it had to run at.
    pub site: Option<&'a str>,
    /// When all it waited for had ended.
    pub ready: f64,
    /// Whether a DAG began with it.
    pub begins_dag: bool,
    /// Whether it was of a nested DAG.
    pub nested: bool,
    /// When it was submitted.
    pub submitted: f64,
    /// When it had its slot.
    pub started: f64,
    /// When its results were there.
    pub ended: f64,
    /// How long its process ran, where it told.
    pub executed: Option<f64>,
    /// What it moved and computed on.
    pub work: Work,
}

/// A pool as a run met it.
#[derive(Debug, Clone)]
pub struct Calibrated {
    /// The pool.
    pub pool: Pool,
    /// What could not be measured, and what of the rest is to be known; a sentence each.
    pub notes: Vec<String>,
}

/// The pool that `tries` met; `about` says which run it is.
pub fn calibrate(about: &str, tries: &[Tried<'_>]) -> Calibrated {
    let mut notes = Vec::new();
    let on_slots: Vec<&Tried<'_>> = tries.iter().filter(|tried| tried.host.is_some()).collect();
    let sites = sites(&on_slots, &mut notes);
    let slots = sites.iter().map(|site| u64::from(site.slots)).sum();
    let pool = Pool {
        about: Some(about.to_owned()),
        seed: Seed(1),
        sites,
        queue: queue(&on_slots, slots, &mut notes),
        submit_host: SubmitHost::default(),
        staging: staging(&on_slots, &mut notes),
        dagman: dagman(tries, &mut notes),
        pegasus: Pegasus::default(),
        jobs: jobs(tries),
    };
    notes.push("planning by Pegasus is not measured here: write its times into `pegasus`".to_owned());
    Calibrated { pool, notes }
}

/// The machines, each with as many slots as jobs were there at once.
fn sites(tries: &[&Tried<'_>], notes: &mut Vec<String>) -> Vec<Slots> {
    let mut hosts: BTreeMap<String, Vec<&Tried<'_>>> = BTreeMap::new();
    for tried in tries {
        let host = tried.host.unwrap_or_default();
        hosts.entry(site_name(host)).or_default().push(tried);
    }
    if hosts.is_empty() {
        notes.push("no job ran on a slot: one slot is written, whatever it can do".to_owned());
        hosts.insert("here".to_owned(), Vec::new());
    }
    notes.push("a machine has as many slots as jobs were there at once".to_owned());
    let slots = |(site, tries): (String, Vec<&Tried<'_>>)| {
        let mut holds: Vec<String> = tries
            .iter()
            .filter_map(|tried| tried.site.map(str::to_owned))
            .collect();
        holds.sort();
        holds.dedup();
        let spans = tries.iter().map(|tried| (tried.started, tried.ended));
        Slots {
            site,
            slots: at_once(spans).into_iter().max().unwrap_or(1).max(1),
            cpus: None,
            memory: None,
            gpus: 0,
            speed: 1.0,
            holds,
        }
    };
    hosts.into_iter().map(slots).collect()
}

/// A machine's name as a pool file takes it: the first label of its host name.
fn site_name(host: &str) -> String {
    let label = host.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let plain = label.replace(
        |c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c)),
        "-",
    );
    let named = match plain.starts_with(|c: char| c.is_ascii_lowercase()) {
        true => plain,
        false => format!("host-{plain}"),
    };
    named.chars().take(contract::ids::MAX_NAME).collect()
}

/// For each span, in the order of their beginnings, how many have begun and not ended when it begins; it counts itself.
fn at_once(spans: impl Iterator<Item = (f64, f64)>) -> Vec<u32> {
    let mut changes: Vec<(f64, i32)> = spans
        .flat_map(|(begin, end)| [(begin, 1), (end.max(begin), -1)])
        .collect();
    // What ends at a moment makes room for what begins then.
    changes.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let (mut now, mut counts) = (0_i32, Vec::new());
    for (_, change) in changes {
        now += change;
        if change > 0 {
            counts.push(now.max(1) as u32);
        }
    }
    counts
}

/// The wait of jobs that found a free slot, and how soon a slot was taken again by one that waited for it.
fn queue(tries: &[&Tried<'_>], slots: u64, notes: &mut Vec<String>) -> Queue {
    let mut by_submission: Vec<&&Tried<'_>> = tries.iter().collect();
    // Of those submitted in one second, the first to start were the first in the queue.
    by_submission.sort_by(|a, b| {
        let submitted = a.submitted.total_cmp(&b.submitted);
        submitted.then(a.started.total_cmp(&b.started))
    });
    let in_system = at_once(by_submission.iter().map(|tried| (tried.submitted, tried.ended)));
    let (mut waits, mut turnarounds) = (Vec::new(), Vec::new());
    let ends = ends_by_host(tries);
    for (tried, in_system) in by_submission.into_iter().zip(in_system) {
        if u64::from(in_system) <= slots {
            waits.push((tried.started - tried.submitted).max(0.0));
        } else if let Some(free) = last_before(&ends, tried).filter(|end| *end > tried.submitted) {
            turnarounds.push(tried.started - free);
        }
    }
    if waits.is_empty() {
        notes.push("no job found a free slot: the wait in the queue is not measured".to_owned());
    }
    if turnarounds.is_empty() {
        notes.push("no job waited for a slot: how soon one is taken again is not measured".to_owned());
    }
    Queue {
        wait: whole_seconds(&mut waits),
        cycle: 0.0,
        turnaround: whole_seconds(&mut turnarounds).median,
    }
}

fn ends_by_host<'a>(tries: &[&Tried<'a>]) -> BTreeMap<&'a str, Vec<f64>> {
    let mut ends: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for tried in tries {
        if let Some(host) = tried.host {
            ends.entry(host).or_default().push(tried.ended);
        }
    }
    for ends in ends.values_mut() {
        ends.sort_by(f64::total_cmp);
    }
    ends
}

/// When a job on the same machine last ended before `tried` started.
fn last_before(ends: &BTreeMap<&str, Vec<f64>>, tried: &Tried<'_>) -> Option<f64> {
    let ends = ends.get(tried.host?)?;
    let before = ends.partition_point(|end| *end <= tried.started);
    ends.get(before.checked_sub(1)?).copied()
}

/// The fewest megabytes by which jobs must differ for their time on the slot to say something about a connection.
const TELLING_MEGABYTES: f64 = 20.0;

/// What jobs were on their slots for beside executing: a line through megabytes moved and seconds, where they differ enough,
/// else the median alone.
fn staging(tries: &[&Tried<'_>], notes: &mut Vec<String>) -> Staging {
    let told = tries.iter().filter_map(|tried| {
        // Below 0 where both ends were rounded down; in the mean that evens out.
        let beside = tried.ended - tried.started - tried.executed?;
        Some((moved_megabytes(&tried.work), beside))
    });
    let points: Vec<(f64, f64)> = told.collect();
    if points.is_empty() {
        notes.push(
            "no job told how long it executed: its whole time on the slot is taken for execution".to_owned(),
        );
    }
    let line = line(&points, TELLING_MEGABYTES).filter(|(begin, slope)| *slope > 1e-6 && *begin >= 0.0);
    let stream = line.map(|(_, slope)| contract::units::Bytes((1e6 / slope).max(1_048_576.0) as u64));
    if stream.is_none() {
        notes.push("the bandwidth is not measured: jobs moved too little, or too much alike".to_owned());
    }
    let slope = stream.map_or(0.0, |stream| 1e6 / stream.0 as f64);
    let mut left: Vec<f64> = points
        .iter()
        .map(|(moved, beside)| beside - slope * moved)
        .collect();
    Staging {
        bandwidth: None,
        stream,
        latency: 0.0,
        overhead: whole_seconds(&mut left),
    }
}

fn moved_megabytes(work: &Work) -> f64 {
    (work.received.0 + work.sent.0) as f64 / 1e6
}

/// Where the line of least squares begins and how steep it is; none where the points lie within `least` of each other.
fn line(points: &[(f64, f64)], least: f64) -> Option<(f64, f64)> {
    let (low, high) = points
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (x, _)| {
            (low.min(*x), high.max(*x))
        });
    if points.len() < 3 || high - low < least {
        return None;
    }
    let count = points.len() as f64;
    let (mean_x, mean_y) = (
        points.iter().map(|(x, _)| x).sum::<f64>() / count,
        points.iter().map(|(_, y)| y).sum::<f64>() / count,
    );
    let covariance: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let variance: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let slope = covariance / variance;
    Some((mean_y - slope * mean_x, slope))
}

/// What DAGMan took from a job's end until the next was submitted, and beside that to begin a DAG.
fn dagman(tries: &[Tried<'_>], notes: &mut Vec<String>) -> Dagman {
    let taken = |begins: bool| {
        let tries = tries.iter().filter(|tried| tried.begins_dag == begins);
        let mut taken: Vec<f64> = tries
            .map(|tried| (tried.submitted - tried.ready).max(0.0))
            .collect();
        (!taken.is_empty()).then(|| whole_seconds(&mut taken).median)
    };
    let (job, dag) = (taken(false), taken(true));
    if job.is_none() || dag.is_none() {
        notes.push("what DAGMan takes is measured in part only".to_owned());
    }
    if tries.iter().all(|tried| !tried.begins_dag || !tried.nested) {
        notes.push("no nested DAG ran: what one costs beside the main one is not measured".to_owned());
    }
    let job = job.unwrap_or_default();
    Dagman {
        job,
        dag: (dag.unwrap_or_default() - job).max(0.0),
    }
}

fn jobs(tries: &[Tried<'_>]) -> BTreeMap<&'static str, JobTime> {
    let mut of_kind: BTreeMap<&'static str, Vec<&Tried<'_>>> = BTreeMap::new();
    for tried in tries {
        of_kind.entry(tried.kind).or_default().push(tried);
    }
    KINDS
        .iter()
        .filter_map(|kind| Some((*kind, job_time(of_kind.get(kind)?))))
        .collect()
}

/// How many times its least size a kind's greatest must be for its time to be told apart into fixed and growing.
const TELLING_RATIO: f64 = 1.25;

/// Fixed and growing time by least squares where sizes differ; else all of it grows, with samples or with megabytes.
fn job_time(tries: &[&Tried<'_>]) -> JobTime {
    let samples = tries.iter().any(|tried| tried.work.samples > 0.0);
    let size = |tried: &Tried<'_>| match samples {
        true => tried.work.samples,
        false => tried.work.read.0 as f64 / 1e6,
    };
    let seconds = |tried: &Tried<'_>| tried.executed.unwrap_or(tried.ended - tried.started).max(0.0);
    let points: Vec<(f64, f64)> = tries.iter().map(|tried| (size(tried), seconds(tried))).collect();
    let least = points.iter().map(|(size, _)| *size).fold(f64::INFINITY, f64::min);
    let fitted =
        line(&points, least * (TELLING_RATIO - 1.0)).filter(|(fixed, slope)| *fixed >= 0.0 && *slope >= 0.0);
    let mut rates: Vec<f64> = points.iter().map(|(size, seconds)| seconds / size).collect();
    let (fixed, per_size) = match fitted {
        Some(fitted) if least > 0.0 => fitted,
        _ if least > 0.0 => (0.0, varying(&mut rates).median),
        _ => (
            varying(&mut points.iter().map(|(_, seconds)| *seconds).collect::<Vec<_>>()).median,
            0.0,
        ),
    };
    let mut ratios: Vec<f64> = points
        .iter()
        .map(|(size, seconds)| seconds / (fixed + per_size * size))
        .collect();
    JobTime {
        fixed,
        per_sample: if samples { per_size } else { 0.0 },
        per_megabyte: if samples { 0.0 } else { per_size },
        spread: varying(&mut ratios).spread,
        wait: None,
        overhead: None,
    }
}

/// Event logs tell whole seconds: the spread of shorter times than this would be that of rounding.
const SHORTEST_TO_SPREAD: f64 = 5.0;

/// Median and spread of times told in whole seconds; the mean, and no spread, of short ones.
fn whole_seconds(times: &mut [f64]) -> Varying {
    let found = varying(times);
    match found.median < SHORTEST_TO_SPREAD {
        true => Varying {
            median: (times.iter().sum::<f64>() / times.len().max(1) as f64).max(0.0),
            spread: 1.0,
        },
        false => found,
    }
}

/// Median and geometric standard deviation of what is above 0; no time of no times.
fn varying(times: &mut [f64]) -> Varying {
    times.sort_by(f64::total_cmp);
    let Some(middle) = times.len().checked_sub(1).map(|last| last / 2) else {
        return Varying::default();
    };
    let logs: Vec<f64> = times
        .iter()
        .filter(|time| time.is_finite() && **time > 0.0)
        .map(|time| time.ln())
        .collect();
    let count = logs.len().max(1) as f64;
    let mean = logs.iter().sum::<f64>() / count;
    let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / count;
    Varying {
        median: times[middle].max(0.0),
        spread: variance.sqrt().exp().clamp(1.0, WIDEST),
    }
}

/// The widest spread that is written.
const WIDEST: f64 = 100.0;

#[cfg(test)]
#[path = "calibrate_tests.rs"]
mod tests;
