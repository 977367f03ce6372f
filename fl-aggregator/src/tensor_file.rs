//! A safetensors file, mapped into memory and checked.
//!
//! In: a path. Out: names, types, shapes and bytes of its tensors, and our header where there is one.
//! Start at [`TensorFile::open`]; what it returns has passed every check of the format.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io,
    path::{Path, PathBuf},
};

use contract::{
    exit::JobExit,
    job::JobError,
    tensors::{Header, HeaderError, MAX_HEADER},
};
use kernels::aggregate::{Element, Float, Integer};
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensorError, SafeTensors};

/// Bytes of the header's length at the start of a file.
const LENGTH_BYTES: usize = 8;

/// A safetensors file whose header and length agree.
pub struct TensorFile {
    path: PathBuf,
    map: Mmap,
    /// The tensors in the order of their bytes.
    pub tensors: Vec<Tensor>,
    by_name: HashMap<String, usize>,
    /// The header's `__metadata__`.
    pub metadata: BTreeMap<String, String>,
    /// The metadata as fedwing's own, where fedwing wrote the file.
    pub header: Option<Header>,
}

/// Where a tensor lies in its file and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// What its values are.
    pub dtype: Dtype,
    /// Its shape; empty for a scalar.
    pub shape: Vec<usize>,
    start: usize,
    end: usize,
}

