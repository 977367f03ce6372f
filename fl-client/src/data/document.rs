//! JSON documents with a version: read with a size limit, and a newer one refused by its version.

use std::path::Path;

use contract::job::{JobError, read_json};
use serde::de::DeserializeOwned;

/// The field a document keeps its version in, and the version this program reads.
#[derive(Debug, Clone, Copy)]
pub struct Version {
    /// The field's name.
    pub field: &'static str,
    /// The version this program reads.
    pub known: u32,
}

/// Reads a document of at most `limit` bytes; `version_of` takes its version.
///
/// # Errors
/// `InputMissing` or `Io` if it cannot be read; `InputInvalid` if it is too large, of another version or no such
/// document.
pub fn read<T: DeserializeOwned>(
    path: &Path,
    limit: u64,
    version: Version,
    version_of: impl Fn(&T) -> u32,
) -> Result<T, JobError> {
    let Version { field, known } = version;
    let other_version = |found: &dyn std::fmt::Display| {
        let reason = format!("it says `{field}` {found}, this program reads version {known}");
        JobError::invalid(path, reason).help("use the fedwing that wrote it")
    };
    match read_json::<T>(path, limit) {
        Ok(document) if version_of(&document) == known => Ok(document),
        Ok(document) => Err(other_version(&version_of(&document))),
        // A newer format may have fields that do not parse here: say so rather than complain about them.
        Err(error) => match read_json::<serde_json::Value>(path, limit) {
            Ok(value) if value.get(field).is_some_and(|found| *found != known) => {
                Err(other_version(&value[field]))
            }
            _ => Err(error),
        },
    }
}
