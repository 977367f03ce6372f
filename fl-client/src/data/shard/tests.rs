//! Shards that read back, and every file that is none.

use std::{collections::BTreeMap, fs};

use contract::{
    exit::JobExit,
    ids::ClientId,
    tensors::{TensorInfo, encode_header},
    units::SampleCount,
};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn header(samples: u64, side: u32) -> Header {
    Header {
        kind: TensorKind::Shard,
        experiment: "e1".parse().unwrap(),
        dataset: "nih".parse().unwrap(),
        spec_digest: "0".repeat(64).parse().unwrap(),
        synthetic: false,
        round: None,
        client: Some(ClientId(3)),
        num_samples: SampleCount(samples),
        arch: None,
        channels: 1,
        image_size: side,
        target: contract::training::Target::Classes,
        num_classes: 2,
        classes: vec!["No Finding".to_owned(), "not No Finding".to_owned()],
        normalize: Some((0.5, 0.25)),
    }
}

const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Contents of these labels, two samples a patient.
fn write_of(
    path: &Path,
    header: &Header,
    depth: Depth,
    labels: &[u8],
    fill: impl FnOnce(&mut Rows<'_>) -> Result<(), JobError>,
) -> Result<(), JobError> {
    let samples = labels.len() / label_columns(header);
    let patients: Vec<PatientHash> = (0..samples).map(|sample| [sample as u8 / 2; 16]).collect();
    let contents = Contents {
        header,
        split: Split::Train,
        depth,
        labels,
        patients: &patients,
        source_digest: DIGEST,
    };
    write(path, &contents, fill)
}

fn write_three(path: &Path) {
    write_of(path, &header(3, 2), Depth::U8, &[0, 1, 1], |rows| {
        (0..3).try_for_each(|sample| rows.push(&[sample, 10, 20, 255]))
    })
    .unwrap();
}

/// Name, type and shape.
type Tensor<'a> = (&'a str, &'a str, &'a [usize]);

/// A file of these tensors, all zeros.
fn file_of(path: &Path, header: &Header, tensors: &[Tensor<'_>]) {
    raw_file_of(path, &metadata(header, "1", DIGEST), tensors);
}

fn metadata(header: &Header, patients: &str, digest: &str) -> BTreeMap<String, String> {
    let mut metadata = header.to_metadata();
    metadata.insert(NUM_PATIENTS.to_owned(), patients.to_owned());
    metadata.insert(SOURCE_DIGEST.to_owned(), digest.to_owned());
    metadata.insert(SHARD_SPLIT.to_owned(), "train".to_owned());
    metadata
}

const IMAGES: Tensor<'static> = ("images", "U8", &[3, 2, 2]);
const LABELS: Tensor<'static> = ("labels", "U8", &[3]);
const PATIENTS: Tensor<'static> = ("patients", "U8", &[3, 16]);

fn raw_file_of(path: &Path, metadata: &BTreeMap<String, String>, tensors: &[Tensor<'_>]) {
    let bytes = |dtype: &str, shape: &[usize]| {
        shape.iter().product::<usize>()
            * match dtype {
                "F32" => 4,
                "U16" => 2,
                _ => 1,
            }
    };
    let infos: Vec<_> = tensors
        .iter()
        .map(|(name, dtype, shape)| TensorInfo {
            name,
            dtype,
            shape,
            bytes: bytes(dtype, shape),
        })
        .collect();
    let mut file = encode_header(metadata, &infos);
    file.resize(file.len() + infos.iter().map(|info| info.bytes).sum::<usize>(), 0);
    fs::write(path, file).unwrap();
}

fn refusal(path: &Path) -> JobError {
    Shard::open(path).expect_err("a file that is no shard was opened")
}

#[track_caller]
fn assert_refused(path: &Path, found: &str, expected: &str) {
    let error = refusal(path);
    assert_eq!(error.exit, JobExit::InputInvalid, "{error}");
    assert!(error.message.contains(found), "`{error}` lacks `{found}`");
    assert!(error.message.contains(expected), "`{error}` lacks `{expected}`");
    assert_eq!(error.file.as_deref(), Some(path));
    assert_eq!(error.help.as_deref(), Some(WAY_OUT));
}

#[test]
fn a_shard_reads_back_as_it_was_written() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("c0.safetensors");
    write_three(&path);
    let shard = Shard::open(&path).unwrap();
    assert_eq!(shard.header(), &header(3, 2));
    assert_eq!((shard.len(), shard.is_empty()), (3, false));
    assert_eq!(shard.labels(), [0, 1, 1]);
    assert_eq!(shard.images(), [0, 10, 20, 255, 1, 10, 20, 255, 2, 10, 20, 255]);
    assert_eq!(shard.pixels(), Pixels::U8(shard.images()));
    assert_eq!(shard.normalize(), (0.5, 0.25));
    assert_eq!(shard.patients(), [[0; 16], [0; 16], [1; 16]]);
    assert_eq!((shard.num_patients(), shard.source_digest()), (2, DIGEST));
}

#[test]
fn sixteen_bits_a_pixel_read_back_in_their_order() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("c0.safetensors");
    let values = [0u16, 1, 256, 65_535].map(u16::to_le_bytes);
    write_of(&path, &header(2, 2), Depth::U16, &[0, 1], |rows| {
        rows.push(values.as_flattened())?;
        rows.push(&[7; 8])
    })
    .unwrap();
    let shard = Shard::open(&path).unwrap();
    assert_eq!(
        (shard.depth(), shard.len(), shard.pixels().len()),
        (Depth::U16, 2, 8)
    );
    assert_eq!(shard.pixels().slice(0..4), Pixels::U16(&values));
    assert_eq!(shard.pixels().slice(4..8), Pixels::U16(&[[7; 2]; 4]));
    assert_eq!(shard.patients().len(), 2);
}

