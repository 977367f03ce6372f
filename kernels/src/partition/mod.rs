//! Decides which samples are held out and which client has which, always by patient.
//!
//! In: [`Sample`]s (patient, class, institution, attribute) and a seed. Out: a [`Side`] or a client number per sample.
//! Start at [`split_test`] and [`assign_clients`]; [`divergence`] says how far two class distributions are apart.
//! Always kept: a patient's samples are never on two sides nor with two clients. The result depends on the samples as a
//! set: their order, threads and hash maps have no part in it.

mod clients;
pub mod divergence;
mod error;
mod named;
mod pathological;
mod patients;
mod skew;
mod test_split;

pub use clients::assign_clients;
pub use error::PartitionError;
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
    /// The value of the attribute a partition goes by, where the source tells.
    pub attribute: Option<&'a str>,
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
    /// Shares of all samples drawn from a symmetric Dirichlet distribution; class proportions as they fall.
    QuantitySkew {
        /// Concentration: small is skewed, large is even; positive and finite.
        alpha: f64,
        /// Fewest samples a client may have; 0 means 1.
        min_size: u64,
    },
    /// Each client has patients of so many classes at most.
    Pathological {
        /// Classes a client has at most; 1 to the number of classes.
        classes: u32,
    },
    /// One client per value of the attribute, in the order of their names.
    Attribute,
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
                // One text serves both: what places a patient by one says nothing of the other.
                attribute: *institution,
            })
            .collect()
        }

        pub(super) fn patients(&self) -> BTreeSet<&str> {
            self.0.iter().map(|row| row.0.as_str()).collect()
        }

        /// Samples of no institution are given one.
        pub(super) fn with_institutions(&self) -> Self {
            let rows = self.0.iter();
            Self(
                rows.map(|(patient, class, institution)| {
                    (patient.clone(), *class, institution.or(Some("east")))
                })
                .collect(),
            )
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
            attribute: Some(if patient.len() % 2 == 0 { "even" } else { "odd" }),
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
            Scheme::QuantitySkew {
                alpha: 0.5,
                min_size: 10,
            },
            Scheme::Pathological { classes: 1 },
        ] {
            assert_eq!(assign_clients(&train, 10, &scheme, 7).unwrap().len(), train.len());
        }
        let halves = assign_clients(&train, 2, &Scheme::Attribute, 7).unwrap();
        assert_eq!(halves.len(), train.len());
    }
}
