//! Attributes, and files that are not as they should be.

use std::io::Write;

use flate2::{Compression, write::DeflateEncoder};
use proptest::prelude::*;

use super::{
    super::{DicomError, Tag, attributes, open},
    builder::{Builder, LITTLE},
};
use crate::cxr::{Samples, Wanted};

const PIXELS: [u16; 6] = [0, 1, 2, 300, 4000, 4095];

fn chest(syntax: &str) -> Builder {
    Builder::file(syntax)
        .text(Tag(0x0008_0005), b"CS", "ISO_IR 192")
        .text(Tag(0x0008_0016), b"UI", "1.2.840.10008.5.1.4.1.1.1.1")
        .text(Tag(0x0008_0018), b"UI", "1.2.3.4")
        .text(Tag(0x0008_0020), b"DA", "20240301")
        .text(Tag(0x0008_0060), b"CS", "DX")
        .text(Tag(0x0008_0070), b"LO", "Maker")
        .text(Tag(0x0008_0080), b"LO", "Krankenhaus Süd ")
        .text(Tag(0x0010_0010), b"PN", "Doe^Jane")
        .text(Tag(0x0010_0020), b"LO", "p7")
        .text(Tag(0x0010_0030), b"DA", "19800302")
        .text(Tag(0x0010_0040), b"CS", "F")
        .text(Tag(0x0018_0015), b"CS", "CHEST")
        .text(Tag(0x0018_5101), b"CS", "PA")
        .text(Tag(0x0020_000D), b"UI", "1.2.3")
        .text(Tag(0x0020_000E), b"UI", "1.2.3.1")
        .text(Tag(0x0020_0013), b"IS", "12")
        .ds(0x0020_0032, "1\\-2.5\\3e1")
        .ds(0x0020_0037, "1\\0\\0\\0\\1\\0")
        .text(Tag(0x0020_0062), b"CS", "U")
        .us(0x0028_0010, &[2])
        .text(Tag(0x0028_0301), b"CS", "YES")
        .text(Tag(0x0040_0254), b"LO", "chest pa")
}

#[test]
fn attributes_are_the_same_however_they_are_written() {
    for syntax in [
        LITTLE,
        "1.2.840.10008.1.2",
        "1.2.840.10008.1.2.2",
        "1.2.840.10008.1.2.4.90",
    ] {
        let bytes = chest(syntax).bytes;
        let read = attributes(
            &bytes,
            &["Rows", "PerformedProcedureStepDescription", "PatientComments"],
        )
        .unwrap();
        assert_eq!(read.transfer_syntax.uid, syntax);
        assert_eq!(read.sop_instance.as_deref(), Some("1.2.3.4"));
        assert_eq!(read.study.as_deref(), Some("1.2.3"));
        assert_eq!(read.series.as_deref(), Some("1.2.3.1"));
        assert_eq!(read.institution_name.as_deref(), Some("Krankenhaus Süd"));
        assert_eq!(read.patient_id.as_deref(), Some("p7"));
        assert_eq!(read.sex.as_deref(), Some("F"));
        assert_eq!(read.age_years, Some(43));
        assert_eq!(read.instance_number, Some(12));
        assert_eq!(read.position, Some([1.0, -2.5, 30.0]));
        assert_eq!(read.orientation, Some([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]));
        assert_eq!(read.laterality.as_deref(), Some("U"));
        assert_eq!((read.rows, read.columns), (Some(2), None));
        assert_eq!(read.burned_in, Some(true));
        assert_eq!(read.slice_location, None);
        let asked: Vec<(&str, &str)> = read
            .asked
            .iter()
            .map(|(key, text)| (key.as_str(), text.as_str()))
            .collect();
        assert_eq!(
            asked,
            [("PerformedProcedureStepDescription", "chest pa"), ("Rows", "2")]
        );
    }
}

#[test]
fn an_attribute_not_on_the_list_is_not_kept() {
    let bytes = chest(LITTLE).bytes;
    let read = attributes(&bytes, &[]).unwrap();
    let kept = format!("{read:?}");
    assert!(kept.contains("Krankenhaus") && !kept.contains("Doe"), "{kept}");
    assert_eq!(
        attributes(&bytes, &["PatientName"]).unwrap().asked["PatientName"],
        "Doe^Jane"
    );
}

#[test]
fn a_keyword_that_no_attribute_has_and_one_without_text_are_refused() {
    let bytes = chest(LITTLE).sequence(0x0040_0275, &[], false).bytes;
    let keyword = "PatientNam".to_owned();
    assert_eq!(
        attributes(&bytes, &["PatientNam"]),
        Err(DicomError::Keyword { keyword })
    );
    let keyword = "RequestAttributesSequence".to_owned();
    // An empty one is as good as none.
    assert!(attributes(&bytes, &[&keyword]).unwrap().asked.is_empty());
    let bytes = chest(LITTLE).sequence(0x0040_0275, &[vec![]], false).bytes;
    assert_eq!(
        attributes(&bytes, &[&keyword]),
        Err(DicomError::NotText {
            keyword: keyword.clone()
        })
    );
}

