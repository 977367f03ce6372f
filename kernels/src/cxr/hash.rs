//! Finds images that are the same but for how they were stored.
//!
//! In: prepared squares. Out: a [`Hash`](struct@Hash) each, and groups of near ones. Start at [`perceptual`], then [`near`].

use std::fmt;

use super::{
    Pixels, Square,
    axis::{Axis, Spacing},
};

/// Bits of a hash.
const BITS: usize = 256;

/// Width and height to which squares are brought.
const GRID: usize = 32;

/// The smallest square with enough to tell radiographs apart.
const LEAST_SIZE: u32 = 16;

/// The distance up to which images count as the same.
///
/// Of 17.6 million pairs of different radiographs (PneumoniaMNIST, NIH ChestX-ray14) none was nearer than 34; changes of
/// gamma from 0.7 to 1.4, of contrast, of 1 % noise and JPEG at quality 75 and above nearly all stay within.
pub const NEAR: u32 = 16;

/// What an image looks like, in 256 bits: alike images differ in few of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u64; BITS / 64]);

impl Hash {
    /// Bits that differ, 0 to 256.
    #[inline]
    pub fn distance(self, other: Self) -> u32 {
        self.0
            .iter()
            .zip(other.0)
            .map(|(a, b)| (a ^ b).count_ones())
            .sum()
    }

    fn bit(self, place: usize) -> bool {
        self.0[place / 64] >> (place % 64) & 1 == 1
    }
}

/// Hexadecimal, 64 digits.
impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|word| write!(f, "{word:016x}"))
    }
}

/// The inverse of [`Display`](fmt::Display).
impl std::str::FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if text.len() != BITS / 4 || !digits {
            return Err(HashError);
        }
        let mut words = [0; BITS / 64];
        for (place, word) in words.iter_mut().enumerate() {
            let digits = &text[place * 16..][..16];
            *word = u64::from_str_radix(digits, 16).map_err(|_| HashError)?;
        }
        Ok(Self(words))
    }
}

/// Text that is no hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a hash has 64 hexadecimal digits")]
pub struct HashError;

/// The hash of a square: the signs of its 256 lowest frequencies, after its values became ranks.
///
/// Brightness, contrast and gamma leave ranks as they are, but for rounding and clipping; noise, compression and
/// resampling change few of the low frequencies. A mirrored image flips about half of the signs. Nothing for a square
/// smaller than 16 pixels or of one value.
///
/// # Numerics
/// All in whole numbers: the square becomes 32 x 32 (area means or interpolated, at 12 bits), ranks are doubled so that
/// ties have whole ones, cosines have 14 bits. The same bits on every processor.
/// # Source
/// The discrete cosine transform (type II) as in other perceptual hashes; ranks and frequencies by radius are ours.
pub fn perceptual(square: &Square) -> Option<Hash> {
    if square.size() < LEAST_SIZE {
        return None;
    }
    let ranks = ranks(&reduced(square))?;
    let cosines = cosines();
    let cosine = |frequency: usize, place: usize| cosines[frequency * (2 * place + 1) % cosines.len()];
    let frequencies = frequencies();
    // Along rows, then along columns.
    let highest = 1 + frequencies.iter().map(|(u, v)| *u.max(v)).max()?;
    let along: Vec<[i64; GRID]> = (0..highest)
        .map(|v| {
            let row = |y: usize| (0..GRID).map(|x| ranks[y * GRID + x] * cosine(v, x)).sum();
            std::array::from_fn(row)
        })
        .collect();
    let mut hash = [0; BITS / 64];
    for (place, (u, v)) in frequencies.iter().enumerate() {
        let sum: i64 = (0..GRID).map(|y| along[*v][y] * cosine(*u, y)).sum();
        hash[place / 64] |= u64::from(sum > 0) << (place % 64);
    }
    Some(Hash(hash))
}

/// The square as 32 x 32 values of 12 bits.
fn reduced(square: &Square) -> Vec<usize> {
    let size = square.size();
    let spacing = Spacing {
        samples: size,
        full: size,
        step: 1,
        origin: 0,
    };
    let axis = Axis::of(spacing, GRID as u32);
    match square.pixels() {
        Pixels::U8(values) => means(values, size as usize, &axis, 16, 1),
        Pixels::U16(values) => means(values, size as usize, &axis, 16, 257),
    }
}

/// Means times `up` over `down`, rounded down.
fn means<T: Copy + Into<u32>>(values: &[T], size: usize, axis: &Axis, up: u64, down: u64) -> Vec<usize> {
    let total = u64::from(axis.total);
    let divisor = total * total * down;
    let mut sums = vec![0_u32; size];
    let mut out = Vec::with_capacity(GRID * GRID);
    for tap in &axis.taps {
        sums.fill(0);
        let rows = values
            .chunks_exact(size)
            .skip(tap.start as usize)
            .take(tap.length as usize);
        for (nth, row) in rows.enumerate() {
            let weight = tap.weight(nth);
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += weight * (*value).into();
            }
        }
        out.extend(
            axis.taps
                .iter()
                .map(|tap| (tap.of(&sums) * up / divisor) as usize),
        );
    }
    out
}

