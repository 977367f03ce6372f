//! The lossless process (T.81 Annex H): differences to a prediction, with Huffman codes.
//!
//! Start at [`decode`].

use std::borrow::Cow;

use super::{
    DecodeError, FORMAT, Seen, as_frame,
    bits::{Bits, Segments},
    cpu::{Body, widest},
    cut_short,
    header::{Header, Markers, Scan},
    huffman::{Alphabet, Table},
    invalid, unsupported,
};
use crate::cxr::{Frame, Samples};

/// Decodes the scans, of which `scan` is the first.
pub(super) fn decode(
    header: &Header,
    mut markers: Markers<'_>,
    mut scan: Scan,
) -> Result<Frame<'static>, DecodeError> {
    let channels = header.components.len();
    // A component alone is coded row by row, whatever its factors say.
    if channels > 1
        && header
            .components
            .iter()
            .any(|component| component.sampling != (1, 1))
    {
        return unsupported("lossless coding of components with sampling factors");
    }
    let (width, height) = (header.width as usize, header.height as usize);
    let mut values = vec![0_u16; width * height * channels];
    let mut seen = Seen::default();
    // Bits of the values that are not those of the scans' precision.
    let mut foreign = false;
    loop {
        foreign |= scan_rows(header, &mut markers, &scan, &mut seen, &mut values)?;
        if seen.all(header) {
            break;
        }
        scan = match markers.next_scan()? {
            Some(scan) => scan,
            None => return Err(cut_short("before the scans of all components".to_owned())),
        };
    }
    if foreign {
        let mask = ((1_u32 << header.bits) - 1) as u16;
        values.iter_mut().for_each(|value| *value &= mask);
    }
    let samples = if header.bits <= 8 {
        Samples::U8(Cow::Owned(values.iter().map(|value| *value as u8).collect()))
    } else {
        Samples::U16(Cow::Owned(values))
    };
    as_frame(
        FORMAT,
        (header.width, header.height),
        channels as u32,
        header.bits,
        samples,
    )
}

/// Decodes a scan into its channels; whether there are values of more bits than the header says.
fn scan_rows(
    header: &Header,
    markers: &mut Markers<'_>,
    scan: &Scan,
    seen: &mut Seen,
    values: &mut [u16],
) -> Result<bool, DecodeError> {
    let channels = header.components.len();
    let shift = u32::from(scan.shift);
    let Some(centre) = (header.bits - 1).checked_sub(shift).map(|bits| 1_u16 << bits) else {
        return invalid(format!("samples of {} bits shifted by {shift}", header.bits));
    };
    if !(1..=7).contains(&scan.selection) {
        return invalid(format!("predictor {}", scan.selection));
    }
    let mut lanes = Vec::new();
    for component in &scan.components {
        seen.add(component.index)?;
        let Some(code) = &markers.codes[0][component.tables.0] else {
            return invalid(format!("no Huffman table {}", component.tables.0));
        };
        lanes.push(Lane {
            channel: component.index,
            table: Table::new(code, Alphabet::Lossless)?,
        });
    }
    let width = header.width as usize;
    // A prediction starts anew at a row only (T.81 H.1.1).
    let interval = match markers.restart_interval {
        0 => header.height as usize,
        mcus if mcus % width == 0 => mcus / width,
        mcus => return invalid(format!("a restart every {mcus} samples in rows of {width}")),
    };
    let mut segments = Segments::new(markers.rest);
    let mut row = 0;
    let mut all_bits = 0;
    for (number, values) in values.chunks_mut(interval * width * channels).enumerate() {
        if number > 0 {
            segments.restart()?;
        }
        let rows = Rows {
            bits: segments.open(),
            lanes: &lanes,
            channels,
            row_length: width * channels,
            predictor: scan.selection,
            centre,
            values,
        };
        match widest(rows) {
            Ok(bits) => all_bits |= bits,
            Err(stop) => {
                let at = row + stop.row;
                return match stop.why {
                    Why::Overrun => Err(cut_short(format!("in row {at} of {}", header.height))),
                    Why::Code => invalid(format!("no Huffman code in row {at} of {}", header.height)),
                };
            }
        }
        row += interval;
    }
    markers.rest = segments.rest();
    if shift > 0 {
        for component in &scan.components {
            let channel = values.iter_mut().skip(component.index).step_by(channels);
            channel.for_each(|value| *value <<= shift);
        }
    }
    Ok(u32::from(all_bits) >> (header.bits - shift) != 0)
}

/// A component being decoded.
struct Lane {
    channel: usize,
    table: Table,
}

/// The rows between two restarts.
struct Rows<'a> {
    bits: Bits<'a>,
    lanes: &'a [Lane],
    /// Values of a pixel, and of a row.
    channels: usize,
    row_length: usize,
    predictor: u8,
    /// The prediction of the first value.
    centre: u16,
    values: &'a mut [u16],
}

/// Where decoding stopped, and why.
struct Stop {
    row: usize,
    why: Why,
}

enum Why {
    Overrun,
    Code,
}

