use super::*;
use proptest::{collection::vec, option, prelude::*};
use std::collections::BTreeSet;

fn experiment() -> impl Strategy<Value = ExperimentName> {
    "[a-z][a-z0-9_-]{0,20}".prop_map(|text| ExperimentName::new(&text).unwrap())
}
fn dataset() -> impl Strategy<Value = DatasetName> {
    "[a-z][a-z0-9_-]{0,20}".prop_map(|text| DatasetName::new(&text).unwrap())
}
fn digest() -> impl Strategy<Value = SpecDigest> {
    "[0-9a-f]{64}".prop_map(|text| SpecDigest::new(&text).unwrap())
}
fn input() -> impl Strategy<Value = InputFile> {
    "\\PC{1,30}".prop_map(|text| InputFile::from(text.as_str()))
}
fn output() -> impl Strategy<Value = OutputFile> {
    "\\PC{1,30}".prop_map(|text| OutputFile::from(text.as_str()))
}
fn device() -> impl Strategy<Value = Option<DeviceChoice>> {
    prop_oneof![
        Just(None),
        Just(Some(DeviceChoice::Auto)),
        Just(Some(DeviceChoice::Cpu)),
        any::<u32>().prop_map(|place| Some(DeviceChoice::Cuda(place))),
        any::<u32>().prop_map(|place| Some(DeviceChoice::Webgpu(place))),
    ]
}
fn checkpoint() -> impl Strategy<Value = Option<CheckpointFile>> {
    option::of("\\PC{1,30}".prop_map(|text| CheckpointFile::from(text.as_str())))
}
use crate::aggregation::Strategy as Rule;
use proptest::strategy::Strategy;

fn positive() -> impl Strategy<Value = f64> {
    any::<f64>().prop_filter("finite and more than 0", |value| {
        value.is_finite() && *value > 0.0
    })
}
fn strategy() -> impl Strategy<Value = StrategyArg> {
    let settled = prop_oneof![
        Just(Rule::Fedavg),
        Just(Rule::Median),
        (positive(), 0.0..1.0).prop_map(|(learning_rate, momentum)| Rule::Fedavgm {
            learning_rate,
            momentum
        }),
        (positive(), 0.0..1.0, 0.0..1.0, positive()).prop_map(|(learning_rate, beta1, beta2, tau)| {
            Rule::Fedadam {
                learning_rate,
                beta1,
                beta2,
                tau,
            }
        }),
        (any::<u64>(), 1_u64..).prop_map(|(byzantine, keep)| Rule::MultiKrum { byzantine, keep }),
    ];
    prop_oneof![
        settled.prop_map(StrategyArg::Given),
        input().prop_map(StrategyArg::File)
    ]
}
fn privacy() -> impl Strategy<Value = CentralPrivacy> {
    (positive(), positive(), 1e-9..0.5).prop_map(|(norm, noise_multiplier, delta)| CentralPrivacy::Fixed {
        norm,
        noise_multiplier,
        delta,
    })
}
fn encoding() -> impl Strategy<Value = Encoding> {
    prop_oneof![
        Just(Encoding::Delta),
        Just(Encoding::Int8),
        (1e-6..1.0).prop_map(|share| Encoding::TopK { share })
    ]
}

