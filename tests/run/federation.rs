//! Whole runs of what changes how updates travel and are combined.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, process::Output};

use serde_json::Value;
use tests::fedwing;

use crate::scenario::{Scenario, assert_code, files, report, tensors};

/// Five clients of drawn radiographs; `federation` and `more` as in a specification.
fn phantom(rounds: u32, federation: &str, more: &str) -> Scenario {
    Scenario::of(&format!(
        "fedwing: 1
name: small
seed: 7
datasets:
  drawn:
    source: {{phantom: {{patients: 80, sites: 2}}}}
    task: {{binary: {{negative: [No Finding]}}}}
    image: {{size: 16, channels: 1}}
    test: {{fraction: 0.25}}
    clients: {{count: 5, by: iid}}
model: {{arch: small_cnn}}
federation:
  {federation}
  rounds: {rounds}
  local: {{epochs: 1, batch_size: 8, optimizer: {{sgd: {{learning_rate: 0.05, momentum: 0.9}}}}}}
{more}
"
    ))
}

/// Runs to the end and returns the report's account of the dataset.
fn run(scenario: &Scenario) -> Value {
    assert_code(&scenario.run("run", 2), 0);
    report(&scenario.dir("run"))["datasets"][0].clone()
}

fn global(scenario: &Scenario, round: u32) -> BTreeMap<String, (String, Vec<u8>)> {
    let name = format!("files/small.drawn.r{round:04}.global.safetensors");
    tensors(&scenario.dir("run").join(name))
}

/// The largest difference of two models' values.
fn distance(left: &BTreeMap<String, (String, Vec<u8>)>, right: &BTreeMap<String, (String, Vec<u8>)>) -> f32 {
    assert_eq!(left.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>());
    let mut largest = 0.0_f32;
    for (name, (dtype, bytes)) in left {
        assert_eq!(dtype, "F32", "`{name}`");
        let values = |bytes: &[u8]| -> Vec<f32> {
            let (chunks, rest) = bytes.as_chunks::<4>();
            assert!(rest.is_empty());
            chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect()
        };
        let (left, right) = (values(bytes), values(&right[name].1));
        assert_eq!(left.len(), right.len(), "`{name}`");
        for (left, right) in left.iter().zip(&right) {
            largest = largest.max((left - right).abs());
        }
    }
    largest
}

#[test]
fn models_sent_as_bytes_both_ways_end_near_those_sent_whole() {
    let settings = "algorithm: fedavg\n  compression: {int8: {error_feedback: true}}";
    let scenario = phantom(3, &format!("{settings}\n  broadcast: int8"), "");
    let dataset = run(&scenario);
    assert!(dataset["final"]["metrics"]["auroc"].is_f64());
    let size = |name: &str| {
        let path = scenario
            .dir("run")
            .join("files")
            .join(format!("small.drawn.{name}.safetensors"));
        fs::metadata(path).map(|about| about.len())
    };
    for round in 0..3 {
        let (sent, whole) = (format!("r{round:04}.broadcast"), format!("r{round:04}.global"));
        assert!(
            3 * size(&sent).expect("sent") < size(&whole).expect("whole"),
            "round {round}"
        );
    }
    assert!(
        size("r0003.broadcast").is_err(),
        "nobody starts from the last model"
    );

    let whole = phantom(3, "algorithm: fedavg", "");
    run(&whole);
    let moved = distance(&global(&whole, 0), &global(&whole, 3));
    let apart = distance(&global(&scenario, 3), &global(&whole, 3));
    assert!(
        0.0 < apart && apart < 0.25 * moved,
        "{apart} apart after a way of {moved}"
    );
}

#[test]
fn fedadam_with_int8_and_error_feedback_learns_from_a_third_of_the_bytes() {
    let scenario = phantom(
        2,
        "algorithm: {fedadam: {server_learning_rate: 0.01}}\n  compression: int8",
        "",
    );
    let dataset = run(&scenario);
    assert!(dataset["final"]["metrics"]["auroc"].is_f64());
    let bytes = |name: &str| dataset["transfer"][name].as_u64().expect("bytes");
    assert!(
        3 * bytes("received_bytes") < bytes("plain_bytes"),
        "{}",
        dataset["transfer"]
    );
    let names: Vec<String> = files(&scenario.dir("run")).into_keys().collect();
    for kept in ["r0002.state", "r0002.c0004.residual"] {
        assert!(names.iter().any(|name| name.contains(kept)), "{kept}: {names:?}");
    }
}

#[test]
fn masked_updates_make_the_model_that_plain_updates_make() {
    let plain = phantom(2, "algorithm: fedavg", "");
    let masked = phantom(2, "algorithm: fedavg", "privacy: {secure_aggregation: true}");
    run(&plain);
    run(&masked);
    let distance = distance(&global(&plain, 2), &global(&masked, 2));
    assert!(distance <= 1e-6, "{distance}");
}