impl Body for Rows<'_> {
    type Output = Result<u16, Stop>;

    /// Returns all values' bits together.
    #[inline(always)]
    fn run(mut self) -> Self::Output {
        let mut all_bits = 0;
        let zeros = vec![0; self.row_length];
        let values = std::mem::take(&mut self.values);
        let (mut above, mut rest) = (None, values);
        let mut number = 0;
        while let Some((row, after)) = rest.split_at_mut_checked(self.row_length)
            && !row.is_empty()
        {
            let stop = |why| Stop { row: number, why };
            let done = match self.lanes {
                [lane] if self.channels == 1 => {
                    self.single(lane, above.unwrap_or(&zeros), row, above.is_none())
                }
                _ => self.several(above, row),
            };
            match done {
                _ if self.bits.overrun() => return Err(stop(Why::Overrun)),
                Some(bits) => all_bits |= bits,
                None => return Err(stop(Why::Code)),
            }
            above = Some(&*row);
            rest = after;
            number += 1;
        }
        Ok(all_bits)
    }
}

impl Rows<'_> {
    /// A row of an image of one channel, predicted while its codes are read.
    #[inline(always)]
    fn single(&mut self, lane: &Lane, above: &[u16], row: &mut [u16], first: bool) -> Option<u16> {
        self.bits.refill();
        let start = if first { self.centre } else { above[0] };
        let (_, difference) = lane.table.take(&mut self.bits)?;
        row[0] = start.wrapping_add(difference as u16);
        let predictor = if first { 1 } else { self.predictor };
        let (bits, table) = (&mut self.bits, &lane.table);
        // As many values at once as bits are ready for.
        match (predictor, table.most) {
            (1, ..=18) => row_of::<3>(bits, table, above, row, |a, _, _| a),
            (1, ..=28) => row_of::<2>(bits, table, above, row, |a, _, _| a),
            (1, _) => row_of::<1>(bits, table, above, row, |a, _, _| a),
            (2, _) => row_of::<1>(bits, table, above, row, predict::<2>),
            (3, _) => row_of::<1>(bits, table, above, row, predict::<3>),
            (4, _) => row_of::<1>(bits, table, above, row, predict::<4>),
            (5, _) => row_of::<1>(bits, table, above, row, predict::<5>),
            (6, _) => row_of::<1>(bits, table, above, row, predict::<6>),
            _ => row_of::<1>(bits, table, above, row, predict::<7>),
        }
    }

    /// A row of some of the channels: differences first, then predictions.
    #[inline(always)]
    fn several(&mut self, above: Option<&[u16]>, row: &mut [u16]) -> Option<u16> {
        let mut all_bits = 0;
        for pixel in row.chunks_exact_mut(self.channels) {
            for lane in self.lanes {
                self.bits.refill();
                pixel[lane.channel] = lane.table.take(&mut self.bits)?.1 as u16;
            }
        }
        for lane in self.lanes {
            let (channels, channel) = (self.channels, lane.channel);
            let start = above.map_or(self.centre, |above| above[channel]);
            row[channel] = row[channel].wrapping_add(start);
            all_bits |= row[channel];
            for here in (channel + channels..row.len()).step_by(channels) {
                let left = i32::from(row[here - channels]);
                let prediction = match above {
                    None => left,
                    Some(above) => {
                        let (above, corner) = (i32::from(above[here]), i32::from(above[here - channels]));
                        any_prediction(self.predictor, left, above, corner)
                    }
                };
                row[here] = row[here].wrapping_add(prediction as u16);
                all_bits |= row[here];
            }
        }
        Some(all_bits)
    }
}

/// All but the first value of a row, `N` for each refill; returns all values' bits together.
#[inline(always)]
fn row_of<const N: usize>(
    bits: &mut Bits<'_>,
    table: &Table,
    above: &[u16],
    row: &mut [u16],
    predict: impl Fn(i32, i32, i32) -> i32,
) -> Option<u16> {
    // Copies stay in registers.
    let mut local = *bits;
    let mut left = row[0];
    let mut corner = above[0];
    let mut all_bits = left;
    let (groups, rest) = row[1..].as_chunks_mut::<N>();
    let (above_groups, above_rest) = above[1..].as_chunks::<N>();
    for (group, above) in groups.iter_mut().zip(above_groups) {
        local.refill();
        for (value, above) in group.iter_mut().zip(above) {
            let (_, difference) = table.take(&mut local)?;
            let prediction = predict(i32::from(left), i32::from(*above), i32::from(corner));
            left = prediction.wrapping_add(difference) as u16;
            corner = *above;
            *value = left;
            all_bits |= left;
        }
    }
    for (value, above) in rest.iter_mut().zip(above_rest) {
        local.refill();
        let (_, difference) = table.take(&mut local)?;
        let prediction = predict(i32::from(left), i32::from(*above), i32::from(corner));
        left = prediction.wrapping_add(difference) as u16;
        corner = *above;
        *value = left;
        all_bits |= left;
    }
    *bits = local;
    Some(all_bits)
}

/// Predictions from left, above and above left (T.81 table H.1).
#[inline(always)]
fn predict<const PREDICTOR: u8>(a: i32, b: i32, c: i32) -> i32 {
    any_prediction(PREDICTOR, a, b, c)
}

#[inline(always)]
fn any_prediction(predictor: u8, a: i32, b: i32, c: i32) -> i32 {
    match predictor {
        1 => a,
        2 => b,
        3 => c,
        4 => a + b - c,
        5 => a + ((b - c) >> 1),
        6 => b + ((a - c) >> 1),
        _ => (a + b) >> 1,
    }
}
