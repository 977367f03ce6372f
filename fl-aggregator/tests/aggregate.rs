//! The binary on made files: what it writes, and how it stops.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod workbench;

use contract::{
    exit::JobExit,
    ids::{ClientId, Round},
    metrics::{Metrics, Subject},
    tensors::{Header, MAX_HEADER, TensorKind},
    units::SampleCount,
};
use workbench::{Tensors, Value, Workbench, header, lines};

/// A model of a matrix, a bias and a counter.
fn model(matrix: [f32; 4], bias: f32, steps: i64) -> Tensors {
    vec![
        ("layer.weight", Value::f32(&[2, 2], &matrix)),
        ("layer.bias", Value::f32(&[1], &[bias])),
        ("norm.num_batches_tracked", Value::i64(&[], &[steps])),
    ]
}

/// A global model of round 2 and two updates of 30 and 10 samples.
fn round() -> Workbench {
    let bench = Workbench::new();
    bench.write(
        "global",
        Some(header(TensorKind::Model, 2, None, 40)),
        &model([0.0; 4], 0.0, 5),
    );
    let update = |client, samples| Some(header(TensorKind::Update, 3, Some(client), samples));
    bench.write("a", update(0, 30), &model([1.0, 2.0, 3.0, 4.0], 0.5, 12));
    bench.write("b", update(1, 10), &model([5.0, 2.0, -1.0, 0.0], 1.5, 9));
    bench
}

const BOTH: &str = "--global global --update a --update b --output out --metrics metrics.json";

#[test]
fn floats_are_averaged_by_samples_and_counters_kept_exact() {
    let bench = round();
    bench.succeeds(BOTH);
    assert_eq!(bench.read("out"), model([2.0, 2.0, 2.0, 3.0], 0.75, 12));
}

#[test]
fn the_new_model_carries_the_next_round_and_the_total() {
    let bench = round();
    bench.succeeds(BOTH);
    let expected = Header {
        num_samples: SampleCount(40),
        ..header(TensorKind::Model, 3, None, 40)
    };
    assert_eq!(bench.header("out"), expected);

    let metrics: Metrics = serde_json::from_slice(&bench.bytes("metrics.json")).unwrap();
    assert_eq!(metrics.num_samples, SampleCount(40));
    let Subject::Aggregate {
        round,
        updates,
        absent,
        strategy,
        privacy,
        transfer,
    } = metrics.subject
    else {
        panic!("{:?}", metrics.subject)
    };
    assert_eq!((round, strategy.as_str()), (Some(Round(3)), "fedavg"));
    assert_eq!((absent, privacy), (Vec::new(), None));
    let files = (bench.bytes("a").len() + bench.bytes("b").len()) as u64;
    assert_eq!((transfer.received_bytes, transfer.plain_bytes), (files, 2 * 28));
    let shares: Vec<_> = updates
        .iter()
        .map(|share| (share.client, share.num_samples.0, share.weight))
        .collect();
    let expected = [
        (Some(ClientId(0)), 30, Some(0.75)),
        (Some(ClientId(1)), 10, Some(0.25)),
    ];
    assert_eq!(shares, expected);
}

#[test]
fn one_synthetic_update_makes_the_model_synthetic() {
    let bench = round();
    let synthetic = Header {
        synthetic: true,
        ..header(TensorKind::Update, 3, Some(1), 10)
    };
    bench.write("b", Some(synthetic), &model([5.0, 2.0, -1.0, 0.0], 1.5, 9));
    bench.succeeds(BOTH);
    assert!(bench.header("out").synthetic);
}

#[test]
fn the_order_of_updates_and_the_number_of_threads_change_no_byte() {
    let bench = round();
    bench.succeeds(BOTH);
    let (model, metrics) = (bench.bytes("out"), bench.bytes("metrics.json"));
    for threads in ["1", "3"] {
        bench.env("RAYON_NUM_THREADS", threads);
        bench.succeeds("--global global --update b --update a --output out --metrics metrics.json");
        assert_eq!(bench.bytes("out"), model);
        assert_eq!(bench.bytes("metrics.json"), metrics);
    }
}