/// Three samples of two labels.
fn labelled() -> Header {
    Header {
        target: Target::Labels,
        ..header(3, 1)
    }
}

#[test]
fn any_number_of_labels_an_image_reads_back() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("c0.safetensors");
    let labels = [0, 0, 1, 0, 1, 1];
    write_of(&path, &labelled(), Depth::U8, &labels, |rows| {
        (0..3).try_for_each(|sample| rows.push(&[sample]))
    })
    .unwrap();
    let shard = Shard::open(&path).unwrap();
    assert_eq!((shard.len(), shard.label_columns()), (3, 2));
    assert_eq!(shard.labels(), labels);
    assert_eq!(shard.header().target, Target::Labels);
    assert_eq!(shard.patients().len(), 3);
}

#[test]
fn labels_of_another_shape_or_value_are_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("odd");
    let images = ("images", "U8", &[3, 1, 1][..]);
    file_of(&path, &labelled(), &[images, LABELS, PATIENTS]);
    assert_refused(&path, "shape [3]", "[3, 2]");
    file_of(
        &path,
        &header(3, 1),
        &[images, ("labels", "U8", &[3, 2]), PATIENTS],
    );
    assert_refused(&path, "shape [3, 2]", "[3]");
    write_of(&path, &labelled(), Depth::U8, &[0, 0, 1, 0, 1, 1], |rows| {
        (0..3).try_for_each(|sample| rows.push(&[sample]))
    })
    .unwrap();
    let mut bytes = fs::read(&path).unwrap();
    // The last label is before the patients.
    let last = bytes.len() - 3 * 16 - 1;
    assert_eq!(bytes[last], 1);
    bytes[last] = 2;
    fs::write(&path, bytes).unwrap();
    assert_refused(&path, "sample 2 has the label 2", "0 or 1 for each label");
    let error = write_of(&path, &labelled(), Depth::U8, &[0, 0, 1, 0, 1, 2], |_| Ok(())).unwrap_err();
    assert_eq!(error.exit, JobExit::Unexpected);
}

#[test]
fn the_side_of_the_splits_is_said_and_goes_with_the_client() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("odd");
    let tensors = [IMAGES, LABELS, PATIENTS];
    let nobody = Header {
        client: None,
        ..header(3, 2)
    };
    for (header, split, found) in [
        (&header(3, 2), "test", "`test` and client 3"),
        (&header(3, 2), "validation", "`validation` and client 3"),
        (&nobody, "train", "`train` and no client"),
        (&nobody, "", "split ``"),
        (&nobody, "TEST", "split `TEST`"),
    ] {
        let mut metadata = metadata(header, "1", DIGEST);
        metadata.insert(SHARD_SPLIT.to_owned(), split.to_owned());
        raw_file_of(&path, &metadata, &tensors);
        assert_refused(&path, found, "expected");
    }
    for split in [Split::Validation, Split::Test] {
        let mut metadata = metadata(&nobody, "1", DIGEST);
        metadata.insert(SHARD_SPLIT.to_owned(), split.as_str().to_owned());
        raw_file_of(&path, &metadata, &tensors);
        assert_eq!(Shard::open(&path).unwrap().split(), split);
    }
}

