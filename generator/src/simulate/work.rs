//! What a job moves and computes on, from the sizes of its files and the samples in them.

use contract::{
    args::{BaselineArgs, Job, PrepareArgs},
    argv::Role,
    dataset::Part,
    ids::{ClientId, DatasetName},
    units::Bytes,
};

use crate::{
    estimate::{Samples, Sizes, Target, Traffic},
    plan::PlannedJob,
};

/// What a job moves and computes on.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Work {
    /// Bytes that go to its machine.
    pub received: Bytes,
    /// Bytes that come back.
    pub sent: Bytes,
    /// Bytes it reads, moved or in place.
    pub read: Bytes,
    /// Samples it computes on, times its passes over them.
    pub samples: f64,
}

impl Work {
    /// What `planned` moves under `target`, and what it computes on.
    pub fn of(planned: &PlannedJob, sizes: &Sizes, target: Target) -> Self {
        let Traffic {
            jobs: _,
            received,
            sent,
        } = Traffic::of(planned, sizes, target);
        let mut read = Bytes(0);
        planned.job.roles(&mut |role| match role {
            Role::Input(file) | Role::ReadInPlace(file) => read.0 += sizes.file_bytes(file).0,
            Role::Setting | Role::Output(_) | Role::WrittenInPlace(_) | Role::Checkpoint(_) => {}
        });
        Self {
            received,
            sent,
            read,
            samples: samples(planned, sizes),
        }
    }
}

/// Samples times passes; what has to do with none of them computes on none.
fn samples(planned: &PlannedJob, sizes: &Sizes) -> f64 {
    let of = |dataset: &DatasetName| sizes.samples(dataset);
    let clients = |dataset: &DatasetName, clients: &[ClientId]| {
        of(dataset).map_or(0, |samples| of_clients(samples, clients)) as f64
    };
    match &planned.job {
        Job::Prepare(args) => of(&planned.stage.dataset).map_or(0, |samples| prepared(args, samples)) as f64,
        Job::Train(args) => clients(&args.dataset, &[args.client]) * f64::from(args.epochs),
        Job::TrainClients(args) => clients(&args.dataset, &args.clients) * f64::from(args.epochs),
        Job::Evaluate(args) => of(&args.test_dataset).map_or(0, |samples| {
            samples.test.0 + args.validation_shard.as_ref().map_or(0, |_| samples.validation.0)
        }) as f64,
        Job::Baseline(args) => {
            of(&args.dataset).map_or(0, |samples| trained(args, samples)) as f64 * f64::from(args.epochs)
        }
        Job::Profile(_)
        | Job::Stats(_)
        | Job::Init(_)
        | Job::Keys(_)
        | Job::Reveal(_)
        | Job::Aggregate(_)
        | Job::Partial(_)
        | Job::Broadcast(_) => 0.0,
    }
}

fn of_clients(samples: &Samples, clients: &[ClientId]) -> u64 {
    let of = |client: &ClientId| samples.clients.get(client.0 as usize).map_or(0, |count| count.0);
    clients.iter().map(of).sum()
}

fn trained(args: &BaselineArgs, samples: &Samples) -> u64 {
    match args.client {
        Some(client) => of_clients(samples, &[client]),
        None => samples.train().0,
    }
}

fn prepared(args: &PrepareArgs, samples: &Samples) -> u64 {
    match &args.part {
        None => samples.all().0,
        Some(Part::HeldOut) => samples.test.0 + samples.validation.0,
        Some(Part::Clients(clients)) => of_clients(samples, &clients.iter().copied().collect::<Vec<_>>()),
    }
}
