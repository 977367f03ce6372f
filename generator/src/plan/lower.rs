//! Lowers a checked spec to a [`Plan`]: every job, every file, who writes it and who reads it.
//!
//! Per dataset: prepare, statistics, the initial model and its evaluation, the clients' keys where updates are masked, then
//! each round (`round.rs`), then the baselines. The datasets' branches share no file until the cross-dataset evaluations at the end.
//!
//! Where clients' data is at several sites, each site prepares its own clients' shards from the images it has, and keeps them;
//! what a client keeps from round to round stays there too. Held-out samples are of no client and are prepared apart.

use std::sync::Arc;

use contract::{
    args::{BaselineArgs, EvaluateArgs, InitArgs, Job, KeysArgs, PrepareArgs, StatsArgs},
    dataset::{DatasetConfig, Part, Source},
    ids::{ClientId, DatasetName, Round, Seed},
    names::{FileName, Names},
    recipe::DeviceChoice,
    training::BaselineKind,
};

use super::{JobId, Parts, Place, Plan, PlanError, PlannedJob, Stage, StaticFile, WeightsFile, at_site};
use crate::check::{Checked, Dataset, Evaluation, Execution, Federation, Model, Privacy, Site, SubmitHost};

/// Plans every job of `checked`; the same value gives the same plan.
///
/// # Errors
/// [`PlanError`] when the baselines' epochs overflow, or names that a checked spec cannot have (two datasets of one
/// name) make jobs or files clash.
pub fn lower(checked: &Checked) -> Result<Plan, PlanError> {
    let Checked {
        name,
        // Why the experiment is made changes nothing about how.
        intent: _,
        seed: _,
        digest,
        datasets,
        model,
        federation,
        evaluation,
        sites,
        execution,
        privacy,
    } = checked;
    let Execution {
        layout,
        resources: _,
        // The jobs'.
        device: _,
        retries,
        // The rounds'.
        fan_in: _,
        // The jobs'.
        submit_host: _,
        // The rounds'.
        clients_per_job: _,
        // Where jobs run is the emitter's affair.
        pegasus: _,
    } = execution;
    let Privacy {
        // The rounds'.
        central: _,
        secure_aggregation,
    } = privacy;
    let Model {
        arch: _,
        weights,
        // The initial model's.
        head: _,
    } = model;
    let weights = weights.as_ref().map(|path| WeightsFile {
        name: FileName::new(&format!("{name}.weights.safetensors"))
            .expect("an experiment's name is a short path component"),
        path: path.clone(),
    });

    let mut jobs = Vec::with_capacity(expected_jobs(checked));
    let mut statics = Vec::with_capacity(datasets.len());
    for Dataset { config } in datasets {
        let mut branch = Branch::of(checked, config, &mut jobs);
        statics.push(branch.prepare());
        for site in sites {
            statics.extend(branch.prepare_at(site));
        }
        statics.push(branch.recipe());
        branch.stats();
        branch.init(weights.as_ref());
        if *secure_aggregation {
            branch.keys();
        }
        branch.rounds();
        branch.baselines()?;
    }
    let Evaluation {
        baselines: _,
        cross_dataset,
        // The evaluations'.
        intervals: _,
        predictions: _,
        personal: _,
    } = evaluation;
    if *cross_dataset {
        for Dataset { config } in datasets {
            for other in datasets
                .iter()
                .filter(|other| other.config.dataset != config.dataset)
            {
                Branch::of(checked, config, &mut jobs).cross(&other.config.dataset);
            }
        }
    }
    Plan::prove(Parts {
        experiment: name.clone(),
        spec_digest: digest.clone(),
        synthetic: datasets
            .iter()
            .any(|dataset| dataset.config.source.is_synthetic()),
        algorithm: federation.algorithm,
        rounds: federation.rounds,
        layout: *layout,
        retries: *retries,
        jobs,
        statics,
        weights,
    })
}

/// Number of jobs when every client is selected in every round, so that the list grows once.
fn expected_jobs(checked: &Checked) -> usize {
    let rounds = checked.federation.rounds as usize;
    let of = |config: &DatasetConfig| {
        let trained = checked.federation.fraction.of(config.clients) as usize;
        let revealed = match checked.privacy.secure_aggregation {
            true => trained,
            false => 0,
        };
        (trained + revealed + 2) * rounds
            + 2 * config.clients as usize
            + 5
            + checked.datasets.len()
            + checked.sites.len()
    };
    checked.datasets.iter().map(|dataset| of(&dataset.config)).sum()
}

