//! What changes a hash and what does not, on drawn images and on real radiographs where there are any.

use std::{
    env, fs,
    io::Cursor,
    path::{Path, PathBuf},
};

use image::{GrayImage, ImageFormat, Luma};
use proptest::prelude::*;

use super::*;

fn hash(image: &GrayImage) -> Hash {
    let square = Square::of(image.width(), Pixels::U8(image.as_raw().clone())).unwrap();
    perceptual(&square).unwrap()
}

/// Smooth shapes that differ by seed.
fn drawn(seed: u64, size: u32) -> GrayImage {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f64 / (1_u64 << 24) as f64
    };
    let blobs: Vec<[f64; 4]> = (0..40)
        .map(|_| [uniform(), uniform(), 0.03 + 0.15 * uniform(), uniform() - 0.5])
        .collect();
    GrayImage::from_fn(size, size, |x, y| {
        let (x, y) = (
            (f64::from(x) + 0.5) / f64::from(size),
            (f64::from(y) + 0.5) / f64::from(size),
        );
        let sum: f64 = blobs
            .iter()
            .map(|[cx, cy, r, height]| {
                height * (-((x - cx).powi(2) + (y - cy).powi(2)) / (2.0 * r * r)).exp()
            })
            .sum();
        Luma([(128.0 + 80.0 * sum).clamp(0.0, 255.0) as u8])
    })
}

fn mapped(image: &GrayImage, mut to: impl FnMut(f64) -> f64) -> GrayImage {
    let mut out = image.clone();
    for pixel in out.pixels_mut() {
        pixel.0[0] = (to(f64::from(pixel.0[0]) / 255.0) * 255.0)
            .round()
            .clamp(0.0, 255.0) as u8;
    }
    out
}

fn jpeg(image: &GrayImage, quality: u8) -> GrayImage {
    let mut bytes = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, quality);
    image.write_with_encoder(encoder).unwrap();
    image::load(Cursor::new(bytes), ImageFormat::Jpeg)
        .unwrap()
        .to_luma8()
}

/// The same image stored in other ways.
fn stored_otherwise(image: &GrayImage) -> Vec<(&'static str, GrayImage)> {
    let mut state = 7_u32;
    let noise = mapped(image, |value| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        value + (f64::from(state >> 16) / 65_536.0 - 0.5) * 0.02
    });
    let smaller = image::imageops::resize(
        image,
        image.width() * 15 / 16,
        image.height() * 15 / 16,
        image::imageops::FilterType::Triangle,
    );
    vec![
        ("gamma 0.7", mapped(image, |value| value.powf(0.7))),
        ("gamma 1.4", mapped(image, |value| value.powf(1.4))),
        ("less contrast", mapped(image, |value| value * 0.8 + 0.1)),
        ("JPEG 90", jpeg(image, 90)),
        ("JPEG 75", jpeg(image, 75)),
        ("noise", noise),
        ("smaller", smaller),
    ]
}

#[test]
fn an_image_stored_otherwise_stays_near_and_another_is_far() {
    for seed in 0..12 {
        let image = drawn(seed, 224);
        let own = hash(&image);
        for (change, other) in stored_otherwise(&image) {
            let distance = own.distance(hash(&other));
            assert!(distance <= NEAR, "seed {seed}, {change}: {distance}");
        }
        let mirrored = image::imageops::flip_horizontal(&image);
        assert!(own.distance(hash(&mirrored)) > 80, "seed {seed}");
        assert!(own.distance(hash(&drawn(seed + 100, 224))) > 60, "seed {seed}");
    }
}

#[test]
fn the_depth_of_a_square_matters_little() {
    let image = drawn(3, 64);
    let deep = image
        .as_raw()
        .iter()
        .map(|value| u16::from(*value) * 257)
        .collect();
    let deep = Square::of(64, Pixels::U16(deep)).unwrap();
    assert_eq!(perceptual(&deep), Some(hash(&image)));
}

#[test]
fn what_shows_nothing_has_no_hash() {
    let of =
        |size: u32, value: u8| Square::of(size, Pixels::U8(vec![value; (size * size) as usize])).unwrap();
    assert_eq!(perceptual(&of(64, 0)), None);
    assert_eq!(perceptual(&of(64, 200)), None);
    let small = drawn(1, 15);
    assert_eq!(
        perceptual(&Square::of(15, Pixels::U8(small.into_raw())).unwrap()),
        None
    );
    assert!(perceptual(&Square::of(16, Pixels::U8(drawn(1, 16).into_raw())).unwrap()).is_some());
    assert!(Square::of(4, Pixels::U8(vec![0; 15])).is_none());
}

#[test]
fn cosines_are_those_of_a_turn() {
    for (m, ours) in cosines().into_iter().enumerate() {
        let exact = 16_384.0 * (std::f64::consts::PI * m as f64 / 64.0).cos();
        assert!((ours as f64 - exact).abs() < 0.5001, "{m}");
    }
    let frequencies = frequencies();
    assert_eq!((frequencies.len(), frequencies[0]), (256, (0, 1)));
}

