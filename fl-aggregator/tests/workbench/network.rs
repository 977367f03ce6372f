//! A small network with a convolution, batch normalisation and a classifier, as a global model and updates of it.

use safetensors::Dtype;

use super::{Tensors, Value, Workbench, header, update};
use contract::tensors::{CONTROL, LOCAL_STEPS, TRAIN_LOSS, TensorKind};

/// Floating-point tensors of the network with their shapes; the counter comes before the last.
const SHAPES: [(&str, &[usize]); 6] = [
    ("conv.weight", &[3, 1, 3, 3]),
    ("bn.weight", &[3]),
    ("bn.bias", &[3]),
    ("bn.running_mean", &[3]),
    ("bn.running_var", &[3]),
    ("fc.weight", &[2, 301]),
];

/// The counter of batches.
pub const COUNTER: &str = "bn.num_batches_tracked";

/// Numbers between -1 and 1 that look drawn.
pub fn drawn(seed: u64, count: usize) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// The network of number `seed`: 0 is the global model, others lie around it.
pub fn network(seed: u64, float: Dtype) -> Tensors {
    let mut tensors = Tensors::new();
    for (number, (name, shape)) in SHAPES.into_iter().enumerate() {
        let count = shape.iter().product();
        let of = |seed: u64| drawn(100 * seed + number as u64 + 7, count);
        let (base, change) = (of(0), of(seed));
        let scale = if seed == 0 { 0.0 } else { 0.1 };
        let mut values: Vec<f64> = base
            .iter()
            .zip(change)
            .map(|(base, change)| base + scale * change)
            .collect();
        if name.ends_with("running_var") {
            values.iter_mut().for_each(|value| *value = value.abs() + 0.01);
        }
        if name.starts_with("fc") {
            tensors.push((COUNTER, Value::i64(&[], &[5 + 3 * (seed as i64 % 4)])));
        }
        tensors.push((name, Value::float(float, shape, &values)));
    }
    tensors
}

/// Samples of client `client`.
pub fn samples(client: u32) -> u64 {
    10 + 7 * u64::from(client) % 23
}

/// Writes `global`, of round 0, and updates `u0`, `u1`, ... of as many clients, which state all that rules ask for.
pub fn write_round(bench: &Workbench, clients: u32, float: Dtype) {
    bench.write(
        "global",
        Some(header(TensorKind::Model, 0, None, 1)),
        &network(0, float),
    );
    for client in 0..clients {
        write_update(
            bench,
            &format!("u{client}"),
            client,
            &network(u64::from(client) + 1, float),
        );
    }
}

/// Writes an update that states all that rules ask for.
pub fn write_update(bench: &Workbench, name: &str, client: u32, tensors: &[(&str, Value)]) {
    let (steps, loss) = (
        (client + 3).to_string(),
        (0.5 + 0.1 * f64::from(client)).to_string(),
    );
    let more = [(LOCAL_STEPS, steps.as_str()), (TRAIN_LOSS, loss.as_str())];
    bench.write_with(name, update(client, samples(client)), &more, tensors);
}

/// `tensors` and changes of control variates for every parameter.
pub fn with_controls(tensors: Tensors, seed: u64) -> Tensors {
    let parameter = |(name, value): &(&'static str, Value)| {
        let is_parameter = value.dtype != Dtype::I64 && !name.contains("running");
        let name: &'static str = format!("{CONTROL}{name}").leak();
        let control = || Value::float(value.dtype, &value.shape, &drawn(seed, value.floats().len()));
        is_parameter.then(|| (name, control()))
    };
    let controls: Tensors = tensors.iter().filter_map(parameter).collect();
    tensors.into_iter().chain(controls).collect()
}

/// `--update` of each name.
pub fn updates<T: std::fmt::Display>(names: impl IntoIterator<Item = T>) -> String {
    names
        .into_iter()
        .map(|name| format!(" --update {name}"))
        .collect()
}
