//! The global model on its way to the clients: what is sent is what is started from, and what is rounded off is not lost.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod workbench;

use contract::{
    exit::JobExit,
    tensors::{ENCODING, SCALE_SUFFIX, TensorKind},
};
use safetensors::Dtype;
use workbench::{Tensors, Value, Workbench, header, named, network::network};

const ENCODINGS: [&str; 3] = ["fp16", "bf16", "int8"];

/// The command line of a round after the first; the last one writes the global model alone.
fn later(encoding: &str, last: bool) -> String {
    let next = if last {
        ""
    } else {
        " --start s1.st --broadcast b1.st"
    };
    format!(
        "broadcast --encoding {encoding} --model m.st --before g0.st --start-before s0.st --global g1.st{next}"
    )
}

fn first(encoding: &str) -> String {
    format!("broadcast --encoding {encoding} --model g0.st --start s0.st --broadcast b0.st")
}

fn is_trained(name: &str, value: &Value) -> bool {
    value.dtype == Dtype::F32 && !name.contains("running")
}

/// What a reader makes of a tensor that was sent.
fn read(sent: &Tensors, name: &str) -> Vec<f32> {
    let value = named(sent, name);
    match value.dtype {
        Dtype::F16 | Dtype::BF16 => value.floats().iter().map(|value| *value as f32).collect(),
        Dtype::I8 => {
            let scale = named(sent, &format!("{name}{SCALE_SUFFIX}")).floats()[0];
            let values = value.bytes.iter();
            values
                .map(|byte| (f64::from(*byte as i8) * scale) as f32)
                .collect()
        }
        other => panic!("`{name}` is {other:?}"),
    }
}

#[test]
fn clients_start_from_what_is_sent_and_the_initial_model_stays() {
    for encoding in ENCODINGS {
        let bench = Workbench::new();
        let model = network(3, Dtype::F32);
        bench.write("g0.st", Some(header(TensorKind::Model, 0, None, 0)), &model);
        bench.does(&first(encoding));
        assert_eq!(bench.files(), ["b0.st", "g0.st", "s0.st"]);
        let (sent, start) = (bench.read("b0.st"), bench.read("s0.st"));
        assert_eq!(bench.metadata("b0.st", ENCODING).as_deref(), Some(encoding));
        assert_eq!(bench.metadata("s0.st", ENCODING), None);
        assert_eq!(start.len(), model.len());
        for (name, value) in &model {
            if !is_trained(name, value) {
                assert_eq!(named(&start, name).bytes, value.bytes, "{name}");
                assert_eq!(named(&sent, name).bytes, value.bytes, "{name}");
                continue;
            }
            let read = read(&sent, name);
            let started: Vec<f32> = named(&start, name)
                .floats()
                .iter()
                .map(|value| *value as f32)
                .collect();
            assert_eq!(read, started, "{encoding}: {name}");
            let most = value
                .floats()
                .iter()
                .fold(0.0_f64, |most, value| most.max(value.abs()));
            for (read, value) in read.iter().zip(value.floats()) {
                let error = (f64::from(*read) - value).abs();
                let allowed = match encoding {
                    "int8" => most / 254.0 * 1.000_001,
                    "bf16" => value.abs() / 256.0,
                    _ => value.abs() / 2048.0 + 1e-7,
                };
                assert!(error <= allowed, "{encoding}: {name}: {value} is read as {read}");
            }
        }
        let (whole, smaller) = (bench.bytes("g0.st").len(), bench.bytes("b0.st").len());
        assert!(smaller < whole, "{smaller} of {whole}");
    }
}

