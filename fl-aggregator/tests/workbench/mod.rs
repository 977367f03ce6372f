//! A folder with made tensor files, and the binary run in it.

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
    names::FAILURE_FILE,
    tensors::{Header, TensorInfo, TensorKind, encode_header},
    units::SampleCount,
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

/// A tensor's type, shape and bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Value {
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

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Sets a variable of the environment of later runs.
    pub fn env(&self, name: &'static str, value: &'static str) {
        self.env.borrow_mut().insert(name, value);
    }

    /// Writes a file as fedwing does, tensors in the given order.
    pub fn write(&self, name: &str, header: Option<Header>, tensors: &[(&str, Value)]) {
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
        let metadata = header.map(|header| header.to_metadata()).unwrap_or_default();
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
        let output = self.aggregate(flags);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(i32::from(exit.code())), "{stderr}");
        let failure: Failure = serde_json::from_slice(&self.bytes(FAILURE_FILE)).unwrap();
        fs::remove_file(self.path(FAILURE_FILE)).unwrap();
        assert_eq!((failure.kind, failure.exit), (exit, exit.code()));
        assert!(stderr.contains(&failure.message), "{stderr}");
        failure
    }
}
