//! What lies in the folder after a run: all outputs or none, and what was there before.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod workbench;

use std::{fs, process::Command};

use contract::{
    exit::JobExit,
    job::Failure,
    names::{FAILURE_FILE, FAILURE_VARIABLE},
    tensors::TensorKind,
};
use safetensors::Dtype;
use workbench::{
    Tensors, Value, Workbench, header, named,
    network::{drawn, network, updates, write_round},
    update,
};

const OUTPUTS: &str = "--output out --state-out state --metrics metrics";

/// A NaN among the last values of the last tensor of an update.
fn write_late_nan(bench: &Workbench, float: Dtype) {
    let length = (1 << 17) + 55;
    let model = |seed: u64, last: f64| -> Tensors {
        let mut values = drawn(seed, length);
        values[length - 2] = last;
        vec![
            ("w", Value::float(float, &[length], &values)),
            ("n", Value::i64(&[1], &[seed as i64])),
        ]
    };
    bench.write(
        "global",
        Some(header(TensorKind::Model, 0, None, 1)),
        &model(0, 0.0),
    );
    for client in 0..5 {
        let last = if client == 3 { f64::NAN } else { 0.5 };
        bench.write(
            &format!("u{client}"),
            update(client, 5),
            &model(u64::from(client) + 1, last),
        );
    }
}

#[test]
fn a_nan_found_late_leaves_no_file_under_any_rule() {
    for float in [Dtype::F32, Dtype::F64, Dtype::BF16] {
        let bench = Workbench::new();
        write_late_nan(&bench, float);
        let all = updates((0..5).map(|client| format!("u{client}")));
        for strategy in [
            "fedavg",
            "fedadam",
            "median",
            "trimmed_mean",
            "krum:byzantine=1",
            "geometric_median",
            "norm_bound:norm=1",
            "fedavg --privacy fixed:norm=1,noise_multiplier=0,delta=0.1",
        ] {
            let line = format!("aggregate --strategy {strategy} --global global{all} {OUTPUTS}");
            let message = bench.refuses(&line, JobExit::NotFinite);
            assert_eq!(
                message, "`u3`: tensor `w` at [131125] is NaN",
                "{strategy} {float}"
            );
        }
        let message = bench.refuses(
            &format!("partial --global global{all} --output out"),
            JobExit::NotFinite,
        );
        assert_eq!(message, "`u3`: tensor `w` at [131125] is NaN", "{float}");
    }
}

#[test]
fn a_failing_run_leaves_the_files_of_an_earlier_one() {
    let bench = Workbench::new();
    write_late_nan(&bench, Dtype::F32);
    let line = |clients: &[u32]| {
        let all = updates(clients.iter().map(|client| format!("u{client}")));
        format!("aggregate --strategy fedadam --global global{all} {OUTPUTS}")
    };
    bench.does(&line(&[0, 1]));
    let before = ["out", "state", "metrics"].map(|name| bench.bytes(name));
    bench.refuses(&line(&[0, 3]), JobExit::NotFinite);
    assert!(["out", "state", "metrics"].map(|name| bench.bytes(name)) == before);
    bench.does(&line(&[0, 2]));
    assert!(bench.bytes("out") != before[0] && bench.bytes("metrics") != before[2]);
}

#[test]
fn names_types_shapes_and_order_are_the_global_models() {
    let bench = Workbench::new();
    let mut tensors = network(0, Dtype::F16);
    tensors.extend([
        ("z", Value::float(Dtype::F64, &[2], &[1.0, 2.0])),
        ("a", Value::bytes_of(Dtype::BOOL, &[3], vec![0, 1, 0])),
        ("m", Value::bytes_of(Dtype::U8, &[2, 1], vec![7, 255])),
        ("none", Value::f32(&[3, 0], &[])),
        ("c", Value::bytes_of(Dtype::I16, &[1], vec![0xff, 0xff])),
        ("b", Value::float(Dtype::BF16, &[], &[1.5])),
    ]);
    bench.write_with(
        "global",
        Some(header(TensorKind::Model, 0, None, 1)),
        &[("note", "kept")],
        &tensors,
    );
    bench.write("u0", update(0, 3), &tensors);
    // The update's own order does not matter.
    let turned: Tensors = tensors.iter().rev().cloned().collect();
    bench.write("u1", update(1, 4), &turned);
    for strategy in ["fedavg", "median", "fedadam", "norm_bound:norm=1"] {
        bench.does(&format!(
            "aggregate --strategy {strategy} --global global --update u0 --update u1 {OUTPUTS}"
        ));
        assert_eq!(bench.read("out"), tensors, "{strategy}");
        assert_eq!(bench.metadata("out", "note").as_deref(), Some("kept"));
    }
}

