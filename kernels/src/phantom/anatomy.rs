//! A chest without findings: outline, lungs, heart, ribs, clavicles, vessels.

use super::shape::{Ellipse, Noise, Point, between, bump, step};
use crate::random::Random;

/// Ribs that cross the lungs.
const RIBS: usize = 9;

/// One patient. Left and right are the viewer's; the heart lies to the right of the picture.
pub(super) struct Anatomy {
    shift: Point,
    /// Half width of the chest wall.
    chest: f32,
    /// The left and the right lung, as ellipses cut off below by the diaphragm and in the middle by the mediastinum.
    pub lungs: [Ellipse; 2],
    /// Height of each diaphragm's dome.
    pub domes: [f32; 2],
    mediastinum: f32,
    heart: Ellipse,
    rib_first: f32,
    rib_gap: f32,
    rib_slope: f32,
    rib_density: f32,
    clavicle: f32,
    clavicle_tilt: f32,
    air: f32,
    vessels: [Noise; 2],
    vessel_density: f32,
    hila: [Ellipse; 2],
    tissue: Noise,
}

impl Anatomy {
    pub fn draw(random: &mut Random) -> Self {
        let mut range = |low, high| between(random, low, high);
        let chest = range(0.78, 0.92);
        let lung_width = chest * range(0.40, 0.45);
        let apex = range(-0.82, -0.70);
        let left_dome = range(0.38, 0.62);
        let domes = [left_dome, left_dome + range(0.02, 0.10)];
        let lung = |side: f32, lean: f32| {
            let centre = Point {
                x: side * chest * 0.46,
                y: 0.12,
            };
            let radii = Point {
                x: lung_width,
                y: 0.12 - apex,
            };
            Ellipse {
                centre,
                radii,
                turn: ((side * lean).cos(), (side * lean).sin()),
            }
        };
        let lungs = [lung(-1.0, range(0.06, 0.14)), lung(1.0, range(0.06, 0.14))];
        let heart_width = range(0.30, 0.42);
        let heart_tilt = range(0.35, 0.75);
        let heart = Ellipse {
            centre: Point {
                x: range(0.08, 0.15),
                y: domes[1] - range(0.10, 0.17),
            },
            radii: Point {
                x: heart_width,
                y: heart_width * range(0.66, 0.80),
            },
            turn: (heart_tilt.cos(), heart_tilt.sin()),
        };
        let mut hilum = |side: f32| Ellipse {
            centre: Point {
                x: side * range(0.20, 0.26),
                y: range(-0.12, 0.04),
            },
            radii: Point {
                x: range(0.06, 0.10),
                y: range(0.10, 0.16),
            },
            turn: (1.0, 0.0),
        };
        let hila = [hilum(-1.0), hilum(1.0)];
        Self {
            shift: Point {
                x: range(-0.06, 0.06),
                y: range(-0.06, 0.06),
            },
            chest,
            lungs,
            domes,
            mediastinum: range(0.11, 0.16),
            heart,
            rib_first: range(-0.80, -0.72),
            rib_gap: range(0.150, 0.175),
            rib_slope: range(0.30, 0.48),
            rib_density: range(0.05, 0.10),
            clavicle: range(-0.66, -0.58),
            clavicle_tilt: range(0.10, 0.26),
            air: range(0.36, 0.46),
            vessel_density: range(0.015, 0.035),
            hila,
            vessels: [Noise::draw(14, random), Noise::draw(26, random)],
            tissue: Noise::draw(5, random),
        }
    }

    /// Density of the tissue a ray through `point` crosses, 0 (air) to about 1; `opaque` is added where there is lung.
    pub fn density(&self, point: Point, opaque: f32) -> f32 {
        let point = Point {
            x: point.x - self.shift.x,
            y: point.y - self.shift.y,
        };
        let body = self.body(point);
        if body == 0.0 {
            return 0.0;
        }
        let lung = self.lung(point);
        let middle = self.middle(point);
        let soft = 0.60 + 0.03 * self.tissue.at(point) + 0.20 * middle;
        let aerated = self.air * lung * (1.0 - 0.85 * middle);
        let inside = if lung > 0.0 {
            lung * (1.0 - middle) * (opaque + self.vessels(point))
        } else {
            0.0
        };
        body * (soft - aerated + inside + self.bones(point))
    }

