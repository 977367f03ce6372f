//! Marker segments (T.81 Annex B).
//!
//! In: a stream. Out: its frame header and tables, scan by scan. Start at [`Markers::next_scan`].

use super::{FORMAT, Transform, cut_short, huffman::Code, invalid, unsupported};
use crate::cxr::decode::{DecodeError, check_size};

/// How a frame is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Process {
    /// SOF0 and SOF1.
    Sequential,
    /// SOF2.
    Progressive,
    /// SOF3.
    Lossless,
}

/// A frame header (T.81 B.2.2), within our limits.
#[derive(Clone)]
pub(super) struct Header {
    pub(super) process: Process,
    pub(super) bits: u32,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) components: Vec<Component>,
}

impl Header {
    /// The largest sampling factors, across and down.
    pub(super) fn most_sampling(&self) -> (u32, u32) {
        self.components.iter().fold((1, 1), |(x, y), component| {
            (x.max(component.sampling.0), y.max(component.sampling.1))
        })
    }

    /// Width and height of a component (T.81 A.1.1); `most` is [`Header::most_sampling`].
    pub(super) fn component_size(&self, component: &Component, most: (u32, u32)) -> (u32, u32) {
        (
            (self.width * component.sampling.0).div_ceil(most.0),
            (self.height * component.sampling.1).div_ceil(most.1),
        )
    }
}

/// A component of a frame.
#[derive(Clone)]
pub(super) struct Component {
    pub(super) id: u8,
    /// Sampling factors, across and down.
    pub(super) sampling: (u32, u32),
    /// Number of its quantization table.
    pub(super) quantization: u8,
}

/// A scan header (T.81 B.2.3).
pub(super) struct Scan {
    pub(super) components: Vec<ScanComponent>,
    /// Where spectral selection starts, or the predictor.
    pub(super) selection: u8,
    /// The low point transform.
    pub(super) shift: u8,
}

/// A component of a scan.
pub(super) struct ScanComponent {
    /// Which of the frame's.
    pub(super) index: usize,
    /// Numbers of its DC and AC tables.
    pub(super) tables: (usize, usize),
}

/// A stream being read, and what has been defined so far.
pub(super) struct Markers<'a> {
    pub(super) rest: &'a [u8],
    pub(super) header: Option<Header>,
    /// Quantization tables, in zigzag order.
    pub(super) quantization: [Option<[u16; 64]>; 4],
    /// Huffman tables: DC, AC.
    pub(super) codes: [[Option<Code>; 4]; 2],
    /// MCUs between restart markers; 0 for none.
    pub(super) restart_interval: usize,
    jfif: bool,
    adobe: Option<u8>,
}

