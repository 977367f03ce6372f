//! Trains or evaluates a network on drawn images as `fl-client` does: `train_step ARCH train|infer BATCH STEPS THREADS [bf16]`.
//!
//! Two steps come before the clock starts. Prints JSON: milliseconds of every step (forward, backward, and SGD with
//! momentum and weight decay), processor seconds a step, and the largest resident size in bytes.

use std::{process::ExitCode, time::Instant};

use contract::{
    ids::Seed,
    recipe::Precision,
    training::{Arch, Optimizer, Target},
};
use fl_client::{
    batches::Batch,
    fit::{loss::Criterion, step::Stepper},
    model::{Frozen, Input, Mode, Model, Pass, Weights},
    optim::Descent,
};

/// As in `fl-client`, so that the costs are its own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Steps before the clock starts.
const WARM: usize = 2;

fn main() -> ExitCode {
    fl_client::allocator::keep_blocks();
    match run() {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (words, precision) = match words.split_last() {
        Some((last, before)) if last == "bf16" => (before, Precision::Bf16),
        _ => (words.as_slice(), Precision::F32),
    };
    let [arch, mode, batch, steps, threads] = words else {
        return Err("give ARCH train|infer BATCH STEPS THREADS [bf16]".into());
    };
    let arch: Arch = arch.parse()?;
    let (batch, steps): (usize, usize) = (batch.parse()?, steps.parse()?);
    let train = match mode.as_str() {
        "train" => true,
        "infer" => false,
        other => return Err(format!("{other}: neither train nor infer").into()),
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads.parse()?)
        .build()?;
    pool.install(|| {
        let small = matches!(arch, Arch::SmallCnn | Arch::SmallCnnBn);
        let input = Input {
            channels: if small { 1 } else { 3 },
            image_size: if small { 28 } else { 224 },
            classes: 2,
        };
        let model = Model::new(arch, input)?;
        let mut weights = Weights::start(&model, Seed(1));
        let shape = [
            batch,
            input.channels as usize,
            input.image_size as usize,
            input.image_size as usize,
        ];
        let pixels = drawn(shape.iter().product());
        let labels: Vec<u8> = (0..batch).map(|index| (index % 2) as u8).collect();
        let mut times = Vec::new();
        let mut cpu = 0.0;
        let frozen = Frozen::none();
        if train {
            let stepper = Stepper {
                model: &model,
                criterion: &Criterion::plain(Target::Classes, input.classes as usize),
                frozen: &frozen,
                clip_norm: None,
                precision,
            };
            let mut descent = Descent::new(Optimizer::Sgd {
                learning_rate: 0.001,
                momentum: 0.9,
                nesterov: false,
                weight_decay: 1e-4,
            });
            for step in 0..WARM + steps {
                let batch = Batch {
                    pixels: pixels.clone(),
                    shape,
                    labels: labels.clone(),
                };
                if step == WARM {
                    cpu = usage().0;
                }
                let begin = Instant::now();
                stepper
                    .take(&mut weights, batch, &mut descent, &mut ())
                    .map_err(|trouble| format!("{trouble:?}"))?;
                times.push(begin.elapsed().as_secs_f64() * 1e3);
            }
        } else {
            let mut pass = Pass::new(&model, &weights, Mode::Evaluation, &frozen).in_precision(precision);
            for step in 0..WARM + steps {
                let images = pass.input(pixels.clone(), shape);
                if step == WARM {
                    cpu = usage().0;
                }
                let begin = Instant::now();
                let logits = model.forward(&mut pass, images)?;
                drop(logits.into_data());
                times.push(begin.elapsed().as_secs_f64() * 1e3);
            }
        }
        let (end, largest) = usage();
        let line = serde_json::json!({
            "ms": &times[WARM..],
            "cpu_s": (end - cpu) / steps as f64,
            "max_rss": largest,
        });
        Ok(line.to_string())
    })
}

/// Values in -1..1 by a linear congruence: what they are matters to no time.
fn drawn(count: usize) -> Vec<f32> {
    let mut state = 1u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1u32 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// Processor seconds of this process so far, and its largest resident size in bytes.
fn usage() -> (f64, i64) {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to a whole `rusage`, of which zeros are a valid value.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    (
        seconds(usage.ru_utime) + seconds(usage.ru_stime),
        usage.ru_maxrss * 1024,
    )
}
