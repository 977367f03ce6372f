//! Holds out a share of the patients for testing.

use std::collections::BTreeMap;

use super::{
    PartitionError, Sample, Side,
    patients::{self, Patient},
};
use crate::random::Random;

/// Draws the test patients, stratified by institution and majority class.
///
/// `round(fraction · patients)` patients, at least one and never all, are divided over the strata (first institution by
/// name x class most of the patient's samples have) in proportion to their sizes, the largest remainders first; within a
/// stratum they are drawn at random. Every sample of a patient goes to the patient's side.
///
/// # Shapes
/// - `samples`: N; returns N sides in the same order
/// # Errors
/// [`PartitionError`]: `Fraction` outside (0, 1), `TooFewPatients` below two patients
/// # Example
/// ```
/// use kernels::partition::{Sample, Side, split_test};
/// let patients: Vec<String> = (0..10).map(|i| format!("p{i}")).collect();
/// let samples: Vec<_> = patients
///     .iter()
///     .enumerate()
///     .map(|(i, patient)| Sample { patient, class: i as u32 % 2, institution: None, attribute: None })
///     .collect();
/// let sides = split_test(&samples, 0.2, 7)?;
/// assert_eq!(sides.iter().filter(|side| **side == Side::Test).count(), 2);
/// # Ok::<(), kernels::partition::PartitionError>(())
/// ```
pub fn split_test(samples: &[Sample<'_>], fraction: f64, seed: u64) -> Result<Vec<Side>, PartitionError> {
    if !(fraction > 0.0 && fraction < 1.0) {
        return Err(PartitionError::Fraction { fraction });
    }
    let patients = patients::group(samples);
    if patients.len() < 2 {
        return Err(PartitionError::TooFewPatients {
            patients: patients.len(),
            parts: 2,
        });
    }
    let wanted = ((fraction * patients.len() as f64).round() as usize).clamp(1, patients.len() - 1);

    let mut strata = BTreeMap::<_, Vec<usize>>::new();
    for (
        index,
        Patient {
            class, institutions, ..
        },
    ) in patients.iter().enumerate()
    {
        strata.entry((institutions[0], *class)).or_default().push(index);
    }
    let mut strata: Vec<Vec<usize>> = strata.into_values().collect();
    let quotas = proportional(&strata.iter().map(Vec::len).collect::<Vec<_>>(), wanted);

    let mut random = Random::new(seed);
    let mut sides = vec![Side::Train; patients.len()];
    for (stratum, quota) in strata.iter_mut().zip(quotas) {
        random.shuffle(stratum);
        for &patient in &stratum[..quota] {
            sides[patient] = Side::Test;
        }
    }
    Ok(patients::per_sample(&patients, &sides, Side::Train))
}

/// Divides `wanted` over parts in proportion to `sizes`: whole parts first, then the largest remainders (Hamilton).
fn proportional(sizes: &[usize], wanted: usize) -> Vec<usize> {
    let total: usize = sizes.iter().sum();
    let mut quotas: Vec<usize> = sizes.iter().map(|size| size * wanted / total).collect();
    let missing = wanted - quotas.iter().sum::<usize>();
    let mut by_remainder: Vec<usize> = (0..sizes.len()).collect();
    by_remainder.sort_by_key(|&part| std::cmp::Reverse(sizes[part] * wanted % total));
    for &part in &by_remainder[..missing] {
        quotas[part] += 1;
    }
    quotas
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::tests::{SampleSet, sample_sets};
    use proptest::prelude::*;

    #[test]
    fn quotas_follow_the_sizes_and_sum_to_what_is_wanted() {
        assert_eq!(proportional(&[6, 3, 1], 5), [3, 2, 0]);
        assert_eq!(proportional(&[1, 1, 1], 2), [1, 1, 0]);
        assert_eq!(proportional(&[4], 4), [4]);
    }

    #[test]
    fn a_rare_class_is_held_out_in_its_share() {
        let ids: Vec<String> = (0..1000).map(|i| i.to_string()).collect();
        let samples: Vec<_> = ids
            .iter()
            .enumerate()
            .map(|(i, patient)| Sample {
                patient,
                class: u32::from(i % 20 == 0),
                institution: None,
                attribute: None,
            })
            .collect();
        let sides = split_test(&samples, 0.2, 3).unwrap();
        let rare = samples
            .iter()
            .zip(&sides)
            .filter(|(s, side)| s.class == 1 && **side == Side::Test)
            .count();
        assert_eq!(rare, 10);
    }

    #[test]
    fn a_fraction_that_is_none_and_a_single_patient_are_refused() {
        let one = [Sample {
            patient: "a",
            class: 0,
            institution: None,
            attribute: None,
        }; 3];
        assert_eq!(
            split_test(&one, 0.5, 0),
            Err(PartitionError::TooFewPatients {
                patients: 1,
                parts: 2
            })
        );
        for fraction in [0.0, 1.0, -0.1, f64::NAN] {
            assert!(matches!(
                split_test(&one, fraction, 0),
                Err(PartitionError::Fraction { .. })
            ));
        }
    }

    proptest! {
        #[test]
        fn no_patient_is_on_two_sides_and_the_share_is_met(set in sample_sets(), fraction in 0.01..0.99_f64, seed: u64) {
            let samples = set.samples();
            let patients = set.patients();
            prop_assume!(patients.len() > 1);
            let sides = split_test(&samples, fraction, seed).unwrap();
            let mut of = BTreeMap::new();
            for (sample, side) in samples.iter().zip(&sides) {
                prop_assert_eq!(of.entry(sample.patient).or_insert(*side), side);
            }
            let test = of.values().filter(|side| **side == Side::Test).count();
            let wanted = (fraction * patients.len() as f64).round();
            prop_assert!((test as f64 - wanted).abs() <= 1.0);
            prop_assert!(test >= 1 && test < patients.len());
        }

        #[test]
        fn the_order_of_samples_does_not_matter(set in sample_sets(), seed: u64, turn in 0_usize..100) {
            prop_assume!(set.patients().len() > 1);
            let (samples, turned) = (set.samples(), set.rotated(turn));
            let by_patient = |set: &SampleSet| {
                let sides = split_test(&set.samples(), 0.3, seed).unwrap();
                set.samples().iter().zip(sides).map(|(s, side)| (s.patient.to_owned(), side)).collect::<BTreeMap<_, _>>()
            };
            prop_assert_eq!(samples.len(), turned.samples().len());
            prop_assert_eq!(by_patient(&set), by_patient(&turned));
        }
    }
}
