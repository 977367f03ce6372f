//! However a plan becomes workflows, the jobs and the models are the same.

use std::{collections::BTreeMap, fs, path::Path};

use tests::fedwing;

use crate::scenario::{Scenario, assert_code, assert_same_files, tensors};

const SPEC: &str = "fedwing: 1
name: small
seed: 7
datasets:
  drawn:
    source: {phantom: {patients: 60, sites: 2}}
    task: {binary: {negative: [No Finding]}}
    image: {size: 16, channels: 1}
    test: {fraction: 0.25}
    clients: {count: 2, by: natural}
model: {arch: small_cnn}
federation:
  algorithm: {fedavgm: {server_momentum: 0.5}}
  compression: {int8: {error_feedback: true}}
  rounds: 5
  local: {epochs: 1, batch_size: 16, optimizer: {sgd: {learning_rate: 0.05}}}
";

/// Generates the workflow of the specification and runs it as one that somebody else wrote.
fn run_generated(scenario: &Scenario, name: &str) {
    let (spec, folder) = (scenario.spec(), scenario.dir("workflow"));
    assert_code(
        &fedwing([Path::new("generate"), &spec, Path::new("-o"), &folder]),
        0,
    );
    let (workflow, run) = (folder.join("workflow.yml"), scenario.dir(name));
    assert_code(
        &fedwing([Path::new("run"), &workflow, Path::new("--dir"), &run]),
        0,
    );
}

type Model = BTreeMap<String, (String, Vec<u8>)>;

/// The tensors of every global model; what stands beside them names the specification, whose text differs.
fn models(run: &Path) -> Vec<(String, Model)> {
    let entries = fs::read_dir(run.join("files")).expect("files");
    let names = entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names
        .filter(|name| name.ends_with(".global.safetensors"))
        .collect();
    names.sort();
    let tensors = |name: String| {
        let model = tensors(&run.join("files").join(&name));
        (name, model)
    };
    names.into_iter().map(tensors).collect()
}

#[test]
fn every_layout_gives_the_same_models() {
    let mut expected = None;
    for layout in ["flat", "rounds", "{chunks: 2}", "{chunks: 9}"] {
        let scenario = Scenario::of(&format!("{SPEC}execution: {{layout: {layout}}}\n"));
        assert_code(&scenario.run("run", 2), 0);
        run_generated(&scenario, "generated");
        assert_same_files(&scenario.dir("run"), &scenario.dir("generated"));
        let models = models(&scenario.dir("run"));
        assert_eq!(models.len(), 6, "{layout}");
        let first = expected.get_or_insert_with(|| models.clone());
        assert!(*first == models, "{layout}");
    }
}
