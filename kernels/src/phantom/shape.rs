//! Soft-edged shapes and smooth noise: what drawings are made of.

use crate::random::Random;

/// A place in the frame: x from -1 (left edge) to 1, y from -1 (top) to 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub x: f32,
    pub y: f32,
}

/// 0 below `-width`, 1 above `width`, smooth between.
pub(super) fn step(value: f32, width: f32) -> f32 {
    let t = (0.5 + 0.5 * value / width).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// A smooth bump of height 1 at 0 that is gone beyond 2 `width`s.
pub(super) fn bump(distance: f32, width: f32) -> f32 {
    let t = distance / (2.0 * width);
    let rest = (1.0 - t * t).max(0.0);
    rest * rest
}

/// An ellipse with its axes turned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ellipse {
    pub centre: Point,
    pub radii: Point,
    /// Cosine and sine of the turn, clockwise as seen.
    pub turn: (f32, f32),
}

impl Ellipse {
    /// 0 at the centre, 1 on the edge, growing outwards.
    pub fn radius_at(&self, point: Point) -> f32 {
        let (x, y) = (point.x - self.centre.x, point.y - self.centre.y);
        let (cos, sin) = self.turn;
        let (u, v) = (
            (cos * x + sin * y) / self.radii.x,
            (cos * y - sin * x) / self.radii.y,
        );
        (u * u + v * v).sqrt()
    }
}

/// Smooth noise of mean 0: normal values on a coarse grid, interpolated.
#[derive(Debug, Clone)]
pub(super) struct Noise {
    values: Vec<f32>,
    cells: usize,
}

impl Noise {
    /// Noise whose bumps are about `2 / cells` of the frame wide.
    pub fn draw(cells: usize, random: &mut Random) -> Self {
        let side = cells + 1;
        Self {
            values: (0..side * side).map(|_| random.normal() as f32).collect(),
            cells,
        }
    }

    pub fn at(&self, point: Point) -> f32 {
        let split = |value: f32| {
            let place = ((value + 1.0) / 2.0).clamp(0.0, 0.999_99) * self.cells as f32;
            let t = place.fract();
            (place as usize, t * t * (3.0 - 2.0 * t))
        };
        let ((column, tx), (row, ty)) = (split(point.x), split(point.y));
        let above = row * (self.cells + 1) + column;
        let below = above + self.cells + 1;
        let mix = |a: f32, b: f32, t: f32| a + (b - a) * t;
        mix(
            mix(self.values[above], self.values[above + 1], tx),
            mix(self.values[below], self.values[below + 1], tx),
            ty,
        )
    }
}

/// A uniform number from `low` to `high`.
pub(super) fn between(random: &mut Random, low: f32, high: f32) -> f32 {
    random.between(f64::from(low), f64::from(high)) as f32
}
