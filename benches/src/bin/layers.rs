//! How near the convolutions of the networks come to the limit of matrix products: `layers [THREADS]`.
//!
//! Prints a Markdown table. The limit is what as many products of square matrices as there are threads reach side by side,
//! each in a first and second level cache of its own. A convolution's operations are counted as its formula states them
//! (two for each weight and output), so that filtering, which takes fewer, can pass the limit. The best of some runs is
//! taken: other programs only add time.

use std::time::Instant;

use contract::recipe::Precision;
use fl_client::ops::{ConvOptions, Device, Slide, Tensor, TensorData, conv2d, grouped_conv2d};
use rayon::prelude::*;

/// As in `fl-client`, so that the costs are its own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 8;

/// Seconds each figure is measured for, at least.
const LONG: f64 = 0.3;

/// A convolution of a network on images of 224 pixels; the number of such layers in it.
struct Layer {
    network: &'static str,
    channels: usize,
    outputs: usize,
    /// Pixels of a side of its input.
    size: usize,
    kernel: usize,
    stride: usize,
    /// Each channel by itself.
    depthwise: bool,
    count: usize,
}

const fn layer(network: &'static str, shape: [usize; 5], count: usize) -> Layer {
    let [channels, outputs, size, kernel, stride] = shape;
    Layer {
        network,
        channels,
        outputs,
        size,
        kernel,
        stride,
        depthwise: false,
        count,
    }
}

const fn depthwise(channels: usize, size: usize, kernel: usize, stride: usize, count: usize) -> Layer {
    Layer {
        depthwise: true,
        ..layer(
            "efficientnet_b0",
            [channels, channels, size, kernel, stride],
            count,
        )
    }
}

