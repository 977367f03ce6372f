//! A specification as proven: every value is in range, every default filled in, every path absolute.

use std::{collections::BTreeSet, num::NonZeroU32, sync::Arc};

use contract::{
    aggregation::{CentralPrivacy, Encoding, Strategy},
    args::Job,
    dataset::DatasetConfig,
    ids::{ClientId, ExperimentName, Round, Seed, SiteName, SpecDigest},
    recipe::{DeviceChoice, Recipe},
    training::{Arch, BaselineKind, Broadcast, Head},
    units::{Bytes, Fraction, Seconds},
};

/// A proven specification.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The experiment's name; it stands in every file name.
    pub name: ExperimentName,
    /// What the experiment is for, in the author's words.
    pub intent: Option<String>,
    /// The seed everything random descends from.
    pub seed: Seed,
    /// SHA-256 of the specification's text.
    pub digest: SpecDigest,
    /// The datasets by name; each is a federation of its own. Never empty.
    pub datasets: Vec<Dataset>,
    /// The network.
    pub model: Model,
    /// How clients learn together.
    pub federation: Federation,
    /// What the result is compared with.
    pub evaluation: Evaluation,
    /// Where clients' data lives: every client is of one site. Empty when all data is in one place.
    pub sites: Vec<Arc<Site>>,
    /// How jobs are laid out and what they ask for.
    pub execution: Execution,
    /// What others may learn of a client's part.
    pub privacy: Privacy,
}

impl Checked {
    /// The site that holds the data of `client`; none when all data is in one place.
    pub fn site_of(&self, client: ClientId) -> Option<&Arc<Site>> {
        self.sites.iter().find(|site| site.clients.contains(&client))
    }
}

/// A place where clients' data lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Its name; neither the submit host's nor that of the site other jobs run on.
    pub name: SiteName,
    /// Its clients; not empty.
    pub clients: BTreeSet<ClientId>,
    /// Absolute path of its folder, which all its machines see.
    pub data: String,
    /// A ClassAd expression that holds on its machines alone; one line.
    pub requirements: String,
    /// Whether it keeps the program of its clients' jobs, which then comes there once.
    pub keeps_program: bool,
}

/// A dataset, as `prepare` will read it.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// Its settings, name included.
    pub config: DatasetConfig,
}

/// The network.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Which network.
    pub arch: Arch,
    /// Absolute path of the weights to start from; random ones when none.
    pub weights: Option<String>,
    /// What becomes of the last layer in that file where it has another size.
    pub head: Option<Head>,
}

/// How clients learn together.
#[derive(Debug, Clone, PartialEq)]
pub struct Federation {
    /// The algorithm's word in the specification.
    pub algorithm: &'static str,
    /// The aggregation rule; see [`Federation::strategy_for`].
    pub strategy: Strategy,
    /// Number of rounds, at least 1.
    pub rounds: u32,
    /// Share of clients trained in each round.
    pub fraction: Fraction,
    /// Fewest clients a round may be left with, at most those it selects; all of them when none.
    pub min_clients: Option<u32>,
    /// How updates are written; as plain values when none.
    pub compression: Option<Compression>,
    /// How the global model is written on its way to the clients, by its values; as it is when none.
    pub broadcast: Option<Broadcast>,
    /// Passes over a client's samples in a round, at least 1.
    pub epochs: u32,
    /// How a client trains.
    pub recipe: Recipe,
}

impl Federation {
    /// The aggregation rule of a dataset with that many clients: SCAFFOLD weighs by their number.
    pub fn strategy_for(&self, clients: u32) -> Strategy {
        match self.strategy {
            Strategy::Scaffold {
                learning_rate,
                clients: _,
            } => Strategy::Scaffold {
                learning_rate,
                clients: clients.into(),
            },
            other => other,
        }
    }
}

/// How updates are written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Compression {
    /// The encoding.
    pub encoding: Encoding,
    /// Whether a client adds what the encoding left out to its next update.
    pub error_feedback: bool,
}

/// What others may learn of a client's part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Privacy {
    /// Differential privacy given by the aggregator.
    pub central: Option<CentralPrivacy>,
    /// Whether updates are masked so that only their sum can be read.
    pub secure_aggregation: bool,
}

