//! What a JPEG 2000 stream announces, checked before the decoder sees it.
//!
//! In: a codestream. Out: its [`Header`]. Start at [`Header::parse`]. Features that radiographs never use and that cost a decoder memory out of proportion are refused here.

use super::{
    FORMAT, invalid,
    segments::{Coding, Size, check_quantization, parse_default},
    truncated, unsupported,
};
use crate::cxr::decode::DecodeError;

/// Most tiles accepted: 64 x 64 pixels each, on an image of 8192 x 8192.
const MAX_TILES: u64 = 1 << 14;

/// Most bytes of precincts and code-blocks the decoder may build for a tile, for each of its samples. Blocks of 4 x 4 in
/// one layer take 14.
const STRUCTURES_PER_SAMPLE: u64 = 16;

/// The same for each byte of the stream: small precincts come with headers of their own.
const STRUCTURES_PER_BYTE: u64 = 512;

/// Images of up to so many samples may be all black: a few bytes. Larger ones take a byte for each 256 samples.
const FREE_SAMPLES: u64 = 1 << 24;

/// Second bytes of markers (T.800 table A.2).
mod marker {
    pub const SOC: u8 = 0x4F;
    pub const CAP: u8 = 0x50;
    pub const SIZ: u8 = 0x51;
    pub const COD: u8 = 0x52;
    pub const COC: u8 = 0x53;
    pub const TLM: u8 = 0x55;
    pub const PLM: u8 = 0x57;
    pub const PLT: u8 = 0x58;
    pub const QCD: u8 = 0x5C;
    pub const QCC: u8 = 0x5D;
    pub const RGN: u8 = 0x5E;
    pub const POC: u8 = 0x5F;
    pub const PPM: u8 = 0x60;
    pub const PPT: u8 = 0x61;
    pub const CRG: u8 = 0x63;
    pub const COM: u8 = 0x64;
    pub const SOT: u8 = 0x90;
    pub const SOD: u8 = 0x93;
    pub const EOC: u8 = 0xD9;
}

/// What is known of an image from its main header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub width: u32,
    pub height: u32,
    /// 1 or 3.
    pub components: u32,
    /// 1 to 16.
    pub bits: u32,
    pub signed: bool,
    /// Levels that every component can do without.
    pub levels: u8,
    /// Whether the image begins at the origin of its reference grid.
    pub at_origin: bool,
}

/// Reads marker segments.
struct Markers<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Markers<'a> {
    fn next(&mut self) -> Result<u8, DecodeError> {
        match self.bytes.get(self.at..).and_then(|rest| rest.first_chunk()) {
            Some([0xFF, kind]) => {
                self.at += 2;
                Ok(*kind)
            }
            Some(_) => Err(invalid(format!("no marker at byte {}", self.at))),
            None => Err(truncated("where a marker was expected")),
        }
    }

    fn segment(&mut self) -> Result<&'a [u8], DecodeError> {
        let rest = &self.bytes[self.at..];
        let length = rest
            .first_chunk::<2>()
            .map(|length| usize::from(u16::from_be_bytes(*length)));
        let segment = match length {
            Some(length @ 2..) => rest.get(2..length),
            Some(length) => return Err(invalid(format!("a segment of {length} bytes; at least 2"))),
            None => None,
        };
        let segment = segment.ok_or_else(|| truncated("in a marker segment"))?;
        self.at += segment.len() + 2;
        Ok(segment)
    }
}

/// What is not decoded wherever it stands, by its marker.
fn refusal(kind: u8) -> DecodeError {
    match kind {
        marker::CAP => {
            unsupported("a capability of other parts (CAP), such as high-throughput coding (HTJ2K),")
        }
        marker::POC => unsupported("a change of the progression order (POC)"),
        marker::PPM | marker::PPT => unsupported("a packed packet header (PPM, PPT)"),
        kind => invalid(format!("marker FF{kind:02X} where none may be")),
    }
}

