//! A tensor file on its way: its header first, then pieces of its tensors by any thread in any order.

use std::{collections::BTreeMap, os::unix::fs::FileExt, path::Path};

use contract::{
    job::{JobError, PartFile},
    tensors::{TensorInfo, encode_header},
};

/// A tensor that will be written.
#[derive(Debug, Clone)]
pub struct NewTensor {
    /// Its name.
    pub name: String,
    /// Its safetensors type.
    pub dtype: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its length in bytes.
    pub bytes: usize,
}

/// A tensor file whose tensors are being written; it goes when it is dropped before [`Written::finish`].
pub struct Written {
    part: PartFile,
    /// Where each tensor's bytes begin.
    starts: Vec<u64>,
}

impl Written {
    /// Begins a file of `tensors`, which follow each other in this order without gaps.
    ///
    /// # Errors
    /// [`JobError`] naming the file
    pub fn create(
        path: &Path,
        metadata: &BTreeMap<String, String>,
        tensors: &[NewTensor],
    ) -> Result<Self, JobError> {
        let infos: Vec<TensorInfo<'_>> = tensors
            .iter()
            .map(|tensor| TensorInfo {
                name: &tensor.name,
                dtype: &tensor.dtype,
                shape: &tensor.shape,
                bytes: tensor.bytes,
            })
            .collect();
        let header = encode_header(metadata, &infos);
        let part = PartFile::create(path)?;
        let mut start = header.len() as u64;
        let mut starts = Vec::with_capacity(tensors.len());
        for tensor in tensors {
            starts.push(start);
            start += tensor.bytes as u64;
        }
        let begun = part
            .file()
            .write_all_at(&header, 0)
            .and_then(|()| part.file().set_len(start));
        begun.map_err(|error| JobError::writing(path, &error))?;
        Ok(Self { part, starts })
    }

    /// Writes `bytes` of tensor `number`, beginning `offset` bytes into it.
    ///
    /// # Errors
    /// [`JobError`] naming the file
    pub fn write(&self, number: usize, offset: usize, bytes: &[u8]) -> Result<(), JobError> {
        self.part
            .file()
            .write_all_at(bytes, self.starts[number] + offset as u64)
            .map_err(|error| JobError::writing(self.part.target(), &error))
    }

    /// Puts the whole file in its place.
    ///
    /// # Errors
    /// [`JobError`] naming the file
    pub fn finish(self) -> Result<(), JobError> {
        self.part.finish()
    }
}
