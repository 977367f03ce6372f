//! Do the files belong to the job? Headers of models and shards against the arguments and against each other.
//!
//! In: a header and what is expected of it. Out: nothing, or an error with the file, what was found, what was expected and
//! the way out. Start at [`Expected`].

use std::{fmt, path::Path};

use contract::{
    dataset::Split,
    ids::{ClientId, DatasetName, ExperimentName, Round, SpecDigest},
    job::JobError,
    tensors::{Header, TensorKind},
};

use crate::{
    data::shard::Shard,
    model::{Input, Model, ModelFile, Weights},
    residual::Residual,
};

/// What the files of a job must agree with.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The experiment.
    pub experiment: &'a ExperimentName,
    /// The dataset.
    pub dataset: &'a DatasetName,
    /// SHA-256 of the specification.
    pub spec_digest: &'a SpecDigest,
}

/// Whose samples a shard holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// A client's.
    Client(ClientId),
    /// Nobody's: the test samples.
    Test,
    /// Nobody's: the samples thresholds are chosen on.
    Validation,
    /// Any client's.
    AnyClient,
}

impl Expected<'_> {
    /// Opens the global model of `round` and checks that it is this experiment's.
    ///
    /// # Errors
    /// `InputMissing`, `Io`, `InputInvalid` or `NotFinite`, naming the file.
    pub fn model(&self, path: &Path, round: Round) -> Result<(Header, Model, Weights), JobError> {
        let file = ModelFile::open(path)?;
        let header = file.header()?;
        let check = Check {
            path,
            way_out: "pass the global model this job is planned with; the round before writes it",
        };
        check.equal("kind", header.kind, TensorKind::Model)?;
        self.check(check, &header)?;
        check.equal("round", Shown(header.round), Shown(Some(round)))?;
        let arch = header
            .arch
            .ok_or_else(|| JobError::invalid(path, "header field `arch`: missing"))?;
        let model = Model::new(arch, input_of(&header)).map_err(|error| JobError::invalid(path, error))?;
        let weights = file.weights(&model)?;
        Ok((header, model, weights))
    }

    /// Opens a shard and checks that it is this experiment's, of `owner`, and fits `input`.
    ///
    /// # Errors
    /// `InputMissing`, `Io` or `InputInvalid`, naming the file.
    pub fn shard(&self, path: &Path, owner: Owner, input: Input) -> Result<Shard, JobError> {
        let shard = Shard::open(path)?;
        let header = shard.header();
        let check = Check {
            path,
            way_out: "pass the shard this job is planned with, or run the dataset's `prepare` job again",
        };
        check.equal("kind", header.kind, TensorKind::Shard)?;
        self.check(check, header)?;
        match owner {
            Owner::Client(client) => check.equal("client", Shown(header.client), Shown(Some(client)))?,
            Owner::Test => check.side(&shard, Split::Test)?,
            Owner::Validation => check.side(&shard, Split::Validation)?,
            Owner::AnyClient if header.client.is_none() => {
                let side = shard.split().as_str();
                let reason = format!("it holds the {side} samples; expected a client's samples");
                return Err(JobError::invalid(path, reason).help(check.way_out));
            }
            Owner::AnyClient => {}
        }
        let found = input_of(header);
        check.equal("image size", found.image_size, input.image_size)?;
        check.equal("channels", found.channels, input.channels)?;
        check.equal("number of classes", found.classes, input.classes)?;
        Ok(shard)
    }

    /// Opens what the encoding of the client's last update left out and checks that it is this client's, of this
    /// experiment and of a round before `round`.
    ///
    /// # Errors
    /// `InputMissing`, `Io`, `InputInvalid` or `NotFinite`, naming the file.
    pub fn residual(
        &self,
        path: &Path,
        client: ClientId,
        round: Round,
        model: &Model,
    ) -> Result<Residual, JobError> {
        let file = ModelFile::open(path)?;
        let header = file.header()?;
        let check = Check {
            path,
            way_out: "pass the residual the client's last `train` job wrote, or none to start from zero",
        };
        check.equal("kind", header.kind, TensorKind::Residual)?;
        self.check(check, &header)?;
        check.equal("client", Shown(header.client), Shown(Some(client)))?;
        if header.round.is_none_or(|found| found >= round) {
            let reason = format!(
                "its round is {}, expected one before {round}",
                Shown(header.round)
            );
            return Err(JobError::invalid(path, reason).help(check.way_out));
        }
        let values = file.trained(model).map_err(|error| error.help(check.way_out))?;
        Ok(Residual::from_values(values))
    }

    /// Checks that a header is that of what `client` kept at its site in `last` round or before, for `model`.
    ///
    /// # Errors
    /// `InputInvalid` naming the file.
    pub fn personal(
        &self,
        path: &Path,
        header: &Header,
        client: ClientId,
        last: Round,
        model: &Model,
    ) -> Result<(), JobError> {
        let check = Check {
            path,
            way_out: PERSONAL_WAY_OUT,
        };
        check.equal("kind", header.kind, TensorKind::Personal)?;
        self.check(check, header)?;
        check.equal("client", Shown(header.client), Shown(Some(client)))?;
        check.equal("network", Shown(header.arch), Shown(Some(model.arch())))?;
        if header.round.is_none_or(|found| found > last) {
            let reason = format!(
                "its round is {}, expected {last} or one before",
                Shown(header.round)
            );
            return Err(JobError::invalid(path, reason).help(check.way_out));
        }
        Ok(())
    }

    /// Checks that a header is that of what the server's rule remembers after `round`.
    ///
    /// # Errors
    /// `InputInvalid` naming the file.
    pub fn state(&self, path: &Path, header: &Header, round: Round) -> Result<(), JobError> {
        let check = Check {
            path,
            way_out: "pass what `fl-aggregator` wrote as `--state-out` beside this global model",
        };
        check.equal("kind", header.kind, TensorKind::State)?;
        self.check(check, header)?;
        check.equal("round", Shown(header.round), Shown(Some(round)))
    }

    fn check(&self, check: Check<'_>, header: &Header) -> Result<(), JobError> {
        check.equal("experiment", &header.experiment, self.experiment)?;
        check.equal("dataset", &header.dataset, self.dataset)?;
        check.equal("specification", &header.spec_digest, self.spec_digest)
    }
}

/// What to do about a wrong personal file.
pub const PERSONAL_WAY_OUT: &str =
    "pass what this client's last `train` job kept (`--personal-out`), or nothing in its first round";

/// The input shape a header speaks of.
fn input_of(header: &Header) -> Input {
    Input {
        channels: header.channels,
        image_size: header.image_size,
        classes: header.num_classes,
    }
}

#[derive(Clone, Copy)]
struct Check<'a> {
    path: &'a Path,
    way_out: &'static str,
}

impl Check<'_> {
    fn side(&self, shard: &Shard, expected: Split) -> Result<(), JobError> {
        self.equal("client", Shown(shard.header().client), Shown(None))?;
        self.equal("side of the splits", shard.split().as_str(), expected.as_str())
    }

    fn equal<T: PartialEq + fmt::Display>(&self, what: &str, found: T, expected: T) -> Result<(), JobError> {
        if found == expected {
            return Ok(());
        }
        let reason = format!("its {what} is {found}, expected {expected}");
        Err(JobError::invalid(self.path, reason).help(self.way_out))
    }
}

/// A number that may not be there, in words.
#[derive(PartialEq)]
struct Shown<T>(Option<T>);

impl<T: fmt::Display> fmt::Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("none"),
        }
    }
}
