//! What every plan keeps, over random specifications; and what each part of a specification becomes.

#![allow(clippy::unwrap_used)] // helpers of tests

mod sample;

use std::collections::{BTreeMap, BTreeSet};

use contract::{
    args::{Job, TrainArgs},
    argv::Role,
    ids::{ClientId, Round},
    names::FileName,
    training::BaselineKind,
    units::Fraction,
};
use fedwing::{
    check::Layout,
    plan::{self, JobId, Parts, Plan, PlanError, StaticFile},
};
use proptest::prelude::*;
use sample::Sample;

fn lower(sample: &Sample) -> Plan {
    plan::lower(&sample.checked()).unwrap()
}

fn any_sample() -> impl Strategy<Value = Sample> {
    let datasets = proptest::sample::subsequence(vec!["nih", "tcia", "a-on-b"], 1..=3);
    let baselines = proptest::sample::subsequence(BaselineKind::ALL.to_vec(), 0..=2);
    let numbers = (1u32..9, 1u32..6, 0.01f64..=1.0, any::<u64>());
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), 0..Sample::WAYS);
    (datasets, baselines, numbers, flags).prop_map(
        |(
            datasets,
            baselines,
            (clients, rounds, fraction, seed),
            (rounds_layout, cross_dataset, weights, way),
        )| {
            Sample {
                datasets,
                clients,
                rounds,
                fraction,
                layout: if rounds_layout {
                    Layout::Rounds
                } else {
                    Layout::Flat
                },
                baselines,
                cross_dataset,
                weights: weights.then(|| "/w.safetensors".to_owned()),
                seed,
                ..Sample::small(Layout::Flat)
            }
            .learning(way)
        },
    )
}

fn files(job: &Job) -> (Vec<String>, Vec<String>) {
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    job.roles(&mut |role| match role {
        Role::Setting | Role::Checkpoint(_) => {}
        Role::Input(file) | Role::ReadInPlace(file) => inputs.push(file.to_owned()),
        Role::Output(file) | Role::WrittenInPlace(file) => outputs.push(file.to_owned()),
    });
    (inputs, outputs)
}

