//! The `keys` job, and the keys with which a client masks and reveals.
//!
//! In: the operating system's entropy. Out: a key pair as two documents of [`contract::secure`], and [`KeyRing`], which
//! reads a client's secret and everyone's public keys back and vouches that they belong together. Start at [`run`] and
//! [`KeyRing::open`].

use std::{
    collections::BTreeMap,
    io,
    io::Write,
    path::{Path, PathBuf},
};

use contract::{
    args::KeysArgs,
    argv::InputFile,
    exit::JobExit,
    ids::{ClientId, Round},
    job::{JobError, write_json},
    secure::{FEWEST_CLIENTS, Hex32, Identity, PublicKeyFile, SecretKeyFile},
};
use kernels::secure::{Context, PublicKey, SecretKey, Seed, pair_seed};

/// Runs the job: a new secret, or the one that is there if it is this client's, and its public key.
///
/// A secret that is there is kept, so that a job that is repeated does not make the updates and keys of others useless.
///
/// # Errors
/// `InputInvalid` if one of the files is there and is another client's, another experiment's or no key, or if the
/// public key there is of another secret; `Unexpected` if the operating system gives no entropy; `Io`.
pub fn run(args: &KeysArgs) -> Result<(), JobError> {
    let KeysArgs {
        experiment,
        dataset,
        spec_digest,
        client,
        secret_key,
        public_key,
    } = args;
    let of = Identity {
        experiment: experiment.clone(),
        dataset: dataset.clone(),
        spec_digest: spec_digest.clone(),
        client: *client,
    };
    let there = if exists(public_key.path())? {
        let file = PublicKeyFile::read(public_key.path())?;
        not_overwritten(public_key.path(), &file.of, &of)?;
        Some(file)
    } else {
        None
    };
    let secret = if exists(secret_key.path())? {
        let file = SecretKeyFile::read(secret_key.path())?;
        not_overwritten(secret_key.path(), &file.of, &of)?;
        SecretKey::new(file.secret.0)
    } else if there.is_some() {
        return Err(useless_public(public_key.path()));
    } else {
        let secret = draw()?;
        write_secret(secret_key.path(), &of, &secret)?;
        secret
    };
    let public = Hex32(secret.public().0);
    if there.is_some_and(|file| file.public != public) {
        return Err(useless_public(public_key.path()));
    }
    let document = PublicKeyFile {
        fedwing_public_key: PublicKeyFile::VERSION,
        of,
        public,
    };
    write_json(public_key.path(), &document)
}

fn exists(path: &Path) -> Result<bool, JobError> {
    path.try_exists().map_err(|error| JobError::reading(path, &error))
}

fn not_overwritten(path: &Path, found: &Identity, expected: &Identity) -> Result<(), JobError> {
    if found == expected {
        return Ok(());
    }
    let reason = format!("it holds the key of {found}; it is not replaced by one of {expected}");
    Err(JobError::invalid(path, reason)
        .help("write to another folder, or remove the file if its experiment is over"))
}

fn useless_public(path: &Path) -> JobError {
    let reason = "it is not the public key of the secret key beside it, which others may already use";
    JobError::invalid(path, reason)
        .help("bring the secret key back, or remove the public keys of all clients and make all keys anew")
}

fn draw() -> Result<SecretKey, JobError> {
    let mut entropy = [0; 32];
    getrandom::fill(&mut entropy).map_err(|error| {
        JobError::new(
            JobExit::Unexpected,
            format!("the operating system gives no entropy: {error}"),
        )
    })?;
    Ok(SecretKey::new(entropy))
}

/// Writes a secret key whole, for the user alone from its first byte on, over no other file.
fn write_secret(path: &Path, of: &Identity, secret: &SecretKey) -> Result<(), JobError> {
    let document = SecretKeyFile {
        fedwing_secret_key: SecretKeyFile::VERSION,
        of: of.clone(),
        secret: Hex32(*secret.as_bytes()),
    };
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    // tempfile makes files of mode 0600.
    let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut file| {
        serde_json::to_writer_pretty(&mut file, &document)?;
        file.write_all(b"\n")?;
        file.as_file().sync_data()?;
        file.persist_noclobber(path).map_err(io::Error::from)
    });
    match written {
        Ok(_) => Ok(()),
        Err(error) => Err(JobError::writing(path, &error)),
    }
}

