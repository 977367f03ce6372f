//! Run folders as an engine leaves them: events, metrics and statistics, all from typed values.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be made fails its test")]

use std::{collections::BTreeMap, fs};

use contract::{
    dataset::{ClientStats, DatasetStats, GroupStats},
    exit::JobExit,
    ids::{ClientId, DatasetName, ExperimentName, Round, SpecDigest},
    job::Failure,
    metrics::{
        ClassScores, Interval, Intervals, Metrics, PrivacySpent, SamplePrivacySpent, Scores, Subject,
        Transfer, UpdateShare,
    },
    names::Names,
    training::{Backend, BaselineKind, Target},
    units::{Bytes, SampleCount},
};
use fedwing::record::{Event, FileFact, Outcome, RunDir, RunOutcome, Stamp};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const SPEC: &str = "fedwing: 1\nname: pilot\nintent: Measure the gap between central and federated training.\n\
                    seed: 7\nfederation: {algorithm: fedavg, rounds: 3}\n";
const CLASSES: [&str; 2] = ["No Finding", "not No Finding"];

/// A run's folder in the making.
pub struct Run {
    pub dir: RunDir,
    pub events: Vec<Event>,
    /// Milliseconds since the epoch.
    pub now: u64,
    digest: String,
    synthetic: bool,
    /// Whether updates are compressed, noise is added, and client 1 misses round 2.
    guarded: bool,
    /// Whether clients watch validation samples, bound what samples tell and end with models of their own, and results
    /// have intervals.
    personal: bool,
    _folder: TempDir,
}

/// Two datasets (one drawn), three rounds, two clients, all baselines, cross evaluation, one retry.
pub fn two_datasets() -> Run {
    let mut run = Run::start_run(62, true);
    run.dataset("nih", false, 0.0);
    run.dataset("phantoms", true, 0.12);
    run.cross("nih", "phantoms", 0.61);
    run.cross("phantoms", "nih", 0.55);
    run.finish()
}

/// One real dataset, otherwise as above.
pub fn real_dataset() -> Run {
    let mut run = Run::start_run(30, false);
    run.dataset("nih", false, 0.0);
    run.finish()
}

/// As [`real_dataset`], with compressed updates, central privacy, and clients absent from two rounds.
pub fn guarded_dataset() -> Run {
    let mut run = Run::start_run(30, false);
    run.guarded = true;
    run.dataset("nih", false, 0.0);
    run.finish()
}

/// As [`real_dataset`], with validation samples, bounded samples, intervals and clients' own models.
pub fn personal_dataset() -> Run {
    let mut run = Run::start_run(30, false);
    run.personal = true;
    run.dataset("nih", false, 0.0);
    for client in 0..2 {
        run.personal_model("nih", client);
    }
    run.finish()
}

impl Run {
    fn start_run(jobs: u64, synthetic: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = RunDir::new(folder.path());
        fs::create_dir(dir.files()).unwrap();
        fs::write(dir.spec(), SPEC).unwrap();
        let now = 1_795_364_687_000;
        let digest = sha256(SPEC.as_bytes());
        let start = Event::RunStarted {
            fedwing_record: Event::VERSION,
            at: Stamp(now),
            fedwing: "0.1.0".into(),
            name: "pilot".into(),
            source: "/experiments/pilot.yml".into(),
            digest: digest.clone(),
            synthetic,
            jobs,
            slots: 2,
            host: "workstation".into(),
        };
        Self {
            dir,
            events: vec![start],
            now,
            digest,
            synthetic,
            guarded: false,
            personal: false,
            _folder: folder,
        }
    }

    fn finish(mut self) -> Self {
        let started = self
            .events
            .iter()
            .filter(|e| {
                matches!(
                    e,
                    Event::JobEnded {
                        outcome: Outcome::Done,
                        ..
                    }
                )
            })
            .count();
        let Event::RunStarted { jobs, .. } = &mut self.events[0] else {
            unreachable!()
        };
        *jobs = started as u64;
        self.events.push(Event::RunEnded {
            at: Stamp(self.now),
            outcome: RunOutcome::Done,
        });
        self
    }

