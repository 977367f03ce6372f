//! A global model and two updates out of any bytes: a new model or a named error, never a panic.
//!
//! Half of the cases are pieces of the input as files; the other half are three valid files of which the input changes
//! headers, values and places. Where there is a new model it can be read, its floats are finite, and the order of the updates
//! changes no byte.
#![no_main]

use std::{fs, sync::LazyLock};

use arbitrary::Unstructured;
use contract::{
    aggregation::Strategy,
    args::{AggregateArgs, Job},
    argv::{ArgValue, InputFile, OutputFile},
};
use fl_aggregator::tensor_file::TensorFile;
use fuzz::{MemoryFile, tensor_file};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

/// Every rule that needs no more than two updates.
const RULES: [&str; 12] = [
    "fedavg",
    "fedprox",
    "fedbn",
    "fedavgm",
    "fedadam",
    "fedyogi",
    "fedadagrad",
    "qfedavg:q=0.5,learning_rate=0.1",
    "median",
    "trimmed_mean",
    "norm_bound:norm=1",
    "geometric_median",
];

static FOLDER: LazyLock<TempDir> =
    LazyLock::new(|| tempfile::tempdir_in("/dev/shm").expect("memory holds a folder"));

fuzz_target!(|bytes: &[u8]| {
    let _ = case(bytes);
});

fn case(bytes: &[u8]) -> arbitrary::Result<()> {
    let mut choices = Unstructured::new(bytes);
    let rule = *choices.choose(&RULES)?;
    let files = if choices.arbitrary()? {
        changed(&mut choices)?
    } else {
        pieces(&mut choices)?
    };
    let Some(made) = aggregate(rule, &[&files[0], &files[1], &files[2]]) else {
        return Ok(());
    };
    let file = MemoryFile::new(&made);
    let Ok(model) = TensorFile::open(&file.path()) else {
        panic!("{rule} made a model that cannot be read");
    };
    for tensor in &model.tensors {
        if tensor.dtype.to_string() == "F32" {
            let values = model.bytes(tensor).as_chunks().0;
            assert!(
                values.iter().all(|value| f32::from_le_bytes(*value).is_finite()),
                "{rule} made a NaN"
            );
        }
    }
    let swapped = aggregate(rule, &[&files[0], &files[2], &files[1]]);
    assert!(
        swapped.as_ref() == Some(&made),
        "the order of updates changes what {rule} makes"
    );
    Ok(())
}

/// The new model, or nothing where the job failed.
fn aggregate(rule: &str, files: &[&[u8]; 3]) -> Option<Vec<u8>> {
    let files = files.map(MemoryFile::new);
    let input = |file: &MemoryFile| InputFile::from(file.path().to_str().expect("plain letters"));
    let path = FOLDER.path().join("model");
    let state = FOLDER.path().join("state");
    let output = |path: &std::path::Path| OutputFile::from(path.to_str().expect("plain letters"));
    let strategy = Strategy::read(rule).expect("a rule");
    let steps = ["fedavgm", "fedadam", "fedyogi", "fedadagrad"].contains(&rule);
    let job = Job::Aggregate(AggregateArgs {
        strategy: strategy.into(),
        privacy: None,
        keep: Vec::new(),
        global: input(&files[0]),
        updates: files[1..].iter().map(input).collect(),
        samples: Vec::new(),
        min_clients: None,
        reveals: Vec::new(),
        seed: None,
        threads: Some(1),
        state_in: None,
        state_out: steps.then(|| output(&state)),
        output: output(&path),
        metrics: None,
    });
    let done = fl_aggregator::run(job);
    let made = fs::read(&path).ok();
    assert_eq!(
        done.is_ok(),
        made.is_some(),
        "{rule}: a model exactly where the job succeeds: {:?}",
        done.err()
    );
    if made.is_some() {
        fs::remove_file(&path).expect("it was just read");
    }
    made
}

/// The input cut in three.
fn pieces(choices: &mut Unstructured<'_>) -> arbitrary::Result<[Vec<u8>; 3]> {
    let mut cut = || {
        let length = choices.arbitrary_len::<u8>()?;
        Ok(choices.bytes(length)?.to_vec())
    };
    Ok([cut()?, cut()?, cut()?])
}

/// Three files that belong together, then changed.
fn changed(choices: &mut Unstructured<'_>) -> arbitrary::Result<[Vec<u8>; 3]> {
    let mut files = [valid(5, 1), valid(7, 3), valid(9, 2)];
    for _ in 0..choices.int_in_range(0..=6)? {
        let (header, data) = &mut files[choices.choose_index(3)?];
        let part = if choices.ratio(3, 4)? { header } else { data };
        let place = choices.choose_index(part.len().max(1))?;
        let removed = choices
            .int_in_range(0..=12)?
            .min(part.len() - place.min(part.len()));
        let words: [&[u8]; 10] = [
            b"0",
            b"-1",
            b"F16",
            b"I64",
            b"[",
            b"{}",
            b"\"num_samples\":\"0\",",
            b"18446744073709551615",
            b"[0,1]",
            b"null",
        ];
        let added = match choices.arbitrary()? {
            true => choices.choose(&words)?.to_vec(),
            false => {
                let length = choices.int_in_range(0..=8)?;
                choices.bytes(length)?.to_vec()
            }
        };
        part.splice(place..place + removed, added);
    }
    Ok(files.map(|(header, data)| tensor_file(&header, &data)))
}

/// The header and the bytes of a small model with running statistics and a counter.
fn valid(samples: u32, value: u8) -> (Vec<u8>, Vec<u8>) {
    let header =
        format!(r#"{{"__metadata__":{{"num_samples":"{samples}","train_loss":"0.5","local_steps":"3"}},"#)
            + r#""norm.num_batches_tracked":{"dtype":"I64","shape":[],"data_offsets":[0,8]},"#
            + r#""conv.weight":{"dtype":"F32","shape":[2,2],"data_offsets":[8,24]},"#
            + r#""norm.running_mean":{"dtype":"F32","shape":[1],"data_offsets":[24,28]},"#
            + r#""half":{"dtype":"F16","shape":[2],"data_offsets":[28,32]}}"#;
    let mut data = i64::from(value).to_le_bytes().to_vec();
    for number in 0..5_u8 {
        data.extend(f32::from(number * value).to_le_bytes());
    }
    data.extend([0, 0x3c, value, 0x40]);
    (header.into_bytes(), data)
}
