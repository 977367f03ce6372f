//! From the words of a specification to the arguments of jobs: rules, privacy, encodings, absent clients, trees.

#![allow(clippy::unwrap_used)] // helpers of tests

use std::{collections::BTreeSet, path::Path};

use contract::{
    aggregation::{CentralPrivacy, Encoding, Strategy, StrategyArg},
    args::{AggregateArgs, EvaluateArgs, Job, KeysArgs, PartialArgs, RevealArgs, TrainArgs},
    argv::{ArgValue, Role},
    ids::{ClientId, Seed},
    recipe::{
        Across, Augment, ClassWeights, Decay, DeviceChoice, EarlyStop, LocalPrivacy, Loss, LossKind, Method,
        OptimizerState, Precision, Recipe, Schedule,
    },
    training::{Absence, Moments, Optimizer},
};
use fedwing::{
    check::check,
    diag::Colour,
    plan::{self, Parts, Plan, PlanError},
};

/// What a test says; everything else is fixed.
struct Words<'a> {
    clients: u32,
    rounds: u32,
    /// Entries of `federation`, the algorithm included.
    federation: &'a str,
    /// Further top-level keys.
    more: &'a str,
}

const FOUR: Words<'_> = Words {
    clients: 4,
    rounds: 2,
    federation: "algorithm: fedavg",
    more: "",
};

impl Words<'_> {
    fn plan(&self) -> Plan {
        let Words {
            clients,
            rounds,
            federation,
            more,
        } = self;
        let text = format!(
            "fedwing: 1
name: e1
seed: 7
datasets:
  nih:
    source: {{phantom: {{patients: 900, sites: 2}}}}
    task: {{binary: {{negative: [No Finding]}}}}
    image: {{size: 32}}
    clients: {{count: {clients}, by: iid}}
model: {{arch: small_cnn}}
federation:
  {federation}
  rounds: {rounds}
  local: {{epochs: 1, batch_size: 16, optimizer: {{sgd: {{learning_rate: 0.1}}}}}}
{more}
"
        );
        let report = check(&text, "e1.yml", Path::new("/specs"));
        let checked = report
            .checked
            .unwrap_or_else(|| panic!("{}", report.diagnostics.render(Colour::Never)));
        plan::lower(&checked).unwrap()
    }
}

fn of_kind<'a, T>(plan: &'a Plan, take: impl Fn(&'a Job) -> Option<&'a T>) -> Vec<&'a T> {
    plan.jobs.iter().filter_map(|job| take(&job.job)).collect()
}

fn aggregates(plan: &Plan) -> Vec<&AggregateArgs> {
    of_kind(plan, |job| match job {
        Job::Aggregate(args) => Some(args),
        _ => None,
    })
}

fn trains(plan: &Plan) -> Vec<&TrainArgs> {
    of_kind(plan, |job| match job {
        Job::Train(args) => Some(args),
        _ => None,
    })
}

fn keys(plan: &Plan) -> Vec<&KeysArgs> {
    of_kind(plan, |job| match job {
        Job::Keys(args) => Some(args),
        _ => None,
    })
}

fn reveals(plan: &Plan) -> Vec<&RevealArgs> {
    of_kind(plan, |job| match job {
        Job::Reveal(args) => Some(args),
        _ => None,
    })
}

fn partials(plan: &Plan) -> Vec<&PartialArgs> {
    of_kind(plan, |job| match job {
        Job::Partial(args) => Some(args),
        _ => None,
    })
}

/// Names without experiment, dataset and ending.
fn short<T: ToString>(files: &[T]) -> Vec<String> {
    let short = |file: &T| {
        let name = file.to_string().replace("e1.nih.", "");
        name.trim_end_matches(".safetensors")
            .trim_end_matches(".json")
            .to_owned()
    };
    files.iter().map(short).collect()
}

