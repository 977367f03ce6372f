//! Accuracy parity with PyTorch on PneumoniaMNIST: same network, hyperparameters and official split.
//!
//! Prints a Markdown table of mean and standard deviation over seeds 0, 1, 2 beside the reference.
//! `cargo build --workspace && target/debug/pneumonia > benches/results/pneumonia.md`

use std::{fs, process::Command};

use serde_json::Value;

const SEEDS: [u64; 3] = [0, 1, 2];

struct Case {
    name: &'static str,
    partition: &'static str,
    /// JSON pointer of the metrics within the dataset's report.
    metrics: &'static str,
    /// AUROC of the PyTorch reference: mean and standard deviation.
    reference: (f64, f64),
}

const CASES: [Case; 3] = [
    Case {
        name: "centralised, 10 epochs",
        partition: "iid",
        metrics: "/baselines/0/metrics",
        reference: (0.930, 0.003),
    },
    Case {
        name: "FedAvg, IID",
        partition: "iid",
        metrics: "/final/metrics",
        reference: (0.920, 0.001),
    },
    Case {
        name: "FedAvg, Dirichlet(0.5)",
        partition: "{dirichlet: {alpha: 0.5}}",
        metrics: "/final/metrics",
        reference: (0.921, 0.007),
    },
];

fn main() {
    println!("# PneumoniaMNIST: parity with PyTorch\n");
    println!(
        "T=10 rounds, E=1, K=5, batch 32, SGD 0.01, momentum 0.9, weight decay 1e-4, official split; seeds 0, 1, 2."
    );
    println!("{}.\n", benches::provenance());
    println!("| | accuracy | AUROC | AUROC, PyTorch | difference |\n|---|---|---|---|---|");
    for case in CASES {
        let scores: Vec<(f64, f64)> = SEEDS.iter().map(|seed| measure(&case, *seed)).collect();
        let (accuracy, accuracy_sd) = mean_and_deviation(scores.iter().map(|s| s.0));
        let (auroc, auroc_sd) = mean_and_deviation(scores.iter().map(|s| s.1));
        let (reference, reference_sd) = case.reference;
        println!(
            "| {} | {accuracy:.3} ± {accuracy_sd:.3} | {auroc:.3} ± {auroc_sd:.3} | {reference:.3} ± {reference_sd:.3} | {:+.3} |",
            case.name,
            auroc - reference
        );
    }
}

/// Accuracy and AUROC of one run.
fn measure(case: &Case, seed: u64) -> (f64, f64) {
    let folder = std::env::temp_dir().join(format!("fedwing-pneumonia-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder); // left by an earlier case, or not there
    fs::create_dir_all(&folder).expect("a temporary folder");
    let spec = folder.join("spec.yml");
    fs::write(&spec, specification(case.partition, seed)).expect("a specification");
    let run = folder.join("run");
    let status = Command::new(benches::binary("fedwing"))
        .arg("run")
        .arg(&spec)
        .arg("--dir")
        .arg(&run)
        .output();
    let output = status.expect("fedwing starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = fs::read(run.join("report/report.json")).expect("a report");
    let report: Value = serde_json::from_slice(&text).expect("JSON");
    let metrics = report["datasets"][0]
        .pointer(case.metrics)
        .expect("metrics")
        .clone();
    fs::remove_dir_all(&folder).expect("removed");
    (
        metrics["accuracy"].as_f64().expect("accuracy"),
        metrics["auroc"].as_f64().expect("AUROC"),
    )
}

fn specification(partition: &str, seed: u64) -> String {
    format!(
        "fedwing: 1
name: pneumonia
seed: {seed}
datasets:
  mnist:
    source: {{table: {{csv: {}/pneumoniamnist/labels.csv, image: image, patient: image, labels: [finding]}}}}
    task: {{binary: {{negative: [Normal]}}}}
    image: {{size: 28, channels: 1}}
    test: {{column: {{name: split, train: [train], test: [test]}}}}
    clients: {{count: 5, by: {partition}}}
model: {{arch: small_cnn}}
federation:
  algorithm: fedavg
  rounds: 10
  local: {{epochs: 1, batch_size: 32, optimizer: {{sgd: {{learning_rate: 0.01, momentum: 0.9, weight_decay: 1e-4}}}}}}
evaluation: {{baselines: [centralized]}}
",
        benches::data().display()
    )
}

fn mean_and_deviation(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let n = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / n;
    let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    (mean, variance.sqrt())
}
