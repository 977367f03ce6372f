//! Encoded updates: what they stand for under rules of every kind, and hostile ones.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod workbench;

use contract::{
    exit::JobExit,
    metrics::Subject,
    tensors::{ENCODING, INDEX_SUFFIX, SCALE_SUFFIX, TensorKind},
};
use kernels::codec::{Encoded, Encoding, encode};
use safetensors::Dtype;
use workbench::{
    Tensors, Value, Workbench, header, named,
    network::{drawn, network, samples, updates, write_round},
    update,
};

const ENCODINGS: [(&str, Encoding); 5] = [
    ("delta", Encoding::Delta),
    ("fp16", Encoding::Fp16),
    ("bf16", Encoding::Bf16),
    ("int8", Encoding::Int8),
    ("top_k:share=0.25", Encoding::TopK { share: 0.25 }),
];

/// The tensors of an update as a client encodes them: `F32` parameters as differences from the global model.
fn encoded(tensors: &Tensors, global: &Tensors, encoding: Encoding) -> Tensors {
    let mut out = Tensors::new();
    for (name, value) in tensors {
        if value.dtype != Dtype::F32 || name.contains("running") {
            out.push((name, value.clone()));
            continue;
        }
        let of = value.floats().into_iter().zip(named(global, name).floats());
        let difference: Vec<f32> = of.map(|(value, global)| value as f32 - global as f32).collect();
        let part = |suffix: &str| -> &'static str { format!("{name}{suffix}").leak() };
        let shape = &value.shape;
        match encode(encoding, &difference).unwrap() {
            Encoded::Delta(bytes) => out.push((name, Value::bytes_of(Dtype::F32, shape, bytes))),
            Encoded::Fp16(bytes) => out.push((name, Value::bytes_of(Dtype::F16, shape, bytes))),
            Encoded::Bf16(bytes) => out.push((name, Value::bytes_of(Dtype::BF16, shape, bytes))),
            Encoded::Int8 { values, scale } => {
                out.push((name, Value::bytes_of(Dtype::I8, shape, values)));
                out.push((part(SCALE_SUFFIX), Value::f32(&[], &[scale])));
            }
            Encoded::TopK { indices, values } => {
                let count = indices.len() / 4;
                out.push((name, Value::bytes_of(Dtype::F32, &[count], values)));
                out.push((part(INDEX_SUFFIX), Value::bytes_of(Dtype::U32, &[count], indices)));
            }
        }
    }
    out
}

fn write_encoded(bench: &Workbench, clients: u32, word: &str, encoding: Encoding) {
    for client in 0..clients {
        let tensors = encoded(
            &network(u64::from(client) + 1, Dtype::F32),
            &network(0, Dtype::F32),
            encoding,
        );
        bench.write_with(
            &format!("e{client}"),
            update(client, samples(client)),
            &[(ENCODING, word)],
            &tensors,
        );
    }
}

fn all(kind: &str, clients: u32) -> String {
    updates((0..clients).map(|client| format!("{kind}{client}")))
}

#[test]
fn encoded_updates_are_the_plain_ones_to_what_the_encoding_keeps() {
    for (word, encoding) in ENCODINGS {
        let bench = Workbench::new();
        write_round(&bench, 5, Dtype::F32);
        write_encoded(&bench, 5, word, encoding);
        // Differences are at most 0.1.
        let bound: f64 = match encoding {
            Encoding::Delta => 2e-7,
            Encoding::Fp16 => 1e-4,
            Encoding::Bf16 => 4e-4,
            Encoding::Int8 => 0.1 / 254.0 + 1e-6,
            Encoding::TopK { .. } => 0.1 + 1e-6,
        };
        for strategy in ["fedavg", "median", "norm_bound:norm=100", "krum:byzantine=1"] {
            let line = |kind: &str, out: &str| {
                format!(
                    "aggregate --strategy {strategy} --global global{} --output {out} --metrics metrics",
                    all(kind, 5)
                )
            };
            bench.does(&line("u", "plain"));
            bench.does(&line("e", "out"));
            let (mut farthest, mut same) = (0.0, true);
            for (name, plain) in bench.read("plain") {
                let made = bench.read("out");
                let value = named(&made, name);
                assert_eq!((value.dtype, &value.shape), (plain.dtype, &plain.shape));
                if name.contains("running") || name.contains("num_batches") {
                    // Krum may choose another update.
                    assert!(
                        strategy.starts_with("krum") || *value == plain,
                        "{word} {strategy} {name}"
                    );
                    continue;
                }
                same &= *value == plain;
                for (a, b) in value.floats().iter().zip(plain.floats()) {
                    farthest = f64::max(farthest, (a - b).abs());
                }
            }
            let bound = if strategy.starts_with("krum") {
                bound.max(0.2)
            } else {
                bound
            };
            assert!(farthest <= bound, "{word} {strategy}: {farthest}");
            assert!(
                !same || matches!(encoding, Encoding::Delta),
                "{word} {strategy} leaves nothing out"
            );
            let Subject::Aggregate { transfer, .. } = bench.metrics("metrics").subject else {
                panic!()
            };
            let received: usize = (0..5)
                .map(|client| bench.bytes(&format!("e{client}")).len())
                .sum();
            let plain: usize = network(0, Dtype::F32)
                .iter()
                .map(|(_, value)| value.bytes.len())
                .sum();
            assert_eq!(
                (transfer.received_bytes, transfer.plain_bytes),
                (received as u64, 5 * plain as u64)
            );
        }
    }
}

