//! Frames, plain and compressed.

use std::borrow::Cow;

use super::{
    super::{DicomError, SYNTAXES, Tag, open, syntax::Coding},
    builder::{Builder, LITTLE},
};
use crate::cxr::{Colour, Frame, Samples, Wanted, decode::jpeg};

const RLE: &str = "1.2.840.10008.1.2.5";
const JPEG: &str = "1.2.840.10008.1.2.4.50";
const ENCAPSULATED: &str = "1.2.840.10008.1.2.1.98";

fn frame(bytes: &[u8], number: u32) -> Result<Frame<'static>, DicomError> {
    open(bytes)?.frame(number, Wanted::Full).map(Frame::into_owned)
}

fn u8s(values: &[u8]) -> Samples<'static> {
    Samples::U8(Cow::Owned(values.to_vec()))
}

fn u16s(values: &[u16]) -> Samples<'static> {
    Samples::U16(Cow::Owned(values.to_vec()))
}

/// A frame of RLE of 3 x 2 pixels and 16 bits, all of one value.
fn rle_of(value: u16) -> Vec<u8> {
    let [low, high] = value.to_le_bytes();
    let mut bytes: Vec<u8> = [2_u32, 64, 66]
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect();
    bytes.resize(64, 0);
    // Runs of six bytes: the higher halves first.
    bytes.extend([251, high, 251, low]);
    bytes
}

#[test]
fn pixels_of_a_plain_file_are_borrowed() {
    let values = [1, 2, 3, 4, 5, 4095];
    let file = Builder::grey(LITTLE).ow(0x7FE0_0010, &values).bytes;
    let object = open(&file).unwrap();
    let frame = object.frame(0, Wanted::Full).unwrap();
    assert_eq!(frame.samples, u16s(&values));
    assert_eq!(
        (frame.width, frame.height, frame.channels, frame.bits),
        (3, 2, 1, 12)
    );
    let Samples::U16(samples) = &frame.samples else {
        panic!()
    };
    // Where words lie depends on the allocation.
    let aligned = (file[file.len() - 12..].as_ptr() as usize).is_multiple_of(2);
    assert_eq!(
        matches!(samples, Cow::Borrowed(_)),
        aligned && cfg!(target_endian = "little")
    );
}

#[test]
fn frames_follow_one_another_and_all_must_be_there() {
    let values: Vec<u16> = (0..12).collect();
    let file = Builder::grey(LITTLE).text(Tag(0x0028_0008), b"IS", "2");
    let whole = file.clone().ow(0x7FE0_0010, &values).bytes;
    assert_eq!(open(&whole).unwrap().frames(), 2);
    assert_eq!(frame(&whole, 0).unwrap().samples, u16s(&values[..6]));
    assert_eq!(frame(&whole, 1).unwrap().samples, u16s(&values[6..]));
    assert_eq!(
        frame(&whole, 2),
        Err(DicomError::NoSuchFrame { number: 2, frames: 2 })
    );
    let cut = DicomError::PixelsCutShort {
        frames: 2,
        needed: 24,
        there: 22,
    };
    assert_eq!(frame(&whole[..whole.len() - 2], 0), Err(cut.clone()));
    assert_eq!(frame(&file.ow(0x7FE0_0010, &values[..11]).bytes, 0), Err(cut));
    let many = Builder::grey(LITTLE)
        .text(Tag(0x0028_0008), b"IS", "4294967295")
        .ow(0x7FE0_0010, &values);
    assert!(matches!(
        frame(&many.bytes, 0),
        Err(DicomError::PixelsCutShort { .. })
    ));
}

#[test]
fn big_endian_words_and_bytes_in_words_are_turned() {
    let big = "1.2.840.10008.1.2.2";
    let file = Builder::grey(big).ow(0x7FE0_0010, &[1, 2, 3, 4, 5, 0x0102]).bytes;
    assert_eq!(frame(&file, 0).unwrap().samples, u16s(&[1, 2, 3, 4, 5, 0x0102]));
    let ow = Builder::colour(big, "PALETTE COLOR")
        .ow(0x7FE0_0010, &[0x0201, 0x0403])
        .bytes;
    assert_eq!(frame(&ow, 0).unwrap().samples, u8s(&[1, 2, 3, 4]));
    let ob = Builder::colour(big, "PALETTE COLOR")
        .element(0x7FE0_0010, b"OB", &[1, 2, 3, 4])
        .bytes;
    assert_eq!(frame(&ob, 0).unwrap().samples, u8s(&[1, 2, 3, 4]));
}