fn job() -> impl Strategy<Value = Job> {
    let names = || (experiment(), dataset(), digest());
    prop_oneof![
        (
            input(),
            option::of(input()),
            option::of(any::<u32>()),
            output(),
            vec(output(), 0..4),
            output()
        )
            .prop_map(|(config, salt, threads, manifest, shards, test_shard)| {
                let salted = salt.is_some();
                Job::Prepare(PrepareArgs {
                    config,
                    salt,
                    threads,
                    manifest,
                    part: salted.then(|| Part::Clients(BTreeSet::from([ClientId(3), ClientId(11)]))),
                    shards,
                    validation_shard: salted.then(|| OutputFile::from("v")),
                    test_shard: Some(test_shard),
                    program: salted.then(|| OutputFile::from("p")),
                })
            }),
        (input(), option::of(any::<u32>()), output()).prop_map(|(root, threads, profile)| Job::Profile(
            ProfileArgs {
                root,
                threads,
                profile
            }
        )),
        (input(), output()).prop_map(|(manifest, stats)| Job::Stats(StatsArgs { manifest, stats })),
        (
            names(),
            any::<[u32; 3]>(),
            any::<u64>(),
            option::of(input()),
            output(),
            any::<bool>()
        )
            .prop_map(
                |(
                    (experiment, dataset, spec_digest),
                    [channels, image_size, classes],
                    seed,
                    weights,
                    global,
                    small,
                )| {
                    let arch = if small { Arch::SmallCnn } else { Arch::Resnet18 };
                    let seed = Seed(seed);
                    Job::Init(InitArgs {
                        experiment,
                        dataset,
                        spec_digest,
                        arch,
                        channels,
                        image_size,
                        classes,
                        target: (!small).then_some(Target::Labels),
                        seed,
                        head: weights.is_some().then_some(Head::New),
                        weights,
                        global,
                    })
                }
            ),
        (
            names(),
            any::<[u32; 3]>(),
            (input(), device(), checkpoint()),
            any::<u64>(),
            option::of(any::<u32>()),
            (
                option::of(encoding()),
                option::of(input()),
                vec(input(), 0..3),
                any::<bool>()
            ),
            input(),
            input(),
            output(),
            output()
        )
            .prop_map(
                |(
                    (experiment, dataset, spec_digest),
                    [round, client, epochs],
                    (recipe, device, checkpoint),
                    seed,
                    threads,
                    (encoding, private, public_keys, absent),
                    global,
                    shard,
                    update,
                    metrics,
                )| {
                    let (round, client, seed) = (Round(round), ClientId(client), Seed(seed));
                    Job::Train(TrainArgs {
                        experiment,
                        dataset,
                        spec_digest,
                        round,
                        client,
                        epochs,
                        recipe,
                        seed,
                        threads,
                        progress: device.map(|_| Progress::Json),
                        device,
                        checkpoint,
                        global,
                        shard,
                        encoding,
                        residual_in: private.clone(),
                        residual_out: private.as_ref().map(|file| OutputFile::from(file.as_str())),
                        personal_in: private.clone(),
                        personal_out: private.as_ref().map(|file| OutputFile::from(file.as_str())),
                        control: private.clone(),
                        secret_key: private,
                        public_keys,
                        absence: absent.then_some(Absence::Allowed),
                        update,
                        metrics,
                    })
                }
            ),
        (
            names(),
            dataset(),
            any::<[u32; 2]>(),
            option::of(any::<u32>()),
            (input(), option::of(input()), device()),
            input(),
            output()
        )
            .prop_map(
                |(
                    (experiment, dataset, spec_digest),
                    test_dataset,
                    [round, batch_size],
                    threads,
                    (global, other, device),
                    shard,
                    metrics,
                )| {
                    let round = Round(round);
                    Job::Evaluate(EvaluateArgs {
                        experiment,
                        dataset,
                        test_dataset,
                        spec_digest,
                        round,
                        batch_size,
                        threads,
                        global,
                        client: other.as_ref().map(|_| ClientId(3)),
                        personal: other.clone(),
                        shard,
                        validation_shard: other.clone(),
                        seed: device.map(|_| Seed(4)),
                        device,
                        predictions: other.map(|file| OutputFile::from(file.as_str())),
                        metrics,
                    })
                }
            ),
        (
            names(),
            option::of(any::<u32>()),
            any::<[u32; 2]>(),
            (input(), device(), checkpoint()),
            any::<u64>(),
            input(),
            vec(input(), 0..4),
            (input(), option::of(input())),
            (output(), output())
        )
            .prop_map(
                |(
                    (experiment, dataset, spec_digest),
                    client,
                    [epochs, epochs_per_round],
                    (recipe, device, checkpoint),
                    seed,
                    global,
                    shards,
                    (test_shard, validation_shard),
                    (model, metrics),
                )| {
                    let kind = if client.is_some() {
                        BaselineKind::LocalOnly
                    } else {
                        BaselineKind::Centralized
                    };
                    let (client, seed) = (client.map(ClientId), Seed(seed));
                    Job::Baseline(BaselineArgs {
                        experiment,
                        dataset,
                        spec_digest,
                        kind,
                        client,
                        epochs,
                        epochs_per_round,
                        recipe,
                        seed,
                        threads: None,
                        device,
                        progress: None,
                        checkpoint,
                        global,
                        shards,
                        test_shard,
                        validation_shard,
                        model,
                        metrics,
                    })
                }
            ),
        (
            (strategy(), option::of(privacy()), vec("\\PC{0,9}", 0..3)),
            (
                input(),
                vec(input(), 0..4),
                vec(any::<u64>(), 0..4),
                vec(input(), 0..3)
            ),
            option::of(any::<[u32; 2]>()),
            option::of(any::<u64>()),
            (
                option::of(input()),
                option::of(output()),
                output(),
                option::of(output())
            )
        )
            .prop_map(
                |(
                    (strategy, privacy, keep),
                    (global, updates, samples, reveals),
                    numbers,
                    seed,
                    (state_in, state_out, output, metrics),
                )| {
                    Job::Aggregate(AggregateArgs {
                        strategy,
                        privacy,
                        keep: keep.iter().map(|text| NamePattern::from(text.as_str())).collect(),
                        global,
                        updates,
                        samples,
                        min_clients: numbers.map(|[number, _]| number),
                        reveals,
                        seed: seed.map(Seed),
                        threads: numbers.map(|[_, number]| number),
                        state_in,
                        state_out,
                        output,
                        metrics,
                    })
                }
            ),
        (input(), vec(input(), 0..4), vec(any::<u64>(), 0..4), output()).prop_map(
            |(global, updates, samples, output)| {
                Job::Partial(PartialArgs {
                    global,
                    updates,
                    samples,
                    threads: None,
                    output,
                })
            }
        ),
        (names(), any::<u32>(), output(), output()).prop_map(
            |((experiment, dataset, spec_digest), client, secret_key, public_key)| {
                Job::Keys(KeysArgs {
                    experiment,
                    dataset,
                    spec_digest,
                    client: ClientId(client),
                    secret_key,
                    public_key,
                })
            }
        ),
        (
            names(),
            any::<[u32; 2]>(),
            input(),
            vec(input(), 0..4),
            vec(input(), 0..4),
            output()
        )
            .prop_map(
                |(
                    (experiment, dataset, spec_digest),
                    [round, client],
                    secret_key,
                    public_keys,
                    train_metrics,
                    reveal,
                )| {
                    Job::Reveal(RevealArgs {
                        experiment,
                        dataset,
                        spec_digest,
                        round: Round(round),
                        client: ClientId(client),
                        secret_key,
                        public_keys,
                        train_metrics,
                        reveal,
                    })
                }
            ),
    ]
}