    fn dataset(&mut self, name: &str, synthetic: bool, lift: f64) {
        self.synthetic = synthetic;
        self.plain(&format!("prepare-{name}"), "prepare", name, 9_000);
        self.stats(name, synthetic);
        self.plain(&format!("init-{name}"), "init", name, 200);
        self.evaluate(name, 0, Some(0.497));
        self.baseline(name, BaselineKind::Centralized, None, 0.742 + lift);
        for client in 0..2 {
            let auroc = 0.655 + lift + 0.03 * f64::from(client);
            self.baseline(name, BaselineKind::LocalOnly, Some(client), auroc);
        }
        for round in 1..=3 {
            for client in 0..2 {
                if name == "nih" && round == 2 && client == 1 {
                    self.run_out_of_memory("train-nih-r2-c1", name, (round, client));
                }
                self.train(name, round, client);
            }
            self.aggregate(name, round);
            self.evaluate(name, round, Some(0.56 + lift + 0.05 * f64::from(round)));
        }
    }

    /// A job that leaves nothing a report reads.
    fn plain(&mut self, job: &str, kind: &str, dataset: &str, took_ms: u64) {
        self.start(job, kind, Some(dataset));
        self.now += took_ms;
        let fact = self.fact(&format!("{job}.safetensors"), &[0; 4096]);
        self.end(job, Outcome::Done, vec![fact]);
    }

    fn stats(&mut self, name: &str, synthetic: bool) {
        let clients = [(0, 310, [230, 80], 0.0123), (1, 190, [70, 120], 0.0871)];
        let clients = clients.map(|(client, samples, counts, kl)| ClientStats {
            client: ClientId(client),
            group: group(samples, counts),
            kl,
            js: kl / 4.0,
            hellinger: kl * 2.0,
            emd: kl * 3.0,
        });
        let stats = DatasetStats {
            fedwing_stats: DatasetStats::VERSION,
            experiment: experiment(),
            dataset: DatasetName::new(name).unwrap(),
            synthetic,
            target: Target::Classes,
            validation: None,
            classes: CLASSES.map(str::to_owned).to_vec(),
            train: group(500, [300, 200]),
            test: group(125, [75, 50]),
            clients: clients.to_vec(),
            left_out: BTreeMap::from([("several of the classes".to_owned(), 12)]),
            effective_clients: 1.891_074_130_105_9,
            skipped: if synthetic { 0 } else { 2 },
            leaks: if synthetic { 0 } else { 3 },
        };
        let file = self.named(name, |names| names.stats().to_string());
        self.write(
            &format!("stats-{name}"),
            "stats",
            Some(name),
            &file,
            &to_json(&stats),
        );
    }

    fn train(&mut self, name: &str, round: u32, client: u32) {
        let loss = 0.7 / f64::from(round) + 0.05 * f64::from(client);
        let absent = self.guarded && (round, client) == (2, 1);
        let subject = Subject::Train {
            round: Round(round),
            client: ClientId(client),
            epoch_loss: if absent { vec![] } else { vec![loss + 0.1, loss] },
            validation_loss: match self.personal {
                true => vec![loss + 0.05, loss + 0.3],
                false => vec![],
            },
            // The second epoch was worse on the first client's validation samples; the other had all its epochs.
            best_epoch: (self.personal && client == 0).then_some(1),
            privacy: self.personal.then(|| SamplePrivacySpent {
                epsilon: 0.5 * f64::from(round) + f64::from(client),
                delta: 1e-5,
                noise_multiplier: 1.1,
                norm: 0.5,
                steps: 40 * u64::from(round),
            }),
            absent: absent.then(|| "the shard cannot be read: | <damaged>".to_owned()),
        };
        let file = self.named(name, |names| {
            names.train_metrics(Round(round), ClientId(client)).to_string()
        });
        let metrics = self.metrics(name, [310, 190][client as usize], subject, None);
        let job = format!("train-{name}-r{round}-c{client}");
        self.write(&job, "train", Some(name), &file, &to_json(&metrics));
    }

    fn aggregate(&mut self, name: &str, round: u32) {
        let updates = [(0, 310), (1, 190)];
        let updates = updates.map(|(client, n)| UpdateShare {
            client: Some(ClientId(client)),
            num_samples: SampleCount(n),
            weight: Some(n as f64 / 500.0),
        });
        let mut updates = updates.to_vec();
        let mut absent = vec![];
        if self.guarded && round == 2 {
            updates.pop();
            absent.push(ClientId(1));
        }
        let plain_bytes = (updates.len() as u64) * (47 << 20);
        let subject = Subject::Aggregate {
            round: Some(Round(round)),
            updates,
            absent,
            strategy: "fedavg".into(),
            privacy: self.guarded.then_some(PrivacySpent {
                epsilon: Some(1.25 * f64::from(round)),
                delta: 1e-5,
                noise_multiplier: 1.1,
                norm: 0.5,
                rounds: round.into(),
            }),
            transfer: Transfer {
                received_bytes: if self.guarded {
                    plain_bytes / 4
                } else {
                    plain_bytes
                },
                plain_bytes,
            },
        };
        let file = self.named(name, |names| names.aggregate_metrics(Round(round)).to_string());
        let metrics = self.metrics(name, 500, subject, None);
        self.write(
            &format!("aggregate-{name}-r{round}"),
            "aggregate",
            Some(name),
            &file,
            &to_json(&metrics),
        );
    }

