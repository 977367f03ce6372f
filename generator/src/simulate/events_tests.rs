//! What is known of queues holds of the simulation.

use contract::units::Bytes;
use proptest::prelude::*;

use super::{Timeline, run};
use crate::{
    check::Request,
    simulate::{Demand, NO_WALLTIME, Place, Pool, Prediction, Workload, WorkloadError},
};

fn pool(text: &str) -> Pool {
    let text = format!("fedwing_pool: 1\n{text}\n");
    let report = Pool::read(&text, "pool.yml");
    report
        .pool
        .unwrap_or_else(|| panic!("{}", report.diagnostics.render(crate::diag::Colour::Never)))
}

/// A pool of equal slots whose training takes a second a sample.
fn slots(count: u32) -> Pool {
    pool(&format!(
        "sites: {{here: {{slots: {count}, gpus: 1}}}}\njobs: {{train: {{per_sample: 1}}}}"
    ))
}

fn demand(id: &str, seconds: f64) -> Demand<'_> {
    Demand {
        id,
        kind: "train",
        place: Place::Anywhere,
        request: Request {
            cpus: 1,
            memory: Bytes(1 << 30),
            gpus: 0,
            walltime: NO_WALLTIME,
        },
        received: Bytes(0),
        sent: Bytes(0),
        read: Bytes(0),
        samples: seconds,
        priority: 0,
        round: None,
    }
}

/// Jobs by seconds, and the jobs before each, by number.
type Jobs = Vec<(f64, Vec<u32>)>;

fn simulate(pool: &Pool, jobs: &Jobs) -> Timeline {
    let mut workload = Workload::new(pool);
    for (index, (seconds, after)) in jobs.iter().enumerate() {
        let id = format!("job-{index}");
        workload
            .job(&demand(&id, *seconds), after.iter().copied())
            .unwrap();
    }
    run(&workload)
}

fn makespan(pool: &Pool, jobs: &Jobs) -> f64 {
    simulate(pool, jobs).makespan().seconds()
}

fn alone(count: usize, seconds: f64) -> Jobs {
    vec![(seconds, Vec::new()); count]
}

fn chain(count: u32) -> Jobs {
    (0..count)
        .map(|index| (10.0, index.checked_sub(1).into_iter().collect()))
        .collect()
}

#[test]
fn equal_jobs_run_in_waves() {
    assert_eq!(makespan(&slots(4), &alone(10, 7.0)), 21.0);
    assert_eq!(makespan(&slots(10), &alone(10, 7.0)), 7.0);
}

#[test]
fn a_chain_takes_the_sum_of_its_jobs_on_any_number_of_slots() {
    assert_eq!(makespan(&slots(1), &chain(5)), 50.0);
    assert_eq!(makespan(&slots(9), &chain(5)), 50.0);
}

#[test]
fn every_wait_of_a_job_adds_up() {
    let pool = pool(
        "sites: {here: {slots: 1, speed: 2}}\nqueue: {wait: 19, cycle: 5, turnaround: 4}\n\
         staging: {bandwidth: 100 MB, stream: 50 MB, latency: 0.5, overhead: 3}\ndagman: {job: 1}\n\
         jobs: {train: {fixed: 6, per_megabyte: 0.1}}",
    );
    let mut workload = Workload::new(&pool);
    let job = Demand {
        received: Bytes(100_000_000),
        sent: Bytes(25_000_000),
        read: Bytes(40_000_000),
        ..demand("a", 0.0)
    };
    let first = workload.job(&job, []).unwrap();
    workload.job(&Demand { id: "b", ..job }, [first]).unwrap();
    let timeline = run(&workload);
    let times = timeline.times[0];
    let at = |moment: crate::simulate::Moment| moment.seconds();
    assert_eq!(at(times.submitted), 1.0);
    assert_eq!(at(times.eligible), 20.0);
    assert_eq!(at(times.started), 20.0);
    // Overhead, latency and 2 s for 100 MB by one stream of 50 MB/s.
    assert_eq!(at(times.executing), 25.5);
    // 6 s and 0.1 s for each of 40 megabytes, at twice the speed.
    assert_eq!(at(times.executed), 30.5);
    assert_eq!(at(times.ended), 31.5);
    // Noticed after 1 s and 19 s in the queue, then at the next cycle; the slot was free long before.
    assert_eq!(at(timeline.times[1].started), 55.0);
}

#[test]
fn a_slot_rests_between_jobs_as_long_as_the_pool_says() {
    let pool = pool("sites: {here: {slots: 1}}\nqueue: {turnaround: 60}\njobs: {train: {per_sample: 1}}");
    assert_eq!(makespan(&pool, &alone(3, 10.0)), 150.0);
}