proptest! {
    #[test]
    fn from_argv_inverts_to_argv(job in job()) {
        let argv = job.to_argv();
        prop_assert_eq!(Job::from_argv(&argv), Ok(job));
    }

    #[test]
    fn argv_needs_no_quoting(job in job()) {
        for word in job.to_argv() {
            let plain = |c: char| c.is_ascii_alphanumeric() || "._:=,/@%+-".contains(c);
            prop_assert!(word.chars().all(plain), "{}", word);
        }
    }

    #[test]
    fn from_argv_never_panics(words in vec("\\PC{0,20}", 0..6)) {
        let _ = Job::from_argv(&words);
    }
}

#[test]
fn a_misspelt_missing_or_doubled_flag_is_named() {
    let from = |words: &str| {
        StatsArgs::from_argv(&words.split(' ').collect::<Vec<_>>())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(from("--manifest a"), "`--stats` is missing");
    assert_eq!(
        from("--manifest a --manifest b --stats c"),
        "`--manifest` is given 2 times, it takes one value"
    );
    assert_eq!(
        from("--manifest a --stats b --state c"),
        "`--state` is not an argument of this job"
    );
    assert_eq!(from("--manifest a --stats"), "`--stats` has no value");
}

#[test]
fn files_of_a_job_come_from_its_arguments() {
    let args = StatsArgs {
        manifest: "m.json".into(),
        stats: "s.json".into(),
    };
    assert_eq!(args.inputs(), ["m.json"]);
    assert_eq!(args.outputs(), ["s.json"]);
}
