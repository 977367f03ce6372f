//! The event loop: tasks wait for each other, for submission, for a slot, move their files, execute.
//!
//! In: [`Workload`]. Out: [`Timeline`]. The same workload gives the same timeline: events are ordered by time and, where that
//! is equal, by when they were made. Start at [`run`].

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use super::{
    Moment,
    pipe::Pipe,
    places::Places,
    workload::{On, Task, Workload},
};
use crate::plan::Children;

/// When a task did what. Tasks without a slot begin, execute and end only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// All it waited for had ended.
    pub ready: Moment,
    /// It was submitted.
    pub submitted: Moment,
    /// It could have started, had a slot been free.
    pub eligible: Moment,
    /// It had a slot.
    pub started: Moment,
    /// Its files had arrived and it began to execute.
    pub executing: Moment,
    /// It had executed.
    pub executed: Moment,
    /// Its results had arrived.
    pub ended: Moment,
}

impl Times {
    /// In the queue though a slot was free.
    pub fn queue(&self) -> Moment {
        self.eligible - self.submitted
    }

    /// On a slot without executing.
    pub fn staging(&self) -> Moment {
        (self.executing - self.started) + (self.ended - self.executed)
    }

    /// Executing.
    pub fn executing_for(&self) -> Moment {
        self.executed - self.executing
    }
}

/// What came of every task.
#[derive(Debug, Clone)]
pub struct Timeline {
    /// By the tasks' numbers.
    pub times: Vec<Times>,
}

impl Timeline {
    /// When the last task ended.
    pub fn makespan(&self) -> Moment {
        self.times
            .iter()
            .map(|times| times.ended)
            .max()
            .unwrap_or_default()
    }
}

/// Runs `workload` to its end.
pub fn run(workload: &Workload<'_>) -> Timeline {
    let mut simulation = Simulation::new(workload);
    for task in 0..workload.tasks.len() as u32 {
        if simulation.unfinished[task as usize] == 0 {
            simulation.ready(task);
        }
    }
    while let Some(Event { at, what, .. }) = simulation.events.pop() {
        simulation.now = at;
        simulation.happens(what);
    }
    debug_assert!(simulation.unfinished.iter().all(|left| *left == 0));
    Timeline {
        times: simulation.times,
    }
}

#[derive(Debug, Clone, Copy)]
enum What {
    /// DAGMan comes to submit it.
    Submit(u32),
    /// It may start once a slot is free.
    Eligible(u32),
    /// Its slot is ready for its files.
    Arrive(u32),
    /// A transfer in this direction ends, if none began since.
    Moved(Way, u64),
    /// It has executed.
    Executed(u32),
    /// Its results go back.
    Leave(u32),
    /// The slot it had is free.
    Free(u32),
    /// Its results are there.
    Ended(u32),
}

#[derive(Debug, Clone, Copy)]
enum Way {
    There,
    Back,
}

struct Event {
    at: Moment,
    number: u64,
    what: What,
}

struct Simulation<'w> {
    workload: &'w Workload<'w>,
    children: Children,
    /// How many of the tasks it waits for have not ended.
    unfinished: Vec<u32>,
    times: Vec<Times>,
    now: Moment,
    events: BinaryHeap<Event>,
    made: u64,
    places: Places<'w>,
    there: Road,
    back: Road,
    /// When the next job can be submitted, and the next can start.
    next_submission: Moment,
    next_start: Moment,
    in_queue: u64,
    /// Ready, and held back by the limit of jobs in the queue: by priority, then by order.
    held_back: BinaryHeap<(u32, Reverse<u32>)>,
}

/// One direction of the connection.
struct Road {
    pipe: Pipe<u32>,
    /// Counts changes: an end foreseen before the last one does not come.
    version: u64,
}

impl<'w> Simulation<'w> {
    fn new(workload: &'w Workload<'w>) -> Self {
        let staging = workload.pool.staging;
        let road = || Road {
            pipe: Pipe::new(
                staging.bandwidth.map(|bytes| bytes.0 as f64),
                staging.stream.map(|bytes| bytes.0 as f64),
            ),
            version: 0,
        };
        let count = workload.tasks.len();
        Self {
            workload,
            children: workload.after.reversed(),
            unfinished: (0..count)
                .map(|task| workload.after.after(task).len() as u32)
                .collect(),
            times: vec![Times::default(); count],
            now: Moment::ZERO,
            events: BinaryHeap::new(),
            made: 0,
            places: Places::new(workload),
            there: road(),
            back: road(),
            next_submission: Moment::ZERO,
            next_start: Moment::ZERO,
            in_queue: 0,
            held_back: BinaryHeap::new(),
        }
    }