#[test]
fn a_patients_age_comes_before_the_date_of_birth() {
    let bytes = chest(LITTLE).text(Tag(0x0010_1010), b"AS", "030M").bytes;
    assert_eq!(attributes(&bytes, &[]).unwrap().age_years, Some(2));
}

#[test]
fn malformed_attributes_that_no_pixel_needs_are_none() {
    let bytes = Builder::file(LITTLE)
        .text(Tag(0x0010_1010), b"AS", "old")
        .text(Tag(0x0020_0013), b"IS", "x")
        .ds(0x0020_0032, "1\\2")
        .ds(0x0020_1041, "nan")
        .text(Tag(0x0028_0301), b"CS", "MAYBE")
        .bytes;
    let read = attributes(&bytes, &[]).unwrap();
    assert_eq!(
        (read.age_years, read.instance_number, read.position),
        (None, None, None)
    );
    assert_eq!((read.slice_location, read.burned_in), (None, None));
}

#[test]
fn files_without_preamble_or_meta_information_are_read_as_they_look() {
    let file = Builder::grey(LITTLE).ow(0x7FE0_0010, &PIXELS).bytes;
    let whole = open(&file).unwrap().frame(0, Wanted::Full).unwrap().into_owned();
    let set = 132 + 28;
    for (syntax, start) in [
        (LITTLE, 132),
        (LITTLE, set),
        ("1.2.840.10008.1.2", set - 2),
        ("1.2.840.10008.1.2.2", set),
    ] {
        let file = Builder::grey(syntax).ow(0x7FE0_0010, &PIXELS).bytes;
        let object = open(&file[start..]).unwrap_or_else(|error| panic!("{syntax} from {start}: {error}"));
        assert_eq!(object.attributes().transfer_syntax.uid, syntax);
        assert_eq!(object.frame(0, Wanted::Full).unwrap(), whole);
    }
}

#[test]
fn a_data_set_that_is_not_as_its_transfer_syntax_says_is_read_as_it_looks() {
    let implicit = Builder::grey("1.2.840.10008.1.2").ow(0x7FE0_0010, &PIXELS).bytes;
    let mut file = Builder::file(LITTLE).bytes;
    file.extend(&implicit[132 + 26..]);
    let object = open(&file).unwrap();
    let frame = object.frame(0, Wanted::Full).unwrap();
    assert_eq!(frame.samples, Samples::U16(PIXELS.to_vec().into()));
}

#[test]
fn what_is_no_dicom_file_is_refused() {
    for bytes in [&b""[..], b"\x89PNG\r\n\x1a\n....", &[0; 200], b"\x08\x00"] {
        assert!(
            matches!(open(bytes), Err(DicomError::NotDicom { .. })),
            "{bytes:?}"
        );
    }
}

#[test]
fn a_file_without_pixels_says_what_it_is() {
    let plan = Builder::file(LITTLE)
        .text(Tag(0x0008_0016), b"UI", "1.2.840.10008.5.1.4.1.1.481.5")
        .bytes;
    assert_eq!(
        open(&plan).unwrap_err().to_string(),
        "holds no image: SOP class RT Plan"
    );
    let unknown = Builder::file(LITTLE).text(Tag(0x0008_0016), b"UI", "1.2.3").bytes;
    assert_eq!(
        open(&unknown).unwrap_err().to_string(),
        "holds no image: SOP class 1.2.3"
    );
    let float = Builder::grey(LITTLE).element(0x7FE0_0008, b"OF", &[0; 24]);
    assert_eq!(
        open(&float.bytes).unwrap_err().to_string(),
        "an image of floating-point numbers is not supported"
    );
}

#[test]
fn other_transfer_syntaxes_are_refused_by_name() {
    for (uid, name) in [
        (
            "1.2.840.10008.1.2.4.102",
            "MPEG-4 AVC/H.264 High Profile / Level 4.1",
        ),
        ("1.2.840.10008.1.2.4.110", "JPEG XL Lossless"),
        ("1.2.840.113619.5.2", "1.2.840.113619.5.2"),
    ] {
        let file = Builder::grey(uid).fragments(&[], &[&[0, 0]]);
        let refusal = open(&file).unwrap_err();
        let expected = DicomError::TransferSyntax {
            uid: uid.to_owned(),
            name: name.to_owned(),
        };
        assert_eq!(refusal, expected);
        assert_eq!(attributes(&file, &[]).unwrap().transfer_syntax.name, name);
    }
}