#[test]
fn values_are_decoded_as_written_in_every_piece() {
    let bench = Workbench::new();
    let length = (1 << 16) + 1000;
    let global = vec![("w", Value::float(Dtype::F32, &[length], &drawn(1, length)))];
    bench.write("global", Some(header(TensorKind::Model, 0, None, 1)), &global);
    for (word, encoding) in ENCODINGS {
        let trained = vec![("w", Value::float(Dtype::F32, &[length], &drawn(2, length)))];
        let tensors = encoded(&trained, &global, encoding);
        bench.write_with("e", update(0, 9), &[(ENCODING, word)], &tensors);
        bench.does("aggregate --strategy fedavg --global global --update e --output out");
        let made = named(&bench.read("out"), "w").floats();
        let (before, after) = (global[0].1.floats(), trained[0].1.floats());
        let largest = before
            .iter()
            .zip(&after)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f64::max);
        let mut untouched = 0;
        for index in 0..length {
            let (change, error) = (
                (after[index] - before[index]).abs(),
                (made[index] - after[index]).abs(),
            );
            let bound = match encoding {
                Encoding::Delta => 3e-7,
                Encoding::Fp16 => 5e-4 * change + 3e-7,
                Encoding::Bf16 => 4e-3 * change + 3e-7,
                Encoding::Int8 => largest / 254.0 + 3e-7,
                Encoding::TopK { .. } => change + 3e-7,
            };
            assert!(error <= bound, "{word} [{index}]: {error} > {bound}");
            untouched += usize::from(made[index] == before[index]);
        }
        if let Encoding::TopK { share } = encoding {
            let kept = (length as f64 * (1.0 - share)) as usize;
            assert!(untouched.abs_diff(kept) < 5, "{untouched} {kept}");
        }
    }
}

#[test]
fn encodings_mix_in_a_round_and_in_a_tree_and_order_changes_no_byte() {
    let bench = Workbench::new();
    write_round(&bench, 6, Dtype::F32);
    for (client, (word, encoding)) in (0..).zip(ENCODINGS) {
        let tensors = encoded(
            &network(client + 1, Dtype::F32),
            &network(0, Dtype::F32),
            encoding,
        );
        bench.write_with(
            &format!("e{client}"),
            update(client as u32, 4 + client),
            &[(ENCODING, word)],
            &tensors,
        );
    }
    let line = |files: &[&str], rest: &str| format!("--global global{} {rest}", updates(files));
    for strategy in [
        "fedavg",
        "fedadam",
        "median",
        "krum:byzantine=1",
        "fedavg --privacy fixed:norm=0.1,noise_multiplier=0,delta=0.1",
    ] {
        let flat = line(&["e0", "e1", "e2", "e3", "e4", "u5"], "--output flat --threads 1");
        bench.does(&format!("aggregate --strategy {strategy} {flat}"));
        let turned = line(&["u5", "e3", "e0", "e4", "e2", "e1"], "--output out --threads 3");
        bench.does(&format!("aggregate --strategy {strategy} {turned}"));
        assert!(bench.bytes("out") == bench.bytes("flat"), "{strategy}");
        if strategy == "fedavg" || strategy == "fedadam" {
            bench.does(&format!("partial {}", line(&["e4", "u5", "e1"], "--output p")));
            bench.does(&format!("partial {}", line(&["e0", "e3"], "--output q")));
            bench.does(&format!(
                "aggregate --strategy {strategy} {}",
                line(&["q", "e2", "p"], "--output out --metrics metrics")
            ));
            assert!(bench.bytes("out") == bench.bytes("flat"), "{strategy}");
            let Subject::Aggregate { transfer, .. } = bench.metrics("metrics").subject else {
                panic!()
            };
            let files = ["e0", "e1", "e2", "e3", "e4", "u5"];
            let received: usize = files.iter().map(|name| bench.bytes(name).len()).sum();
            assert_eq!(transfer.received_bytes, received as u64);
        }
    }
}

#[test]
fn other_formats_travel_as_they_are() {
    for float in [Dtype::F16, Dtype::BF16, Dtype::F64] {
        let bench = Workbench::new();
        write_round(&bench, 2, float);
        bench.write_with(
            "e0",
            update(0, samples(0)),
            &[(ENCODING, "int8")],
            &network(1, float),
        );
        bench.does("aggregate --strategy fedavg --global global --update e0 --update u1 --output out");
        bench.does("aggregate --strategy fedavg --global global --update u0 --update u1 --output plain");
        assert!(bench.bytes("out") == bench.bytes("plain"), "{float}");
    }
}

