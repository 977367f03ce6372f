//! Writing shards: a header, then the pixels as they come, then labels and patients.

use std::{
    collections::HashSet,
    io::{self, Write},
    path::Path,
};

use contract::{
    dataset::{Depth, Split},
    exit::JobExit,
    job::{JobError, write_whole},
    tensors::{
        Header, NUM_PATIENTS, SHARD_IMAGES, SHARD_LABELS, SHARD_PATIENTS, SHARD_SPLIT, SOURCE_DIGEST,
        TensorInfo, encode_header,
    },
};

use super::{
    PatientHash, check_header, check_labels, check_split, dtype, is_digest, label_columns, label_shape,
};

/// All of a shard but its pixels.
#[derive(Debug, Clone, Copy)]
pub struct Contents<'a> {
    /// What the file says about itself; `num_samples` is the number of patients.
    pub header: &'a Header,
    /// The side of the splits the samples are on.
    pub split: Split,
    /// Bits of a pixel.
    pub depth: Depth,
    /// The class of each sample, or 0 and 1 for each of its labels.
    pub labels: &'a [u8],
    /// Whose each sample is.
    pub patients: &'a [PatientHash],
    /// The manifest's `source_digest`.
    pub source_digest: &'a str,
}

impl Contents<'_> {
    /// Bytes of the pixels of a sample.
    pub fn row(&self) -> usize {
        let side = self.header.image_size as usize;
        side * side * self.depth.bytes()
    }

    /// What the file begins with, before the pixels.
    ///
    /// # Errors
    /// `Unexpected` naming the file if the parts disagree, a defect of the caller: a file that
    /// [`Shard::open`](super::Shard::open) would refuse is not written.
    pub fn head(&self, path: &Path) -> Result<Vec<u8>, JobError> {
        let Self {
            header,
            split,
            depth,
            labels,
            patients,
            source_digest,
        } = self;
        let defect = |text: String| Err(JobError::new(JobExit::Unexpected, text).about(path));
        let (said, given, whose) = (header.num_samples.0, labels.len(), patients.len());
        if said != whose as u64 || whose * label_columns(header) != given {
            return defect(format!(
                "a shard header says {said} samples, {given} labels and {whose} patients are given"
            ));
        }
        if check_header(path, header)
            .and(check_labels(path, header, labels))
            .and(check_split(path, header, *split))
            .is_err()
            || !is_digest(source_digest)
        {
            return defect(format!(
                "not the header, labels and digest of a shard: {header:?}, `{source_digest}`"
            ));
        }
        let mut metadata = header.to_metadata();
        let distinct = patients.iter().collect::<HashSet<_>>().len();
        metadata.insert(NUM_PATIENTS.to_owned(), distinct.to_string());
        metadata.insert(SHARD_SPLIT.to_owned(), split.as_str().to_owned());
        metadata.insert(SOURCE_DIGEST.to_owned(), (*source_digest).to_owned());
        let side = header.image_size as usize;
        Ok(encode_header(
            &metadata,
            &[
                TensorInfo {
                    name: SHARD_IMAGES,
                    dtype: &dtype(*depth).to_string(),
                    shape: &[whose, side, side],
                    bytes: whose * self.row(),
                },
                TensorInfo {
                    name: SHARD_LABELS,
                    dtype: "U8",
                    shape: &label_shape(header, whose),
                    bytes: given,
                },
                TensorInfo {
                    name: SHARD_PATIENTS,
                    dtype: "U8",
                    shape: &[whose, 16],
                    bytes: whose * 16,
                },
            ],
        ))
    }

    /// [`Contents::head`] made `length` bytes long with blanks, which a safetensors header may end with.
    ///
    /// # Errors
    /// As [`Contents::head`]; `Unexpected` if it is longer than that.
    pub fn head_of(&self, path: &Path, length: usize) -> Result<Vec<u8>, JobError> {
        let mut head = self.head(path)?;
        if head.len() > length || length < 8 {
            let text = format!(
                "a shard's header has {} bytes, {length} were kept free",
                head.len()
            );
            return Err(JobError::new(JobExit::Unexpected, text).about(path));
        }
        head.resize(length, b' ');
        head[..8].copy_from_slice(&(length as u64 - 8).to_le_bytes());
        Ok(head)
    }

    /// What the file ends with, after the pixels.
    pub fn tail(&self) -> Vec<u8> {
        [self.labels, self.patients.as_flattened()].concat()
    }
}

/// Writes a shard whole or not at all; `fill` hands over the pixels of each sample in the order of the patients.
///
/// Memory does not grow with the number of samples beyond their labels and patients.
///
/// # Errors
/// What `fill` returns; `Io` naming the file if writing fails; `Unexpected` if contents and rows disagree, a defect of
/// the caller. No file is left then.
pub fn write(
    path: &Path,
    contents: &Contents<'_>,
    fill: impl FnOnce(&mut Rows<'_>) -> Result<(), JobError>,
) -> Result<(), JobError> {
    let head = contents.head(path)?;
    // `write_whole` knows errors of writing only; what `fill` says leaves by this door.
    let mut refused = None;
    let written = write_whole(path, |out| {
        out.write_all(&head)?;
        let mut rows = Rows {
            path,
            out,
            row: contents.row(),
            left: contents.patients.len(),
        };
        if let Err(error) = fill(&mut rows).and_then(|()| rows.finish()) {
            refused = Some(error);
            return Err(io::Error::other("no pixels to write"));
        }
        out.write_all(&contents.tail())
    });
    match refused {
        Some(error) => Err(error),
        None => written,
    }
}

/// Takes the pixels of a shard being written, one sample after the other.
pub struct Rows<'a> {
    path: &'a Path,
    out: &'a mut dyn Write,
    row: usize,
    left: usize,
}

impl Rows<'_> {
    /// Appends one sample: height × width grey values, row by row; 16-bit values as two bytes, the lower first.
    ///
    /// # Errors
    /// `Io` naming the file; `Unexpected` if the sample has another size or is one too many.
    pub fn push(&mut self, pixels: &[u8]) -> Result<(), JobError> {
        if pixels.len() != self.row || self.left == 0 {
            let (given, row, left) = (pixels.len(), self.row, self.left);
            let text = format!("a shard takes {left} more samples of {row} bytes, one of {given} is given");
            return Err(JobError::new(JobExit::Unexpected, text).about(self.path));
        }
        self.left -= 1;
        self.out
            .write_all(pixels)
            .map_err(|error| JobError::writing(self.path, &error))
    }

    fn finish(&self) -> Result<(), JobError> {
        match self.left {
            0 => Ok(()),
            left => {
                let text = format!("a shard has more labels than samples: {left}");
                Err(JobError::new(JobExit::Unexpected, text).about(self.path))
            }
        }
    }
}
