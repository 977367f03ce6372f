//! Accuracy parity with PyTorch on PneumoniaMNIST: same networks, hyperparameters and official split; methods beside FedAvg.
//!
//! Prints a Markdown table of mean and standard deviation over five seeds beside the reference. Every number comes from
//! the jobs of `fl-client` and `fl-aggregator`, run in this process. Words choose cases by a part of their name:
//! `cargo build --release -p benches && target/release/pneumonia > benches/results/pneumonia.md`

use std::path::PathBuf;

use contract::{
    aggregation::{Strategy, StrategyArg},
    args::{AggregateArgs, BaselineArgs, EvaluateArgs, InitArgs, Job, PrepareArgs, TrainArgs},
    argv::{InputFile, OutputFile},
    dataset::{
        DatasetConfig, Depth, Duplicates, Fit, ImageSettings, Partition, Quality, Source, Task, TestSplit,
    },
    ids::{ClientId, DatasetName, ExperimentName, Round, Seed, SpecDigest},
    job::{read_json, write_json},
    metrics::Metrics,
    recipe::{Method, Recipe},
    training::{Arch, BaselineKind, Optimizer, Progress},
};

const SEEDS: [u64; 5] = [0, 1, 2, 3, 4];
const CLIENTS: u32 = 5;
const ROUNDS: u32 = 10;
/// Largest metrics file read, in bytes.
const MAX_METRICS: u64 = 1 << 24;

/// As in `fl-client`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// That of the reference.
const MOMENTUM: Optimizer = Optimizer::Sgd {
    learning_rate: 0.01,
    momentum: 0.9,
    nesterov: false,
    weight_decay: 1e-4,
};

/// For SCAFFOLD, which needs plain steps, and FedAvg beside it.
const PLAIN: Optimizer = Optimizer::Sgd {
    learning_rate: 0.05,
    momentum: 0.0,
    nesterov: false,
    weight_decay: 1e-4,
};

const HALF: Partition = Partition::Dirichlet {
    alpha: 0.5,
    min_size: 10,
};
const TENTH: Partition = Partition::Dirichlet {
    alpha: 0.1,
    min_size: 10,
};

struct Case {
    name: &'static str,
    arch: Arch,
    partition: Partition,
    optimizer: Optimizer,
    learning: Learning,
    /// AUROC of the PyTorch reference, and its standard deviation where it is known.
    reference: Option<(f64, Option<f64>)>,
}

enum Learning {
    Centralised,
    Federated(Method, Strategy),
}

fn cases() -> Vec<Case> {
    use Arch::{SmallCnn, SmallCnnBn};
    use Learning::{Centralised, Federated};
    let fedavg = || Federated(Method::Plain, Strategy::Fedavg);
    let fedprox = || Federated(Method::Fedprox { mu: 0.01 }, Strategy::Fedprox);
    let scaffold = Federated(
        Method::Scaffold,
        Strategy::Scaffold {
            learning_rate: 1.0,
            clients: u64::from(CLIENTS),
        },
    );
    let case = |name, arch, partition, optimizer, learning, reference| Case {
        name,
        arch,
        partition,
        optimizer,
        learning,
        reference,
    };
    let known = |mean, deviation| Some((mean, Some(deviation)));
    let iid = Partition::Iid;
    vec![
        case(
            "centralised, 10 epochs",
            SmallCnn,
            iid,
            MOMENTUM,
            Centralised,
            known(0.930, 0.003),
        ),
        case(
            "FedAvg, IID",
            SmallCnn,
            iid,
            MOMENTUM,
            fedavg(),
            known(0.920, 0.001),
        ),
        case(
            "FedAvg, Dirichlet(0.5)",
            SmallCnn,
            HALF,
            MOMENTUM,
            fedavg(),
            known(0.921, 0.007),
        ),
        case(
            "FedProx µ 0.01, Dirichlet(0.5)",
            SmallCnn,
            HALF,
            MOMENTUM,
            fedprox(),
            known(0.921, 0.009),
        ),
        case(
            "FedAvg, Dirichlet(0.1)",
            SmallCnn,
            TENTH,
            MOMENTUM,
            fedavg(),
            known(0.899, 0.031),
        ),
        case(
            "FedProx µ 0.01, Dirichlet(0.1)",
            SmallCnn,
            TENTH,
            MOMENTUM,
            fedprox(),
            None,
        ),
        case(
            "FedAvg, Dirichlet(0.1), SGD 0.05 plain",
            SmallCnn,
            TENTH,
            PLAIN,
            fedavg(),
            None,
        ),
        case(
            "SCAFFOLD, Dirichlet(0.1), SGD 0.05 plain",
            SmallCnn,
            TENTH,
            PLAIN,
            scaffold,
            None,
        ),
        case(
            "BatchNorm: centralised",
            SmallCnnBn,
            iid,
            MOMENTUM,
            Centralised,
            Some((0.954, None)),
        ),
        case(
            "BatchNorm: FedAvg, IID",
            SmallCnnBn,
            iid,
            MOMENTUM,
            fedavg(),
            Some((0.947, None)),
        ),
        case(
            "BatchNorm: FedAvg, Dirichlet(0.5)",
            SmallCnnBn,
            HALF,
            MOMENTUM,
            fedavg(),
            Some((0.938, None)),
        ),
    ]
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    println!("# PneumoniaMNIST: parity with PyTorch\n");
    println!(
        "T={ROUNDS} rounds, E=1, K={CLIENTS}, batch 32, SGD 0.01, momentum 0.9 where not said otherwise, weight decay 1e-4, \
         official split, 10 samples or more a client; seeds 0 to 4."
    );
    println!("{}.\n", benches::provenance());
    println!("| | accuracy | AUROC | by seed | AUROC, PyTorch | difference |\n|---|---|---|---|---|---|");
    let wanted = |case: &Case| words.is_empty() || words.iter().any(|word| case.name.contains(word));
    for case in cases().into_iter().filter(wanted) {
        let scores: Vec<(f64, f64)> = SEEDS.iter().map(|seed| Run::of(&case, *seed).scores()).collect();
        let (accuracy, accuracy_sd) = mean_and_deviation(scores.iter().map(|s| s.0));
        let (auroc, auroc_sd) = mean_and_deviation(scores.iter().map(|s| s.1));
        let by_seed: Vec<String> = scores.iter().map(|score| format!("{:.3}", score.1)).collect();
        let (reference, difference) = match case.reference {
            None => ("".to_owned(), "".to_owned()),
            Some((mean, deviation)) => {
                let deviation = deviation.map_or("".to_owned(), |deviation| format!(" ± {deviation:.3}"));
                (format!("{mean:.3}{deviation}"), format!("{:+.3}", auroc - mean))
            }
        };
        println!(
            "| {} | {accuracy:.3} ± {accuracy_sd:.3} | {auroc:.3} ± {auroc_sd:.3} | {} | {reference} | {difference} |",
            case.name,
            by_seed.join(" ")
        );
    }
}

