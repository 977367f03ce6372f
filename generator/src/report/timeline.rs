//! When which job ran: a Gantt chart by slot, or, of many jobs, how many of each kind ran at once.

use std::{collections::BTreeMap, fmt::Write};

use super::{
    bars::swatch,
    chart::px,
    history::KINDS,
    markup::Markup,
    model::{Attempt, AttemptOutcome, Report},
    numbers::{count, counted, seconds},
};

/// Attempts drawn one by one; of more, the number running is drawn.
const MOST_BARS: usize = 600;
/// Slots drawn as rows of their own.
const MOST_LANES: usize = 32;
/// Points of time at which running attempts are counted.
const BINS: usize = 240;

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 990.0;
const LANE: f64 = 22.0;
const STRIP: f64 = 40.0;
const TOP: f64 = 4.0;

/// Draws the run's timeline.
pub(super) fn draw(report: &Report, page: &mut Markup) {
    if report.timeline.is_empty() {
        page.leaf("p", &[("class", &"empty")], "No job has started.");
        return;
    }
    let time = Time {
        end_s: report.elapsed_s.max(0.001),
    };
    let lanes = lanes(&report.timeline, &time);
    let used = lanes.iter().max().map_or(0, |lane| lane + 1);
    let one_by_one = report.timeline.len() <= MOST_BARS && used <= MOST_LANES;
    legend(&report.timeline, one_by_one, page);
    if one_by_one {
        draw_gantt(&report.timeline, &lanes, used, &time, page);
    } else {
        draw_strips(&report.timeline, &time, page);
        let note = format!(
            "{} are too many to draw one by one: each strip shows how many of a kind ran at once. Every attempt is in \
             the JSON report.",
            counted(report.timeline.len() as u64, "attempt", "attempts"),
        );
        page.leaf("p", &[("class", &"note")], note);
    }
}

/// The scale from seconds to pixels.
struct Time {
    end_s: f64,
}

impl Time {
    fn x(&self, at_s: f64) -> f64 {
        LEFT + (at_s / self.end_s).clamp(0.0, 1.0) * (RIGHT - LEFT)
    }

    /// Where an attempt ends; one without an end lasts until the last event.
    fn end(&self, attempt: &Attempt) -> f64 {
        attempt.end_s.unwrap_or(self.end_s)
    }

    fn draw_axis(&self, bottom: f64, svg: &mut Markup) {
        let step = time_step(self.end_s / 7.0);
        let ticks = (0..).map(|i| f64::from(i) * step);
        for at_s in ticks.take_while(|at_s| *at_s <= self.end_s) {
            let x = px(self.x(at_s));
            svg.void(
                "line",
                &[
                    ("class", &"grid"),
                    ("x1", &x),
                    ("x2", &x),
                    ("y1", &px(TOP)),
                    ("y2", &px(bottom)),
                ],
            );
            let near_end = self.x(at_s) > RIGHT - 30.0;
            let class = if near_end { "tick end" } else { "tick middle" };
            let place: [(_, &dyn std::fmt::Display); 3] =
                [("class", &class), ("x", &x), ("y", &px(bottom + 16.0))];
            svg.leaf("text", &place, tick(at_s));
        }
    }
}

/// A time on the axis, without decimals it does not need.
fn tick(at_s: f64) -> String {
    if at_s < 60.0 {
        format!("{} s", (at_s * 10.0).round() / 10.0)
    } else {
        seconds(at_s)
    }
}

/// A round number of seconds, minutes or hours, at least `least_s` seconds.
fn time_step(least_s: f64) -> f64 {
    const STEPS: [f64; 17] = [
        0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0,
        7200.0,
    ];
    let hours = || (least_s / 10_800.0).ceil() * 10_800.0;
    STEPS
        .into_iter()
        .find(|step| *step >= least_s)
        .unwrap_or_else(hours)
}

/// For each attempt, in order of start, the first row that is free.
fn lanes(timeline: &[Attempt], time: &Time) -> Vec<usize> {
    // Attempts follow each other within the millisecond the record can tell.
    const SAME: f64 = 0.0005;
    let mut free_at: Vec<f64> = Vec::new();
    let mut lanes = Vec::with_capacity(timeline.len());
    for attempt in timeline {
        let free = free_at.iter().position(|end| *end <= attempt.start_s + SAME);
        let lane = free.unwrap_or_else(|| {
            free_at.push(0.0);
            free_at.len() - 1
        });
        free_at[lane] = time.end(attempt);
        lanes.push(lane);
    }
    lanes
}

