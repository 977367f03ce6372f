//! Documents of secure aggregation: a client's secret key, its public key, and what it reveals of masks.
//!
//! `fl-client keys` writes the first two, once per experiment and dataset; `fl-client train` reads them to mask an
//! update; `fl-client reveal` writes the third for `fl-aggregator aggregate`. Start at [`Identity`].

use std::{fmt, path::Path};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    ids::{ClientId, DatasetName, ExperimentName, Round, SpecDigest},
    job::{JobError, read_json},
};

/// Bits after the point of the fixed-point numbers in masked updates, each the sample count times the trained value.
///
/// With them `n·|w|` of each of K clients may be up to `2³⁹ / K`, as 2²³ for 65,536 clients, and the mean of K clients is
/// off by at most `K·2⁻²⁵ / (total samples)`: 3·10⁻⁹ for clients of ten samples each.
pub const FRACTION_BITS: u32 = 24;

/// Metadata key of a masked update's check: its sample count plus the masks of the parameter after the last, modulo 2⁶⁴,
/// as a decimal number.
///
/// The checks of a round's updates, with the leftover masks taken out as for every parameter, sum to the sum of their
/// sample counts. If they do not, masks did not cancel: keys of another run, a reveal or an update too many or too few.
pub const MASK_CHECK: &str = "mask_check";

/// Fewest clients a sum may be of: the sum of one is its update in the clear.
pub const FEWEST_CLIENTS: usize = 2;

/// The largest such document accepted when reading, in bytes; checked before memory is taken.
pub const MAX_DOCUMENT: u64 = 16 << 20;

/// 32 bytes, written as 64 lower-case hexadecimal digits. They do not print with `{:?}`: they may be a secret.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hex32(pub [u8; 32]);

/// Why a text is no such number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not 64 lower-case hexadecimal digits")]
pub struct InvalidHex;

impl fmt::Debug for Hex32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hex32(..)")
    }
}

impl From<Hex32> for String {
    fn from(Hex32(bytes): Hex32) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl TryFrom<String> for Hex32 {
    type Error = InvalidHex;
    fn try_from(text: String) -> Result<Self, InvalidHex> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(InvalidHex),
        };
        let digits: &[u8; 64] = text.as_bytes().try_into().map_err(|_| InvalidHex)?;
        let mut bytes = [0; 32];
        for (byte, [high, low]) in bytes.iter_mut().zip(digits.as_chunks().0) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Ok(Self(bytes))
    }
}

/// Which client of which federation a document belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The experiment.
    pub experiment: ExperimentName,
    /// The dataset.
    pub dataset: DatasetName,
    /// SHA-256 of the specification.
    pub spec_digest: SpecDigest,
    /// The client.
    pub client: ClientId,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            experiment,
            dataset,
            spec_digest,
            client,
        } = self;
        let digest = &spec_digest.as_str()[..12];
        write!(
            f,
            "client {client} of dataset `{dataset}` of experiment `{experiment}`, specification {digest}…"
        )
    }
}

/// A client's secret key. It stays with the client, readable by its user alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretKeyFile {
    /// Format version, [`SecretKeyFile::VERSION`].
    pub fedwing_secret_key: u32,
    /// Whose key it is.
    pub of: Identity,
    /// The X25519 secret.
    pub secret: Hex32,
}

/// A client's public key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicKeyFile {
    /// Format version, [`PublicKeyFile::VERSION`].
    pub fedwing_public_key: u32,
    /// Whose key it is.
    pub of: Identity,
    /// The X25519 public key.
    pub public: Hex32,
}

/// What a client reveals of a round: the seeds of masks that stay in the sum because others are absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevealFile {
    /// Format version, [`RevealFile::VERSION`].
    pub fedwing_reveal: u32,
    /// Who reveals.
    pub of: Identity,
    /// The round.
    pub round: Round,
    /// The seeds shared with absent clients, in client order; empty when nobody is absent, and of a client that is
    /// absent itself.
    pub seeds: Vec<RevealedSeed>,
}

