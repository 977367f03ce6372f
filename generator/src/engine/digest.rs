//! Digests of files and folders, and a cheap sign that a file is still the same.

use std::{
    ffi::OsString,
    fmt, fs,
    io::{self, Read},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use contract::units::Bytes;
use sha2::Sha256;

/// A SHA-256 digest; printed as 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Digest([u8; 32]);

impl Digest {
    /// Reads 64 hexadecimal digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (place, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// The digest of `bytes`.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(<Sha256 as sha2::Digest>::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A file's size and content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fact {
    pub(super) size: Bytes,
    pub(super) digest: Digest,
}

/// What changes when a file is written, replaced, truncated or moved over: a cheap sign that it is still the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    pub(super) fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Reads a file whole and says what is in it.
pub(super) fn fact_of(path: &Path) -> io::Result<Fact> {
    const CHUNK: u64 = 1 << 20;
    let mut file = fs::File::open(path)?;
    let expected = file.metadata()?.len();
    let mut buffer = vec![0; expected.clamp(4096, CHUNK) as usize];
    let mut hash = <Sha256 as sha2::Digest>::new();
    let mut size = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                sha2::Digest::update(&mut hash, &buffer[..read]);
                size += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Fact {
        size: Bytes(size),
        digest: Digest(sha2::Digest::finalize(hash).into()),
    })
}

/// A file or folder outside the run, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SourceFact {
    pub(super) size: Bytes,
    /// As in [`crate::record::Event::SourceSeen`].
    pub(super) digest: String,
    /// For a file.
    pub(super) file: Option<(Fact, Identity)>,
}

/// Looks at a source: a file's whole content; a folder's names, sizes and modification times.
///
/// A folder of images is not read whole: its readers do that, and it can be larger than everything else together.
pub(super) fn source_fact(path: &Path) -> io::Result<SourceFact> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return folder_fact(path);
    }
    let fact = fact_of(path)?;
    Ok(SourceFact {
        size: fact.size,
        digest: format!("sha256:{}", fact.digest),
        file: Some((fact, Identity::of(&metadata))),
    })
}

/// Folders below are entered, links to folders are not: they could lead round in a circle.
fn folder_fact(root: &Path) -> io::Result<SourceFact> {
    let mut entries: Vec<(OsString, [i128; 2])> = Vec::new();
    let mut folders = vec![PathBuf::new()];
    let mut total = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let name = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.push(name);
                continue;
            }
            // Of a link, what it leads to; of a dangling link, the link.
            let path = entry.path();
            let metadata = fs::metadata(&path).or_else(|_| fs::symlink_metadata(&path))?;
            total += metadata.len();
            let modified = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
            entries.push((name.into_os_string(), [i128::from(metadata.len()), modified]));
        }
    }
    entries.sort_unstable();
    let mut hash = <Sha256 as sha2::Digest>::new();
    for (name, numbers) in &entries {
        sha2::Digest::update(&mut hash, name.as_bytes());
        // No name holds a zero byte: it separates.
        sha2::Digest::update(&mut hash, [0]);
        for number in numbers {
            sha2::Digest::update(&mut hash, number.to_le_bytes());
        }
    }
    Ok(SourceFact {
        size: Bytes(total),
        digest: format!("listing:{}", Digest(sha2::Digest::finalize(hash).into())),
        file: None,
    })
}

/// Applies `f` to each item on all cores; results in the order of the items.
pub(super) fn in_parallel<T: Sync, R: Send>(items: &[T], f: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(items.len());
    if threads < 2 {
        return items.iter().map(f).collect();
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let place = next.fetch_add(1, Ordering::Relaxed)
            && let Some(item) = items.get(place)
        {
            done.push((place, f(item)));
        }
        done
    };
    let mut results: Vec<(usize, R)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let joined = workers.into_iter().map(|worker| worker.join());
        joined
            .flat_map(|done| done.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    results.sort_unstable_by_key(|(place, _)| *place);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_prints_as_it_parses_and_is_that_of_sha256() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").to_string(), empty);
        assert_eq!(Digest::parse(empty), Some(Digest::of(b"")));
        assert_eq!(Digest::parse("e3"), None);
        assert_eq!(Digest::parse(&"g".repeat(64)), None);
    }

    #[test]
    fn a_files_fact_does_not_depend_on_how_it_is_read() {
        let dir = tempfile::tempdir().unwrap();
        for size in [0, 1, 4096, 4097, (1 << 20) + 3] {
            let bytes: Vec<u8> = (0..size).map(|i: u32| (i % 251) as u8).collect();
            let path = dir.path().join("f");
            fs::write(&path, &bytes).unwrap();
            let fact = fact_of(&path).unwrap();
            assert_eq!((fact.size.0, fact.digest), (u64::from(size), Digest::of(&bytes)));
        }
    }

    #[test]
    fn a_folder_changes_with_a_name_a_size_or_a_file_below() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(dir.path().join("sub/a"), "1").unwrap();
        let first = source_fact(dir.path()).unwrap();
        assert_eq!(source_fact(dir.path()).unwrap(), first);
        fs::rename(dir.path().join("sub/a"), dir.path().join("sub/b")).unwrap();
        let renamed = source_fact(dir.path()).unwrap();
        assert_ne!(renamed.digest, first.digest);
        fs::write(dir.path().join("sub/b"), "12").unwrap();
        assert_ne!(source_fact(dir.path()).unwrap().digest, renamed.digest);
        assert_eq!(source_fact(dir.path()).unwrap().size, Bytes(2));
    }

    #[test]
    fn results_of_threads_keep_the_order_of_the_items() {
        let items: Vec<u32> = (0..1000).collect();
        assert_eq!(
            in_parallel(&items, |item| item * 2),
            items.iter().map(|item| item * 2).collect::<Vec<_>>()
        );
    }
}