fn draw_gantt(timeline: &[Attempt], lanes: &[usize], used: usize, time: &Time, page: &mut Markup) {
    let bottom = TOP + used as f64 * LANE;
    let view = format!("0 0 {WIDTH} {}", bottom + 24.0);
    page.element(
        "svg",
        &[("viewBox", &view), ("role", &"img"), ("class", &"timeline")],
        |svg| {
            svg.leaf("title", &[], "Job timeline");
            svg.leaf("desc", &[], describe(timeline));
            time.draw_axis(bottom, svg);
            for lane in 0..used {
                let y = TOP + lane as f64 * LANE + LANE - 7.0;
                let place: [(_, &dyn std::fmt::Display); 3] =
                    [("class", &"tick end"), ("x", &px(LEFT - 8.0)), ("y", &px(y))];
                svg.leaf("text", &place, format!("slot {}", lane + 1));
            }
            for (attempt, lane) in timeline.iter().zip(lanes) {
                draw_attempt(attempt, TOP + *lane as f64 * LANE + 2.0, time, svg);
            }
        },
    );
}

fn draw_attempt(attempt: &Attempt, y: f64, time: &Time, svg: &mut Markup) {
    let x = time.x(attempt.start_s);
    let width = (time.x(time.end(attempt)) - x).max(1.2);
    let failed = match attempt.outcome {
        AttemptOutcome::Done => "",
        AttemptOutcome::Failed => " failed",
        AttemptOutcome::Interrupted | AttemptOutcome::Unfinished => " cut",
    };
    let class = format!("{}{failed}", kind_class(&attempt.kind));
    svg.element(
        "rect",
        &[
            ("class", &class),
            ("x", &px(x)),
            ("y", &px(y)),
            ("width", &px(width)),
            ("height", &px(LANE - 5.0)),
        ],
        |bar| {
            let took = seconds(time.end(attempt) - attempt.start_s);
            let mut words = format!("{}, {took}, {}", attempt.job, attempt.outcome.as_str());
            if attempt.attempt > 1 {
                write!(words, " (attempt {})", attempt.attempt).expect("writing to a String cannot fail");
            }
            if let Some(detail) = &attempt.detail {
                write!(words, ": {detail}").expect("writing to a String cannot fail");
            }
            bar.leaf("title", &[], words);
        },
    );
    if attempt.outcome == AttemptOutcome::Failed {
        // A cross says what colour alone must not.
        let (left, right) = (x + width / 2.0 - 4.0, x + width / 2.0 + 4.0);
        let (top, low) = (y + (LANE - 5.0) / 2.0 - 4.0, y + (LANE - 5.0) / 2.0 + 4.0);
        let (l, r, t, b) = (px(left), px(right), px(top), px(low));
        svg.void(
            "path",
            &[
                ("class", &"cross"),
                ("d", &format!("M{l} {t}L{r} {b}M{l} {b}L{r} {t}")),
            ],
        );
    }
}

fn draw_strips(timeline: &[Attempt], time: &Time, page: &mut Markup) {
    let kinds = kinds(timeline);
    let bottom = TOP + kinds.len() as f64 * STRIP;
    let view = format!("0 0 {WIDTH} {}", bottom + 24.0);
    page.element(
        "svg",
        &[("viewBox", &view), ("role", &"img"), ("class", &"timeline")],
        |svg| {
            svg.leaf("title", &[], "Jobs running over time, by kind");
            svg.leaf("desc", &[], describe(timeline));
            time.draw_axis(bottom, svg);
            for (row, kind) in kinds.iter().enumerate() {
                let base = TOP + row as f64 * STRIP + STRIP - 2.0;
                let of_kind = timeline.iter().filter(|attempt| attempt.kind == *kind);
                let running = running(of_kind, time);
                let most = running.iter().copied().fold(0.0, f64::max);
                let place: [(_, &dyn std::fmt::Display); 3] = [
                    ("class", &"tick end"),
                    ("x", &px(LEFT - 8.0)),
                    ("y", &px(base - STRIP / 2.0 + 3.0)),
                ];
                svg.leaf("text", &place, shortened(kind, 13));
                svg.element(
                    "path",
                    &[("class", &kind_class(kind)), ("d", &area(&running, most, base))],
                    |strip| {
                        strip.leaf("title", &[], format!("{kind}: {most:.1} at once at most"));
                    },
                );
                let place: [(_, &dyn std::fmt::Display); 3] = [
                    ("class", &"tick end"),
                    ("x", &px(LEFT - 8.0)),
                    ("y", &px(base - STRIP / 2.0 + 15.0)),
                ];
                svg.leaf("text", &place, format!("up to {}", count(most.ceil() as u64)));
            }
        },
    );
}