/// The seed of the mask shared with an absent client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevealedSeed {
    /// The absent client.
    pub absent: ClientId,
    /// The seed for this pair and round.
    pub seed: Hex32,
}

macro_rules! documents {
    ($( $type:ident, $field:ident, $file:literal; )*) => { $(
        impl $type {
            /// The format version this code writes and reads.
            pub const VERSION: u32 = 1;

            #[doc = concat!("Reads a ", $file, ".")]
            ///
            /// # Errors
            /// `InputMissing` or `Io` if it cannot be read; `InputInvalid` naming the file if it is too large, of
            /// another version, or no such document.
            pub fn read(path: &Path) -> Result<Self, JobError> {
                read_document(path, $file, stringify!($field), Self::VERSION)
            }
        }
    )* };
}

documents! {
    SecretKeyFile, fedwing_secret_key, "secret key file";
    PublicKeyFile, fedwing_public_key, "public key file";
    RevealFile, fedwing_reveal, "reveal file";
}

/// The version is looked at first: a newer format may have fields that do not parse here.
fn read_document<T: DeserializeOwned>(
    path: &Path,
    file: &str,
    field: &str,
    known: u32,
) -> Result<T, JobError> {
    let value: serde_json::Value = read_json(path, MAX_DOCUMENT)?;
    match value.get(field) {
        Some(version) if *version == known => {
            serde_json::from_value(value).map_err(|error| JobError::invalid(path, error))
        }
        Some(version) => {
            let reason = format!("it says `{field}` {version}, this program reads version {known}");
            Err(JobError::invalid(path, reason).help("use the fedwing that wrote it"))
        }
        None => Err(JobError::invalid(
            path,
            format!("not a {file}: it has no `{field}`"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;
    use crate::{exit::JobExit, job::write_json};

    fn identity() -> Identity {
        Identity {
            experiment: "e1".parse().unwrap(),
            dataset: "nih".parse().unwrap(),
            spec_digest: "0".repeat(64).parse().unwrap(),
            client: ClientId(3),
        }
    }

    fn reveal() -> RevealFile {
        RevealFile {
            fedwing_reveal: RevealFile::VERSION,
            of: identity(),
            round: Round(4),
            seeds: vec![RevealedSeed {
                absent: ClientId(1),
                seed: Hex32(std::array::from_fn(|i| i as u8)),
            }],
        }
    }

    fn scratch(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("fedwing-secure-{name}-{}.json", std::process::id()))
    }

    #[test]
    fn a_document_reads_back() {
        let path = scratch("back");
        write_json(&path, &reveal()).unwrap();
        assert_eq!(RevealFile::read(&path), Ok(reveal()));
        let error = PublicKeyFile::read(&path).unwrap_err();
        assert!(
            error
                .message
                .ends_with("not a public key file: it has no `fedwing_public_key`"),
            "{error}"
        );
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_newer_document_is_refused_by_its_version_whatever_is_in_it() {
        let path = scratch("newer");
        fs::write(&path, r#"{"fedwing_reveal": 2, "lattice": []}"#).unwrap();
        let error = RevealFile::read(&path).unwrap_err();
        assert_eq!(error.exit, JobExit::InputInvalid);
        assert!(
            error
                .message
                .ends_with("it says `fedwing_reveal` 2, this program reads version 1"),
            "{error}"
        );
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn bytes_are_written_as_hex_and_only_such_hex_is_read() {
        let hex = Hex32(std::array::from_fn(|i| 0xf8_u8.wrapping_add(i as u8)));
        let text = String::from(hex);
        assert!(text.starts_with("f8f9fafbfcfdfeff0001"), "{text}");
        assert_eq!(Hex32::try_from(text.clone()), Ok(hex));
        for bad in [
            &text[1..],
            &text.to_uppercase(),
            &format!("{text}0"),
            &text.replace('f', "g"),
            &"é".repeat(32),
        ] {
            assert_eq!(Hex32::try_from(bad.to_owned()), Err(InvalidHex), "{bad}");
        }
        assert_eq!(format!("{hex:?}"), "Hex32(..)");
    }
}