pub(super) fn settings(name: FileName, config: &DatasetConfig) -> StaticFile {
    StaticFile {
        name,
        content: serde_json::to_string_pretty(config)
            .expect("settings hold texts and finite numbers, which JSON can write")
            + "\n",
    }
}

/// One dataset's branch while its jobs are made.
pub(super) struct Branch<'a> {
    pub checked: &'a Checked,
    pub config: &'a DatasetConfig,
    pub names: Names<'a>,
    /// The path of each client's shard: a name, or where its site keeps it. Shared by every job that reads it.
    pub shards: Vec<Arc<str>>,
    test_shard: FileName,
    /// Where thresholds are chosen, if they are.
    validation_shard: Option<FileName>,
    pub(super) jobs: &'a mut Vec<PlannedJob>,
}

impl<'a> Branch<'a> {
    fn of(checked: &'a Checked, config: &'a DatasetConfig, jobs: &'a mut Vec<PlannedJob>) -> Self {
        let names = Names {
            experiment: &checked.name,
            dataset: &config.dataset,
        };
        Self {
            checked,
            config,
            shards: (0..config.clients)
                .map(ClientId)
                .map(|client| at_site::at_site(checked, client, &names.shard(client)))
                .collect(),
            test_shard: names.test_shard(),
            validation_shard: config.validation.map(|_| names.validation_shard()),
            names,
            jobs,
        }
    }

    pub fn push(&mut self, id: String, round: Option<Round>, client: Option<ClientId>, job: Job) {
        let site = client.and_then(|client| self.checked.site_of(client)).cloned();
        self.push_at(site, id, round, client, job);
    }

    /// [`Branch::push`] for a job that runs at `site`, if at any.
    pub fn push_at(
        &mut self,
        site: Option<Arc<Site>>,
        id: String,
        round: Option<Round>,
        client: Option<ClientId>,
        job: Job,
    ) {
        let request = self.checked.execution.resources.of(&job);
        let place = match site {
            Some(site) => Place::Site(site),
            None => self.place(&job, client),
        };
        let program = match (&place, &job) {
            // The first leaves the program there, the other may run before it.
            (_, Job::Prepare(_) | Job::Keys(_)) => None,
            (Place::Site(site), _) => self.site_program(site),
            (Place::SubmitHost | Place::Anywhere, _) => None,
        };
        let stage = Stage {
            dataset: self.config.dataset.clone(),
            round,
            client,
        };
        self.jobs.push(PlannedJob {
            id: JobId(id.into()),
            job,
            stage,
            request,
            place,
            in_place: Vec::new(),
            program,
        });
    }

    /// Where `job`, of `client` if of any, runs when it is of no site.
    fn place(&self, job: &Job, client: Option<ClientId>) -> Place {
        let SubmitHost {
            init,
            aggregate,
            evaluate,
        } = self.checked.execution.submit_host;
        let here = match job {
            // They read the source's images, or the manifest, which names patients.
            Job::Prepare(_) | Job::Profile(_) | Job::Stats(_) => true,
            Job::Init(_) => init,
            Job::Aggregate(_) | Job::Partial(_) | Job::Broadcast(_) => aggregate,
            Job::Evaluate(_) => evaluate && client.is_none(),
            Job::Train(_) | Job::TrainClients(_) | Job::Baseline(_) | Job::Keys(_) | Job::Reveal(_) => false,
        };
        if here { Place::SubmitHost } else { Place::Anywhere }
    }

    pub fn seed(&self, purpose: std::fmt::Arguments<'_>) -> Seed {
        self.checked.seed.derive(&purpose.to_string())
    }

    /// The job that reads the source, and the settings it reads first. Where clients' data is at several sites, it prepares
    /// what belongs to no client.
    fn prepare(&mut self) -> StaticFile {
        let settings = settings(self.names.dataset_config(), self.config);
        let everything = self.checked.sites.is_empty();
        let shards = self.shards.iter().filter(|_| everything);
        let args = PrepareArgs {
            config: (&settings.name).into(),
            // A site gives its own secret; a plan knows none.
            salt: None,
            threads: Some(self.checked.execution.resources.prepare.cpus),
            manifest: (&self.names.manifest()).into(),
            part: (!everything).then_some(Part::HeldOut),
            shards: shards.map(|shard| (&**shard).into()).collect(),
            test_shard: Some((&self.test_shard).into()),
            validation_shard: self.validation_shard.as_ref().map(Into::into),
            program: None,
        };
        self.push(
            format!("prepare-{}", self.config.dataset),
            None,
            None,
            Job::Prepare(args),
        );
        self.in_place(&self.config.source);
        settings
    }