#[test]
fn every_built_rule_reaches_its_job_with_its_defaults() {
    let cases = [
        ("fedavg", Strategy::Fedavg, false),
        ("fednova", Strategy::Fednova, false),
        ("median", Strategy::Median, false),
        (
            "{fedavgm: {server_momentum: 0.5}}",
            Strategy::Fedavgm {
                learning_rate: 1.0,
                momentum: 0.5,
            },
            true,
        ),
        (
            "fedadam",
            Strategy::Fedadam {
                learning_rate: 0.1,
                beta1: 0.9,
                beta2: 0.99,
                tau: 0.001,
            },
            true,
        ),
        (
            "fedyogi",
            Strategy::Fedyogi {
                learning_rate: 0.01,
                beta1: 0.9,
                beta2: 0.99,
                tau: 0.001,
            },
            true,
        ),
        (
            "{fedadagrad: {server_learning_rate: 0.3}}",
            Strategy::Fedadagrad {
                learning_rate: 0.3,
                tau: 0.001,
            },
            true,
        ),
        ("trimmed_mean", Strategy::TrimmedMean { beta: 0.2 }, false),
        ("{krum: {byzantine: 1}}", Strategy::Krum { byzantine: 1 }, false),
        (
            "{multi_krum: {byzantine: 1, keep: 3}}",
            Strategy::MultiKrum {
                byzantine: 1,
                keep: 3,
            },
            false,
        ),
        (
            "{bulyan: {byzantine: 1}}",
            Strategy::Bulyan { byzantine: 1 },
            false,
        ),
        (
            "geometric_median",
            Strategy::GeometricMedian {
                iterations: 100,
                smoothing: 1e-6,
            },
            false,
        ),
        (
            "{norm_bound: {norm: 2.5}}",
            Strategy::NormBound { norm: 2.5 },
            false,
        ),
    ];
    for (written, expected, remembers) in cases {
        let federation = format!("algorithm: {written}");
        let plan = Words {
            clients: 7,
            federation: &federation,
            ..FOUR
        }
        .plan();
        let [first, second] = aggregates(&plan)[..] else {
            panic!()
        };
        assert_eq!(first.strategy, StrategyArg::Given(expected), "{written}");
        if !written.starts_with('{') {
            // On the command line the same word has the same settings.
            assert_eq!(<Strategy as ArgValue>::read(written), Ok(expected), "{written}");
        }
        assert_eq!(
            (&first.state_in, first.seed, &first.privacy),
            (&None, None, &None),
            "{written}"
        );
        let state = |args: &AggregateArgs| args.state_out.as_ref().map(ToString::to_string);
        assert_eq!(state(first).is_some(), remembers, "{written}");
        assert_eq!(
            second.state_in.as_ref().map(ToString::to_string),
            state(first),
            "{written}"
        );
        assert!(
            trains(&plan)
                .iter()
                .all(|train| train.encoding.is_none() && train.absence.is_none())
        );
    }
}

#[test]
fn a_residual_goes_to_the_next_round_its_client_takes_part_in() {
    let plan = Words {
        clients: 6,
        rounds: 6,
        federation: "algorithm: fedavg\n  fraction: 0.5\n  compression: {top_k: {share: 0.25}}",
        ..FOUR
    }
    .plan();
    let trains = trains(&plan);
    let mut skipped = 0;
    for client in 0..6 {
        let mut last: Option<(u32, String)> = None;
        for train in trains.iter().filter(|train| train.client.0 == client) {
            assert_eq!(train.encoding, Some(Encoding::TopK { share: 0.25 }));
            let read = train.residual_in.as_ref().map(ToString::to_string);
            assert_eq!(
                read,
                last.as_ref().map(|(_, file)| file.clone()),
                "client {client}"
            );
            skipped += u32::from(last.is_some_and(|(round, _)| round + 1 < train.round.0));
            last = Some((train.round.0, train.residual_out.as_ref().unwrap().to_string()));
        }
    }
    assert!(skipped > 0, "some client pauses for a round");
}

fn evaluations(plan: &Plan) -> Vec<&EvaluateArgs> {
    of_kind(plan, |job| match job {
        Job::Evaluate(args) => Some(args),
        _ => None,
    })
}