/// What the result is compared with.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Baselines to train.
    pub baselines: BTreeSet<BaselineKind>,
    /// Whether each dataset's final model is also tested on the other datasets.
    pub cross_dataset: bool,
    /// Whether results carry intervals.
    pub intervals: bool,
    /// Whether the final model's outputs for every test sample are kept.
    pub predictions: bool,
    /// Whether clients' own models are tested, where they have any.
    pub personal: bool,
}

/// How jobs are laid out and what they ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct Execution {
    /// One workflow, or sub-workflows of rounds.
    pub layout: Layout,
    /// Where models are trained and tested.
    pub device: DeviceChoice,
    /// What each kind of job asks for.
    pub resources: Resources,
    /// Attempts after the first.
    pub retries: u32,
    /// Most updates one job reads, at least 2; no limit when none.
    pub fan_in: Option<u32>,
    /// Most clients that one job trains, at least 1.
    pub clients_per_job: u32,
    /// What runs on the submit host, where files between jobs lie.
    pub submit_host: SubmitHost,
    /// Settings of the Pegasus target.
    pub pegasus: PegasusSettings,
}

/// Steps of the server that run on the submit host, and so move no file; on other machines where not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubmitHost {
    /// Writing initial models.
    pub init: bool,
    /// Making new global models.
    pub aggregate: bool,
    /// Testing models on held-out samples, but for those of one client.
    pub evaluate: bool,
}

/// How the plan becomes workflows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One workflow holds every job.
    Flat,
    /// A sub-workflow per dataset and round.
    Rounds,
    /// A sub-workflow per dataset and so many rounds; the last may have fewer.
    Chunks {
        /// Rounds of a sub-workflow.
        rounds: NonZeroU32,
    },
}

impl Layout {
    /// The first and the last of the rounds that stand in one sub-workflow with `round`, which is counted from 1, of
    /// `rounds` in all; none where there are no sub-workflows.
    pub fn together(self, round: Round, rounds: u32) -> Option<(Round, Round)> {
        match self {
            Layout::Flat => None,
            Layout::Rounds => Some((round, round)),
            Layout::Chunks { rounds: chunk } => {
                let chunk = chunk.get();
                let first = (round.0 - 1) / chunk * chunk + 1;
                let last = first.saturating_add(chunk - 1).min(rounds);
                Some((Round(first), Round(last)))
            }
        }
    }
}

/// What a job asks its machine for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// CPU cores, at least 1.
    pub cpus: u32,
    /// Memory.
    pub memory: Bytes,
    /// GPUs.
    pub gpus: u32,
    /// Longest run time.
    pub walltime: Seconds,
}

/// What each kind of job asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resources {
    /// `prepare` jobs.
    pub prepare: Request,
    /// `stats`, `keys` and `reveal` jobs.
    pub stats: Request,
    /// `init` jobs.
    pub init: Request,
    /// `train` jobs.
    pub train: Request,
    /// `aggregate`, `partial` and `broadcast` jobs.
    pub aggregate: Request,
    /// `evaluate` jobs.
    pub evaluate: Request,
    /// `baseline` jobs.
    pub baseline: Request,
}

impl Resources {
    /// What `job` asks for.
    pub fn of(&self, job: &Job) -> Request {
        match job {
            Job::Prepare(_) | Job::Profile(_) => self.prepare,
            Job::Stats(_) | Job::Keys(_) | Job::Reveal(_) => self.stats,
            Job::Init(_) => self.init,
            Job::Train(_) => self.train,
            // One after the other: as much memory as one, and as much time as all.
            Job::TrainClients(args) => Request {
                walltime: Seconds(self.train.walltime.0.saturating_mul(args.clients.len() as u64)),
                ..self.train
            },
            Job::Aggregate(_) | Job::Partial(_) | Job::Broadcast(_) => self.aggregate,
            Job::Evaluate(_) => self.evaluate,
            Job::Baseline(_) => self.baseline,
        }
    }
}

/// Settings of the Pegasus target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PegasusSettings {
    /// `pegasus.data.configuration`.
    pub data_configuration: String,
    /// The site jobs run on.
    pub compute_site: String,
}