/// Mean number of attempts running in each of [`BINS`] equal spans of time.
fn running<'a>(attempts: impl Iterator<Item = &'a Attempt>, time: &Time) -> Vec<f64> {
    let mut bins = vec![0.0; BINS];
    let width = time.end_s / BINS as f64;
    for attempt in attempts {
        let (start, end) = (attempt.start_s, time.end(attempt));
        let first = ((start / width) as usize).min(BINS - 1);
        let last = ((end / width) as usize).min(BINS - 1);
        for (i, bin) in bins.iter_mut().enumerate().take(last + 1).skip(first) {
            let (low, high) = (i as f64 * width, (i + 1) as f64 * width);
            *bin += (end.min(high) - start.max(low)).max(0.0) / width;
        }
    }
    bins
}

fn area(running: &[f64], most: f64, base: f64) -> String {
    let step = (RIGHT - LEFT) / running.len() as f64;
    let scale = if most > 0.0 { (STRIP - 8.0) / most } else { 0.0 };
    let mut path = format!("M{} {}", px(LEFT), px(base));
    for (i, n) in running.iter().enumerate() {
        let (y, x) = (px(base - n * scale), px(LEFT + (i + 1) as f64 * step));
        write!(path, "V{y}H{x}").expect("writing to a String cannot fail");
    }
    write!(path, "V{}Z", px(base)).expect("writing to a String cannot fail");
    path
}

fn describe(timeline: &[Attempt]) -> String {
    let mut by_kind = BTreeMap::<&str, u64>::new();
    for attempt in timeline {
        *by_kind.entry(&attempt.kind).or_default() += 1;
    }
    let parts: Vec<_> = by_kind
        .iter()
        .take(20)
        .map(|(kind, n)| format!("{} {kind}", count(*n)))
        .collect();
    format!("Attempts by kind: {}.", parts.join(", "))
}

/// The kinds that occur, ours in the order of the data flow, then others by name; at most 20 rows.
fn kinds(timeline: &[Attempt]) -> Vec<&str> {
    let mut kinds: Vec<&str> = timeline.iter().map(|attempt| attempt.kind.as_str()).collect();
    kinds.sort_by_key(|kind| {
        (
            KINDS
                .iter()
                .position(|known| known == kind)
                .unwrap_or(KINDS.len()),
            *kind,
        )
    });
    kinds.dedup();
    kinds.truncate(20);
    kinds
}

fn legend(timeline: &[Attempt], crosses: bool, page: &mut Markup) {
    page.element("ul", &[("class", &"legend")], |list| {
        let kinds = kinds(timeline);
        let (ours, others): (Vec<_>, Vec<_>) = kinds.into_iter().partition(|kind| KINDS.contains(kind));
        for kind in ours {
            swatch(&kind_class(kind), kind, list);
        }
        if !others.is_empty() {
            swatch(&kind_class(others[0]), &shortened(&others.join(", "), 60), list);
        }
        if crosses
            && timeline
                .iter()
                .any(|attempt| attempt.outcome == AttemptOutcome::Failed)
        {
            list.leaf("li", &[], "✕ failed");
        }
    });
}

/// The colour class of a kind.
fn kind_class(kind: &str) -> String {
    format!(
        "k{}",
        KINDS
            .iter()
            .position(|known| *known == kind)
            .unwrap_or(KINDS.len())
    )
}

/// A name short enough for its place.
fn shortened(name: &str, most: usize) -> String {
    if name.chars().count() <= most {
        return name.to_owned();
    }
    let kept: String = name.chars().take(most - 1).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(start_s: f64, end_s: f64) -> Attempt {
        Attempt {
            job: "j".into(),
            kind: "train".into(),
            dataset: None,
            round: None,
            client: None,
            attempt: 1,
            start_s,
            end_s: Some(end_s),
            outcome: AttemptOutcome::Done,
            detail: None,
        }
    }

    #[test]
    fn steps_of_time_are_round_and_not_too_small() {
        assert_eq!(time_step(0.01), 0.1);
        assert_eq!(time_step(7.0), 10.0);
        assert_eq!(time_step(45.0), 60.0);
        assert_eq!(time_step(40_000.0), 43_200.0);
    }

    #[test]
    fn a_free_slot_is_used_again() {
        let timeline = [
            attempt(0.0, 2.0),
            attempt(0.5, 1.0),
            attempt(1.0, 3.0),
            attempt(2.0, 3.0),
        ];
        assert_eq!(lanes(&timeline, &Time { end_s: 3.0 }), [0, 1, 1, 0]);
    }

    #[test]
    fn the_number_running_sums_to_the_time_run() {
        let timeline = [attempt(0.0, 2.5), attempt(0.3, 1.1), attempt(9.0, 10.0)];
        let bins = running(timeline.iter(), &Time { end_s: 10.0 });
        let total: f64 = bins.iter().sum::<f64>() * 10.0 / BINS as f64;
        assert!((total - 4.3).abs() < 1e-9, "{total}");
    }
}
