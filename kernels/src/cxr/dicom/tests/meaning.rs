//! What values mean: modality, VOI, palettes, padding, aspect, functional groups.

use super::{
    super::{DicomError, Tag, open},
    builder::{Builder, LITTLE},
};
use crate::cxr::{Colour, Lut, Meaning, Modality, Stored, Voi, VoiFunction};

fn meaning(file: Builder) -> Result<Meaning, DicomError> {
    meaning_of(file, 0)
}

fn meaning_of(file: Builder, window: usize) -> Result<Meaning, DicomError> {
    let file = file.ow(0x7FE0_0010, &[0; 12]);
    open(&file.bytes)?.meaning_with(0, window)
}

fn words(result: Result<Meaning, DicomError>) -> String {
    result.unwrap_err().to_string()
}

fn table(words: &[u16], data: &[u16]) -> Vec<u8> {
    Builder::item().us(0x0028_3002, words).ow(0x0028_3006, data).bytes
}

fn window(centre: f64, width: f64, function: VoiFunction) -> Voi {
    Voi::Window {
        centre,
        width,
        function,
    }
}

#[test]
fn a_file_that_says_nothing_is_shown_from_percentile_to_percentile() {
    let expected = Meaning {
        colour: Colour::AsIs,
        stored: Stored {
            allocated: 16,
            bits: 12,
            high_bit: 11,
            signed: false,
        },
        modality: Modality::Identity,
        voi: Voi::Percentiles { low: 0.5, high: 99.5 },
        inverted: false,
        padding: None,
        aspect: 1.0,
    };
    assert_eq!(meaning(Builder::grey(LITTLE)), Ok(expected));
}

#[test]
fn slope_and_intercept_are_linear_and_a_table_comes_before_them() {
    let rescaled = Builder::grey(LITTLE)
        .ds(0x0028_1052, "-1024")
        .ds(0x0028_1053, " 2.5 ");
    let linear = Modality::Linear {
        slope: 2.5,
        intercept: -1024.0,
    };
    assert_eq!(meaning(rescaled.clone()).unwrap().modality, linear);
    let table = rescaled.sequence(0x0028_3000, &[table(&[2, 5, 16], &[10, 20])], true);
    let lut = Lut {
        first: 5,
        values: vec![10, 20],
        bits: 16,
    };
    assert_eq!(meaning(table).unwrap().modality, Modality::Lut(lut));
    let same = Builder::grey(LITTLE).ds(0x0028_1052, "0").ds(0x0028_1053, "1.0");
    assert_eq!(meaning(same).unwrap().modality, Modality::Identity);
    let flat = Builder::grey(LITTLE).ds(0x0028_1053, "0");
    assert_eq!(
        words(meaning(flat)),
        "`RescaleSlope` is 0; it must be other than 0"
    );
    let broken = Builder::grey(LITTLE).ds(0x0028_1053, "1,5");
    assert_eq!(
        words(meaning(broken)),
        "`RescaleSlope` is `1,5`; it must be decimal numbers"
    );
}

#[test]
fn the_first_window_is_taken_unless_another_is_asked_for() {
    let file = || {
        Builder::grey(LITTLE)
            .ds(0x0028_1050, "40\\-600")
            .ds(0x0028_1051, "400\\1500")
    };
    assert_eq!(
        meaning(file()).unwrap().voi,
        window(40.0, 400.0, VoiFunction::Linear)
    );
    let second = window(-600.0, 1500.0, VoiFunction::Linear);
    assert_eq!(meaning_of(file(), 1).unwrap().voi, second);
    assert_eq!(
        meaning_of(file(), 2),
        Err(DicomError::NoSuchWindow {
            window: 2,
            windows: 2
        })
    );
    for (text, function) in [
        ("LINEAR", VoiFunction::Linear),
        ("LINEAR_EXACT", VoiFunction::LinearExact),
        ("SIGMOID", VoiFunction::Sigmoid),
    ] {
        let file = file().text(Tag(0x0028_1056), b"CS", text);
        assert_eq!(meaning(file).unwrap().voi, window(40.0, 400.0, function));
    }
    let file = file().text(Tag(0x0028_1056), b"CS", "CUBIC");
    assert_eq!(words(meaning(file)), "VOI LUT function `CUBIC` is not supported");
}

