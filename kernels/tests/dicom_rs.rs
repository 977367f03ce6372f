//! Files that dicom-rs writes are read as they were meant, in every uncompressed encoding.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
use dicom_core::{DataElement, PrimitiveValue, VR, value::DataSetSequence};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use kernels::cxr::{Samples, Voi, VoiFunction, Wanted, dicom};

const WORDS: [u16; 6] = [0, 1, 300, 4095, 2048, 77];

fn text(tag: dicom_core::Tag, vr: VR, value: &str) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, vr, PrimitiveValue::from(value))
}

fn number(tag: dicom_core::Tag, value: u16) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, VR::US, PrimitiveValue::from(value))
}

fn written(syntax: &str) -> Vec<u8> {
    let item = InMemDicomObject::from_element_iter([text(tags::CODE_MEANING, VR::LO, "chest")]);
    let object = InMemDicomObject::from_element_iter([
        text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192"),
        text(tags::SOP_CLASS_UID, VR::UI, "1.2.840.10008.5.1.4.1.1.1.1"),
        text(tags::SOP_INSTANCE_UID, VR::UI, "1.2.3"),
        text(tags::MODALITY, VR::CS, "DX"),
        text(tags::PATIENT_ID, VR::LO, "Müller-7"),
        text(tags::PATIENT_AGE, VR::AS, "058Y"),
        text(tags::VIEW_POSITION, VR::CS, "PA"),
        text(tags::INSTITUTION_NAME, VR::LO, "Klinik"),
        DataElement::new(
            tags::PROCEDURE_CODE_SEQUENCE,
            VR::SQ,
            DataSetSequence::from(vec![item]),
        ),
        number(tags::SAMPLES_PER_PIXEL, 1),
        text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME1"),
        number(tags::ROWS, 2),
        number(tags::COLUMNS, 3),
        number(tags::BITS_ALLOCATED, 16),
        number(tags::BITS_STORED, 12),
        number(tags::HIGH_BIT, 11),
        number(tags::PIXEL_REPRESENTATION, 0),
        text(tags::WINDOW_CENTER, VR::DS, "2000\\100"),
        text(tags::WINDOW_WIDTH, VR::DS, "3600.5\\10"),
        text(tags::VOILUT_FUNCTION, VR::CS, "SIGMOID"),
        DataElement::new(
            tags::PIXEL_DATA,
            VR::OW,
            PrimitiveValue::U16(WORDS.as_slice().into()),
        ),
    ]);
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(syntax)
        .media_storage_sop_class_uid("1.2.840.10008.5.1.4.1.1.1.1")
        .media_storage_sop_instance_uid("1.2.3");
    let mut bytes = Vec::new();
    object.with_meta(meta).unwrap().write_all(&mut bytes).unwrap();
    bytes
}

#[test]
fn what_dicom_rs_writes_is_what_is_read() {
    for syntax in [
        uids::IMPLICIT_VR_LITTLE_ENDIAN,
        uids::EXPLICIT_VR_LITTLE_ENDIAN,
        "1.2.840.10008.1.2.2",
    ] {
        let bytes = written(syntax);
        let attributes = dicom::attributes(&bytes, &["PatientSex", "InstitutionName"]).unwrap();
        assert_eq!(attributes.transfer_syntax.uid, syntax);
        assert_eq!(attributes.patient_id.as_deref(), Some("Müller-7"));
        assert_eq!(
            (attributes.modality.as_deref(), attributes.age_years),
            (Some("DX"), Some(58))
        );
        assert_eq!(
            (attributes.rows, attributes.columns, attributes.bits),
            (Some(2), Some(3), Some(12))
        );
        let asked: Vec<_> = attributes
            .asked
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        assert_eq!(asked, [("InstitutionName", "Klinik")]);
        let object = dicom::open(&bytes).unwrap();
        assert_eq!(
            object.frame(0, Wanted::Full).unwrap().samples,
            Samples::U16(WORDS.as_slice().into())
        );
        let meaning = object.meaning(0).unwrap();
        let function = VoiFunction::Sigmoid;
        assert_eq!(
            meaning.voi,
            Voi::Window {
                centre: 2000.0,
                width: 3600.5,
                function
            }
        );
        assert!(meaning.inverted);
        assert_eq!((meaning.stored.bits, meaning.stored.high_bit), (12, 11));
    }
}
