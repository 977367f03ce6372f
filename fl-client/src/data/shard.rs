//! Shards: one client's samples, or the test samples, as a safetensors file of grey pixels and class indices.
//!
//! In: a path, or a header, labels and rows of pixels. Out: a [`Shard`] whose every claim has been checked, or a file
//! written whole or not at all. The same header, labels and pixels always give the same bytes.
//! Start at [`Shard::open`]; [`write()`] makes what it reads.
//!
//! # Memory maps and files that change
//! Pixels are mapped, not read: a job touches them in random order, many times, and jobs on one machine share the page
//! cache. Nothing in fedwing writes to a shard in place (every writer renames a finished file over the old one, and the
//! map keeps the old one alive), so a mapped shard keeps its bytes. Should somebody else cut the file while it is
//! mapped, the kernel ends the process with SIGBUS, which counts as a failure worth another attempt, and that attempt's
//! [`Shard::open`] names the missing bytes. Labels are copied when they are checked, so an index in range stays in range.

#[cfg(test)]
mod tests;
mod write;

use std::{
    fs::File,
    io::{self, Read},
    ops::Range,
    path::Path,
};

use contract::{
    job::JobError,
    tensors::{Header, MAX_HEADER, SHARD_IMAGES, SHARD_LABELS, TensorKind},
};
use memmap2::{Mmap, MmapOptions};
use safetensors::tensor::{Dtype, Metadata};

pub use write::{Rows, write};

/// The most classes a shard can tell apart: labels are `u8`.
pub const MAX_CLASSES: u32 = 256;

/// What to do about a shard that is not one.
const WAY_OUT: &str = "run the dataset's `prepare` job again, it writes every shard anew";

/// Samples read from a file: square grey images and the class of each.
///
/// # Invariants
/// `images().len() == len() * image_size²`, `labels().len() == len()`, `len() == header().num_samples > 0`, every label is
/// below `header().num_classes`, and [`Shard::normalize`] has finite values with a divisor above 0.
#[derive(Debug)]
pub struct Shard {
    header: Header,
    normalize: (f64, f64),
    map: Mmap,
    images: Range<usize>,
    labels: Box<[u8]>,
}

impl Shard {
    /// Maps a shard and checks all it says about itself.
    ///
    /// # Errors
    /// `InputMissing` if there is no such file; `Io` if it cannot be read; `InputInvalid` if it is cut short, is not
    /// safetensors, is not a shard of this format version, or its tensors contradict its header. Each names the file,
    /// what was found, what was expected and the way out.
    pub fn open(path: &Path) -> Result<Self, JobError> {
        let (file, layout) = Layout::read(path)?;
        let header = read_header(path, &layout.metadata)?;
        let normalize = check_header(path, &header)?;
        let samples = usize::try_from(header.num_samples.0).unwrap_or(usize::MAX);
        let side = header.image_size as usize;
        let images = layout.tensor(path, SHARD_IMAGES, &[samples, side, side])?;
        let labels = layout.tensor(path, SHARD_LABELS, &[samples])?;
        if let Some(other) = layout.metadata.offset_keys().into_iter().find(|name| {
            let name = name.as_str();
            name != SHARD_IMAGES && name != SHARD_LABELS
        }) {
            return Err(unlike(
                path,
                format!("it holds a tensor `{other}`"),
                format!("only `{SHARD_IMAGES}` and `{SHARD_LABELS}`"),
            ));
        }
        // SAFETY: the map is read-only and of a file that fedwing never writes in place; the module's documentation
        // says what happens when somebody else does.
        let map = unsafe {
            MmapOptions::new()
                .offset(layout.data_start)
                .len(layout.metadata.data_len())
                .map(&file)
        }
        .map_err(|error| JobError::reading(path, &error))?;
        let labels = map[labels].to_vec().into_boxed_slice();
        check_labels(path, &header, &labels)?;
        Ok(Self {
            header,
            normalize,
            map,
            images,
            labels,
        })
    }

    /// What the file says about itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Number of samples; at least 1.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no samples: never, [`Shard::open`] refuses such a file.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Pixel values, 0 (black) to 255 (white): samples × height × width, row by row.
    pub fn images(&self) -> &[u8] {
        &self.map[self.images.clone()]
    }

    /// Class indices, one a sample.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// What to subtract from pixel values scaled to 0..1, and what to divide the rest by.
    pub fn normalize(&self) -> (f64, f64) {
        self.normalize
    }
}

/// An error that says what was found and what was expected instead.
fn unlike(path: &Path, found: impl std::fmt::Display, expected: impl std::fmt::Display) -> JobError {
    JobError::invalid(path, format!("{found}; expected {expected}")).help(WAY_OUT)
}

/// The parsed JSON header of a safetensors file whose length agrees with it.
struct Layout {
    metadata: Metadata,
    data_start: u64,
}

