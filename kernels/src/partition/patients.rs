//! Groups samples by patient: the unit everything here moves.

use std::collections::BTreeMap;

use super::Sample;

/// One patient's samples together.
pub(super) struct Patient<'a> {
    /// Identifier.
    pub id: &'a str,
    /// Indices of the samples, ascending.
    pub samples: Vec<usize>,
    /// The class most of the samples have; the lower index on a tie.
    pub class: u32,
    /// The institutions of the samples, sorted, each once; `None` where a sample has none.
    pub institutions: Vec<Option<&'a str>>,
    /// The attribute's value most of the samples have, the first by name on a tie; `None` if a sample has none.
    pub attribute: Option<&'a str>,
}

impl Patient<'_> {
    pub fn size(&self) -> u64 {
        self.samples.len() as u64
    }
}

/// The patients in the order of their identifiers' bytes, whatever the order of the samples.
pub(super) fn group<'a>(samples: &[Sample<'a>]) -> Vec<Patient<'a>> {
    let mut order: Vec<usize> = (0..samples.len()).collect();
    order.sort_unstable_by_key(|&i| (samples[i].patient, i));
    order
        .chunk_by(|&a, &b| samples[a].patient == samples[b].patient)
        .map(|members| {
            let mut institutions: Vec<_> = members.iter().map(|&i| samples[i].institution).collect();
            institutions.sort_unstable();
            institutions.dedup();
            Patient {
                id: samples[members[0]].patient,
                samples: members.to_vec(),
                class: majority(members.iter().map(|&i| samples[i].class)),
                institutions,
                attribute: (members
                    .iter()
                    .map(|&i| samples[i].attribute)
                    .collect::<Option<Vec<_>>>())
                .map(|values| majority(values.into_iter())),
            }
        })
        .collect()
}

/// The value that is there most often; the least of them on a tie.
fn majority<T: Ord + Copy>(values: impl Iterator<Item = T>) -> T {
    let mut counts = BTreeMap::<T, u32>::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    let best = counts.iter().rev().max_by_key(|(_, count)| **count);
    *best.expect("a patient is a group of at least one sample").0
}

/// Spreads a decision per patient over their samples.
pub(super) fn per_sample<T: Copy>(patients: &[Patient<'_>], decisions: &[T], default: T) -> Vec<T> {
    let count = patients.iter().map(|patient| patient.samples.len()).sum();
    let mut out = vec![default; count];
    for (patient, decision) in patients.iter().zip(decisions) {
        for &sample in &patient.samples {
            out[sample] = *decision;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(patient: &str, class: u32) -> Sample<'_> {
        Sample {
            patient,
            class,
            institution: None,
            attribute: None,
        }
    }

    #[test]
    fn patients_come_in_the_order_of_their_names_with_their_majority_class() {
        let samples = [
            sample("b", 1),
            sample("a", 2),
            sample("b", 0),
            sample("b", 0),
            sample("a", 1),
        ];
        let patients = group(&samples);
        let seen: Vec<_> = patients
            .iter()
            .map(|p| (p.id, p.samples.as_slice(), p.class))
            .collect();
        assert_eq!(seen, [("a", &[1, 4][..], 1), ("b", &[0, 2, 3][..], 0)]);
        assert_eq!(per_sample(&patients, &['x', 'y'], '-'), ['y', 'x', 'y', 'y', 'x']);
    }
}
