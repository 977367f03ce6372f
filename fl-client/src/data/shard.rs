//! Shards: one client's samples, or the test samples, as a safetensors file of grey pixels and class indices.
//!
//! In: a path, or a header, labels and rows of pixels. Out: a [`Shard`] whose every claim has been checked, or a file
//! written whole or not at all. The same header, labels and pixels always give the same bytes.
//! Start at [`Shard::open`]; [`write`] makes what it reads.
//!
//! # Memory maps and files that change
//! Pixels are mapped, not read: a job touches them in random order, many times, and jobs on one machine share the page
//! cache. Nothing in fedwing writes to a shard in place (every writer renames a finished file over the old one, and the
//! map keeps the old one alive), so a mapped shard keeps its bytes. Should somebody else cut the file while it is
//! mapped, the kernel ends the process with SIGBUS, which counts as a failure worth another attempt, and that attempt's
//! [`Shard::open`] names the missing bytes. Labels are copied when they are checked, so an index in range stays in range.

use std::{
    fs::File,
    io::{self, BufWriter, Read, Write},
    ops::Range,
    path::Path,
};

use contract::{
    exit::JobExit,
    job::{JobError, write_whole},
    tensors::{Header, MAX_HEADER, SHARD_IMAGES, SHARD_LABELS, TensorInfo, TensorKind, encode_header},
};
use memmap2::{Mmap, MmapOptions};
use safetensors::tensor::{Dtype, Metadata};

/// The most classes a shard can tell apart: labels are `u8`.
pub const MAX_CLASSES: u32 = 256;

/// What to do about a shard that is not one.
const WAY_OUT: &str = "run the dataset's `prepare` job again, it writes every shard anew";

/// Samples read from a file: square grey images and the class of each.
///
/// # Invariants
/// `images().len() == len() * image_size²`, `labels().len() == len()`, `len() == header().num_samples > 0`, every label is
/// below `header().num_classes`, and [`Shard::normalize`] has finite values with a divisor above 0.
#[derive(Debug)]
pub struct Shard {
    header: Header,
    normalize: (f64, f64),
    map: Mmap,
    images: Range<usize>,
    labels: Box<[u8]>,
}

impl Shard {
    /// Maps a shard and checks all it says about itself.
    ///
    /// # Errors
    /// `InputMissing` if there is no such file; `Io` if it cannot be read; `InputInvalid` if it is cut short, is not
    /// safetensors, is not a shard of this format version, or its tensors contradict its header. Each names the file,
    /// what was found, what was expected and the way out.
    pub fn open(path: &Path) -> Result<Self, JobError> {
        let (file, layout) = Layout::read(path)?;
        let header = read_header(path, &layout.metadata)?;
        let normalize = check_header(path, &header)?;
        let samples = usize::try_from(header.num_samples.0).unwrap_or(usize::MAX);
        let side = header.image_size as usize;
        let images = layout.tensor(path, SHARD_IMAGES, &[samples, side, side])?;
        let labels = layout.tensor(path, SHARD_LABELS, &[samples])?;
        if let Some(other) = layout.metadata.offset_keys().into_iter().find(|name| {
            let name = name.as_str();
            name != SHARD_IMAGES && name != SHARD_LABELS
        }) {
            return Err(unlike(
                path,
                format!("it holds a tensor `{other}`"),
                format!("only `{SHARD_IMAGES}` and `{SHARD_LABELS}`"),
            ));
        }
        // SAFETY: the map is read-only and of a file that fedwing never writes in place; the module's documentation
        // says what happens when somebody else does.
        let map = unsafe {
            MmapOptions::new()
                .offset(layout.data_start)
                .len(layout.metadata.data_len())
                .map(&file)
        }
        .map_err(|error| JobError::reading(path, &error))?;
        let labels = map[labels].to_vec().into_boxed_slice();
        check_labels(path, &header, &labels)?;
        Ok(Self {
            header,
            normalize,
            map,
            images,
            labels,
        })
    }

    /// What the file says about itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Number of samples; at least 1.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no samples: never, [`Shard::open`] refuses such a file.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Pixel values, 0 (black) to 255 (white): samples × height × width, row by row.
    pub fn images(&self) -> &[u8] {
        &self.map[self.images.clone()]
    }

