//! Headers of PNG and JPEG files.
//!
//! In: a file. Out: its size, bits and colour type, or why it is no such image. Start at [`read`].

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use crate::data::decode::{MAX_SIDE, PNG};

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picture {
    pub format: &'static str,
    /// Width and height.
    pub size: (u32, u32),
    /// Bits a channel.
    pub bits: u32,
    pub colour: &'static str,
}

/// Reads a header.
///
/// # Errors
/// Why it cannot be used, in words.
pub fn read(path: &Path) -> Result<Picture, String> {
    let unreadable = |error: io::Error| format!("cannot be read: {error}");
    let mut file = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut magic = [0; 3];
    file.read_exact(&mut magic).map_err(unreadable)?;
    file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    let picture = if PNG.starts_with(&magic) {
        png(&mut file)?
    } else {
        jpeg(&mut file)?
    };
    let (width, height) = picture.size;
    if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE {
        return Err(format!("{width} x {height} pixels; sides are 1 to {MAX_SIDE}"));
    }
    Ok(picture)
}

/// The first chunk is always the header (PNG specification, 11.2.1).
fn png(file: &mut impl Read) -> Result<Picture, String> {
    let mut start = [0; 26];
    file.read_exact(&mut start)
        .map_err(|_| "PNG: cut short in its header".to_owned())?;
    let (_, rest) = start.split_at(8);
    if rest[4..8] != *b"IHDR" {
        return Err("PNG: its first chunk is not the header".to_owned());
    }
    let number = |at: usize| u32::from_be_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
    let (bits, colour) = (u32::from(rest[16]), rest[17]);
    let (bits, colour) = match (colour, bits) {
        (0, 1 | 2 | 4 | 8 | 16) => (bits, "grey"),
        (2, 8 | 16) => (bits, "RGB"),
        (3, 1 | 2 | 4 | 8) => (bits, "palette"),
        (4, 8 | 16) => (bits, "grey and alpha"),
        (6, 8 | 16) => (bits, "RGB and alpha"),
        _ => return Err(format!("PNG: colour type {colour} of {bits} bits does not exist")),
    };
    Ok(Picture {
        format: "PNG",
        size: (number(8), number(12)),
        bits,
        colour,
    })
}

/// Segments are passed over up to the frame header (ITU-T T.81, B.2.2).
fn jpeg(file: &mut (impl Read + Seek)) -> Result<Picture, String> {
    let cut = |_: io::Error| "JPEG: cut short before its frame header".to_owned();
    file.seek(SeekFrom::Start(2)).map_err(cut)?;
    loop {
        let mut marker = [0; 2];
        file.read_exact(&mut marker).map_err(cut)?;
        if marker[0] != 0xff {
            return Err(format!(
                "JPEG: byte {:#04x} where a marker is expected",
                marker[0]
            ));
        }
        // Fill bytes before a marker.
        while marker[1] == 0xff {
            file.read_exact(&mut marker[1..]).map_err(cut)?;
        }
        match marker[1] {
            // Markers without a segment.
            0x01 | 0xd0..=0xd8 => continue,
            0xd9 | 0xda => return Err("JPEG: no frame header before its data".to_owned()),
            _ => {}
        }
        let mut length = [0; 2];
        file.read_exact(&mut length).map_err(cut)?;
        let length = u16::from_be_bytes(length);
        let is_frame = matches!(marker[1], 0xc0..=0xcf) && !matches!(marker[1], 0xc4 | 0xc8 | 0xcc);
        if !is_frame {
            let rest = length
                .checked_sub(2)
                .ok_or("JPEG: a segment of less than 2 bytes")?;
            file.seek(SeekFrom::Current(rest.into())).map_err(cut)?;
            continue;
        }
        let mut frame = [0; 6];
        file.read_exact(&mut frame).map_err(cut)?;
        let [bits, h1, h0, w1, w0, components] = frame;
        let colour = match components {
            1 => "grey",
            3 => "YCbCr",
            4 => "four channels",
            other => return Err(format!("JPEG: {other} channels")),
        };
        let size = (
            u16::from_be_bytes([w1, w0]).into(),
            u16::from_be_bytes([h1, h0]).into(),
        );
        return Ok(Picture {
            format: "JPEG",
            size,
            bits: bits.into(),
            colour,
        });
    }
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, ImageFormat};
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    fn saved(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn read_bytes(bytes: &[u8]) -> Result<Picture, String> {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("image");
        std::fs::write(&path, bytes).unwrap();
        read(&path)
    }

    #[test]
    fn headers_are_those_the_images_were_written_with() {
        let cases = [
            (
                DynamicImage::new_luma8(30, 20),
                ImageFormat::Png,
                ("PNG", 8, "grey"),
            ),
            (
                DynamicImage::new_luma16(30, 20),
                ImageFormat::Png,
                ("PNG", 16, "grey"),
            ),
            (
                DynamicImage::new_rgba8(30, 20),
                ImageFormat::Png,
                ("PNG", 8, "RGB and alpha"),
            ),
            (
                DynamicImage::new_luma8(30, 20),
                ImageFormat::Jpeg,
                ("JPEG", 8, "grey"),
            ),
            (
                DynamicImage::new_rgb8(30, 20),
                ImageFormat::Jpeg,
                ("JPEG", 8, "YCbCr"),
            ),
        ];
        for (image, format, (name, bits, colour)) in cases {
            let expected = Picture {
                format: name,
                size: (30, 20),
                bits,
                colour,
            };
            assert_eq!(read_bytes(&saved(&image, format)), Ok(expected));
        }
    }

    #[test]
    fn a_header_that_is_cut_or_lies_is_refused() {
        let png = saved(&DynamicImage::new_luma8(3, 2), ImageFormat::Png);
        assert!(read_bytes(&png[..20]).unwrap_err().contains("cut short"));
        let mut odd = png.clone();
        odd[25] = 5;
        assert!(read_bytes(&odd).unwrap_err().contains("colour type 5"));
        let mut wide = png;
        wide[16] = 1;
        assert!(read_bytes(&wide).unwrap_err().contains("16777219 x 2"));
        let jpeg = saved(&DynamicImage::new_luma8(3, 2), ImageFormat::Jpeg);
        assert!(read_bytes(&jpeg[..12]).unwrap_err().contains("cut short"));
        assert!(
            read_bytes(b"\xff\xd8\xff\xda")
                .unwrap_err()
                .contains("no frame header")
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(png in any::<bool>(), bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let start: &[u8] = if png { PNG } else { b"\xff\xd8\xff" };
            let _ = read_bytes(&[start, &bytes].concat());
        }
    }
}