impl TensorFile {
    /// Maps and checks a file.
    ///
    /// # Errors
    /// [`JobError`] naming the file: missing, unreadable, not a safetensors file, cut off, a header beyond
    /// [`MAX_HEADER`], or a fedwing header that this version cannot read
    pub fn open(path: &Path) -> Result<Self, JobError> {
        let file = File::open(path).map_err(|error| JobError::reading(path, &error))?;
        check_length(&file, path)?;
        // SAFETY: the inputs of a job are finished files: whoever writes one writes it beside and renames it, which
        // leaves a mapped file as it is, so no mapped byte changes or goes while it is read.
        let map = unsafe { Mmap::map(&file) }.map_err(|error| JobError::reading(path, &error))?;
        let (header_length, parsed) =
            SafeTensors::read_metadata(&map).map_err(|error| malformed(path, &error))?;
        let data = LENGTH_BYTES + header_length;
        let mut tensors: Vec<Tensor> = parsed
            .tensors()
            .into_iter()
            .map(|(name, info)| Tensor {
                name,
                dtype: info.dtype,
                shape: info.shape.clone(),
                start: data + info.data_offsets.0,
                end: data + info.data_offsets.1,
            })
            .collect();
        // Tensors without values share their offset: their names decide.
        tensors.sort_by(|a, b| (a.start, a.end, &a.name).cmp(&(b.start, b.end, &b.name)));
        let metadata: BTreeMap<String, String> = parsed
            .metadata()
            .clone()
            .unwrap_or_default()
            .into_iter()
            .collect();
        let header = match Header::from_metadata(|key| metadata.get(key).map(String::as_str)) {
            Ok(header) => Some(header),
            Err(HeaderError::NotOurs) => None,
            Err(error) => return Err(JobError::invalid(path, error)),
        };
        let by_name = tensors
            .iter()
            .enumerate()
            .map(|(number, tensor)| (tensor.name.clone(), number))
            .collect();
        Ok(Self {
            path: path.to_owned(),
            map,
            tensors,
            by_name,
            metadata,
            header,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tensor's values, little-endian, at any alignment.
    pub fn bytes(&self, tensor: &Tensor) -> &[u8] {
        &self.map[tensor.start..tensor.end]
    }

    /// The number of the tensor of this name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The value of an `F32` scalar.
    pub fn scalar(&self, number: usize) -> f32 {
        let bytes = self.bytes(&self.tensors[number]);
        f32::from_le_bytes(
            bytes
                .try_into()
                .expect("its type and shape were checked when it was found"),
        )
    }

    /// Everything in the file.
    pub fn all_bytes(&self) -> &[u8] {
        &self.map
    }
}

impl Tensor {
    /// Length of its values in bytes.
    pub fn byte_length(&self) -> usize {
        self.end - self.start
    }

    /// What combining does with its values; none for types that have no mean and no order (complex, below 16 bits).
    pub fn element(&self) -> Option<Element> {
        Some(match self.dtype {
            Dtype::F16 => Element::Float(Float::F16),
            Dtype::BF16 => Element::Float(Float::Bf16),
            Dtype::F32 => Element::Float(Float::F32),
            Dtype::F64 => Element::Float(Float::F64),
            Dtype::BOOL => Element::Integer(Integer::Bool),
            Dtype::U8 => Element::Integer(Integer::U8),
            Dtype::I8 => Element::Integer(Integer::I8),
            Dtype::U16 => Element::Integer(Integer::U16),
            Dtype::I16 => Element::Integer(Integer::I16),
            Dtype::U32 => Element::Integer(Integer::U32),
            Dtype::I32 => Element::Integer(Integer::I32),
            Dtype::U64 => Element::Integer(Integer::U64),
            Dtype::I64 => Element::Integer(Integer::I64),
            _ => return None,
        })
    }

    /// The coordinates of the value at `index` of the flattened tensor.
    pub fn coordinates(&self, mut index: usize) -> Vec<usize> {
        let mut coordinates: Vec<usize> = Vec::with_capacity(self.shape.len());
        for length in self.shape.iter().rev() {
            // A tensor with an axis of length 0 has no values: where something is asked of one, it is at the origin.
            let length = (*length).max(1);
            coordinates.push(index % length);
            index /= length;
        }
        coordinates.reverse();
        coordinates
    }
}

/// Refuses a header larger than the limit or than the file before any of it is read.
fn check_length(file: &File, path: &Path) -> Result<(), JobError> {
    let reading = |error: io::Error| JobError::reading(path, &error);
    let metadata = file.metadata().map_err(reading)?;
    if !metadata.is_file() {
        return Err(JobError::invalid(path, "not a file"));
    }
    let mut length = [0; LENGTH_BYTES];
    if metadata.len() < LENGTH_BYTES as u64 {
        return Err(cut_off(path, metadata.len()));
    }
    io::Read::read_exact(&mut &*file, &mut length).map_err(reading)?;
    let header = u64::from_le_bytes(length);
    if header > MAX_HEADER {
        let reason = format!(
            "its header is said to have {header} bytes, at most {MAX_HEADER} are read; it is no safetensors file"
        );
        return Err(JobError::invalid(path, reason));
    }
    if header > metadata.len() - LENGTH_BYTES as u64 {
        return Err(cut_off(path, metadata.len()));
    }
    Ok(())
}

fn malformed(path: &Path, error: &SafeTensorError) -> JobError {
    match error {
        SafeTensorError::MetadataIncompleteBuffer | SafeTensorError::InvalidHeaderLength => {
            let length = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
            cut_off(path, length)
        }
        other => JobError::invalid(path, format!("not a safetensors file: {other}")),
    }
}

fn cut_off(path: &Path, length: u64) -> JobError {
    let message = format!(
        "`{}` has {length} bytes, which is not what its header says",
        path.display()
    );
    JobError::new(JobExit::InputInvalid, message)
        .about(path)
        .help("the file is cut off or was written to; run the job that writes it again")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn open(bytes: &[u8]) -> Result<TensorFile, JobError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        TensorFile::open(file.path())
    }

    fn with_header(json: &str, data: &[u8]) -> Vec<u8> {
        [&(json.len() as u64).to_le_bytes(), json.as_bytes(), data].concat()
    }

    #[test]
    fn tensors_come_in_the_order_of_their_bytes_and_empty_ones_by_name() {
        let json = r#"{"z":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"y":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},
            "b":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}"#;
        let file = open(&with_header(json, &[7, 8, 9])).unwrap();
        let names: Vec<_> = file.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        assert_eq!(names, ["y", "z", "b", "a"]);
        assert_eq!(file.bytes(&file.tensors[3]), [8, 9]);
        assert!(file.header.is_none());
    }

    #[test]
    fn a_header_beyond_the_limit_is_refused_by_its_length() {
        let error = open(&(MAX_HEADER + 1).to_le_bytes()).err().unwrap();
        assert_eq!(error.exit, JobExit::InputInvalid);
        assert!(error.message.contains("16777217 bytes"), "{error}");
    }

    #[test]
    fn a_newer_fedwing_file_names_its_version() {
        let error = open(&with_header(r#"{"__metadata__":{"fedwing":"2"}}"#, &[]))
            .err()
            .unwrap();
        assert!(error.message.contains("format version 2"), "{error}");
    }

    #[test]
    fn coordinates_count_the_last_axis_fastest() {
        let tensor = |shape: &[usize]| Tensor {
            name: String::new(),
            dtype: Dtype::F32,
            shape: shape.to_vec(),
            start: 0,
            end: 0,
        };
        assert_eq!(tensor(&[2, 3, 4]).coordinates(17), [1, 1, 1]);
        assert_eq!(tensor(&[]).coordinates(0), [0_usize; 0]);
    }

    #[test]
    fn coordinates_in_a_tensor_without_values_are_those_of_the_origin() {
        let tensor = Tensor {
            name: String::new(),
            dtype: Dtype::F32,
            shape: vec![2, 0, 3],
            start: 0,
            end: 0,
        };
        assert_eq!(tensor.coordinates(0), [0, 0, 0]);
    }

    proptest! {
        #[test]
        fn bytes_that_are_no_tensor_file_are_refused_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(open(&bytes).is_err());
        }

        #[test]
        fn a_file_cut_anywhere_is_refused(keep in 0_usize..79) {
            let whole = with_header(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, &[1; 8]);
            prop_assert!(open(&whole).is_ok());
            let error = open(&whole[..keep.min(whole.len() - 1)]).err().unwrap();
            prop_assert_eq!(error.exit, JobExit::InputInvalid);
        }
    }
}