#[test]
fn elements_behind_sequences_are_found_whatever_their_lengths() {
    let inner = Builder::item()
        .us(0x0028_0010, &[77])
        .sequence(0x0040_0275, &[vec![], vec![]], true);
    for undefined in [false, true] {
        let file = Builder::file(LITTLE)
            .sequence(
                0x0008_1140,
                &[inner.bytes.clone(), inner.bytes.clone()],
                undefined,
            )
            .us(0x0028_0010, &[2]);
        assert_eq!(attributes(&file.bytes, &[]).unwrap().rows, Some(2));
    }
    // Of an unknown value of undefined length, what is in it is implicit.
    let mut file = Builder::file(LITTLE).head(Tag(0x0009_1001), b"UN", u32::MAX);
    let implicit = Builder::file("1.2.840.10008.1.2").us(0x0028_0010, &[77]).bytes[132 + 26..].to_vec();
    file = file.head(Tag(0xFFFE_E000), b"  ", u32::MAX);
    file.bytes.extend(implicit);
    file = file
        .head(Tag(0xFFFE_E00D), b"  ", 0)
        .head(Tag(0xFFFE_E0DD), b"  ", 0)
        .us(0x0028_0010, &[2]);
    assert_eq!(attributes(&file.bytes, &[]).unwrap().rows, Some(2));
}

#[test]
fn sequences_within_sequences_end_somewhere() {
    let mut deep = Builder::file(LITTLE);
    for _ in 0..10_000 {
        deep = deep
            .head(Tag(0x0008_1140), b"SQ", u32::MAX)
            .head(Tag(0xFFFE_E000), b"  ", u32::MAX);
    }
    assert!(matches!(
        attributes(&deep.bytes, &[]),
        Err(DicomError::TooLarge { .. })
    ));
}

#[test]
fn a_length_beyond_the_file_is_refused_with_what_is_there() {
    let mut file = Builder::file(LITTLE).head(Tag(0x0009_1001), b"UN", 0xFFFF_FFF0);
    file.bytes.extend([0; 10]);
    let truncated = DicomError::Truncated {
        tag: Tag(0x0009_1001),
        needed: 0xFFFF_FFF0,
        there: 10,
    };
    assert_eq!(attributes(&file.bytes, &[]), Err(truncated));
}

fn deflated(set: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Builder::file("1.2.840.10008.1.2.1.99").bytes, Compression::best());
    encoder.write_all(set).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_deflated_file_is_as_the_one_it_was_made_of() {
    let file = Builder::grey(LITTLE).ow(0x7FE0_0010, &PIXELS).bytes;
    let deflated_file = deflated(&file[132 + 28..]);
    let (plain, object) = (open(&file).unwrap(), open(&deflated_file).unwrap());
    assert_eq!(object.frame(0, Wanted::Full), plain.frame(0, Wanted::Full));
    assert_eq!(object.meaning(0), plain.meaning(0));
    let cut = &deflated_file[..deflated_file.len() - 12];
    assert!(
        open(cut)
            .and_then(|object| object.frame(0, Wanted::Full).map(|_| ()))
            .is_err()
    );
}

#[test]
fn a_deflated_file_of_much_padding_is_inflated_as_far_as_its_pixels_only() {
    let mut set = Builder::grey(LITTLE).ow(0x7FE0_0010, &PIXELS).bytes[132 + 28..].to_vec();
    set.resize(40 << 20, 0);
    let file = deflated(&set);
    assert!(file.len() < 100_000);
    let object = open(&file).unwrap();
    assert!(
        object.read.data.len() < 1 << 20,
        "{} bytes inflated",
        object.read.data.len()
    );
    assert!(object.frame(0, Wanted::Full).is_ok());
    // An element that is said to be longer than may be.
    let mut bomb = Builder::file(LITTLE)
        .head(Tag(0x0009_1001), b"UN", 0xFFFF_FFF0)
        .bytes[132 + 28..]
        .to_vec();
    bomb.resize(8 << 20, 0);
    assert!(matches!(
        attributes(&deflated(&bomb), &[]),
        Err(DicomError::Truncated { .. })
    ));
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..300), preamble: bool) {
        let bytes = if preamble { [Builder::file(LITTLE).bytes, bytes].concat() } else { bytes };
        if let Ok(object) = open(&bytes) {
            let _ = (object.frame(0, Wanted::Full).is_ok(), object.meaning(0).is_ok());
        }
    }

    #[test]
    fn a_file_cut_anywhere_is_refused(cut in 0_usize..1000) {
        let file = Builder::grey(LITTLE)
            .sequence(0x0008_1140, &[Builder::item().us(0x0028_0010, &[7]).bytes], true)
            .ow(0x7FE0_0010, &PIXELS)
            .bytes;
        let cut = cut % file.len();
        let read = open(&file[..cut]).and_then(|object| object.frame(0, Wanted::Full).map(|_| ()));
        prop_assert!(read.is_err());
    }

    #[test]
    fn a_changed_byte_makes_no_panic(at in 0_usize..1000, value: u8) {
        let mut file = Builder::grey(LITTLE)
            .ds(0x0028_1050, "40")
            .ds(0x0028_1051, "400")
            .sequence(0x5200_9229, &[Builder::item().bytes], true)
            .ow(0x7FE0_0010, &PIXELS)
            .bytes;
        let at = 132 + at % (file.len() - 132);
        file[at] = value;
        if let Ok(object) = open(&file) {
            let _ = (object.frame(0, Wanted::Full).is_ok(), object.meaning(0).is_ok());
        }
    }
}
