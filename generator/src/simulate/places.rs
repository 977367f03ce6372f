//! Places that tasks run at: who has one, who waits for one, and who gets the next.
//!
//! A task of a class can take the slots of several sites; a slot that becomes free goes to the waiting task of the highest
//! priority among all classes that can take it, and of those to the one that has waited longest.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::workload::{On, Workload};

/// Every place, and who waits.
pub struct Places<'w> {
    workload: &'w Workload<'w>,
    /// By site of the pool, then the submit host, then the planner.
    sites: Vec<Site>,
    /// Who waits, by class, then for the submit host, then for the planner.
    waiting: Vec<BinaryHeap<Waiting>>,
    /// The site each task has a place at.
    at: Vec<u32>,
    waited: u64,
}

/// Higher priority first, then the earlier.
type Waiting = (u32, Reverse<u64>, u32);

struct Site {
    free: u32,
    speed: f64,
    /// The lines its places serve.
    lines: Vec<u32>,
}

impl<'w> Places<'w> {
    pub fn new(workload: &'w Workload<'w>) -> Self {
        let pool = workload.pool;
        let classes = workload.classes.len() as u32;
        let mut sites: Vec<Site> = pool
            .sites
            .iter()
            .map(|slots| Site {
                free: slots.slots,
                speed: slots.speed,
                lines: Vec::new(),
            })
            .collect();
        for (class, slots) in (0..).zip(&workload.classes) {
            for &site in slots {
                sites[site as usize].lines.push(class);
            }
        }
        for (line, places) in [(classes, pool.submit_host.jobs), (classes + 1, 1)] {
            sites.push(Site {
                free: places,
                speed: 1.0,
                lines: vec![line],
            });
        }
        Self {
            workload,
            sites,
            waiting: (0..classes + 2).map(|_| BinaryHeap::new()).collect(),
            at: vec![0; workload.tasks.len()],
            waited: 0,
        }
    }

    /// Takes a place for the task; where none is free, the task waits for one and has not got it.
    pub fn take_or_wait(&mut self, task: u32) -> bool {
        let classes = self.workload.classes.len();
        let host = [self.workload.pool.sites.len() as u32];
        let planner = [host[0] + 1];
        let (line, sites): (usize, &[u32]) = match self.workload.tasks[task as usize].on {
            On::Slot(class) => (class as usize, &self.workload.classes[class as usize]),
            On::SubmitHost => (classes, &host),
            On::Planner => (classes + 1, &planner),
            On::Time => return true,
        };
        let free = sites
            .iter()
            .find(|site| self.sites[**site as usize].free > 0)
            .copied();
        if let Some(site) = free {
            self.sites[site as usize].free -= 1;
            self.at[task as usize] = site;
            return true;
        }
        self.waited += 1;
        let priority = self.workload.tasks[task as usize].priority;
        self.waiting[line].push((priority, Reverse(self.waited), task));
        false
    }

    /// Gives back the task's place; returns who has it now.
    pub fn leave(&mut self, task: u32) -> Option<u32> {
        if self.workload.tasks[task as usize].on == On::Time {
            return None;
        }
        let site = self.at[task as usize];
        let lines = &self.sites[site as usize].lines;
        let first = lines
            .iter()
            .filter_map(|line| Some((self.waiting[*line as usize].peek()?, *line)))
            .max_by_key(|(waiting, _)| **waiting);
        let Some((_, line)) = first else {
            self.sites[site as usize].free += 1;
            return None;
        };
        let (_, _, next) = self.waiting[line as usize].pop()?;
        self.at[next as usize] = site;
        Some(next)
    }

    /// How fast the task executes where it is.
    pub fn speed(&self, task: u32) -> f64 {
        match self.workload.tasks[task as usize].on {
            On::Time => 1.0,
            On::Slot(_) | On::SubmitHost | On::Planner => self.sites[self.at[task as usize] as usize].speed,
        }
    }
}
