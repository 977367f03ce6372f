//! A folder with made tensor files, and the binary run in it.

#![allow(dead_code, reason = "every test file takes what it needs")]

pub mod network;

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use contract::{
    exit::JobExit,
    ids::{ClientId, Round},
    job::Failure,
    metrics::Metrics,
    names::FAILURE_FILE,
    tensors::{Header, TensorInfo, TensorKind, encode_header},
    units::SampleCount,
};
use kernels::aggregate::{Float, read_row, write_row};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

/// Named tensors in the order they are written.
pub type Tensors = Vec<(&'static str, Value)>;

/// A tensor's type, shape and bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl Value {
    /// A floating-point tensor, every value rounded once.
    pub fn float(dtype: Dtype, shape: &[usize], values: &[f64]) -> Self {
        let bytes = write_row(format(dtype), values, &mut Vec::new()).to_vec();
        let shape = shape.to_vec();
        Self { dtype, shape, bytes }
    }

    /// The values of a floating-point tensor.
    pub fn floats(&self) -> Vec<f64> {
        read_row::<f64>(format(self.dtype), &self.bytes, &mut Vec::new()).to_vec()
    }

    /// The values of an `I64` tensor.
    pub fn integers(&self) -> Vec<i64> {
        assert_eq!(self.dtype, Dtype::I64);
        let values = self.bytes.as_chunks().0.iter();
        values.map(|bytes| i64::from_le_bytes(*bytes)).collect()
    }

    pub fn bytes_of(dtype: Dtype, shape: &[usize], bytes: Vec<u8>) -> Self {
        let shape = shape.to_vec();
        Self { dtype, shape, bytes }
    }

    pub fn f32(shape: &[usize], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self {
            dtype: Dtype::F32,
            shape: shape.to_vec(),
            bytes,
        }
    }

    pub fn i64(shape: &[usize], values: &[i64]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self {
            dtype: Dtype::I64,
            shape: shape.to_vec(),
            bytes,
        }
    }
}

fn format(dtype: Dtype) -> Float {
    match dtype {
        Dtype::F16 => Float::F16,
        Dtype::BF16 => Float::Bf16,
        Dtype::F32 => Float::F32,
        Dtype::F64 => Float::F64,
        other => panic!("{other} is no floating-point type"),
    }
}