#[test]
fn colours_become_pixels_side_by_side() {
    let planes = [1, 2, 3, 4, 11, 12, 13, 14, 21, 22, 23, 24];
    let planar = Builder::colour(LITTLE, "RGB")
        .us(0x0028_0006, &[1])
        .element(0x7FE0_0010, b"OB", &planes);
    let expected = [1, 11, 21, 2, 12, 22, 3, 13, 23, 4, 14, 24];
    assert_eq!(frame(&planar.bytes, 0).unwrap().samples, u8s(&expected));
    let half = Builder::colour(LITTLE, "YBR_FULL_422").element(0x7FE0_0010, b"OB", &[1, 2, 9, 8, 3, 4, 7, 6]);
    let object = open(&half.bytes).unwrap();
    let expected = [1, 9, 8, 2, 9, 8, 3, 7, 6, 4, 7, 6];
    assert_eq!(object.frame(0, Wanted::Full).unwrap().samples, u8s(&expected));
    assert_eq!(object.meaning(0).unwrap().colour, Colour::Ybr);
}

#[test]
fn frames_in_fragments_are_found_by_tables_and_by_counting() {
    let (a, b) = (rle_of(7), rle_of(260));
    let frames = |file: &[u8]| {
        (
            frame(file, 0).map(|f| f.samples),
            frame(file, 1).map(|f| f.samples),
        )
    };
    let expected = (Ok(u16s(&[7; 6])), Ok(u16s(&[260; 6])));
    let two = || Builder::grey(RLE).text(Tag(0x0028_0008), b"IS", "2");
    // One fragment a frame, without and with a table.
    assert_eq!(frames(&two().fragments(&[], &[&a, &b])), expected);
    assert_eq!(frames(&two().fragments(&[0, 76], &[&a, &b])), expected);
    // Several fragments a frame: the table says which.
    let pieces = [&a[..40], &a[40..], &b[..64], &b[64..]];
    assert_eq!(frames(&two().fragments(&[0, 84], &pieces)), expected);
    let extended = |offsets: &[u64], lengths: &[u64]| {
        let bytes = |longs: &[u64]| {
            longs
                .iter()
                .flat_map(|long| long.to_le_bytes())
                .collect::<Vec<u8>>()
        };
        let file = two().element(0x7FE0_0001, b"OV", &bytes(offsets));
        file.element(0x7FE0_0002, b"OV", &bytes(lengths))
            .fragments(&[], &pieces)
    };
    assert_eq!(frames(&extended(&[0, 84], &[68, 68])), expected);
    // Tables that point elsewhere, and none where one is needed.
    for wrong in [
        two().fragments(&[0, 83], &pieces),
        two().fragments(&[84, 0], &pieces),
        two().fragments(&[8, 84], &pieces),
        two().fragments(&[0], &pieces),
        two().fragments(&[], &pieces),
        two().fragments(&[], &[&a]),
        extended(&[0, 84], &[68]),
        extended(&[0, u64::MAX], &[68, 68]),
    ] {
        assert!(matches!(open(&wrong), Err(DicomError::Malformed { .. })));
    }
    // A single frame has all fragments, whatever a table says.
    for table in [&[][..], &[0], &[18]] {
        let all = Builder::grey(RLE).fragments(table, &[&a[..10], &a[10..30], &a[30..]]);
        assert_eq!(frame(&all, 0).unwrap().samples, u16s(&[7; 6]));
    }
}

#[test]
fn a_frame_of_jpeg_begins_where_a_fragment_begins_with_its_mark() {
    let file = Builder::grey(JPEG).text(Tag(0x0028_0008), b"IS", "2");
    let pieces: [&[u8]; 3] = [&[0xFF, 0xD8, 0xFF, 0xE0], &[1, 2], &[0xFF, 0xD8, 0xFF, 0xDB]];
    assert!(open(&file.clone().fragments(&[], &pieces)).is_ok());
    let pieces: [&[u8]; 3] = [&[1, 2], &[0xFF, 0xD8, 0xFF, 0xE0], &[0xFF, 0xD8, 0xFF, 0xDB]];
    assert!(matches!(
        open(&file.fragments(&[], &pieces)),
        Err(DicomError::Malformed { .. })
    ));
}

#[test]
fn a_fragment_beyond_the_file_is_refused_and_a_missing_end_mark_is_not() {
    let file = Builder::grey(RLE).fragments(&[], &[&rle_of(7)]);
    assert_eq!(frame(&file[..file.len() - 8], 0).unwrap().samples, u16s(&[7; 6]));
    assert!(matches!(
        open(&file[..file.len() - 9]),
        Err(DicomError::Truncated { .. })
    ));
}