#[test]
fn a_header_made_longer_with_blanks_reads_the_same() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("c0.safetensors");
    let header = header(2, 2);
    let contents = Contents {
        header: &header,
        split: Split::Train,
        depth: Depth::U8,
        labels: &[0, 1],
        patients: &[[1; 16], [2; 16]],
        source_digest: DIGEST,
    };
    let length = contents.head(&path).unwrap().len();
    let head = contents.head_of(&path, length + 24).unwrap();
    fs::write(&path, [head, vec![9; 8], contents.tail()].concat()).unwrap();
    let shard = Shard::open(&path).unwrap();
    assert_eq!((shard.images(), shard.labels()), (&[9; 8][..], &[0, 1][..]));
    let error = contents.head_of(&path, length - 1).unwrap_err();
    assert_eq!(error.exit, JobExit::Unexpected);
}

#[test]
fn a_number_of_patients_or_a_digest_that_is_none_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("odd");
    let (short, long) = ("0".repeat(63), "G".repeat(64));
    let cases = [
        ("2", DIGEST, "num_patients 2"),
        ("0", DIGEST, "num_patients 0"),
        ("many", DIGEST, "num_patients `many`"),
        ("1", "", "source_digest ``"),
        ("1", short.as_str(), "source_digest"),
        ("1", long.as_str(), "source_digest"),
    ];
    for (patients, digest, found) in cases {
        raw_file_of(
            &path,
            &metadata(&header(3, 2), patients, digest),
            &[IMAGES, LABELS, PATIENTS],
        );
        assert_refused(&path, found, "expected");
    }
    raw_file_of(
        &path,
        &metadata(&header(3, 2), "1", DIGEST),
        &[IMAGES, LABELS, PATIENTS],
    );
    Shard::open(&path).unwrap();
}

#[test]
fn the_same_samples_give_the_same_bytes() {
    let dir = TempDir::new().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    write_three(&one);
    write_three(&two);
    assert_eq!(fs::read(one).unwrap(), fs::read(two).unwrap());
}

#[test]
fn a_missing_shard_is_a_missing_input() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("gone");
    let error = refusal(&path);
    assert_eq!(error.exit, JobExit::InputMissing);
    assert_eq!(error.file.as_deref(), Some(path.as_path()));
}

#[test]
fn a_folder_is_no_shard() {
    let dir = TempDir::new().unwrap();
    assert_refused(dir.path(), "not a regular file", "a shard");
}

#[test]
fn a_shard_cut_anywhere_or_too_long_is_refused_with_both_lengths() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("c0.safetensors");
    write_three(&path);
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert_refused(&path, &format!("{length} bytes"), "expected");
    }
    fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
    assert_refused(&path, "too long", &whole.len().to_string());
}

#[test]
fn a_header_larger_than_allowed_is_refused_before_memory_is_taken() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("huge");
    fs::write(&path, u64::MAX.to_le_bytes()).unwrap();
    assert_refused(&path, &u64::MAX.to_string(), &MAX_HEADER.to_string());
}

#[test]
fn a_file_of_another_kind_or_maker_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("other");
    let mut model = header(3, 2);
    model.kind = TensorKind::Model;
    file_of(&path, &model, &[IMAGES, LABELS, PATIENTS]);
    assert_refused(&path, "holds a model", "a shard");
    raw_file_of(&path, &BTreeMap::new(), &[("w", "F32", &[2])]);
    assert_refused(&path, "not written by fedwing", "a shard");
    fs::write(&path, [&2u64.to_le_bytes()[..], b"[]"].concat()).unwrap();
    assert_refused(&path, "not a safetensors header", "a shard");
}

#[test]
fn a_newer_format_is_refused_by_its_version() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("newer");
    let mut metadata = header(3, 2).to_metadata();
    metadata.insert("fedwing".to_owned(), "9".to_owned());
    raw_file_of(&path, &metadata, &[IMAGES, LABELS, PATIENTS]);
    assert_refused(&path, "format version 9", "reads version 1");
}

