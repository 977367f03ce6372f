//! The arguments of every job.
//!
//! Adding a flag here adds it to the planner, to the job and to `--help` at once; a planner that does not set it does
//! not compile.

use crate::{
    aggregation::{CentralPrivacy, Encoding, NamePattern, StrategyArg},
    argv::{ArgError, FlagInfo, InputFile, JobArgs, OutputFile, Role},
    ids::{ClientId, DatasetName, ExperimentName, Round, Seed, SpecDigest},
    job_args,
    training::{Absence, Arch, BaselineKind, Optimizer},
};

job_args! {
    /// Reads a dataset's source and writes the manifest, one shard per client and the test shard.
    pub struct PrepareArgs("prepare") {
        /// The dataset's settings (JSON).
        config: InputFile => "config",
        /// Where to write which image went to which split and client.
        manifest: OutputFile => "manifest",
        /// Where to write the shards, one per client in order.
        shards: Vec<OutputFile> => "shard",
        /// Where to write the test shard.
        test_shard: OutputFile => "test-shard",
    }
}

job_args! {
    /// Counts what a manifest gives each client.
    pub struct StatsArgs("stats") {
        /// The manifest.
        manifest: InputFile => "manifest",
        /// Where to write the statistics (JSON).
        stats: OutputFile => "stats",
    }
}

job_args! {
    /// Writes the initial global model.
    pub struct InitArgs("init") {
        /// The experiment.
        experiment: ExperimentName => "experiment",
        /// The dataset.
        dataset: DatasetName => "dataset",
        /// SHA-256 of the specification.
        spec_digest: SpecDigest => "spec-digest",
        /// The network.
        arch: Arch => "arch",
        /// Image channels, 1 or 3.
        channels: u32 => "channels",
        /// Image width and height in pixels.
        image_size: u32 => "image-size",
        /// Number of classes.
        classes: u32 => "classes",
        /// Seed of the weights.
        seed: Seed => "seed",
        /// Weights to start from instead of random ones (safetensors, torchvision's names).
        weights: Option<InputFile> => "weights",
        /// Where to write the model.
        global: OutputFile => "global",
    }
}

job_args! {
    /// Trains the global model on one client's shard and writes the update.
    pub struct TrainArgs("train") {
        /// The experiment.
        experiment: ExperimentName => "experiment",
        /// The dataset.
        dataset: DatasetName => "dataset",
        /// SHA-256 of the specification.
        spec_digest: SpecDigest => "spec-digest",
        /// The round, counted from 1.
        round: Round => "round",
        /// The client; its shard says the same or the job stops.
        client: ClientId => "client",
        /// Passes over the shard.
        epochs: u32 => "epochs",
        /// Samples per step.
        batch_size: u32 => "batch-size",
        /// Optimiser with its settings.
        optimizer: Optimizer => "optimizer",
        /// Seed of the sample order.
        seed: Seed => "seed",
        /// Threads to compute with; all cores when not given. The result does not depend on it.
        threads: Option<u32> => "threads",
        /// The global model to start from.
        global: InputFile => "global",
        /// The client's samples.
        shard: InputFile => "shard",
        /// How the update is written; the trained model's values as they are when not given.
        encoding: Option<Encoding> => "encoding",
        /// What the encoding of the client's last update left out, to be sent now.
        residual_in: Option<InputFile> => "residual-in",
        /// Where to keep what the encoding of this update leaves out; it stays with the client.
        residual_out: Option<OutputFile> => "residual-out",
        /// The client's secret key; the update is then masked and only its sum with the others' can be read.
        secret_key: Option<InputFile> => "secret-key",
        /// The public key of every client selected in the round, this one included; repeat the flag for each.
        public_keys: Vec<InputFile> => "public-key",
        /// What to do when training cannot be done; `refused` when not given.
        absence: Option<Absence> => "absence",
        /// Where to write the trained model.
        update: OutputFile => "update",
        /// Where to write the metrics.
        metrics: OutputFile => "metrics",
    }
}