/// The recipe that a plan's jobs read.
fn recipe(plan: &Plan) -> Recipe {
    let file = plan
        .statics
        .iter()
        .find(|file| file.name.as_str() == "e1.nih.recipe.json");
    serde_json::from_str(&file.unwrap().content).unwrap()
}

#[test]
fn what_a_client_keeps_goes_to_its_next_round_and_to_the_test_of_its_model() {
    for algorithm in ["fedper", "{ditto: {lambda: 0.1}}"] {
        let federation = format!("algorithm: {algorithm}\n  fraction: 0.5");
        let plan = Words {
            clients: 6,
            rounds: 5,
            federation: &federation,
            ..FOUR
        }
        .plan();
        let trains = trains(&plan);
        let tested: Vec<_> = evaluations(&plan)
            .into_iter()
            .filter(|args| args.client.is_some())
            .collect();
        let mut models = 0;
        for client in 0..6 {
            let mut last: Option<String> = None;
            for train in trains.iter().filter(|train| train.client.0 == client) {
                assert_eq!(train.personal_in.as_ref().map(ToString::to_string), last);
                last = train.personal_out.as_ref().map(ToString::to_string);
                assert!(last.is_some());
                assert_eq!(
                    train.seed,
                    trains.iter().find(|t| t.client == train.client).unwrap().seed
                );
            }
            let tests: Vec<_> = tested
                .iter()
                .filter(|args| args.client.map(|client| client.0) == Some(client))
                .collect();
            assert_eq!(tests.len(), usize::from(last.is_some()));
            for test in tests {
                models += 1;
                assert_eq!(test.personal.as_ref().map(ToString::to_string), last);
                assert_eq!(test.global.as_str(), "e1.nih.r0005.global.safetensors");
            }
        }
        assert!(models >= 3, "{models}");
        for aggregate in aggregates(&plan) {
            let kept: Vec<&str> = aggregate.keep.iter().map(|pattern| pattern.as_str()).collect();
            let head: &[&str] = if algorithm == "fedper" { &["fc2.*"] } else { &[] };
            assert_eq!(kept, head);
        }
    }
    let untested = Words {
        federation: "algorithm: fedper",
        more: "evaluation: {personal: false}",
        ..FOUR
    }
    .plan();
    assert!(evaluations(&untested).iter().all(|args| args.client.is_none()));
    let plain = FOUR.plan();
    assert!(trains(&plain).iter().all(|train| train.personal_out.is_none()));
}

#[test]
fn what_a_client_keeps_is_read_by_its_own_jobs_alone() {
    let personal = Words {
        federation: "algorithm: fedper",
        ..FOUR
    };
    let by_another = refused(&personal, |job| {
        if let Job::Evaluate(args) = job
            && args.client == Some(ClientId(1))
        {
            args.personal = Some("e1.nih.r0002.c0000.personal.safetensors".into());
        }
    });
    assert_eq!(
        by_another.to_string(),
        "`personal-nih-c0001` reads `e1.nih.r0002.c0000.personal.safetensors`, which stays with the client of \
         `train-nih-r0002-c0000`"
    );
    let by_nobody_in_particular = refused(&personal, |job| {
        if let Job::Evaluate(args) = job
            && args.client == Some(ClientId(1))
        {
            args.client = None;
        }
    });
    assert!(
        matches!(by_nobody_in_particular, PlanError::PrivateFile { .. }),
        "{by_nobody_in_particular}"
    );
}

#[test]
fn scaffold_hands_the_servers_variate_to_the_clients_of_the_next_round() {
    let plan = Words {
        federation: "algorithm: {scaffold: {server_learning_rate: 0.5}}\n  fraction: 0.5",
        ..FOUR
    }
    .plan();
    for train in trains(&plan) {
        let wanted = (train.round.0 > 1).then(|| "e1.nih.r0001.state.safetensors".to_owned());
        assert_eq!(train.control.as_ref().map(ToString::to_string), wanted);
        assert!(train.personal_out.is_some());
    }
    for aggregate in aggregates(&plan) {
        let rule = Strategy::Scaffold {
            learning_rate: 0.5,
            clients: 4,
        };
        assert_eq!(
            aggregate.strategy,
            StrategyArg::from(rule),
            "all clients, not the selected"
        );
    }
    assert_eq!(recipe(&plan).method, Method::Scaffold);
}

