//! Counts the jobs of an experiment and the bytes that move between submit host and machines, from its plan.
//!
//! ```text
//! cargo run -p benches --no-default-features --bin bytes_moved > benches/results/bytes_moved.md
//! ```
//!
//! The experiment is the public reference's: two datasets, 10 clients, 50 rounds, ResNet-18. Nothing runs: each job's files come
//! from its arguments, their sizes from `estimate`; a shard has as many images as make the bytes that the reference moved.

use std::{cmp::Reverse, collections::BTreeMap, error::Error, path::Path};

use contract::{args::Binary, units::SampleCount};
use fedwing::{
    check::check,
    diag::Colour,
    estimate::{Basis, Known, Samples, Sizes, Target, Traffic, each_move, plannings},
    plan::{self, Plan, PlannedJob},
};

const CLIENTS: u32 = 10;
const ROUNDS: u32 = 50;

/// Megabytes that the reference's training jobs receive beside model and worker package: a client's images.
const SHARD: f64 = 141.0 - 44.75 - 18.0;
/// The same of its evaluations: the test images.
const TEST: f64 = 266.0 - 44.75 - 18.0;
/// Bytes of an image of 224 pixels, its label and its patient in a shard.
const IMAGE: f64 = 224.0 * 224.0 + 1.0 + 16.0;
/// Pool jobs of the reference: 279 of the main workflow and 24 of each round.
const REFERENCE_JOBS: usize = 279 + 24 * 2 * ROUNDS as usize;

/// What a specification may say to move less.
#[derive(Clone, Copy, Default)]
struct Settings {
    layout: Option<&'static str>,
    sites: bool,
    evaluate_here: bool,
    together: bool,
    compression: &'static str,
    broadcast: &'static str,
}

const INT8: &str = "compression: {int8: {error_feedback: true}}";
const TOP_K: &str = "compression: {top_k: {share: 0.01, error_feedback: true}}";

/// Each row with what it says, most of them more than the row before.
fn rows() -> Vec<(&'static str, Settings)> {
    let plain = Settings::default();
    let sites = Settings { sites: true, ..plain };
    let here = Settings {
        evaluate_here: true,
        ..sites
    };
    let together = Settings {
        together: true,
        ..here
    };
    let int8 = Settings {
        compression: INT8,
        ..together
    };
    let both = Settings {
        broadcast: "broadcast: int8",
        ..int8
    };
    vec![
        ("no settings", plain),
        (
            "int8 updates",
            Settings {
                compression: INT8,
                ..plain
            },
        ),
        ("data at its sites", sites),
        ("... and evaluation on the submit host", here),
        ("... and one job for the clients of a site", together),
        ("... and int8 updates", int8),
        ("... and int8 global models", both),
        (
            "... with the largest 1 % in place of int8 updates",
            Settings {
                compression: TOP_K,
                ..both
            },
        ),
        (
            "all of these, and a job for each client",
            Settings {
                together: false,
                ..both
            },
        ),
    ]
}

/// A plan and the sizes of its files.
struct Experiment {
    plan: Plan,
    sizes: Sizes,
}

impl Experiment {
    fn of(text: &str) -> Result<Self, Box<dyn Error>> {
        let report = check(text, "e1.yml", Path::new("/"));
        let Some(checked) = report.checked else {
            return Err(report.diagnostics.render(Colour::Never).into());
        };
        let images = |megabytes: f64| SampleCount((megabytes * 1e6 / IMAGE).round() as u64);
        let samples = Samples {
            clients: vec![images(SHARD); CLIENTS as usize],
            validation: SampleCount(0),
            test: images(TEST),
            basis: Basis::Counted,
        };
        let datasets = checked.datasets.iter();
        let known = Known {
            samples: datasets
                .map(|dataset| (dataset.config.dataset.clone(), samples.clone()))
                .collect(),
            ..Known::default()
        };
        Ok(Self {
            plan: plan::lower(&checked)?,
            sizes: Sizes::new(&checked, &known),
        })
    }