#[test]
fn submissions_and_starts_keep_to_their_rates() {
    let submits = pool(
        "sites: {here: {slots: 9}}\nsubmit_host: {submits_per_second: 0.5}\njobs: {train: {per_sample: 1}}",
    );
    assert_eq!(makespan(&submits, &alone(4, 10.0)), 16.0);
    let starts = pool(
        "sites: {here: {slots: 9}}\nsubmit_host: {starts_per_second: 0.25}\njobs: {train: {per_sample: 1}}",
    );
    assert_eq!(makespan(&starts, &alone(4, 10.0)), 22.0);
    let queue = pool("sites: {here: {slots: 9}}\nsubmit_host: {max_jobs: 2}\njobs: {train: {per_sample: 1}}");
    assert_eq!(makespan(&queue, &alone(4, 10.0)), 20.0);
}

#[test]
fn a_waiting_job_of_higher_priority_is_taken_first() {
    let pool = slots(1);
    let mut workload = Workload::new(&pool);
    for (id, priority) in [("first", 0), ("low", 0), ("high", 5)] {
        let demand = Demand {
            priority,
            ..demand(id, 10.0)
        };
        workload.job(&demand, []).unwrap();
    }
    let starts: Vec<f64> = run(&workload)
        .times
        .iter()
        .map(|times| times.started.seconds())
        .collect();
    assert_eq!(starts, [0.0, 20.0, 10.0]);
}

#[test]
fn jobs_go_where_they_must_and_where_they_fit() {
    let pool = pool(
        "sites:\n  north: {slots: 1, cpus: 4, memory: 8 GiB, holds: [hospital_a]}\n  \
         south: {slots: 1, cpus: 8, memory: 64 GiB, gpus: 1, speed: 4}\njobs: {train: {per_sample: 1}}",
    );
    let mut workload = Workload::new(&pool);
    let at = |place| Demand {
        place,
        ..demand("a", 8.0)
    };
    workload.job(&at(Place::Site("hospital_a")), []).unwrap();
    workload.job(&at(Place::Site("south")), []).unwrap();
    // The faster of the two is taken, so this waits for nobody but finds it taken.
    workload.job(&at(Place::Anywhere), []).unwrap();
    let ends: Vec<f64> = run(&workload)
        .times
        .iter()
        .map(|times| times.ended.seconds())
        .collect();
    assert_eq!(ends, [8.0, 2.0, 4.0]);
}

#[test]
fn a_job_that_no_slot_can_take_is_named_with_what_it_asks_for() {
    let pool = slots(3);
    let mut workload = Workload::new(&pool);
    let job = demand("train-nih-r0001-c0000", 1.0);
    let request = Request {
        gpus: 2,
        ..job.request
    };
    let error = workload.job(&Demand { request, ..job }, []).unwrap_err();
    assert!(matches!(error, WorkloadError::NoSlot { .. }));
    assert_eq!(
        error.to_string(),
        "no slot of the pool can take `train-nih-r0001-c0000`: it asks for 1 CPUs, 1 GiB of memory and 2 GPUs; \
         the pool has 3 at `here` (any CPUs, any memory, 1 GPUs)"
    );
    let place = Place::Site("hospital_b");
    assert!(workload.job(&Demand { place, ..job }, []).is_err());
    let error = workload.job(&Demand { kind: "init", ..job }, []).unwrap_err();
    assert!(error.to_string().contains("jobs: {init: {fixed: 10}}"), "{error}");
}

#[test]
fn one_workflow_is_planned_at_a_time() {
    let pool = slots(4);
    let mut workload = Workload::new(&pool);
    for _ in 0..3 {
        workload.planning(4.5, []);
    }
    assert_eq!(run(&workload).makespan().seconds(), 13.5);
}

#[test]
fn the_same_workload_gives_the_same_times() {
    let pool = pool(
        "seed: 3\nsites: {here: {slots: 3}}\nqueue: {wait: {median: 20, spread: 2}}\njobs: {train: {fixed: 5, spread: 1.5}}",
    );
    let jobs = alone(50, 1.0);
    assert_eq!(simulate(&pool, &jobs).times, simulate(&pool, &jobs).times);
    let other = Pool {
        seed: contract::ids::Seed(4),
        ..pool.clone()
    };
    assert_ne!(makespan(&pool, &jobs), makespan(&other, &jobs));
}

/// Jobs whose parents stand before them.
fn graphs() -> impl Strategy<Value = Jobs> {
    let job = |index: usize| {
        let parents = prop::collection::btree_set(0..index.max(1) as u32, 0..=index.min(3));
        (0.1_f64..100.0, parents).prop_map(|(seconds, parents)| (seconds, parents.into_iter().collect()))
    };
    (1_usize..40).prop_flat_map(move |count| (0..count).map(job).collect::<Vec<_>>())
}

/// The longest chain of jobs, in seconds.
fn critical(jobs: &Jobs) -> f64 {
    let mut ends: Vec<f64> = Vec::new();
    for (seconds, after) in jobs {
        let begin = after
            .iter()
            .map(|parent| ends[*parent as usize])
            .fold(0.0, f64::max);
        ends.push(begin + seconds);
    }
    ends.into_iter().fold(0.0, f64::max)
}

