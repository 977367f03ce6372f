//! Images that are there more than once.
//!
//! In: prepared images with the digest of their pixels and the hash of what is seen. Out: groups of those that are alike,
//! and whether a group crosses patients or splits. Start at [`find`].

use std::collections::BTreeMap;

use contract::{
    dataset::{DuplicateGroup, DuplicateKind, Split},
    exit::JobExit,
    job::JobError,
};
use kernels::cxr::hash::{Hash, NEAR, near};

/// A prepared image.
#[derive(Debug, Clone, Copy)]
pub struct Prepared<'a> {
    /// The image as the source names it.
    pub image: &'a str,
    /// The patient as the source names them.
    pub patient: &'a str,
    /// Side of the splits.
    pub split: Split,
    /// SHA-256 of its pixels.
    pub pixels: &'a str,
    /// Hash of what is seen; none of an image without structure, which is like any other such.
    pub seen: Option<Hash>,
}

/// Groups of images that are alike, in the order of their first images.
///
/// All groups of equal pixels count. Groups that only look alike count where they cross patients or splits:
/// images of one patient often do look alike.
pub fn find(images: &[Prepared<'_>]) -> Vec<DuplicateGroup> {
    let mut exact = BTreeMap::<&str, Vec<usize>>::new();
    let (mut hashed, mut hashes) = (Vec::new(), Vec::new());
    for (index, image) in images.iter().enumerate() {
        exact.entry(image.pixels).or_default().push(index);
        if let Some(hash) = image.seen {
            hashed.push(index);
            hashes.push(hash);
        }
    }
    let exact = exact.into_values().filter(|members| members.len() > 1);
    let near = near(&hashes, NEAR).into_iter();
    let near = near.map(|group| group.into_iter().map(|member| hashed[member]).collect::<Vec<_>>());
    let alike = near.filter(|members| {
        let first = &images[members[0]];
        // Equal pixels are told already.
        members
            .iter()
            .any(|member| images[*member].pixels != first.pixels)
    });
    let exact = exact.map(|members| (DuplicateKind::Exact, members));
    let alike = alike.map(|members| (DuplicateKind::Perceptual, members));
    let mut groups: Vec<_> = exact
        .chain(alike)
        .map(|(kind, members)| (members[0], group(images, kind, &members)))
        .filter(|(_, group)| group.kind == DuplicateKind::Exact || crosses(group))
        .collect();
    groups.sort_by_key(|(first, group)| (*first, group.kind));
    groups.into_iter().map(|(_, group)| group).collect()
}

fn group(images: &[Prepared<'_>], kind: DuplicateKind, members: &[usize]) -> DuplicateGroup {
    let first = &images[members[0]];
    let across =
        |differs: &dyn Fn(&Prepared<'_>) -> bool| members.iter().any(|index| differs(&images[*index]));
    DuplicateGroup {
        kind,
        images: members
            .iter()
            .map(|index| images[*index].image.to_owned())
            .collect(),
        across_patients: across(&|image| image.patient != first.patient),
        across_splits: across(&|image| image.split != first.split),
    }
}

/// Whether a group is of several patients or on different sides of the splits: what is learnt leaks.
pub fn crosses(group: &DuplicateGroup) -> bool {
    group.across_patients || group.across_splits
}

/// Refuses the first group that crosses.
///
/// # Errors
/// `DataUnfit` naming the group's first images.
pub fn refuse(groups: &[DuplicateGroup]) -> Result<(), JobError> {
    let mut leaks = groups.iter().filter(|group| crosses(group));
    let Some(first) = leaks.next() else {
        return Ok(());
    };
    let others = leaks.count();
    let how = match first.kind {
        DuplicateKind::Exact => "have the same pixels",
        DuplicateKind::Perceptual => "look the same",
    };
    let crossed = match (first.across_patients, first.across_splits) {
        (true, true) => "are of several patients, on different sides of the splits",
        (true, false) => "are of several patients",
        _ => "are on different sides of the splits",
    };
    let shown: Vec<String> = first
        .images
        .iter()
        .take(4)
        .map(|image| format!("`{image}`"))
        .collect();
    let more = if first.images.len() > 4 { ", …" } else { "" };
    Err(JobError::new(
        JobExit::DataUnfit,
        format!(
            "{}{more} {how} and {crossed}; there are {others} more such groups",
            shown.join(", ")
        ),
    )
    .help("take all but one of them out, correct the patients, or let duplicates be reported instead of refused"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hash far from that of another number, and near to that of one more than a multiple of 100.
    fn hash(number: u64) -> Hash {
        let word = (number / 100 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (number % 100);
        format!("{word:016x}").repeat(4).parse().unwrap()
    }

    fn image(
        image: &'static str,
        patient: &'static str,
        test: bool,
        pixels: &'static str,
        seen: u64,
    ) -> Prepared<'static> {
        Prepared {
            image,
            patient,
            split: if test { Split::Test } else { Split::Train },
            pixels,
            seen: (seen != 0).then(|| hash(seen)),
        }
    }

    #[test]
    fn equal_pixels_are_a_group_and_images_that_look_alike_are_one_where_they_cross() {
        let images = [
            image("a", "p", false, "1", 100),
            image("b", "q", false, "2", 200),
            image("c", "p", false, "1", 100),
            image("d", "q", false, "3", 200),
            image("e", "r", false, "4", 300),
            image("f", "s", true, "5", 301),
            image("g", "t", false, "6", 900),
            image("h", "u", false, "7", 0),
            image("i", "v", true, "8", 0),
        ];
        let groups = find(&images);
        let expected = [
            DuplicateGroup {
                kind: DuplicateKind::Exact,
                images: vec!["a".to_owned(), "c".to_owned()],
                across_patients: false,
                across_splits: false,
            },
            DuplicateGroup {
                kind: DuplicateKind::Perceptual,
                images: vec!["e".to_owned(), "f".to_owned()],
                across_patients: true,
                across_splits: true,
            },
        ];
        assert_eq!(groups, expected);
        let error = refuse(&groups).unwrap_err();
        assert_eq!(error.exit, JobExit::DataUnfit);
        assert!(error.message.contains("`e`, `f` look the same"), "{error}");
        assert!(error.message.contains("there are 0 more"), "{error}");
        assert!(refuse(&groups[..1]).is_ok());
    }

    #[test]
    fn a_group_that_looks_alike_is_told_beside_the_equal_ones_in_it() {
        let images = [
            image("a", "p", false, "1", 100),
            image("b", "q", false, "1", 100),
            image("c", "r", false, "2", 100),
        ];
        let kinds: Vec<_> = find(&images)
            .into_iter()
            .map(|group| (group.kind, group.images.len()))
            .collect();
        assert_eq!(kinds, [(DuplicateKind::Exact, 2), (DuplicateKind::Perceptual, 3)]);
    }
}
