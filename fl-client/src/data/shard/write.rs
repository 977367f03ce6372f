//! Writing shards: a header, then the pixels as they come, then the labels.

use std::{
    io::{self, Write},
    path::Path,
};

use contract::{
    exit::JobExit,
    job::{JobError, write_whole},
    tensors::{Header, SHARD_IMAGES, SHARD_LABELS, TensorInfo, encode_header},
};

use super::{check_header, check_labels};

/// Writes a shard whole or not at all; `fill` hands over the pixels of each sample in the order of `labels`.
///
/// Memory does not grow with the number of samples beyond their labels.
///
/// # Errors
/// What `fill` returns; `Io` naming the file if writing fails; `Unexpected` if `header`, `labels` and rows disagree, a
/// defect of the caller. No file is left then.
pub fn write(
    path: &Path,
    header: &Header,
    labels: &[u8],
    fill: impl FnOnce(&mut Rows<'_>) -> Result<(), JobError>,
) -> Result<(), JobError> {
    let defect = |text: String| Err(JobError::new(JobExit::Unexpected, text).about(path));
    if header.num_samples.0 != labels.len() as u64 {
        let (said, given) = (header.num_samples.0, labels.len());
        return defect(format!(
            "a shard header says {said} samples, {given} labels are given"
        ));
    }
    // A file that `open` would refuse is not written.
    if check_header(path, header)
        .and(check_labels(path, header, labels))
        .is_err()
    {
        return defect(format!("not the header and labels of a shard: {header:?}"));
    }
    let side = header.image_size as usize;
    let row = side * side;
    let head = encode_header(
        &header.to_metadata(),
        &[
            TensorInfo {
                name: SHARD_IMAGES,
                dtype: "U8",
                shape: &[labels.len(), side, side],
                bytes: labels.len() * row,
            },
            TensorInfo {
                name: SHARD_LABELS,
                dtype: "U8",
                shape: &[labels.len()],
                bytes: labels.len(),
            },
        ],
    );
    // `write_whole` knows errors of writing only; what `fill` says leaves by this door.
    let mut refused = None;
    let written = write_whole(path, |out| {
        out.write_all(&head)?;
        let mut rows = Rows {
            path,
            out,
            row,
            left: labels.len(),
        };
        if let Err(error) = fill(&mut rows).and_then(|()| rows.finish()) {
            refused = Some(error);
            return Err(io::Error::other("no pixels to write"));
        }
        out.write_all(labels)
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
    /// Appends one sample: height × width grey values, row by row.
    ///
    /// # Errors
    /// `Io` naming the file; `Unexpected` if the sample has another size or is one too many.
    pub fn push(&mut self, pixels: &[u8]) -> Result<(), JobError> {
        if pixels.len() != self.row || self.left == 0 {
            let (given, row, left) = (pixels.len(), self.row, self.left);
            let text = format!("a shard takes {left} more samples of {row} pixels, one of {given} is given");
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
