//! Made trees of DICOM files.

use contract::dataset::Attribute;
use tempfile::TempDir;

use super::*;
use crate::data::fixtures::{dicom::DicomFile, text};

const PATIENT: u32 = 0x0010_0020;
const INSTANCE: u32 = 0x0008_0018;

fn collections(classes: &[(&str, u32)]) -> DicomLabels {
    DicomLabels::Collections(
        classes
            .iter()
            .map(|(name, class)| ((*name).to_owned(), *class))
            .collect(),
    )
}

fn wishes<'a>(institution: &'a Institution, labels: &'a DicomLabels) -> Wishes<'a> {
    Wishes {
        institution,
        labels,
        slices: Slices::Middle,
        burned_in: false,
    }
}

fn names(loaded: &Loaded) -> Vec<&str> {
    loaded.rows.iter().map(|row| row.image.as_str()).collect()
}

#[test]
fn collections_are_institutions_and_classes_and_the_rest_is_counted() {
    let dir = TempDir::new().unwrap();
    let root = dir.path();
    DicomFile::new(3).write(root, "b/deep/er/3");
    DicomFile::new(1).write(root, "a/1.dcm");
    DicomFile::new(2).write(root, "b/2.xyz");
    DicomFile::new(4).write(root, "other/4.dcm");
    DicomFile::new(5).write(root, "5.dcm");
    // The same instance again, a file of another kind, an object without an image.
    DicomFile::new(1).write(root, "b/again.dcm");
    text(root, "a/notes.txt", "notes");
    DicomFile::new(6)
        .text(0x0008_0016, "UI", "1.2.840.10008.5.1.4.1.1.481.3")
        .text(0x0008_0060, "CS", "RTSTRUCT")
        .text(0x0028_0010, "US", "")
        .text(0x7fe0_0010, "OW", "")
        .write(root, "a/structures");
    let (institution, labels) = (Institution::Collection, collections(&[("a", 0), ("b", 7)]));
    let loaded = load(root, &wishes(&institution, &labels)).unwrap();
    assert_eq!(names(&loaded), ["a/1.dcm", "b/2.xyz", "b/deep/er/3"]);
    let said = loaded
        .rows
        .iter()
        .map(|row| (row.patient.as_str(), row.labels[0].as_str(), row.site.as_deref()));
    let expected = [
        ("p1", "0", Some("a")),
        ("p2", "7", Some("b")),
        ("p3", "7", Some("b")),
    ];
    assert!(said.eq(expected));
    assert_eq!(loaded.rows[0].origin, Origin::File(root.join("a/1.dcm")));
    assert_eq!(loaded.unusable, []);
    let expected = [
        (OTHER_COLLECTION, 2),
        (NOT_DICOM, 1),
        (SAME_INSTANCE, 1),
        ("a DICOM object without an image (RTSTRUCT)", 1),
    ];
    let expected = expected.map(|(reason, count)| (reason.to_owned(), count));
    assert_eq!(loaded.left_out.into_inner(), BTreeMap::from(expected));
}

#[test]
fn attributes_are_institutions_labels_and_more() {
    let dir = TempDir::new().unwrap();
    let root = dir.path();
    DicomFile::new(1)
        .text(0x0008_0080, "LO", "North Hospital")
        .text(0x0018_0015, "CS", "CHEST")
        .text(0x0018_5101, "CS", "PA")
        .text(0x0010_0040, "CS", "F")
        .text(0x0010_1010, "AS", "037Y")
        .text(0x0008_0070, "LO", "Maker")
        .text(0x0008_1030, "LO", "Mass | Edema")
        .write(root, "1");
    DicomFile::new(2)
        .text(0x0008_1030, "LO", "Mass\\Hernia")
        .write(root, "2");
    DicomFile::new(3).write(root, "3");
    let institution = Institution::Attribute("InstitutionName".to_owned());
    let labels = DicomLabels::Attribute("StudyDescription".to_owned());
    let loaded = load(root, &wishes(&institution, &labels)).unwrap();
    assert_eq!(names(&loaded), ["1", "2"]);
    assert_eq!(loaded.rows[0].labels, ["Mass", "Edema"]);
    assert_eq!(loaded.rows[1].labels, ["Mass", "Hernia"]);
    assert_eq!(loaded.rows[0].site.as_deref(), Some("North Hospital"));
    assert_eq!(loaded.rows[1].site, None);
    let expected = [
        (Attribute::View, "PA"),
        (Attribute::Sex, "F"),
        (Attribute::AgeBand, "30-39"),
        (Attribute::Manufacturer, "Maker"),
    ];
    let expected = expected.map(|(attribute, value)| (attribute, value.to_owned()));
    assert_eq!(loaded.rows[0].attributes, expected.into());
    assert!(loaded.rows[1].attributes.is_empty());
    let [nobody] = loaded.unusable.as_slice() else {
        panic!("{:?}", loaded.unusable);
    };
    assert_eq!(
        (nobody.image.as_str(), nobody.reason.as_str()),
        ("3", "`StudyDescription` is not there or empty")
    );
}

