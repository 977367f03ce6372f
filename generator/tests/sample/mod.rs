//! Checked specifications made by hand, for tests and benches of everything right of `check`.

#![allow(dead_code)] // every test that includes this file uses a part of it
#![allow(clippy::unwrap_used)] // made for tests
#![allow(missing_docs)] // fields are named as in the specification

use std::{collections::BTreeSet, sync::Arc};

use contract::{
    aggregation::{CentralPrivacy, Encoding, Strategy},
    dataset::{
        DatasetConfig, Depth, Duplicates, Fit, ImageSettings, Partition, Quality, Source, Task, TestSplit,
    },
    ids::{ClientId, DatasetName, ExperimentName, Seed, SiteName, SpecDigest},
    recipe::{DeviceChoice, Method, Recipe},
    training::{Arch, BaselineKind, Broadcast, Optimizer},
    units::{Bytes, Fraction, Seconds},
};
use fedwing::check::{
    Checked, Compression, Dataset, Evaluation, Execution, Federation, Layout, Model, PegasusSettings,
    Privacy, Request, Resources, Site, SubmitHost,
};

/// What a sample specification says; everything else is fixed.
#[derive(Debug, Clone)]
pub struct Sample {
    pub datasets: Vec<&'static str>,
    pub clients: u32,
    pub rounds: u32,
    pub fraction: f64,
    pub layout: Layout,
    pub baselines: Vec<BaselineKind>,
    pub cross_dataset: bool,
    pub weights: Option<String>,
    pub seed: u64,
    pub strategy: Strategy,
    pub min_clients: Option<u32>,
    pub compression: Option<Compression>,
    pub broadcast: Option<Broadcast>,
    pub fan_in: Option<u32>,
    pub central: Option<CentralPrivacy>,
    pub secure_aggregation: bool,
    /// Most clients that one job trains; with several, models are tested on the submit host.
    pub clients_per_job: u32,
    pub recipe: Recipe,
    /// Whether clients' data is at two sites, the first client's at one and the others' at the other.
    pub sites: bool,
    /// Whether intervals, predictions and thresholds are asked for.
    pub told: bool,
}

impl Sample {
    /// Two datasets, two clients, two rounds, every baseline.
    pub fn small(layout: Layout) -> Self {
        Self {
            datasets: vec!["nih", "tcia"],
            clients: 2,
            rounds: 2,
            fraction: 1.0,
            layout,
            baselines: BaselineKind::ALL.to_vec(),
            cross_dataset: true,
            weights: Some("/data/pretrained.safetensors".to_owned()),
            seed: 7,
            strategy: Strategy::Fedavg,
            min_clients: None,
            compression: None,
            broadcast: None,
            fan_in: None,
            central: None,
            secure_aggregation: false,
            clients_per_job: 1,
            sites: false,
            recipe: Recipe::plain(
                32,
                Optimizer::Sgd {
                    learning_rate: 0.001,
                    momentum: 0.9,
                    nesterov: false,
                    weight_decay: 1e-4,
                },
            ),
            told: false,
        }
    }

    /// One dataset without baselines.
    pub fn wide(clients: u32, rounds: u32) -> Self {
        Self {
            datasets: vec!["nih"],
            clients,
            rounds,
            baselines: vec![],
            cross_dataset: false,
            weights: None,
            ..Self::small(Layout::Flat)
        }
    }

    /// One of the ways updates travel and are combined; 0 is the plain one.
    pub fn learning(self, way: usize) -> Self {
        let int8 = Some(Compression {
            encoding: Encoding::Int8,
            error_feedback: true,
        });
        let fedadam = Strategy::Fedadam {
            learning_rate: 0.1,
            beta1: 0.9,
            beta2: 0.99,
            tau: 0.001,
        };
        match way {
            0 => self,
            1 => Self {
                strategy: fedadam,
                compression: int8,
                ..self
            },
            2 => Self {
                secure_aggregation: true,
                min_clients: Some(1),
                ..self
            },
            3 => Self {
                secure_aggregation: true,
                ..self
            },
            4 => Self {
                strategy: fedadam,
                fan_in: Some(2),
                compression: int8,
                broadcast: Some(Broadcast::Bf16),
                min_clients: Some(1),
                ..self
            },
            5 => Self {
                central: Some(CentralPrivacy::Fixed {
                    norm: 1.5,
                    noise_multiplier: 1.0,
                    delta: 1e-5,
                }),
                ..self
            },
            6 => Self {
                strategy: Strategy::Scaffold {
                    learning_rate: 1.0,
                    clients: 1,
                },
                told: true,
                ..self
            }
            .method(Method::Scaffold),
            7 => Self {
                compression: int8,
                min_clients: Some(1),
                ..self
            }
            .method(Method::Fedper),
            8 => Self {
                strategy: Strategy::Fedbn,
                fan_in: Some(2),
                told: true,
                ..self
            }
            .method(Method::Fedbn),
            9 => Self {
                clients_per_job: 2,
                compression: int8,
                broadcast: Some(Broadcast::Int8),
                ..self
            },
            10 => Self {
                clients_per_job: 3,
                min_clients: Some(1),
                ..self
            }
            .method(Method::Fedper),
            _ => unreachable!("there are {} ways", Self::WAYS),
        }
    }