#[test]
fn a_state_dict_from_elsewhere_needs_counts_only() {
    let bench = Workbench::new();
    bench.write_foreign(
        "global",
        &model([0.0; 4], 0.0, 0),
        &[("format", "pt"), ("origin", "torchvision")],
    );
    bench.write_foreign("a", &model([1.0; 4], 1.0, 3), &[]);
    bench.write_foreign("b", &model([4.0; 4], 4.0, 8), &[]);
    bench.succeeds("--global global --update a --update b --samples 2 --samples 1 --output out");
    assert_eq!(bench.read("out"), {
        // The order of bytes that the safetensors writer chose for the global model is kept.
        let mut expected = model([2.0; 4], 2.0, 8);
        expected.sort_by_key(|(name, _)| bench.position("global", name));
        expected
    });
    assert_eq!(bench.metadata("out", "origin").as_deref(), Some("torchvision"));
    assert_eq!(bench.metadata("out", "num_samples").as_deref(), Some("3"));
    let first = bench.bytes("out");
    bench.succeeds("--global global --update b --update a --samples 1 --samples 2 --output out");
    assert_eq!(bench.bytes("out"), first);

    bench.succeeds(
        "--global global --update b --update a --samples 1 --samples 2 --output out --metrics m.json",
    );
    let metrics: Metrics = serde_json::from_slice(&bench.bytes("m.json")).unwrap();
    let Subject::Aggregate { round, .. } = metrics.subject else {
        panic!("{:?}", metrics.subject)
    };
    assert_eq!((round, metrics.num_samples), (None, SampleCount(3)));
}

#[test]
fn tensors_larger_than_a_piece_are_averaged_to_the_end() {
    let bench = Workbench::new();
    let length = (4 << 20) / 4 + 1001;
    let values = |factor: f32| (0..length).map(|i| (i % 977) as f32 * factor).collect::<Vec<_>>();
    let tensor = |factor| vec![("w", Value::f32(&[length], &values(factor)))];
    bench.write_foreign("global", &tensor(0.0), &[]);
    bench.write_foreign("a", &tensor(1.0), &[("num_samples", "1")]);
    bench.write_foreign("b", &tensor(3.0), &[("num_samples", "1")]);
    bench.succeeds("--global global --update a --update b --output out");
    assert_eq!(bench.read("out"), tensor(2.0));

    let mut values = values(3.0);
    values[length - 3] = f32::NAN;
    bench.write_foreign(
        "b",
        &[("w", Value::f32(&[length], &values))],
        &[("num_samples", "1")],
    );
    let failure = bench.fails(
        "--global global --update a --update b --output new",
        JobExit::NotFinite,
    );
    assert_eq!(
        failure.message,
        format!("`b`: tensor `w` at [{}] is NaN", length - 3)
    );
    assert!(!bench.exists("new"));
}

#[test]
fn values_that_are_not_finite_name_file_tensor_and_place() {
    let bench = round();
    let update = Some(header(TensorKind::Update, 3, Some(1), 10));
    bench.write("b", update, &model([5.0, 2.0, f32::NEG_INFINITY, 0.0], 1.5, 9));
    let failure = bench.fails(BOTH, JobExit::NotFinite);
    assert_eq!(failure.message, "`b`: tensor `layer.weight` at [1, 0] is -inf");
    assert_eq!(failure.file.unwrap().to_str(), Some("b"));
    assert!(!bench.exists("out") && !bench.exists("metrics.json"));
}

#[test]
fn updates_that_are_not_of_this_model_are_named_with_the_difference() {
    let other = |change: &dyn Fn(&mut Tensors)| {
        let bench = round();
        let mut tensors = model([1.0; 4], 0.5, 12);
        change(&mut tensors);
        bench.write("b", Some(header(TensorKind::Update, 3, Some(1), 10)), &tensors);
        bench.fails(BOTH, JobExit::InputInvalid).message
    };
    assert_eq!(
        other(&|tensors| tensors[0].1 = Value::f32(&[4, 1], &[1.0; 4])),
        "`b`: tensor `layer.weight` is F32 [4, 1], an update of this model has F32 [2, 2]"
    );
    assert_eq!(
        other(&|tensors| tensors[1].1 = Value::i64(&[1], &[1])),
        "`b`: tensor `layer.bias` is I64 [1], an update of this model has F32 [1]"
    );
    assert_eq!(
        other(&|tensors| tensors.truncate(2)),
        "`b`: tensor `norm.num_batches_tracked` of the global model is missing"
    );
    assert_eq!(
        other(&|tensors| tensors.push(("extra", Value::f32(&[], &[1.0])))),
        "`b`: tensor `extra` is not in the global model"
    );
}