#[test]
fn a_hash_is_written_as_64_digits() {
    let text = Hash([1, 2, 3, u64::MAX]).to_string();
    assert_eq!(text, format!("{:016x}{:016x}{:016x}{}", 1, 2, 3, "f".repeat(16)));
}

fn by_all_pairs(hashes: &[Hash], max_distance: u32) -> Vec<Vec<usize>> {
    let mut groups = Groups::of(hashes.len());
    for one in 0..hashes.len() {
        for other in 0..one {
            if hashes[one].distance(hashes[other]) <= max_distance {
                groups.join(one, other);
            }
        }
    }
    groups.larger_than_one()
}

proptest! {
    #[test]
    fn groups_are_those_of_comparing_all_with_all(
        originals in prop::collection::vec(prop::array::uniform4(any::<u64>()), 1..12),
        flips in prop::collection::vec((any::<prop::sample::Index>(), prop::collection::vec(0_usize..256, 0..25)), 0..60),
        max_distance in prop_oneof![0_u32..20, 200_u32..300],
    ) {
        let mut hashes: Vec<Hash> = originals.iter().map(|words| Hash(*words)).collect();
        for (of, flips) in flips {
            let mut words = originals[of.index(originals.len())];
            for place in flips {
                words[place / 64] ^= 1 << (place % 64);
            }
            hashes.push(Hash(words));
        }
        prop_assert_eq!(near(&hashes, max_distance), by_all_pairs(&hashes, max_distance));
    }
}

#[test]
fn a_chain_is_one_group_and_its_members_are_in_order() {
    let hash = |bits: u32| Hash([0, 0, 0, (1_u64 << bits) - 1]);
    let hashes = [hash(20), Hash([u64::MAX, 0, 0, 0]), hash(0), hash(10), hash(0)];
    assert_eq!(near(&hashes, 10), [vec![0, 2, 3, 4]]);
    assert_eq!(near(&hashes, 9), [vec![2, 4]]);
    assert_eq!(near(&hashes, 0), [vec![2, 4]]);
    assert!(near(&[], 5).is_empty());
}

fn data() -> PathBuf {
    env::var_os("FEDWING_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    )
}

/// The images under a folder of the real data in the order of their names; nothing, said aloud, where it is not there.
fn real(folder: &str) -> Option<Vec<GrayImage>> {
    let folder = data().join(folder);
    if !folder.is_dir() {
        eprintln!("skipped: no {}", folder.display());
        return None;
    }
    let mut paths = Vec::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "png") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    Some(
        paths
            .iter()
            .map(|path| image::open(path).unwrap().to_luma8())
            .collect(),
    )
}

#[test]
fn only_the_same_radiographs_are_near() {
    for folder in ["nih1000/images", "pneumoniamnist/images"] {
        let Some(images) = real(folder) else { continue };
        assert!(images.len() >= 1000, "{folder}");
        let hashes: Vec<Hash> = images.iter().map(hash).collect();
        let groups = near(&hashes, NEAR);
        for group in &groups {
            for member in group {
                assert_eq!(
                    images[*member].as_raw(),
                    images[group[0]].as_raw(),
                    "{folder}: {group:?}"
                );
            }
        }
        // And all that are the same are found.
        let mut pixels: Vec<&[u8]> = images.iter().map(|image| image.as_raw().as_slice()).collect();
        pixels.sort_unstable();
        pixels.dedup();
        let again: usize = groups.iter().map(|group| group.len() - 1).sum();
        assert_eq!(again, images.len() - pixels.len(), "{folder}");
        eprintln!(
            "{folder}: {} images, {} groups of the same",
            images.len(),
            groups.len()
        );
    }
}

#[test]
fn radiographs_stored_otherwise_stay_near() {
    let Some(images) = real("nih1000/images") else {
        return;
    };
    for (nth, image) in images.iter().enumerate().step_by(10) {
        // The changes are of a picture of usual size: on 64 pixels, 8 x 8 blocks of JPEG are half a lung.
        let large = image::imageops::resize(image, 256, 256, image::imageops::FilterType::CatmullRom);
        let own = hash(&large);
        for (change, other) in stored_otherwise(&large) {
            let distance = own.distance(hash(&other));
            assert!(distance <= 2 * NEAR, "{nth}, {change}: {distance}");
        }
    }
}

#[test]
fn a_hash_reads_back_from_its_digits_and_other_text_does_not() {
    let hash = Hash([1, u64::MAX, 0x0123_4567_89ab_cdef, 0]);
    assert_eq!(hash.to_string().parse(), Ok(hash));
    for text in [
        "",
        "0",
        &"0".repeat(65),
        &"g".repeat(64),
        &"+".repeat(64),
        &"é".repeat(32),
    ] {
        assert_eq!(text.parse::<Hash>(), Err(HashError), "{text}");
    }
}
