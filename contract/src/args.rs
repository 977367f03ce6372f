//! The arguments of every job.
//!
//! Adding a flag here adds it to the planner, to the job and to `--help` at once; a planner that does not set it does
//! not compile.

use crate::{
    aggregation::{CentralPrivacy, Encoding, NamePattern, StrategyArg},
    argv::{ArgError, CheckpointFile, FlagInfo, InputFile, JobArgs, OutputFile, Role},
    dataset::Part,
    ids::{ClientId, DatasetName, ExperimentName, Round, Seed, SpecDigest},
    job_args,
    recipe::DeviceChoice,
    training::{Absence, Arch, BaselineKind, Broadcast, Head, Progress, Target},
};

job_args! {
    /// Reads a dataset's source and writes the manifest, one shard per client and the test shard, or some of the shards.
    pub struct PrepareArgs("prepare") {
        /// The dataset's settings (JSON).
        config: InputFile => "config",
        /// A secret of the site that patients' hashes in shards are salted with; the seed when not given, which hides
        /// identifiers from a glance only.
        salt: Option<InputFile> => "salt",
        /// Threads to compute with; all cores when not given. The result does not depend on it.
        threads: Option<u32> => "threads",
        /// Where to write which image went to which split and client.
        manifest: OutputFile => "manifest",
        /// Which samples to prepare: `held_out`, those of no client, or the numbers of clients, such as `0,3`. Only their images
        /// are read, and every sample is placed as if all were prepared. All samples when not given.
        part: Option<Part> => "part",
        /// Where to write the shards, one per client that is prepared, in order.
        shards: Vec<OutputFile> => "shard",
        /// Where to write the test shard, where held-out samples are prepared.
        test_shard: Option<OutputFile> => "test-shard",
        /// Where to write the shard that thresholds are chosen on, where the settings ask for one.
        validation_shard: Option<OutputFile> => "validation-shard",
        /// Where to put a copy of this program, for the site's other jobs to run; none when not given.
        program: Option<OutputFile> => "program",
    }
}