/// The tensor of this name.
pub fn named<'a>(tensors: &'a [(&'static str, Value)], name: &str) -> &'a Value {
    let found = tensors.iter().find(|(other, _)| *other == name);
    &found.unwrap_or_else(|| panic!("no tensor `{name}`")).1
}

/// The header of an update of the first round.
pub fn update(client: u32, samples: u64) -> Option<Header> {
    Some(header(TensorKind::Update, 1, Some(client), samples))
}

/// A header of experiment `e1`, dataset `nih`.
pub fn header(kind: TensorKind, round: u32, client: Option<u32>, samples: u64) -> Header {
    Header {
        kind,
        experiment: "e1".parse().unwrap(),
        dataset: "nih".parse().unwrap(),
        spec_digest: "0".repeat(64).parse().unwrap(),
        synthetic: false,
        round: Some(Round(round)),
        client: client.map(ClientId),
        num_samples: SampleCount(samples),
        arch: None,
        channels: 1,
        image_size: 64,
        num_classes: 2,
        target: contract::training::Target::Classes,
        classes: Vec::new(),
        normalize: None,
    }
}

pub fn lines(bytes: &[u8]) -> Vec<&str> {
    std::str::from_utf8(bytes).unwrap().lines().collect()
}

pub struct Workbench {
    folder: tempfile::TempDir,
    env: RefCell<BTreeMap<&'static str, &'static str>>,
}

impl Workbench {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            env: RefCell::default(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Sets a variable of the environment of later runs.
    pub fn env(&self, name: &'static str, value: &'static str) {
        self.env.borrow_mut().insert(name, value);
    }

    /// Writes a file as fedwing does, tensors in the given order.
    pub fn write(&self, name: &str, header: Option<Header>, tensors: &[(&str, Value)]) {
        self.write_with(name, header, &[], tensors);
    }

    /// As [`Workbench::write`], with more metadata.
    pub fn write_with(
        &self,
        name: &str,
        header: Option<Header>,
        more: &[(&str, &str)],
        tensors: &[(&str, Value)],
    ) {
        let dtypes: Vec<String> = tensors.iter().map(|(_, value)| value.dtype.to_string()).collect();
        let infos: Vec<_> = tensors
            .iter()
            .zip(&dtypes)
            .map(|((name, value), dtype)| TensorInfo {
                name,
                dtype,
                shape: &value.shape,
                bytes: value.bytes.len(),
            })
            .collect();
        let mut metadata = header.map(|header| header.to_metadata()).unwrap_or_default();
        let more = more
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        metadata.extend(more);
        let mut bytes = encode_header(&metadata, &infos);
        bytes.extend(tensors.iter().flat_map(|(_, value)| value.bytes.iter().copied()));
        self.write_bytes(name, &bytes);
    }

    /// Writes a file as the safetensors library does for PyTorch.
    pub fn write_foreign(&self, name: &str, tensors: &[(&str, Value)], metadata: &[(&str, &str)]) {
        let views = tensors.iter().map(|(name, value)| {
            (
                *name,
                TensorView::new(value.dtype, value.shape.clone(), &value.bytes).unwrap(),
            )
        });
        let metadata: HashMap<String, String> = metadata
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let bytes = safetensors::serialize(views, (!metadata.is_empty()).then_some(metadata)).unwrap();
        self.write_bytes(name, &bytes);
    }

    pub fn write_bytes(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    pub fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// The names of everything in the folder.
    pub fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<String> = entries.map(name).collect();
        names.sort();
        names
    }

    pub fn metrics(&self, name: &str) -> Metrics {
        serde_json::from_slice(&self.bytes(name)).unwrap()
    }

    /// The tensors of a file in the order of their bytes.
    pub fn read(&self, name: &str) -> Vec<(&'static str, Value)> {
        let bytes = self.bytes(name);
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let value = |name: String| {
            let view = file.tensor(&name).unwrap();
            let value = Value {
                dtype: view.dtype(),
                shape: view.shape().to_vec(),
                bytes: view.data().to_vec(),
            };
            let name: &'static str = name.leak();
            (name, value)
        };
        metadata.offset_keys().into_iter().map(value).collect()
    }

    pub fn position(&self, file: &str, tensor: &str) -> usize {
        self.read(file)
            .iter()
            .position(|(name, _)| *name == tensor)
            .unwrap()
    }

    pub fn metadata(&self, file: &str, key: &str) -> Option<String> {
        let bytes = self.bytes(file);
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        metadata.metadata().as_ref()?.get(key).cloned()
    }

    pub fn header(&self, file: &str) -> Header {
        let bytes = self.bytes(file);
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = metadata.metadata().clone().unwrap();
        Header::from_metadata(|key| metadata.get(key).map(String::as_str)).unwrap()
    }

    pub fn run(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_fl-aggregator"))
            .args(words)
            .current_dir(&self.folder)
            .envs(self.env.borrow().iter())
            .output()
            .unwrap()
    }

    /// Runs a whole command line, words parted by spaces, to its end.
    pub fn does(&self, line: &str) {
        let output = self.run(&line.split_whitespace().collect::<Vec<_>>());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}\n{stderr}");
    }

    /// Runs a whole command line to a failure, which leaves no file but its own.
    pub fn refuses(&self, line: &str, exit: JobExit) -> String {
        let before = self.files();
        let output = self.run(&line.split_whitespace().collect::<Vec<_>>());
        let failure = self.failure(&output, exit);
        assert_eq!(self.files(), before, "{line}");
        failure.message
    }

    fn aggregate(&self, flags: &str) -> Output {
        let words = ["aggregate", "--strategy", "fedavg"]
            .into_iter()
            .chain(flags.split_whitespace());
        self.run(&words.collect::<Vec<_>>())
    }

    pub fn succeeds(&self, flags: &str) {
        let output = self.aggregate(flags);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(!self.exists(FAILURE_FILE));
    }

    /// Runs to a failure and returns what the failure file says of it.
    pub fn fails(&self, flags: &str, exit: JobExit) -> Failure {
        self.failure(&self.aggregate(flags), exit)
    }

    fn failure(&self, output: &Output, exit: JobExit) -> Failure {
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(i32::from(exit.code())), "{stderr}");
        let failure: Failure = serde_json::from_slice(&self.bytes(FAILURE_FILE)).unwrap();
        fs::remove_file(self.path(FAILURE_FILE)).unwrap();
        assert_eq!((failure.kind, failure.exit), (exit, exit.code()));
        assert!(stderr.contains(&failure.message), "{stderr}");
        failure
    }
}
