//! Divides samples between clients.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::{
    PartitionError, Sample, Scheme, named,
    pathological::Pathological,
    patients::{self, Patient},
    skew::{Of, Skew},
};
use crate::random::{Random, mix};

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
///
/// `QuantitySkew`: Li et al. 2022, arXiv:2102.02079 (there "quantity skew"): the same with all patients as one class.
///
/// `Pathological`: McMahan et al. 2017, arXiv:1602.05629, section 3: patients sorted by class are cut into
/// `clients · classes` shards, and each client is dealt as many of them as it may have classes. Published for classes of
/// one size; here no shard has two classes, every class has a shard, and each further shard goes to the class whose
/// shards are the largest. Shards of a class differ by no more than the images of one patient. As published, a client
/// may be dealt two shards of one class.
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
    let skewed = |of, alpha, min_size: u64| {
        let draw = Skew {
            of,
            alpha,
            min_size: min_size.max(1),
            clients,
            samples: samples.len() as u64,
        };
        draw.assign(&patients, &mut Random::new(seed))
    };
    let assigned = match *scheme {
        Scheme::Natural => named::natural(&patients, clients)?,
        Scheme::Iid => iid(&patients, clients, seed),
        Scheme::PatientHash => patients
            .iter()
            .map(|patient| bucket(patient.id, clients, seed))
            .collect(),
        Scheme::Dirichlet { alpha, min_size } => skewed(Of::Classes, alpha, min_size)?,
        Scheme::QuantitySkew { alpha, min_size } => skewed(Of::Sizes, alpha, min_size)?,
        Scheme::Pathological { classes } => {
            Pathological { classes, clients }.assign(&patients, &mut Random::new(seed))?
        }
        Scheme::Attribute => named::attribute(&patients, clients)?,
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

/// Samples of each client.
pub(super) fn sizes(patients: &[Patient<'_>], assigned: &[u32], clients: u32) -> Vec<u64> {
    let mut sizes = vec![0; clients as usize];
    for (patient, client) in patients.iter().zip(assigned) {
        sizes[*client as usize] += patient.size();
    }
    sizes
}

fn iid(patients: &[Patient<'_>], clients: u32, seed: u64) -> Vec<u32> {
    let everyone: Vec<usize> = (0..patients.len()).collect();
    let mut assigned = vec![0; patients.len()];
    for (patient, client) in deal(patients, &everyone, clients, &mut Random::new(seed)) {
        assigned[patient] = client;
    }
    assigned
}

/// Patients in random order, the largest first, each to the hand with the fewest samples so far.
///
/// Each of `members` with its hand, from 0 to below `hands`; no hand is empty if there are as many members.
pub(super) fn deal(
    patients: &[Patient<'_>],
    members: &[usize],
    hands: u32,
    random: &mut Random,
) -> Vec<(usize, u32)> {
    let mut order: Vec<usize> = (random.permutation(members.len()).into_iter())
        .map(|place| members[place])
        .collect();
    // Stable: patients of one size stay in random order.
    order.sort_by_key(|&patient| Reverse(patients[patient].size()));
    let mut fewest: BinaryHeap<Reverse<(u64, u32)>> = (0..hands).map(|hand| Reverse((0, hand))).collect();
    order
        .into_iter()
        .map(|patient| {
            let Reverse((size, hand)) = fewest.pop().expect("there is at least one hand");
            fewest.push(Reverse((size + patients[patient].size(), hand)));
            (patient, hand)
        })
        .collect()
}

/// FNV-1a over seed and identifier, mixed, scaled to `clients` buckets.
fn bucket(patient: &str, clients: u32, seed: u64) -> u32 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in seed.to_le_bytes().into_iter().chain(patient.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    ((u128::from(mix(hash)) * u128::from(clients)) >> 64) as u32
}

#[cfg(test)]
mod tests;