#[test]
fn a_checkpoint_belongs_to_one_job() {
    let mut seen = BTreeSet::new();
    let plan = Words {
        more: "evaluation: {baselines: [centralized, local_only]}",
        ..FOUR
    }
    .plan();
    for job in &plan.jobs {
        let mut found = Vec::new();
        job.job.roles(&mut |role| {
            if let Role::Checkpoint(file) = role {
                found.push(file.to_owned());
            }
        });
        let trains = matches!(job.job, Job::Train(_) | Job::Baseline(_));
        assert_eq!(found.len(), usize::from(trains), "{}", job.id);
        assert!(seen.is_disjoint(&BTreeSet::from_iter(found.clone())));
        seen.extend(found);
    }
    let error = refused(&FOUR, |job| {
        if let Job::Train(args) = job
            && args.client == ClientId(1)
            && args.round.0 == 1
        {
            args.checkpoint = Some("e1.nih.r0001.c0000.checkpoint.safetensors".into());
        }
    });
    assert!(matches!(error, PlanError::TwoWriters { .. }), "{error}");
}

#[test]
fn thresholds_intervals_predictions_and_the_device_reach_the_jobs() {
    let plan = Words {
        more: "evaluation: {baselines: [centralized], intervals: true, predictions: true}\n\
               execution: {device: cuda:1}",
        ..FOUR
    }
    .plan();
    let evaluations = evaluations(&plan);
    let seeds: BTreeSet<_> = evaluations.iter().map(|args| args.seed.unwrap().0).collect();
    assert_eq!(seeds.len(), 3, "one for each round");
    let written: Vec<_> = evaluations
        .iter()
        .filter_map(|args| args.predictions.as_ref())
        .map(ToString::to_string)
        .collect();
    assert_eq!(written, ["e1.nih.r0002.predictions.safetensors"]);
    for job in &plan.jobs {
        let (device, computes) = match &job.job {
            Job::Train(args) => (args.device, true),
            Job::Evaluate(args) => (args.device, true),
            Job::Baseline(args) => (args.device, true),
            _ => (None, false),
        };
        assert_eq!(device, computes.then_some(DeviceChoice::Cuda(1)));
        assert_eq!(job.request.gpus, if computes { 2 } else { 0 }, "{}", job.id);
    }
}

#[test]
fn the_recipe_says_what_the_specification_does() {
    let report = check(
        include_str!("../../examples/options.yml"),
        "options.yml",
        Path::new("/specs"),
    );
    let checked = report.checked.unwrap();
    let wanted = Recipe {
        fedwing_recipe: Recipe::VERSION,
        batch_size: 16,
        optimizer: Optimizer::Adamw(Moments {
            learning_rate: 0.003,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.01,
        }),
        optimizer_state: OptimizerState::Reset,
        schedule: Schedule {
            across: Across::Rounds,
            periods: 4,
            warm_up: 1,
            decay: Decay::Cosine { least: 0.05 },
        },
        loss: Loss {
            kind: LossKind::CrossEntropy,
            smoothing: 0.05,
            class_weights: ClassWeights::Balanced,
        },
        method: Method::Fedprox { mu: 0.01 },
        clip_norm: Some(5.0),
        freeze: Vec::new(),
        augment: Some(Augment {
            crop: 0.9,
            flip: 0.0,
            rotate: 5.0,
            brightness: 0.1,
            contrast: 0.1,
        }),
        validation: Some(0.15),
        early_stop: Some(EarlyStop {
            patience: 2,
            least: 0.0,
        }),
        privacy: None,
        precision: Precision::F32,
        ahead: 2,
    };
    assert_eq!(checked.federation.recipe, wanted);
    let plan = plan::lower(&checked).unwrap();
    let read: Recipe = serde_json::from_str(
        &plan
            .statics
            .iter()
            .find(|file| file.name.as_str() == "options.chest.recipe.json")
            .unwrap()
            .content,
    )
    .unwrap();
    assert_eq!(read, wanted, "what jobs read is what was proven");
    let validated: Vec<bool> = evaluations(&plan)
        .iter()
        .map(|args| args.validation_shard.is_some())
        .collect();
    assert_eq!(validated, [true; 5]);
}

