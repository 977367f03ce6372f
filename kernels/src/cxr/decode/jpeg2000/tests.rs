use super::*;

const GREY: &[u8] = include_bytes!("../../../../../tests/parity/pictures/streams/grey8.j2k");
const TILES: &[u8] = include_bytes!("../../../../../tests/parity/pictures/streams/tiles.j2k");
const FILE: &[u8] = include_bytes!("../../../../../tests/parity/pictures/streams/file.jp2");
const COLOUR: &[u8] = include_bytes!("../../../../../tests/parity/pictures/streams/lossy-rgb.j2k");

/// The first stream with bytes changed: offsets are those of SIZ (2), its fields (6), COD behind it.
fn changed(changes: &[(usize, u8)]) -> String {
    let mut bytes = GREY.to_vec();
    for (at, value) in changes {
        bytes[*at] = *value;
    }
    decode(&bytes, Wanted::Full).unwrap_err().to_string()
}

#[test]
fn what_is_announced_is_checked() {
    assert_eq!(&GREY[..4], [0xFF, 0x4F, 0xFF, 0x51]);
    let cod = 4 + 41;
    assert_eq!(&GREY[cod..cod + 2], [0xFF, 0x52]);
    let cases: &[(&[(usize, u8)], &str)] = &[
        (&[(6, 0x40)], "high-throughput coding (HTJ2K) is not supported"),
        (&[(8, 1)], "a side of 16777277 pixels; at most 16384"),
        (&[(10, 0x20), (11, 1)], "8193 x 45"),
        (
            &[(24, 0), (25, 0), (26, 0), (27, 0)],
            "a first tile without a pixel of the image",
        ),
        (&[(41, 2)], "2 components is not supported"),
        (&[(42, 16)], "17 bits a sample; at most 16 is not supported"),
        (&[(43, 2)], "a subsampled component is not supported"),
        (&[(cod + 5, 5)], "progression order 5; from 0 to 4"),
        (&[(cod + 7, 0)], "no layers"),
        (&[(cod + 7, 33)], "33 layers, more than 32, is not supported"),
        (&[(cod + 9, 40)], "40 decomposition levels; at most 32"),
        (
            &[(cod + 9, 20)],
            "20 decomposition levels, more than 15, is not supported",
        ),
        (&[(cod + 10, 7)], "code-blocks of more than 4096 samples"),
        (
            &[(cod + 12, 0x40)],
            "high-throughput coding (HTJ2K) is not supported",
        ),
        (&[(cod + 13, 2)], "a wavelet of part 2 is not supported"),
        (
            &[(cod + 1, 0x60)],
            "a packed packet header (PPM, PPT) is not supported",
        ),
        (&[(cod + 1, 0x64)], "no coding style (COD) in the main header"),
    ];
    for (changes, expected) in cases {
        let error = changed(changes);
        if *expected == "8193 x 45" {
            // Within limits: the samples that are missing are found by the decoder.
            assert!(error.starts_with("JPEG 2000: "), "{error}");
        } else {
            assert_eq!(error, format!("JPEG 2000: {expected}"));
        }
    }
}

#[test]
fn an_image_that_its_bytes_cannot_hold_is_refused_before_memory_is_taken() {
    // 16384 x 8192 pixels in tiles of 61 x 45; in one tile; in tiles of a pixel; the tiny image in tiles of a pixel.
    let large = [(10, 0x40), (11, 0), (14, 0x20), (15, 0)];
    assert_eq!(changed(&large), "JPEG 2000: 49227 tiles; at most 16384");
    let one_tile = [large.as_slice(), &[(26, 0x40), (30, 0x20)]].concat();
    let error = changed(&one_tile);
    assert!(error.contains("134217728 samples"), "{error}");
    let small_tiles = [
        (24, 0),
        (25, 0),
        (26, 0),
        (27, 1),
        (28, 0),
        (29, 0),
        (30, 0),
        (31, 1),
    ];
    let error = changed(&small_tiles);
    assert!(error.contains("packets in") || error.contains("tiles"), "{error}");
    let many = [large.as_slice(), &small_tiles].concat();
    assert_eq!(changed(&many), "JPEG 2000: 134217728 tiles; at most 16384");
}

#[test]
fn streams_cut_short_are_refused() {
    for bytes in [GREY, TILES, FILE, COLOUR] {
        for length in 0..bytes.len() - 2 {
            for wanted in [Wanted::Full, Wanted::AtLeast(4)] {
                assert!(
                    decode(&bytes[..length], wanted).is_err(),
                    "{length} of {}",
                    bytes.len()
                );
            }
        }
    }
}

#[test]
fn no_changed_byte_panics() {
    for bytes in [GREY, TILES, FILE, COLOUR] {
        for at in 0..bytes.len() {
            // Every value in one header, a few elsewhere: a larger image takes its time.
            let step = if at < 100 && bytes == GREY { 1 } else { 37 };
            for value in (at as u8 % step..=u8::MAX).step_by(step as usize) {
                let mut changed = bytes.to_vec();
                changed[at] = value;
                let wanted = if at % 2 == 0 {
                    Wanted::Full
                } else {
                    Wanted::AtLeast(8)
                };
                if let Ok(frame) = decode(&changed, wanted) {
                    frame.check().unwrap();
                }
            }
        }
    }
}

#[test]
fn a_tile_without_a_part_is_refused() {
    // The last of the parts is taken out; EOC stays.
    let last = TILES.windows(2).rposition(|pair| pair == [0xFF, 0x90]).unwrap();
    let bytes = [&TILES[..last], &[0xFF, 0xD9]].concat();
    let error = decode(&bytes, Wanted::Full).unwrap_err().to_string();
    assert_eq!(
        error,
        "JPEG 2000: cut short before the first part of 1 of 9 tiles"
    );
}

#[test]
fn values_beyond_the_range_are_clamped_and_signed_ones_extended() {
    let header = |bits, signed| Header {
        width: 4,
        height: 1,
        components: 1,
        bits,
        signed,
        levels: 0,
        at_origin: true,
    };
    let plane: &[f32] = &[-3.0, 0.49, 2047.5, 5000.0];
    let unsigned = samples(&[plane], &header(12, false));
    assert_eq!(unsigned, Samples::U16(Cow::Owned(vec![0, 0, 2048, 4095])));
    let signed = samples(&[plane], &header(12, true));
    let expected = [-2048_i16, -2048, 0, 2047].map(|value| value as u16);
    assert_eq!(signed, Samples::U16(Cow::Owned(expected.to_vec())));
    let signed = samples(&[&[0.0, 128.0, 255.0, f32::NAN]], &header(8, true));
    assert_eq!(signed, Samples::U8(Cow::Owned(vec![128, 0, 127, 128])));
}