impl Header {
    /// Reads the main header and walks the tile-parts.
    pub fn parse(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut markers = Markers { bytes, at: 0 };
        if markers.next()? != marker::SOC || markers.next()? != marker::SIZ {
            return Err(invalid("does not begin with SOC and SIZ"));
        }
        let size = Size::parse(markers.segment()?)?;
        let mut default = None;
        let mut own = vec![None; size.components as usize];
        let mut has_quantization = false;
        loop {
            match markers.next()? {
                marker::SOT => break,
                marker::COD => default = Some(parse_default(markers.segment()?)?),
                marker::COC => {
                    let segment = markers.segment()?;
                    let [component, style, rest @ ..] = segment else {
                        return Err(invalid("a coding style (COC) without its fields"));
                    };
                    let place = own
                        .get_mut(usize::from(*component))
                        .ok_or_else(|| invalid(format!("a coding style (COC) of component {component}")))?;
                    *place = Some(Coding::parse(rest, style & 1 != 0)?);
                }
                kind @ (marker::QCD | marker::QCC) => {
                    has_quantization |= kind == marker::QCD;
                    check_quantization(markers.segment()?)?;
                }
                marker::RGN | marker::TLM | marker::PLM | marker::CRG | marker::COM => {
                    _ = markers.segment()?
                }
                kind => return Err(refusal(kind)),
            }
        }
        let Some((layers, default)) = default else {
            return Err(invalid("no coding style (COD) in the main header"));
        };
        if !has_quantization {
            return Err(invalid("no quantization (QCD) in the main header"));
        }
        let codings: Vec<Coding> = own
            .into_iter()
            .map(|own| own.unwrap_or_else(|| default.clone()))
            .collect();
        check_tiles(&size, layers, &codings, bytes.len() as u64)?;
        markers.at -= 2;
        let tiles: u64 = size.tiles().iter().product();
        walk_tile_parts(&mut markers, tiles as usize)?;
        Ok(Self {
            width: size.end[0] - size.start[0],
            height: size.end[1] - size.start[1],
            components: size.components,
            bits: size.bits,
            signed: size.signed,
            levels: codings.iter().map(|coding| coding.levels).min().unwrap_or(0),
            at_origin: size.start == [0, 0],
        })
    }
}

/// Compares what the decoder will build with the bytes there are.
fn check_tiles(size: &Size, layers: u64, codings: &[Coding], bytes: u64) -> Result<(), DecodeError> {
    let [across, down] = size.tiles();
    let tiles = across * down;
    let too_large = |what: String, most: u64| DecodeError::TooLarge {
        format: FORMAT,
        what,
        most,
    };
    if tiles > MAX_TILES {
        return Err(too_large(format!("{tiles} tiles"), MAX_TILES));
    }
    let samples = u64::from(size.end[0] - size.start[0])
        * u64::from(size.end[1] - size.start[1])
        * u64::from(size.components);
    let most = FREE_SAMPLES.max(256 * bytes);
    if samples > most {
        return Err(too_large(format!("{samples} samples in {bytes} bytes"), most));
    }
    let mut packets = 0;
    for y in 0..down {
        for x in 0..across {
            let spans = [size.tile_span(0, x), size.tile_span(1, y)];
            let [(x0, x1), (y0, y1)] = spans;
            let most = (1 << 16)
                + STRUCTURES_PER_SAMPLE * (x1 - x0) * (y1 - y0) * u64::from(size.components)
                + STRUCTURES_PER_BYTE * bytes;
            let mut structures = 0;
            for coding in codings {
                let (precincts, blocks) = coding.count(spans);
                packets += precincts * layers;
                structures += 3 * 128 * precincts + blocks * (192 + 32 * layers);
            }
            if structures > most {
                return Err(too_large(
                    format!("precincts and code-blocks of {structures} bytes"),
                    most,
                ));
            }
        }
    }
    // A packet takes a byte at least.
    if packets > bytes {
        return Err(truncated(format!("{packets} packets in {bytes} bytes")));
    }
    Ok(())
}

/// Checks that every tile has a part, and that parts lie one behind the other up to the end of the codestream.
fn walk_tile_parts(markers: &mut Markers<'_>, tiles: usize) -> Result<(), DecodeError> {
    let mut seen = vec![false; tiles];
    let mut left = tiles;
    loop {
        let start = markers.at;
        match markers.next()? {
            marker::SOT => {}
            marker::EOC => break,
            kind => return Err(refusal(kind)),
        }
        let segment = markers.segment()?;
        let &[i0, i1, p0, p1, p2, p3, _, _] = segment else {
            return Err(invalid(format!(
                "a tile-part's head (SOT) of {} bytes",
                segment.len()
            )));
        };
        let index = usize::from(u16::from_be_bytes([i0, i1]));
        let seen = seen
            .get_mut(index)
            .ok_or_else(|| invalid(format!("a part of tile {index}; there are {tiles}")))?;
        left -= usize::from(!*seen);
        *seen = true;
        let length = match u32::from_be_bytes([p0, p1, p2, p3]) {
            // The last part: up to EOC, which the decoder asks for.
            0 => None,
            length => Some(length as usize),
        };
        loop {
            match markers.next()? {
                marker::SOD => break,
                marker::QCD | marker::QCC => check_quantization(markers.segment()?)?,
                marker::RGN | marker::PLT | marker::COM => _ = markers.segment()?,
                marker::COD | marker::COC => return Err(unsupported("a tile's own coding style (COD, COC)")),
                kind => return Err(refusal(kind)),
            }
        }
        let Some(length) = length else {
            break;
        };
        let end = start + length;
        if end < markers.at {
            return Err(invalid(format!(
                "a tile-part of {length} bytes, shorter than its head"
            )));
        }
        if end > markers.bytes.len() {
            return Err(truncated(format!("in a part of tile {index}")));
        }
        markers.at = end;
    }
    if left > 0 {
        return Err(truncated(format!(
            "before the first part of {left} of {tiles} tiles"
        )));
    }
    Ok(())
}