proptest! {
    #[test]
    fn edges_lead_from_the_writer_to_its_readers_and_only_forward(sample in any_sample()) {
        let plan = lower(&sample);
        let mut writers = BTreeMap::new();
        for (index, job) in plan.jobs.iter().enumerate() {
            let (inputs, outputs) = files(&job.job);
            let expected: BTreeSet<u32> = inputs.iter().filter_map(|file| writers.get(file).copied()).collect();
            let edges: Vec<u32> = plan.edges().after(index).to_vec();
            prop_assert_eq!(edges, expected.into_iter().collect::<Vec<_>>());
            for file in outputs {
                prop_assert!(writers.insert(file, index as u32).is_none());
            }
        }
    }

    #[test]
    fn edges_turned_round_are_the_same_edges(sample in any_sample()) {
        let plan = lower(&sample);
        let children = plan.edges().reversed();
        let mut forward: Vec<(u32, u32)> = Vec::new();
        let mut backward: Vec<(u32, u32)> = Vec::new();
        for index in 0..plan.jobs.len() {
            forward.extend(plan.edges().after(index).iter().map(|parent| (*parent, index as u32)));
            backward.extend(children.of(index).iter().map(|child| (index as u32, *child)));
        }
        forward.sort_unstable();
        prop_assert_eq!(forward, backward);
    }

    #[test]
    fn a_shard_is_read_by_its_client_and_the_centralized_baseline_alone(sample in any_sample()) {
        let plan = lower(&sample);
        for job in &plan.jobs {
            for file in files(&job.job).0.iter().filter(|file| file.contains(".shard.")) {
                let test = format!("e1.{}.test.shard.safetensors", job.stage.dataset);
                let validation = format!("e1.{}.validation.shard.safetensors", job.stage.dataset);
                match (&job.job, job.stage.client) {
                    (Job::Train(_), Some(client)) => {
                        prop_assert_eq!(file, &format!("e1.{}.c{:04}.shard.safetensors", job.stage.dataset, client.0));
                    }
                    (Job::TrainClients(args), None) => {
                        prop_assert!(args.shards.iter().any(|shard| shard.as_str() == *file));
                    }
                    (Job::Baseline(_), _) if *file == validation => {}
                    (Job::Baseline(_), Some(client)) if *file != test => {
                        prop_assert_eq!(file, &format!("e1.{}.c{:04}.shard.safetensors", job.stage.dataset, client.0));
                    }
                    (Job::Baseline(args), None) => prop_assert_eq!(args.kind, BaselineKind::Centralized),
                    (Job::Baseline(_), _) => {}
                    (Job::Evaluate(_), _) => {
                        let held_out = [".test.shard.safetensors", ".validation.shard.safetensors"];
                        prop_assert!(held_out.iter().any(|end| file.ends_with(end)));
                    }
                    other => prop_assert!(false, "{:?} reads {}", other, file),
                }
            }
        }
    }

    #[test]
    fn selected_clients_train_once_a_round_and_the_others_have_no_job(sample in any_sample()) {
        let plan = lower(&sample);
        let wanted = Fraction::new(sample.fraction).unwrap().of(sample.clients) as usize;
        for dataset in &sample.datasets {
            for round in (1..=sample.rounds).map(Round) {
                let stage = |id: &str| {
                    plan.jobs.iter().find(move |job| &*job.id.0 == id).map(|job| job.job.clone())
                };
                let trained: BTreeSet<ClientId> = plan.jobs.iter()
                    .filter(|job| job.stage.dataset.as_str() == *dataset && job.stage.round == Some(round))
                    .flat_map(|job| training(&job.job))
                    .map(|args| args.client)
                    .collect();
                prop_assert_eq!(trained.len(), wanted);
                let Some(Job::Aggregate(args)) = stage(&format!("aggregate-{dataset}-r{:04}", round.0)) else {
                    panic!("round {round} of {dataset} is not aggregated");
                };
                let updates: Vec<_> = trained.iter()
                    .map(|client| format!("e1.{dataset}.r{:04}.c{:04}.update.safetensors", round.0, client.0))
                    .collect();
                if sample.fan_in.is_none() {
                    prop_assert_eq!(args.updates.iter().map(ToString::to_string).collect::<Vec<_>>(), updates);
                }
            }
        }
    }

    #[test]
    fn clients_are_trained_together_as_they_are_alone(mut sample in any_sample(), together in 2_u32..5) {
        let trained = |sample: &Sample| {
            let plan = lower(sample);
            let mut all: Vec<_> = plan.jobs.iter().flat_map(|job| training(&job.job)).collect();
            all.sort_by_key(|args| (args.dataset.clone(), args.round, args.client));
            (all, plan)
        };
        prop_assume!(!sample.secure_aggregation);
        sample.clients_per_job = 1;
        let (alone, _) = trained(&sample);
        sample.clients_per_job = together;
        let (all, plan) = trained(&sample);
        prop_assert_eq!(all, alone);
        for job in &plan.jobs {
            if let Job::TrainClients(args) = &job.job {
                prop_assert!((2..=together as usize).contains(&args.clients.len()));
                let each = 3600 * args.clients.len() as u64;
                prop_assert_eq!(job.request.walltime.0 % each, 0);
                if let Some(site) = job.site() {
                    prop_assert!(args.clients.iter().all(|client| site.clients.contains(client)));
                }
            }
        }
    }

    #[test]
    fn branches_of_datasets_meet_only_in_cross_evaluations(sample in any_sample()) {
        let plan = lower(&sample);
        for (index, job) in plan.jobs.iter().enumerate() {
            let cross = matches!(&job.job, Job::Evaluate(args) if args.dataset != args.test_dataset);
            for &parent in plan.edges().after(index) {
                let same = plan.jobs[parent as usize].stage.dataset == job.stage.dataset;
                prop_assert!(same || cross, "{} reads from {}", job.id, plan.jobs[parent as usize].id);
            }
        }
    }

    #[test]
    fn the_same_specification_gives_the_same_plan(sample in any_sample()) {
        prop_assert_eq!(format!("{:?}", lower(&sample)), format!("{:?}", lower(&sample)));
    }

    #[test]
    fn every_planned_command_line_reads_back(sample in any_sample()) {
        for job in &lower(&sample).jobs {
            prop_assert_eq!(Job::from_argv(&job.job.to_argv()), Ok(job.job.clone()));
        }
    }

    #[test]
    fn the_graph_has_the_jobs_files_and_edges_of_the_plan(sample in any_sample()) {
        let plan = lower(&sample);
        let dag = plan.to_dag();
        prop_assert_eq!(dag.jobs.len(), plan.jobs.len());
        for (index, (node, job)) in dag.jobs.iter().zip(&plan.jobs).enumerate() {
            let (inputs, outputs) = files(&job.job);
            prop_assert_eq!(&node.id, &job.id.0);
            prop_assert_eq!(&node.argv, &job.job.to_argv());
            prop_assert_eq!(node.inputs.iter().map(|f| f.to_string()).collect::<Vec<_>>(), inputs);
            prop_assert_eq!(node.outputs.iter().map(|f| f.to_string()).collect::<Vec<_>>(), outputs);
            prop_assert_eq!(&node.after[..], plan.edges().after(index));
            prop_assert_eq!(&node.in_place, &job.in_place);
        }
    }
}