    /// Class indices, one a sample.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// What to subtract from pixel values scaled to 0..1, and what to divide the rest by.
    pub fn normalize(&self) -> (f64, f64) {
        self.normalize
    }
}

/// An error that says what was found and what was expected instead.
fn unlike(path: &Path, found: impl std::fmt::Display, expected: impl std::fmt::Display) -> JobError {
    JobError::invalid(path, format!("{found}; expected {expected}")).help(WAY_OUT)
}

/// The parsed JSON header of a safetensors file whose length agrees with it.
struct Layout {
    metadata: Metadata,
    data_start: u64,
}

impl Layout {
    fn read(path: &Path) -> Result<(File, Self), JobError> {
        let reading = |error: io::Error| JobError::reading(path, &error);
        // Asked before opening: opening a named pipe would wait for a writer.
        if !std::fs::metadata(path).map_err(reading)?.is_file() {
            return Err(unlike(path, "it is not a regular file", "a shard"));
        }
        let mut file = File::open(path).map_err(reading)?;
        let size = file.metadata().map_err(reading)?.len();
        if size < 8 {
            return Err(unlike(
                path,
                format!("it has {size} bytes"),
                "at least the 8 of a safetensors header length",
            ));
        }
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(reading)?;
        let length = u64::from_le_bytes(length);
        if length > MAX_HEADER {
            return Err(unlike(
                path,
                format!("its first 8 bytes announce a header of {length} bytes"),
                format!("a safetensors header of at most {MAX_HEADER}"),
            ));
        }
        let data_start = 8 + length;
        if size < data_start {
            return Err(unlike(
                path,
                format!("it is cut short: {size} bytes"),
                format!("{data_start} for the header alone"),
            ));
        }
        // At most MAX_HEADER, and the file is known to have as many bytes.
        let mut json = vec![0; length as usize];
        file.read_exact(&mut json).map_err(reading)?;
        let metadata: Metadata = serde_json::from_slice(&json).map_err(|error| {
            unlike(
                path,
                format!("its header is not a safetensors header ({error})"),
                "a shard",
            )
        })?;
        let expected = data_start.saturating_add(metadata.data_len() as u64);
        if size != expected {
            let found = if size < expected { "cut short" } else { "too long" };
            return Err(unlike(
                path,
                format!("it is {found}: {size} bytes"),
                format!("{expected} by its own header"),
            ));
        }
        Ok((file, Self { metadata, data_start }))
    }

    /// Where the bytes of a `u8` tensor of this shape are, counted from the first tensor byte.
    fn tensor(&self, path: &Path, name: &str, shape: &[usize]) -> Result<Range<usize>, JobError> {
        let expected = || format!("`{name}` of type U8 and shape {shape:?} by its metadata");
        let Some(info) = self.metadata.info(name) else {
            let names = self.metadata.offset_keys();
            return Err(unlike(
                path,
                format!("it has the tensors {names:?} and no `{name}`"),
                expected(),
            ));
        };
        if info.dtype != Dtype::U8 || info.shape != shape {
            return Err(unlike(
                path,
                format!(
                    "tensor `{name}` has type {} and shape {:?}",
                    info.dtype, info.shape
                ),
                expected(),
            ));
        }
        Ok(info.data_offsets.0..info.data_offsets.1)
    }
}

fn read_header(path: &Path, metadata: &Metadata) -> Result<Header, JobError> {
    let fields = metadata.metadata().as_ref();
    Header::from_metadata(|key| fields.and_then(|fields| fields.get(key)).map(String::as_str))
        .map_err(|error| unlike(path, error, "a shard written by `prepare`"))
}