#[test]
fn frozen_tensors_and_the_samples_privacy_stand_in_the_recipe() {
    let plan = Words {
        more: "privacy: {local: {norm: 0.5, noise_multiplier: 1.1, delta: 1e-5}}",
        ..FOUR
    }
    .plan();
    let private = recipe(&plan).privacy;
    let wanted = LocalPrivacy {
        norm: 0.5,
        noise_multiplier: 1.1,
        delta: 1e-5,
    };
    assert_eq!(private, Some(wanted));
    assert!(
        trains(&plan).iter().all(|train| train.personal_out.is_some()),
        "a client keeps account of its steps"
    );
}

#[test]
fn encodings_without_error_feedback_keep_nothing() {
    let encodings = [
        ("delta", Encoding::Delta),
        ("fp16", Encoding::Fp16),
        ("bf16", Encoding::Bf16),
        ("{int8: {error_feedback: false}}", Encoding::Int8),
        ("{top_k: {error_feedback: false}}", Encoding::TopK { share: 0.01 }),
    ];
    for (written, encoding) in encodings {
        let federation = format!("algorithm: median\n  compression: {written}");
        let plan = Words {
            federation: &federation,
            ..FOUR
        }
        .plan();
        for train in trains(&plan) {
            assert_eq!(train.encoding, Some(encoding), "{written}");
            assert_eq!(
                (&train.residual_in, &train.residual_out),
                (&None, &None),
                "{written}"
            );
        }
    }
}

#[test]
fn clients_may_be_absent_where_the_specification_says_how_many_must_remain() {
    let plan = Words {
        federation: "algorithm: fedavg\n  min_clients: 3",
        ..FOUR
    }
    .plan();
    assert!(
        trains(&plan)
            .iter()
            .all(|train| train.absence == Some(Absence::Allowed))
    );
    assert!(
        aggregates(&plan)
            .iter()
            .all(|aggregate| aggregate.min_clients == Some(3))
    );
    let strict = FOUR.plan();
    assert!(trains(&strict).iter().all(|train| train.absence.is_none()));
    assert!(
        aggregates(&strict)
            .iter()
            .all(|aggregate| aggregate.min_clients.is_none())
    );
}

#[test]
fn central_privacy_draws_other_noise_every_round_and_keeps_account() {
    let plan = Words {
        more: "privacy: {central: {adaptive: {initial_norm: 2, count_noise: 0.6, noise_multiplier: 1, delta: 1e-5}}}",
        ..FOUR
    }
    .plan();
    let [first, second] = aggregates(&plan)[..] else {
        panic!()
    };
    let expected = CentralPrivacy::Adaptive {
        initial_norm: 2.0,
        quantile: 0.5,
        learning_rate: 0.2,
        count_noise: 0.6,
        noise_multiplier: 1.0,
        delta: 1e-5,
    };
    assert_eq!((first.privacy, second.privacy), (Some(expected), Some(expected)));
    assert_eq!(first.seed, Some(Seed(7).derive("noise/nih/1")));
    assert_eq!(second.seed, Some(Seed(7).derive("noise/nih/2")));
    assert_eq!(short(first.state_out.as_slice()), ["r0001.state"]);
    assert_eq!(short(second.state_in.as_slice()), ["r0001.state"]);
}