/// Steps that are much smaller than what is rounded off would be lost in every round, and all of them are there in the end.
#[test]
fn small_steps_of_many_rounds_add_up() {
    for encoding in ["bf16", "int8"] {
        let bench = Workbench::new();
        let weights = |values: &[f32]| -> Tensors { vec![("w", Value::f32(&[values.len()], values))] };
        let initial = [1.0_f32, -0.731, 0.25, 0.003];
        // The largest value stays, and with it the scale of 8-bit integers.
        let step = [0.0_f32, -0.0003, 0.0001, 0.00001];
        bench.write(
            "g0.st",
            Some(header(TensorKind::Model, 0, None, 0)),
            &weights(&initial),
        );
        bench.does(&first(encoding));
        let rounds = 60;
        let mut stuck = 0;
        for round in 1..=rounds {
            let start: Vec<f32> = named(&bench.read("s0.st"), "w")
                .floats()
                .iter()
                .map(|value| *value as f32)
                .collect();
            let model: Vec<f32> = start.iter().zip(step).map(|(start, step)| start + step).collect();
            bench.write(
                "m.st",
                Some(header(TensorKind::Model, round, None, 0)),
                &weights(&model),
            );
            bench.does(&later(encoding, false));
            for (new, old) in [("g1.st", "g0.st"), ("s1.st", "s0.st"), ("b1.st", "b0.st")] {
                std::fs::rename(bench.path(new), bench.path(old)).unwrap();
            }
            let next = named(&bench.read("s0.st"), "w").floats();
            stuck += usize::from(next[1] as f32 == start[1]);
        }
        assert!(
            stuck > rounds as usize / 2,
            "{encoding}: {stuck} rounds round the step off"
        );
        let reached = named(&bench.read("g0.st"), "w").floats();
        for ((reached, initial), step) in reached.iter().zip(initial).zip(step) {
            let expected = f64::from(initial) + f64::from(rounds) * f64::from(step);
            assert!(
                (reached - expected).abs() < 1e-5,
                "{encoding}: {reached}, not {expected}"
            );
        }
    }
}

#[test]
fn after_the_last_round_there_is_the_global_model_alone() {
    let bench = Workbench::new();
    let model = network(3, Dtype::F32);
    for (name, round) in [("g0.st", 4), ("s0.st", 4), ("m.st", 5)] {
        bench.write(name, Some(header(TensorKind::Model, round, None, 9)), &model);
    }
    bench.does(&later("int8", true));
    assert_eq!(bench.files(), ["g0.st", "g1.st", "m.st", "s0.st"]);
    assert_eq!(bench.bytes("g1.st"), bench.bytes("m.st"));
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_is_left() {
    let bench = Workbench::new();
    let model = network(3, Dtype::F32);
    for name in ["g0.st", "s0.st", "m.st"] {
        bench.write(name, Some(header(TensorKind::Model, 0, None, 0)), &model);
    }
    for (line, words) in [
        (
            "broadcast --encoding int8 --model m.st --global g1.st".to_owned(),
            "go together",
        ),
        (
            "broadcast --encoding int8 --model m.st".to_owned(),
            "nothing is to be written",
        ),
        (
            later("int8", false).replace("b1.st", "s1.st"),
            "`s1.st` is named for two outputs",
        ),
        (first("top_k:share=0.5"), "must be one of fp16, bf16, int8"),
    ] {
        let said = bench.refuses(&line, JobExit::Usage);
        assert!(said.contains(words), "{said}");
    }
    bench.write("s0.st", Some(header(TensorKind::Model, 0, None, 0)), &model[1..]);
    let said = bench.refuses(&later("int8", false), JobExit::InputInvalid);
    assert!(
        said.contains("s0.st") && said.contains("not of the same network"),
        "{said}"
    );

    bench.write("s0.st", Some(header(TensorKind::Model, 0, None, 0)), &model);
    let mut wild = model.clone();
    let (name, value) = wild
        .iter_mut()
        .find(|(name, value)| is_trained(name, value))
        .unwrap();
    let mut values: Vec<f32> = value.floats().iter().map(|value| *value as f32).collect();
    values[0] = 1e30;
    *value = Value::f32(&value.shape.clone(), &values);
    let name = name.to_owned();
    bench.write("m.st", Some(header(TensorKind::Model, 1, None, 0)), &wild);
    let said = bench.refuses(&later("fp16", false), JobExit::NotFinite);
    assert!(
        said.contains(&name) && said.contains("which the encoding cannot hold"),
        "{said}"
    );
}
