//! A workflow of anybody's as a graph, with a digest of every file it was read from.

use std::{
    cell::RefCell,
    fs,
    io::{self, Read},
};

use sha2::{Digest, Sha256};

use super::{error::OpError, source::Source};
use crate::{
    emit::{self, pegasus},
    plan::Dag,
};

/// The graph of the workflow in `source` and the SHA-256 of all that was read for it.
///
/// # Errors
/// [`OpError::Workflow`] naming file and job.
pub fn read(source: &Source) -> Result<(Dag, String), OpError> {
    let disk = Disk {
        digest: RefCell::new(Sha256::new()),
    };
    let dag = pegasus::read(&disk, &source.path.display().to_string())?;
    let digest = disk.digest.into_inner().finalize();
    Ok((dag, digest.iter().map(|byte| format!("{byte:02x}")).collect()))
}

/// Files on disk, remembered in the order they were read.
struct Disk {
    digest: RefCell<Sha256>,
}

impl emit::Source for Disk {
    fn read(&self, path: &str, limit: u64) -> io::Result<String> {
        let mut text = String::new();
        // One byte more than allowed tells a longer file without reading it whole.
        fs::File::open(path)?.take(limit + 1).read_to_string(&mut text)?;
        if text.len() as u64 > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.digest.borrow_mut().update(text.as_bytes());
        Ok(text)
    }
}
