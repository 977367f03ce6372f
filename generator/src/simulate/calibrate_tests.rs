//! What a simulated run is calibrated to is the pool it was simulated on.

use contract::units::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{
    check::Request,
    simulate::{Demand, NO_WALLTIME, Place, Prediction, Timeline, Workload, run},
};

/// Rounds of training, each followed by one aggregation, in one DAG.
struct Rounds {
    clients: u32,
    rounds: u32,
    /// Samples of the first client; each further one has as many more.
    samples: f64,
}

/// Kind, samples and what each job waits for.
type Jobs = Vec<(&'static str, f64, Vec<u32>)>;

impl Rounds {
    fn jobs(&self) -> Jobs {
        let mut jobs = Jobs::new();
        let mut after = Vec::new();
        for _ in 0..self.rounds {
            let first = jobs.len() as u32;
            for client in 1..=self.clients {
                jobs.push(("train", self.samples * f64::from(client), after.clone()));
            }
            jobs.push(("aggregate", 0.0, (first..first + self.clients).collect()));
            after = vec![jobs.len() as u32 - 1];
        }
        jobs
    }

    fn workload<'p>(&self, pool: &'p Pool) -> Workload<'p> {
        let mut workload = Workload::new(pool);
        let begun = workload.pause(pool.dagman.dag, []);
        for (index, (kind, samples, after)) in self.jobs().into_iter().enumerate() {
            let demand = Demand {
                id: &format!("{kind}-{index}"),
                kind,
                place: Place::Anywhere,
                request: Request {
                    cpus: 1,
                    memory: Bytes(1),
                    gpus: 0,
                    walltime: NO_WALLTIME,
                },
                received: Bytes(0),
                sent: Bytes(0),
                read: Bytes(50_000_000),
                samples,
                priority: 0,
                round: None,
            };
            let after: Vec<u32> = match after.is_empty() {
                true => vec![begun],
                false => after.iter().map(|job| job + begun + 1).collect(),
            };
            workload.job(&demand, after).unwrap();
        }
        workload
    }

    /// The jobs as a run leaves them, on one machine.
    fn tries(&self, timeline: &Timeline) -> Vec<Tried<'static>> {
        let tried =
            |((kind, samples, after), times): ((&'static str, f64, Vec<u32>), &crate::simulate::Times)| {
                Tried {
                    kind,
                    host: Some("execute0.pool"),
                    site: None,
                    ready: match after.is_empty() {
                        true => 0.0,
                        false => times.ready.seconds(),
                    },
                    begins_dag: after.is_empty(),
                    nested: false,
                    submitted: times.submitted.seconds(),
                    started: times.started.seconds(),
                    ended: times.ended.seconds(),
                    executed: Some(times.executing_for().seconds()),
                    work: Work {
                        read: Bytes(50_000_000),
                        samples,
                        ..Work::default()
                    },
                }
            };
        // The first task is the DAG's begin.
        self.jobs()
            .into_iter()
            .zip(&timeline.times[1..])
            .map(tried)
            .collect()
    }
}

proptest! {
    #[test]
    fn a_simulated_run_is_calibrated_to_its_pool(
        clients in 2_u32..9, slots in 1_u32..6, wait in 5.0_f64..50.0, overhead in 5.0_f64..50.0,
        job in 5.0_f64..10.0, dag in 5.0_f64..20.0, fixed in 1.0_f64..10.0, per_sample in 0.01_f64..0.1,
    ) {
        let text = format!(
            "fedwing_pool: 1\nsites: {{here: {{slots: {slots}}}}}\nqueue: {{wait: {wait}, turnaround: 8}}\nstaging: {{overhead: {overhead}}}\n\
             dagman: {{job: {job}, dag: {dag}}}\njobs: {{train: {{fixed: {fixed}, per_sample: {per_sample}}}, aggregate: {{per_megabyte: 0.2}}}}\n"
        );
        let pool = Pool::read(&text, "pool.yml").pool.unwrap();
        let rounds = Rounds { clients, rounds: 4, samples: 100.0 };
        let workload = rounds.workload(&pool);
        let found = calibrate("a test", &rounds.tries(&run(&workload))).pool;
        let near = |a: f64, b: f64| (a - b).abs() < 1e-3 * b.max(1.0);
        prop_assert!(near(found.queue.wait.median, wait), "{:?}", found.queue);
        prop_assert!(near(found.staging.overhead.median, overhead), "{:?}", found.staging);
        prop_assert!(near(found.dagman.job, job) && near(found.dagman.dag, dag), "{:?}", found.dagman);
        let train = found.jobs["train"];
        prop_assert!(near(train.fixed, fixed) && near(train.per_sample, per_sample), "{train:?}");
        prop_assert!(near(found.jobs["aggregate"].per_megabyte, 0.2));
        prop_assert_eq!(found.slots(), u64::from(slots.min(clients)));
        let again = Prediction::of(&rounds.workload(&found)).makespan_s;
        let was = Prediction::of(&workload).makespan_s;
        // Which end of a job made room for one that waited is a guess, so all of the turnaround may be missed.
        prop_assert!((again / was - 1.0).abs() < 0.2, "{again} {was} {found:?}");
    }
}

#[test]
fn a_host_s_name_becomes_one_a_pool_file_takes() {
    assert_eq!(site_name("execute0.pool.example.org"), "execute0");
    assert_eq!(site_name("GPU 7"), "gpu-7");
    assert_eq!(site_name("10.2.3.4"), "host-10");
}

#[test]
fn whole_seconds_that_are_few_are_averaged_and_do_not_spread() {
    let few = whole_seconds(&mut [0.0, 1.0, 1.0, 4.0]);
    assert_eq!((few.median, few.spread), (1.5, 1.0));
    let many = whole_seconds(&mut [10.0, 20.0, 40.0]);
    assert_eq!(many.median, 20.0);
    assert!((many.spread - 1.76).abs() < 0.01, "{}", many.spread);
}
