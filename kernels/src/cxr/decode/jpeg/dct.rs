//! Sequential scans of DCT coefficients (T.81 Annex F), at full resolution, a quarter or an eighth of it.
//!
//! Start at [`decode`]. At an eighth only the DC coefficients are looked at: each is the mean of its block. At a quarter
//! all are read, and summed up to the means of four by four samples, without a transform.

use super::{
    DecodeError, FORMAT, Seen,
    bits::{Bits, Segments},
    cpu::{Body, widest},
    cut_short,
    header::{Header, Markers, Scan},
    huffman::{Alphabet, END_OF_BLOCK, Skips, Table},
    idct::{self, Sample},
    invalid,
};
use crate::cxr::{Frame, Grid, Wanted};

/// Where in a block the coefficients lie, in the order in which they are coded (T.81 figure A.6).
const ZIGZAG: [u8; 64] = zigzag();

const fn zigzag() -> [u8; 64] {
    let mut order = [0; 64];
    let (mut row, mut column) = (0_u8, 0_u8);
    let mut next = 0;
    while next < 64 {
        order[next] = 8 * row + column;
        // Along diagonals, up where their number is even.
        if (row + column) % 2 == 0 {
            if column == 7 {
                row += 1;
            } else {
                column += 1;
                row = row.saturating_sub(1);
            }
        } else if row == 7 {
            column += 1;
        } else {
            row += 1;
            column = column.saturating_sub(1);
        }
        next += 1;
    }
    order
}

/// Decodes the scans, of which `scan` is the first.
pub(super) fn decode(
    header: &Header,
    markers: Markers<'_>,
    scan: Scan,
    wanted: Wanted,
) -> Result<Frame<'static>, DecodeError> {
    let enough = |step| match wanted {
        Wanted::Full => false,
        Wanted::AtLeast(side) => header.width.min(header.height).div_ceil(step) >= side,
    };
    match header.bits {
        8 if enough(8) => frame::<u8, 1>(header, markers, scan),
        8 if enough(4) => frame::<u8, 2>(header, markers, scan),
        8 => frame::<u8, 8>(header, markers, scan),
        _ if enough(8) => frame::<u16, 1>(header, markers, scan),
        _ if enough(4) => frame::<u16, 2>(header, markers, scan),
        _ => frame::<u16, 8>(header, markers, scan),
    }
}

/// The samples of a component: `SIDE` by `SIDE` for each of its blocks, those that fill up MCUs too.
struct Plane<S> {
    values: Vec<S>,
    stride: usize,
}

fn frame<S: Sample, const SIDE: usize>(
    header: &Header,
    mut markers: Markers<'_>,
    mut scan: Scan,
) -> Result<Frame<'static>, DecodeError> {
    let (most_x, most_y) = header.most_sampling();
    let across = header.width.div_ceil(8 * most_x);
    let down = header.height.div_ceil(8 * most_y);
    let plane = |(x, y): (u32, u32)| Plane {
        stride: (across * x) as usize * SIDE,
        values: vec![S::default(); (across * x) as usize * SIDE * (down * y) as usize * SIDE],
    };
    let mut planes: Vec<Plane<S>> = header
        .components
        .iter()
        .map(|component| plane(component.sampling))
        .collect();
    let mut seen = Seen::default();
    loop {
        scan_blocks::<S, SIDE>(header, &mut markers, &scan, &mut seen, &mut planes)?;
        if seen.all(header) {
            break;
        }
        scan = match markers.next_scan()? {
            Some(scan) => scan,
            None => return Err(cut_short("before the scans of all components".to_owned())),
        };
    }
    let step = 8 / SIDE as u32;
    let (width, height) = (header.width.div_ceil(step), header.height.div_ceil(step));
    let values = match <[Plane<S>; 1]>::try_from(planes) {
        Ok([plane]) => cropped(plane, width as usize, height as usize),
        Err(planes) => interleaved(header, &planes, width as usize, height as usize),
    };
    let frame = Frame {
        width,
        height,
        channels: header.components.len() as u32,
        bits: S::BITS,
        samples: S::samples(values),
        grid: Grid {
            full_width: header.width,
            full_height: header.height,
            step,
            origin: 0.0,
        },
    };
    frame.check().map_err(|error| DecodeError::Invalid {
        format: FORMAT,
        what: error.to_string(),
    })?;
    Ok(frame)
}

/// A plane without what fills up its blocks.
fn cropped<S: Sample>(plane: Plane<S>, width: usize, height: usize) -> Vec<S> {
    let Plane { mut values, stride } = plane;
    if stride != width {
        for row in 1..height {
            values.copy_within(row * stride..row * stride + width, row * width);
        }
    }
    values.truncate(width * height);
    values
}

