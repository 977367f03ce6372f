//! Every rule that Flower has, on Flower's own results: files to files, over rounds, with the state between them.
//!
//! Inputs and results lie in `tests/parity/aggregate/` beside the script that made them with Flower, or in the folder
//! that `FEDWING_PARITY` names, where the same script wrote others.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use contract::{
    aggregation::CentralPrivacy,
    args::{AggregateArgs, Job},
    argv::{ArgValue, InputFile, OutputFile},
    ids::{ClientId, Round},
    tensors::{Header, TRAIN_LOSS, TensorInfo, TensorKind, encode_header},
    units::SampleCount,
};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// Largest relative error of a value, over every value of every tensor.
const TOLERANCE: f64 = 1e-6;

/// A tensor's values.
#[derive(Debug, Clone, PartialEq)]
enum Values {
    Real(Vec<f64>),
    Integer(Vec<i64>),
}

#[derive(Debug, Clone, PartialEq)]
struct Tensor {
    shape: Vec<usize>,
    values: Values,
}

type Tensors = BTreeMap<String, Tensor>;

/// What the script made: the cases, and tensors by their path.
struct Golden {
    cases: Vec<Value>,
    inputs: Tensors,
    results: Tensors,
}

impl Golden {
    fn read() -> Self {
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/parity/aggregate");
        let folder = env::var_os("FEDWING_PARITY").map_or(beside, PathBuf::from);
        let text = fs::read_to_string(folder.join("golden.json")).unwrap();
        let Value::Array(cases) = serde_json::from_str::<Value>(&text).unwrap()["cases"].take() else {
            panic!("golden.json lists no cases")
        };
        Self {
            cases,
            inputs: read_tensors(&folder.join("inputs.safetensors")),
            results: read_tensors(&folder.join("golden.safetensors")),
        }
    }

    fn case(&self, name: &str) -> &Value {
        self.cases.iter().find(|case| case["name"] == name).unwrap()
    }
}

/// The tensors below a path such as `round1/client3/`, by their own names.
fn below(tensors: &Tensors, path: &str) -> Tensors {
    tensors
        .iter()
        .filter_map(|(name, tensor)| Some((name.strip_prefix(path)?.to_owned(), tensor.clone())))
        .collect()
}

fn read_tensors(path: &Path) -> Tensors {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        let data = view.data();
        let values = match view.dtype() {
            Dtype::F32 => Values::Real(chunks(data, |b| f32::from_le_bytes(b).into())),
            Dtype::F64 => Values::Real(chunks(data, f64::from_le_bytes)),
            Dtype::I64 => Values::Integer(chunks(data, i64::from_le_bytes)),
            other => panic!("{name} is {other}"),
        };
        let shape = view.shape().to_vec();
        (name, Tensor { shape, values })
    };
    file.tensors().into_iter().map(tensor).collect()
}

fn chunks<const N: usize, T>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks().0.iter().map(|chunk| read(*chunk)).collect()
}

/// Writes a file of fedwing's, reals as `f32`, with more metadata of its own.
fn write(path: &Path, header: &Header, more: Option<(&str, String)>, tensors: &Tensors) {
    let encoded: Vec<(&str, &str, &[usize], Vec<u8>)> = tensors
        .iter()
        .map(|(name, tensor)| {
            let (dtype, bytes) = match &tensor.values {
                Values::Real(values) => (
                    "F32",
                    values.iter().flat_map(|v| (*v as f32).to_le_bytes()).collect(),
                ),
                Values::Integer(values) => ("I64", values.iter().flat_map(|v| v.to_le_bytes()).collect()),
            };
            (name.as_str(), dtype, tensor.shape.as_slice(), bytes)
        })
        .collect();
    let infos: Vec<TensorInfo<'_>> = encoded
        .iter()
        .map(|(name, dtype, shape, bytes)| TensorInfo {
            name,
            dtype,
            shape,
            bytes: bytes.len(),
        })
        .collect();
    let mut metadata = header.to_metadata();
    metadata.extend(more.map(|(key, value)| (key.to_owned(), value)));
    let mut file = encode_header(&metadata, &infos);
    file.extend(encoded.iter().flat_map(|(_, _, _, bytes)| bytes));
    fs::write(path, file).unwrap();
}