/// Checks what the type of [`Header`] leaves open for shards; returns the normalisation.
fn check_header(path: &Path, header: &Header) -> Result<(f64, f64), JobError> {
    let unlike = |found: String, expected: String| Err(unlike(path, found, expected));
    if header.kind != TensorKind::Shard {
        return unlike(format!("it holds a {}", header.kind), "a shard".to_owned());
    }
    if header.num_samples.0 == 0 {
        return unlike("it has no samples".to_owned(), "at least 1".to_owned());
    }
    if header.image_size == 0 || !matches!(header.channels, 1 | 3) {
        let (size, channels) = (header.image_size, header.channels);
        return unlike(
            format!("its metadata says image_size {size} and channels {channels}"),
            "an image_size of at least 1 and 1 or 3 channels".to_owned(),
        );
    }
    if header.num_classes == 0 || header.num_classes > MAX_CLASSES {
        return unlike(
            format!("its metadata says {} classes", header.num_classes),
            format!("1 to {MAX_CLASSES}"),
        );
    }
    if header.classes.len() != header.num_classes as usize {
        return unlike(
            format!("its metadata names {} classes", header.classes.len()),
            format!("{} by `num_classes`", header.num_classes),
        );
    }
    match header.normalize {
        Some((mean, std)) if mean.is_finite() && std.is_finite() && std > 0.0 => Ok((mean, std)),
        other => unlike(
            format!("its metadata says normalize {other:?}"),
            "a finite mean and a finite divisor above 0".to_owned(),
        ),
    }
}

fn check_labels(path: &Path, header: &Header, labels: &[u8]) -> Result<(), JobError> {
    let classes = header.num_classes;
    match labels.iter().position(|label| u32::from(*label) >= classes) {
        Some(sample) => Err(unlike(
            path,
            format!("sample {sample} has the label {}", labels[sample]),
            format!("labels below its {classes} classes"),
        )),
        None => Ok(()),
    }
}

/// Writes a shard whole or not at all; `fill` hands over the pixels of each sample in the order of `labels`.
///
/// Memory does not grow with the number of samples beyond their labels.
///
/// # Errors
/// What `fill` returns; `Io` naming the file if writing fails; `Unexpected` if `header`, `labels` and rows disagree, a
/// defect of the caller. No file is left then.
pub fn write(
    path: &Path,
    header: &Header,
    labels: &[u8],
    fill: impl FnOnce(&mut Rows<'_>) -> Result<(), JobError>,
) -> Result<(), JobError> {
    let defect = |text: String| Err(JobError::new(JobExit::Unexpected, text).about(path));
    if header.num_samples.0 != labels.len() as u64 {
        let (said, given) = (header.num_samples.0, labels.len());
        return defect(format!(
            "a shard header says {said} samples, {given} labels are given"
        ));
    }
    // A file that `open` would refuse is not written.
    if check_header(path, header)
        .and(check_labels(path, header, labels))
        .is_err()
    {
        return defect(format!("not the header and labels of a shard: {header:?}"));
    }
    let side = header.image_size as usize;
    let row = side * side;
    let head = encode_header(
        &header.to_metadata(),
        &[
            TensorInfo {
                name: SHARD_IMAGES,
                dtype: "U8",
                shape: &[labels.len(), side, side],
                bytes: labels.len() * row,
            },
            TensorInfo {
                name: SHARD_LABELS,
                dtype: "U8",
                shape: &[labels.len()],
                bytes: labels.len(),
            },
        ],
    );
    // `write_whole` knows errors of writing only; what `fill` says leaves by this door.
    let mut refused = None;
    let written = write_whole(path, |out| {
        out.write_all(&head)?;
        let mut rows = Rows {
            path,
            out,
            row,
            left: labels.len(),
        };
        if let Err(error) = fill(&mut rows).and_then(|()| rows.finish()) {
            refused = Some(error);
            return Err(io::Error::other("no pixels to write"));
        }
        out.write_all(labels)
    });
    match refused {
        Some(error) => Err(error),
        None => written,
    }
}

/// Takes the pixels of a shard being written, one sample after the other.
#[derive(Debug)]
pub struct Rows<'a> {
    path: &'a Path,
    out: &'a mut BufWriter<File>,
    row: usize,
    left: usize,
}

