//! Which ready job starts next: the one with the longest way to the end that still fits the machine.
//!
//! In: ready jobs with what they ask for. Out: the next job with what it is granted. Pure and deterministic: the same
//! calls give the same order. Start at [`Scheduler::take`].

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use contract::units::Bytes;

use super::{Machine, graph::JobIndex};
use crate::check::Request;

/// Ready jobs and what is free.
#[derive(Debug)]
pub(super) struct Scheduler {
    /// Few jobs differ in what they need, so each need has a queue and only the heads are compared.
    queues: BTreeMap<Need, BinaryHeap<(u32, Reverse<JobIndex>)>>,
    cpus_of_machine: u32,
    slots: u32,
    cpus: u32,
    memory: u64,
    /// Free GPUs by number, the lowest last.
    gpus: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Need {
    cpus: u32,
    memory: u64,
    gpus: u32,
}

/// What a running job holds; given back with [`Scheduler::release`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) cpus: u32,
    memory: u64,
    /// By number in [`Machine::gpus`].
    pub(super) gpus: Vec<u32>,
}

impl Scheduler {
    /// All of `machine` is free.
    pub(super) fn new(machine: &Machine) -> Self {
        Self {
            queues: BTreeMap::new(),
            cpus_of_machine: machine.cpus.get(),
            slots: machine.slots.get(),
            cpus: machine.cpus.get(),
            memory: machine.memory.0,
            gpus: (0..machine.gpus.len() as u32).rev().collect(),
        }
    }

    /// Adds a ready job; `height` is its longest way to the end. It must fit the machine when nothing else runs.
    pub(super) fn add(&mut self, job: JobIndex, height: u32, request: &Request) {
        let need = Need {
            cpus: request.cpus.min(self.cpus_of_machine),
            memory: request.memory.0,
            gpus: request.gpus,
        };
        self.queues.entry(need).or_default().push((height, Reverse(job)));
    }

    /// Takes the next job that fits what is free, and what it is granted.
    ///
    /// A job that does not fit now does not hold others back; it waits at most for jobs that are ready before the end.
    pub(super) fn take(&mut self) -> Option<(JobIndex, Grant)> {
        if self.slots == 0 {
            return None;
        }
        let fits = |need: &Need| {
            need.cpus <= self.cpus && need.memory <= self.memory && need.gpus as usize <= self.gpus.len()
        };
        let heads = self.queues.iter().filter(|(need, _)| fits(need));
        let (_, need) = heads
            .filter_map(|(need, queue)| Some((*queue.peek()?, *need)))
            .max()?;
        let queue = self.queues.get_mut(&need)?;
        let (_, Reverse(job)) = queue.pop()?;
        if queue.is_empty() {
            self.queues.remove(&need);
        }
        self.slots -= 1;
        self.cpus -= need.cpus;
        self.memory -= need.memory;
        let mut gpus = self.gpus.split_off(self.gpus.len() - need.gpus as usize);
        gpus.reverse();
        let grant = Grant {
            cpus: need.cpus,
            memory: need.memory,
            gpus,
        };
        Some((job, grant))
    }

    /// Gives back what a job held.
    pub(super) fn release(&mut self, grant: Grant) {
        self.slots += 1;
        self.cpus += grant.cpus;
        self.memory += grant.memory;
        self.gpus.extend(grant.gpus);
        self.gpus.sort_unstable_by_key(|&gpu| Reverse(gpu));
    }
}

/// What does not fit the machine at all.
pub(super) enum TooLarge {
    Memory { asked: Bytes },
    Gpus { asked: u32 },
}

/// Whether `request` fits `machine` when nothing else runs.
pub(super) fn fits(request: &Request, machine: &Machine) -> Result<(), TooLarge> {
    let Request {
        cpus: _, // clamped, see `Machine::cpus`
        memory,
        gpus,
        walltime: _,
    } = request;
    if *memory > machine.memory {
        return Err(TooLarge::Memory { asked: *memory });
    }
    if *gpus as usize > machine.gpus.len() {
        return Err(TooLarge::Gpus { asked: *gpus });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use contract::units::Seconds;
    use proptest::prelude::*;

    use super::*;

    fn machine(slots: u32, cpus: u32, memory: u64, gpus: usize) -> Machine {
        Machine {
            slots: NonZeroU32::new(slots).unwrap(),
            cpus: NonZeroU32::new(cpus).unwrap(),
            memory: Bytes(memory),
            gpus: (0..gpus).map(|gpu| gpu.to_string()).collect(),
        }
    }

    fn request(cpus: u32, memory: u64, gpus: u32) -> Request {
        Request {
            cpus,
            memory: Bytes(memory),
            gpus,
            walltime: Seconds(60),
        }
    }

    #[test]
    fn the_longest_way_goes_first_and_ties_go_by_number() {
        let mut scheduler = Scheduler::new(&machine(9, 9, 9, 0));
        for (job, height) in [(0, 1), (1, 3), (2, 3), (3, 2)] {
            scheduler.add(job, height, &request(1, 1, 0));
        }
        let order: Vec<u32> = std::iter::from_fn(|| scheduler.take())
            .map(|(job, _)| job)
            .collect();
        assert_eq!(order, [1, 2, 3, 0]);
    }

    #[test]
    fn a_job_that_does_not_fit_now_lets_others_pass() {
        let mut scheduler = Scheduler::new(&machine(9, 4, 10, 1));
        scheduler.add(0, 9, &request(1, 8, 1));
        scheduler.add(1, 8, &request(1, 8, 0));
        scheduler.add(2, 7, &request(64, 1, 0));
        let (first, grant) = scheduler.take().unwrap();
        assert_eq!((first, &grant.gpus), (0, &vec![0]));
        assert!(
            scheduler.take().is_none(),
            "memory is taken, and all four cores are never free"
        );
        scheduler.release(grant);
        assert_eq!(scheduler.take().unwrap().0, 1);
    }

    proptest! {
        #[test]
        fn no_more_is_granted_than_there_is_and_every_job_gets_its_turn(
            jobs in prop::collection::vec((1u32..6, 0u64..8, 0u32..3, 0u32..5), 1..60),
            slots in 1u32..5,
        ) {
            let machine = machine(slots, 4, 8, 2);
            let mut scheduler = Scheduler::new(&machine);
            for (job, (cpus, memory, gpus, height)) in jobs.iter().enumerate() {
                scheduler.add(job as u32, *height, &request(*cpus, *memory, *gpus));
            }
            let (mut running, mut taken) = (Vec::<Grant>::new(), 0);
            while taken < jobs.len() {
                while let Some((_, grant)) = scheduler.take() {
                    running.push(grant);
                    taken += 1;
                }
                prop_assert!(running.len() as u32 <= slots && !running.is_empty());
                prop_assert!(running.iter().map(|grant| grant.cpus).sum::<u32>() <= 4);
                prop_assert!(running.iter().map(|grant| grant.memory).sum::<u64>() <= 8);
                let mut gpus: Vec<u32> = running.iter().flat_map(|grant| grant.gpus.clone()).collect();
                let held = gpus.len();
                gpus.sort_unstable();
                gpus.dedup();
                prop_assert_eq!(gpus.len(), held, "a GPU is held twice");
                let middle = running.len() / 2;
                scheduler.release(running.swap_remove(middle));
            }
            prop_assert!(scheduler.take().is_none());
        }
    }
}
