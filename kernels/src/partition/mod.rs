//! Decides which samples are held out and which client has which, always by patient.
//!
//! In: [`Sample`]s (patient, class, institution) and a seed. Out: a [`Side`] or a client number per sample.
//! Start at [`split_test`] and [`assign_clients`]; [`divergence`] says how far two class distributions are apart.
//! Always kept: a patient's samples are never on two sides nor with two clients. The result depends on the samples as a
//! set: their order, threads and hash maps have no part in it.

mod clients;
pub mod divergence;
mod patients;
mod test_split;

pub use clients::assign_clients;
pub use test_split::split_test;

/// One image, as far as partitioning goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample<'a> {
    /// The patient's identifier: equal text is the same patient.
    pub patient: &'a str,
    /// Class index.
    pub class: u32,
    /// The institution it comes from, where the source tells.
    pub institution: Option<&'a str>,
}

/// Which side of the test split a sample is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Trained on.
    Train,
    /// Held out.
    Test,
}

/// How samples come to clients.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scheme {
    /// One client per institution, in the order of their names.
    Natural,
    /// Evenly at random: patients shuffled, then dealt, largest first, to the client with the fewest samples.
    Iid,
    /// By a hash of seed and patient identifier: a patient stays where they are when others are added.
    PatientHash,
    /// Per class, proportions over clients drawn from a symmetric Dirichlet distribution.
    Dirichlet {
        /// Concentration: small is skewed, large is even; positive and finite.
        alpha: f64,
        /// Fewest samples a client may have; 0 means 1.
        min_size: u64,
    },
}

/// Why samples cannot be partitioned as asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PartitionError {
    /// A share that is none.
    #[error("the share of test patients must be more than 0 and less than 1, not {fraction}")]
    Fraction {
        /// The share as given.
        fraction: f64,
    },
    /// A concentration that is none.
    #[error("the Dirichlet concentration `alpha` must be a positive number, not {alpha}")]
    Alpha {
        /// The concentration as given.
        alpha: f64,
    },
    /// Zero clients.
    #[error("the number of clients must be at least 1")]
    NoClients,
    /// Fewer patients than sides or clients.
    #[error(
        "{patients} patients cannot be divided into {parts} parts, because a patient is never divided; use fewer clients or more patients"
    )]
    TooFewPatients {
        /// Patients there are.
        patients: usize,
        /// Parts asked for.
        parts: u32,
    },
    /// A client ended up with nothing.
    #[error(
        "{clients} clients over {patients} patients leave client {client} without samples; use fewer clients, or `iid`"
    )]
    EmptyClient {
        /// The first such client.
        client: u32,
        /// Clients asked for.
        clients: u32,
        /// Patients there are.
        patients: usize,
    },
    /// `natural` without institutions.
    #[error(
        "patient `{patient}` has a sample of no institution, so `natural` cannot place it; name the column of institutions, or use another partition"
    )]
    NoInstitution {
        /// The patient.
        patient: String,
    },
    /// `natural` with a patient in two places.
    #[error(
        "patient `{patient}` has samples at `{first}` and at `{second}`; make the identifiers distinct if they are two people, or use another partition"
    )]
    TwoInstitutions {
        /// The patient.
        patient: String,
        /// An institution of theirs.
        first: String,
        /// Another.
        second: String,
    },
    /// `natural` with another number of clients.
    #[error(
        "the samples come from {institutions} institutions ({names}), but {clients} clients are asked for; with `natural` the two are the same"
    )]
    Institutions {
        /// Institutions there are.
        institutions: usize,
        /// The first of their names.
        names: String,
        /// Clients asked for.
        clients: u32,
    },
    /// No draw left every client enough samples.
    #[error(
        "no Dirichlet draw of {tries} gave each of {clients} clients at least {min_size} of {samples} samples at alpha {alpha} (smallest client seen: {smallest}); raise alpha, lower the minimum size, or use fewer clients"
    )]
    TooSkewed {
        /// Samples to divide.
        samples: u64,
        /// Clients asked for.
        clients: u32,
        /// Concentration.
        alpha: f64,
        /// Fewest samples a client may have.
        min_size: u64,
        /// Samples of the smallest client in the last draw.
        smallest: u64,
        /// Draws made.
        tries: u32,
    },
    /// No draw could ever leave every client enough samples.
    #[error(
        "{clients} clients of at least {min_size} samples need {needed}, but there are {samples}; lower the minimum size, or use fewer clients"
    )]
    TooFewSamples {
        /// Samples to divide.
        samples: u64,
        /// Clients asked for.
        clients: u32,
        /// Fewest samples a client may have.
        min_size: u64,
        /// Their product.
        needed: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Samples that own their text.
    #[derive(Debug, Clone)]
    pub(super) struct SampleSet(Vec<(String, u32, Option<&'static str>)>);

    impl SampleSet {
        pub(super) fn new(rows: impl IntoIterator<Item = (String, u32, Option<&'static str>)>) -> Self {
            Self(rows.into_iter().collect())
        }

        pub(super) fn samples(&self) -> Vec<Sample<'_>> {
            let rows = self.0.iter();
            rows.map(|(patient, class, institution)| Sample {
                patient,
                class: *class,
                institution: *institution,
            })
            .collect()
        }

        pub(super) fn patients(&self) -> BTreeSet<&str> {
            self.0.iter().map(|row| row.0.as_str()).collect()
        }

        pub(super) fn rotated(&self, by: usize) -> Self {
            let mut rows = self.0.clone();
            rows.rotate_left(by % self.0.len());
            Self(rows)
        }
    }

    pub(super) fn sample_sets() -> impl Strategy<Value = SampleSet> {
        let institution = prop::option::of(prop::sample::select(vec!["north", "south"]));
        let row = ("[a-m]{1,2}", 0_u32..3, institution);
        prop::collection::vec(row, 1..80).prop_map(SampleSet)
    }

    #[test]
    fn the_size_of_chest_xray14_takes_a_moment_only() {
        // 30,805 patients, 112,120 images. No clock: the test's point is that it ends at once even unoptimised.
        let ids: Vec<String> = (0..112_120_u32)
            .map(|i| (i * 7919 % 30_805).to_string())
            .collect();
        let sample = |(i, patient)| Sample {
            patient,
            class: u32::from(i % 2 == 0),
            institution: None,
        };
        let samples: Vec<_> = ids.iter().map(String::as_str).enumerate().map(sample).collect();
        let sides = split_test(&samples, 0.2, 7).unwrap();
        let train: Vec<_> = samples
            .iter()
            .zip(&sides)
            .filter(|(_, s)| **s == Side::Train)
            .map(|(s, _)| *s)
            .collect();
        for scheme in [
            Scheme::Iid,
            Scheme::PatientHash,
            Scheme::Dirichlet {
                alpha: 0.5,
                min_size: 10,
            },
        ] {
            assert_eq!(assign_clients(&train, 10, &scheme, 7).unwrap().len(), train.len());
        }
    }
}
