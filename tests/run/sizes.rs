//! Sizes told before a run are those of the run's files.

use std::{collections::BTreeMap, fs, path::Path};

use fedwing::{
    check::{self, Checked},
    estimate::{Counts, FileKind, Known, Samples, Sizes},
    plan,
};

use crate::scenario::{Scenario, assert_code};

/// Counts and times in a header have more or fewer digits than thought; headers are padded to 8 bytes.
const HEADER: u64 = 64;

fn checked(spec: &Path) -> Checked {
    let text = fs::read_to_string(spec).expect("a specification");
    let report = check::check(&text, "spec.yml", spec.parent().expect("a folder"));
    report.checked.expect("a specification without mistakes")
}

/// What the run's `stats` jobs counted.
fn counted(checked: &Checked, run: &Path) -> Known {
    let samples = checked.datasets.iter().map(|dataset| {
        let name = &dataset.config.dataset;
        let path = run.join(format!("files/{}.{name}.stats.json", checked.name));
        let text = fs::read_to_string(path).expect("statistics");
        let stats = serde_json::from_str(&text).expect("statistics as the contract has them");
        (name.clone(), Samples::counted(&stats))
    });
    Known {
        samples: samples.collect(),
        ..Known::default()
    }
}

fn sizes_are_right(spec: &str) {
    let scenario = Scenario::of(spec);
    assert_code(&scenario.run("run", 2), 0);
    let (run, checked) = (scenario.dir("run"), checked(&scenario.spec()));
    let sizes = Sizes::new(&checked, &counted(&checked, &run));
    let mut files: BTreeMap<&str, u64> = BTreeMap::new();
    for entry in fs::read_dir(run.join("files")).expect("files") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        let found = entry.metadata().expect("metadata").len();
        let (kind, told) = (
            sizes.kind(&name).expect("a known file"),
            sizes.file_bytes(&name).0,
        );
        *files.entry(kind.as_str()).or_default() += 1;
        let off = match kind {
            FileKind::InitialModel | FileKind::Settings | FileKind::Recipe => 0,
            // The number of `f64` tensors of an exact sum, and memories that are not tensors.
            FileKind::Partial => told / 2 + HEADER,
            FileKind::State | FileKind::Predictions => found / 20 + 1_000,
            // Documents of a kilobyte, give or take.
            FileKind::Manifest | FileKind::Stats | FileKind::Metrics | FileKind::Key | FileKind::Reveal => {
                found / 2 + 1_000
            }
            _ => HEADER,
        };
        assert!(told.abs_diff(found) <= off, "{name}: {told} told, {found} found");
    }
    let plan = plan::lower(&checked).expect("a plan");
    assert_eq!(Counts::of(&plan, &sizes).files, files);
}

/// Two clients of drawn radiographs, with what differs.
fn spec(arch: &str, federation: &str, rest: &str) -> String {
    format!(
        "fedwing: 1
name: small
seed: 7
datasets:
  drawn:
    source: {{phantom: {{patients: 120, sites: 4}}}}
    task: {{binary: {{negative: [No Finding]}}}}
    image: {{size: 32, channels: 1}}
    test: {{fraction: 0.25}}
    clients: {{count: 4, by: iid}}
model: {{arch: {arch}}}
federation:
  rounds: 2
{federation}
{rest}
"
    )
}

const SGD: &str =
    "  local: {epochs: 1, batch_size: 16, optimizer: {sgd: {learning_rate: 0.05, momentum: 0.9}}}";

#[test]
fn of_plain_updates_and_baselines() {
    sizes_are_right(&spec(
        "small_cnn_bn",
        &format!("  algorithm: fedavg\n{SGD}"),
        "evaluation: {baselines: [centralized, local_only], predictions: true}",
    ));
}

#[test]
fn of_encoded_updates_and_what_rules_remember() {
    sizes_are_right(&spec(
        "small_cnn_bn",
        &format!(
            "  algorithm: {{fedadam: {{server_learning_rate: 0.01}}}}\n  compression: {{int8: {{error_feedback: true}}}}\n{SGD}"
        ),
        "execution: {aggregation: {fan_in: 2}}",
    ));
    sizes_are_right(&spec(
        "small_cnn",
        &format!(
            "  algorithm: fedavg\n  compression: {{top_k: {{share: 0.01, error_feedback: false}}}}\n{SGD}"
        ),
        "",
    ));
}

#[test]
fn of_a_global_model_that_is_sent_smaller() {
    sizes_are_right(&spec(
        "small_cnn_bn",
        &format!("  algorithm: fedavg\n  broadcast: int8\n{SGD}"),
        "",
    ));
}

#[test]
fn of_masked_updates() {
    sizes_are_right(&spec(
        "small_cnn",
        &format!("  algorithm: fedavg\n{SGD}"),
        "privacy: {secure_aggregation: true}",
    ));
}

#[test]
fn of_what_clients_keep() {
    sizes_are_right(&spec("small_cnn_bn", &format!("  algorithm: fedbn\n{SGD}"), ""));
    let adam = "  local: {epochs: 1, batch_size: 16, optimizer: {adam: {learning_rate: 0.001}}, optimizer_state: kept}";
    sizes_are_right(&spec(
        "small_cnn",
        &format!("  algorithm: {{ditto: {{lambda: 0.1}}}}\n{adam}"),
        "",
    ));
    let plain = "  local: {epochs: 1, batch_size: 16, optimizer: {sgd: {learning_rate: 0.05}}}";
    sizes_are_right(&spec("small_cnn", &format!("  algorithm: scaffold\n{plain}"), ""));
}
