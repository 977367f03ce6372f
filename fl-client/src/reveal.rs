//! The `reveal` job: what the aggregator needs to take the masks of absent clients out of a round's sum.
//!
//! In: a client's keys and the training metrics of everyone selected in the round, which say who is absent. Out: the
//! seeds of the masks it shares with absent clients, and no other. Start at [`run`], then [`Attendance`].

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use contract::{
    args::RevealArgs,
    argv::InputFile,
    exit::JobExit,
    ids::{ClientId, Round},
    job::{JobError, write_json},
    metrics::{Metrics, Subject},
    secure::{FEWEST_CLIENTS, Hex32, Identity, MAX_DOCUMENT, RevealFile, RevealedSeed},
};

use crate::{
    data::document::{self, Version},
    keys::KeyRing,
};

/// Runs the job.
///
/// # Errors
/// What reading keys and metrics ran into; `InputInvalid` or `Usage` if the metrics are not those of this round of every
/// client that has a public key, each once; `DataUnfit` if so many are absent that what is revealed would open the
/// update of the only one left. Nothing is written then.
pub fn run(args: &RevealArgs) -> Result<(), JobError> {
    let RevealArgs {
        experiment,
        dataset,
        spec_digest,
        round,
        client,
        secret_key,
        public_keys,
        train_metrics,
        reveal,
    } = args;
    let of = Identity {
        experiment: experiment.clone(),
        dataset: dataset.clone(),
        spec_digest: spec_digest.clone(),
        client: *client,
    };
    let keys = KeyRing::open(of, secret_key.path(), public_keys)?;
    let attendance = Attendance::read(&keys, *round, train_metrics)?;
    write_json(reveal.path(), &attendance.reveal(&keys)?)
}

/// Whether a client's masked update is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Present,
    Absent,
}

/// Who of the clients selected in a round is present, by their own word.
#[derive(Debug)]
pub struct Attendance {
    round: Round,
    clients: BTreeMap<ClientId, (Presence, PathBuf)>,
}

impl Attendance {
    /// Reads the training metrics of everyone who has a key in `keys`.
    ///
    /// # Errors
    /// `InputMissing` or `Io` for a file; `InputInvalid` naming metrics of another experiment, dataset, specification or
    /// round, of no client's training, of a client without a public key, or of a client twice; `Usage` naming a client
    /// without metrics.
    pub fn read(keys: &KeyRing, round: Round, metrics: &[InputFile]) -> Result<Self, JobError> {
        let everyone: Vec<ClientId> = keys.others().chain([keys.of().client]).collect();
        let mut clients = BTreeMap::new();
        for path in metrics.iter().map(InputFile::path) {
            let (client, presence) = read_presence(keys.of(), round, path)?;
            if !everyone.contains(&client) {
                let reason = format!("it is of client {client}, of whom no public key is given");
                return Err(JobError::invalid(path, reason)
                    .help("pass keys and metrics of the same clients: those selected in the round"));
            }
            if let Some((_, before)) = clients.insert(client, (presence, path.to_owned())) {
                let reason = format!("it is of client {client}, as is `{}`", before.display());
                return Err(JobError::invalid(path, reason).help("pass one file of metrics for each client"));
            }
        }
        match everyone.iter().find(|client| !clients.contains_key(client)) {
            None => Ok(Self { round, clients }),
            Some(client) => {
                let text =
                    format!("no training metrics of client {client} are given; it is not known to be absent");
                Err(JobError::new(JobExit::Usage, text)
                    .help("pass `--train-metrics` of every client selected in the round"))
            }
        }
    }

    fn of(&self, presence: Presence) -> impl Iterator<Item = ClientId> {
        let of = self
            .clients
            .iter()
            .filter(move |(_, (found, _))| *found == presence);
        of.map(|(client, _)| *client)
    }

    /// What `keys`' client reveals: a seed for every absent client; nothing if it is absent itself, since no mask of its
    /// own is in the sum.
    ///
    /// # Errors
    /// `DataUnfit` if fewer than [`FEWEST_CLIENTS`] are present while others are absent; `InputInvalid` naming a public
    /// key that is none.
    pub fn reveal(&self, keys: &KeyRing) -> Result<RevealFile, JobError> {
        let own = keys.of().client;
        let present: Vec<ClientId> = self.of(Presence::Present).collect();
        let mut seeds = Vec::new();
        if present.contains(&own) {
            let absent: Vec<ClientId> = self.of(Presence::Absent).collect();
            if present.len() < FEWEST_CLIENTS {
                let text = format!(
                    "only client {own} is present in round {}: with the masks it shares with absent clients its update \
                     would be in the clear",
                    self.round
                );
                return Err(JobError::new(JobExit::DataUnfit, text)
                    .help("repeat the round with more clients, or aggregate without masks"));
            }
            for client in absent {
                seeds.push(RevealedSeed {
                    absent: client,
                    seed: Hex32(keys.seed(self.round, client)?.0),
                });
            }
        }
        Ok(RevealFile {
            fedwing_reveal: RevealFile::VERSION,
            of: keys.of().clone(),
            round: self.round,
            seeds,
        })
    }
}

/// Which client the metrics at `path` are of, and whether it is present.
fn read_presence(of: &Identity, round: Round, path: &Path) -> Result<(ClientId, Presence), JobError> {
    let version = Version {
        field: "fedwing_metrics",
        known: Metrics::VERSION,
    };
    let metrics: Metrics = document::read(path, MAX_DOCUMENT, version, |metrics: &Metrics| {
        metrics.fedwing_metrics
    })?;
    let other = |what: &str, expected: &dyn std::fmt::Display| {
        let reason = format!("it is of another {what}, expected {expected}");
        Err(JobError::invalid(path, reason).help("pass the metrics that the round's `train` jobs wrote"))
    };
    if metrics.experiment.as_ref() != Some(&of.experiment) {
        return other("experiment", &of.experiment);
    }
    if metrics.dataset.as_ref() != Some(&of.dataset) {
        return other("dataset", &of.dataset);
    }
    if metrics.spec_digest.as_ref() != Some(&of.spec_digest) {
        return other("specification", &of.spec_digest);
    }
    match metrics.subject {
        Subject::Train {
            round: found,
            client,
            validation_loss: _,
            best_epoch: _,
            privacy: _,
            epoch_loss: _,
            absent,
        } if found == round => Ok((
            client,
            match absent {
                None => Presence::Present,
                Some(_) => Presence::Absent,
            },
        )),
        Subject::Train { .. } => other("round", &round),
        Subject::Aggregate { .. } | Subject::Evaluate { .. } | Subject::Baseline { .. } => {
            other("kind", &"a client's training")
        }
    }
}