impl Layout {
    fn read(path: &Path) -> Result<(File, Self), JobError> {
        let reading = |error: io::Error| JobError::reading(path, &error);
        // Asked before opening: opening a named pipe would wait for a writer.
        if !std::fs::metadata(path).map_err(reading)?.is_file() {
            return Err(unlike(path, "it is not a regular file", "a shard"));
        }
        let mut file = File::open(path).map_err(reading)?;
        let size = file.metadata().map_err(reading)?.len();
        if size < 8 {
            return Err(unlike(
                path,
                format!("it has {size} bytes"),
                "at least the 8 of a safetensors header length",
            ));
        }
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(reading)?;
        let length = u64::from_le_bytes(length);
        if length > MAX_HEADER {
            return Err(unlike(
                path,
                format!("its first 8 bytes announce a header of {length} bytes"),
                format!("a safetensors header of at most {MAX_HEADER}"),
            ));
        }
        let data_start = 8 + length;
        if size < data_start {
            return Err(unlike(
                path,
                format!("it is cut short: {size} bytes"),
                format!("{data_start} for the header alone"),
            ));
        }
        // At most MAX_HEADER, and the file is known to have as many bytes.
        let mut json = vec![0; length as usize];
        file.read_exact(&mut json).map_err(reading)?;
        let metadata: Metadata = serde_json::from_slice(&json).map_err(|error| {
            unlike(
                path,
                format!("its header is not a safetensors header ({error})"),
                "a shard",
            )
        })?;
        let expected = data_start.saturating_add(metadata.data_len() as u64);
        if size != expected {
            let found = if size < expected { "cut short" } else { "too long" };
            return Err(unlike(
                path,
                format!("it is {found}: {size} bytes"),
                format!("{expected} by its own header"),
            ));
        }
        Ok((file, Self { metadata, data_start }))
    }

    /// Where the bytes of a `u8` tensor of this shape are, counted from the first tensor byte.
    fn tensor(&self, path: &Path, name: &str, shape: &[usize]) -> Result<Range<usize>, JobError> {
        let expected = || format!("`{name}` of type U8 and shape {shape:?} by its metadata");
        let Some(info) = self.metadata.info(name) else {
            let names = self.metadata.offset_keys();
            return Err(unlike(
                path,
                format!("it has the tensors {names:?} and no `{name}`"),
                expected(),
            ));
        };
        if info.dtype != Dtype::U8 || info.shape != shape {
            return Err(unlike(
                path,
                format!(
                    "tensor `{name}` has type {} and shape {:?}",
                    info.dtype, info.shape
                ),
                expected(),
            ));
        }
        Ok(info.data_offsets.0..info.data_offsets.1)
    }
}

fn read_header(path: &Path, metadata: &Metadata) -> Result<Header, JobError> {
    let fields = metadata.metadata().as_ref();
    Header::from_metadata(|key| fields.and_then(|fields| fields.get(key)).map(String::as_str))
        .map_err(|error| unlike(path, error, "a shard written by `prepare`"))
}

/// Checks what the type of [`Header`] leaves open for shards; returns the normalisation.
fn check_header(path: &Path, header: &Header) -> Result<(f64, f64), JobError> {
    let unlike = |found: String, expected: String| Err(unlike(path, found, expected));
    if header.kind != TensorKind::Shard {
        return unlike(format!("it holds a {}", header.kind), "a shard".to_owned());
    }
    if header.num_samples.0 == 0 {
        return unlike("it has no samples".to_owned(), "at least 1".to_owned());
    }
    if header.image_size == 0 || !matches!(header.channels, 1 | 3) {
        let (size, channels) = (header.image_size, header.channels);
        return unlike(
            format!("its metadata says image_size {size} and channels {channels}"),
            "an image_size of at least 1 and 1 or 3 channels".to_owned(),
        );
    }
    if header.num_classes == 0 || header.num_classes > MAX_CLASSES {
        return unlike(
            format!("its metadata says {} classes", header.num_classes),
            format!("1 to {MAX_CLASSES}"),
        );
    }
    if header.classes.len() != header.num_classes as usize {
        return unlike(
            format!("its metadata names {} classes", header.classes.len()),
            format!("{} by `num_classes`", header.num_classes),
        );
    }
    match header.normalize {
        Some((mean, std)) if mean.is_finite() && std.is_finite() && std > 0.0 => Ok((mean, std)),
        other => unlike(
            format!("its metadata says normalize {other:?}"),
            "a finite mean and a finite divisor above 0".to_owned(),
        ),
    }
}

fn check_labels(path: &Path, header: &Header, labels: &[u8]) -> Result<(), JobError> {
    let classes = header.num_classes;
    match labels.iter().position(|label| u32::from(*label) >= classes) {
        Some(sample) => Err(unlike(
            path,
            format!("sample {sample} has the label {}", labels[sample]),
            format!("labels below its {classes} classes"),
        )),
        None => Ok(()),
    }
}