/// The shapes that take most of the time; of a dense block's bottlenecks the middle one stands for all.
const LAYERS: [Layer; 27] = [
    layer("resnet18", [3, 64, 224, 7, 2], 1),
    layer("resnet18", [64, 64, 56, 3, 1], 4),
    layer("resnet18", [64, 128, 56, 3, 2], 1),
    layer("resnet18", [64, 128, 56, 1, 2], 1),
    layer("resnet18", [128, 128, 28, 3, 1], 3),
    layer("resnet18", [128, 256, 28, 3, 2], 1),
    layer("resnet18", [256, 256, 14, 3, 1], 3),
    layer("resnet18", [256, 512, 14, 3, 2], 1),
    layer("resnet18", [512, 512, 7, 3, 1], 3),
    layer("densenet121", [144, 128, 56, 1, 1], 6),
    layer("densenet121", [128, 32, 56, 3, 1], 6),
    layer("densenet121", [304, 128, 28, 1, 1], 12),
    layer("densenet121", [128, 32, 28, 3, 1], 12),
    layer("densenet121", [624, 128, 14, 1, 1], 24),
    layer("densenet121", [128, 32, 14, 3, 1], 24),
    layer("densenet121", [752, 128, 7, 1, 1], 16),
    layer("densenet121", [256, 128, 56, 1, 1], 1),
    layer("efficientnet_b0", [3, 32, 224, 3, 2], 1),
    layer("efficientnet_b0", [16, 96, 112, 1, 1], 1),
    depthwise(96, 112, 3, 2, 1),
    layer("efficientnet_b0", [96, 24, 56, 1, 1], 1),
    layer("efficientnet_b0", [24, 144, 56, 1, 1], 2),
    depthwise(144, 56, 3, 1, 1),
    depthwise(144, 56, 5, 2, 1),
    layer("efficientnet_b0", [80, 480, 14, 1, 1], 3),
    depthwise(480, 14, 5, 1, 3),
    layer("efficientnet_b0", [192, 1152, 7, 1, 1], 4),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    fl_client::allocator::keep_blocks();
    let threads = match std::env::args().nth(1) {
        Some(threads) => threads.parse()?,
        None => 2,
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    pool.install(|| table(threads));
    Ok(())
}

fn table(threads: usize) {
    let limit = limit(threads);
    println!("Limit of products of `f32`: {limit:.0} GFLOP/s on {threads} threads. Batches of {BATCH}.\n");
    println!(
        "| network | layers | channels, outputs, side | kernel, step | forward, GFLOP/s | of the limit | both gradients \
         | of the limit | bf16 forward | bf16 gradients |"
    );
    println!("|{}", "---|".repeat(10));
    for layer in &LAYERS {
        let [whole, half] = [Precision::F32, Precision::Bf16].map(|precision| layer.rates(precision));
        let Layer {
            network,
            channels,
            outputs,
            size,
            kernel,
            stride,
            depthwise,
            count,
        } = layer;
        let kind = if *depthwise { " each by itself" } else { "" };
        let half = if *depthwise {
            " | ".to_owned()
        } else {
            format!("{:.0} | {:.0}", half[0], half[1])
        };
        println!(
            "| {network} | {count} | {channels}, {outputs}, {size} | {kernel}, {stride}{kind} | {:.0} | {:.2} | {:.0} | {:.2} | {half} |",
            whole[0],
            whole[0] / limit,
            whole[1],
            whole[1] / limit,
        );
    }
}

impl Layer {
    /// Operations a second, in billions, of the output and of both gradients.
    fn rates(&self, precision: Precision) -> [f64; 2] {
        let inputs = if self.depthwise { 1 } else { self.channels };
        let plain = Device::flex();
        let images = [BATCH, self.channels, self.size, self.size];
        let weights = [self.outputs, inputs, self.kernel, self.kernel];
        let slide = Slide::square(self.stride, self.kernel / 2);
        let run = |x: Tensor<4>, weight: Tensor<4>| {
            if self.depthwise {
                grouped_conv2d(x, weight, slide)
            } else {
                conv2d(x, weight, None, ConvOptions { slide, precision })
            }
        };
        let (x, weight) = (drawn(images, &plain), drawn(weights, &plain));
        let pixels: usize = run(x.clone(), weight.clone()).dims().iter().product();
        let work = 2e-9 * (pixels * inputs * self.kernel * self.kernel) as f64;
        let forward = best(|| drop(run(x.clone(), weight.clone())));
        let grown = plain.clone().autodiff();
        let (x, weight) = (drawn(images, &grown), drawn(weights, &grown));
        let (x, weight) = (x.require_grad(), weight.require_grad());
        let mut gradients = f64::INFINITY;
        for _ in 0..5 {
            let loss = run(x.clone(), weight.clone()).sum();
            let begin = Instant::now();
            drop(loss.backward());
            gradients = gradients.min(begin.elapsed().as_secs_f64());
        }
        [work / forward, 2.0 * work / gradients]
    }
}

/// Operations a second, in billions, of products of matrices of 1024 rows and columns, one a thread.
fn limit(threads: usize) -> f64 {
    const SIDE: usize = 1024;
    let values = numbers(SIDE * SIDE);
    let mut outs = vec![vec![0.0; SIDE * SIDE]; threads];
    let time = best(|| {
        outs.par_iter_mut().for_each(|out| {
            // SAFETY: all three matrices have SIDE rows of SIDE values.
            unsafe {
                gemm::gemm(
                    SIDE,
                    SIDE,
                    SIDE,
                    out.as_mut_ptr(),
                    1,
                    SIDE as isize,
                    false,
                    values.as_ptr(),
                    1,
                    SIDE as isize,
                    values.as_ptr(),
                    1,
                    SIDE as isize,
                    0.0,
                    1.0,
                    false,
                    false,
                    false,
                    gemm::Parallelism::None,
                );
            }
        });
    });
    threads as f64 * 2e-9 * (SIDE * SIDE * SIDE) as f64 / time
}

/// The shortest time of many, in seconds.
fn best(mut work: impl FnMut()) -> f64 {
    work();
    let begin = Instant::now();
    let mut least = f64::INFINITY;
    while begin.elapsed().as_secs_f64() < LONG {
        let start = Instant::now();
        work();
        least = least.min(start.elapsed().as_secs_f64());
    }
    least
}

fn drawn<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(numbers(shape.iter().product()), shape), device)
}

/// What they are matters to no time.
fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|at| (at % 251) as f32 / 251.0 - 0.5).collect()
}