    /// Evaluates a round's model.
    pub fn evaluate(&mut self, name: &str, round: u32, auroc: Option<f64>) {
        let subject = Subject::Evaluate {
            round: Round(round),
            test_dataset: DatasetName::new(name).unwrap(),
            client: None,
        };
        let file = self.named(name, |names| names.evaluate_metrics(Round(round)).to_string());
        let mut scores = scores(auroc);
        if self.personal {
            with_intervals(&mut scores);
        }
        let metrics = self.metrics(name, 125, subject, Some(scores));
        self.write(
            &format!("evaluate-{name}-r{round}"),
            "evaluate",
            Some(name),
            &file,
            &to_json(&metrics),
        );
    }

    /// Evaluates the model a client ends with.
    fn personal_model(&mut self, name: &str, client: u32) {
        let subject = Subject::Evaluate {
            round: Round(3),
            test_dataset: DatasetName::new(name).unwrap(),
            client: Some(ClientId(client)),
        };
        let file = self.named(name, |names| {
            names.personal_metrics(Round(3), ClientId(client)).to_string()
        });
        let auroc = 0.74 + 0.02 * f64::from(client);
        let metrics = self.metrics(name, 125, subject, Some(scores(Some(auroc))));
        let job = format!("personal-{name}-c{client:04}");
        self.write(&job, "evaluate", Some(name), &file, &to_json(&metrics));
    }

    fn cross(&mut self, name: &str, other: &str, auroc: f64) {
        let other = DatasetName::new(other).unwrap();
        let file = self.named(name, |names| names.cross_metrics(&other).to_string());
        let job = format!("evaluate-{name}-on-{other}");
        let subject = Subject::Evaluate {
            round: Round(3),
            test_dataset: other,
            client: None,
        };
        let metrics = self.metrics(name, 125, subject, Some(scores(Some(auroc))));
        self.write(&job, "evaluate", Some(name), &file, &to_json(&metrics));
    }

    fn baseline(&mut self, name: &str, kind: BaselineKind, client: Option<u32>, auroc: f64) {
        let client = client.map(ClientId);
        let subject = Subject::Baseline {
            kind,
            client,
            epochs: 3,
            epoch_loss: vec![0.69, 0.6, 0.55],
        };
        let file = self.named(name, |names| names.baseline_metrics(kind, client).to_string());
        let metrics = self.metrics(name, 500, subject, Some(scores(Some(auroc))));
        let client = client.map_or(String::new(), |client| format!("-c{client}"));
        self.now += 1_500;
        let job = format!("baseline-{name}-{kind}{client}");
        self.write(&job, "baseline", Some(name), &file, &to_json(&metrics));
    }

    fn metrics(&self, dataset: &str, num_samples: u64, subject: Subject, scores: Option<Scores>) -> Metrics {
        Metrics {
            fedwing_metrics: Metrics::VERSION,
            experiment: Some(experiment()),
            dataset: Some(DatasetName::new(dataset).unwrap()),
            spec_digest: Some(SpecDigest::new(&self.digest).unwrap()),
            synthetic: self.synthetic,
            backend: match subject {
                Subject::Aggregate { .. } => None,
                _ => Some(Backend::Cpu),
            },
            num_samples: SampleCount(num_samples),
            subject,
            scores,
        }
    }

