//! Shards: one client's samples, or the test or validation samples, as a safetensors file of grey pixels, class indices
//! (or 0 and 1 for each label) and hashes of patients.
//!
//! In: a path, or [`Contents`] and rows of pixels. Out: a [`Shard`] whose every claim has been checked, or a file
//! written whole or not at all. The same contents and pixels always give the same bytes. No identifier, attribute, name
//! or path is in a shard: patients are salted hashes, and images have no names.
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
    collections::HashSet,
    fs::File,
    io::{self, Read},
    ops::Range,
    path::Path,
};

use contract::{
    dataset::{Depth, Split},
    job::JobError,
    tensors::{
        Header, MAX_HEADER, NUM_PATIENTS, SHARD_IMAGES, SHARD_LABELS, SHARD_PATIENTS, SHARD_SPLIT,
        SOURCE_DIGEST, TensorKind,
    },
    training::Target,
};
use memmap2::{Mmap, MmapOptions};
use safetensors::tensor::{Dtype, Metadata};

pub use write::{Contents, Rows, write};

/// A salted hash of a patient's identifier: the first half of an HMAC-SHA256.
pub type PatientHash = [u8; 16];

/// The most classes a shard can tell apart: labels are `u8`.
pub const MAX_CLASSES: u32 = 256;

/// What to do about a shard that is not one.
const WAY_OUT: &str = "run the dataset's `prepare` job again, it writes every shard anew";