#[test]
fn masked_updates_are_made_with_the_keys_of_all_clients_of_the_round() {
    let plan = Words {
        clients: 6,
        federation: "algorithm: fedavg\n  fraction: 0.5",
        more: "privacy: {secure_aggregation: true}",
        ..FOUR
    }
    .plan();
    assert_eq!(keys(&plan).len(), 6, "once per client, not per round");
    assert!(reveals(&plan).is_empty(), "nobody can be absent");
    let trains = trains(&plan);
    for train in &trains {
        let own = format!("e1.nih.c{:04}.secret-key.json", train.client.0);
        assert_eq!(train.secret_key.as_ref().unwrap().as_str(), own);
        let selected = trains.iter().filter(|other| other.round == train.round);
        let expected: Vec<String> = selected
            .map(|other| format!("c{:04}.public-key", other.client.0))
            .collect();
        assert_eq!(short(&train.public_keys), expected);
        assert_eq!(expected.len(), 3);
    }
    assert!(
        aggregates(&plan)
            .iter()
            .all(|aggregate| aggregate.reveals.is_empty())
    );
}

#[test]
fn masks_are_revealed_once_all_have_trained_where_clients_may_be_absent() {
    let plan = Words {
        federation: "algorithm: fedavg\n  min_clients: 3",
        more: "privacy: {secure_aggregation: true}",
        ..FOUR
    }
    .plan();
    let reveals = reveals(&plan);
    assert_eq!(reveals.len(), 8, "every client in every round");
    for reveal in &reveals {
        let train = |client| format!("r{:04}.c{client:04}.train", reveal.round.0);
        assert_eq!(short(&reveal.train_metrics), [0, 1, 2, 3].map(train));
        assert_eq!(reveal.public_keys.len(), 4);
        assert_eq!(
            short(&[&reveal.secret_key]),
            [format!("c{:04}.secret-key", reveal.client.0)]
        );
    }
    let [first, second] = aggregates(&plan)[..] else {
        panic!()
    };
    for (aggregate, round) in [(first, 1), (second, 2)] {
        let reveal = |client| format!("r{round:04}.c{client:04}.reveal");
        assert_eq!(short(&aggregate.reveals), [0, 1, 2, 3].map(reveal));
    }
}

#[test]
fn a_tree_adds_up_in_client_order_until_one_job_may_read_the_rest() {
    let plan = Words {
        clients: 7,
        rounds: 1,
        federation: "algorithm: fedavg",
        more: "execution: {aggregation: {fan_in: 2}}",
    }
    .plan();
    let sums: Vec<(Vec<String>, Vec<String>)> = partials(&plan)
        .iter()
        .map(|partial| (short(&partial.updates), short(&[&partial.output])))
        .collect();
    let update = |client: u32| format!("r0001.c{client:04}.update");
    let partial = |level: u32, number: u32| format!("r0001.l{level}.p{number:04}.partial");
    let sum = |inputs: [String; 2], output: String| (inputs.to_vec(), vec![output]);
    assert_eq!(
        sums,
        [
            sum([update(0), update(1)], partial(0, 0)),
            sum([update(2), update(3)], partial(0, 1)),
            sum([update(4), update(5)], partial(0, 2)),
            sum([partial(0, 0), partial(0, 1)], partial(1, 0)),
            sum([partial(0, 2), update(6)], partial(1, 1)),
        ]
    );
    assert_eq!(
        short(&aggregates(&plan)[0].updates),
        [partial(1, 0), partial(1, 1)]
    );
    assert!(
        partials(&plan)
            .iter()
            .all(|partial| short(&[&partial.global]) == ["r0000.global"])
    );
}

#[test]
fn a_round_that_one_job_may_read_has_no_tree() {
    let plan = Words {
        more: "execution: {aggregation: {fan_in: 4}}",
        ..FOUR
    }
    .plan();
    assert!(partials(&plan).is_empty());
    assert_eq!(aggregates(&plan)[0].updates.len(), 4);
}

