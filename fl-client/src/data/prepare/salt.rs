//! What patients are called in shards.
//!
//! In: a secret, and patient identifiers. Out: hashes that tell patients apart and not who they are. Start at
//! [`Salt::read`].

use std::{fs, io::Read, path::Path};

use contract::job::JobError;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::data::{config::Config, shard::PatientHash};

/// The shortest secret accepted, in bytes: a shorter one can be guessed, and identifiers with it.
const SHORTEST: u64 = 16;
/// The longest secret accepted, in bytes.
const LONGEST: u64 = 4096;

/// A key of patient hashes.
pub struct Salt(Hmac<Sha256>);

impl Salt {
    /// The site's secret; without one a key that follows from the seed and the dataset's name, which whoever knows both
    /// can make again.
    ///
    /// # Errors
    /// `InputMissing` or `Io` if the file cannot be read; `InputInvalid` if it is too short or too long.
    pub fn read(file: Option<&Path>, config: &Config) -> Result<Self, JobError> {
        let key = match file {
            None => format!("fedwing patients\0{}\0{}", config.dataset, config.seed.0).into_bytes(),
            Some(path) => {
                let reading = |error| JobError::reading(path, &error);
                let mut key = Vec::new();
                let file = fs::File::open(path).map_err(reading)?;
                file.take(LONGEST + 1).read_to_end(&mut key).map_err(reading)?;
                let length = key.len() as u64;
                if !(SHORTEST..=LONGEST).contains(&length) {
                    let reason =
                        format!("a secret has {SHORTEST} to {LONGEST} bytes, this file has {length} or more");
                    return Err(JobError::invalid(path, reason)
                        .help("write random bytes to it once: `head -c 32 /dev/urandom > FILE`; keep it at the site"));
                }
                key
            }
        };
        Ok(Self(
            Hmac::new_from_slice(&key).expect("HMAC takes keys of any length"),
        ))
    }

    /// A patient's hash: the first half of HMAC-SHA256 (RFC 2104) of the identifier.
    pub fn hash(&self, patient: &str) -> PatientHash {
        let mut mac = self.0.clone();
        mac.update(patient.as_bytes());
        let whole = mac.finalize().into_bytes();
        std::array::from_fn(|index| whole[index])
    }
}

#[cfg(test)]
mod tests {
    use contract::exit::JobExit;
    use tempfile::TempDir;

    use super::*;
    use crate::data::fixtures::phantom_config;

    #[test]
    fn a_hash_is_the_first_half_of_the_hmac_of_rfc_4231() {
        // Test case 1 of RFC 4231 has a key of 20 bytes.
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("salt");
        fs::write(&path, [0x0b; 20]).unwrap();
        let config = Config::new(phantom_config()).unwrap();
        let salt = Salt::read(Some(&path), &config).unwrap();
        let expected = 0xb034_4c61_d8db_3853_5ca8_afce_af0b_f12b_u128;
        assert_eq!(salt.hash("Hi There"), expected.to_be_bytes());
    }

    #[test]
    fn without_a_secret_the_key_is_of_the_seed_and_the_dataset() {
        let hash = |seed: u64, dataset: &str| {
            let mut config = phantom_config();
            (config.seed.0, config.dataset) = (seed, dataset.parse().unwrap());
            Salt::read(None, &Config::new(config).unwrap())
                .unwrap()
                .hash("p1")
        };
        assert_eq!(hash(1, "a"), hash(1, "a"));
        assert_ne!(hash(1, "a"), hash(2, "a"));
        assert_ne!(hash(1, "a"), hash(1, "b"));
    }

    #[test]
    fn a_secret_that_is_none_is_refused() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("salt");
        let config = Config::new(phantom_config()).unwrap();
        let exit = || Salt::read(Some(&path), &config).map(|_| ()).unwrap_err().exit;
        assert_eq!(exit(), JobExit::InputMissing);
        fs::write(&path, [7; 15]).unwrap();
        assert_eq!(exit(), JobExit::InputInvalid);
        fs::write(&path, [7; 4097]).unwrap();
        assert_eq!(exit(), JobExit::InputInvalid);
        fs::write(&path, [7; 16]).unwrap();
        assert!(Salt::read(Some(&path), &config).is_ok());
    }
}