    /// The jobs of a round of a dataset.
    fn round(&self) -> impl Iterator<Item = &PlannedJob> {
        let of_round = |job: &&PlannedJob| {
            let stage = &job.stage;
            stage.dataset.as_str() == "nih" && stage.round.is_some_and(|round| round.0 == 2)
        };
        self.plan.jobs.iter().filter(of_round)
    }

    /// Megabytes of a file.
    fn file(&self, name: &str) -> f64 {
        self.sizes.file_bytes(name).0 as f64 / 1e6
    }
}

/// Megabytes that jobs receive, send, and both.
fn megabytes(traffic: Traffic) -> [f64; 3] {
    [traffic.received, traffic.sent, traffic.together()].map(|bytes| bytes.0 as f64 / 1e6)
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("# Jobs and bytes moved, beside the reference's workflow\n");
    let plain = Experiment::of(&spec(Settings::default()))?;
    let program = |binary| plain.sizes.program(binary).0 as f64 / 1e6;
    println!(
        "`cargo run -p benches --no-default-features --bin bytes_moved`: computed from plans, nothing is run. Two datasets, {CLIENTS} clients, all \
         of them in each of {ROUNDS} rounds, ResNet-18, a centralised baseline where data is in one place. Megabytes (10^6) between submit host \
         and machines. Sizes: model {:.2}, a client's shard {:.1}, test shard {:.1} (what the reference's jobs received \
         beside model and worker package), fl-client {:.1} and fl-aggregator {:.1} (stripped), worker package {:.0}.\n",
        plain.file("e1.nih.r0001.global.safetensors"),
        plain.file("e1.nih.c0000.shard.safetensors"),
        plain.file("e1.nih.test.shard.safetensors"),
        program(Binary::FlClient),
        program(Binary::FlAggregator),
        plain.sizes.worker_package().0 as f64 / 1e6,
    );
    rounds()?;
    layouts()
}

/// Bytes of one round of one dataset.
fn rounds() -> Result<(), Box<dyn Error>> {
    let clients = f64::from(CLIENTS);
    let (received, sent) = (clients * 141.0 + 466.0 + 266.0 + 18.0, clients * 45.0 + 45.0);
    let reference = received + sent;
    println!("## One round of one dataset\n");
    println!(
        "| workflow | settings | pool jobs | they receive MB | they send MB | together MB | reference's bytes, times this | reference's jobs, times this |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    println!(
        "| reference, Pegasus | | 24 (13 of its own) | {received:.0} | {sent:.0} | {reference:.0} | 1.0 | 1.0 |"
    );
    let mut least = BTreeMap::new();
    for (name, target) in [("Pegasus", Target::Pegasus), ("DAGMan", Target::Dagman)] {
        for (words, settings) in rows() {
            let experiment = Experiment::of(&spec(settings))?;
            let traffic: Traffic = experiment
                .round()
                .map(|job| Traffic::of(job, &experiment.sizes, target))
                .sum();
            let [received, sent, together] = megabytes(traffic);
            println!(
                "| fedwing, {name} | {words} | {} | {received:.0} | {sent:.0} | {together:.0} | {:.1} | {:.1} |",
                traffic.jobs,
                reference / together,
                24.0 / traffic.jobs as f64
            );
            least.clear();
            for job in experiment.round() {
                each_move(job, &experiment.sizes, target, |moved| {
                    *least.entry(moved.what).or_insert(0) += moved.bytes.0;
                });
            }
        }
    }
    println!(
        "\nWhere nothing is said, initial models and aggregation are on the submit host and updates are plain. Of the reference's 24 jobs \
         13 are Pegasus' own (directories, staging, registration, cleanup); it adds such jobs to our workflows as well, which are counted when \
         it plans.\n"
    );
    let mut parts: Vec<(&str, u64)> = least.into_iter().collect();
    parts.sort_by_key(|(_, bytes)| Reverse(*bytes));
    let parts = parts.iter().filter(|(_, bytes)| *bytes > 500_000);
    let parts: Vec<String> = parts
        .map(|(what, bytes)| format!("{what} {:.0}", *bytes as f64 / 1e6))
        .collect();
    println!(
        "What the last row still moves, in MB by kind: {}.\n",
        parts.join(", ")
    );
    Ok(())
}