job_args! {
    /// Summarises any folder of images: what is there, what could be used and what not, and why.
    pub struct ProfileArgs("profile") {
        /// The folder, sub-folders included.
        root: InputFile => "root",
        /// Threads to compute with; all cores when not given. The result does not depend on it.
        threads: Option<u32> => "threads",
        /// Where to write the profile (JSON); the text goes to standard output.
        profile: OutputFile => "profile",
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
        /// Number of classes or labels.
        classes: u32 => "classes",
        /// What the outputs are about; `classes` when not given.
        target: Option<Target> => "target",
        /// Seed of the weights.
        seed: Seed => "seed",
        /// Weights to start from instead of random ones (safetensors or PyTorch's .pt, torchvision's names). Where the
        /// network takes grey images and the file's takes colour, the first layer's weights are summed over the colours.
        weights: Option<InputFile> => "weights",
        /// What to do where the file's head has another size; `kept` when not given, which refuses it.
        head: Option<Head> => "head",
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
        /// How to train (JSON).
        recipe: InputFile => "recipe",
        /// Seed of the sample order and of every other draw.
        seed: Seed => "seed",
        /// Threads to compute with; all cores when not given. The result does not depend on it.
        threads: Option<u32> => "threads",
        /// Where to compute; `cpu` when not given.
        device: Option<DeviceChoice> => "device",
        /// How to tell of progress; `text` on a terminal and `none` elsewhere when not given.
        progress: Option<Progress> => "progress",
        /// Where to keep what an interrupted job goes on from, after every epoch and on SIGTERM; read if it is there.
        checkpoint: Option<CheckpointFile> => "checkpoint",
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
        /// What the client kept at its site after its last round, where the recipe has it keep something.
        personal_in: Option<InputFile> => "personal-in",
        /// Where to keep it after this round.
        personal_out: Option<OutputFile> => "personal-out",
        /// What the server's rule remembers, for SCAFFOLD's control variate; zeros when not given.
        control: Option<InputFile> => "control",
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
    /// Trains the global model on the shards of several clients, one after the other, and writes their updates.
    ///
    /// Flags that are repeated stand once a client, in the order of the clients; those that may be left out are left out for
    /// all. [`TrainClientsArgs::each`] is the same job as one of each client.
    pub struct TrainClientsArgs("train-clients") {
        /// The experiment.
        experiment: ExperimentName => "experiment",
        /// The dataset.
        dataset: DatasetName => "dataset",
        /// SHA-256 of the specification.
        spec_digest: SpecDigest => "spec-digest",
        /// The round, counted from 1.
        round: Round => "round",
        /// The clients; repeat this flag and those that say so for each client, in one order.
        clients: Vec<ClientId> => "client",
        /// Passes over a shard.
        epochs: u32 => "epochs",
        /// How to train (JSON).
        recipe: InputFile => "recipe",
        /// Seed of each client's sample order and of every other draw; repeat the flag.
        seeds: Vec<Seed> => "seed",
        /// Threads to compute with; all cores when not given. The result does not depend on it.
        threads: Option<u32> => "threads",
        /// Where to compute; `cpu` when not given.
        device: Option<DeviceChoice> => "device",
        /// How to tell of progress; `text` on a terminal and `none` elsewhere when not given.
        progress: Option<Progress> => "progress",
        /// Where to keep what an interrupted job goes on from with each client; repeat the flag, or leave it out.
        checkpoints: Vec<CheckpointFile> => "checkpoint",
        /// The global model to start from.
        global: InputFile => "global",
        /// Each client's samples; repeat the flag.
        shards: Vec<InputFile> => "shard",
        /// How updates are written; the trained models' values as they are when not given.
        encoding: Option<Encoding> => "encoding",
        /// What the encoding of each client's last update left out; repeat the flag, or leave it out.
        residuals_in: Vec<InputFile> => "residual-in",
        /// Where to keep what the encoding of each update leaves out; repeat the flag, or leave it out.
        residuals_out: Vec<OutputFile> => "residual-out",
        /// What each client kept at its site after its last round; repeat the flag, or leave it out.
        personals_in: Vec<InputFile> => "personal-in",
        /// Where to keep it after this round; repeat the flag, or leave it out.
        personals_out: Vec<OutputFile> => "personal-out",
        /// What the server's rule remembers, for SCAFFOLD's control variate; zeros when not given.
        control: Option<InputFile> => "control",
        /// What to do when a client's training cannot be done; `refused` when not given.
        absence: Option<Absence> => "absence",
        /// Where to write each trained model; repeat the flag.
        updates: Vec<OutputFile> => "update",
        /// Where to write the metrics of each client; repeat the flag.
        metrics: Vec<OutputFile> => "metrics",
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
        /// The client whose own parts to evaluate in place of the model's.
        client: Option<ClientId> => "client",
        /// What that client kept at its site.
        personal: Option<InputFile> => "personal",
        /// The samples.
        shard: InputFile => "shard",
        /// Other samples, of other patients, to choose each class's or label's threshold on: the one with the largest sum
        /// of sensitivity and specificity. The most probable class, or one half, when not given.
        validation_shard: Option<InputFile> => "validation-shard",
        /// Seed of the draws behind confidence intervals; no intervals when not given.
        seed: Option<Seed> => "seed",
        /// Where to compute; `cpu` when not given.
        device: Option<DeviceChoice> => "device",
        /// Where to write every sample's outputs, from which all metrics can be computed again.
        predictions: Option<OutputFile> => "predictions",
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
        /// Epochs that count as one round in the recipe's schedule.
        epochs_per_round: u32 => "epochs-per-round",
        /// How to train (JSON).
        recipe: InputFile => "recipe",
        /// Seed of the sample order and of every other draw.
        seed: Seed => "seed",
        /// Threads to compute with; all cores when not given. The result does not depend on it.
        threads: Option<u32> => "threads",
        /// Where to compute; `cpu` when not given.
        device: Option<DeviceChoice> => "device",
        /// How to tell of progress; `text` on a terminal and `none` elsewhere when not given.
        progress: Option<Progress> => "progress",
        /// Where to keep what an interrupted job goes on from, after every epoch and on SIGTERM; read if it is there.
        checkpoint: Option<CheckpointFile> => "checkpoint",
        /// The initial model.
        global: InputFile => "global",
        /// The samples to train on: every client's shard in order, or the one client's.
        shards: Vec<InputFile> => "shard",
        /// The samples to evaluate on.
        test_shard: InputFile => "test-shard",
        /// Other samples to choose thresholds on.
        validation_shard: Option<InputFile> => "validation-shard",
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

job_args! {
    /// Writes a new global model smaller for its way to the clients, and what they start from when they have read it.
    ///
    /// What rounding takes is not lost: the rule combines what clients made of `start`, and the difference between it and the
    /// global model is added to the next one.
    pub struct BroadcastArgs("broadcast") {
        /// How trained values are written: `fp16`, `bf16` or `int8`.
        encoding: Broadcast => "encoding",
        /// The model: the initial one, or what the rule made of a round's updates.
        model: InputFile => "model",
        /// The global model of the round before; not for the initial one.
        before: Option<InputFile> => "before",
        /// What clients started from after it; not for the initial one.
        start_before: Option<InputFile> => "start-before",
        /// Where to write the new global model: `model` and what was rounded off before; not for the initial one.
        global: Option<OutputFile> => "global",
        /// Where to write what clients start from, as the rule reads it; none after the last round.
        start: Option<OutputFile> => "start",
        /// Where to write what is sent to the clients; none after the last round.
        broadcast: Option<OutputFile> => "broadcast",
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
    /// Summarises a folder.
    Profile(ProfileArgs) in FlClient,
    /// Counts what each client has.
    Stats(StatsArgs) in FlClient,
    /// Writes the initial model.
    Init(InitArgs) in FlClient,
    /// Trains on one client's shard.
    Train(TrainArgs) in FlClient,
    /// Trains on the shards of several clients.
    TrainClients(TrainClientsArgs) in FlClient,
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
    /// Writes the global model smaller.
    Broadcast(BroadcastArgs) in FlAggregator,
}

mod clients;

#[cfg(test)]
mod tests;