impl<'a> Markers<'a> {
    /// Opens a stream.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let Some(rest) = bytes.strip_prefix(&[0xFF, 0xD8]) else {
            return invalid("no start of image".to_owned());
        };
        Ok(Self {
            rest,
            header: None,
            quantization: [None; 4],
            codes: Default::default(),
            restart_interval: 0,
            jfif: false,
            adobe: None,
        })
    }

    /// Reads to the next scan's data; [`None`] at the end of the image.
    pub(super) fn next_scan(&mut self) -> Result<Option<Scan>, DecodeError> {
        loop {
            let marker = self.marker()?;
            match marker {
                0xD9 => return Ok(None),
                0x01 => continue,
                _ => {}
            }
            let body = self.segment(marker)?;
            match marker {
                0xC4 => self.huffman_tables(body)?,
                0xDB => self.quantization_tables(body)?,
                0xDD => self.restart_interval = usize::from(Fields::new(body, "a restart interval").word()?),
                0xDA => return self.scan(body).map(Some),
                0xC0..=0xC3 => self.frame(marker, body)?,
                0xC5..=0xC7 | 0xDE => return unsupported("the hierarchical mode"),
                0xC9..=0xCF => return unsupported("arithmetic coding"),
                0xDC => return unsupported("a height given after the first scan"),
                0xF7 => return unsupported("JPEG-LS in the decoder of JPEG"),
                0xE0 => self.jfif |= body.starts_with(b"JFIF\0"),
                0xEE => {
                    if let Some(adobe) = body.strip_prefix(b"Adobe") {
                        self.adobe = adobe.get(6).copied().or(self.adobe);
                    }
                }
                0xE1..=0xEF | 0xFE => {}
                _ => return invalid(format!("marker FF{marker:02X} where tables or a scan belong")),
            }
        }
    }

    /// What the stream says of the colours of its three components.
    pub(super) fn transform(&self, header: &Header) -> Transform {
        let ids: Vec<u8> = header.components.iter().map(|component| component.id).collect();
        match (header.components.len(), self.adobe) {
            (1, _) => Transform::None,
            // JFIF knows no other colours.
            (_, _) if self.jfif => Transform::Ybr,
            (_, Some(0)) => Transform::None,
            (_, Some(1)) => Transform::Ybr,
            _ if ids == *b"RGB" => Transform::None,
            _ => Transform::Unsaid,
        }
    }

    /// The next marker, fill bytes before it left out.
    fn marker(&mut self) -> Result<u8, DecodeError> {
        let fill = self.rest.iter().take_while(|byte| **byte == 0xFF).count();
        let Some((marker, rest)) = self.rest[fill..].split_first() else {
            return Err(cut_short("where a marker belongs".to_owned()));
        };
        if fill == 0 {
            return invalid(format!("byte {marker:#04X} where a marker belongs"));
        }
        self.rest = rest;
        Ok(*marker)
    }

    /// What a marker segment holds.
    fn segment(&mut self, marker: u8) -> Result<&'a [u8], DecodeError> {
        let short = || cut_short(format!("in the segment of marker FF{marker:02X}"));
        let (length, rest) = self.rest.split_first_chunk().ok_or_else(short)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let Some(length) = length.checked_sub(2) else {
            return invalid(format!("marker FF{marker:02X} with a segment of {length} bytes"));
        };
        let (body, rest) = rest.split_at_checked(length).ok_or_else(short)?;
        self.rest = rest;
        Ok(body)
    }

    /// T.81 B.2.2.
    fn frame(&mut self, marker: u8, body: &[u8]) -> Result<(), DecodeError> {
        if self.header.is_some() {
            return invalid("a second frame header".to_owned());
        }
        let process = match marker {
            0xC2 => Process::Progressive,
            0xC3 => Process::Lossless,
            _ => Process::Sequential,
        };
        let mut fields = Fields::new(body, "a frame header");
        let bits = u32::from(fields.byte()?);
        let height = u32::from(fields.word()?);
        let width = u32::from(fields.word()?);
        let count = u32::from(fields.byte()?);
        match process {
            Process::Lossless if (2..=16).contains(&bits) => {}
            Process::Sequential | Process::Progressive if matches!(bits, 8 | 12) => {}
            _ => return invalid(format!("samples of {bits} bits")),
        }
        if height == 0 {
            return unsupported("a height given after the first scan");
        }
        if !matches!(count, 1 | 3) {
            return unsupported(&format!("an image of {count} components"));
        }
        check_size(FORMAT, (width, height), count)?;
        let mut components: Vec<Component> = Vec::new();
        for _ in 0..count {
            let [id, sampling, quantization] = [fields.byte()?, fields.byte()?, fields.byte()?];
            let sampling = (u32::from(sampling >> 4), u32::from(sampling & 15));
            if !(1..=4).contains(&sampling.0) || !(1..=4).contains(&sampling.1) || quantization > 3 {
                return invalid(format!(
                    "component {id} with sampling factors {} and {}, quantization table {quantization}",
                    sampling.0, sampling.1
                ));
            }
            if components.iter().any(|component| component.id == id) {
                return invalid(format!("two components called {id}"));
            }
            components.push(Component {
                id,
                sampling,
                quantization,
            });
        }
        self.header = Some(Header {
            process,
            bits,
            width,
            height,
            components,
        });
        Ok(())
    }

    /// T.81 B.2.3.
    fn scan(&mut self, body: &[u8]) -> Result<Scan, DecodeError> {
        let Some(header) = &self.header else {
            return invalid("a scan before the frame header".to_owned());
        };
        let mut fields = Fields::new(body, "a scan header");
        let count = fields.byte()?;
        let mut components: Vec<ScanComponent> = Vec::new();
        for _ in 0..count {
            let [id, tables] = [fields.byte()?, fields.byte()?];
            let tables = (usize::from(tables >> 4), usize::from(tables & 15));
            let known = |component: &Component| component.id == id;
            match header.components.iter().position(known) {
                Some(index)
                    if tables.0 < 4
                        && tables.1 < 4
                        && components.iter().all(|component| component.index != index) =>
                {
                    components.push(ScanComponent { index, tables });
                }
                _ => return invalid(format!("a scan of component {id} with tables {tables:?}")),
            }
        }
        if components.is_empty() {
            return invalid("a scan of no components".to_owned());
        }
        let [selection, _, approximation] = [fields.byte()?, fields.byte()?, fields.byte()?];
        Ok(Scan {
            components,
            selection,
            shift: approximation & 15,
        })
    }

    /// T.81 B.2.4.2.
    fn huffman_tables(&mut self, body: &[u8]) -> Result<(), DecodeError> {
        let mut fields = Fields::new(body, "a Huffman table");
        while !fields.rest.is_empty() {
            let which = usize::from(fields.byte()?);
            let counts: [u8; 16] = *fields.bytes(16)?.first_chunk().unwrap_or(&[0; 16]);
            let total: usize = counts.iter().map(|count| usize::from(*count)).sum();
            let symbols = fields.bytes(total)?;
            let Some(place) = self
                .codes
                .get_mut(which >> 4)
                .and_then(|class| class.get_mut(which & 15))
            else {
                return invalid(format!("a Huffman table for destination {which:#04X}"));
            };
            *place = Some(Code::new(counts, symbols)?);
        }
        Ok(())
    }

    /// T.81 B.2.4.1.
    fn quantization_tables(&mut self, body: &[u8]) -> Result<(), DecodeError> {
        let mut fields = Fields::new(body, "a quantization table");
        while !fields.rest.is_empty() {
            let which = fields.byte()?;
            let Some(place) = self
                .quantization
                .get_mut(usize::from(which & 15))
                .filter(|_| which >> 4 < 2)
            else {
                return invalid(format!("a quantization table for destination {which:#04X}"));
            };
            let mut table = [0; 64];
            for step in &mut table {
                *step = if which >> 4 == 0 {
                    u16::from(fields.byte()?)
                } else {
                    fields.word()?
                };
            }
            *place = Some(table);
        }
        Ok(())
    }
}

/// Numbers of a segment, one after the other.
struct Fields<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Fields<'a> {
    fn new(rest: &'a [u8], what: &'static str) -> Self {
        Self { rest, what }
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let Some((bytes, rest)) = self.rest.split_at_checked(count) else {
            return invalid(format!("{} that is longer than its segment", self.what));
        };
        self.rest = rest;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(self.bytes(1)?[0])
    }

    fn word(&mut self) -> Result<u16, DecodeError> {
        let bytes = self.bytes(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }
}
