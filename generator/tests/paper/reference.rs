//! The reference's workflow as a workload: per dataset and round a sub-workflow of selection, training, aggregation and
//! evaluation, planned when its turn comes.

use contract::units::Bytes;
use fedwing::{
    check::Request,
    simulate::{Demand, NO_WALLTIME, Place, Pool, Workload, WorkloadError},
};

use super::{Experiment, IMAGES};

const MB: u64 = 1_000_000;
const MODEL: u64 = 44_750_000;
const PACKAGE: u64 = 18 * MB;
const IMAGE: f64 = 224.0 * 224.0 * 3.0;

/// The reference's workflow of an experiment on two datasets.
///
/// # Errors
/// The pool lacks what its jobs need.
pub fn reference(pool: &Pool, experiment: Experiment) -> Result<Workload<'_>, WorkloadError> {
    let mut workload = Workload::new(pool);
    let planned = workload.planning(pool.pegasus.workflow, []);
    let begun = workload.pause(pool.dagman.dag + pool.pegasus.before, [planned]);
    let mut reference = Reference {
        workload,
        pool,
        experiment,
    };
    let mut branches = Vec::new();
    for dataset in 0..2 {
        let prepared = reference.job("prepare", &format!("prepare-{dataset}"), [begun], None)?;
        let mut last = reference.job("init", &format!("init-{dataset}"), [prepared], None)?;
        for round in 0..experiment.rounds {
            last = reference.round(dataset, round, last)?;
        }
        branches.push(last);
    }
    let crossed = reference.job("evaluate", "cross", branches, None)?;
    reference.workload.pause(pool.pegasus.after, [crossed]);
    Ok(reference.workload)
}

struct Reference<'p> {
    workload: Workload<'p>,
    pool: &'p Pool,
    experiment: Experiment,
}

impl Reference<'_> {
    fn round(&mut self, dataset: u32, round: u32, after: u32) -> Result<u32, WorkloadError> {
        let number = Some(dataset * self.experiment.rounds + round);
        let id = |kind: &str| format!("{kind}-{dataset}-{round}");
        let pool = self.pool;
        let planned = self.workload.planning(pool.pegasus.sub_workflow, [after]);
        let begun = self
            .workload
            .pause(pool.dagman.dag + pool.pegasus.before, [planned]);
        let selected = self.job("select", &id("select"), [begun], number)?;
        let mut trained = Vec::new();
        for client in 0..self.experiment.clients {
            trained.push(self.job("train", &id(&format!("train-{client}")), [selected], number)?);
        }
        let aggregated = self.job("aggregate", &id("aggregate"), trained, number)?;
        let evaluated = self.job("evaluate", &id("evaluate"), [aggregated], number)?;
        Ok(self.workload.pause(pool.pegasus.after, [evaluated]))
    }

    fn job(
        &mut self,
        kind: &'static str,
        id: &str,
        after: impl IntoIterator<Item = u32>,
        round: Option<u32>,
    ) -> Result<u32, WorkloadError> {
        let Experiment { clients, epochs, .. } = self.experiment;
        let test = (IMAGES as f64 * 0.2).round();
        let images = (IMAGES as f64 - test) / f64::from(clients);
        let bytes = |images: f64| (images * IMAGE) as u64;
        let (received, sent, samples, gpus) = match kind {
            "train" => (
                MODEL + PACKAGE + bytes(images),
                45 * MB,
                images * f64::from(epochs),
                1,
            ),
            "aggregate" => (PACKAGE + MODEL * u64::from(clients), 45 * MB, 0.0, 0),
            "evaluate" => (PACKAGE + MODEL + bytes(test), 0, test, 1),
            _ => (PACKAGE, 0, 0.0, 0),
        };
        let demand = Demand {
            id,
            // All that selection takes is overhead.
            kind: if kind == "select" { "stats" } else { kind },
            place: Place::Anywhere,
            request: Request {
                cpus: 4,
                memory: Bytes(15_000 * MB),
                gpus,
                walltime: NO_WALLTIME,
            },
            received: Bytes(received),
            sent: Bytes(sent),
            read: Bytes(received),
            samples,
            priority: 0,
            round,
        };
        self.workload.job(&demand, after)
    }
}