    fn named(&self, dataset: &str, name: impl FnOnce(Names<'_>) -> String) -> String {
        let (experiment, dataset) = (experiment(), DatasetName::new(dataset).unwrap());
        name(Names {
            experiment: &experiment,
            dataset: &dataset,
        })
    }

    /// A job that runs for 850 ms and leaves `content` as `file`.
    pub fn write(&mut self, job: &str, kind: &str, dataset: Option<&str>, file: &str, content: &[u8]) {
        self.start(job, kind, dataset);
        self.now += 850;
        let fact = self.fact(file, content);
        self.end(job, Outcome::Done, vec![fact]);
        // Two slots are in use: the next job starts while this one runs.
        self.now -= 300;
    }

    /// Leaves a file in the run's folder.
    pub fn fact(&self, name: &str, content: &[u8]) -> FileFact {
        fs::write(self.dir.files().join(name), content).unwrap();
        FileFact {
            name: name.to_owned(),
            size: Bytes(content.len() as u64),
            sha256: sha256(content),
        }
    }

    /// A job that stops for good, as its failure file says.
    pub fn fail(&mut self, job: &str, kind: &str, dataset: Option<&str>) {
        self.start(job, kind, dataset);
        self.now += 100;
        self.end(job, Outcome::Exit(11), vec![]);
        let Some(Event::JobEnded { failure, .. }) = self.events.last_mut() else {
            unreachable!()
        };
        *failure = Some(Failure {
            fedwing_failure: Failure::VERSION,
            job: "fl-client train".into(),
            kind: JobExit::InputInvalid,
            exit: JobExit::InputInvalid.code(),
            retry: JobExit::InputInvalid.retry(),
            message: "the shard holds samples of client 0, not of client 1".into(),
            file: Some("pilot.nih.c0001.shard.safetensors".into()),
            help: Some("run prepare again".into()),
        });
    }

    fn run_out_of_memory(&mut self, job: &str, dataset: &str, place: (u32, u32)) {
        self.start(job, "train", Some(dataset));
        let Some(Event::JobStarted { round, client, .. }) = self.events.last_mut() else {
            unreachable!()
        };
        (*round, *client) = (Some(place.0), Some(place.1));
        self.now += 400;
        self.end(job, Outcome::Exit(JobExit::OutOfMemory.code().into()), vec![]);
    }

    /// A job's process starts now.
    pub fn start(&mut self, job: &str, kind: &str, dataset: Option<&str>) {
        self.events.push(Event::JobStarted {
            at: Stamp(self.now),
            job: job.to_owned(),
            attempt: self.starts(job) + 1,
            kind: kind.to_owned(),
            dataset: dataset.map(str::to_owned),
            round: None,
            client: None,
            input_bytes: Bytes(47 << 20),
        });
    }

    fn starts(&self, job: &str) -> u32 {
        let starts = self
            .events
            .iter()
            .filter(|event| matches!(event, Event::JobStarted { job: name, .. } if name == job));
        starts.count() as u32
    }

    /// A job's process ended now.
    pub fn end(&mut self, job: &str, outcome: Outcome, outputs: Vec<FileFact>) {
        self.events.push(Event::JobEnded {
            at: Stamp(self.now),
            job: job.to_owned(),
            attempt: self.starts(job),
            outcome,
            wall_s: 0.85,
            cpu_s: 0.8,
            peak_memory: Bytes(212 << 20),
            outputs,
            failure: None,
        });
    }
}

fn experiment() -> ExperimentName {
    ExperimentName::new("pilot").unwrap()
}

fn group(samples: u64, counts: [u64; 2]) -> GroupStats {
    GroupStats {
        samples,
        patients: samples - 20,
        class_counts: counts.to_vec(),
        unlabelled: 0,
    }
}

fn scores(auroc: Option<f64>) -> Scores {
    let quality = auroc.unwrap_or(0.5);
    let class = |i: usize, support| ClassScores {
        label: CLASSES[i].to_owned(),
        support,
        precision: (quality > 0.5).then_some(quality - 0.04),
        recall: Some(quality - 0.02),
        f1: Some(quality - 0.03),
        auroc,
        auroc_interval: None,
        pr_auc: auroc.map(|auroc| auroc - 0.1),
        threshold: None,
    };
    Scores {
        loss: 1.2 - quality,
        accuracy: quality - 0.05,
        macro_f1: quality - 0.08,
        balanced_accuracy: Some(quality - 0.06),
        micro_f1: quality - 0.05,
        auroc,
        pr_auc: auroc.map(|auroc| auroc - 0.1),
        brier: 0.6 - quality / 2.0,
        ece: 0.1 - quality / 10.0,
        confusion: vec![vec![50, 25], vec![20, 30]],
        intervals: None,
        per_class: vec![class(0, 75), class(1, 50)],
    }
}

/// As an evaluation with a seed and validation samples leaves them.
fn with_intervals(scores: &mut Scores) {
    let around = |value: f64| Interval {
        low: value - 0.03,
        high: value + 0.02,
    };
    scores.intervals = Some(Intervals {
        draws: 1000,
        accuracy: around(scores.accuracy),
        balanced_accuracy: scores.balanced_accuracy.map(around),
        macro_f1: around(scores.macro_f1),
        auroc: scores.auroc.map(around),
        pr_auc: scores.pr_auc.map(around),
    });
    for class in &mut scores.per_class {
        class.auroc_interval = class.auroc.map(around);
        class.threshold = Some(0.45);
    }
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec_pretty(value).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
