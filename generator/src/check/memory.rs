//! How much memory training will probably take: enough of an estimate to warn by.

use contract::{
    dataset::ImageSettings,
    recipe::{Method, Recipe},
    training::{Arch, Optimizer},
    units::Bytes,
};

/// What a process takes before it holds images.
const PROCESS: u64 = 128 << 20;

/// Bytes of a 32-bit number.
const NUMBER: u64 = 4;

/// Estimates the memory of one training process.
///
/// Parameters are held as value, gradient, moments and update, and again for what a method keeps beside them.
/// Activations are `batch_size` times the pixels times the bytes per pixel of the network: for ResNet-18 and the small
/// networks as measured (ResNet-18 at batch 32 of 224 pixels: 0.85 GB in all), for the others counted from the outputs of
/// their layers in the same proportion. Those count one batch of 8-bit pixels; a shard is mapped, and batches made ahead
/// are held as 32-bit numbers.
pub fn training(arch: Arch, image: &ImageSettings, recipe: &Recipe) -> Bytes {
    let pixels = u64::from(image.size) * u64::from(image.size);
    let (parameters, bytes_per_pixel) = match arch {
        // The hidden layer sees 32 channels of a quarter of each side.
        Arch::SmallCnn => (5_000 + 64 * 32 * (pixels / 16), 450),
        Arch::SmallCnnBn => (5_000 + 64 * 32 * (pixels / 16), 600),
        Arch::Resnet18 => (11_700_000, 500),
        Arch::Resnet50 => (25_600_000, 2_200),
        Arch::Densenet121 => (8_000_000, 2_500),
        Arch::EfficientnetB0 => (5_300_000, 1_600),
    };
    let moments = match recipe.optimizer {
        Optimizer::Sgd { .. } => 1,
        Optimizer::Adam(_) | Optimizer::Adamw(_) => 2,
    };
    let beside = match recipe.method {
        Method::Plain | Method::Qfedavg | Method::Fedbn | Method::Fedper => 0,
        // The global model.
        Method::Fedprox { .. } => 1,
        // The server's and the client's control variates.
        Method::Scaffold => 2,
        // The global model, the client's own and its moments.
        Method::Ditto { .. } => 2 + moments,
    };
    let deeper = image.depth.bytes() as u64 - 1;
    let ahead = u64::from(recipe.ahead) * u64::from(image.channels) * NUMBER;
    let batch = u64::from(recipe.batch_size) * pixels;
    Bytes(
        PROCESS
            + NUMBER * (3 + moments + beside) * parameters
            + batch.saturating_mul(bytes_per_pixel + deeper + ahead),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::{
        dataset::{Depth, Fit},
        training::Moments,
    };

    fn image(size: u32, depth: Depth) -> ImageSettings {
        ImageSettings {
            size,
            channels: 1,
            mean: 0.5,
            std: 0.5,
            depth,
            fit: Fit::Stretch,
        }
    }

    fn recipe(batch_size: u32) -> Recipe {
        let sgd = Optimizer::Sgd {
            learning_rate: 0.1,
            momentum: 0.9,
            nesterov: false,
            weight_decay: 0.0,
        };
        Recipe::plain(batch_size, sgd)
    }

    #[test]
    fn the_estimate_is_near_what_was_measured() {
        let estimate = training(Arch::Resnet18, &image(224, Depth::U8), &recipe(32)).0 as f64;
        assert!((0.85e9..1.35e9).contains(&estimate), "{estimate}");
        let deep = training(Arch::Resnet18, &image(224, Depth::U16), &recipe(32)).0 as f64;
        assert_eq!(
            deep - estimate,
            f64::from(32 * 224 * 224),
            "one more byte a pixel of the batch"
        );
        assert!(training(Arch::SmallCnn, &image(28, Depth::U8), &recipe(32)).0 < 200 << 20);
        assert!(
            training(Arch::SmallCnn, &image(4096, Depth::U16), &recipe(65_536)).0 > 1 << 40,
            "no overflow at the limits"
        );
    }

    #[test]
    fn what_is_held_beside_the_model_counts() {
        let image = image(64, Depth::U8);
        let plain = recipe(8);
        let with = |change: &dyn Fn(&mut Recipe)| {
            let mut recipe = plain.clone();
            change(&mut recipe);
            training(Arch::Resnet18, &image, &recipe).0 - training(Arch::Resnet18, &image, &plain).0
        };
        let copy = 4 * 11_700_000;
        assert_eq!(with(&|recipe| recipe.method = Method::Scaffold), 2 * copy);
        assert_eq!(
            with(&|recipe| recipe.method = Method::Ditto { lambda: 1.0 }),
            3 * copy
        );
        let adam = Optimizer::Adam(Moments {
            learning_rate: 0.1,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
        });
        assert_eq!(with(&|recipe| recipe.optimizer = adam), copy);
        assert_eq!(with(&|recipe| recipe.ahead = 3), 8 * 64 * 64 * 4);
    }
}
