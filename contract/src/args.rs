//! The arguments of every job.
//!
//! Adding a flag here adds it to the planner, to the job and to `--help` at once; a planner that does not set it does
//! not compile.

use crate::{
    argv::{ArgError, FlagInfo, InputFile, JobArgs, OutputFile, Role},
    ids::{ClientId, DatasetName, ExperimentName, Round, Seed, SpecDigest},
    job_args,
    training::{Arch, BaselineKind, Optimizer, Strategy},
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
    /// Combines updates into a new global model.
    pub struct AggregateArgs("aggregate") {
        /// The rule, as JSON or a bare word.
        strategy: Strategy => "strategy",
        /// The global model the updates started from.
        global: InputFile => "global",
        /// An update; repeat the flag for each.
        updates: Vec<InputFile> => "update",
        /// Sample count of each update in order, where updates do not carry it.
        samples: Vec<u64> => "samples",
        /// Seed of the rule's random draws.
        seed: Option<Seed> => "seed",
        /// Where to write the new global model.
        output: OutputFile => "output",
        /// Where to write the metrics.
        metrics: Option<OutputFile> => "metrics",
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
    /// Combines updates.
    Aggregate(AggregateArgs) in FlAggregator,
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
    use super::Strategy as Rule;
    use proptest::strategy::Strategy;

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
                input(),
                vec(input(), 0..4),
                vec(any::<u64>(), 0..4),
                option::of(any::<u64>()),
                output(),
                option::of(output())
            )
                .prop_map(|(global, updates, samples, seed, output, metrics)| {
                    let (strategy, seed) = (Rule::Fedavg, seed.map(Seed));
                    Job::Aggregate(AggregateArgs {
                        strategy,
                        global,
                        updates,
                        samples,
                        seed,
                        output,
                        metrics,
                    })
                }),
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