#[test]
fn hostile_encodings_are_refused_by_file_and_tensor() {
    let bench = Workbench::new();
    let global = vec![("w", Value::f32(&[2, 3], &[0.0; 6]))];
    bench.write("global", Some(header(TensorKind::Model, 0, None, 1)), &global);
    let refused = |word: &str, tensors: &Tensors, exit| {
        bench.write_with("e", update(0, 9), &[(ENCODING, word)], tensors);
        for strategy in ["fedavg", "median"] {
            bench.refuses(
                &format!("aggregate --strategy {strategy} --global global --update e --output out"),
                exit,
            );
        }
        bench.refuses("partial --global global --update e --output out", exit)
    };
    let invalid = JobExit::InputInvalid;
    let bytes = |values: &[u8]| Value::bytes_of(Dtype::I8, &[2, 3], values.to_vec());
    for scale in [f32::NAN, f32::INFINITY, -1.0, f32::NEG_INFINITY] {
        let message = refused(
            "int8",
            &vec![("w", bytes(&[1; 6])), ("w#scale", Value::f32(&[], &[scale]))],
            invalid,
        );
        assert_eq!(
            message,
            format!("`e`: tensor `w`: its scale is {scale}, it must be 0 or a finite number above")
        );
    }
    let message = refused("int8", &vec![("w", bytes(&[1; 6]))], invalid);
    assert!(message.contains("tensor `w#scale`"), "{message}");
    let message = refused(
        "int8",
        &vec![("w", bytes(&[1; 6])), ("w#scale", Value::f32(&[1], &[1.0]))],
        invalid,
    );
    assert!(message.contains("tensor `w#scale` is F32 [1]"), "{message}");
    let places = |places: &[u32]| {
        let bytes = places.iter().flat_map(|place| place.to_le_bytes()).collect();
        ("w#index", Value::bytes_of(Dtype::U32, &[places.len()], bytes))
    };
    let top_k = |values: &[f32], list: &[u32]| vec![("w", Value::f32(&[values.len()], values)), places(list)];
    let word = "top_k:share=0.5";
    for (list, text) in [
        (
            &[0, 6][..],
            "its place 6 at position 1 is not below the tensor's 6 values",
        ),
        (
            &[3, 3],
            "its place 3 at position 1 does not come after the one before it",
        ),
        (
            &[3, 2],
            "its place 2 at position 1 does not come after the one before it",
        ),
        (
            &[0, u32::MAX],
            "its place 4294967295 at position 1 is not below the tensor's 6 values",
        ),
    ] {
        let message = refused(word, &top_k(&[1.0, 2.0], list), invalid);
        assert_eq!(message, format!("`e`: tensor `w`: {text}"));
    }
    let message = refused(word, &top_k(&[1.0], &[1, 2]), invalid);
    assert!(message.contains("tensor `w` is F32 [1]"), "{message}");
    let message = refused(word, &top_k(&[1.0, f32::NAN], &[1, 4]), JobExit::NotFinite);
    assert_eq!(message, "`e`: tensor `w` at [1, 1] is NaN");
    let wide = Value::float(Dtype::F16, &[2, 3], &[0.0, 0.0, 0.0, 0.0, 0.0, f64::INFINITY]);
    let message = refused("fp16", &vec![("w", wide)], JobExit::NotFinite);
    assert_eq!(message, "`e`: tensor `w` at [1, 2] is inf");
    // A tensor of another encoding, and encodings that are none.
    let message = refused("fp16", &vec![("w", Value::f32(&[2, 3], &[0.0; 6]))], invalid);
    assert_eq!(
        message,
        "`e`: tensor `w` is F32 [2, 3], an update of this model has F16 [2, 3]"
    );
    for word in ["zip", "top_k", "top_k:share=2", "top_k:share=-1", "{", ""] {
        let message = refused(word, &global, invalid);
        assert!(
            message.starts_with(&format!("`e`: metadata `encoding` is `{word}`: ")),
            "{message}"
        );
    }
}

#[test]
fn a_sum_that_leaves_the_format_is_refused_by_the_update() {
    let bench = Workbench::new();
    let model = |value: f32| vec![("w", Value::f32(&[2], &[0.0, value]))];
    bench.write(
        "global",
        Some(header(TensorKind::Model, 0, None, 1)),
        &model(f32::MAX),
    );
    bench.write_with("e", update(0, 9), &[(ENCODING, "delta")], &model(f32::MAX));
    let message = bench.refuses(
        "aggregate --strategy fedavg --global global --update e --output out",
        JobExit::NotFinite,
    );
    assert_eq!(message, "`e`: tensor `w` at [1] is inf");
}
