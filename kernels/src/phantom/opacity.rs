//! Opacities: soft bright patches in a lung.

use super::{
    anatomy::Anatomy,
    shape::{Ellipse, Noise, Point, between, bump},
};
use crate::random::Random;

/// One patch.
pub(super) struct Opacity {
    ellipse: Ellipse,
    density: f32,
    edge: Noise,
}

impl Opacity {
    /// One to three patches in either lung, of various size and contrast.
    pub fn draw_some(anatomy: &Anatomy, random: &mut Random) -> Vec<Self> {
        let count = [1, 1, 1, 2, 2, 3][random.below(6) as usize];
        (0..count).map(|_| Self::draw(anatomy, random)).collect()
    }

    fn draw(anatomy: &Anatomy, random: &mut Random) -> Self {
        let side = random.below(2) as usize;
        let lung = &anatomy.lungs[side];
        let top = lung.centre.y - 0.75 * lung.radii.y;
        let centre = Point {
            x: lung.centre.x + between(random, -0.45, 0.45) * lung.radii.x,
            y: between(random, top, anatomy.domes[side] - 0.06),
        };
        let radius = between(random, 0.16, 0.32);
        let angle = between(random, 0.0, std::f32::consts::PI);
        Self {
            ellipse: Ellipse {
                centre,
                radii: Point {
                    x: radius,
                    y: radius * between(random, 0.6, 1.0),
                },
                turn: (angle.cos(), angle.sin()),
            },
            density: between(random, 0.14, 0.40),
            edge: Noise::draw(12, random),
        }
    }

    /// Density added at `point`, fading outwards with a ragged edge.
    pub fn at(&self, point: Point) -> f32 {
        let radius = self.ellipse.radius_at(point);
        if radius > 2.0 {
            return 0.0;
        }
        let ragged = (radius * (1.0 + 0.18 * self.edge.at(point))).max(0.0);
        self.density * bump(ragged, 0.75)
    }
}
