//! Files with the same bytes.
//!
//! In: files. Out: the number of groups. Files are told apart by length first, then by their first and last bytes, and
//! only those that are still alike are read whole, through a small buffer. Start at [`groups`].

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
};

use contract::job::JobError;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::data::source::tree::Found;

/// Bytes looked at at either end of a file.
const END: u64 = 4096;

type Hash = [u8; 32];

/// Groups of two files or more with the same bytes.
///
/// # Errors
/// `Io` naming the file.
pub fn groups(files: &[&Found]) -> Result<u64, JobError> {
    let lengths = by(files, |file| Ok(file.metadata()?.len()))?;
    let ends = alike(files, lengths, ends)?;
    let whole = alike(files, ends, whole)?;
    Ok(whole.len() as u64)
}

/// Parts groups further, by a key of the files' content.
fn alike(
    files: &[&Found],
    groups: Vec<Vec<usize>>,
    key: impl Fn(&mut File) -> io::Result<Hash> + Sync,
) -> Result<Vec<Vec<usize>>, JobError> {
    let mut members = Vec::new();
    for (group, indices) in groups.into_iter().enumerate() {
        members.extend(indices.into_iter().map(|index| (group, index)));
    }
    let keys: Vec<Hash> = members
        .par_iter()
        .map(|(_, index)| open(files[*index], &key))
        .collect::<Result<_, _>>()?;
    let mut parted = BTreeMap::<(usize, Hash), Vec<usize>>::new();
    for ((group, index), key) in members.into_iter().zip(keys) {
        parted.entry((group, key)).or_default().push(index);
    }
    Ok(parted.into_values().filter(|group| group.len() > 1).collect())
}

fn by(
    files: &[&Found],
    key: impl Fn(&mut File) -> io::Result<u64> + Sync,
) -> Result<Vec<Vec<usize>>, JobError> {
    let keys: Vec<u64> = files
        .par_iter()
        .map(|file| open(file, &key))
        .collect::<Result<_, _>>()?;
    let mut groups = BTreeMap::<u64, Vec<usize>>::new();
    for (index, key) in keys.into_iter().enumerate() {
        groups.entry(key).or_default().push(index);
    }
    Ok(groups.into_values().filter(|group| group.len() > 1).collect())
}

fn open<T>(file: &Found, key: impl Fn(&mut File) -> io::Result<T>) -> Result<T, JobError> {
    let opened = File::open(&file.path).and_then(|mut opened| key(&mut opened));
    opened.map_err(|error| JobError::reading(&file.path, &error))
}

fn ends(file: &mut File) -> io::Result<Hash> {
    let mut bytes = Vec::new();
    (&mut *file).take(END).read_to_end(&mut bytes)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(END)))?;
    file.take(END).read_to_end(&mut bytes)?;
    Ok(Sha256::digest(bytes).into())
}

fn whole(file: &mut File) -> io::Result<Hash> {
    let (mut digest, mut buffer) = (Sha256::new(), vec![0; 1 << 18]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(digest.finalize().into()),
            length => digest.update(&buffer[..length]),
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::data::{fixtures::text, source::tree::walk};

    #[test]
    fn files_are_alike_only_if_every_byte_is() {
        let dir = TempDir::new().unwrap();
        let long = "x".repeat(20_000);
        let mut other = long.clone();
        other.replace_range(10_000..10_001, "y");
        for (name, content) in [
            ("a", "same"),
            ("b", "same"),
            ("c/c", "same"),
            ("d", "four"),
            ("e", &long),
            ("f", &other),
            ("g", "long"),
        ] {
            text(dir.path(), name, content);
        }
        let files = walk(dir.path()).unwrap();
        let files: Vec<_> = files.iter().collect();
        assert_eq!(groups(&files).unwrap(), 1);
        text(dir.path(), "f", &long);
        assert_eq!(groups(&files).unwrap(), 2);
        assert_eq!(groups(&[]).unwrap(), 0);
    }
}