#[test]
fn a_tree_makes_the_model_that_one_job_makes_bit_for_bit() {
    let flat = phantom(2, "algorithm: fedavg", "");
    let tree = phantom(2, "algorithm: fedavg", "execution: {aggregation: {fan_in: 2}}");
    run(&flat);
    run(&tree);
    // The metadata names the specification, and there are two; the tensors are the same.
    assert!(global(&flat, 2) == global(&tree, 2));
    let sums = files(&tree.dir("run"))
        .into_keys()
        .filter(|name| name.contains(".partial."));
    assert_eq!(sums.count(), 6, "two, then one in each of two rounds");
}

#[test]
fn central_privacy_is_accounted_for_in_the_report() {
    let scenario = phantom(
        2,
        "algorithm: fedavg",
        "privacy: {central: {fixed: {norm: 0.5, noise_multiplier: 1.0, delta: 1e-5}}}",
    );
    let dataset = run(&scenario);
    let privacy = &dataset["privacy"];
    assert!(privacy["epsilon"].as_f64().expect("a bound") > 0.0);
    assert_eq!((&privacy["round"], &privacy["rounds"]), (&2.into(), &2.into()));
    let page = fs::read_to_string(scenario.dir("run").join("report/report.html")).expect("the report");
    assert!(page.contains("ε = ") && page.contains("whoever has the seed can take it away"));
}

#[test]
fn krum_takes_one_clients_update_as_it_is() {
    let scenario = phantom(1, "algorithm: {krum: {byzantine: 1}}", "");
    run(&scenario);
    let taken = global(&scenario, 1);
    let update = |client: u32| {
        let name = format!("files/small.drawn.r0001.c{client:04}.update.safetensors");
        tensors(&scenario.dir("run").join(name))
    };
    assert_eq!((0..5).filter(|client| update(*client) == taken).count(), 1);
}

/// In front of `fl-client`: client 2 finds its shard cut off when it trains.
const CUT: &str = r#"#!/bin/sh
shard=small.drawn.c0002.shard.safetensors
if [ "$1" = train ]; then
  case " $* " in *" --client 2 "*)
    head -c 64 $shard > cut
    for word in "$@"; do
      shift
      [ "$word" = $shard ] && word=cut
      set -- "$@" "$word"
    done ;;
  esac
fi
exec "$0.real" "$@"
"#;

/// Generates the workflow and runs it with a client that loses its data.
fn run_without_client_2(scenario: &Scenario) -> Output {
    let workflow = scenario.dir("workflow");
    let generated = fedwing([
        "generate".as_ref(),
        scenario.spec().as_os_str(),
        "-o".as_ref(),
        workflow.as_os_str(),
    ]);
    assert_code(&generated, 0);
    let client = workflow.join("bin/fl-client");
    fs::rename(&client, client.with_extension("real")).expect("the client's program");
    fs::write(&client, CUT).expect("a program");
    fs::set_permissions(&client, fs::Permissions::from_mode(0o755)).expect("executable");
    fedwing([
        "run".as_ref(),
        workflow.join("workflow.yml").as_os_str(),
        "--dir".as_ref(),
        scenario.dir("run").as_os_str(),
    ])
}

#[test]
fn a_client_absent_from_a_masked_round_leaves_the_mean_of_the_others() {
    let federation = "algorithm: fedavg\n  min_clients: 4";
    let plain = phantom(1, federation, "");
    let masked = phantom(1, federation, "privacy: {secure_aggregation: true}");
    assert_code(&run_without_client_2(&plain), 0);
    assert_code(&run_without_client_2(&masked), 0);
    let distance = distance(&global(&plain, 1), &global(&masked, 1));
    assert!(distance <= 1e-6, "{distance}");

    let absent = &report(&masked.dir("run"))["datasets"][0]["rounds"][1]["absent"];
    assert_eq!(absent[0]["client"], 2, "{absent}");
    let reveal = fs::read_to_string(
        masked
            .dir("run")
            .join("files/small.drawn.r0001.c0000.reveal.json"),
    );
    let reveal: Value = serde_json::from_str(&reveal.expect("what client 0 reveals")).expect("JSON");
    assert_eq!(reveal["seeds"].as_array().map(Vec::len), Some(1), "{reveal}");
}

#[test]
fn one_client_too_few_fails_the_round_by_name() {
    let scenario = phantom(1, "algorithm: fedavg\n  min_clients: 5", "");
    let output = run_without_client_2(&scenario);
    assert_code(&output, 4);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("4 clients are present and 1 absent, at least 5 must be present"),
        "{said}"
    );
}