proptest! {
    /// Graham's bounds for a list scheduler without idle choice: no less than the longest chain and the work per slot,
    /// no more than both together.
    #[test]
    fn a_makespan_lies_within_grahams_bounds(jobs in graphs(), count in 1_u32..8) {
        let found = makespan(&slots(count), &jobs);
        let (longest, work) = (critical(&jobs), jobs.iter().map(|(seconds, _)| seconds).sum::<f64>());
        let slots = f64::from(count);
        prop_assert!(found + 1e-3 >= longest.max(work / slots), "{found} {longest} {work}");
        prop_assert!(found <= work / slots + longest * (slots - 1.0) / slots + 1e-3, "{found} {longest} {work}");
    }

    #[test]
    fn more_slots_are_never_slower_for_equal_jobs(jobs in 1_usize..60, count in 1_u32..20) {
        let jobs = alone(jobs, 3.0);
        prop_assert!(makespan(&slots(count + 1), &jobs) <= makespan(&slots(count), &jobs));
    }

    #[test]
    fn no_slot_has_two_jobs_at_once(jobs in graphs(), count in 1_u32..5) {
        let timeline = simulate(&slots(count), &jobs);
        let mut changes: Vec<(crate::simulate::Moment, i32)> = timeline
            .times
            .iter()
            .flat_map(|times| [(times.started, 1), (times.ended, -1)])
            .collect();
        changes.sort();
        let mut taken = 0;
        for (_, change) in changes {
            taken += change;
            prop_assert!(taken <= count as i32);
        }
    }

    #[test]
    fn nobody_starts_before_what_it_waits_for(jobs in graphs(), count in 1_u32..8) {
        let timeline = simulate(&slots(count), &jobs);
        for (times, (_, after)) in timeline.times.iter().zip(&jobs) {
            for parent in after {
                prop_assert!(timeline.times[*parent as usize].ended <= times.ready);
            }
            let order = [times.ready, times.submitted, times.eligible, times.started, times.executing, times.executed, times.ended];
            prop_assert!(order.is_sorted());
        }
    }
}

#[test]
fn the_terms_of_the_longest_chain_say_what_was_waited_for() {
    let pool = pool(
        "sites: {here: {slots: 2}}\nqueue: {wait: 19}\nstaging: {overhead: 120}\ndagman: {job: 1, dag: 13}\n\
         jobs: {train: {per_sample: 1}}",
    );
    let mut workload = Workload::new(&pool);
    let planned = workload.planning(4.5, []);
    let begun = workload.pause(13.0, [planned]);
    let trains: Vec<u32> = [10.0, 10.0, 10.0]
        .iter()
        .enumerate()
        .map(|(client, seconds)| {
            workload
                .job(&demand(&format!("c{client}"), *seconds), [begun])
                .unwrap()
        })
        .collect();
    workload.job(&demand("aggregate", 2.0), trains).unwrap();
    let terms = Prediction::of(&workload).terms;
    assert_eq!(terms.planning_s, 4.5);
    assert_eq!(terms.workflow_s, 13.0 + 2.0);
    // The third waits for the first's slot: 130 s, of which 19 s went by in the queue anyway.
    assert_eq!((terms.queue_s, terms.slots_s), (38.0, 130.0));
    assert_eq!((terms.staging_s, terms.execution_s), (240.0, 12.0));
    assert_eq!(terms.stragglers_s, 0.0);
}

#[test]
fn what_one_takes_longer_than_its_like_is_waiting_for_a_straggler() {
    let pool = slots(9);
    let mut workload = Workload::new(&pool);
    let trains: Vec<u32> = [10.0, 11.0, 31.0]
        .iter()
        .enumerate()
        .map(|(client, seconds)| {
            workload
                .job(&demand(&format!("c{client}"), *seconds), [])
                .unwrap()
        })
        .collect();
    workload.job(&demand("aggregate", 2.0), trains).unwrap();
    let terms = Prediction::of(&workload).terms;
    assert_eq!((terms.execution_s, terms.stragglers_s), (13.0, 20.0));
}

proptest! {
    #[test]
    fn the_terms_add_up_to_the_makespan(jobs in graphs(), count in 1_u32..8) {
        let pool = pool(&format!(
            "sites: {{here: {{slots: {count}}}}}\nqueue: {{wait: {{median: 20, spread: 2}}, turnaround: 3}}\n\
             staging: {{bandwidth: 10 MB, overhead: {{median: 5, spread: 1.5}}}}\ndagman: {{job: 0.5}}\n\
             jobs: {{train: {{per_sample: 1, spread: 1.3}}}}"
        ));
        let mut workload = Workload::new(&pool);
        for (index, (seconds, after)) in jobs.iter().enumerate() {
            let id = format!("job-{index}");
            let job = Demand { received: Bytes(1 << 24), sent: Bytes(1 << 20), ..demand(&id, *seconds) };
            workload.job(&job, after.iter().copied()).unwrap();
        }
        let prediction = Prediction::of(&workload);
        prop_assert!((prediction.terms.sum() - prediction.makespan_s).abs() < 1e-6);
        prop_assert!(prediction.slots_executing <= prediction.slots_taken && prediction.slots_taken <= 1.0);
    }
}
