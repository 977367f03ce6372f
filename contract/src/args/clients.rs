//! A job of several clients, as jobs of one client each.

use super::{TrainArgs, TrainClientsArgs};
use crate::argv::ArgError;

impl TrainClientsArgs {
    /// The one job that does what `jobs` do, in their order; none when there is no job, when they are not alike but for their
    /// client and its files, or when they mask updates, as keys of several clients are for no one job to read.
    pub fn of(jobs: &[TrainArgs]) -> Option<Self> {
        let first = jobs.first()?;
        let TrainArgs {
            experiment,
            dataset,
            spec_digest,
            round,
            client: _,
            epochs,
            recipe,
            seed: _,
            threads,
            device,
            progress,
            checkpoint: _,
            global,
            shard: _,
            encoding,
            residual_in: _,
            residual_out: _,
            personal_in: _,
            personal_out: _,
            control,
            secret_key: None,
            public_keys: _,
            absence,
            update: _,
            metrics: _,
        } = first
        else {
            return None;
        };
        let together = Self {
            experiment: experiment.clone(),
            dataset: dataset.clone(),
            spec_digest: spec_digest.clone(),
            round: *round,
            clients: jobs.iter().map(|job| job.client).collect(),
            epochs: *epochs,
            recipe: recipe.clone(),
            seeds: jobs.iter().map(|job| job.seed).collect(),
            threads: *threads,
            device: *device,
            progress: *progress,
            checkpoints: jobs.iter().filter_map(|job| job.checkpoint.clone()).collect(),
            global: global.clone(),
            shards: jobs.iter().map(|job| job.shard.clone()).collect(),
            encoding: *encoding,
            residuals_in: jobs.iter().filter_map(|job| job.residual_in.clone()).collect(),
            residuals_out: jobs.iter().filter_map(|job| job.residual_out.clone()).collect(),
            personals_in: jobs.iter().filter_map(|job| job.personal_in.clone()).collect(),
            personals_out: jobs.iter().filter_map(|job| job.personal_out.clone()).collect(),
            control: control.clone(),
            absence: *absence,
            updates: jobs.iter().map(|job| job.update.clone()).collect(),
            metrics: jobs.iter().map(|job| job.metrics.clone()).collect(),
        };
        let same = together.each().is_ok_and(|each| each == jobs);
        same.then_some(together)
    }

    /// The same as one job of each client.
    ///
    /// # Errors
    /// [`ArgError::Count`] with the first flag that does not stand once a client.
    pub fn each(&self) -> Result<Vec<TrainArgs>, ArgError> {
        let clients = self.clients.len();
        if clients == 0 {
            return Err(ArgError::Missing { flag: "client" });
        }
        let counted = |flag, count, may_lack| match count {
            0 if may_lack => Ok(()),
            count if count == clients => Ok(()),
            count => Err(ArgError::Count { flag, count, clients }),
        };
        counted("seed", self.seeds.len(), false)?;
        counted("checkpoint", self.checkpoints.len(), true)?;
        counted("shard", self.shards.len(), false)?;
        counted("residual-in", self.residuals_in.len(), true)?;
        counted("residual-out", self.residuals_out.len(), true)?;
        counted("personal-in", self.personals_in.len(), true)?;
        counted("personal-out", self.personals_out.len(), true)?;
        counted("update", self.updates.len(), false)?;
        counted("metrics", self.metrics.len(), false)?;
        Ok((0..clients).map(|place| self.client(place)).collect())
    }

    /// The job of the client at `place`; every list is as long as that of the clients, or empty.
    fn client(&self, place: usize) -> TrainArgs {
        let Self {
            experiment,
            dataset,
            spec_digest,
            round,
            clients,
            epochs,
            recipe,
            seeds,
            threads,
            device,
            progress,
            checkpoints,
            global,
            shards,
            encoding,
            residuals_in,
            residuals_out,
            personals_in,
            personals_out,
            control,
            absence,
            updates,
            metrics,
        } = self;
        TrainArgs {
            experiment: experiment.clone(),
            dataset: dataset.clone(),
            spec_digest: spec_digest.clone(),
            round: *round,
            client: clients[place],
            epochs: *epochs,
            recipe: recipe.clone(),
            seed: seeds[place],
            threads: *threads,
            device: *device,
            progress: *progress,
            checkpoint: checkpoints.get(place).cloned(),
            global: global.clone(),
            shard: shards[place].clone(),
            encoding: *encoding,
            residual_in: residuals_in.get(place).cloned(),
            residual_out: residuals_out.get(place).cloned(),
            personal_in: personals_in.get(place).cloned(),
            personal_out: personals_out.get(place).cloned(),
            control: control.clone(),
            secret_key: None,
            public_keys: Vec::new(),
            absence: *absence,
            update: updates[place].clone(),
            metrics: metrics[place].clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        argv::JobArgs,
        ids::{ClientId, Seed},
    };

    fn job(client: u32) -> TrainArgs {
        let argv = format!(
            "--experiment e --dataset d --spec-digest {} --round 2 --client {client} --epochs 1 --recipe r --seed {} --global g \
             --shard s{client} --encoding int8 --residual-in i{client} --residual-out o{client} --checkpoint c{client} \
             --update u{client} --metrics m{client}",
            "0".repeat(64),
            100 + client
        );
        TrainArgs::from_argv(&argv.split_whitespace().collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn jobs_of_one_client_each_come_back_in_their_order() {
        let jobs = [job(4), job(0), job(9)];
        let together = TrainClientsArgs::of(&jobs).unwrap();
        assert_eq!(together.each().unwrap(), jobs);
        let argv = together.to_argv();
        assert_eq!(TrainClientsArgs::from_argv(&argv[1..]).unwrap(), together);
        assert_eq!(
            together.outputs(),
            ["o4", "o0", "o9", "u4", "u0", "u9", "m4", "m0", "m9"]
        );
    }

    #[test]
    fn jobs_that_differ_in_more_than_their_client_are_not_one() {
        let differing: [fn(&mut TrainArgs); 4] = [
            |job| job.epochs = 7,
            |job| job.global = "other".into(),
            |job| job.residual_in = None,
            |job| job.secret_key = Some("key".into()),
        ];
        for differ in differing {
            let mut jobs = [job(0), job(1)];
            differ(&mut jobs[1]);
            assert_eq!(TrainClientsArgs::of(&jobs), None);
        }
        assert_eq!(TrainClientsArgs::of(&[]), None);
    }

    #[test]
    fn a_list_that_is_too_short_is_named() {
        let mut together = TrainClientsArgs::of(&[job(0), job(1)]).unwrap();
        together.seeds = vec![Seed(1)];
        let error = together.each().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`--seed` is given 1 times, there are 2 clients"
        );
        together.clients = vec![ClientId(0)];
        assert!(
            together
                .each()
                .unwrap_err()
                .to_string()
                .starts_with("`--checkpoint`")
        );
        together.clients.clear();
        assert_eq!(together.each(), Err(ArgError::Missing { flag: "client" }));
    }
}
