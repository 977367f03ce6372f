//! From a decoded frame to a prepared square: tone and area means in one pass over the samples.
//!
//! In: a [`Frame`], its [`Meaning`], a [`Target`]. Out: a [`Square`]. Each stored word becomes its display value, 0 (black)
//! to 65,535 (white), before means are taken, as clamping to a window does not commute with them; from there on all sums are
//! of whole numbers. Start at [`render`].

use super::{
    Frame, ImageError, Meaning, Pixels, Samples, Square,
    place::Place,
    rows::{Rows, Word},
    square::{Mean, Pixel},
    tone::Steps,
};

/// What is made of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Width and height in pixels, 1 to [`MAX_SIDE`](super::MAX_SIDE).
    pub size: u32,
    /// Bits of a pixel.
    pub depth: Depth,
    /// How a frame that is not square becomes so.
    pub fit: Fit,
}

/// Bits of a grey value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// 0 (black) to 255.
    #[default]
    U8,
    /// 0 (black) to 65,535.
    U16,
}

/// How a frame that is not square becomes so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// Width and height are scaled independently.
    Stretch,
    /// Proportions are kept, those of pixels that are not square too; what is left at two sides is black.
    Pad,
}

/// What was found while rendering.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rendered {
    /// The values of the modality shown black and white, where the meaning asks for percentiles; nothing if all of the
    /// frame is padding.
    pub percentiles: Option<(f64, f64)>,
    /// Whether all pixels made of the frame, black sides left out, are the same.
    pub constant: bool,
}

/// Renders `frame` as `meaning` says into `out`, which is overwritten and keeps its memory for the next.
///
/// Stored word → value → modality → VOI → inversion → `D`, 0 (black) to 1 (white); then for each new pixel the mean of `D`
/// over the area it covers. Where samples are fewer than new pixels along an axis, `D` is interpolated linearly between
/// their centres. Padding is black. A frame of the size asked for keeps its values.
///
/// # Shapes
/// - `frame`: any size, 1 to 4 channels; `out` becomes `target.size` × `target.size`
/// # Numerics
/// `D` is rounded to 16 bits, sums are exact, and the mean is rounded once, half up: within 0.51 of a level of 8 bits, and
/// 1.01 of a level of 16 bits. The same bits on every processor.
/// Places on a grid are taken to the nearest quarter of a full pixel.
/// # Errors
/// [`ImageError::Frame`] and [`ImageError::Grid`] for a frame that contradicts itself; [`ImageError::Meaning`] for a meaning
/// that no pixel can have; [`ImageError::NoPixels`] for a size of 0 or above [`MAX_SIDE`](super::MAX_SIDE)
/// # Source
/// DICOM PS3.4 N.2 (order of the steps), PS3.3 C.11.1, C.11.2. Colour: Pillow's luma. Parity: `tests/parity/cxr/`
/// # Example
/// ```
/// use kernels::cxr::{Depth, Fit, Frame, Meaning, Samples, Square, Target, render};
/// let samples = Samples::U8(vec![10, 20, 30, 50, 30, 40, 70, 90].into());
/// let frame = Frame::new((4, 2), 1, 8, samples)?;
/// let target = Target { size: 2, depth: Depth::U8, fit: Fit::Stretch };
/// let mut square = Square::new();
/// render(&frame, &Meaning::picture(8), target, &mut square)?;
/// assert_eq!(square.bytes().as_ref(), [15, 40, 35, 80]);
/// # Ok::<(), kernels::cxr::ImageError>(())
/// ```
pub fn render(
    frame: &Frame<'_>,
    meaning: &Meaning,
    target: Target,
    out: &mut Square,
) -> Result<Rendered, ImageError> {
    frame.check()?;
    let place = Place::of(frame, meaning.aspect, target)?;
    let steps = Steps::of(meaning, frame.channels)?;
    Ok(match &frame.samples {
        Samples::U8(words) => of_words(words, frame, &steps, &place, target, out),
        Samples::U16(words) => of_words(words, frame, &steps, &place, target, out),
    })
}

fn of_words<W: Word>(
    words: &[W],
    frame: &Frame<'_>,
    steps: &Steps<'_>,
    place: &Place,
    target: Target,
    out: &mut Square,
) -> Rendered {
    let (pixels, sums, spare) = out.begin(target);
    let mut rows = Rows::of(words, frame, steps, spare);
    let percentiles = steps
        .asks_percentiles()
        .and_then(|asked| steps.percentiles(&rows.count(), asked));
    rows.tone(steps.tone(percentiles));
    sums.clear();
    sums.resize(frame.width as usize, 0);
    let constant = match pixels {
        Pixels::U8(pixels) => fill(place, &mut rows, sums, pixels),
        Pixels::U16(pixels) => fill(place, &mut rows, sums, pixels),
    };
    Rendered {
        percentiles,
        constant,
    }
}

/// Writes all pixels made of the frame; whether they are the same.
fn fill<W: Word, P: Pixel>(
    place: &Place,
    rows: &mut Rows<'_, W>,
    sums: &mut [u32],
    pixels: &mut [P],
) -> bool {
    let Place {
        rows: vertical,
        columns,
        left,
        top,
        size,
    } = place;
    let mean = Mean::<P>::of(vertical.total, columns.total);
    let (mut least, mut most) = (P::WHITE, P::BLACK);
    for (tap, row) in vertical
        .taps
        .iter()
        .zip(pixels.chunks_exact_mut(*size).skip(*top))
    {
        rows.sum(*tap, sums);
        for (tap, pixel) in columns.taps.iter().zip(&mut row[*left..]) {
            *pixel = mean.of_sum(tap.of(sums));
            least = least.min(*pixel);
            most = most.max(*pixel);
        }
    }
    least == most
}

#[cfg(test)]
mod tests;