/// Pixel values of a shard: samples × height × width, row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pixels<'a> {
    /// 0 (black) to 255 (white).
    U8(&'a [u8]),
    /// 0 (black) to 65,535 (white), each the two bytes of a little-endian number: a map need not be aligned.
    U16(&'a [[u8; 2]]),
}

impl<'a> Pixels<'a> {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Pixels::U8(values) => values.len(),
            Pixels::U16(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values of `range`.
    ///
    /// # Panics
    /// If the range is not within [`Pixels::len`].
    pub fn slice(&self, range: Range<usize>) -> Pixels<'a> {
        match self {
            Pixels::U8(values) => Pixels::U8(&values[range]),
            Pixels::U16(values) => Pixels::U16(&values[range]),
        }
    }
}

/// Samples read from a file: square grey images, the class of each, and whose each is.
///
/// # Invariants
/// `pixels().len() == len() * image_size²`, `labels().len() == len() * label_columns()`, `patients().len() == len()`,
/// `len() == header().num_samples > 0`, every class is below `header().num_classes` (every label 0 or 1),
/// [`Shard::normalize`] has finite values with a divisor above 0, `num_patients()` is the number of distinct
/// `patients()`, and there is a client if and only if `split()` is training.
#[derive(Debug)]
pub struct Shard {
    header: Header,
    normalize: (f64, f64),
    split: Split,
    depth: Depth,
    map: Mmap,
    images: Range<usize>,
    labels: Box<[u8]>,
    patients: Box<[PatientHash]>,
    num_patients: u64,
    source_digest: String,
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
        let depth = match layout.metadata.info(SHARD_IMAGES).map(|info| info.dtype) {
            Some(Dtype::U16) => Depth::U16,
            _ => Depth::U8,
        };
        let images = layout.tensor(path, SHARD_IMAGES, dtype(depth), &[samples, side, side])?;
        let labels = layout.tensor(path, SHARD_LABELS, Dtype::U8, &label_shape(&header, samples))?;
        let patients = layout.tensor(path, SHARD_PATIENTS, Dtype::U8, &[samples, 16])?;
        let known = [SHARD_IMAGES, SHARD_LABELS, SHARD_PATIENTS];
        if let Some(other) = layout
            .metadata
            .offset_keys()
            .into_iter()
            .find(|name| !known.contains(&name.as_str()))
        {
            return Err(unlike(
                path,
                format!("it holds a tensor `{other}`"),
                format!("only {known:?}"),
            ));
        }
        let Facts {
            num_patients,
            source_digest,
            split,
        } = read_facts(path, &layout.metadata, &header)?;
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
        let patients = map[patients].as_chunks().0.to_vec().into_boxed_slice();
        check_patients(path, num_patients, &patients)?;
        Ok(Self {
            header,
            normalize,
            split,
            depth,
            map,
            images,
            labels,
            patients,
            num_patients,
            source_digest,
        })
    }

    /// What the file says about itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Number of samples; at least 1.
    pub fn len(&self) -> usize {
        self.patients.len()
    }

    /// Whether there are no samples: never, [`Shard::open`] refuses such a file.
    pub fn is_empty(&self) -> bool {
        self.patients.is_empty()
    }

    /// The bytes of [`Shard::pixels`]: of 8-bit images the pixel values themselves.
    pub fn images(&self) -> &[u8] {
        &self.map[self.images.clone()]
    }

    /// Pixel values: samples × height × width, row by row.
    pub fn pixels(&self) -> Pixels<'_> {
        match self.depth {
            Depth::U8 => Pixels::U8(self.images()),
            Depth::U16 => Pixels::U16(self.images().as_chunks().0),
        }
    }

    /// Bits of a pixel.
    pub fn depth(&self) -> Depth {
        self.depth
    }

    /// Class indices, one a sample; or with several labels an image 0 and 1, samples × labels, row by row.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// How many of [`Shard::labels`] a sample has: one class index, or the number of labels.
    pub fn label_columns(&self) -> usize {
        label_columns(&self.header)
    }

    /// The side of the splits its samples are on.
    pub fn split(&self) -> Split {
        self.split
    }

    /// A salted hash of whose each sample is: equal hashes are the same patient.
    pub fn patients(&self) -> &[PatientHash] {
        &self.patients
    }

    /// Number of distinct patients; at least 1.
    pub fn num_patients(&self) -> u64 {
        self.num_patients
    }

    /// The manifest's `source_digest`: the same of all shards of one dataset.
    pub fn source_digest(&self) -> &str {
        &self.source_digest
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

    /// Where the bytes of a tensor of this type and shape are, counted from the first tensor byte.
    fn tensor(
        &self,
        path: &Path,
        name: &str,
        dtype: Dtype,
        shape: &[usize],
    ) -> Result<Range<usize>, JobError> {
        let expected = || format!("`{name}` of type {dtype} and shape {shape:?} by its metadata");
        let Some(info) = self.metadata.info(name) else {
            let names = self.metadata.offset_keys();
            return Err(unlike(
                path,
                format!("it has the tensors {names:?} and no `{name}`"),
                expected(),
            ));
        };
        if info.dtype != dtype || info.shape != shape {
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

/// The type of the tensor of images.
fn dtype(depth: Depth) -> Dtype {
    match depth {
        Depth::U8 => Dtype::U8,
        Depth::U16 => Dtype::U16,
    }
}

/// How many label bytes a sample has.
fn label_columns(header: &Header) -> usize {
    match header.target {
        Target::Classes => 1,
        Target::Labels => header.num_classes as usize,
    }
}

/// The shape of the tensor of labels.
fn label_shape(header: &Header, samples: usize) -> Vec<usize> {
    match header.target {
        Target::Classes => vec![samples],
        Target::Labels => vec![samples, header.num_classes as usize],
    }
}

/// The metadata of a shard that no other tensor file has.
struct Facts {
    num_patients: u64,
    source_digest: String,
    split: Split,
}

fn read_facts(path: &Path, metadata: &Metadata, header: &Header) -> Result<Facts, JobError> {
    let fields = metadata.metadata().as_ref();
    let field = |key: &str| {
        fields
            .and_then(|fields| fields.get(key))
            .map_or("", String::as_str)
    };
    let (patients, digest, side) = (field(NUM_PATIENTS), field(SOURCE_DIGEST), field(SHARD_SPLIT));
    let Ok(num_patients) = patients.parse() else {
        let found = format!("its metadata says {NUM_PATIENTS} `{patients}`");
        return Err(unlike(path, found, "a number of patients"));
    };
    if !is_digest(digest) {
        let found = format!("its metadata says {SOURCE_DIGEST} `{digest}`");
        return Err(unlike(path, found, "64 hexadecimal digits"));
    }
    let Some(split) = Split::ALL.into_iter().find(|split| split.as_str() == side) else {
        let found = format!("its metadata says {SHARD_SPLIT} `{side}`");
        return Err(unlike(path, found, "train, validation or test"));
    };
    check_split(path, header, split)?;
    Ok(Facts {
        num_patients,
        source_digest: digest.to_owned(),
        split,
    })
}

/// Training samples are a client's, others nobody's.
fn check_split(path: &Path, header: &Header, split: Split) -> Result<(), JobError> {
    if header.client.is_some() == (split == Split::Train) {
        return Ok(());
    }
    let client = header
        .client
        .map_or("no client".to_owned(), |client| format!("client {client}"));
    Err(unlike(
        path,
        format!(
            "its metadata says {SHARD_SPLIT} `{}` and {client}",
            split.as_str()
        ),
        "a client's training samples, or other samples of none",
    ))
}

/// Whether a text is a SHA-256 as fedwing writes it.
pub(crate) fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
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
    let (values, expected) = match header.target {
        Target::Classes => (
            header.num_classes,
            format!("labels below its {} classes", header.num_classes),
        ),
        Target::Labels => (2, "0 or 1 for each label".to_owned()),
    };
    match labels.iter().position(|label| u32::from(*label) >= values) {
        Some(at) => {
            let sample = at / label_columns(header);
            Err(unlike(
                path,
                format!("sample {sample} has the label {}", labels[at]),
                expected,
            ))
        }
        None => Ok(()),
    }
}

fn check_patients(path: &Path, said: u64, patients: &[PatientHash]) -> Result<(), JobError> {
    let distinct = patients.iter().collect::<HashSet<_>>().len() as u64;
    if said == distinct {
        Ok(())
    } else {
        Err(unlike(
            path,
            format!("its metadata says {NUM_PATIENTS} {said}"),
            format!("{distinct}, as its samples are of so many"),
        ))
    }
}