impl Rows<'_> {
    /// Appends one sample: height × width grey values, row by row.
    ///
    /// # Errors
    /// `Io` naming the file; `Unexpected` if the sample has another size or is one too many.
    pub fn push(&mut self, pixels: &[u8]) -> Result<(), JobError> {
        if pixels.len() != self.row || self.left == 0 {
            let (given, row, left) = (pixels.len(), self.row, self.left);
            let text = format!("a shard takes {left} more samples of {row} pixels, one of {given} is given");
            return Err(JobError::new(JobExit::Unexpected, text).about(self.path));
        }
        self.left -= 1;
        self.out
            .write_all(pixels)
            .map_err(|error| JobError::writing(self.path, &error))
    }

    fn finish(&self) -> Result<(), JobError> {
        match self.left {
            0 => Ok(()),
            left => {
                let text = format!("a shard has more labels than samples: {left}");
                Err(JobError::new(JobExit::Unexpected, text).about(self.path))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs};

    use contract::{ids::ClientId, units::SampleCount};
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
            num_classes: 2,
            classes: vec!["No Finding".to_owned(), "not No Finding".to_owned()],
            normalize: Some((0.5, 0.25)),
        }
    }

    fn write_three(path: &Path) {
        write(path, &header(3, 2), &[0, 1, 1], |rows| {
            (0..3).try_for_each(|sample| rows.push(&[sample, 10, 20, 255]))
        })
        .unwrap();
    }

    /// A file of these tensors, all zeros, of type U8 unless said.
    fn file_of(path: &Path, header: &Header, tensors: &[(&str, &str, &[usize])]) {
        raw_file_of(path, &header.to_metadata(), tensors);
    }

    fn raw_file_of(path: &Path, metadata: &BTreeMap<String, String>, tensors: &[(&str, &str, &[usize])]) {
        let bytes = |dtype: &str, shape: &[usize]| {
            shape.iter().product::<usize>() * if dtype == "F32" { 4 } else { 1 }
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
        assert_eq!(shard.normalize(), (0.5, 0.25));
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
        file_of(
            &path,
            &model,
            &[("images", "U8", &[3, 2, 2]), ("labels", "U8", &[3])],
        );
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
        raw_file_of(
            &path,
            &metadata,
            &[("images", "U8", &[3, 2, 2]), ("labels", "U8", &[3])],
        );
        assert_refused(&path, "format version 9", "reads version 1");
    }

    #[test]
    fn tensors_that_contradict_the_header_are_refused() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("odd");
        let cases: [(&[(&str, &str, &[usize])], &str); 6] = [
            (&[("images", "U8", &[3, 2, 2])], "no `labels`"),
            (&[("labels", "U8", &[3])], "no `images`"),
            (
                &[("images", "U8", &[2, 2, 2]), ("labels", "U8", &[3])],
                "[2, 2, 2]",
            ),
            (&[("images", "F32", &[3, 2, 2]), ("labels", "U8", &[3])], "F32"),
            (&[("images", "U8", &[3, 2, 2]), ("labels", "U8", &[4])], "[4]"),
            (
                &[
                    ("images", "U8", &[3, 2, 2]),
                    ("labels", "U8", &[3]),
                    ("more", "U8", &[1]),
                ],
                "`more`",
            ),
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
            file_of(
                &path,
                &changed,
                &[("images", "U8", &[3, 2, 2]), ("labels", "U8", &[3])],
            );
            assert_refused(&path, found, "expected");
        }
    }

    #[test]
    fn a_label_beyond_the_classes_is_refused_by_its_sample() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("c0.safetensors");
        write_three(&path);
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() = 2;
        fs::write(&path, bytes).unwrap();
        assert_refused(&path, "sample 2 has the label 2", "2 classes");
    }

    #[test]
    fn a_failure_while_filling_is_reported_as_it_is_and_leaves_no_file() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("c0.safetensors");
        let broken = JobError::new(JobExit::InputInvalid, "row 3: not an image");
        let error = write(&path, &header(2, 2), &[0, 1], |rows| {
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
            write(&path, &header(2, 2), labels, |rows| {
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
        let error = write(&path, &header(1, 1), &[0], |rows| rows.push(&[0])).unwrap_err();
        assert_eq!(error.exit, JobExit::Io);
    }

    proptest! {
        #[test]
        fn any_samples_read_back(labels in prop::collection::vec(0u8..2, 1..20), side in 1u32..6, seed in any::<u8>()) {
            let dir = TempDir::new().unwrap();
            let path = dir.path().join("shard");
            let row = (side * side) as usize;
            let pixels: Vec<u8> = (0..labels.len() * row).map(|i| (i as u8).wrapping_mul(31) ^ seed).collect();
            write(&path, &header(labels.len() as u64, side), &labels, |rows| {
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
}