/// Three planes as pixels; samples of smaller ones are repeated.
fn interleaved<S: Sample>(header: &Header, planes: &[Plane<S>], width: usize, height: usize) -> Vec<S> {
    let channels = planes.len();
    let (most_x, most_y) = header.most_sampling();
    let mut out = vec![S::default(); width * height * channels];
    for (y, row) in out.chunks_exact_mut(width * channels).enumerate() {
        for (channel, (plane, component)) in planes.iter().zip(&header.components).enumerate() {
            let (x_factor, y_factor) = component.sampling;
            let source = y * y_factor as usize / most_y as usize * plane.stride;
            let source = &plane.values[source..source + plane.stride];
            let places = row.iter_mut().skip(channel).step_by(channels);
            if x_factor == most_x {
                places.zip(source).for_each(|(place, value)| *place = *value);
            } else {
                for (x, place) in places.enumerate() {
                    *place = source[x * x_factor as usize / most_x as usize];
                }
            }
        }
    }
    out
}

/// A component being decoded.
struct Lane {
    /// Which of the frame's.
    component: usize,
    dc: Table,
    ac: Table,
    /// For blocks of which the mean is enough.
    skips: Option<Skips>,
    /// Where coefficients lie and what they are multiplied by, in the order in which they are coded.
    steps: [(u8, i32); 64],
    /// What coefficients add to the means of a block's quarters, in the same order.
    halves: [(u8, i64); 64],
    /// Blocks of an MCU, across and down.
    blocks: (usize, usize),
    /// The last DC coefficient.
    previous: i32,
}

impl Lane {
    fn new(
        header: &Header,
        markers: &Markers<'_>,
        scan: &Scan,
        number: usize,
        eighth: bool,
    ) -> Result<Self, DecodeError> {
        let part = &scan.components[number];
        let component = &header.components[part.index];
        let Some(quantization) = &markers.quantization[usize::from(component.quantization)] else {
            return invalid(format!("no quantization table {}", component.quantization));
        };
        let [dc, ac] = &markers.codes;
        let (Some(dc), Some(ac)) = (&dc[part.tables.0], &ac[part.tables.1]) else {
            return invalid(format!("no Huffman tables {:?}", part.tables));
        };
        let ac = Table::new(ac, Alphabet::Ac)?;
        let (x, y) = component.sampling;
        Ok(Self {
            component: part.index,
            dc: Table::new(dc, Alphabet::Dc)?,
            skips: eighth.then(|| Skips::new(&ac)),
            ac,
            steps: std::array::from_fn(|place| (ZIGZAG[place], i32::from(quantization[place]))),
            halves: std::array::from_fn(|place| idct::half(usize::from(ZIGZAG[place]), quantization[place])),
            // A component alone is coded block by block (T.81 A.2.2).
            blocks: match scan.components.len() {
                1 => (1, 1),
                _ => (x as usize, y as usize),
            },
            previous: 0,
        })
    }
}

fn scan_blocks<S: Sample, const SIDE: usize>(
    header: &Header,
    markers: &mut Markers<'_>,
    scan: &Scan,
    seen: &mut Seen,
    planes: &mut [Plane<S>],
) -> Result<(), DecodeError> {
    let mut lanes = Vec::new();
    for (number, component) in scan.components.iter().enumerate() {
        seen.add(component.index)?;
        lanes.push(Lane::new(header, markers, scan, number, SIDE == 1)?);
    }
    let most = header.most_sampling();
    let (across, down) = match &scan.components[..] {
        [one] => {
            let (width, height) = header.component_size(&header.components[one.index], most);
            (width.div_ceil(8), height.div_ceil(8))
        }
        _ => (
            header.width.div_ceil(8 * most.0),
            header.height.div_ceil(8 * most.1),
        ),
    };
    let (across, down) = (across as usize, down as usize);
    let interval = match markers.restart_interval {
        0 => across * down,
        mcus => mcus,
    };
    let mut segments = Segments::new(markers.rest);
    for first in (0..across * down).step_by(interval) {
        if first > 0 {
            segments.restart()?;
        }
        let last = (first + interval).min(across * down);
        lanes.iter_mut().for_each(|lane| lane.previous = 0);
        let mut bits = segments.open();
        let mut next = first;
        while next < last {
            let (row, column) = (next / across, next % across);
            let end = across.min(column + last - next);
            let mcus = Mcus::<S, SIDE> {
                bits: &mut bits,
                lanes: &mut lanes,
                planes,
                row,
                columns: (column, end),
            };
            let whole = widest(mcus);
            if bits.overrun() {
                return Err(cut_short(format!("in row {row} of {down} of its blocks")));
            }
            if !whole {
                return invalid(format!(
                    "no Huffman code, or too many coefficients, in row {row} of {down} of its blocks"
                ));
            }
            next += end - column;
        }
    }
    markers.rest = segments.rest();
    Ok(())
}