/// Jobs and bytes of the whole experiment in each layout.
fn layouts() -> Result<(), Box<dyn Error>> {
    let reference = 2.0 * f64::from(ROUNDS) * (f64::from(CLIENTS) * 186.0 + 511.0 + 266.0 + 18.0);
    println!("## The whole experiment\n");
    println!(
        "| workflow | settings | planned by Pegasus | jobs | of them on machines of the pool | GB moved (Pegasus) | GB moved (DAGMan) |"
    );
    println!("|---|---|---|---|---|---|---|");
    println!(
        "| reference | | {} times | {REFERENCE_JOBS} | {REFERENCE_JOBS} | {:.0} (its rounds) | - |",
        1 + 2 * ROUNDS,
        reference / 1e3
    );
    let rows = rows();
    for (words, settings) in [rows[0], rows[2], rows[6]] {
        for layout in ["flat", "rounds", "{chunks: 10}"] {
            let settings = Settings {
                layout: Some(layout),
                ..settings
            };
            let Experiment { plan, sizes } = Experiment::of(&spec(settings))?;
            let traffic = |target| plan.jobs.iter().map(|job| Traffic::of(job, &sizes, target)).sum();
            let (pegasus, dagman): (Traffic, Traffic) = (traffic(Target::Pegasus), traffic(Target::Dagman));
            println!(
                "| fedwing, `{layout}` | {words} | {} | {} | {} | {:.0} | {:.0} |",
                match plannings(&plan, plan.layout).plannings {
                    1 => "once".to_owned(),
                    times => format!("{times} times"),
                },
                plan.jobs.len(),
                pegasus.jobs,
                megabytes(pegasus)[2] / 1e3,
                megabytes(dagman)[2] / 1e3
            );
        }
    }
    println!(
        "\nThe reference took 8.2 s to plan the main workflow and 4.5 s a round (Pegasus 5.1.2 on one pool): planning once spares {:.0} s.",
        4.5 * 2.0 * f64::from(ROUNDS)
    );
    Ok(())
}

fn spec(settings: Settings) -> String {
    let Settings {
        layout,
        sites,
        evaluate_here,
        together,
        compression,
        broadcast,
    } = settings;
    let dataset = |name: &str| {
        format!(
            "  {name}:\n    source: {{cxr14: {{images: /data/{name}/images, labels: /data/{name}/labels.csv}}}}\n    task: {{binary: {{negative: [No \
             Finding]}}}}\n    image: {{size: 224, channels: 3}}\n    test: {{fraction: 0.2}}\n    clients: {{count: {CLIENTS}, by: iid}}\n"
        )
    };
    let (baselines, places) = match sites {
        false => ("centralized", String::new()),
        true => ("", at_sites()),
    };
    let here = match evaluate_here {
        true => "submit_host: [init, aggregate, evaluate], ",
        false => "",
    };
    format!(
        "fedwing: 1\nname: e1\nseed: 7\ndatasets:\n{}{}model: {{arch: resnet18}}\nfederation:\n  algorithm: fedavg\n  rounds: {ROUNDS}\n  {compression}\n  \
         {broadcast}\n  local: {{epochs: 2, batch_size: 32, optimizer: {{sgd: {{learning_rate: 0.001, momentum: 0.9, weight_decay: 1e-4}}}}}}\n\
         evaluation: {{baselines: [{baselines}], cross_dataset: true}}\nexecution: {{layout: {}, {here}clients_per_job: {}, resources: {{train: \
         {{memory: 8 GiB}}, baseline: {{memory: 8 GiB}}}}}}\n{places}",
        dataset("tcia"),
        dataset("nih"),
        layout.unwrap_or("flat"),
        if together { CLIENTS } else { 1 },
    )
}

/// Four sites, as the reference's pool had.
fn at_sites() -> String {
    let mut text = "sites:\n".to_owned();
    for site in 0..4 {
        let clients: Vec<String> = (0..CLIENTS)
            .filter(|client| client % 4 == site)
            .map(|client| client.to_string())
            .collect();
        text += &format!(
            "  s{site}: {{clients: [{}], data: /srv/cxr, condor: {{requirements: 'FedwingSite == \"s{site}\"'}}}}\n",
            clients.join(", ")
        );
    }
    text
}