/// One experiment in a folder of its own.
struct Run<'a> {
    case: &'a Case,
    seed: Seed,
    folder: PathBuf,
    experiment: ExperimentName,
    dataset: DatasetName,
    spec_digest: SpecDigest,
}

impl<'a> Run<'a> {
    fn of(case: &'a Case, seed: u64) -> Self {
        let folder = std::env::temp_dir().join(format!("fedwing-pneumonia-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder); // left by an earlier case, or not there
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        Self {
            case,
            seed: Seed(seed),
            folder,
            experiment: "pneumonia".parse().expect("a name"),
            dataset: "mnist".parse().expect("a name"),
            spec_digest: "0".repeat(64).parse().expect("a digest"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn input(&self, name: &str) -> InputFile {
        self.path(name).to_str().expect("a path in UTF-8").into()
    }

    fn output(&self, name: &str) -> OutputFile {
        self.path(name).to_str().expect("a path in UTF-8").into()
    }

    fn client(&self, job: Job) {
        fl_client::run::run(job).unwrap_or_else(|error| panic!("{}: {}", self.case.name, error.message));
    }

    /// Accuracy and AUROC of the last model.
    fn scores(self) -> (f64, f64) {
        self.prepare();
        let recipe = Recipe {
            method: match self.case.learning {
                Learning::Centralised => Method::Plain,
                Learning::Federated(method, _) => method,
            },
            ..Recipe::plain(32, self.case.optimizer)
        };
        write_json(&self.path("recipe.json"), &recipe).expect("a recipe");
        self.client(Job::Init(InitArgs {
            experiment: self.experiment.clone(),
            dataset: self.dataset.clone(),
            spec_digest: self.spec_digest.clone(),
            arch: self.case.arch,
            channels: 1,
            image_size: 28,
            classes: 2,
            target: None,
            seed: self.seed.derive("init"),
            weights: None,
            head: None,
            global: self.output("g0"),
        }));
        match &self.case.learning {
            Learning::Centralised => self.centralised(),
            Learning::Federated(_, strategy) => {
                (1..=ROUNDS).for_each(|round| self.round(Round(round), &recipe, strategy));
                self.evaluate();
            }
        }
        let metrics: Metrics = read_json(&self.path("metrics.json"), MAX_METRICS).expect("metrics");
        let scores = metrics.scores.expect("scores");
        std::fs::remove_dir_all(&self.folder).expect("removed");
        (scores.accuracy, scores.auroc.expect("AUROC"))
    }

    fn prepare(&self) {
        let config = DatasetConfig {
            fedwing_dataset: DatasetConfig::VERSION,
            experiment: self.experiment.clone(),
            dataset: self.dataset.clone(),
            spec_digest: self.spec_digest.clone(),
            source: Source::Table {
                csv: benches::data()
                    .join("pneumoniamnist/labels.csv")
                    .display()
                    .to_string(),
                image: "image".to_owned(),
                patient: "image".to_owned(),
                labels: vec!["finding".to_owned()],
                site: None,
            },
            task: Task::Binary {
                negative: vec!["Normal".to_owned()],
            },
            image: ImageSettings {
                size: 28,
                channels: 1,
                mean: 0.5,
                std: 0.5,
                depth: Depth::U8,
                fit: Fit::Stretch,
            },
            test: TestSplit::Column {
                name: "split".to_owned(),
                train: vec!["train".to_owned()],
                test: vec!["test".to_owned()],
            },
            validation: None,
            clients: CLIENTS,
            partition: self.case.partition,
            quality: Quality {
                unusable: 0.0,
                duplicates: Duplicates::Report,
            },
            seed: self.seed.derive("data"),
        };
        write_json(&self.path("config.json"), &config).expect("settings");
        self.client(Job::Prepare(PrepareArgs {
            config: self.input("config.json"),
            salt: None,
            threads: None,
            manifest: self.output("manifest.json"),
            shards: (0..CLIENTS)
                .map(|client| self.output(&format!("c{client}")))
                .collect(),
            part: None,
            test_shard: Some(self.output("test")),
            validation_shard: None,
            program: None,
        }));
    }

    fn centralised(&self) {
        self.client(Job::Baseline(BaselineArgs {
            experiment: self.experiment.clone(),
            dataset: self.dataset.clone(),
            spec_digest: self.spec_digest.clone(),
            kind: BaselineKind::Centralized,
            client: None,
            epochs: ROUNDS,
            epochs_per_round: 1,
            recipe: self.input("recipe.json"),
            seed: self.seed.derive("train"),
            threads: None,
            device: None,
            progress: Some(Progress::None),
            checkpoint: None,
            global: self.input("g0"),
            shards: (0..CLIENTS)
                .map(|client| self.input(&format!("c{client}")))
                .collect(),
            test_shard: self.input("test"),
            validation_shard: None,
            model: self.output("model"),
            metrics: self.output("metrics.json"),
        }));
    }

    fn round(&self, round: Round, recipe: &Recipe, strategy: &Strategy) {
        let before = round.0 - 1;
        let later = |name: String| (before > 0).then(|| self.input(&name));
        let keeps = recipe.is_personal();
        for client in 0..CLIENTS {
            self.client(Job::Train(TrainArgs {
                experiment: self.experiment.clone(),
                dataset: self.dataset.clone(),
                spec_digest: self.spec_digest.clone(),
                round,
                client: ClientId(client),
                epochs: 1,
                recipe: self.input("recipe.json"),
                seed: self.seed.derive("train"),
                threads: None,
                device: None,
                progress: Some(Progress::None),
                checkpoint: None,
                global: self.input(&format!("g{before}")),
                shard: self.input(&format!("c{client}")),
                encoding: None,
                residual_in: None,
                residual_out: None,
                personal_in: later(format!("p{before}-{client}")).filter(|_| keeps),
                personal_out: keeps.then(|| self.output(&format!("p{round}-{client}"))),
                control: later(format!("s{before}")).filter(|_| recipe.method == Method::Scaffold),
                secret_key: None,
                public_keys: Vec::new(),
                absence: None,
                update: self.output(&format!("u{client}")),
                metrics: self.output(&format!("u{client}.json")),
            }));
        }
        let job = Job::Aggregate(AggregateArgs {
            strategy: StrategyArg::Given(*strategy),
            privacy: None,
            keep: Vec::new(),
            global: self.input(&format!("g{before}")),
            updates: (0..CLIENTS)
                .map(|client| self.input(&format!("u{client}")))
                .collect(),
            samples: Vec::new(),
            min_clients: None,
            reveals: Vec::new(),
            seed: None,
            threads: None,
            state_in: later(format!("s{before}")),
            state_out: Some(self.output(&format!("s{round}"))),
            output: self.output(&format!("g{round}")),
            metrics: None,
        });
        fl_aggregator::run(job).unwrap_or_else(|error| panic!("{}: {}", self.case.name, error.message));
    }

    fn evaluate(&self) {
        self.client(Job::Evaluate(EvaluateArgs {
            experiment: self.experiment.clone(),
            dataset: self.dataset.clone(),
            test_dataset: self.dataset.clone(),
            spec_digest: self.spec_digest.clone(),
            round: Round(ROUNDS),
            batch_size: 64,
            threads: None,
            global: self.input(&format!("g{ROUNDS}")),
            client: None,
            personal: None,
            shard: self.input("test"),
            validation_shard: None,
            seed: None,
            device: None,
            predictions: None,
            metrics: self.output("metrics.json"),
        }));
    }
}

fn mean_and_deviation(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let n = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / n;
    let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    (mean, variance.sqrt())
}
