//! Partitions whose proportions are drawn from a Dirichlet distribution: of classes, or of sizes alone.
//!
//! In: patients, a concentration, the fewest samples a client may have. Out: a client number each.
//! Start at [`Skew::assign`].

use std::collections::BTreeMap;

use super::{PartitionError, clients::sizes, patients::Patient};
use crate::random::Random;

/// Draws made before giving up, as flwr-datasets does.
const TRIES: u32 = 11;

/// What is drawn proportions for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// Each class by itself.
    Classes,
    /// All patients together.
    Sizes,
}

pub(super) struct Skew {
    pub of: Of,
    pub alpha: f64,
    /// At least 1.
    pub min_size: u64,
    pub clients: u32,
    /// Samples of all patients.
    pub samples: u64,
}

impl Skew {
    /// Draws until no client is below the minimum.
    pub fn assign(&self, patients: &[Patient<'_>], random: &mut Random) -> Result<Vec<u32>, PartitionError> {
        let &Self {
            of: _,
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
        for _ in 0..TRIES {
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
            tries: TRIES,
        })
    }

    fn draw(&self, patients: &[Patient<'_>], random: &mut Random) -> Vec<u32> {
        let mut classes = BTreeMap::<u32, Vec<usize>>::new();
        for (index, patient) in patients.iter().enumerate() {
            let class = match self.of {
                Of::Classes => patient.class,
                Of::Sizes => 0,
            };
            classes.entry(class).or_default().push(index);
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