job_args! {
    /// Evaluates a model on a shard.
    pub struct EvaluateArgs("evaluate") {
        /// The experiment.
        experiment: ExperimentName => "experiment",
        /// The dataset the model belongs to.
        dataset: DatasetName => "dataset",
        /// The dataset the shard belongs to.
        test_dataset: DatasetName => "test-dataset",
        /// SHA-256 of the specification.
        spec_digest: SpecDigest => "spec-digest",
        /// The round of the model.
        round: Round => "round",
        /// Samples per step.
        batch_size: u32 => "batch-size",
        /// Threads to compute with; all cores when not given. The result does not depend on it.
        threads: Option<u32> => "threads",
        /// The model.
        global: InputFile => "global",
        /// The samples.
        shard: InputFile => "shard",
        /// Where to write the metrics.
        metrics: OutputFile => "metrics",
    }
}

job_args! {
    /// Trains what federated training is compared with, and evaluates it.
    pub struct BaselineArgs("baseline") {
        /// The experiment.
        experiment: ExperimentName => "experiment",
        /// The dataset.
        dataset: DatasetName => "dataset",
        /// SHA-256 of the specification.
        spec_digest: SpecDigest => "spec-digest",
        /// Which baseline.
        kind: BaselineKind => "kind",
        /// The client, for `local_only`.
        client: Option<ClientId> => "client",
        /// Passes over the samples.
        epochs: u32 => "epochs",
        /// Samples per step.
        batch_size: u32 => "batch-size",
        /// Optimiser with its settings.
        optimizer: Optimizer => "optimizer",
        /// Seed of the sample order.
        seed: Seed => "seed",
        /// Threads to compute with; all cores when not given. The result does not depend on it.
        threads: Option<u32> => "threads",
        /// The initial model.
        global: InputFile => "global",
        /// The samples to train on: every client's shard in order, or the one client's.
        shards: Vec<InputFile> => "shard",
        /// The samples to evaluate on.
        test_shard: InputFile => "test-shard",
        /// Where to write the trained model.
        model: OutputFile => "model",
        /// Where to write the metrics.
        metrics: OutputFile => "metrics",
    }
}

job_args! {
    /// Makes the key pair with which a client's updates are masked.
    pub struct KeysArgs("keys") {
        /// The experiment.
        experiment: ExperimentName => "experiment",
        /// The dataset.
        dataset: DatasetName => "dataset",
        /// SHA-256 of the specification.
        spec_digest: SpecDigest => "spec-digest",
        /// The client.
        client: ClientId => "client",
        /// Where to write the secret key; it stays with the client.
        secret_key: OutputFile => "secret-key",
        /// Where to write the public key, for every other client.
        public_key: OutputFile => "public-key",
    }
}

job_args! {
    /// Tells the aggregator the masks a client shares with clients that are absent from a round.
    pub struct RevealArgs("reveal") {
        /// The experiment.
        experiment: ExperimentName => "experiment",
        /// The dataset.
        dataset: DatasetName => "dataset",
        /// SHA-256 of the specification.
        spec_digest: SpecDigest => "spec-digest",
        /// The round.
        round: Round => "round",
        /// The client.
        client: ClientId => "client",
        /// The client's secret key.
        secret_key: InputFile => "secret-key",
        /// The public key of every client selected in the round, this one included; repeat the flag for each.
        public_keys: Vec<InputFile> => "public-key",
        /// The training metrics of every client selected in the round, which say who is absent; repeat the flag.
        train_metrics: Vec<InputFile> => "train-metrics",
        /// Where to write the seeds of the masks shared with absent clients.
        reveal: OutputFile => "reveal",
    }
}

