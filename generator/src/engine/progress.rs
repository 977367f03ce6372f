//! How far a run is, and how long the rest will take.
//!
//! In: what an [`super::Observer`] is told, and the time passed. Out: [`Snapshot`]s. Pure: the clock is the caller's. Start at
//! [`Progress::new`].
//!
//! The estimate: each kind of job takes as long as those of it that are done took on average, and as many run at once as
//! did so far. Graphs whose end is narrower than their beginning take longer than estimated.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::plan::Dag;

/// Counts a run's jobs by kind.
#[derive(Debug, Clone)]
pub struct Progress {
    kinds: BTreeMap<Arc<str>, Kind>,
}

#[derive(Debug, Clone, Default)]
struct Kind {
    total: u64,
    running: u64,
    done: u64,
    given_up: u64,
    /// Jobs of this turn that are done, and the time they took together.
    timed: u64,
    time: Duration,
    /// Time of attempts that failed.
    lost: Duration,
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Jobs of the graph.
    pub total: u64,
    /// Jobs that are done, those kept from before included.
    pub done: u64,
    /// Jobs that run.
    pub running: u64,
    /// Jobs given up; what depends on them never runs.
    pub given_up: u64,
    /// Time to the end; none before anything is known.
    pub left: Option<Duration>,
    /// The same by kind, in the order of their names.
    pub kinds: Vec<KindProgress>,
}

/// Where the jobs of a kind stand.
#[derive(Debug, Clone, PartialEq)]
pub struct KindProgress {
    /// The kind.
    pub kind: Arc<str>,
    /// Jobs of it.
    pub total: u64,
    /// Those done.
    pub done: u64,
    /// Those running.
    pub running: u64,
    /// Those given up.
    pub given_up: u64,
    /// What one takes on average; none before one is done in this turn.
    pub average: Option<Duration>,
}

impl Progress {
    /// Nothing of `dag` is done yet.
    pub fn new(dag: &Dag) -> Self {
        let mut kinds = BTreeMap::<Arc<str>, Kind>::new();
        for job in &dag.jobs {
            kinds.entry(job.label.kind.clone()).or_default().total += 1;
        }
        Self { kinds }
    }

    /// A job of `kind` was done before and is kept.
    pub fn kept(&mut self, kind: &str) {
        self.change(kind, |kind| kind.done += 1);
    }

    /// A job of `kind` started.
    pub fn started(&mut self, kind: &str) {
        self.change(kind, |kind| kind.running += 1);
    }

    /// A job of `kind` is done after `wall`.
    pub fn done(&mut self, kind: &str, wall: Duration) {
        self.change(kind, |kind| {
            kind.running = kind.running.saturating_sub(1);
            kind.done += 1;
            kind.timed += 1;
            kind.time += wall;
        });
    }

    /// An attempt at a job of `kind` failed after `wall`; it is tried again.
    pub fn retried(&mut self, kind: &str, wall: Duration) {
        self.change(kind, |kind| {
            kind.running = kind.running.saturating_sub(1);
            kind.lost += wall;
        });
    }

    /// A job of `kind` was given up after `wall`, which is zero for one that never started.
    pub fn given_up(&mut self, kind: &str, wall: Duration) {
        self.retried(kind, wall);
        self.change(kind, |kind| kind.given_up += 1);
    }

    fn change(&mut self, kind: &str, change: impl FnOnce(&mut Kind)) {
        if let Some(kind) = self.kinds.get_mut(kind) {
            change(kind);
        }
    }

    /// Where the run stands after `elapsed` of this turn.
    pub fn snapshot(&self, elapsed: Duration) -> Snapshot {
        let sum = |part: fn(&Kind) -> u64| self.kinds.values().map(part).sum();
        Snapshot {
            total: sum(|kind| kind.total),
            done: sum(|kind| kind.done),
            running: sum(|kind| kind.running),
            given_up: sum(|kind| kind.given_up),
            left: self.left(elapsed),
            kinds: self.kinds.iter().map(|(name, kind)| kind.view(name)).collect(),
        }
    }

