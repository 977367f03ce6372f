//! Data at several sites, all of which are this machine.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tests::fedwing;

use crate::scenario::{Scenario, assert_code, assert_same_files, files, report, tensors};

/// Three clients of drawn radiographs: at two sites, where those of one are trained by one job; or in one place.
fn phantom(at_sites: Option<&Path>) -> Scenario {
    let sites = match at_sites {
        None => String::new(),
        Some(folder) => format!(
            "sites:
  a: {{clients: [0, 2], data: {0}/a, condor: {{requirements: 'FedwingSite == \"site0\"'}}}}
  b: {{clients: [1], data: {0}/b, condor: {{requirements: 'FedwingSite == \"site1\"'}}}}
execution: {{clients_per_job: 2}}
privacy: {{data_stays_at_site: true}}
",
            folder.display()
        ),
    };
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
    clients: {{count: 3, by: iid}}
model: {{arch: small_cnn}}
federation:
  algorithm: fedavg
  rounds: 2
  local: {{epochs: 1, batch_size: 16, optimizer_state: kept, optimizer: {{sgd: {{learning_rate: 0.05, momentum: 0.9}}}}}}
evaluation: {{baselines: [local_only]}}
{sites}"
    ))
}

/// The file of that name, in the one folder that the run left at a site.
fn at_site(site: PathBuf, name: &str) -> PathBuf {
    let mut runs = fs::read_dir(site.join("fedwing")).expect("a folder at the site");
    let run = runs.next().expect("a run's folder").expect("entry").path();
    assert!(runs.next().is_none());
    run.join(name)
}

#[test]
fn sites_give_the_model_that_one_place_gives_and_keep_their_shards() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let (together, apart) = (phantom(None), phantom(Some(place.path())));
    assert_code(&together.run("run", 2), 0);
    let output = apart.run("run", 2);
    assert_code(&output, 0);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("all 2 sites are this machine"), "{said}");

    for round in 0..=2 {
        let name = format!("files/small.drawn.r{round:04}.global.safetensors");
        let model = |scenario: &Scenario| tensors(&scenario.dir("run").join(&name));
        assert!(
            model(&together) == model(&apart),
            "the models of round {round} differ"
        );
    }
    let numbers = |scenario: &Scenario| {
        let report = report(&scenario.dir("run"));
        report["datasets"][0]["last"]["metrics"].clone()
    };
    assert_eq!(numbers(&together), numbers(&apart));

    let trained = |name: &str| {
        apart
            .dir("run/logs")
            .join(format!("train-drawn-r0001-{name}.1.out"))
    };
    assert!(trained("g0000").is_file() && trained("c0001").is_file());
    let program = at_site(place.path().join("b"), "small.drawn.at.b.program");
    assert_code(
        &std::process::Command::new(program)
            .arg("--help")
            .output()
            .expect("runs"),
        0,
    );

    let of_run = files(&apart.dir("run"));
    for (site, clients) in [("a", &[0, 2][..]), ("b", &[1])] {
        for client in clients {
            for kind in ["shard", "r0002.personal"] {
                let name = match kind {
                    "shard" => format!("small.drawn.c{client:04}.shard.safetensors"),
                    _ => format!("small.drawn.r0002.c{client:04}.personal.safetensors"),
                };
                assert!(
                    at_site(place.path().join(site), &name).is_file(),
                    "{site}: {name}"
                );
                assert!(!of_run.contains_key(&name), "{name} is in the run's folder");
            }
        }
    }
    let left: Vec<&String> = of_run.keys().filter(|name| name.contains("shard")).collect();
    assert_eq!(left, ["small.drawn.test.shard.safetensors"]);
}

#[test]
fn a_generated_workflow_keeps_shards_at_their_sites_too() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let scenario = phantom(Some(place.path()));
    assert_code(&scenario.run("run", 2), 0);
    let folder = scenario.dir("workflow");
    let spec = scenario.spec();
    assert_code(
        &fedwing([Path::new("generate"), &spec, Path::new("-o"), &folder]),
        0,
    );
    let (workflow, run) = (folder.join("workflow.yml"), scenario.dir("generated"));
    fs::remove_dir_all(place.path().join("a")).expect("an empty site");
    assert_code(
        &fedwing([Path::new("run"), &workflow, Path::new("--dir"), &run]),
        0,
    );
    assert!(at_site(place.path().join("a"), "small.drawn.c0002.shard.safetensors").is_file());
    assert_same_files(&scenario.dir("run"), &run);
}

#[test]
fn a_shard_that_is_lost_at_its_site_is_made_again_there() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let scenario = phantom(Some(place.path()));
    assert_code(&scenario.run("run", 2), 0);
    let shard = at_site(place.path().join("b"), "small.drawn.c0001.shard.safetensors");
    let before = fs::read(&shard).expect("a shard");
    fs::remove_file(&shard).expect("removed");
    let output = fedwing(["resume".into(), scenario.dir("run")]);
    assert_code(&output, 0);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("`prepare-drawn-AT-b` runs again"), "{said}");
    assert!(fs::read(&shard).expect("a shard") == before);
}

#[test]
fn a_site_whose_folder_is_not_here_is_named() {
    let scenario = phantom(None);
    let table = scenario.dir("table.csv");
    fs::write(&table, "image,patient,label\n").expect("a table");
    let text = fs::read_to_string(scenario.spec())
        .expect("a specification")
        .replace(
            "{phantom: {patients: 80, sites: 2}}",
            "{table: {csv: table.csv, image: image, patient: patient, labels: [label]}}",
        );
    let sites = "sites: {a: {clients: [0, 1, 2], data: /no/such/site, condor: {requirements: HasData}}}\n";
    fs::write(scenario.spec(), text + sites).expect("a specification");
    let output = scenario.run("run", 1);
    assert_code(&output, 5);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("/no/such/site/drawn/table.csv"), "{said}");
}
