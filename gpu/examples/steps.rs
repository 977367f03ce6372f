//! Times training steps: `steps DEVICE ARCH BATCH STEPS`, on 224×224 images with 3 channels (small networks: 28×28 with 1).
//!
//! A step takes weights and a batch to the device, goes forward and backward, takes the gradients back and follows them on
//! the host: what a job's step does, with the plainest optimiser. Prints JSON: the milliseconds of every step. The first
//! steps compile kernels; they are in the list, for the reader to leave out.

use std::time::Instant;

use contract::{ids::Seed, recipe::DeviceChoice, training::Arch};
use fl_client::{
    device::{Place, offer},
    model::{Frozen, Input, Mode, Model, Pass, Weights},
};
use kernels::random::Random;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    offer(fl_client_gpu::OFFERS);
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [device, arch, batch, steps] = words.as_slice() else {
        return Err("usage: steps DEVICE ARCH BATCH STEPS".into());
    };
    let place = Place::find(Some(device.parse::<DeviceChoice>()?))?;
    let (arch, batch, steps): (Arch, usize, usize) = (arch.parse()?, batch.parse()?, steps.parse()?);
    let (channels, side) = match arch {
        Arch::SmallCnn | Arch::SmallCnnBn => (1, 28),
        Arch::Resnet18 | Arch::Resnet50 | Arch::Densenet121 | Arch::EfficientnetB0 => (3, 224),
    };
    let input = Input {
        channels,
        image_size: side,
        classes: 2,
    };
    let model = Model::new(arch, input)?.at(place);
    let mut weights = Weights::start(&model, Seed(1));
    let shape = [batch, channels as usize, side as usize, side as usize];
    let mut random = Random::new(1);
    let images: Vec<f32> = (0..shape.iter().product())
        .map(|_| random.between(-1.0, 1.0) as f32)
        .collect();
    let mut milliseconds = Vec::new();
    for _ in 0..steps {
        let start = Instant::now();
        let mut pass = Pass::new(&model, &weights, Mode::Training, &Frozen::none());
        let batch = pass.input(images.clone(), shape);
        let scores = model.forward(&mut pass, batch)?;
        let result = pass.finish(&scores.square().mean());
        for (tensor, gradient) in result.gradients() {
            for (weight, slope) in weights.real_mut(tensor).iter_mut().zip(gradient) {
                *weight -= 1e-3 * slope;
            }
        }
        weights.follow(&result);
        milliseconds.push(start.elapsed().as_secs_f64() * 1e3);
    }
    println!(r#"{{"device":"{device}","arch":"{arch}","batch":{batch},"milliseconds":{milliseconds:.3?}}}"#);
    Ok(())
}