#[test]
fn two_outputs_are_two_files() {
    let bench = Workbench::new();
    write_round(&bench, 2, Dtype::F32);
    for outputs in [
        "--output out --state-out out",
        "--output out --metrics out",
        "--output out --state-out side --metrics side",
    ] {
        let line = format!("aggregate --strategy fedavg --global global --update u0 {outputs}");
        let message = bench.refuses(&line, JobExit::Usage);
        assert!(message.ends_with("is named for two outputs"), "{message}");
    }
}

#[test]
fn a_model_that_cannot_be_put_in_place_leaves_nothing_beside_it() {
    let bench = Workbench::new();
    write_round(&bench, 2, Dtype::F32);
    for directory in ["out", "state", "metrics"] {
        fs::create_dir(bench.path(directory)).unwrap();
        fs::write(bench.path(directory).join("full"), "").unwrap();
        let line = format!("aggregate --strategy fedadam --global global --update u0 --update u1 {OUTPUTS}");
        let message = bench.refuses(&line, JobExit::Io);
        assert!(
            message.starts_with(&format!("cannot write `{directory}`")),
            "{message}"
        );
        fs::remove_dir_all(bench.path(directory)).unwrap();
    }
    let line = "aggregate --strategy fedavg --global global --update u0 --output no/folder/out";
    let message = bench.refuses(line, JobExit::Io);
    assert!(message.starts_with("cannot write `no/folder/out`"), "{message}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_leaves_the_old_model_in_place() {
    let bench = Workbench::new();
    let model = |value: f64| vec![("w", Value::float(Dtype::F32, &[40_000], &vec![value; 40_000]))];
    bench.write("global", Some(header(TensorKind::Model, 0, None, 1)), &model(0.0));
    bench.write("u0", update(0, 3), &model(1.0));
    bench.write_bytes("out", b"the model before");
    let before = bench.files();
    // Files of at most 8 blocks stand for a full disk: a write beyond fails, where the signal is not heeded.
    let command = format!(
        "trap '' XFSZ; ulimit -f 8; exec '{}' aggregate --strategy fedavg --global global --update u0 {OUTPUTS}",
        env!("CARGO_BIN_EXE_fl-aggregator")
    );
    let output = Command::new("sh")
        .args(["-c", &command])
        .current_dir(bench.path(""))
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(i32::from(JobExit::Io.code())),
        "{stderr}"
    );
    assert!(stderr.contains("cannot write `out`"), "{stderr}");
    fs::remove_file(bench.path(FAILURE_FILE)).unwrap();
    assert_eq!(bench.files(), before);
    assert_eq!(bench.bytes("out"), b"the model before");
}

#[test]
fn a_new_model_may_take_the_place_of_the_old_one() {
    let bench = Workbench::new();
    write_round(&bench, 2, Dtype::F32);
    bench.does(
        "aggregate --strategy fedadam --global global --update u0 --update u1 --output out --state-out state",
    );
    let (out, state) = (bench.bytes("out"), bench.bytes("state"));
    bench.does(
        "aggregate --strategy fedadam --global global --update u0 --update u1 --output global --state-out u0",
    );
    assert!(bench.bytes("global") == out && bench.bytes("u0") == state);
    assert!(
        named(&bench.read("global"), "fc.weight")
            .floats()
            .iter()
            .all(|value| value.is_finite())
    );
}

#[test]
fn jobs_that_share_a_folder_leave_failure_files_of_their_own() {
    let bench = Workbench::new();
    bench.env(FAILURE_VARIABLE, "logs/aggregate.failure.json");
    fs::create_dir(bench.path("logs")).unwrap();
    let line = "aggregate --strategy fedavg --global none --update none --output new";
    let output = bench.run(&line.split_whitespace().collect::<Vec<_>>());
    assert_eq!(
        output.status.code(),
        Some(i32::from(JobExit::InputMissing.code()))
    );
    assert_eq!(bench.files(), ["logs"]);
    let failure: Failure = serde_json::from_slice(&bench.bytes("logs/aggregate.failure.json")).unwrap();
    assert_eq!(failure.kind, JobExit::InputMissing);
}