fn header(kind: TensorKind, round: u32, client: Option<u32>, samples: u64) -> Header {
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

/// An update: the global model plus a difference, summed in `f64` and rounded once when it is written.
fn moved(global: &Tensors, difference: &Tensors) -> Tensors {
    let sum = |(name, tensor): (&String, &Tensor)| {
        let values = match (&tensor.values, &difference[name].values) {
            (Values::Real(a), Values::Real(b)) => Values::Real(a.iter().zip(b).map(|(a, b)| a + b).collect()),
            (Values::Integer(a), Values::Integer(b)) => {
                Values::Integer(a.iter().zip(b).map(|(a, b)| a + b).collect())
            }
            _ => panic!("{name} changes its type"),
        };
        let shape = tensor.shape.clone();
        (name.clone(), Tensor { shape, values })
    };
    global.iter().map(sum).collect()
}

/// The largest relative error of all values, and where it is; integers must be equal.
fn compare(made: &Tensors, golden: &Tensors) -> (f64, String) {
    assert!(made.keys().eq(golden.keys()), "{:?}", made.keys());
    let mut worst = (0.0, String::from("nowhere"));
    for (name, expected) in golden {
        let made = &made[name];
        assert_eq!(made.shape, expected.shape, "{name}");
        match (&made.values, &expected.values) {
            (Values::Real(made), Values::Real(expected)) => {
                for (index, (made, expected)) in made.iter().zip(expected).enumerate() {
                    let error = (made - expected).abs() / expected.abs();
                    // A NaN is no match for anything.
                    if error.is_nan() || error > worst.0 {
                        worst = (
                            if error.is_nan() { f64::INFINITY } else { error },
                            format!("{name}[{index}]: {made:e} for {expected:e}"),
                        );
                    }
                }
            }
            (made, expected) => assert_eq!(made, expected, "{name}"),
        }
    }
    worst
}

/// Runs a case through all its rounds; returns the largest relative error.
fn run(golden: &Golden, name: &str) -> f64 {
    let case = golden.case(name);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let input = |name: &str| InputFile::from(path(name).to_str().unwrap());
    let output = |name: &str| OutputFile::from(path(name).to_str().unwrap());
    let strategy = contract::aggregation::Strategy::read(&case["strategy"].to_string()).unwrap();
    let privacy = match &case["privacy"] {
        Value::Null => None,
        privacy => Some(CentralPrivacy::read(&privacy.to_string()).unwrap()),
    };
    let samples: Vec<u64> = serde_json::from_value(case["samples"].clone()).unwrap();
    let losses: Vec<f64> = serde_json::from_value(case["losses"].clone()).unwrap();
    let rounds = u32::try_from(case["rounds"].as_u64().unwrap()).unwrap();

    let mut global = below(&golden.inputs, "global/");
    write(
        &path("global0"),
        &header(TensorKind::Model, 0, None, 1),
        None,
        &global,
    );
    let mut worst = 0.0;
    for round in 1..=rounds {
        let mut updates = Vec::new();
        for (client, (samples, loss)) in (0..).zip(samples.iter().zip(&losses)) {
            let difference = below(&golden.inputs, &format!("round{round}/client{client}/"));
            let name = format!("update{round}-{client}");
            let header = header(TensorKind::Update, round, Some(client), *samples);
            let loss = Some((TRAIN_LOSS, loss.to_string()));
            write(&path(&name), &header, loss, &moved(&global, &difference));
            updates.push(input(&name));
        }
        let made = format!("global{round}");
        let state = |round: u32| format!("state{round}");
        // A rule that remembers nothing is asked to write nothing: only cases of several rounds pass a state on.
        let remembers = rounds > 1 && case["name"] != "fedavg";
        let job = Job::Aggregate(AggregateArgs {
            strategy: strategy.into(),
            privacy,
            keep: Vec::new(),
            global: input(&format!("global{}", round - 1)),
            updates,
            samples: Vec::new(),
            min_clients: None,
            reveals: Vec::new(),
            seed: None,
            threads: None,
            state_in: (remembers && round > 1).then(|| input(&state(round - 1))),
            state_out: remembers.then(|| output(&state(round))),
            output: output(&made),
            metrics: None,
        });
        fl_aggregator::run(job).unwrap_or_else(|error| panic!("{name}, round {round}: {error}"));
        global = read_tensors(&path(&made));
        let expected = below(&golden.results, &format!("{name}/round{round}/"));
        let (error, place) = compare(&global, &expected);
        assert!(
            error <= TOLERANCE,
            "{name}, round {round}: relative error {error:.1e} at {place}; Flower's own in f32 is {}",
            case["float32_noise"]
        );
        worst = f64::max(worst, error);
    }
    println!("{name}: relative error at most {worst:.1e}");
    worst
}

macro_rules! agrees_with_flower {
    ($($test:ident: $case:literal,)*) => {
        $( #[test] fn $test() { run(&Golden::read(), $case); } )*

        #[test]
        fn every_golden_case_has_its_test() {
            let golden = Golden::read();
            let made: Vec<&str> = golden.cases.iter().map(|case| case["name"].as_str().unwrap()).collect();
            assert_eq!(made, [$($case),*]);
        }
    };
}

agrees_with_flower! {
    fedavg_is_flowers_over_three_rounds: "fedavg",
    the_mean_of_fedprox_is_flowers: "fedprox",
    fedavgm_is_flowers_over_three_rounds: "fedavgm",
    fedadam_is_flowers_over_three_rounds: "fedadam",
    fedyogi_is_flowers_over_three_rounds: "fedyogi",
    fedadagrad_is_flowers_over_three_rounds: "fedadagrad",
    qfedavg_is_flowers: "qfedavg",
    the_median_is_flowers: "median",
    the_median_of_an_even_number_is_flowers: "median_of_even",
    the_trimmed_mean_is_flowers: "trimmed_mean",
    the_trimmed_mean_with_a_larger_cut_is_flowers: "trimmed_mean_of_11",
    krum_is_flowers: "krum",
    multi_krum_is_flowers: "multi_krum",
    bulyan_is_flowers_older_one: "bulyan",
    clipping_at_a_fixed_norm_is_flowers: "fixed_clipping",
    clipping_at_a_norm_that_follows_is_flowers_with_its_sign_set_right: "adaptive_clipping",
}

#[test]
fn the_comparison_sees_an_error_of_two_millionths() {
    let tensor = |value: f64| {
        Tensors::from([(
            "w".to_owned(),
            Tensor {
                shape: vec![2],
                values: Values::Real(vec![1.0, value]),
            },
        )])
    };
    assert!(compare(&tensor(3.0 * (1.0 + 2e-6)), &tensor(3.0)).0 > TOLERANCE);
    assert!(compare(&tensor(f64::NAN), &tensor(3.0)).0 > TOLERANCE);
    assert!(compare(&tensor(3.0 * (1.0 + 5e-7)), &tensor(3.0)).0 < TOLERANCE);
}