#[test]
fn a_window_must_be_wide_enough_for_its_function() {
    let file = |width: &str| Builder::grey(LITTLE).ds(0x0028_1050, "40").ds(0x0028_1051, width);
    assert!(meaning(file("1")).is_ok());
    assert_eq!(
        words(meaning(file("0.5"))),
        "`WindowWidth` is 0.5; it must be at least 1"
    );
    let exact = |width: &str| file(width).text(Tag(0x0028_1056), b"CS", "LINEAR_EXACT");
    assert!(meaning(exact("0.5")).is_ok());
    assert_eq!(
        words(meaning(exact("0"))),
        "`WindowWidth` is 0; it must be above 0"
    );
    let half = Builder::grey(LITTLE).ds(0x0028_1050, "40");
    assert_eq!(
        meaning(half),
        Err(DicomError::NoSuchWindow {
            window: 0,
            windows: 0
        })
    );
}

#[test]
fn a_voi_table_comes_before_a_window() {
    let file = Builder::grey(LITTLE).ds(0x0028_1050, "40").ds(0x0028_1051, "400");
    let file = file.sequence(
        0x0028_3010,
        &[table(&[3, 0, 8], &[0, 9, 255]), table(&[1, 0, 16], &[9])],
        false,
    );
    let lut = Lut {
        first: 0,
        values: vec![0, 9, 255],
        bits: 8,
    };
    assert_eq!(meaning(file.clone()).unwrap().voi, Voi::Lut(lut));
    assert!(matches!(
        meaning_of(file.clone(), 1).unwrap().voi,
        Voi::Lut(Lut { bits: 16, .. })
    ));
    assert_eq!(
        meaning_of(file, 2),
        Err(DicomError::NoSuchWindow {
            window: 2,
            windows: 2
        })
    );
}

#[test]
fn tables_are_checked() {
    let with = |item: Vec<u8>| meaning(Builder::grey(LITTLE).sequence(0x0028_3010, &[item], false));
    let voi = |item| with(item).unwrap().voi;
    assert_eq!(
        words(with(table(&[3, 0, 8], &[0]))),
        "`LUTData` is 2 bytes long; it must be 3 entries of 8 bits"
    );
    assert_eq!(
        words(with(table(&[3, 0], &[0]))),
        "`LUTDescriptor` is 2 numbers; it must be 3 numbers"
    );
    assert_eq!(
        words(with(table(&[1, 0, 17], &[0]))),
        "`LUTDescriptor` is 17 bits an entry; it must be 8 to 16 bits an entry"
    );
    assert_eq!(
        words(with(table(&[1, 0, 8], &[256]))),
        "`LUTData` is 256; it must be at most 255 in each entry"
    );
    assert_eq!(words(with(Builder::item().bytes)), "`LUTDescriptor` is missing");
    // No entries are written for 65536, and bytes where there is room for no more.
    let full: Vec<u16> = (0..=u16::MAX).collect();
    let item = Builder::item().us(0x0028_3002, &[0, 0, 16]).element(
        0x0028_3006,
        b"OW",
        &Builder::item().words(&full),
    );
    assert!(matches!(voi(item.bytes), Voi::Lut(lut) if lut.values == full));
    assert!(matches!(voi(table(&[4, 0, 8], &[0x0201, 0x0403])), Voi::Lut(lut) if lut.values == [1, 2, 3, 4]));
    // The first input may be below 0.
    let item = Builder::item()
        .element(0x0028_3002, b"SS", &[1, 0, 0xFE, 0xFF, 8, 0])
        .ow(0x0028_3006, &[5]);
    assert!(matches!(voi(item.bytes), Voi::Lut(Lut { first: -2, .. })));
    assert!(matches!(
        voi(table(&[1, 0xFFFE, 8], &[5])),
        Voi::Lut(Lut { first: 65534, .. })
    ));
}

