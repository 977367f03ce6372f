//! A dataset's rounds: training, revealing, adding up, aggregation, evaluation; and what rounds hand on to later ones.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use contract::{
    args::{AggregateArgs, BroadcastArgs, Job, PartialArgs, RevealArgs, TrainArgs, TrainClientsArgs},
    argv::InputFile,
    ids::{ClientId, Round},
    names::FileName,
    recipe::Method,
    training::Absence,
};

use super::{lower::Branch, select};
use crate::check::{Compression, Federation, Privacy, Site};

/// What a dataset's rounds hand on.
struct HandedOn {
    /// The global model.
    global: FileName,
    /// What clients start from, as the rule reads it: the global model, or what is left of it on the way.
    start: FileName,
    /// The same as it is sent to them.
    sent: FileName,
    /// What the rule remembers.
    state: Option<FileName>,
    /// What the encoding of each client's last update left out; it stays with the client.
    residuals: BTreeMap<ClientId, Arc<str>>,
    /// What each client kept at its site after its last round.
    personal: BTreeMap<ClientId, Arc<str>>,
}

impl Branch<'_> {
    /// The initial model's evaluation, then every round; each round starts from the global model of the one before.
    pub fn rounds(&mut self) {
        let initial = self.names.global(Round(0));
        let mut handed_on = HandedOn {
            global: initial.clone(),
            start: initial.clone(),
            sent: initial.clone(),
            state: None,
            residuals: BTreeMap::new(),
            personal: BTreeMap::new(),
        };
        self.evaluate(Round(0), &handed_on.global);
        self.hand_on(Round(0), initial, &mut handed_on);
        for round in (1..=self.checked.federation.rounds).map(Round) {
            let fraction = self.checked.federation.fraction;
            let selected = select(
                self.checked.seed,
                &self.config.dataset,
                round,
                self.config.clients,
                fraction,
            );
            let updates = self.train(round, &selected, &mut handed_on);
            let reveals = self.reveal(round, &selected);
            let updates = self.partial(round, &handed_on.start, updates);
            let model = self.aggregate(round, updates, reveals, &mut handed_on);
            self.hand_on(round, model, &mut handed_on);
            self.evaluate(round, &handed_on.global);
        }
        if self.checked.evaluation.personal && self.checked.federation.recipe.has_personal_models() {
            for (&client, personal) in &handed_on.personal {
                self.evaluate_personal(&handed_on.global, client, personal);
            }
        }
    }

    /// The selected clients' training; returns their updates in client order.
    fn train(&mut self, round: Round, selected: &[ClientId], handed_on: &mut HandedOn) -> Vec<InputFile> {
        let Federation {
            // For those who watch jobs.
            algorithm: _,
            // The aggregation's.
            strategy: _,
            rounds: _,
            // The selection's.
            fraction: _,
            min_clients,
            compression,
            // The server's.
            broadcast: _,
            epochs,
            recipe,
        } = &self.checked.federation;
        let dataset = &self.config.dataset;
        let public_keys = self.public_keys(selected);
        let control: Option<InputFile> = match recipe.method {
            Method::Scaffold => handed_on.state.as_ref().map(Into::into),
            Method::Plain
            | Method::Fedprox { .. }
            | Method::Qfedavg
            | Method::Fedbn
            | Method::Fedper
            | Method::Ditto { .. } => None,
        };
        let mut updates = Vec::with_capacity(selected.len());
        let mut jobs = Vec::with_capacity(selected.len());
        for &client in selected {
            let update = self.names.update(round, client);
            updates.push((&update).into());
            let (encoding, residual_in, residual_out) = match compression {
                None => (None, None, None),
                Some(Compression {
                    encoding,
                    error_feedback: false,
                }) => (Some(*encoding), None, None),
                Some(Compression {
                    encoding,
                    error_feedback: true,
                }) => {
                    let kept = self.kept(client, &self.names.residual(round, client));
                    let last = handed_on.residuals.insert(client, kept.clone());
                    (Some(*encoding), last, Some(kept))
                }
            };
            let (personal_in, personal_out) = if recipe.is_personal() {
                let kept = self.kept(client, &self.names.personal(round, client));
                (handed_on.personal.insert(client, kept.clone()), Some(kept))
            } else {
                (None, None)
            };
            let args = TrainArgs {
                experiment: self.checked.name.clone(),
                dataset: dataset.clone(),
                spec_digest: self.checked.digest.clone(),
                round,
                client,
                epochs: *epochs,
                recipe: (&self.names.recipe()).into(),
                // The same in every round, so that the same patients are kept for validation; jobs add the round to all
                // other draws.
                seed: self.seed(format_args!("train/{dataset}/{client}")),
                threads: Some(self.checked.execution.resources.train.cpus),
                global: (&handed_on.sent).into(),
                shard: (&*self.shards[client.0 as usize]).into(),
                encoding,
                residual_in: residual_in.as_deref().map(Into::into),
                residual_out: residual_out.as_deref().map(Into::into),
                personal_in: personal_in.as_deref().map(Into::into),
                personal_out: personal_out.as_deref().map(Into::into),
                control: control.clone(),
                device: self.device(),
                // Whoever runs a job by hand sees it on a terminal.
                progress: None,
                checkpoint: Some((&self.names.checkpoint(round, client)).into()),
                secret_key: self.secret_key(client),
                public_keys: public_keys.clone(),
                absence: min_clients.map(|_| Absence::Allowed),
                update: (&update).into(),
                metrics: (&self.names.train_metrics(round, client)).into(),
            };
            jobs.push(args);
        }
        self.push_training(round, jobs);
        updates
    }

    /// A job for each client; or jobs of several clients that are at one site.
    fn push_training(&mut self, round: Round, jobs: Vec<TrainArgs>) {
        let most = self.checked.execution.clients_per_job as usize;
        let mut groups: Vec<(Option<Arc<Site>>, Vec<TrainArgs>)> = Vec::new();
        let mut open = HashMap::new();
        for args in jobs {
            let site = self.checked.site_of(args.client);
            // Those that bring something from a round before go together.
            let brings = (args.residual_in.is_some(), args.personal_in.is_some());
            let group = open
                .entry((site.map(|site| site.name.clone()), brings))
                .or_insert(usize::MAX);
            if groups.get(*group).is_none_or(|(_, jobs)| jobs.len() >= most) {
                *group = groups.len();
                groups.push((site.cloned(), Vec::new()));
            }
            groups[*group].1.push(args);
        }
        for (number, (site, mut jobs)) in groups.into_iter().enumerate() {
            let dataset = &self.config.dataset;
            let (id, client, job) = match TrainClientsArgs::of(&jobs).filter(|_| jobs.len() > 1) {
                Some(args) => {
                    let id = format!("train-{dataset}-r{:04}-g{number:04}", round.0);
                    (id, None, Job::TrainClients(args))
                }
                None => {
                    let args = jobs.pop().expect("no group is empty");
                    let id = format!("train-{dataset}-r{:04}-c{:04}", round.0, args.client.0);
                    (id, Some(args.client), Job::Train(args))
                }
            };
            self.push_at(site, id, Some(round), client, job);
        }
    }

    fn secret_key(&self, client: ClientId) -> Option<InputFile> {
        let masked = self.checked.privacy.secure_aggregation;
        masked.then(|| (&*self.kept(client, &self.names.secret_key(client))).into())
    }

    /// The public keys of `selected`, where updates are masked.
    fn public_keys(&self, selected: &[ClientId]) -> Vec<InputFile> {
        if !self.checked.privacy.secure_aggregation {
            return Vec::new();
        }
        let key = |client: &ClientId| (&self.names.public_key(*client)).into();
        selected.iter().map(key).collect()
    }

    /// Where updates are masked and clients may be absent: one job per selected client, once all have trained.
    fn reveal(&mut self, round: Round, selected: &[ClientId]) -> Vec<InputFile> {
        if self.checked.federation.min_clients.is_none() {
            return Vec::new();
        }
        let public_keys = self.public_keys(selected);
        let metrics = |client: &ClientId| (&self.names.train_metrics(round, *client)).into();
        let train_metrics: Vec<InputFile> = selected.iter().map(metrics).collect();
        let mut reveals = Vec::new();
        for &client in selected {
            let Some(secret_key) = self.secret_key(client) else {
                break;
            };
            let dataset = &self.config.dataset;
            let reveal = self.names.reveal(round, client);
            reveals.push((&reveal).into());
            let args = RevealArgs {
                experiment: self.checked.name.clone(),
                dataset: dataset.clone(),
                spec_digest: self.checked.digest.clone(),
                round,
                client,
                secret_key,
                public_keys: public_keys.clone(),
                train_metrics: train_metrics.clone(),
                reveal: (&reveal).into(),
            };
            let id = format!("reveal-{dataset}-r{:04}-c{:04}", round.0, client.0);
            self.push(id, Some(round), Some(client), Job::Reveal(args));
        }
        reveals
    }

    /// Adds updates up in groups, level by level, until one job may read what is left. A group of one is left as it is.
    fn partial(&mut self, round: Round, global: &FileName, mut updates: Vec<InputFile>) -> Vec<InputFile> {
        let Some(fan_in) = self.checked.execution.fan_in else {
            return updates;
        };
        let fan_in = fan_in as usize;
        for level in 0.. {
            if updates.len() <= fan_in {
                break;
            }
            let mut sums = Vec::with_capacity(updates.len().div_ceil(fan_in));
            for (number, group) in (0_u32..).zip(updates.chunks(fan_in)) {
                if let [alone] = group {
                    sums.push(alone.clone());
                    continue;
                }
                let output = self.names.partial(round, level, number);
                sums.push((&output).into());
                let args = PartialArgs {
                    global: global.into(),
                    updates: group.to_vec(),
                    // Updates carry their sample counts.
                    samples: Vec::new(),
                    threads: Some(self.checked.execution.resources.aggregate.cpus),
                    output: (&output).into(),
                };
                let id = format!(
                    "partial-{}-r{:04}-l{level}-p{number:04}",
                    self.config.dataset, round.0
                );
                self.push(id, Some(round), None, Job::Partial(args));
            }
            updates = sums;
        }
        updates
    }

    /// Combines the round's updates into a new model and returns its name.
    fn aggregate(
        &mut self,
        round: Round,
        updates: Vec<InputFile>,
        reveals: Vec<InputFile>,
        handed_on: &mut HandedOn,
    ) -> FileName {
        let dataset = &self.config.dataset;
        let Privacy {
            central,
            // The updates' own matter: they say that they are masked.
            secure_aggregation: _,
        } = self.checked.privacy;
        let strategy = self.checked.federation.strategy_for(self.config.clients);
        let keep = match self.checked.federation.recipe.method {
            // Clients' last layers are not for the mean.
            Method::Fedper => vec![self.checked.model.arch.head()],
            // The rule says itself which tensors it leaves alone.
            Method::Plain
            | Method::Fedprox { .. }
            | Method::Scaffold
            | Method::Qfedavg
            | Method::Fedbn
            | Method::Ditto { .. } => Vec::new(),
        };
        let output = match self.checked.federation.broadcast {
            None => self.names.global(round),
            Some(_) => self.names.aggregated(round),
        };
        let state = (strategy.remembers() || central.is_some()).then(|| self.names.state(round));
        let args = AggregateArgs {
            strategy: strategy.into(),
            privacy: central,
            keep,
            global: (&handed_on.start).into(),
            updates,
            // Updates carry their sample counts.
            samples: Vec::new(),
            min_clients: self.checked.federation.min_clients,
            reveals,
            // Noise is all that is drawn at random.
            seed: central.map(|_| self.seed(format_args!("noise/{dataset}/{round}"))),
            threads: Some(self.checked.execution.resources.aggregate.cpus),
            state_in: handed_on.state.as_ref().map(Into::into),
            state_out: state.as_ref().map(Into::into),
            output: (&output).into(),
            metrics: Some((&self.names.aggregate_metrics(round)).into()),
        };
        let id = format!("aggregate-{dataset}-r{:04}", round.0);
        self.push(id, Some(round), None, Job::Aggregate(args));
        handed_on.state = state;
        output
    }

    /// Hands the model of a round on: as it is, or written smaller for its way to the clients.
    fn hand_on(&mut self, round: Round, model: FileName, handed_on: &mut HandedOn) {
        let Some(encoding) = self.checked.federation.broadcast else {
            handed_on.global = model.clone();
            handed_on.start = model.clone();
            handed_on.sent = model;
            return;
        };
        // The initial model is the global one already, and after the last round nobody starts.
        let (first, last) = (round.0 == 0, round.0 == self.checked.federation.rounds);
        let global = self.names.global(round);
        let (start, sent) = (self.names.start(round), self.names.broadcast(round));
        let args = BroadcastArgs {
            encoding,
            model: (&model).into(),
            before: (!first).then(|| (&handed_on.global).into()),
            start_before: (!first).then(|| (&handed_on.start).into()),
            global: (!first).then(|| (&global).into()),
            start: (!last).then(|| (&start).into()),
            broadcast: (!last).then(|| (&sent).into()),
        };
        let id = format!("broadcast-{}-r{:04}", self.config.dataset, round.0);
        self.push(id, Some(round), None, Job::Broadcast(args));
        (handed_on.global, handed_on.start, handed_on.sent) = (global, start, sent);
    }
}