#[test]
fn tensors_that_contradict_the_header_are_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("odd");
    let cases: [(&[Tensor<'_>], &str); 10] = [
        (&[IMAGES, PATIENTS], "no `labels`"),
        (&[LABELS, PATIENTS], "no `images`"),
        (&[IMAGES, LABELS], "no `patients`"),
        (&[("images", "U8", &[2, 2, 2]), LABELS, PATIENTS], "[2, 2, 2]"),
        (&[("images", "F32", &[3, 2, 2]), LABELS, PATIENTS], "F32"),
        (&[("images", "U16", &[3, 2]), LABELS, PATIENTS], "[3, 2]"),
        (&[IMAGES, ("labels", "U8", &[4]), PATIENTS], "[4]"),
        (&[IMAGES, LABELS, ("patients", "U8", &[3, 8])], "[3, 8]"),
        (&[IMAGES, LABELS, ("patients", "U16", &[3, 16])], "U16"),
        (&[IMAGES, LABELS, PATIENTS, ("more", "U8", &[1])], "`more`"),
    ];
    for (tensors, found) in cases {
        file_of(&path, &header(3, 2), tensors);
        assert_refused(&path, found, "expected");
    }
}

#[test]
fn metadata_no_shard_can_have_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("odd");
    type Change = fn(&mut Header);
    let cases: [(Change, &str); 6] = [
        (|header| header.num_samples.0 = 0, "no samples"),
        (|header| header.image_size = 0, "image_size 0"),
        (|header| header.channels = 2, "channels 2"),
        (|header| header.num_classes = 3, "names 2 classes"),
        (|header| header.num_classes = 257, "257 classes"),
        (|header| header.normalize = Some((0.5, 0.0)), "normalize"),
    ];
    for (change, found) in cases {
        let mut changed = header(3, 2);
        change(&mut changed);
        file_of(&path, &changed, &[IMAGES, LABELS, PATIENTS]);
        assert_refused(&path, found, "expected");
    }
}

#[test]
fn a_label_beyond_the_classes_is_refused_by_its_sample() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("c0.safetensors");
    write_three(&path);
    let mut bytes = fs::read(&path).unwrap();
    // After the last label come the hashes of three patients.
    let last = bytes.len() - 3 * 16 - 1;
    bytes[last] = 2;
    fs::write(&path, bytes).unwrap();
    assert_refused(&path, "sample 2 has the label 2", "2 classes");
}

#[test]
fn a_failure_while_filling_is_reported_as_it_is_and_leaves_no_file() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("c0.safetensors");
    let broken = JobError::new(JobExit::InputInvalid, "row 3: not an image");
    let error = write_of(&path, &header(2, 2), Depth::U8, &[0, 1], |rows| {
        rows.push(&[0; 4])?;
        Err(broken.clone())
    })
    .unwrap_err();
    assert_eq!(error, broken);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn rows_that_do_not_fit_the_header_are_a_defect_and_leave_no_file() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("c0.safetensors");
    let with = |labels: &[u8], samples: usize, pixels: usize| {
        write_of(&path, &header(2, 2), Depth::U8, labels, |rows| {
            (0..samples).try_for_each(|_| rows.push(&vec![0; pixels]))
        })
        .unwrap_err()
        .exit
    };
    assert_eq!(with(&[0, 1], 1, 4), JobExit::Unexpected);
    assert_eq!(with(&[0, 1], 3, 4), JobExit::Unexpected);
    assert_eq!(with(&[0, 1], 2, 5), JobExit::Unexpected);
    assert_eq!(with(&[0], 1, 4), JobExit::Unexpected);
    assert_eq!(with(&[0, 2], 2, 4), JobExit::Unexpected);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_folder_that_is_not_there_is_an_error_of_writing() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("no/c0.safetensors");
    let error = write_of(&path, &header(1, 1), Depth::U8, &[0], |rows| rows.push(&[0])).unwrap_err();
    assert_eq!(error.exit, JobExit::Io);
}

proptest! {
    #[test]
    fn any_samples_read_back(labels in prop::collection::vec(0u8..2, 1..20), side in 1u32..6, seed in any::<u8>()) {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("shard");
        let row = (side * side) as usize;
        let pixels: Vec<u8> = (0..labels.len() * row).map(|i| (i as u8).wrapping_mul(31) ^ seed).collect();
        write_of(&path, &header(labels.len() as u64, side), Depth::U8, &labels, |rows| {
            pixels.chunks(row).try_for_each(|sample| rows.push(sample))
        })
        .unwrap();
        let shard = Shard::open(&path).unwrap();
        prop_assert_eq!(shard.labels(), &labels[..]);
        prop_assert_eq!(shard.images(), &pixels[..]);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), length in 0u64..200) {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("shard");
        fs::write(&path, [&length.to_le_bytes()[..], &bytes].concat()).unwrap();
        prop_assert!(Shard::open(&path).is_err());
    }

    #[test]
    fn a_changed_byte_never_panics_nor_breaks_what_a_shard_promises(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("shard");
        write_three(&path);
        let mut bytes = fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = to;
        fs::write(&path, bytes).unwrap();
        if let Ok(shard) = Shard::open(&path) {
            let side = shard.header().image_size as usize;
            prop_assert_eq!(shard.images().len(), shard.len() * side * side);
            prop_assert!(shard.labels().iter().all(|label| u32::from(*label) < shard.header().num_classes));
        }
    }
}