/// Some MCUs of a row.
struct Mcus<'a, 'b, S, const SIDE: usize> {
    bits: &'a mut Bits<'b>,
    lanes: &'a mut [Lane],
    planes: &'a mut [Plane<S>],
    row: usize,
    columns: (usize, usize),
}

impl<S: Sample, const SIDE: usize> Body for Mcus<'_, '_, S, SIDE> {
    type Output = bool;

    /// Whether all blocks could be decoded.
    #[inline(always)]
    fn run(self) -> bool {
        // Copies stay in registers.
        let mut bits = *self.bits;
        for mcu in self.columns.0..self.columns.1 {
            for lane in self.lanes.iter_mut() {
                let plane = &mut self.planes[lane.component];
                let (across, down) = lane.blocks;
                for y in 0..down {
                    for x in 0..across {
                        let (x, y) = (mcu * across + x, self.row * down + y);
                        let out = &mut plane.values[SIDE * (y * plane.stride + x)..];
                        let whole = match SIDE {
                            1 => mean(lane, &mut bits, out),
                            2 => quarters(lane, &mut bits, out, plane.stride),
                            _ => block(lane, &mut bits, out, plane.stride),
                        };
                        if whole.is_none() {
                            *self.bits = bits;
                            return false;
                        }
                    }
                }
            }
        }
        *self.bits = bits;
        true
    }
}

/// Decodes the mean of a block.
#[inline(always)]
fn mean<S: Sample>(lane: &mut Lane, bits: &mut Bits<'_>, out: &mut [S]) -> Option<()> {
    let dc = dc(lane, bits)?;
    *out.first_mut()? = idct::mean(dc);
    lane.skips.as_ref()?.block(&lane.ac, bits).then_some(())
}

/// Decodes the means of a block's quarters into the first two values of each of two rows.
#[inline(always)]
fn quarters<S: Sample>(lane: &mut Lane, bits: &mut Bits<'_>, out: &mut [S], stride: usize) -> Option<()> {
    let dc = dc(lane, bits)?;
    let mut sums = [0; 4];
    let mut place = 1;
    while place < 64 {
        bits.refill();
        let (run, number) = lane.ac.take(bits)?;
        place += run as usize;
        let Some((kind, weight)) = lane.halves.get(place) else {
            if run == END_OF_BLOCK {
                break;
            }
            return None;
        };
        // Far from an overflow: 15 bits times 36, 63 times.
        sums[usize::from(*kind & 3)] += i64::from(number) * weight;
        place += 1;
    }
    let quarters = idct::quarters(dc, sums);
    for (row, values) in out.chunks_mut(stride).zip(quarters) {
        *row.first_chunk_mut()? = values;
    }
    Some(())
}

/// Decodes a block into the first eight values of each of eight rows.
#[inline(always)]
fn block<S: Sample>(lane: &mut Lane, bits: &mut Bits<'_>, out: &mut [S], stride: usize) -> Option<()> {
    let mut coefficients = [0; 64];
    coefficients[0] = dc(lane, bits)?;
    let mut place = 1;
    while place < 64 {
        bits.refill();
        let (run, number) = lane.ac.take(bits)?;
        place += run as usize;
        let Some((natural, step)) = lane.steps.get(place) else {
            if run == END_OF_BLOCK {
                break;
            }
            return None;
        };
        // No overflow: 15 bits and a sign, times 16 bits.
        coefficients[usize::from(*natural & 63)] = number * step;
        place += 1;
    }
    // An end of block right after the DC coefficient.
    if place == 1 + END_OF_BLOCK as usize {
        let mean = idct::mean(coefficients[0]);
        for row in out.chunks_mut(stride).take(8) {
            *row.first_chunk_mut::<8>()? = [mean; 8];
        }
    } else {
        let samples = idct::block(&coefficients);
        for (row, samples) in out.chunks_mut(stride).zip(samples) {
            *row.first_chunk_mut()? = samples;
        }
    }
    Some(())
}

/// The next DC coefficient, times its step.
#[inline(always)]
fn dc(lane: &mut Lane, bits: &mut Bits<'_>) -> Option<i32> {
    bits.refill();
    let (_, difference) = lane.dc.take(bits)?;
    lane.previous = lane.previous.wrapping_add(difference);
    Some(lane.previous.wrapping_mul(lane.steps[0].1))
}
