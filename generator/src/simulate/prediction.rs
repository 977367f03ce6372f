//! What a simulation tells: makespan, bytes, how busy slots and rounds are, and where the time goes.

use std::collections::BTreeMap;

use contract::units::Bytes;
use serde::Serialize;

use super::{
    Moment,
    events::{Timeline, run},
    path::{Terms, critical, median},
    workload::{On, Workload},
};

/// What is predicted for a workload.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    /// From the start until the last job's results are there, in seconds.
    pub makespan_s: f64,
    /// Jobs on slots and on the submit host.
    pub jobs: u64,
    /// Workflows that are planned.
    pub plannings: u64,
    /// Bytes that go to machines.
    pub received: Bytes,
    /// Bytes that come back.
    pub sent: Bytes,
    /// Share of all slots' time that jobs take.
    pub slots_taken: f64,
    /// Share of all slots' time that jobs execute.
    pub slots_executing: f64,
    /// The federations' rounds; none where there are none.
    pub rounds: Option<Rounds>,
    /// Where the makespan goes.
    pub terms: Terms,
    /// Medians of the jobs on slots, by kind.
    pub kinds: BTreeMap<&'static str, KindTimes>,
}

/// What rounds take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rounds {
    /// How many there are, of all datasets.
    pub count: u64,
    /// The median of their wall times, from the first job that could be submitted to the last result, in seconds.
    pub median_s: f64,
    /// The share of their wall times in which at least one of their jobs executes.
    pub busy: f64,
}

/// Medians of the jobs of a kind on slots, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct KindTimes {
    /// How many.
    pub jobs: u64,
    /// From submission to start.
    pub queue_s: f64,
    /// On the slot.
    pub slot_s: f64,
    /// Of it executing.
    pub execution_s: f64,
}

impl Prediction {
    /// Simulates `workload` and says what came of it.
    pub fn of(workload: &Workload<'_>) -> Self {
        let timeline = run(workload);
        let makespan = timeline.makespan();
        let mut slot = Totals::default();
        for (task, times) in workload.tasks.iter().zip(&timeline.times) {
            match task.on {
                On::Slot(_) => {
                    slot.jobs += 1;
                    slot.received += task.received;
                    slot.sent += task.sent;
                    slot.taken += (times.ended - times.started).seconds();
                    slot.executing += times.executing_for().seconds();
                }
                On::SubmitHost => slot.jobs += 1,
                On::Planner => slot.plannings += 1,
                On::Time => {}
            }
        }
        let all = workload.pool.slots() as f64 * makespan.seconds();
        let share = |seconds: f64| if all > 0.0 { seconds / all } else { 0.0 };
        Self {
            makespan_s: makespan.seconds(),
            jobs: slot.jobs,
            plannings: slot.plannings,
            received: Bytes(slot.received),
            sent: Bytes(slot.sent),
            slots_taken: share(slot.taken),
            slots_executing: share(slot.executing),
            rounds: rounds(workload, &timeline),
            terms: critical(workload, &timeline),
            kinds: kinds(workload, &timeline),
        }
    }
}

#[derive(Default)]
struct Totals {
    jobs: u64,
    plannings: u64,
    received: u64,
    sent: u64,
    taken: f64,
    executing: f64,
}

fn rounds(workload: &Workload<'_>, timeline: &Timeline) -> Option<Rounds> {
    let mut of_round: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (index, task) in workload.tasks.iter().enumerate() {
        if let Some(round) = task.round {
            of_round.entry(round).or_default().push(index);
        }
    }
    let mut walls = Vec::with_capacity(of_round.len());
    let (mut wall, mut busy) = (Moment::ZERO, Moment::ZERO);
    for tasks in of_round.values() {
        let times = || tasks.iter().map(|task| &timeline.times[*task]);
        let begin = times().map(|times| times.ready).min()?;
        let end = times().map(|times| times.ended).max()?;
        walls.push(end - begin);
        wall = wall + (end - begin);
        busy = busy + union(times().map(|times| (times.executing, times.executed)).collect());
    }
    (!walls.is_empty()).then(|| Rounds {
        count: walls.len() as u64,
        median_s: median(&mut walls).seconds(),
        busy: if wall > Moment::ZERO {
            busy.seconds() / wall.seconds()
        } else {
            0.0
        },
    })
}

/// The time that at least one of the spans covers.
fn union(mut spans: Vec<(Moment, Moment)>) -> Moment {
    spans.sort_unstable();
    let (mut covered, mut until) = (Moment::ZERO, Moment::ZERO);
    for (begin, end) in spans {
        covered = covered + end.since(begin.max(until));
        until = until.max(end);
    }
    covered
}

fn kinds(workload: &Workload<'_>, timeline: &Timeline) -> BTreeMap<&'static str, KindTimes> {
    let mut of_kind: BTreeMap<&'static str, [Vec<Moment>; 3]> = BTreeMap::new();
    for (task, times) in workload.tasks.iter().zip(&timeline.times) {
        if let On::Slot(_) = task.on {
            let [queue, slot, execution] = of_kind.entry(task.kind).or_default();
            queue.push(times.started - times.submitted);
            slot.push(times.ended - times.started);
            execution.push(times.executing_for());
        }
    }
    let medians = |[queue, slot, execution]: &mut [Vec<Moment>; 3]| KindTimes {
        jobs: queue.len() as u64,
        queue_s: median(queue).seconds(),
        slot_s: median(slot).seconds(),
        execution_s: median(execution).seconds(),
    };
    of_kind
        .iter_mut()
        .map(|(kind, times)| (*kind, medians(times)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_spans_count_once() {
        let at = |seconds| Moment::from_seconds(seconds);
        let spans = vec![
            (at(5.0), at(7.0)),
            (at(0.0), at(3.0)),
            (at(1.0), at(2.0)),
            (at(2.0), at(4.0)),
        ];
        assert_eq!(union(spans), at(6.0));
    }
}