#[test]
fn the_middle_slice_is_taken_by_where_it_is_and_frames_by_their_number() {
    let dir = TempDir::new().unwrap();
    let root = dir.path();
    for (number, depth) in [(1, 50.0), (2, -3.5), (3, 10.0), (4, 20.0), (5, 30.0)] {
        DicomFile::new(number)
            .text(PATIENT, "LO", "one")
            .slice("1.2.9", depth)
            .write(root, &format!("a/{number}"));
    }
    DicomFile::new(6).frames(5).write(root, "a/frames");
    DicomFile::new(7).write(root, "a/z1");
    DicomFile::new(8).write(root, "a/z2");
    let (institution, labels) = (Institution::Collection, collections(&[("a", 0)]));
    let mut wishes = wishes(&institution, &labels);
    let loaded = load(root, &wishes).unwrap();
    assert_eq!(names(&loaded), ["a/4", "a/frames#3", "a/z1", "a/z2"]);
    let path = root.join("a/frames");
    assert_eq!(loaded.rows[1].origin, Origin::Frame { path, frame: 2 });
    assert_eq!(loaded.left_out.into_inner(), [(OTHER_SLICE.to_owned(), 8)].into());
    wishes.slices = Slices::Every(2);
    let loaded = load(root, &wishes).unwrap();
    // By depth: 2, 3, 4, 5, 1.
    assert_eq!(
        names(&loaded),
        [
            "a/1",
            "a/2",
            "a/4",
            "a/frames#1",
            "a/frames#3",
            "a/frames#5",
            "a/z1",
            "a/z2"
        ]
    );
}

#[test]
fn images_of_nobody_or_with_burned_in_text_or_broken_headers_are_unusable_by_name() {
    let dir = TempDir::new().unwrap();
    let root = dir.path();
    DicomFile::new(1).write(root, "a/1");
    DicomFile::new(2).text(PATIENT, "LO", "").write(root, "a/2");
    DicomFile::new(3)
        .text(0x0028_0301, "CS", "YES")
        .write(root, "a/3");
    DicomFile::new(4).text(0x0028_0301, "CS", "NO").write(root, "a/4");
    let whole = DicomFile::new(5).bytes();
    std::fs::write(root.join("a/5"), &whole[..200]).unwrap();
    text(root, "a/6.dcm", "no DICOM at all");
    DicomFile::new(7).text(0x0028_0010, "US", "").write(root, "a/7");
    let (institution, labels) = (Institution::Collection, collections(&[("a", 0)]));
    let mut wishes = wishes(&institution, &labels);
    let loaded = load(root, &wishes).unwrap();
    assert_eq!(names(&loaded), ["a/1", "a/4"]);
    let unusable: Vec<_> = loaded
        .unusable
        .iter()
        .map(|skipped| skipped.image.as_str())
        .collect();
    assert_eq!(unusable, ["a/2", "a/3", "a/5", "a/6.dcm", "a/7"]);
    for (skipped, part) in loaded.unusable.iter().zip([
        "`PatientID`",
        "`BurnedInAnnotation` is YES",
        "",
        "DICOM",
        "`Rows`",
    ]) {
        assert!(skipped.reason.contains(part), "{skipped:?}");
    }
    wishes.burned_in = true;
    assert_eq!(names(&load(root, &wishes).unwrap()), ["a/1", "a/3", "a/4"]);
}

#[test]
fn instances_without_a_uid_are_never_taken_for_the_same() {
    let dir = TempDir::new().unwrap();
    for name in ["a/1", "a/2"] {
        DicomFile::new(1).text(INSTANCE, "UI", "").write(dir.path(), name);
    }
    let (institution, labels) = (Institution::Collection, collections(&[("a", 0)]));
    assert_eq!(
        load(dir.path(), &wishes(&institution, &labels))
            .unwrap()
            .rows
            .len(),
        2
    );
}

#[test]
fn a_collection_that_is_not_there_and_a_folder_without_images_are_refused() {
    let dir = TempDir::new().unwrap();
    DicomFile::new(1).write(dir.path(), "a/1");
    text(dir.path(), "b/notes", "notes");
    let institution = Institution::Collection;
    let refused = |classes: &[(&str, u32)], parts: &[&str]| {
        let error = load(dir.path(), &wishes(&institution, &collections(classes))).unwrap_err();
        assert_eq!(error.exit, JobExit::DataUnfit);
        assert!(error.help.is_some());
        for part in parts {
            assert!(error.message.contains(part), "`{error}` lacks `{part}`");
        }
    };
    refused(&[("a", 0), ("A", 1)], &["no folder `A`"]);
    refused(&[("b", 0)], &["1 files", NOT_DICOM]);
    let labels = DicomLabels::Attribute("NoSuchKeyword".to_owned());
    let error = load(dir.path(), &wishes(&institution, &labels)).unwrap_err();
    assert_eq!(error.exit, JobExit::InputInvalid);
    assert!(error.message.contains("NoSuchKeyword"), "{error}");
}