    /// Notes what the last job reads in place of `source`.
    pub(super) fn in_place(&mut self, source: &Source) {
        let job = self.jobs.last_mut().expect("pushed just now");
        job.in_place = source.paths().into_iter().map(str::to_owned).collect();
    }

    /// How the dataset's models are trained.
    fn recipe(&self) -> StaticFile {
        StaticFile {
            name: self.names.recipe(),
            content: serde_json::to_string_pretty(&self.checked.federation.recipe)
                .expect("a recipe holds texts and finite numbers, which JSON can write")
                + "\n",
        }
    }

    fn stats(&mut self) {
        let args = StatsArgs {
            manifest: (&self.names.manifest()).into(),
            stats: (&self.names.stats()).into(),
        };
        self.push(
            format!("stats-{}", self.config.dataset),
            None,
            None,
            Job::Stats(args),
        );
    }

    fn init(&mut self, weights: Option<&WeightsFile>) {
        let dataset = &self.config.dataset;
        let args = InitArgs {
            experiment: self.checked.name.clone(),
            dataset: dataset.clone(),
            spec_digest: self.checked.digest.clone(),
            arch: self.checked.model.arch,
            channels: self.config.image.channels,
            image_size: self.config.image.size,
            classes: self.config.task.classes().len() as u32,
            target: Some(self.config.task.target()),
            seed: self.seed(format_args!("init/{dataset}")),
            weights: weights.map(|file| (&file.name).into()),
            head: self.checked.model.head,
            global: (&self.names.global(Round(0))).into(),
        };
        self.push(format!("init-{dataset}"), None, None, Job::Init(args));
    }

    /// The key pair of every client, for all rounds.
    fn keys(&mut self) {
        let dataset = &self.config.dataset;
        for client in (0..self.config.clients).map(ClientId) {
            let args = KeysArgs {
                experiment: self.checked.name.clone(),
                dataset: dataset.clone(),
                spec_digest: self.checked.digest.clone(),
                client,
                secret_key: (&*self.kept(client, &self.names.secret_key(client))).into(),
                public_key: (&self.names.public_key(client)).into(),
            };
            let id = format!("keys-{dataset}-c{:04}", client.0);
            self.push(id, None, Some(client), Job::Keys(args));
        }
    }

    /// Where a model is trained or tested; not said where it is the CPU, as that is the jobs' own default.
    pub fn device(&self) -> Option<DeviceChoice> {
        match self.checked.execution.device {
            DeviceChoice::Cpu => None,
            other @ (DeviceChoice::Auto | DeviceChoice::Cuda(_) | DeviceChoice::Webgpu(_)) => Some(other),
        }
    }

    /// An evaluation of the global model `global` of `round` on this dataset's test samples; without intervals or
    /// predictions.
    fn evaluation(&self, round: Round, global: &FileName, metrics: &FileName) -> EvaluateArgs {
        let dataset = &self.config.dataset;
        EvaluateArgs {
            experiment: self.checked.name.clone(),
            dataset: dataset.clone(),
            test_dataset: dataset.clone(),
            spec_digest: self.checked.digest.clone(),
            round,
            batch_size: self.checked.federation.recipe.batch_size,
            threads: Some(self.checked.execution.resources.evaluate.cpus),
            global: global.into(),
            client: None,
            personal: None,
            shard: (&self.test_shard).into(),
            validation_shard: self.validation_shard.as_ref().map(Into::into),
            seed: None,
            device: self.device(),
            predictions: None,
            metrics: metrics.into(),
        }
    }

    /// The seed behind intervals, where they are asked for.
    fn intervals(&self, purpose: std::fmt::Arguments<'_>) -> Option<Seed> {
        let dataset = &self.config.dataset;
        let wanted = self.checked.evaluation.intervals;
        wanted.then(|| self.seed(format_args!("intervals/{dataset}/{purpose}")))
    }