#[test]
fn monochrome1_and_the_shape_inverse_show_low_values_white() {
    let file = |photometric: &str| Builder::grey(LITTLE).text(Tag(0x0028_0004), b"CS", photometric);
    let shaped = |photometric: &str, shape: &str| file(photometric).text(Tag(0x2050_0020), b"CS", shape);
    assert!(!meaning(file("MONOCHROME2")).unwrap().inverted);
    assert!(meaning(file("MONOCHROME1")).unwrap().inverted);
    assert!(!meaning(shaped("MONOCHROME2", "IDENTITY")).unwrap().inverted);
    assert!(meaning(shaped("MONOCHROME2", "INVERSE")).unwrap().inverted);
    // Both say the same, which is not to be done twice.
    assert!(meaning(shaped("MONOCHROME1", "INVERSE")).unwrap().inverted);
}

#[test]
fn padding_is_a_value_or_a_range_with_the_sign_of_pixels() {
    let file = |signed: u16| {
        Builder::grey(LITTLE)
            .us(0x0028_0103, &[signed])
            .us(0x0028_0120, &[0xF830])
    };
    assert_eq!(meaning(file(0)).unwrap().padding, Some((63536, 63536)));
    assert_eq!(meaning(file(1)).unwrap().padding, Some((-2000, -2000)));
    assert_eq!(
        meaning(file(1).us(0x0028_0121, &[0xF000])).unwrap().padding,
        Some((-4096, -2000))
    );
    assert_eq!(
        meaning(file(0).us(0x0028_0121, &[0xFFFF])).unwrap().padding,
        Some((63536, 65535))
    );
}

#[test]
fn the_aspect_is_that_of_the_first_spacing_given() {
    let aspect = |tags: &[(u32, &str)]| {
        let file = tags
            .iter()
            .fold(Builder::grey(LITTLE), |file, (tag, text)| file.ds(*tag, text));
        meaning(file).map(|meaning| meaning.aspect)
    };
    assert_eq!(aspect(&[(0x0028_0030, "0.2\\0.1")]), Ok(2.0));
    assert_eq!(aspect(&[(0x0018_1164, "0.1\\0.2")]), Ok(0.5));
    assert_eq!(aspect(&[(0x0018_2010, "1\\4")]), Ok(0.25));
    assert_eq!(aspect(&[(0x0028_0034, "3\\2")]), Ok(1.5));
    assert_eq!(aspect(&[(0x0018_1164, "1\\1"), (0x0028_0034, "3\\2")]), Ok(1.0));
    for wrong in ["0\\1", "-1\\1", "1", "1e300\\1e-300"] {
        assert!(
            matches!(aspect(&[(0x0028_0030, wrong)]), Err(DicomError::Value { .. })),
            "{wrong}"
        );
    }
}

#[test]
fn functional_groups_of_a_frame_come_before_shared_ones_and_these_before_the_data_set() {
    let transformed = |intercept: &str| {
        let item = Builder::item()
            .ds(0x0028_1052, intercept)
            .ds(0x0028_1053, "1")
            .bytes;
        Builder::item().sequence(0x0028_9145, &[item], true)
    };
    let shown = |centre: &str| {
        let item = Builder::item().ds(0x0028_1050, centre).ds(0x0028_1051, "9").bytes;
        Builder::item().sequence(0x0028_9132, &[item], false)
    };
    let shared = Builder::item().sequence(
        0x0028_9110,
        &[Builder::item().ds(0x0028_0030, "2\\1").bytes],
        true,
    );
    let shared = [shared.bytes, shown("5").bytes, transformed("100").bytes].concat();
    for undefined in [false, true] {
        let per_frame = [transformed("10").bytes, transformed("20").bytes, Vec::new()];
        let file = Builder::grey(LITTLE)
            .text(Tag(0x0028_0008), b"IS", "3")
            .ds(0x0028_1050, "1")
            .ds(0x0028_1051, "2")
            .sequence(0x5200_9229, std::slice::from_ref(&shared), undefined)
            .sequence(0x5200_9230, &per_frame, undefined)
            .ow(0x7FE0_0010, &[0; 18]);
        let object = open(&file.bytes).unwrap();
        for (number, intercept) in [(0, 10.0), (1, 20.0), (2, 100.0)] {
            let meaning = object.meaning(number).unwrap();
            assert_eq!(
                meaning.modality,
                Modality::Linear {
                    slope: 1.0,
                    intercept
                }
            );
            assert_eq!(meaning.voi, window(5.0, 9.0, VoiFunction::Linear));
            assert_eq!(meaning.aspect, 2.0);
        }
        assert!(object.meaning(3).is_err());
    }
}

