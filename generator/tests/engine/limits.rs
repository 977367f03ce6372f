//! Slots, memory, GPUs and the order of jobs.

use std::num::NonZeroU32;

use contract::units::Bytes;
use fedwing::{
    engine::{JobEnd, JobView, Observer, Options, run},
    plan::Dag,
    record::RunOutcome,
};

use super::support::{Bench, Declare, dag, options, sh};

/// Counts the jobs that hold a slot.
#[derive(Default)]
struct AtOnce {
    now: usize,
    most: usize,
    order: Vec<String>,
}

impl Observer for AtOnce {
    fn job_started(&mut self, job: &JobView<'_>) {
        self.now += 1;
        self.most = self.most.max(self.now);
        self.order.push(job.id.to_owned());
    }

    fn job_ended(&mut self, _: &JobView<'_>, _: &JobEnd<'_>) {
        self.now -= 1;
    }
}

fn watch(dag: &Dag, options: &Options) -> AtOnce {
    let (bench, mut watch) = (Bench::new(), AtOnce::default());
    assert_eq!(
        run(dag, &bench.dir, options, &mut watch).unwrap(),
        RunOutcome::Done
    );
    watch
}

#[test]
fn no_more_jobs_run_at_once_than_there_are_slots() {
    let graph = dag((0..12).map(|job| sh(&format!("j{job}"), "sleep 0.01")).collect());
    assert_eq!(watch(&graph, &options(3)).most, 3);
    assert_eq!(watch(&graph, &options(1)).most, 1);
}

#[test]
fn memory_limits_what_runs_at_once() {
    let mut graph = dag((0..6).map(|job| sh(&format!("j{job}"), "sleep 0.01")).collect());
    graph
        .jobs
        .iter_mut()
        .for_each(|job| job.request.memory = Bytes(40));
    let mut options = options(6);
    options.machine.memory = Bytes(100);
    assert_eq!(watch(&graph, &options).most, 2);
}

#[test]
fn a_gpu_is_held_by_one_job_at_a_time_and_hidden_from_the_others() {
    let bench = Bench::new();
    let mut graph = dag(vec![
        sh("both", "echo $CUDA_VISIBLE_DEVICES > a").writes(&["a"]),
        sh("one", "echo $CUDA_VISIBLE_DEVICES > b").writes(&["b"]),
        sh("none", "echo [$CUDA_VISIBLE_DEVICES] > c").writes(&["c"]),
    ]);
    (graph.jobs[0].request.gpus, graph.jobs[1].request.gpus) = (2, 1);
    let mut options = options(3);
    options.machine.gpus = vec!["4".to_owned(), "7".to_owned()];
    run(&graph, &bench.dir, &options, &mut ()).unwrap();
    assert_eq!(
        [bench.text("a"), bench.text("b"), bench.text("c")],
        ["4,7\n", "4\n", "[]\n"]
    );
}

#[test]
fn with_one_slot_the_longest_way_goes_first_and_the_order_is_always_the_same() {
    let graph = dag(vec![
        sh("alone", "true"),
        sh("chain1", "echo 1 > a").writes(&["a"]),
        sh("chain2", "cat a > b").reads(&["a"]).writes(&["b"]),
        sh("chain3", "true").reads(&["b"]),
        sh("pair1", "true"),
        sh("pair2", "true").after(&[4]),
    ]);
    let wanted = ["chain1", "chain2", "pair1", "alone", "chain3", "pair2"];
    for _ in 0..3 {
        assert_eq!(watch(&graph, &options(1)).order, wanted);
    }
}

#[test]
fn cpus_limit_what_runs_at_once() {
    let mut graph = dag((0..6).map(|job| sh(&format!("j{job}"), "sleep 0.01")).collect());
    graph.jobs.iter_mut().for_each(|job| job.request.cpus = 2);
    let mut options = options(6);
    options.machine.cpus = NonZeroU32::new(4).unwrap();
    assert_eq!(watch(&graph, &options).most, 2);
}
