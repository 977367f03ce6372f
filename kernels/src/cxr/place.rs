//! Where a frame goes in a square.
//!
//! In: a frame's grid, the height of its pixels, a target. Out: a [`Place`]. Start at [`Place::of`].

use super::{
    Fit, Frame, ImageError, MAX_SIDE, Target,
    axis::{Axis, Spacing},
    tone::refused,
};

/// Where the frame goes in the square, and of which samples its pixels are made.
pub(super) struct Place {
    pub rows: Axis,
    pub columns: Axis,
    pub left: usize,
    pub top: usize,
    pub size: usize,
}

impl Place {
    /// # Errors
    /// [`ImageError::NoPixels`], [`ImageError::Meaning`] for the aspect, [`ImageError::Grid`]
    pub(super) fn of(frame: &Frame<'_>, aspect: f64, target: Target) -> Result<Self, ImageError> {
        let Target { size, depth: _, fit } = target;
        let grid = frame.grid;
        if !(1..=MAX_SIDE).contains(&size) {
            return Err(ImageError::NoPixels {
                width: grid.full_width,
                height: grid.full_height,
                size,
            });
        }
        if !(aspect.is_finite() && aspect > 0.0) {
            return Err(refused(format!(
                "pixels {aspect} times as high as wide; expected a number above 0"
            )));
        }
        let along = |samples: u32, full: u32| {
            let (step, origin) = (f64::from(grid.step), f64::from(grid.origin));
            let reaches = origin + f64::from(samples) * step;
            let whole = -step < origin && origin <= 0.0 && reaches > f64::from(full) - step;
            whole
                .then_some(Spacing {
                    samples,
                    full,
                    step: grid.step,
                    origin: (origin * 4.0).round() as i64,
                })
                .ok_or(ImageError::Grid {
                    samples,
                    full,
                    step: grid.step,
                    origin: grid.origin.to_string(),
                })
        };
        let horizontal = along(frame.width, grid.full_width)?;
        let vertical = along(frame.height, grid.full_height)?;
        let (width, height) = match fit {
            Fit::Stretch => (size, size),
            Fit::Pad => inside(
                f64::from(grid.full_width),
                f64::from(grid.full_height) * aspect,
                size,
            ),
        };
        Ok(Self {
            rows: Axis::of(vertical, height),
            columns: Axis::of(horizontal, width),
            left: ((size - width) / 2) as usize,
            top: ((size - height) / 2) as usize,
            size: size as usize,
        })
    }
}

/// The largest rectangle of the proportions of `width` x `height` in a square, at least a pixel wide and high.
fn inside(width: f64, height: f64, size: u32) -> (u32, u32) {
    let shorter = |ratio: f64| ((f64::from(size) * ratio).round() as u32).clamp(1, size);
    if width >= height {
        (size, shorter(height / width))
    } else {
        (shorter(width / height), size)
    }
}