#[test]
fn seeds_of_jobs_differ_by_dataset_client_and_purpose_and_last_through_the_rounds() {
    let plan = lower(&Sample::small(Layout::Flat));
    let mut seeds = BTreeSet::new();
    let mut seeded = 0;
    for job in &plan.jobs {
        let seed = match &job.job {
            Job::Init(args) => args.seed,
            Job::Train(args) => args.seed,
            Job::TrainClients(_) => panic!("each client has a job of its own"),
            Job::Baseline(args) => args.seed,
            Job::Aggregate(args) => {
                assert_eq!(args.seed, None, "nothing is drawn without noise");
                continue;
            }
            Job::Prepare(_)
            | Job::Profile(_)
            | Job::Stats(_)
            | Job::Evaluate(_)
            | Job::Keys(_)
            | Job::Reveal(_)
            | Job::Partial(_)
            | Job::Broadcast(_) => continue,
        };
        seeded += 1;
        seeds.insert(seed);
    }
    // Two datasets, two clients, two rounds: the second round's training has the first's seed.
    assert_eq!((seeds.len(), seeded), (12, 16));
}

#[test]
fn a_small_experiment_has_these_jobs() {
    let plan = lower(&Sample::small(Layout::Flat));
    let lines: Vec<String> = plan
        .jobs
        .iter()
        .enumerate()
        .map(|(index, job)| {
            let after = plan.edges().after(index).iter();
            let after: Vec<_> = after
                .map(|parent| plan.jobs[*parent as usize].id.to_string())
                .collect();
            format!("{} <- {}", job.id, after.join(" "))
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_baseline_trains_as_many_epochs_as_a_client_of_every_round() {
    let plan = lower(&Sample::small(Layout::Flat));
    let epochs: BTreeSet<u32> = plan
        .jobs
        .iter()
        .filter_map(|job| match &job.job {
            Job::Baseline(args) => Some(args.epochs),
            _ => None,
        })
        .collect();
    assert_eq!(epochs, BTreeSet::from([4]));

    let mut checked = Sample::small(Layout::Flat).checked();
    checked.federation.epochs = u32::MAX;
    assert!(matches!(
        plan::lower(&checked),
        Err(PlanError::TooManyEpochs {
            rounds: 2,
            epochs: u32::MAX
        })
    ));
}

#[test]
fn threads_are_the_cores_a_job_asks_for() {
    for job in &lower(&Sample::small(Layout::Flat)).jobs {
        let threads = match &job.job {
            Job::Train(args) => args.threads,
            Job::TrainClients(args) => args.threads,
            Job::Evaluate(args) => args.threads,
            Job::Baseline(args) => args.threads,
            Job::Aggregate(args) => args.threads,
            Job::Partial(args) => args.threads,
            Job::Prepare(args) => args.threads,
            Job::Profile(_) => panic!("a profile is not planned"),
            Job::Stats(_) | Job::Init(_) | Job::Keys(_) | Job::Reveal(_) | Job::Broadcast(_) => continue,
        };
        assert_eq!(threads, Some(job.request.cpus), "{}", job.id);
    }
}

/// Each client's training that a job does.
fn training(job: &Job) -> Vec<TrainArgs> {
    match job {
        Job::Train(args) => vec![args.clone()],
        Job::TrainClients(args) => args.each().unwrap(),
        _ => Vec::new(),
    }
}

/// The parts of a sound plan after `damage`, and why they are no plan.
fn broken(damage: impl FnOnce(&mut Parts)) -> PlanError {
    let mut parts = (*lower(&Sample::small(Layout::Flat))).clone();
    damage(&mut parts);
    Plan::prove(parts).unwrap_err()
}

fn find<'a>(parts: &'a mut Parts, id: &str) -> &'a mut Job {
    let job = parts.jobs.iter_mut().find(|job| &*job.id.0 == id);
    &mut job.unwrap().job
}

#[test]
fn a_second_writer_is_refused() {
    let error = broken(|parts| {
        let Job::Train(args) = find(parts, "train-nih-r0001-c0001") else {
            panic!()
        };
        args.update = "e1.nih.r0001.c0000.update.safetensors".into();
    });
    assert_eq!(
        error.to_string(),
        "`e1.nih.r0001.c0000.update.safetensors` is written by both `train-nih-r0001-c0000` and `train-nih-r0001-c0001`"
    );
}

#[test]
fn a_file_nobody_writes_is_refused() {
    let error = broken(|parts| {
        let Job::Evaluate(args) = find(parts, "evaluate-nih-r0002") else {
            panic!()
        };
        args.global = "e1.nih.r0003.global.safetensors".into();
    });
    assert_eq!(
        error.to_string(),
        "`evaluate-nih-r0002` reads `e1.nih.r0003.global.safetensors`, which no job writes"
    );
}

#[test]
fn jobs_that_wait_for_each_other_are_refused() {
    let error = broken(|parts| {
        let Job::Train(args) = find(parts, "train-nih-r0001-c0000") else {
            panic!()
        };
        args.global = "e1.nih.r0001.global.safetensors".into();
    });
    assert_eq!(
        error.to_string(),
        "jobs wait for each other: `train-nih-r0001-c0000` -> `aggregate-nih-r0001`"
    );
    let itself = broken(|parts| {
        let Job::Stats(args) = find(parts, "stats-nih") else {
            panic!()
        };
        args.manifest = "e1.nih.stats.json".into();
    });
    assert_eq!(itself.to_string(), "jobs wait for each other: `stats-nih`");
}

#[test]
fn a_job_that_stands_before_its_writer_is_refused() {
    let error = broken(|parts| parts.jobs.swap(0, 1));
    assert_eq!(
        error.to_string(),
        "`stats-nih` stands before `prepare-nih`, from which it reads"
    );
}

#[test]
fn names_of_jobs_are_unique_and_fit_every_workflow_format() {
    let twice = broken(|parts| parts.jobs[1].id = parts.jobs[0].id.clone());
    assert_eq!(twice.to_string(), "two jobs are named `prepare-nih`");
    for bad in ["", "0000008", "a.b", "a b", "-a"] {
        let error = broken(|parts| parts.jobs[0].id = JobId(bad.into()));
        assert!(matches!(error, PlanError::BadId { .. }), "{bad:?}: {error}");
    }
}

#[test]
fn a_given_file_is_given_once_and_never_written() {
    let given = |name: &str| StaticFile {
        name: FileName::new(name).unwrap(),
        content: String::new(),
    };
    let twice = broken(|parts| parts.statics.push(given("e1.nih.dataset.json")));
    assert_eq!(twice.to_string(), "`e1.nih.dataset.json` is given twice");
    let written = broken(|parts| parts.statics.push(given("e1.nih.stats.json")));
    assert_eq!(
        written.to_string(),
        "`stats-nih` writes `e1.nih.stats.json`, which is given"
    );
}

#[test]
fn two_datasets_of_one_name_are_refused() {
    let mut sample = Sample::small(Layout::Flat);
    sample.datasets = vec!["nih", "nih"];
    assert_eq!(
        plan::lower(&sample.checked()).unwrap_err().to_string(),
        "two jobs are named `prepare-nih`"
    );
}