job_args! {
    /// Combines updates into a new global model.
    pub struct AggregateArgs("aggregate") {
        /// The rule, as JSON, as a word with settings, or the path of a file that holds JSON.
        strategy: StrategyArg => "strategy",
        /// Differential privacy of the clients: differences are clipped, their mean gets noise.
        privacy: Option<CentralPrivacy> => "privacy",
        /// Tensors that stay as they are in the global model: a name, `*` for any characters; repeat the flag.
        keep: Vec<NamePattern> => "keep",
        /// The global model the updates started from.
        global: InputFile => "global",
        /// An update, or what `partial` made of several; repeat the flag for each.
        updates: Vec<InputFile> => "update",
        /// Sample count of each update in order, where updates do not carry it (metadata `num_samples`).
        samples: Vec<u64> => "samples",
        /// Fewest clients whose updates must be there; all when not given.
        min_clients: Option<u32> => "min-clients",
        /// What a client revealed of masks shared with absent clients; repeat the flag.
        reveals: Vec<InputFile> => "reveal",
        /// Seed of the rule's random draws.
        seed: Option<Seed> => "seed",
        /// Threads to compute with; all cores when not given. The result does not depend on it.
        threads: Option<u32> => "threads",
        /// What the rule remembers from the round before; nothing when not given.
        state_in: Option<InputFile> => "state-in",
        /// Where to write what the rule remembers for the next round.
        state_out: Option<OutputFile> => "state-out",
        /// Where to write the new global model.
        output: OutputFile => "output",
        /// Where to write the metrics.
        metrics: Option<OutputFile> => "metrics",
    }
}

job_args! {
    /// Adds updates up exactly, so that a tree of such jobs gives `aggregate` the bytes it would make of all updates.
    pub struct PartialArgs("partial") {
        /// The global model the updates started from.
        global: InputFile => "global",
        /// An update, or what `partial` made of several; repeat the flag for each.
        updates: Vec<InputFile> => "update",
        /// Sample count of each update in order, where updates do not carry it.
        samples: Vec<u64> => "samples",
        /// Threads to compute with; all cores when not given. The result does not depend on it.
        threads: Option<u32> => "threads",
        /// Where to write the sum.
        output: OutputFile => "output",
    }
}

/// The binary that runs a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Binary {
    /// Per-client jobs.
    FlClient,
    /// The server step.
    FlAggregator,
}

impl Binary {
    /// Every binary.
    pub const ALL: [Binary; 2] = [Binary::FlClient, Binary::FlAggregator];

    /// Its file name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Binary::FlClient => "fl-client",
            Binary::FlAggregator => "fl-aggregator",
        }
    }
}