#[test]
fn updates_of_another_federation_or_round_are_named_with_the_field() {
    let other = |change: &dyn Fn(&mut Header)| {
        let bench = round();
        let mut header = header(TensorKind::Update, 3, Some(1), 10);
        change(&mut header);
        bench.write("b", Some(header), &model([1.0; 4], 0.5, 12));
        bench.fails(BOTH, JobExit::InputInvalid).message
    };
    assert_eq!(
        other(&|header| header.experiment = "e2".parse().unwrap()),
        "`b`: its experiment is `e2`, the global model's is `e1`"
    );
    assert_eq!(
        other(&|header| header.dataset = "tcia".parse().unwrap()),
        "`b`: its dataset is `tcia`, the global model's is `nih`"
    );
    assert!(
        other(&|header| header.spec_digest = "1".repeat(64).parse().unwrap())
            .contains("its spec_digest is `111")
    );
    assert_eq!(
        other(&|header| header.round = Some(Round(2))),
        "`b`: its round is 2, an update of this global model is of round 3"
    );
    assert_eq!(
        other(&|header| header.client = Some(ClientId(0))),
        "`b`: it is of client 0, and so is `a`"
    );
    assert_eq!(
        other(&|header| header.kind = TensorKind::Model),
        "`b`: it holds a model, not an update"
    );
}

#[test]
fn sample_counts_that_are_missing_zero_or_contradictory_stop_the_job() {
    let bench = Workbench::new();
    bench.write_foreign("global", &model([0.0; 4], 0.0, 0), &[]);
    bench.write_foreign("a", &model([1.0; 4], 1.0, 3), &[]);
    bench.write_foreign("b", &model([1.0; 4], 1.0, 3), &[("num_samples", "7")]);
    bench.write_foreign("c", &model([1.0; 4], 1.0, 3), &[("num_samples", "many")]);
    let fails = |args: &str, exit| bench.fails(&format!("--global global {args} --output out"), exit);

    let failure = fails("--update a --update b", JobExit::InputInvalid);
    assert_eq!(
        failure.message,
        "`a`: it states no sample count (metadata `num_samples`)"
    );
    assert_eq!(
        failure.help.as_deref(),
        Some("give the counts by `--samples`, one per `--update` in order")
    );
    let failure = fails("--update a --samples 0", JobExit::InputInvalid);
    assert_eq!(
        failure.message,
        "`a`: its sample count is 0, so it has no weight in the mean"
    );
    let failure = fails("--update b --samples 8", JobExit::InputInvalid);
    assert_eq!(
        failure.message,
        "`b`: `--samples` says 8 samples, the file says 7"
    );
    let failure = fails("--update c", JobExit::InputInvalid);
    assert_eq!(
        failure.message,
        "`c`: metadata `num_samples` is `many`, not a number of samples"
    );
    let failure = fails("--update a --update b --samples 8", JobExit::Usage);
    assert_eq!(failure.message, "`--samples` is given 1 times for 2 updates");
    fails("", JobExit::Usage);
    bench.succeeds("--global global --update b --samples 7 --output out");
}

#[test]
fn missing_truncated_and_hostile_files_are_told_apart() {
    let bench = round();
    let missing = "--global global --update a --update gone --output out";
    let failure = bench.fails(missing, JobExit::InputMissing);
    assert_eq!(failure.file.unwrap().to_str(), Some("gone"));

    let whole = bench.bytes("b");
    for keep in [0, 7, 100, whole.len() - 1] {
        bench.write_bytes("b", &whole[..keep]);
        let failure = bench.fails(BOTH, JobExit::InputInvalid);
        assert_eq!(
            failure.message,
            format!("`b` has {keep} bytes, which is not what its header says")
        );
    }
    bench.write_bytes("b", &[whole.as_slice(), &[0]].concat());
    bench.fails(BOTH, JobExit::InputInvalid);
    bench.write_bytes("b", &[&(MAX_HEADER + 1).to_le_bytes()[..], &whole].concat());
    assert!(
        bench
            .fails(BOTH, JobExit::InputInvalid)
            .message
            .contains("it is no safetensors file")
    );
    bench.write_bytes("b", &[&2_u64.to_le_bytes()[..], b"[]"].concat());
    bench.fails(BOTH, JobExit::InputInvalid);
    assert!(!bench.exists("out"));
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    let bench = round();
    let output = bench.run(&["aggregate", "--strategy", "fedavg", "--output", "out"]);
    assert_eq!(output.status.code(), Some(i32::from(JobExit::Usage.code())));
    let output = bench.run(&["train"]);
    assert_eq!(output.status.code(), Some(i32::from(JobExit::Usage.code())));
    let output = bench.run(&["aggregate", "--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(lines(&output.stdout).iter().any(|line| line.contains("--update")));
}
