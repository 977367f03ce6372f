//! Identifiers: names people choose, and the numbers of clients and rounds.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a name: use 1 to {max} of a-z, 0-9, `-` and `_`, starting with a letter")]
pub struct InvalidName {
    /// The text as given.
    pub given: String,
    max: usize,
}

/// The longest name accepted, in bytes; file names made of two names and numbers stay below 255.
pub const MAX_NAME: usize = 64;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Accepts 1 to [`MAX_NAME`] of `a-z`, `0-9`, `-` and `_`, the first a letter.
            ///
            /// # Errors
            /// [`InvalidName`] with the text as given.
            pub fn new(text: &str) -> Result<Self, InvalidName> {
                let ok = text.len() <= MAX_NAME
                    && text.starts_with(|c: char| c.is_ascii_lowercase())
                    && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
                if ok { Ok(Self(text.into())) } else { Err(InvalidName { given: text.to_owned(), max: MAX_NAME }) }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }
    };
}

name! {
    /// The experiment; it stands in every file name, so two experiments never overwrite each other.
    ExperimentName
}
name! {
    /// A dataset of an experiment; each dataset is a federation of its own.
    DatasetName
}
name! {
    /// A place where clients' data lives.
    SiteName
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map($name)
            }
        }
    };
}

number! {
    /// A client of one dataset, counted from 0.
    ClientId(u32)
}
number! {
    /// A round of one federation; 0 is the initial model, 1 the first training round.
    Round(u32)
}
number! {
    /// The seed every random draw of an experiment descends from.
    Seed(u64)
}

impl Seed {
    /// A seed for one purpose, independent of the seeds of other purposes.
    ///
    /// FNV-1a over the seed and `purpose`, finished with SplitMix64's mixer; stable across versions and platforms.
    #[must_use]
    pub fn derive(self, purpose: &str) -> Seed {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in self.0.to_le_bytes().into_iter().chain(purpose.bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Seed(hash ^ (hash >> 31))
    }
}

/// SHA-256 of the specification's text, as 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SpecDigest(Arc<str>);

impl SpecDigest {
    /// Accepts 64 lower-case hexadecimal digits.
    ///
    /// # Errors
    /// [`InvalidDigest`] with the text as given.
    pub fn new(text: &str) -> Result<Self, InvalidDigest> {
        let ok = text.len() == 64
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if ok {
            Ok(Self(text.into()))
        } else {
            Err(InvalidDigest {
                given: text.to_owned(),
            })
        }
    }

    /// The 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a SHA-256 digest of 64 lower-case hexadecimal digits")]
pub struct InvalidDigest {
    /// The text as given.
    pub given: String,
}

impl fmt::Display for SpecDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SpecDigest {
    type Err = InvalidDigest;
    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        Self::new(text)
    }
}

impl TryFrom<String> for SpecDigest {
    type Error = InvalidDigest;
    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        Self::new(&text)
    }
}

impl From<SpecDigest> for String {
    fn from(digest: SpecDigest) -> String {
        digest.0.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_their_alphabet() {
        assert!(ExperimentName::new("e1-baseline_2").is_ok());
        for bad in ["", "1e", "E1", "a b", "a/b", "a.b", &"a".repeat(MAX_NAME + 1)] {
            assert!(ExperimentName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn derived_seeds_depend_on_seed_and_purpose_and_never_change() {
        assert_ne!(Seed(7).derive("a"), Seed(7).derive("b"));
        assert_ne!(Seed(7).derive("a"), Seed(8).derive("a"));
        assert_eq!(Seed(7).derive("partition"), Seed(7).derive("partition"));
    }
}
