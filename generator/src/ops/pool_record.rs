//! The record of a run on a pool, made of what the run left.

use std::{
    collections::HashMap,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use contract::units::Bytes;
use sha2::{Digest, Sha256};

use super::{
    check,
    error::OpError,
    operate::{OperateError, PoolDir},
    source::Source,
};
use crate::{
    emit::dagman,
    evidence::{self, Observed},
    plan::{self, Lfn},
    record::{Event, FileFact},
};

/// How much of a file is read at once.
const PIECE: usize = 1 << 18;

/// The events of a run on a pool.
///
/// # Errors
/// The specification or the DAG cannot be read.
pub fn events(dir: &PoolDir, observed: &Observed) -> Result<Vec<Event>, OpError> {
    let spec = dir.run_dir().spec();
    let (source, synthetic) = if spec.exists() {
        let synthetic = is_synthetic(&spec);
        (spec, synthetic)
    } else {
        (dir.dag.clone().unwrap_or_else(|| dir.root.clone()), false)
    };
    let digest = digest(&source).map_err(|error| OperateError::Read {
        path: source.clone(),
        source: error,
    })?;
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let origin = evidence::Origin {
        fedwing: env!("CARGO_PKG_VERSION").to_owned(),
        source: source.display().to_string(),
        digest: digest.0,
        synthetic,
        host: host.trim().to_owned(),
    };
    let files = Arrived::of(dir)?;
    Ok(evidence::events(observed, &origin, &files))
}

/// Whether the specification has a synthetic dataset. One that this fedwing does not accept says nothing here; metrics and
/// statistics say it themselves.
fn is_synthetic(spec: &Path) -> bool {
    let checked = Source::read(spec).and_then(|source| check::accepted(&source));
    checked.is_ok_and(|(checked, _)| plan::lower(&checked).is_ok_and(|plan| plan.synthetic))
}

/// The files of a run.
struct Arrived {
    /// Where they are.
    folder: PathBuf,
    /// Those that the run deleted when no job read them any more.
    deleted: HashMap<String, FileFact>,
}

impl Arrived {
    fn of(dir: &PoolDir) -> Result<Self, OperateError> {
        let mut deleted = HashMap::new();
        let lists = fs::read_dir(dir.root.join(dagman::LISTS))
            .into_iter()
            .flatten()
            .flatten();
        for path in lists
            .map(|list| list.path())
            .filter(|path| path.extension().is_some_and(|end| end == dagman::DELETED))
        {
            let text = evidence::read_text(&path, evidence::deleted::MAX_BYTES);
            let text = text.map_err(|source| OperateError::Read { path, source })?;
            let facts = evidence::deleted::parse(&text.unwrap_or_default());
            deleted.extend(facts.into_iter().map(|fact| (fact.name.clone(), fact)));
        }
        Ok(Self {
            folder: dir.run_dir().files(),
            deleted,
        })
    }
}

impl evidence::Files for Arrived {
    fn look(&self, name: &str) -> Option<FileFact> {
        let path = self.folder.join(Lfn::new(name)?.as_str());
        let Ok((sha256, size)) = digest(&path) else {
            return self.deleted.get(name).cloned();
        };
        Some(FileFact {
            name: name.to_owned(),
            size: Bytes(size),
            sha256,
        })
    }
}

/// SHA-256 of a file, and its size.
fn digest(path: &Path) -> io::Result<(String, u64)> {
    let mut file = fs::File::open(path)?;
    let (mut digest, mut size, mut piece) = (Sha256::new(), 0, vec![0; PIECE]);
    loop {
        match file.read(&mut piece)? {
            0 => break,
            read => {
                digest.update(&piece[..read]);
                size += read as u64;
            }
        }
    }
    let digest = digest.finalize();
    Ok((digest.iter().map(|byte| format!("{byte:02x}")).collect(), size))
}
