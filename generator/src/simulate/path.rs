//! Where the time goes: the chain of tasks that ends last, its time by what it was spent on.
//!
//! Start at [`critical`]. The terms add up to the makespan.

use serde::Serialize;

use super::{
    Moment,
    events::{Timeline, Times},
    workload::{On, Workload},
};

/// Seconds of the longest chain of tasks, by what they were spent on. They add up to the makespan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Terms {
    /// Planning workflows, and waiting for the planner.
    pub planning_s: f64,
    /// What DAGMan and Pegasus' own jobs add: starting DAGs, noticing ends, submitting.
    pub workflow_s: f64,
    /// In the queue though a slot was free.
    pub queue_s: f64,
    /// In the queue because no slot was free.
    pub slots_s: f64,
    /// On a slot without executing: transfers and what surrounds them.
    pub staging_s: f64,
    /// Executing.
    pub execution_s: f64,
    /// What jobs took longer in queue, staging or execution than the median of those another job waited for with them.
    pub stragglers_s: f64,
}

impl Terms {
    /// All of them with their names, in the order of a job's life.
    pub fn named(&self) -> [(&'static str, f64); 7] {
        let Self {
            planning_s,
            workflow_s,
            queue_s,
            slots_s,
            staging_s,
            execution_s,
            stragglers_s,
        } = *self;
        [
            ("planning", planning_s),
            ("workflow", workflow_s),
            ("queue", queue_s),
            ("slots", slots_s),
            ("staging", staging_s),
            ("execution", execution_s),
            ("stragglers", stragglers_s),
        ]
    }

    /// The makespan.
    pub fn sum(&self) -> f64 {
        self.named().iter().map(|(_, seconds)| seconds).sum()
    }

    /// Adds the time of a task, of which what is beyond `usual` is that of a straggler.
    fn add(&mut self, on: On, times: &Times, usual: Spent) {
        match on {
            On::Planner => self.planning_s += (times.ended - times.ready).seconds(),
            On::Time => self.workflow_s += (times.ended - times.ready).seconds(),
            On::Slot(_) | On::SubmitHost => {
                self.workflow_s += (times.submitted - times.ready).seconds();
                self.slots_s += (times.started - times.eligible).seconds();
                let spent = Spent::of(times);
                let terms = [&mut self.queue_s, &mut self.staging_s, &mut self.execution_s];
                for ((term, spent), usual) in terms.into_iter().zip(spent.0).zip(usual.0) {
                    *term += spent.min(usual).seconds();
                    self.stragglers_s += spent.since(usual).seconds();
                }
            }
        }
    }
}

/// What a job spent in the queue though a slot was free, on staging, and executing.
#[derive(Clone, Copy)]
struct Spent([Moment; 3]);

impl Spent {
    fn of(times: &Times) -> Self {
        Self([times.queue(), times.staging(), times.executing_for()])
    }

    /// The median of each over the tasks among `together` that are of the kind of `task`, the lower one of two.
    fn usual(workload: &Workload<'_>, timeline: &Timeline, task: u32, together: &[u32]) -> Self {
        let kind = workload.tasks[task as usize].kind;
        let alike: Vec<Self> = together
            .iter()
            .filter(|other| workload.tasks[**other as usize].kind == kind)
            .map(|other| Self::of(&timeline.times[*other as usize]))
            .collect();
        Self([0, 1, 2].map(|term| {
            let mut spent: Vec<Moment> = alike.iter().map(|spent| spent.0[term]).collect();
            median(&mut spent)
        }))
    }
}

/// The median, the lower one of two; nothing of nothing.
pub(super) fn median(moments: &mut [Moment]) -> Moment {
    match moments.len() {
        0 => Moment::ZERO,
        count => *moments.select_nth_unstable((count - 1) / 2).1,
    }
}

/// The time of the chain that ends last.
pub(super) fn critical(workload: &Workload<'_>, timeline: &Timeline) -> Terms {
    let mut terms = Terms::default();
    let last_of = |tasks: &mut dyn Iterator<Item = u32>| {
        // Of several that end together, the first.
        tasks.max_by_key(|task| (timeline.times[*task as usize].ended, std::cmp::Reverse(*task)))
    };
    let Some(mut task) = last_of(&mut (0..workload.tasks.len() as u32)) else {
        return terms;
    };
    let mut usual = Spent::of(&timeline.times[task as usize]);
    loop {
        let place = task as usize;
        terms.add(workload.tasks[place].on, &timeline.times[place], usual);
        let together = workload.after.after(place);
        match last_of(&mut together.iter().copied()) {
            Some(parent) => {
                usual = Spent::usual(workload, timeline, parent, together);
                task = parent;
            }
            None => return terms,
        }
    }
}