fn with_palette(bits: u16, tables: [&[u16]; 3], segmented: bool, entries: u16) -> Result<Colour, DicomError> {
    let mut file = Builder::colour(LITTLE, "PALETTE COLOR");
    for tag in [0x0028_1101, 0x0028_1102, 0x0028_1103] {
        file = file.us(tag, &[entries, 2, bits]);
    }
    let first = if segmented { 0x0028_1221 } else { 0x0028_1201 };
    for (tag, table) in (first..).zip(tables) {
        file = file.ow(tag, table);
    }
    meaning(file).map(|meaning| meaning.colour)
}

#[test]
fn a_palette_becomes_the_luma_of_its_entries() {
    let luma = |luma: &[u16]| {
        Ok(Colour::Palette {
            first: 2,
            luma: luma.to_vec(),
        })
    };
    // White, red, and blue; the weights are those of pictures.
    let tables: [&[u16]; 3] = [&[65535, 65535, 0], &[65535, 0, 0], &[65535, 0, 65535]];
    assert_eq!(with_palette(16, tables, false, 3), luma(&[65535, 19595, 7471]));
    let tables: [&[u16]; 3] = [&[255, 255, 0], &[255, 0, 0], &[255, 0, 255]];
    assert_eq!(with_palette(8, tables, false, 3), luma(&[65535, 19595, 7471]));
    assert!(with_palette(16, [&[1], &[1], &[]], false, 1).is_err());
}

#[test]
fn segmented_palettes_are_expanded() {
    // Two values, a line of three up to 50, then all of this again.
    let table: &[u16] = &[0, 2, 10, 20, 1, 3, 50, 2, 2, 0, 0];
    let expected = [10, 20, 30, 40, 50, 10, 20, 30, 40, 50];
    let expanded = with_palette(16, [table; 3], true, 10);
    let Ok(Colour::Palette { luma, .. }) = expanded else {
        panic!("{expanded:?}")
    };
    assert_eq!(luma, expected);
    let down: &[u16] = &[0, 1, 50, 1, 3, 20];
    let Ok(Colour::Palette { luma, .. }) = with_palette(16, [down; 3], true, 4) else {
        panic!()
    };
    assert_eq!(luma, [50, 40, 30, 20]);
    for wrong in [
        &[1, 3, 50][..],
        &[0, 9, 1, 2],
        &[0, 0],
        &[3, 1, 1],
        &[0, 1, 7, 2, 1, 6, 0],
        &[0, 1, 7, 2, 2, 0, 0],
        &[0, 3, 1, 2, 3],
    ] {
        assert!(
            matches!(
                with_palette(16, [wrong; 3], true, 2),
                Err(DicomError::Malformed { .. } | DicomError::Value { .. })
            ),
            "{wrong:?}"
        );
    }
}

#[test]
fn windows_are_not_for_colours() {
    let file = Builder::colour(LITTLE, "RGB")
        .ds(0x0028_1050, "40")
        .ds(0x0028_1051, "0");
    let meaning = meaning(file).unwrap();
    assert_eq!((meaning.colour, meaning.voi), (Colour::AsIs, Voi::Full));
}
