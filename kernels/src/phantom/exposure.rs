//! What tube and detector make of densities: brightness, contrast, curve, noise.

use super::shape::between;
use crate::random::Random;

/// The settings of one exposure.
pub(super) struct Exposure {
    brightness: f32,
    contrast: f32,
    gamma: f32,
    noise: f32,
}

impl Exposure {
    pub fn draw(random: &mut Random) -> Self {
        Self {
            brightness: between(random, -0.03, 0.05),
            contrast: between(random, 0.90, 1.10),
            gamma: between(random, 0.92, 1.12),
            noise: between(random, 0.012, 0.035),
        }
    }

    /// The grey value of a density; more noise where fewer rays come through.
    pub fn pixel(&self, density: f32, random: &mut Random) -> u8 {
        let signal = (self.brightness + self.contrast * density)
            .clamp(0.0, 1.0)
            .powf(self.gamma);
        let noise = self.noise * (0.5 + 0.5 * signal) * random.normal() as f32;
        ((signal + noise).clamp(0.0, 1.0) * 255.0 + 0.5) as u8
    }
}