    /// Number of ways of [`Self::learning`].
    pub const WAYS: usize = 11;

    fn method(mut self, method: Method) -> Self {
        self.recipe.method = method;
        self
    }

    pub fn checked(&self) -> Checked {
        let seed = Seed(self.seed);
        Checked {
            name: ExperimentName::new("e1").unwrap(),
            intent: None,
            seed,
            digest: digest(),
            datasets: self.datasets.iter().map(|name| self.dataset(name)).collect(),
            model: Model {
                arch: Arch::SmallCnn,
                weights: self.weights.clone(),
                head: None,
            },
            federation: Federation {
                algorithm: "fedavg",
                strategy: self.strategy,
                rounds: self.rounds,
                fraction: Fraction::new(self.fraction).unwrap(),
                min_clients: self.min_clients,
                compression: self.compression,
                broadcast: self.broadcast,
                epochs: 2,
                recipe: self.recipe.clone(),
            },
            evaluation: Evaluation {
                baselines: BTreeSet::from_iter(self.baselines.iter().copied()),
                cross_dataset: self.cross_dataset,
                intervals: self.told,
                predictions: self.told,
                personal: true,
            },
            sites: self.two_sites(),
            execution: Execution {
                layout: self.layout,
                device: DeviceChoice::Cuda(0),
                resources: resources(),
                retries: 3,
                fan_in: self.fan_in,
                clients_per_job: self.clients_per_job,
                submit_host: SubmitHost {
                    init: true,
                    aggregate: true,
                    evaluate: self.clients_per_job > 1,
                },
                pegasus: PegasusSettings {
                    data_configuration: "condorio".to_owned(),
                    compute_site: "condorpool".to_owned(),
                },
            },
            privacy: Privacy {
                central: self.central,
                secure_aggregation: self.secure_aggregation,
            },
        }
    }

    fn two_sites(&self) -> Vec<Arc<Site>> {
        let site = |name: &str, clients: std::ops::Range<u32>| Site {
            name: SiteName::new(name).unwrap(),
            clients: clients.map(ClientId).collect(),
            data: format!("/srv/{name}"),
            requirements: format!("FedwingSite == \"{name}\""),
            keeps_program: name == "first",
        };
        match self.sites {
            false => Vec::new(),
            true => [site("first", 0..1), site("second", 1..self.clients.max(2))]
                .map(Arc::new)
                .into(),
        }
    }

    fn dataset(&self, name: &str) -> Dataset {
        let dataset = DatasetName::new(name).unwrap();
        Dataset {
            config: DatasetConfig {
                fedwing_dataset: DatasetConfig::VERSION,
                experiment: ExperimentName::new("e1").unwrap(),
                spec_digest: digest(),
                source: Source::Cxr14 {
                    images: format!("/data/{name}/images"),
                    labels: format!("/data/{name}/labels.csv"),
                },
                task: Task::Binary {
                    negative: vec!["No Finding".to_owned()],
                },
                image: ImageSettings {
                    size: 64,
                    channels: 1,
                    mean: 0.5,
                    std: 0.25,
                    depth: Depth::U8,
                    fit: Fit::Stretch,
                },
                test: TestSplit::Fraction(0.2),
                validation: self.told.then_some(0.1),
                clients: self.clients,
                partition: Partition::Iid,
                quality: Quality {
                    unusable: 0.0,
                    duplicates: Duplicates::Report,
                },
                seed: Seed(self.seed).derive(&format!("dataset/{name}")),
                dataset,
            },
        }
    }
}

fn digest() -> SpecDigest {
    SpecDigest::new(&"0123456789abcdef".repeat(4)).unwrap()
}

fn resources() -> Resources {
    let request = |cpus, gibibytes: u64, gpus| Request {
        cpus,
        memory: Bytes(gibibytes << 30),
        gpus,
        walltime: Seconds(3600),
    };
    Resources {
        prepare: request(2, 4, 0),
        stats: request(1, 1, 0),
        init: request(1, 1, 0),
        train: request(4, 8, 1),
        aggregate: request(1, 2, 0),
        evaluate: request(3, 6, 1),
        baseline: request(4, 8, 1),
    }
}