/// Twice the rank of each value about the middle rank, ties having their mean; nothing if all are the same.
fn ranks(values: &[usize]) -> Option<Vec<i64>> {
    let mut counts = vec![0_i64; values.iter().max()? + 1];
    for value in values {
        counts[*value] += 1;
    }
    if counts.last() == Some(&(values.len() as i64)) {
        return None;
    }
    let mut before = 0;
    for count in &mut counts {
        let rank = 2 * before + *count - values.len() as i64;
        before += *count;
        *count = rank;
    }
    Some(values.iter().map(|value| counts[*value]).collect())
}

/// `2¹⁴·cos(π·m/64)` for m from 0 to 127, a whole turn, with its symmetries exact.
fn cosines() -> [i64; 4 * GRID] {
    let quarter = |m: usize| {
        let angle = std::f64::consts::PI * m as f64 / (2 * GRID) as f64;
        libm::round(libm::cos(angle) * 16_384.0) as i64
    };
    std::array::from_fn(|m| match m {
        0..=31 => quarter(m),
        32..=64 => -quarter(64 - m),
        65..=96 => -quarter(m - 64),
        _ => quarter(128 - m),
    })
}

/// The 256 lowest pairs of frequencies but the mean, by radius.
fn frequencies() -> Vec<(usize, usize)> {
    let mut all: Vec<(usize, usize)> = (0..GRID)
        .flat_map(|u| (0..GRID).map(move |v| (u, v)))
        .skip(1)
        .collect();
    all.sort_by_key(|(u, v)| (u * u + v * v, *u));
    all.truncate(BITS);
    all
}

/// Groups of hashes, each within `max_distance` of another of its group; those alone are left out.
///
/// A group is sorted, groups are in the order of their first; the same for any order of work. Two ends of a chain may be
/// farther apart than `max_distance`.
///
/// # Numerics
/// Two hashes that differ in at most d bits agree in one of d + 1 parts of them: only those that agree in a part are
/// compared. Where many agree, as no radiographs do, all are compared with all: at most n² comparisons.
pub fn near(hashes: &[Hash], max_distance: u32) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..hashes.len()).collect();
    order.sort_by_key(|place| (hashes[*place], *place));
    let mut groups = Groups::of(hashes.len());
    for pair in order.windows(2) {
        if hashes[pair[0]] == hashes[pair[1]] {
            groups.join(pair[0], pair[1]);
        }
    }
    if max_distance > 0 {
        order.dedup_by_key(|place| hashes[*place]);
        join_near(hashes, &order, max_distance, &mut groups);
    }
    groups.larger_than_one()
}

/// Joins those of `places`, whose hashes are all different, that are near.
fn join_near(hashes: &[Hash], places: &[usize], max_distance: u32, groups: &mut Groups) {
    let parts = (max_distance as usize).min(BITS - 1) + 1;
    let mut allowed = pairs(places.len());
    let mut keyed: Vec<(u128, usize)> = Vec::with_capacity(places.len());
    for part in 0..parts {
        keyed.clear();
        // Bits of all radii in each part: the lowest frequencies are alike in all radiographs.
        let key = |hash: Hash| {
            (part..BITS)
                .step_by(parts)
                .fold(0_u128, |key, place| key << 1 | u128::from(hash.bit(place)))
        };
        keyed.extend(places.iter().map(|place| (key(hashes[*place]), *place)));
        keyed.sort_unstable();
        let runs = || keyed.chunk_by(|a, b| a.0 == b.0);
        let needed: u64 = runs().map(|run| pairs(run.len())).sum();
        if needed > allowed {
            let all: Vec<(u128, usize)> = places.iter().map(|place| (0, *place)).collect();
            return join_within(hashes, &all, max_distance, groups);
        }
        allowed -= needed;
        runs().for_each(|run| join_within(hashes, run, max_distance, groups));
    }
}

fn join_within(hashes: &[Hash], run: &[(u128, usize)], max_distance: u32, groups: &mut Groups) {
    for (nth, (_, one)) in run.iter().enumerate() {
        for (_, other) in &run[nth + 1..] {
            if hashes[*one].distance(hashes[*other]) <= max_distance {
                groups.join(*one, *other);
            }
        }
    }
}

fn pairs(of: usize) -> u64 {
    let of = of as u64;
    of * of.saturating_sub(1) / 2
}

/// Disjoint sets, each named after its smallest member.
struct Groups {
    parents: Vec<usize>,
}

impl Groups {
    fn of(length: usize) -> Self {
        Self {
            parents: (0..length).collect(),
        }
    }

    fn name(&mut self, mut member: usize) -> usize {
        while self.parents[member] != member {
            self.parents[member] = self.parents[self.parents[member]];
            member = self.parents[member];
        }
        member
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.name(one), self.name(other));
        self.parents[one.max(other)] = one.min(other);
    }

    fn larger_than_one(mut self) -> Vec<Vec<usize>> {
        let mut named: Vec<(usize, usize)> = (0..self.parents.len())
            .map(|member| (self.name(member), member))
            .collect();
        named.sort_unstable();
        named
            .chunk_by(|a, b| a.0 == b.0)
            .filter(|group| group.len() > 1)
            .map(|group| group.iter().map(|(_, member)| *member).collect())
            .collect()
    }
}

#[cfg(test)]
mod tests;