    fn task(&self, task: u32) -> &'w Task {
        &self.workload.tasks[task as usize]
    }

    fn at(&mut self, at: Moment, what: What) {
        self.made += 1;
        self.events.push(Event {
            at,
            number: self.made,
            what,
        });
    }

    fn after_seconds(&mut self, seconds: f64, what: What) {
        self.at(self.now + Moment::from_seconds(seconds), what);
    }

    fn happens(&mut self, what: What) {
        match what {
            What::Submit(task) => self.submit(task),
            What::Eligible(task) => self.eligible(task),
            What::Arrive(task) => self.transfer(Way::There, task),
            What::Moved(way, version) => self.moved(way, version),
            What::Executed(task) => self.executed(task),
            What::Leave(task) => self.transfer(Way::Back, task),
            What::Free(task) => self.free(task),
            What::Ended(task) => self.ended(task),
        }
    }

    /// All that the task waits for has ended.
    fn ready(&mut self, task: u32) {
        self.times[task as usize].ready = self.now;
        let job = self.workload.pool.dagman.job;
        match self.task(task).on {
            On::Slot(_) | On::SubmitHost => self.after_seconds(job, What::Submit(task)),
            On::Planner | On::Time => {
                self.times[task as usize].submitted = self.now;
                self.eligible(task);
            }
        }
    }

    fn submit(&mut self, task: u32) {
        let limit = self.workload.pool.submit_host.max_jobs;
        if limit.is_some_and(|most| self.in_queue >= u64::from(most)) {
            self.held_back.push((self.task(task).priority, Reverse(task)));
            return;
        }
        self.in_queue += 1;
        let rate = self.workload.pool.submit_host.submits_per_second;
        let submitted = limited(&mut self.next_submission, self.now, rate);
        self.times[task as usize].submitted = submitted;
        let eligible = match self.task(task).on {
            On::Slot(_) => {
                let cycle = Moment::from_seconds(self.workload.pool.queue.cycle);
                (submitted + self.task(task).wait).at_multiple_of(cycle)
            }
            On::SubmitHost | On::Planner | On::Time => submitted,
        };
        self.at(eligible, What::Eligible(task));
    }

    fn eligible(&mut self, task: u32) {
        self.times[task as usize].eligible = self.now;
        if self.places.take_or_wait(task) {
            self.start(task);
        }
    }

    /// The task has its place.
    fn start(&mut self, task: u32) {
        let pool = self.workload.pool;
        match self.task(task).on {
            On::Slot(_) => {
                let rate = pool.submit_host.starts_per_second;
                let started = limited(&mut self.next_start, self.now, rate);
                self.times[task as usize].started = started;
                let latency = Moment::from_seconds(pool.staging.latency);
                let ready = started + self.task(task).overhead + latency;
                self.at(ready, What::Arrive(task));
            }
            On::SubmitHost | On::Planner | On::Time => {
                self.times[task as usize].started = self.now;
                self.execute(task);
            }
        }
    }

    fn execute(&mut self, task: u32) {
        self.times[task as usize].executing = self.now;
        let speed = self.places.speed(task);
        self.after_seconds(self.task(task).execution.seconds() / speed, What::Executed(task));
    }

    fn executed(&mut self, task: u32) {
        self.times[task as usize].executed = self.now;
        match self.task(task).on {
            On::Slot(_) => self.after_seconds(self.workload.pool.staging.latency, What::Leave(task)),
            On::SubmitHost | On::Planner | On::Time => {
                self.free(task);
                self.ended(task);
            }
        }
    }

    /// Begins to move a task's files.
    fn transfer(&mut self, way: Way, task: u32) {
        let now = self.now;
        let bytes = match way {
            Way::There => self.task(task).received,
            Way::Back => self.task(task).sent,
        };
        if bytes == 0 || self.road(way).pipe.is_instant() {
            self.arrived(way, task);
            return;
        }
        self.road(way).pipe.begin(now, bytes, task);
        self.foresee(way);
    }

    /// Makes the event of the transfer that ends next.
    fn foresee(&mut self, way: Way) {
        let road = self.road(way);
        road.version += 1;
        let (version, next) = (road.version, road.pipe.next_end());
        if let Some(at) = next {
            self.at(at, What::Moved(way, version));
        }
    }

    fn moved(&mut self, way: Way, version: u64) {
        let now = self.now;
        let road = self.road(way);
        if road.version != version {
            return;
        }
        let task = road.pipe.end_next(now);
        self.foresee(way);
        if let Some(task) = task {
            self.arrived(way, task);
        }
    }

    fn arrived(&mut self, way: Way, task: u32) {
        match way {
            Way::There => self.execute(task),
            Way::Back => {
                self.after_seconds(self.workload.pool.queue.turnaround, What::Free(task));
                self.at(self.now, What::Ended(task));
            }
        }
    }

    fn road(&mut self, way: Way) -> &mut Road {
        match way {
            Way::There => &mut self.there,
            Way::Back => &mut self.back,
        }
    }

    /// The place that the task had goes to the next.
    fn free(&mut self, task: u32) {
        if let Some(next) = self.places.leave(task) {
            self.start(next);
        }
    }

    fn ended(&mut self, task: u32) {
        self.times[task as usize].ended = self.now;
        if matches!(self.task(task).on, On::Slot(_) | On::SubmitHost) {
            self.in_queue -= 1;
            if let Some((_, Reverse(next))) = self.held_back.pop() {
                self.submit(next);
            }
        }
        let children = self.children.of(task as usize).len();
        for child in 0..children {
            let child = self.children.of(task as usize)[child];
            self.unfinished[child as usize] -= 1;
            if self.unfinished[child as usize] == 0 {
                self.ready(child);
            }
        }
    }
}

/// The earliest time from `now` that keeps to `rate` a second; `next` is when the one after it may be.
fn limited(next: &mut Moment, now: Moment, rate: Option<f64>) -> Moment {
    let at = now.max(*next);
    if let Some(rate) = rate {
        *next = at + Moment::from_seconds(1.0 / rate);
    }
    at
}

impl Ord for Event {
    /// The earliest is the greatest, as a heap gives the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Event {}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
