//! Divides samples between clients.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
};

use super::{
    PartitionError, Sample, Scheme,
    patients::{self, Patient},
};
use crate::random::{Random, mix};

/// Dirichlet draws made before giving up, as flwr-datasets does.
const DIRICHLET_TRIES: u32 = 11;

/// Gives every sample to one of `clients` clients.
///
/// No client is left without samples, and a patient's samples all go to the same client.
///
/// # Shapes
/// - `samples`: N, of the training side only; returns N client numbers from 0 to below `clients`, in the same order
/// # Errors
/// [`PartitionError`] with the facts and a way out
/// # Source
/// `Dirichlet`: Hsu et al. 2019, arXiv:1909.06335, in the per-class form of Yurochkin et al. 2019, arXiv:1905.12022, which
/// flwr-datasets uses too: for each class in order, proportions over clients are drawn from Dir(alpha), the class's
/// patients are shuffled and cut at `int(cumulated proportion · samples of the class)`; everything is drawn again while a
/// client is below the minimum. With one image per patient that is all; a patient with more belongs to the class most
/// of their images have and goes where their middle image falls.
pub fn assign_clients(
    samples: &[Sample<'_>],
    clients: u32,
    scheme: &Scheme,
    seed: u64,
) -> Result<Vec<u32>, PartitionError> {
    if clients == 0 {
        return Err(PartitionError::NoClients);
    }
    let patients = patients::group(samples);
    let assigned = match *scheme {
        Scheme::Natural => natural(&patients, clients)?,
        Scheme::Iid => iid(&patients, clients, seed),
        Scheme::PatientHash => patients
            .iter()
            .map(|patient| bucket(patient.id, clients, seed))
            .collect(),
        Scheme::Dirichlet { alpha, min_size } => {
            let draw = Dirichlet {
                alpha,
                min_size: min_size.max(1),
                clients,
                samples: samples.len() as u64,
            };
            draw.assign(&patients, &mut Random::new(seed))?
        }
    };
    if let Some(client) = (sizes(&patients, &assigned, clients).iter()).position(|size| *size == 0) {
        let client = client as u32;
        return Err(PartitionError::EmptyClient {
            client,
            clients,
            patients: patients.len(),
        });
    }
    Ok(patients::per_sample(&patients, &assigned, 0))
}

fn sizes(patients: &[Patient<'_>], assigned: &[u32], clients: u32) -> Vec<u64> {
    let mut sizes = vec![0; clients as usize];
    for (patient, client) in patients.iter().zip(assigned) {
        sizes[*client as usize] += patient.size();
    }
    sizes
}

/// One client per institution, in the order of their names.
fn natural(patients: &[Patient<'_>], clients: u32) -> Result<Vec<u32>, PartitionError> {
    let mut home = Vec::with_capacity(patients.len());
    for Patient { id, institutions, .. } in patients {
        match institutions[..] {
            [Some(institution)] => home.push(institution),
            // `None` sorts before every name.
            [Some(first), Some(second), ..] => {
                return Err(PartitionError::TwoInstitutions {
                    patient: (*id).to_owned(),
                    first: first.to_owned(),
                    second: second.to_owned(),
                });
            }
            _ => {
                return Err(PartitionError::NoInstitution {
                    patient: (*id).to_owned(),
                });
            }
        }
    }
    let names: BTreeSet<&str> = home.iter().copied().collect();
    if names.len() != clients as usize {
        let mut listed: Vec<String> = names.iter().take(8).map(|name| format!("`{name}`")).collect();
        if names.len() > listed.len() {
            listed.push("…".to_owned());
        }
        return Err(PartitionError::Institutions {
            institutions: names.len(),
            names: listed.join(", "),
            clients,
        });
    }
    let numbers: BTreeMap<&str, u32> = names.into_iter().zip(0..).collect();
    Ok(home.iter().map(|name| numbers[name]).collect())
}

/// Patients in random order, the largest first, each to the client with the fewest samples so far.
fn iid(patients: &[Patient<'_>], clients: u32, seed: u64) -> Vec<u32> {
    let mut order = Random::new(seed).permutation(patients.len());
    // Stable: patients of one size stay in random order.
    order.sort_by_key(|&patient| Reverse(patients[patient].size()));
    let mut hands: BinaryHeap<Reverse<(u64, u32)>> =
        (0..clients).map(|client| Reverse((0, client))).collect();
    let mut assigned = vec![0; patients.len()];
    for patient in order {
        let Reverse((size, client)) = hands.pop().expect("there is at least one client");
        assigned[patient] = client;
        hands.push(Reverse((size + patients[patient].size(), client)));
    }
    assigned
}

/// FNV-1a over seed and identifier, mixed, scaled to `clients` buckets.
fn bucket(patient: &str, clients: u32, seed: u64) -> u32 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in seed.to_le_bytes().into_iter().chain(patient.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    ((u128::from(mix(hash)) * u128::from(clients)) >> 64) as u32
}

struct Dirichlet {
    alpha: f64,
    min_size: u64,
    clients: u32,
    samples: u64,
}

impl Dirichlet {
    fn assign(&self, patients: &[Patient<'_>], random: &mut Random) -> Result<Vec<u32>, PartitionError> {
        let &Self {
            alpha,
            min_size,
            clients,
            samples,
        } = self;
        if !(alpha > 0.0 && alpha.is_finite()) {
            return Err(PartitionError::Alpha { alpha });
        }
        if patients.len() < clients as usize {
            return Err(PartitionError::TooFewPatients {
                patients: patients.len(),
                parts: clients,
            });
        }
        let needed = min_size.saturating_mul(u64::from(clients));
        if needed > samples {
            return Err(PartitionError::TooFewSamples {
                samples,
                clients,
                min_size,
                needed,
            });
        }
        let mut smallest = 0;
        for _ in 0..DIRICHLET_TRIES {
            let assigned = self.draw(patients, random);
            smallest = sizes(patients, &assigned, clients).into_iter().min().unwrap_or(0);
            if smallest >= min_size {
                return Ok(assigned);
            }
        }
        Err(PartitionError::TooSkewed {
            samples,
            clients,
            alpha,
            min_size,
            smallest,
            tries: DIRICHLET_TRIES,
        })
    }

    fn draw(&self, patients: &[Patient<'_>], random: &mut Random) -> Vec<u32> {
        let mut classes = BTreeMap::<u32, Vec<usize>>::new();
        for (index, patient) in patients.iter().enumerate() {
            classes.entry(patient.class).or_default().push(index);
        }
        let mut assigned = vec![0; patients.len()];
        for mut members in classes.into_values() {
            let proportions = random.dirichlet(self.alpha, self.clients as usize);
            random.shuffle(&mut members);
            let total = members.iter().map(|&patient| patients[patient].size()).sum();
            let ends = cuts(&proportions, total);
            let mut before = 0;
            for patient in members {
                let size = patients[patient].size();
                let middle = before + size / 2;
                assigned[patient] = ends.partition_point(|end| *end <= middle) as u32;
                before += size;
            }
        }
        assigned
    }
}

/// Where each client's part of `total` ends: `int(cumulated proportion · total)`, the last at `total`.
fn cuts(proportions: &[f64], total: u64) -> Vec<u64> {
    let mut cumulated = 0.0;
    let mut ends: Vec<u64> = proportions
        .iter()
        .map(|proportion| {
            cumulated += proportion;
            ((cumulated * total as f64) as u64).min(total)
        })
        .collect();
    if let Some(last) = ends.last_mut() {
        *last = total;
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::tests::{SampleSet, sample_sets};
    use proptest::prelude::*;

    const DIRICHLET: Scheme = Scheme::Dirichlet {
        alpha: 0.5,
        min_size: 10,
    };

    /// `count` patients of one image, classes 0 and 1 in turn.
    fn singles(count: usize) -> SampleSet {
        SampleSet::new((0..count).map(|i| (format!("p{i:05}"), i as u32 % 2, None)))
    }

    fn counts(assigned: &[u32], clients: u32) -> Vec<usize> {
        (0..clients)
            .map(|client| assigned.iter().filter(|c| **c == client).count())
            .collect()
    }

    #[test]
    fn institutions_become_clients_in_the_order_of_their_names() {
        let set = SampleSet::new([
            ("a".to_owned(), 0, Some("west")),
            ("b".to_owned(), 1, Some("east")),
            ("a".to_owned(), 1, Some("west")),
        ]);
        assert_eq!(
            assign_clients(&set.samples(), 2, &Scheme::Natural, 0),
            Ok(vec![1, 0, 1])
        );
        let error = assign_clients(&set.samples(), 3, &Scheme::Natural, 0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the samples come from 2 institutions (`east`, `west`), but 3 clients are asked for; with `natural` the two are the same"
        );
    }

    #[test]
    fn a_patient_of_two_institutions_or_of_none_is_named() {
        let two = SampleSet::new([("a".to_owned(), 0, Some("x")), ("a".to_owned(), 0, Some("y"))]);
        let error = assign_clients(&two.samples(), 2, &Scheme::Natural, 0).unwrap_err();
        assert!(matches!(error, PartitionError::TwoInstitutions { patient, .. } if patient == "a"));
        let none = SampleSet::new([("a".to_owned(), 0, Some("x")), ("b".to_owned(), 0, None)]);
        let error = assign_clients(&none.samples(), 1, &Scheme::Natural, 0).unwrap_err();
        assert!(matches!(error, PartitionError::NoInstitution { patient } if patient == "b"));
    }

    #[test]
    fn iid_clients_differ_by_at_most_one_sample_when_patients_have_one_each() {
        let assigned = assign_clients(&singles(1003).samples(), 10, &Scheme::Iid, 5).unwrap();
        assert!(counts(&assigned, 10).iter().all(|size| [100, 101].contains(size)));
    }

    #[test]
    fn iid_clients_are_balanced_when_patients_differ_in_size() {
        let rows = (0..300).flat_map(|i| (0..1 + i % 17).map(move |_| (format!("p{i}"), 0, None)));
        let assigned = assign_clients(&SampleSet::new(rows).samples(), 7, &Scheme::Iid, 5).unwrap();
        let counts = counts(&assigned, 7);
        assert!(
            counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1,
            "{counts:?}"
        );
    }

    #[test]
    fn a_patient_keeps_their_hash_client_when_others_come() {
        let (few, many) = (singles(100), singles(150));
        let before = assign_clients(&few.samples(), 4, &Scheme::PatientHash, 9).unwrap();
        let after = assign_clients(&many.samples(), 4, &Scheme::PatientHash, 9).unwrap();
        assert_eq!(before, after[..100]);
        assert!(counts(&after, 4).iter().all(|size| *size > 15));
    }

    /// The scheme as published, sample by sample: what one image per patient must reduce to.
    fn by_the_book(classes: &[u32], clients: usize, alpha: f64, seed: u64) -> Vec<u32> {
        let mut random = Random::new(seed);
        let mut assigned = vec![0; classes.len()];
        for class in 0..2 {
            let mut members: Vec<usize> = (0..classes.len()).filter(|&i| classes[i] == class).collect();
            let proportions = random.dirichlet(alpha, clients);
            random.shuffle(&mut members);
            let (mut cumulated, mut start) = (0.0, 0);
            for (client, proportion) in proportions.iter().enumerate() {
                cumulated += proportion;
                let end = if client + 1 == clients {
                    members.len()
                } else {
                    (cumulated * members.len() as f64) as usize
                };
                for &member in &members[start..end] {
                    assigned[member] = client as u32;
                }
                start = end;
            }
        }
        assigned
    }

    #[test]
    fn one_image_per_patient_is_the_published_dirichlet_scheme() {
        let set = singles(4000);
        let samples = set.samples();
        let classes: Vec<u32> = samples.iter().map(|sample| sample.class).collect();
        let mut compared = 0;
        for seed in 0..20 {
            let expected = by_the_book(&classes, 5, 0.5, seed);
            if counts(&expected, 5).iter().all(|size| *size >= 10) {
                assert_eq!(
                    assign_clients(&samples, 5, &DIRICHLET, seed).unwrap(),
                    expected,
                    "seed {seed}"
                );
                compared += 1;
            }
        }
        assert!(
            compared >= 10,
            "only {compared} seeds had a first draw to compare"
        );
    }

    #[test]
    fn dirichlet_that_never_meets_the_minimum_says_what_would() {
        let set = singles(400);
        let scheme = Scheme::Dirichlet {
            alpha: 0.01,
            min_size: 30,
        };
        let error = assign_clients(&set.samples(), 10, &scheme, 1).unwrap_err();
        assert!(
            matches!(error, PartitionError::TooSkewed { samples: 400, clients: 10, min_size: 30, smallest, tries: 11, .. } if smallest < 30),
            "{error}"
        );
        assert!(
            error
                .to_string()
                .ends_with("raise alpha, lower the minimum size, or use fewer clients")
        );
    }

    #[test]
    fn what_no_draw_can_meet_is_refused_before_drawing() {
        let set = singles(20);
        let of = |clients, alpha, min_size| {
            assign_clients(&set.samples(), clients, &Scheme::Dirichlet { alpha, min_size }, 0).unwrap_err()
        };
        assert!(matches!(
            of(3, 1.0, 7),
            PartitionError::TooFewSamples { needed: 21, .. }
        ));
        assert!(matches!(
            of(21, 1.0, 0),
            PartitionError::TooFewPatients {
                patients: 20,
                parts: 21
            }
        ));
        assert!(matches!(of(2, 0.0, 1), PartitionError::Alpha { .. }));
        assert!(matches!(of(2, f64::INFINITY, 1), PartitionError::Alpha { .. }));
        assert_eq!(
            assign_clients(&set.samples(), 0, &Scheme::Iid, 0),
            Err(PartitionError::NoClients)
        );
        let error = assign_clients(&set.samples(), 21, &Scheme::Iid, 0).unwrap_err();
        assert!(matches!(error, PartitionError::EmptyClient { client: 20, .. }));
    }

    #[test]
    fn published_seeds_fail_as_often_as_in_flwr_datasets() {
        // 4708 samples, 10 clients, alpha 0.1, at least 10: 168 of 200 seeds fail there.
        let rows = (0..4708).map(|i| (format!("{i}"), u32::from(i >= 1214), None));
        let set = SampleSet::new(rows);
        let samples = set.samples();
        let scheme = Scheme::Dirichlet {
            alpha: 0.1,
            min_size: 10,
        };
        let failed = (0..200)
            .filter(|&seed| assign_clients(&samples, 10, &scheme, seed).is_err())
            .count();
        assert!((150..=186).contains(&failed), "{failed} of 200 fail");
    }

    proptest! {
        #[test]
        fn no_patient_is_with_two_clients_in_any_scheme(set in sample_sets(), clients in 1_u32..6, seed: u64) {
            let samples = set.samples();
            let dirichlet = Scheme::Dirichlet { alpha: 0.7, min_size: 1 };
            for scheme in [Scheme::Natural, Scheme::Iid, Scheme::PatientHash, dirichlet] {
                let Ok(assigned) = assign_clients(&samples, clients, &scheme, seed) else { continue };
                let mut of = BTreeMap::new();
                for (sample, client) in samples.iter().zip(&assigned) {
                    prop_assert!(*client < clients);
                    prop_assert_eq!(of.entry(sample.patient).or_insert(*client), client);
                }
                prop_assert!(counts(&assigned, clients).iter().all(|size| *size > 0));
            }
        }

        #[test]
        fn the_order_of_samples_does_not_matter(set in sample_sets(), seed: u64, turn in 0_usize..100) {
            let turned = set.rotated(turn);
            for scheme in [Scheme::Iid, Scheme::Dirichlet { alpha: 0.7, min_size: 1 }] {
                let by_patient = |set: &SampleSet| {
                    let samples = set.samples();
                    assign_clients(&samples, 2, &scheme, seed).map(|assigned| {
                        samples.iter().zip(assigned).map(|(s, c)| (s.patient.to_owned(), c)).collect::<BTreeMap<_, _>>()
                    })
                };
                prop_assert_eq!(by_patient(&set), by_patient(&turned));
            }
        }
    }
}
