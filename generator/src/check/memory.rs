//! How much memory training will probably take: enough of an estimate to warn by.

use contract::{dataset::Depth, training::Arch, units::Bytes};

/// What a process takes before it holds images.
const PROCESS: u64 = 128 << 20;

/// Estimates the memory of one training process with square images of `size` pixels of `depth`.
///
/// Parameters are held four times (value, gradient, momentum, update); activations are `batch_size · size²` times the
/// bytes per pixel measured for the network (ResNet-18 at batch 32 of 224 pixels: 0.85 GB in all), which counts pixels of
/// 8 bits; a shard's are mapped, and one batch of them is held.
pub fn training(arch: Arch, size: u32, depth: Depth, batch_size: u32) -> Bytes {
    let pixels = u64::from(size) * u64::from(size);
    let deeper = depth.bytes() as u64 - 1;
    let (parameters, bytes_per_pixel) = match arch {
        // The hidden layer sees 32 channels of a quarter of each side.
        Arch::SmallCnn => (5_000 + 64 * 32 * (pixels / 16), 450),
        Arch::Resnet18 => (11_700_000, 500),
    };
    Bytes(PROCESS + 4 * 4 * parameters + u64::from(batch_size) * pixels * (bytes_per_pixel + deeper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_is_near_what_was_measured() {
        let estimate = training(Arch::Resnet18, 224, Depth::U8, 32).0 as f64;
        assert!((0.85e9..1.35e9).contains(&estimate), "{estimate}");
        let deep = training(Arch::Resnet18, 224, Depth::U16, 32).0 as f64;
        assert_eq!(
            deep - estimate,
            f64::from(32 * 224 * 224),
            "one more byte a pixel of the batch"
        );
        assert!(training(Arch::SmallCnn, 28, Depth::U8, 32).0 < 200 << 20);
        assert!(
            training(Arch::SmallCnn, 4096, Depth::U16, 65_536).0 > 1 << 40,
            "no overflow at the limits"
        );
    }
}