    /// Tests the global model of a round.
    pub fn evaluate(&mut self, round: Round, global: &FileName) {
        let dataset = &self.config.dataset;
        let last = round.0 == self.checked.federation.rounds;
        let predictions =
            (last && self.checked.evaluation.predictions).then(|| self.names.predictions(round));
        let mut args = self.evaluation(round, global, &self.names.evaluate_metrics(round));
        args.seed = self.intervals(format_args!("{round}"));
        args.predictions = predictions.as_ref().map(Into::into);
        let id = format!("evaluate-{dataset}-r{:04}", round.0);
        self.push(id, Some(round), None, Job::Evaluate(args));
    }

    /// Tests the model that a client ends with, made of the last global one and of what it kept.
    pub fn evaluate_personal(&mut self, global: &FileName, client: ClientId, personal: &str) {
        let last = Round(self.checked.federation.rounds);
        let mut args = self.evaluation(last, global, &self.names.personal_metrics(last, client));
        args.client = Some(client);
        args.personal = Some(personal.into());
        args.seed = self.intervals(format_args!("{last}/{client}"));
        let id = format!("personal-{}-c{:04}", self.config.dataset, client.0);
        self.push(id, Some(last), Some(client), Job::Evaluate(args));
    }

    fn baselines(&mut self) -> Result<(), PlanError> {
        for &kind in &self.checked.evaluation.baselines {
            match kind {
                BaselineKind::Centralized => self.baseline(kind, None)?,
                BaselineKind::LocalOnly => {
                    for client in (0..self.config.clients).map(ClientId) {
                        self.baseline(kind, Some(client))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// A baseline sees its samples as often as a client that is selected in every round.
    fn baseline(&mut self, kind: BaselineKind, client: Option<ClientId>) -> Result<(), PlanError> {
        let &Federation {
            rounds,
            epochs,
            // For those who watch jobs.
            algorithm: _,
            // How the server combines updates, and of whom.
            strategy: _,
            fraction: _,
            min_clients: _,
            compression: _,
            broadcast: _,
            // A file of its own.
            recipe: _,
        } = &self.checked.federation;
        let dataset = &self.config.dataset;
        let who = client
            .map(|client| format!("-c{:04}", client.0))
            .unwrap_or_default();
        let shards = match client {
            None => &self.shards[..],
            Some(client) => &self.shards[client.0 as usize..=client.0 as usize],
        };
        let args = BaselineArgs {
            experiment: self.checked.name.clone(),
            dataset: dataset.clone(),
            spec_digest: self.checked.digest.clone(),
            kind,
            client,
            epochs: rounds
                .checked_mul(epochs)
                .ok_or(PlanError::TooManyEpochs { rounds, epochs })?,
            epochs_per_round: epochs,
            recipe: (&self.names.recipe()).into(),
            seed: self.seed(format_args!("baseline/{dataset}/{kind}{who}")),
            threads: Some(self.checked.execution.resources.baseline.cpus),
            global: (&self.names.global(Round(0))).into(),
            shards: shards.iter().map(|shard| (&**shard).into()).collect(),
            test_shard: (&self.test_shard).into(),
            validation_shard: self.validation_shard.as_ref().map(Into::into),
            device: self.device(),
            // Whoever runs a job by hand sees it on a terminal.
            progress: None,
            checkpoint: Some((&self.names.baseline_checkpoint(kind, client)).into()),
            model: (&self.names.baseline_model(kind, client)).into(),
            metrics: (&self.names.baseline_metrics(kind, client)).into(),
        };
        self.push(
            format!("baseline-{dataset}-{kind}{who}"),
            None,
            client,
            Job::Baseline(args),
        );
        Ok(())
    }

    /// The final model on the test samples of `other`.
    fn cross(&mut self, other: &DatasetName) {
        let dataset = &self.config.dataset;
        let last = Round(self.checked.federation.rounds);
        let theirs = Names {
            experiment: &self.checked.name,
            dataset: other,
        };
        // Thresholds are chosen on its own dataset's validation samples: the other's are as unseen as its test samples.
        let global = self.names.global(last);
        let mut args = self.evaluation(last, &global, &self.names.cross_metrics(other));
        args.test_dataset = other.clone();
        args.shard = (&theirs.test_shard()).into();
        args.seed = self.intervals(format_args!("on/{other}"));
        // A capital letter cannot stand in a dataset's name, so no two pairs make the same id.
        self.push(
            format!("cross-{dataset}-ON-{other}"),
            None,
            None,
            Job::Evaluate(args),
        );
    }
}
