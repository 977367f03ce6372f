//! The marker segments that say how large an image is and how it is coded (T.800 A.5.1, A.6).
//!
//! In: a segment's bytes. Out: [`Size`], [`Coding`], both within what is decoded.

use super::{FORMAT, invalid, unsupported};
use crate::cxr::{
    MAX_SIDE,
    decode::{DecodeError, check_size},
};

/// Most decomposition levels decoded; 15 leave one sample of the largest image.
const MAX_LEVELS: u8 = 15;

/// Most layers decoded.
const MAX_LAYERS: u64 = 32;

/// Image and tile size (T.800 A.5.1), on the reference grid.
pub(super) struct Size {
    pub start: [u32; 2],
    pub end: [u32; 2],
    tile: [u32; 2],
    tile_start: [u32; 2],
    pub components: u32,
    pub bits: u32,
    pub signed: bool,
}

impl Size {
    pub fn parse(segment: &[u8]) -> Result<Self, DecodeError> {
        let Some((head, components)) = segment.split_first_chunk::<36>() else {
            return Err(invalid("a size segment (SIZ) without its fields"));
        };
        let long = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if head[0] & 0x40 != 0 {
            return Err(unsupported("high-throughput coding (HTJ2K)"));
        }
        let (end, start) = ([long(2), long(6)], [long(10), long(14)]);
        let (tile, tile_start) = ([long(18), long(22)], [long(26), long(30)]);
        let count = u32::from(u16::from_be_bytes([head[34], head[35]]));
        let (width, height) = (end[0].saturating_sub(start[0]), end[1].saturating_sub(start[1]));
        check_size(FORMAT, (width, height), count)?;
        // What lies before the image is not decoded, but counts in sums.
        if end.iter().any(|end| *end > 2 * MAX_SIDE) {
            return Err(unsupported(format!(
                "an image that ends at {} x {}",
                end[0], end[1]
            )));
        }
        let inside = (0..2).all(|axis| {
            tile[axis] > 0
                && tile_start[axis] <= start[axis]
                && u64::from(tile_start[axis]) + u64::from(tile[axis]) > u64::from(start[axis])
        });
        if !inside {
            return Err(invalid("a first tile without a pixel of the image"));
        }
        if count != 1 && count != 3 {
            return Err(unsupported(format!("{count} components")));
        }
        let (components, rest) = components.as_chunks::<3>();
        if components.len() != count as usize || !rest.is_empty() {
            return Err(invalid(format!(
                "a size segment that does not list its {count} components"
            )));
        }
        let depth = components[0][0];
        if components.iter().any(|[_, x, y]| (*x, *y) != (1, 1)) {
            return Err(unsupported("a subsampled component"));
        }
        if components.iter().any(|[other, ..]| *other != depth) {
            return Err(unsupported("components of different depth"));
        }
        let bits = u32::from(depth & 0x7F) + 1;
        if bits > 16 {
            return Err(unsupported(format!("{bits} bits a sample; at most 16")));
        }
        Ok(Self {
            start,
            end,
            tile,
            tile_start,
            components: count,
            bits,
            signed: depth & 0x80 != 0,
        })
    }

    pub fn tiles(&self) -> [u64; 2] {
        [0, 1].map(|axis| u64::from((self.end[axis] - self.tile_start[axis]).div_ceil(self.tile[axis])))
    }

    /// First and last but one coordinate of a tile along an axis (T.800 B-7 to B-10).
    pub fn tile_span(&self, axis: usize, index: u64) -> (u64, u64) {
        let from = u64::from(self.tile_start[axis]) + index * u64::from(self.tile[axis]);
        let to = from + u64::from(self.tile[axis]);
        (
            from.max(u64::from(self.start[axis])),
            to.min(u64::from(self.end[axis])),
        )
    }
}

/// How a component is coded (T.800 A.6.1).
#[derive(Clone)]
pub(super) struct Coding {
    pub levels: u8,
    /// Exponents of a code-block's sides.
    block: [u8; 2],
    /// Exponents of precincts' sides, from the lowest resolution on.
    precincts: Vec<[u8; 2]>,
}