macro_rules! jobs {
    ($( $(#[$doc:meta])* $variant:ident($args:ident) in $binary:ident, )*) => {
        /// A job with its arguments.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Job { $( $(#[$doc])* $variant($args), )* }

        impl Job {
            /// Subcommand, purpose and flags of every job of `binary`.
            pub fn help(binary: Binary) -> Vec<(&'static str, &'static str, &'static [FlagInfo])> {
                let mut help = Vec::new();
                $( if binary == Binary::$binary { help.push(($args::NAME, $args::ABOUT, $args::FLAGS)); } )*
                help
            }

            /// The subcommand.
            pub fn name(&self) -> &'static str {
                match self { $( Job::$variant(_) => $args::NAME, )* }
            }

            /// The binary that runs it.
            pub fn binary(&self) -> Binary {
                match self { $( Job::$variant(_) => Binary::$binary, )* }
            }

            /// The command line, starting with the subcommand.
            pub fn to_argv(&self) -> Vec<String> {
                match self { $( Job::$variant(args) => args.to_argv(), )* }
            }

            /// The inverse of [`Job::to_argv`].
            ///
            /// # Errors
            /// [`ArgError`] naming the word or flag.
            pub fn from_argv<S: AsRef<str>>(argv: &[S]) -> Result<Self, ArgError> {
                let word = argv.first().map(AsRef::as_ref).unwrap_or_default();
                match word {
                    $( $args::NAME => $args::from_argv(&argv[1..]).map(Job::$variant), )*
                    _ => Err(ArgError::UnknownJob { word: word.to_owned(), known: [$( $args::NAME ),*].join(", ") }),
                }
            }

            /// Calls `see` with the role of each value, in the order of the flags.
            pub fn roles<'a>(&'a self, see: &mut dyn FnMut(Role<'a>)) {
                match self { $( Job::$variant(args) => args.roles(see), )* }
            }
        }
    };
}

jobs! {
    /// Reads a dataset's source.
    Prepare(PrepareArgs) in FlClient,
    /// Counts what each client has.
    Stats(StatsArgs) in FlClient,
    /// Writes the initial model.
    Init(InitArgs) in FlClient,
    /// Trains on one client's shard.
    Train(TrainArgs) in FlClient,
    /// Evaluates a model.
    Evaluate(EvaluateArgs) in FlClient,
    /// Trains a comparison.
    Baseline(BaselineArgs) in FlClient,
    /// Makes a client's keys.
    Keys(KeysArgs) in FlClient,
    /// Reveals masks shared with absent clients.
    Reveal(RevealArgs) in FlClient,
    /// Combines updates.
    Aggregate(AggregateArgs) in FlAggregator,
    /// Adds updates up.
    Partial(PartialArgs) in FlAggregator,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, option, prelude::*};

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
    fn number() -> impl Strategy<Value = f64> {
        any::<f64>().prop_filter("finite", |value| value.is_finite())
    }
    fn optimizer() -> impl Strategy<Value = Optimizer> {
        prop_oneof![
            (number(), number(), number()).prop_map(|(learning_rate, momentum, weight_decay)| {
                Optimizer::Sgd {
                    learning_rate,
                    momentum,
                    weight_decay,
                }
            }),
            (number(), number(), number(), number(), number()).prop_map(
                |(learning_rate, beta1, beta2, epsilon, weight_decay)| Optimizer::Adam {
                    learning_rate,
                    beta1,
                    beta2,
                    epsilon,
                    weight_decay
                }
            ),
        ]
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
        (positive(), positive(), 1e-9..0.5).prop_map(|(norm, noise_multiplier, delta)| {
            CentralPrivacy::Fixed {
                norm,
                noise_multiplier,
                delta,
            }
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
            (input(), output(), vec(output(), 0..4), output()).prop_map(
                |(config, manifest, shards, test_shard)| Job::Prepare(PrepareArgs {
                    config,
                    manifest,
                    shards,
                    test_shard
                })
            ),
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
                            seed,
                            weights,
                            global,
                        })
                    }
                ),
            (
                names(),
                any::<[u32; 4]>(),
                optimizer(),
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
                        [round, client, epochs, batch_size],
                        optimizer,
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
                            batch_size,
                            optimizer,
                            seed,
                            threads,
                            global,
                            shard,
                            encoding,
                            residual_in: private.clone(),
                            residual_out: private.as_ref().map(|file| OutputFile::from(file.as_str())),
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
                input(),
                input(),
                output()
            )
                .prop_map(
                    |(
                        (experiment, dataset, spec_digest),
                        test_dataset,
                        [round, batch_size],
                        threads,
                        global,
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
                            shard,
                            metrics,
                        })
                    }
                ),
            (
                names(),
                option::of(any::<u32>()),
                any::<[u32; 2]>(),
                optimizer(),
                any::<u64>(),
                input(),
                vec(input(), 0..4),
                input(),
                (output(), output())
            )
                .prop_map(
                    |(
                        (experiment, dataset, spec_digest),
                        client,
                        [epochs, batch_size],
                        optimizer,
                        seed,
                        global,
                        shards,
                        test_shard,
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
                            batch_size,
                            optimizer,
                            seed,
                            threads: None,
                            global,
                            shards,
                            test_shard,
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
}