#[test]
fn plain_frames_may_be_in_fragments() {
    let bytes: Vec<u8> = (1..=6_u16).flat_map(u16::to_le_bytes).collect();
    let one = Builder::grey(ENCAPSULATED).fragments(&[], &[&bytes]);
    assert_eq!(frame(&one, 0).unwrap().samples, u16s(&[1, 2, 3, 4, 5, 6]));
    let two = Builder::grey(ENCAPSULATED).fragments(&[], &[&bytes[..4], &bytes[4..]]);
    assert_eq!(frame(&two, 0).unwrap().samples, u16s(&[1, 2, 3, 4, 5, 6]));
    let short = Builder::grey(ENCAPSULATED).fragments(&[], &[&bytes[..10]]);
    assert!(matches!(frame(&short, 0), Err(DicomError::PixelsCutShort { .. })));
    // Fragments and the transfer syntax must agree.
    assert!(matches!(
        open(&Builder::grey(LITTLE).fragments(&[], &[&bytes])),
        Err(DicomError::Malformed { .. })
    ));
    let whole = Builder::grey(RLE).ow(0x7FE0_0010, &[0; 6]);
    assert!(matches!(open(&whole.bytes), Err(DicomError::Malformed { .. })));
}

#[test]
fn attributes_that_no_image_can_have_are_refused() {
    let with = |tag: u32, value: u16| {
        let file = Builder::grey(LITTLE).us(tag, &[value]).ow(0x7FE0_0010, &[0; 6]);
        open(&file.bytes).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(
        with(0x0028_0101, 16).unwrap_err(),
        "`HighBit` is 11; it must be 15 to 15"
    );
    for (tag, value, expected) in [
        (
            0x0028_0100,
            1,
            "an image with 1 bits allocated (only 8 and 16 are read) is not supported",
        ),
        (
            0x0028_0100,
            32,
            "an image with 32 bits allocated (only 8 and 16 are read) is not supported",
        ),
        (
            0x0028_0101,
            17,
            "`BitsStored` is 17; it must be 1 to 16, the bits allocated",
        ),
        (
            0x0028_0101,
            0,
            "`BitsStored` is 0; it must be 1 to 16, the bits allocated",
        ),
        (0x0028_0102, 16, "`HighBit` is 16; it must be 11 to 15"),
        (0x0028_0103, 2, "`PixelRepresentation` is 2; it must be 0 or 1"),
        (
            0x0028_0002,
            3,
            "`SamplesPerPixel` is 3; it must be 1 for MONOCHROME2",
        ),
        (0x0028_0010, 0, "`Rows` is 0; it must be 1 to 16384"),
        (0x0028_0011, 16385, "`Columns` is 16385; it must be 1 to 16384"),
    ] {
        assert_eq!(with(tag, value).unwrap_err(), expected);
    }
    let huge = Builder::grey(LITTLE)
        .us(0x0028_0010, &[16384])
        .us(0x0028_0011, &[16384]);
    assert!(matches!(
        open(&huge.ow(0x7FE0_0010, &[0]).bytes),
        Err(DicomError::TooLarge { .. })
    ));
    let none = Builder::file(LITTLE).ow(0x7FE0_0010, &[0; 6]);
    let keyword = "BitsAllocated";
    assert_eq!(open(&none.bytes).unwrap_err(), DicomError::Missing { keyword });
    for (photometric, expected) in [
        ("CMYK", "photometric interpretation `CMYK` is not supported"),
        ("YBR_RCT", "YBR_ICT or YBR_RCT outside JPEG 2000 is not supported"),
    ] {
        let file = Builder::colour(LITTLE, photometric).element(0x7FE0_0010, b"OB", &[0; 12]);
        assert_eq!(open(&file.bytes).unwrap_err().to_string(), expected);
    }
    let frames = Builder::grey(LITTLE)
        .text(Tag(0x0028_0008), b"IS", "1A")
        .ow(0x7FE0_0010, &[0; 6]);
    assert_eq!(
        open(&frames.bytes).unwrap_err().to_string(),
        "`NumberOfFrames` is `1A`; it must be an integer"
    );
}

#[test]
fn a_compressed_frame_must_be_what_the_attributes_say() {
    let file = Builder::grey(RLE)
        .us(0x0028_0010, &[3])
        .fragments(&[], &[&rle_of(7)]);
    // RLE does not know its size: too few pixels are there.
    assert!(matches!(frame(&file, 0), Err(DicomError::Decode(_))));
    let file = Builder::grey(JPEG).fragments(&[], &[&[0xFF, 0xD8, 0xFF, 0xD9]]);
    assert!(matches!(frame(&file, 0), Err(DicomError::Decode(_))));
}

const GREY: &[u8] = include_bytes!("../../../../../tests/parity/jpeg/grey.jpg");
const GREY_12: &[u8] = include_bytes!("../../../../../tests/parity/jpeg/grey-12.jpg");
const JFIF: &[u8] = include_bytes!("../../../../../tests/parity/jpeg/colour-444.jpg");
const RGB: &[u8] = include_bytes!("../../../../../tests/parity/jpeg/colour-rgb.jpg");

/// A file around a JPEG stream, with its size.
fn jpeg_file(stream: &[u8], photometric: &str, bits: (u16, u16), more_rows: u16) -> Vec<u8> {
    let decoded = jpeg::decode(stream, Wanted::Full).unwrap().frame;
    let rows = decoded.height as u16 + more_rows;
    let file = match photometric {
        "MONOCHROME2" => Builder::grey(JPEG),
        _ => Builder::colour(JPEG, photometric),
    };
    file.us(0x0028_0010, &[rows])
        .us(0x0028_0011, &[decoded.width as u16])
        .us(0x0028_0100, &[bits.0])
        .us(0x0028_0101, &[bits.1])
        .us(0x0028_0102, &[bits.1 - 1])
        .fragments(&[], &[stream])
}

#[test]
fn a_frame_of_jpeg_has_the_words_that_are_allocated() {
    let values = |stream| jpeg::decode(stream, Wanted::Full).unwrap().frame.samples;
    let of = |stream, bits| frame(&jpeg_file(stream, "MONOCHROME2", bits, 0), 0);
    let narrow = of(GREY, (8, 8)).unwrap();
    assert_eq!(narrow.samples, values(GREY));
    let Samples::U8(bytes) = &narrow.samples else {
        panic!()
    };
    let wide: Vec<u16> = bytes.iter().map(|byte| u16::from(*byte)).collect();
    assert_eq!(of(GREY, (16, 8)).unwrap().samples, u16s(&wide));
    assert_eq!(of(GREY_12, (16, 12)).unwrap().samples, values(GREY_12));
    assert_eq!(
        of(GREY_12, (8, 8)).unwrap_err().to_string(),
        "the compressed frame has bits 12, the attributes say 8 allocated"
    );
    let larger = jpeg_file(GREY, "MONOCHROME2", (8, 8), 1);
    assert!(matches!(
        frame(&larger, 0),
        Err(DicomError::Mismatch { what: "the size", .. })
    ));
    let colour = jpeg_file(JFIF, "MONOCHROME2", (8, 8), 0);
    assert!(matches!(
        frame(&colour, 0),
        Err(DicomError::Mismatch { what: "channels", .. })
    ));
    // Fewer samples, where fewer are enough, of the same image.
    let small = jpeg_file(GREY, "MONOCHROME2", (8, 8), 0);
    let object = open(&small).unwrap();
    let eighth = object.frame(0, Wanted::AtLeast(1)).unwrap();
    assert!(eighth.width < narrow.width);
    assert_eq!(eighth.grid.full_width, narrow.width);
}

#[test]
fn a_jpeg_stream_that_names_its_colours_knows_better_than_the_attributes() {
    let colour = |stream, photometric| {
        let file = jpeg_file(stream, photometric, (8, 8), 0);
        open(&file).unwrap().meaning(0).unwrap().colour
    };
    assert_eq!(colour(JFIF, "YBR_FULL_422"), Colour::Ybr);
    assert_eq!(colour(JFIF, "RGB"), Colour::Ybr);
    assert_eq!(colour(RGB, "RGB"), Colour::AsIs);
    assert_eq!(colour(RGB, "YBR_FULL"), Colour::AsIs);
    let broken = Builder::colour(JPEG, "RGB").fragments(&[], &[&JFIF[..30]]);
    assert!(matches!(
        open(&broken).unwrap().meaning(0),
        Err(DicomError::Decode(_))
    ));
}

#[test]
fn the_documentation_lists_every_transfer_syntax_with_its_support() {
    let page = include_str!("../../../../../docs/imaging.md");
    for syntax in SYNTAXES {
        let support = match syntax.coding {
            Coding::Unsupported => "no",
            _ => "yes",
        };
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| {} |", syntax.uid)));
        let row = row.unwrap_or_else(|| panic!("{} has no row", syntax.uid));
        assert!(row.contains(&format!("| {} |", syntax.name)), "{row}");
        assert!(row.contains(&format!("| {support}")), "{row}");
    }
}

#[test]
fn the_documentation_lists_every_attribute_that_is_read() {
    let page = include_str!("../../../../../docs/imaging.md");
    for (tag, keyword) in super::super::Attributes::READ {
        assert!(
            page.contains(&format!("| {tag} | {keyword} |")),
            "{tag} {keyword}"
        );
    }
}
