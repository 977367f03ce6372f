//! Data sets made for tests, by hand.

use super::super::tags::{PIXEL_DATA, Tag};

/// Writes the elements of a data set or item, as a transfer syntax says.
#[derive(Clone)]
pub struct Builder {
    pub bytes: Vec<u8>,
    explicit: bool,
    big: bool,
}

pub const LITTLE: &str = "1.2.840.10008.1.2.1";

impl Builder {
    pub fn item() -> Self {
        Self {
            bytes: Vec::new(),
            explicit: true,
            big: false,
        }
    }

    /// A file of a transfer syntax.
    pub fn file(syntax: &str) -> Self {
        let mut file = Self::item();
        file.bytes = [vec![0; 128], b"DICM".to_vec()].concat();
        file = file.text(Tag(0x0002_0010), b"UI", syntax);
        file.explicit = syntax != "1.2.840.10008.1.2";
        file.big = syntax == "1.2.840.10008.1.2.2";
        file
    }

    /// A grey image of 3 x 2 pixels and 16 bits, without its pixels.
    pub fn grey(syntax: &str) -> Self {
        Self::file(syntax)
            .text(Tag(0x0008_0016), b"UI", "1.2.840.10008.5.1.4.1.1.1.1")
            .us(0x0028_0002, &[1])
            .text(Tag(0x0028_0004), b"CS", "MONOCHROME2")
            .us(0x0028_0010, &[2])
            .us(0x0028_0011, &[3])
            .us(0x0028_0100, &[16])
            .us(0x0028_0101, &[12])
            .us(0x0028_0102, &[11])
            .us(0x0028_0103, &[0])
    }

    /// A colour image of 2 x 2 pixels and 8 bits, without its pixels.
    pub fn colour(syntax: &str, photometric: &str) -> Self {
        let channels = if photometric == "PALETTE COLOR" { 1 } else { 3 };
        Self::file(syntax)
            .us(0x0028_0002, &[channels])
            .text(Tag(0x0028_0004), b"CS", photometric)
            .us(0x0028_0010, &[2])
            .us(0x0028_0011, &[2])
            .us(0x0028_0100, &[8])
            .us(0x0028_0101, &[8])
            .us(0x0028_0103, &[0])
    }

    fn number(&mut self, number: u32, bytes: usize) {
        let all = number.to_le_bytes();
        let mut part = all[..bytes].to_vec();
        if self.big {
            part.reverse();
        }
        self.bytes.extend(part);
    }

    /// What precedes a value.
    pub fn head(mut self, tag: Tag, vr: &[u8; 2], length: u32) -> Self {
        self.number(tag.0 >> 16, 2);
        self.number(tag.0 & 0xFFFF, 2);
        if !self.explicit || tag.0 >> 16 == 0xFFFE {
            self.number(length, 4);
            return self;
        }
        self.bytes.extend(vr);
        if [b"OB", b"OW", b"SQ", b"UN", b"UT", b"OV"].contains(&vr) {
            self.bytes.extend([0, 0]);
            self.number(length, 4);
        } else {
            self.number(length, 2);
        }
        self
    }

    pub fn element(self, tag: u32, vr: &[u8; 2], value: &[u8]) -> Self {
        let mut out = self.head(Tag(tag), vr, value.len() as u32);
        out.bytes.extend(value);
        out
    }

    pub fn text(self, tag: Tag, vr: &[u8; 2], text: &str) -> Self {
        let mut value = text.as_bytes().to_vec();
        if value.len() % 2 == 1 {
            value.push(if vr == b"UI" { 0 } else { b' ' });
        }
        self.element(tag.0, vr, &value)
    }

    /// Decimal strings.
    pub fn ds(self, tag: u32, text: &str) -> Self {
        self.text(Tag(tag), b"DS", text)
    }

    /// Words as a value.
    pub fn words(&self, words: &[u16]) -> Vec<u8> {
        let word = |word: &u16| {
            if self.big {
                word.to_be_bytes()
            } else {
                word.to_le_bytes()
            }
        };
        words.iter().flat_map(word).collect()
    }

    pub fn us(self, tag: u32, words: &[u16]) -> Self {
        let value = self.words(words);
        self.element(tag, b"US", &value)
    }

    pub fn ow(self, tag: u32, words: &[u16]) -> Self {
        let value = self.words(words);
        self.element(tag, b"OW", &value)
    }

    /// A sequence; lengths of it and its items are undefined, or not.
    pub fn sequence(self, tag: u32, items: &[Vec<u8>], undefined: bool) -> Self {
        let mut content = Self {
            bytes: Vec::new(),
            ..self
        };
        for item in items {
            let length = if undefined { u32::MAX } else { item.len() as u32 };
            content = content.head(Tag(0xFFFE_E000), b"  ", length);
            content.bytes.extend(item);
            if undefined {
                content = content.head(Tag(0xFFFE_E00D), b"  ", 0);
            }
        }
        if undefined {
            content = content.head(Tag(0xFFFE_E0DD), b"  ", 0);
        }
        let length = if undefined {
            u32::MAX
        } else {
            content.bytes.len() as u32
        };
        let mut out = self.head(Tag(tag), b"SQ", length);
        out.bytes.extend(content.bytes);
        out
    }

    /// Pixel data in fragments, after their basic offset table.
    pub fn fragments(self, table: &[u32], fragments: &[&[u8]]) -> Vec<u8> {
        let table: Vec<u8> = table.iter().flat_map(|offset| offset.to_le_bytes()).collect();
        let mut out = self.head(PIXEL_DATA, b"OB", u32::MAX);
        for fragment in [&[table.as_slice()], fragments].concat() {
            out = out.head(Tag(0xFFFE_E000), b"  ", fragment.len() as u32);
            out.bytes.extend(fragment);
        }
        out.head(Tag(0xFFFE_E0DD), b"  ", 0).bytes
    }
}
