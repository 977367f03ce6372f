//! The pathological partition: a client has patients of few classes.
//!
//! In: patients, clients, classes a client. Out: a client number each. Start at [`Pathological::assign`].

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use super::{PartitionError, clients::deal, patients::Patient};
use crate::random::Random;

pub(super) struct Pathological {
    /// Classes a client has at most, which is its number of shards.
    pub classes: u32,
    pub clients: u32,
}

impl Pathological {
    /// Cuts the patients, class by class, into as many shards as all clients take, and deals them at random.
    pub fn assign(&self, patients: &[Patient<'_>], random: &mut Random) -> Result<Vec<u32>, PartitionError> {
        let mut members = BTreeMap::<u32, Vec<usize>>::new();
        for (index, patient) in patients.iter().enumerate() {
            members.entry(patient.class).or_default().push(index);
        }
        let members: Vec<Vec<usize>> = members.into_values().collect();
        let shards = self.shards(members.len(), patients.len())?;

        // Shards are numbered class by class.
        let mut shard_of = vec![0; patients.len()];
        let mut first = 0;
        for (class, shards) in members.iter().zip(apportion(&members, patients, shards)) {
            for (patient, shard) in deal(patients, class, shards, random) {
                shard_of[patient] = first + shard as usize;
            }
            first += shards as usize;
        }
        let order = random.permutation(shards);
        let mut client_of = vec![0; shards];
        for (place, shard) in order.into_iter().enumerate() {
            client_of[shard] = (place / self.classes as usize) as u32;
        }
        Ok(shard_of.into_iter().map(|shard| client_of[shard]).collect())
    }

    /// The number of shards; there are at least as many patients, and at most as many classes.
    fn shards(&self, present: usize, patients: usize) -> Result<usize, PartitionError> {
        let &Self { classes, clients } = self;
        if classes == 0 || classes as usize > present {
            return Err(PartitionError::Classes { classes, present });
        }
        let shards = u64::from(clients) * u64::from(classes);
        if shards < present as u64 {
            return Err(PartitionError::ClassesLeftOver {
                clients,
                classes,
                held: shards,
                present,
            });
        }
        if shards > patients as u64 {
            return Err(PartitionError::TooFewForShards {
                patients,
                clients,
                classes,
                shards,
            });
        }
        Ok(shards as usize)
    }
}

/// Shards of each class: one each, and every further one to the class whose shards are then the largest and can be
/// divided, the first of such classes on a tie.
fn apportion(members: &[Vec<usize>], patients: &[Patient<'_>], shards: usize) -> Vec<u32> {
    let samples: Vec<u64> = members
        .iter()
        .map(|class| class.iter().map(|&patient| patients[patient].size()).sum())
        .collect();
    // Positive floats are in the order of their bits.
    let size = |class: usize, shards: u32| (samples[class] as f64 / f64::from(shards)).to_bits();
    let mut given = vec![1; members.len()];
    let mut largest: BinaryHeap<_> = (0..members.len())
        .filter(|&class| members[class].len() > 1)
        .map(|class| (size(class, 1), Reverse(class)))
        .collect();
    for _ in members.len()..shards {
        let (_, Reverse(class)) = largest.pop().expect("there are as many patients as shards");
        given[class] += 1;
        if members[class].len() > given[class] as usize {
            largest.push((size(class, given[class]), Reverse(class)));
        }
    }
    given
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::partition::{
        Scheme, assign_clients, patients,
        tests::{SampleSet, sample_sets},
    };

    /// `sizes[c]` patients of class c, one image each.
    fn singles(sizes: &[usize]) -> SampleSet {
        let rows = sizes.iter().zip(0_u32..);
        SampleSet::new(
            rows.flat_map(|(&size, class)| (0..size).map(move |i| (format!("{class}-{i}"), class, None))),
        )
    }

    fn assign(set: &SampleSet, clients: u32, classes: u32) -> Result<Vec<u32>, PartitionError> {
        assign_clients(&set.samples(), clients, &Scheme::Pathological { classes }, 3)
    }

    #[test]
    fn equal_classes_give_the_published_scheme() {
        // Section 3 of the paper: 100 clients of two shards of 300 of 60,000 digits.
        let set = singles(&[6_000; 10]);
        let assigned = assign(&set, 100, 2).unwrap();
        let mut held = vec![BTreeMap::<u32, u32>::new(); 100];
        for (sample, client) in set.samples().iter().zip(&assigned) {
            *held[*client as usize].entry(sample.class).or_default() += 1;
        }
        for client in &held {
            assert!(client.values().all(|count| count % 300 == 0), "{client:?}");
            assert_eq!(client.values().sum::<u32>(), 600);
        }
        // Most have two digits; the shards are dealt at random, so some may have two shards of one digit.
        let two = held.iter().filter(|client| client.len() == 2).count();
        assert!((75..100).contains(&two), "{two} clients have two digits");
    }

    #[test]
    fn the_class_whose_shards_are_largest_is_divided_next() {
        let of = |sizes: &[usize], shards| {
            let set = singles(sizes);
            let samples = set.samples();
            let patients = patients::group(&samples);
            let mut members = vec![vec![]; sizes.len()];
            for (index, patient) in patients.iter().enumerate() {
                members[patient.class as usize].push(index);
            }
            apportion(&members, &patients, shards)
        };
        assert_eq!(of(&[60, 30, 10], 10), [6, 3, 1]);
        assert_eq!(of(&[1000, 2, 2], 6), [4, 1, 1]);
        assert_eq!(of(&[5, 5], 3), [2, 1]);
        // A class of one patient is not divided.
        assert_eq!(of(&[1, 2, 2], 5), [1, 2, 2]);
    }

    #[test]
    fn what_cannot_be_dealt_says_what_would_do() {
        let set = singles(&[4, 4, 4]);
        assert_eq!(
            assign(&set, 2, 0),
            Err(PartitionError::Classes {
                classes: 0,
                present: 3
            })
        );
        assert_eq!(
            assign(&set, 2, 4),
            Err(PartitionError::Classes {
                classes: 4,
                present: 3
            })
        );
        let error = assign(&set, 2, 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "2 clients of 1 classes each hold at most 2 classes, but there are 3; give clients more classes, or use more clients"
        );
        let error = assign(&set, 7, 2).unwrap_err();
        assert!(
            matches!(
                error,
                PartitionError::TooFewForShards {
                    patients: 12,
                    shards: 14,
                    ..
                }
            ),
            "{error}"
        );
        assert!(assign(&set, 6, 2).is_ok());
        let all = assign_clients(&set.samples(), u32::MAX, &Scheme::Pathological { classes: 3 }, 0);
        assert!(matches!(all, Err(PartitionError::TooFewForShards { .. })));
    }

    proptest! {
        #[test]
        fn clients_have_few_classes_and_every_class_is_with_one(
            set in sample_sets(), clients in 1_u32..8, classes in 1_u32..4, seed: u64,
        ) {
            let samples = set.samples();
            let patients = patients::group(&samples);
            let present: BTreeSet<u32> = patients.iter().map(|patient| patient.class).collect();
            let shards = (clients * classes) as usize;
            let can = classes as usize <= present.len() && present.len() <= shards && shards <= patients.len();
            let assigned = assign_clients(&samples, clients, &Scheme::Pathological { classes }, seed);
            prop_assert_eq!(assigned.is_ok(), can, "{:?}", assigned);
            let Ok(assigned) = assigned else { return Ok(()) };
            let mut held = vec![BTreeSet::new(); clients as usize];
            for patient in &patients {
                held[assigned[patient.samples[0]] as usize].insert(patient.class);
            }
            prop_assert!(held.iter().all(|held| (1..=classes as usize).contains(&held.len())), "{:?}", held);
            prop_assert_eq!(held.into_iter().flatten().collect::<BTreeSet<_>>(), present);
        }
    }
}
