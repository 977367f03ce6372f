//! The metrics of an aggregation.

use contract::{
    aggregation::{CentralPrivacy, Strategy},
    argv::ArgValue,
    job::JobError,
    metrics::{Metrics, Subject, Transfer, UpdateShare},
    tensors::Header,
    units::SampleCount,
};

use crate::{
    inputs::Inputs,
    private,
    rules::Recipe,
    update::{Content, Update},
};

/// What is reported of a round: `header` is the new global model's, where fedwing wrote the old one.
///
/// # Errors
/// [`JobError`]: the accountant refuses
pub fn metrics(
    strategy: &Strategy,
    privacy: Option<&CentralPrivacy>,
    inputs: &Inputs,
    recipe: &Recipe,
    header: Option<&Header>,
) -> Result<Metrics, JobError> {
    let spent = match (privacy, recipe.norm) {
        (Some(privacy), Some(norm)) => Some(private::spent(privacy, norm, &recipe.memory)?),
        _ => None,
    };
    Ok(Metrics {
        fedwing_metrics: Metrics::VERSION,
        experiment: header.map(|header| header.experiment.clone()),
        dataset: header.map(|header| header.dataset.clone()),
        spec_digest: header.map(|header| header.spec_digest.clone()),
        synthetic: inputs.is_synthetic(),
        backend: None,
        num_samples: SampleCount(inputs.total_samples),
        subject: Subject::Aggregate {
            round: header.and_then(|header| header.round),
            updates: shares(inputs, recipe),
            absent: inputs.absent.clone(),
            strategy: strategy.write(),
            privacy: spent,
            transfer: Transfer {
                received_bytes: inputs.received_bytes,
                plain_bytes: inputs.plain_bytes(),
            },
        },
        scores: None,
    })
}

fn shares(inputs: &Inputs, recipe: &Recipe) -> Vec<UpdateShare> {
    let summed = |update: &Update| matches!(update.content, Content::Partial(_));
    if inputs.updates.iter().any(summed) {
        let share = |member: &crate::partial::Member| UpdateShare {
            client: member.client,
            num_samples: SampleCount(member.num_samples),
            weight: None,
        };
        return inputs.members.iter().map(share).collect();
    }
    let share = |(number, update): (usize, &Update)| UpdateShare {
        client: update.client(),
        num_samples: SampleCount(update.samples),
        weight: recipe.shares.as_ref().map(|shares| shares[number]),
    };
    inputs.updates.iter().enumerate().map(share).collect()
}