    /// 1 within shoulders and chest wall.
    fn body(&self, point: Point) -> f32 {
        let neck = 0.26 + 0.02 * bump(point.y + 1.0, 0.2);
        let shoulder = step(point.y + 0.86 - 0.22 * point.x.abs(), 0.07);
        let half_width = neck + (self.chest + 0.14 - neck) * shoulder;
        // Arms end where the chest wall begins.
        let axilla = 0.10 * step(point.y + 0.30, 0.25);
        step(half_width - axilla - point.x.abs(), 0.03)
    }

    fn lung(&self, point: Point) -> f32 {
        let side = usize::from(point.x >= 0.0);
        let ellipse = &self.lungs[side];
        let outline = step(1.0 - ellipse.radius_at(point), 0.06);
        let off = (point.x - ellipse.centre.x) / ellipse.radii.x;
        let dome = self.domes[side] + 0.16 * off * off;
        outline * step(dome - point.y, 0.03)
    }

    /// Mediastinum, spine and heart: 1 in the densest part.
    fn middle(&self, point: Point) -> f32 {
        let width = self.mediastinum + 0.05 * bump(point.y + 0.35, 0.12) + 0.04 * step(point.y, 0.5);
        let band = 0.75 * step(width - point.x.abs(), 0.05);
        let discs = 0.04 * (point.y * 34.0).sin() * bump(point.x, 0.06);
        let heart = 0.80 * step(1.0 - self.heart.radius_at(point), 0.16);
        let below = 0.9 * step(point.y - self.domes[0] - 0.25, 0.2);
        // Shadows lie over each other: what one lets through, the next weakens.
        (1.0 - (1.0 - band) * (1.0 - heart) * (1.0 - below) + discs).clamp(0.0, 1.0)
    }

    fn bones(&self, point: Point) -> f32 {
        let from_spine = point.x.abs();
        let cage = step(self.chest - 0.02 - from_spine, 0.04);
        // The posterior rib runs outwards and down, ever steeper; the anterior one comes back, fainter.
        let posterior = point.y - self.rib_slope * from_spine * from_spine - 0.10 * from_spine;
        let anterior = point.y + 0.55 * from_spine - 0.30;
        let ribs =
            self.comb(posterior, 0.042) + 0.35 * self.comb(anterior, 0.05) * step(from_spine - 0.3, 0.15);
        let along = (from_spine - 0.10) / 0.62;
        let middle_of_bone = self.clavicle - self.clavicle_tilt * along + 0.05 * (along * 5.0).sin();
        let ends = step(from_spine - 0.10, 0.03) * step(0.74 - from_spine, 0.05);
        let clavicle = bump(point.y - middle_of_bone, 0.035) * ends;
        self.rib_density * ribs * cage + 0.13 * clavicle
    }

    /// Bands at every rib, counted downwards from the first.
    fn comb(&self, height: f32, width: f32) -> f32 {
        let number = ((height - self.rib_first) / self.rib_gap)
            .round()
            .clamp(0.0, RIBS as f32 - 1.0);
        let distance = height - self.rib_first - number * self.rib_gap;
        // A rib is a tube: its walls are denser than its middle.
        bump(distance, width) + 0.4 * bump(distance.abs() - width, 0.4 * width)
    }

    /// Vessels: knots at the hila that thin out towards the chest wall.
    fn vessels(&self, point: Point) -> f32 {
        let hilum = |ellipse: &Ellipse| bump(ellipse.radius_at(point), 0.9);
        let hila: f32 = self.hila.iter().map(hilum).sum();
        let thinning = 1.0 - 0.6 * (point.x.abs() / self.chest).min(1.0);
        let texture = self.vessels[0].at(point) + 0.8 * self.vessels[1].at(point);
        0.10 * hila + self.vessel_density * thinning * texture
    }
}