    fn left(&self, elapsed: Duration) -> Option<Duration> {
        let timed: u64 = self.kinds.values().map(|kind| kind.timed).sum();
        let time: f64 = self.kinds.values().map(|kind| kind.time.as_secs_f64()).sum();
        let lost: f64 = self.kinds.values().map(|kind| kind.lost.as_secs_f64()).sum();
        if timed == 0 || elapsed.is_zero() {
            return None;
        }
        // Jobs of a kind that none is done of are taken to be like the others.
        let overall = time / timed as f64;
        let ahead: f64 = self
            .kinds
            .values()
            .map(|kind| {
                let one = kind.average().map_or(overall, |average| average.as_secs_f64());
                // A running job is half done, on average.
                (kind.left() as f64 - kind.running as f64 / 2.0).max(0.0) * one
            })
            .sum();
        let at_once = ((time + lost) / elapsed.as_secs_f64()).max(f64::MIN_POSITIVE);
        Duration::try_from_secs_f64(ahead / at_once).ok()
    }
}

impl Kind {
    fn left(&self) -> u64 {
        self.total.saturating_sub(self.done + self.given_up)
    }

    fn average(&self) -> Option<Duration> {
        (self.timed > 0).then(|| self.time.div_f64(self.timed as f64))
    }

    fn view(&self, name: &Arc<str>) -> KindProgress {
        KindProgress {
            kind: name.clone(),
            total: self.total,
            done: self.done,
            running: self.running,
            given_up: self.given_up,
            average: self.average(),
        }
    }
}

#[cfg(test)]
mod tests {
    use contract::units::{Bytes, Seconds};
    use proptest::prelude::*;

    use super::*;
    use crate::{
        check::Request,
        plan::{DagJob, Label, Program},
    };

    fn progress(kinds: &[(&str, usize)]) -> Progress {
        let jobs = kinds.iter().flat_map(|(kind, count)| {
            (0..*count).map(move |place| DagJob {
                id: format!("{kind}{place}").into(),
                label: Label {
                    kind: (*kind).into(),
                    dataset: None,
                    round: None,
                    client: None,
                },
                program: Program::Path("/bin/true".to_owned()),
                argv: Vec::new(),
                env: BTreeMap::new(),
                inputs: Vec::new(),
                outputs: Vec::new(),
                stdout: None,
                stderr: None,
                stdin: None,
                request: Request {
                    cpus: 1,
                    memory: Bytes(0),
                    gpus: 0,
                    walltime: Seconds(1),
                },
                retries: 0,
                after: Vec::new(),
                in_place: Vec::new(),
                checkpoints: Vec::new(),
            })
        });
        Progress::new(&Dag {
            name: "e".to_owned(),
            jobs: jobs.collect(),
            external: BTreeMap::new(),
        })
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn time_left_is_the_work_ahead_at_the_pace_so_far() {
        let mut progress = progress(&[("train", 10), ("evaluate", 4)]);
        assert_eq!(
            progress.snapshot(SECOND).left,
            None,
            "nothing is known before a job is done"
        );
        for _ in 0..4 {
            progress.started("train");
            progress.done("train", 10 * SECOND);
        }
        for _ in 0..2 {
            progress.started("evaluate");
            progress.done("evaluate", 5 * SECOND);
        }
        // 50 s of work in 25 s: two at once. Ahead are 6 × 10 s and 2 × 5 s.
        assert_eq!(progress.snapshot(25 * SECOND).left, Some(35 * SECOND));
    }

    #[test]
    fn a_kind_that_none_is_done_of_is_taken_to_be_like_the_others() {
        let mut progress = progress(&[("a", 1), ("b", 3)]);
        progress.started("a");
        progress.done("a", 4 * SECOND);
        assert_eq!(progress.snapshot(4 * SECOND).left, Some(12 * SECOND));
    }

    #[test]
    fn kept_jobs_are_done_and_say_nothing_about_time() {
        let mut progress = progress(&[("a", 2)]);
        progress.kept("a");
        let snapshot = progress.snapshot(SECOND);
        assert_eq!((snapshot.done, snapshot.left), (1, None));
    }

    proptest! {
        #[test]
        fn nothing_is_left_once_every_job_is_done_or_given_up(ends in prop::collection::vec((any::<bool>(), 1u64..100), 1..20)) {
            let mut progress = progress(&[("a", ends.len() + 1)]);
            progress.started("a");
            progress.done("a", SECOND);
            for (done, wall) in ends {
                progress.started("a");
                if done {
                    progress.done("a", Duration::from_secs(wall));
                } else {
                    progress.given_up("a", Duration::from_secs(wall));
                }
            }
            let snapshot = progress.snapshot(10 * SECOND);
            prop_assert_eq!(snapshot.left, Some(Duration::ZERO));
            prop_assert_eq!(snapshot.done + snapshot.given_up, snapshot.total);
        }
    }
}