impl Coding {
    /// Reads `SPcod` or `SPcoc`; `has_precincts` is bit 0 of `Scod`.
    pub fn parse(segment: &[u8], has_precincts: bool) -> Result<Self, DecodeError> {
        let Some(([levels, width, height, style, transform], rest)) = segment.split_first_chunk::<5>() else {
            return Err(invalid("a coding style without its fields"));
        };
        if *levels > 32 {
            return Err(invalid(format!("{levels} decomposition levels; at most 32")));
        }
        if *levels > MAX_LEVELS {
            return Err(unsupported(format!(
                "{levels} decomposition levels, more than {MAX_LEVELS},"
            )));
        }
        if *width > 8 || *height > 8 || width + height > 8 {
            return Err(invalid("code-blocks of more than 4096 samples"));
        }
        if style & 0xC0 != 0 {
            return Err(unsupported("high-throughput coding (HTJ2K)"));
        }
        if *transform > 1 {
            return Err(unsupported("a wavelet of part 2"));
        }
        let resolutions = usize::from(*levels) + 1;
        let precincts: Vec<[u8; 2]> = if has_precincts {
            rest.iter().map(|size| [size & 15, size >> 4]).collect()
        } else {
            vec![[15; 2]; resolutions]
        };
        if precincts.len() != resolutions {
            return Err(invalid(format!(
                "{} precinct sizes for {resolutions} resolutions",
                precincts.len()
            )));
        }
        if precincts.iter().skip(1).any(|sides| sides.contains(&0)) {
            return Err(invalid("a precinct of one sample above the lowest resolution"));
        }
        Ok(Self {
            levels: *levels,
            block: [width + 2, height + 2],
            precincts,
        })
    }

    /// Precincts and code-blocks of a tile of one component (T.800 B-15, B-16, B-17).
    pub fn count(&self, spans: [(u64, u64); 2]) -> (u64, u64) {
        // Coordinates in steps of 2^n, as T.800 B-14 takes them, and how many cells of 2^n they touch.
        let shrink = |(from, to): (u64, u64), n: u8| (from.div_ceil(1 << n), to.div_ceil(1 << n));
        let cells = |(from, to): (u64, u64), n: u8| {
            if from < to {
                to.div_ceil(1 << n) - (from >> n)
            } else {
                0
            }
        };
        let (mut precincts, mut blocks) = (0, 0);
        for (resolution, exponents) in self.precincts.iter().enumerate() {
            let higher = self.levels - resolution as u8;
            precincts += (0..2)
                .map(|axis| cells(shrink(spans[axis], higher), exponents[axis]))
                .product::<u64>();
            let bands: &[[u64; 2]] = if resolution == 0 {
                &[[0, 0]]
            } else {
                &[[1, 0], [0, 1], [1, 1]]
            };
            let level = if resolution == 0 { higher } else { higher + 1 };
            for band in bands {
                blocks += (0..2)
                    .map(|axis| {
                        let half = if level > 0 {
                            (1_u64 << level >> 1) * band[axis]
                        } else {
                            0
                        };
                        let (from, to) = spans[axis];
                        let span = (from.saturating_sub(half), to.saturating_sub(half));
                        let side = exponents[axis] - u8::from(resolution > 0);
                        cells(shrink(span, level), self.block[axis].min(side))
                    })
                    .product::<u64>();
            }
        }
        (precincts, blocks)
    }
}

/// Coding style default: `Scod` and `SGcod`, then [`Coding`].
pub(super) fn parse_default(segment: &[u8]) -> Result<(u64, Coding), DecodeError> {
    let Some(([style, progression, l0, l1, _], rest)) = segment.split_first_chunk::<5>() else {
        return Err(invalid("a coding style (COD) without its fields"));
    };
    let layers = u64::from(u16::from_be_bytes([*l0, *l1]));
    if *progression > 4 {
        return Err(invalid(format!("progression order {progression}; from 0 to 4")));
    }
    if layers == 0 {
        return Err(invalid("no layers"));
    }
    if layers > MAX_LAYERS {
        return Err(unsupported(format!("{layers} layers, more than {MAX_LAYERS},")));
    }
    Ok((layers, Coding::parse(rest, style & 1 != 0)?))
}

/// Refuses tables of step sizes that are longer than any use.
pub(super) fn check_quantization(segment: &[u8]) -> Result<(), DecodeError> {
    // Two bytes for each band of 32 levels, style, component.
    let most = 2 * (1 + 3 * 32) + 2;
    if segment.len() > most {
        return Err(invalid(format!(
            "a quantization segment of {} bytes; at most {most}",
            segment.len()
        )));
    }
    Ok(())
}