/// A client's secret key and the public keys of all clients it masks with, of one federation.
#[derive(Debug)]
pub struct KeyRing {
    of: Identity,
    secret: SecretKey,
    others: BTreeMap<ClientId, (PublicKey, PathBuf)>,
}

impl KeyRing {
    /// Reads the keys of client `of` and of everyone selected in a round, `of` included.
    ///
    /// # Errors
    /// `InputMissing`, `Io` or `InputInvalid` naming the file: one of another experiment, dataset or specification, two
    /// of the same client, a secret of another client. `Usage` if the client's own public key is not among them or there
    /// are fewer than [`FEWEST_CLIENTS`].
    pub fn open(of: Identity, secret: &Path, public: &[InputFile]) -> Result<Self, JobError> {
        let file = SecretKeyFile::read(secret)?;
        if file.of != of {
            let reason = format!("it holds the secret key of {}, expected that of {of}", file.of);
            return Err(
                JobError::invalid(secret, reason).help("pass the key that this client's `keys` job wrote")
            );
        }
        let key = SecretKey::new(file.secret.0);
        let mut others = BTreeMap::new();
        for path in public.iter().map(InputFile::path) {
            let PublicKeyFile {
                fedwing_public_key: _,
                of: owner,
                public,
            } = PublicKeyFile::read(path)?;
            let expected = Identity {
                client: owner.client,
                ..of.clone()
            };
            if owner != expected {
                let reason = format!("it holds the public key of {owner}, expected {expected}");
                return Err(JobError::invalid(path, reason)
                    .help("pass the keys that the `keys` jobs of this experiment wrote"));
            }
            if owner.client == of.client && public.0 != key.public().0 {
                let reason = format!("it is not the public key of `{}`", secret.display());
                return Err(
                    JobError::invalid(path, reason).help("pass both keys of one `keys` job, to every client")
                );
            }
            let before = others.insert(owner.client, (PublicKey(public.0), path.to_owned()));
            if let Some((_, before)) = before {
                let reason = format!(
                    "it holds the public key of client {}, as does `{}`",
                    owner.client,
                    before.display()
                );
                return Err(JobError::invalid(path, reason).help("pass one public key for each client"));
            }
        }
        if others.len() < FEWEST_CLIENTS {
            let text = format!(
                "{} public keys, masks need at least {FEWEST_CLIENTS}: the sum of one update is that update",
                others.len()
            );
            return Err(JobError::new(JobExit::Usage, text)
                .help("pass `--public-key` for every client selected in the round"));
        }
        if others.remove(&of.client).is_none() {
            let text = format!("no public key of client {} itself is given", of.client);
            return Err(JobError::new(JobExit::Usage, text)
                .help("pass `--public-key` for every client selected in the round, this one included"));
        }
        Ok(Self {
            of,
            secret: key,
            others,
        })
    }

    /// Whose secret key it is.
    pub fn of(&self) -> &Identity {
        &self.of
    }

    /// The other clients, in order.
    pub fn others(&self) -> impl Iterator<Item = ClientId> {
        self.others.keys().copied()
    }

    /// Number of clients, this one included.
    pub fn clients(&self) -> u64 {
        self.others.len() as u64 + 1
    }

    /// The seed of the mask shared with `other` in `round`.
    ///
    /// # Errors
    /// `Usage` if there is no key of that client; `InputInvalid` naming its file if it is no key.
    pub fn seed(&self, round: Round, other: ClientId) -> Result<Seed, JobError> {
        let (public, path) = self.others.get(&other).ok_or_else(|| {
            let text = format!("no public key of client {other} is given");
            JobError::new(JobExit::Usage, text)
        })?;
        let Identity {
            experiment,
            dataset,
            spec_digest,
            client,
        } = &self.of;
        let context = Context {
            experiment: experiment.as_str(),
            dataset: dataset.as_str(),
            spec_digest: spec_digest.as_str(),
            round: round.0,
            client: client.0,
            other: other.0,
        };
        pair_seed(&self.secret, public, &context).map_err(|error| JobError::invalid(path, error))
    }
}