#[test]
fn new_jobs_have_names_places_and_resources() {
    let masked = Words {
        rounds: 1,
        federation: "algorithm: fedavg\n  min_clients: 3",
        more: "privacy: {secure_aggregation: true}",
        ..FOUR
    }
    .plan();
    let tree = Words {
        rounds: 1,
        more: "execution: {aggregation: {fan_in: 3}}",
        ..FOUR
    }
    .plan();
    let job = |plan: &Plan, id: &str| plan.jobs.iter().find(|job| &*job.id.0 == id).unwrap().clone();
    let usual = fedwing::check::DEFAULT_RESOURCES;
    let found = job(&masked, "keys-nih-c0002");
    assert_eq!((found.stage.round, found.stage.client.unwrap().0), (None, 2));
    assert_eq!(found.request, usual.stats);
    let found = job(&masked, "reveal-nih-r0001-c0003");
    assert_eq!(
        (found.stage.round.unwrap().0, found.stage.client.unwrap().0),
        (1, 3)
    );
    assert_eq!(found.request, usual.stats);
    let found = job(&tree, "partial-nih-r0001-l0-p0000");
    assert_eq!((found.stage.round.unwrap().0, found.stage.client), (1, None));
    assert_eq!(found.request, usual.aggregate);
}

/// Why the parts of a sound plan after `damage` are no plan.
fn refused(words: &Words<'_>, damage: impl Fn(&mut Job)) -> PlanError {
    let mut parts: Parts = (*words.plan()).clone();
    parts.jobs.iter_mut().for_each(|job| damage(&mut job.job));
    Plan::prove(parts).unwrap_err()
}

#[test]
fn a_secret_key_is_read_by_its_client_alone() {
    let masked = Words {
        rounds: 1,
        federation: "algorithm: fedavg\n  min_clients: 3",
        more: "privacy: {secure_aggregation: true}",
        ..FOUR
    };
    let by_another = refused(&masked, |job| {
        if let Job::Reveal(args) = job
            && args.client.0 == 1
        {
            args.secret_key = "e1.nih.c0000.secret-key.json".into();
        }
    });
    assert_eq!(
        by_another.to_string(),
        "`reveal-nih-r0001-c0001` reads `e1.nih.c0000.secret-key.json`, which stays with the client of `keys-nih-c0000`"
    );
    let by_the_server = refused(&masked, |job| {
        if let Job::Aggregate(args) = job {
            args.reveals.push("e1.nih.c0002.secret-key.json".into());
        }
    });
    assert!(
        matches!(by_the_server, PlanError::PrivateFile { .. }),
        "{by_the_server}"
    );
}

#[test]
fn a_residual_is_read_by_its_client_alone() {
    let compressed = Words {
        federation: "algorithm: fedavg\n  compression: int8",
        ..FOUR
    };
    let by_another = refused(&compressed, |job| {
        if let Job::Train(args) = job
            && args.round.0 == 2
            && args.client.0 == 1
        {
            args.residual_in = Some("e1.nih.r0001.c0000.residual.safetensors".into());
        }
    });
    assert_eq!(
        by_another.to_string(),
        "`train-nih-r0002-c0001` reads `e1.nih.r0001.c0000.residual.safetensors`, which stays with the client of \
         `train-nih-r0001-c0000`"
    );
    let as_an_update = refused(&compressed, |job| {
        if let Job::Aggregate(args) = job
            && args.state_in.is_none()
        {
            args.updates
                .push("e1.nih.r0001.c0000.residual.safetensors".into());
        }
    });
    assert!(
        matches!(as_an_update, PlanError::PrivateFile { .. }),
        "{as_an_update}"
    );
}

#[test]
fn the_same_words_give_the_same_plan() {
    let words = Words {
        clients: 9,
        federation: "algorithm: fedyogi\n  min_clients: 2\n  compression: int8",
        more: "execution: {aggregation: {fan_in: 2}, layout: rounds}",
        ..FOUR
    };
    assert_eq!(format!("{:?}", words.plan()), format!("{:?}", words.plan()));
}
