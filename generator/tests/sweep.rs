//! What holds for every sweep: its points, their names and texts, and what is written for pools.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::{collections::BTreeSet, path::Path};

use fedwing::{
    check::{Report, Sweep, check},
    diag::Colour,
    emit::{MemoryFiles, sweep},
    plan,
};
use proptest::{prelude::*, sample::subsequence};

const BASE: &str = "\
fedwing: 1
name: e1
seed: 7
datasets:
  nih:
    source: {phantom: {patients: 400, sites: 2}}
    task: {binary: {negative: [No Finding]}}
    image: {size: 32}
    test: {fraction: 0.2}
    clients: {count: 4, by: iid}
model: {arch: small_cnn}
federation:
  algorithm: fedavg
  rounds: 3
  local: {epochs: 1, batch_size: 8, optimizer: {sgd: {learning_rate: 0.1}}}
";

/// Places with values, all of which fit each other.
const AXES: [(&str, &[&str]); 7] = [
    ("seed", &["0", "1", "2", "9007199254740992"]),
    (
        "federation.algorithm",
        &[
            "fedavg",
            "{fedprox: {mu: 0.01}}",
            "{fedprox: {mu: 0.1}}",
            "median",
        ],
    ),
    (
        "datasets.nih.clients.by",
        &[
            "iid",
            "patient_hash",
            "{dirichlet: {alpha: 0.5}}",
            "{dirichlet: {alpha: 5}}",
        ],
    ),
    (
        "federation.local.optimizer.sgd.learning_rate",
        &["0.1", "1e-3", "1"],
    ),
    ("federation.rounds", &["1", "2", "50"]),
    ("execution.layout", &["flat", "rounds", "{chunks: 2}"]),
    ("intent", &["\"a: b # c\"", "'{x}'", "Weiß", "\"two\\nlines\""]),
];

fn checked(text: &str) -> Report {
    let report = check(text, "sweep.yml", Path::new("/specs"));
    assert!(
        report.accepted(),
        "{}\n{text}",
        report.diagnostics.render(Colour::Never)
    );
    report
}

fn sweep_of(grid: &[(&str, Vec<&str>)]) -> Sweep {
    let lines: String = grid
        .iter()
        .map(|(place, values)| format!("    {place}: [{}]\n", values.join(", ")))
        .collect();
    checked(&format!("{BASE}sweep:\n  at_once: 2\n  grid:\n{lines}"))
        .sweep
        .unwrap()
}

fn grids() -> impl Strategy<Value = Vec<(&'static str, Vec<&'static str>)>> {
    subsequence(AXES.to_vec(), 1..=3).prop_flat_map(|axes| {
        let axes = axes.into_iter().map(|(place, values)| {
            let values = subsequence(values.to_vec(), 1..=values.len()).prop_shuffle();
            (Just(place), values)
        });
        axes.collect::<Vec<_>>().prop_shuffle()
    })
}

/// The specification with a value written into it by hand.
fn by_hand(text: &str, place: &str, value: &str) -> String {
    let replaced = |from: &str, to: String| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, &to, 1)
    };
    match place {
        "seed" => replaced("seed: 7", format!("seed: {value}")),
        "federation.algorithm" => replaced("algorithm: fedavg", format!("algorithm: {value}")),
        "datasets.nih.clients.by" => replaced("by: iid", format!("by: {value}")),
        "federation.local.optimizer.sgd.learning_rate" => {
            replaced("learning_rate: 0.1", format!("learning_rate: {value}"))
        }
        "federation.rounds" => replaced("rounds: 3", format!("rounds: {value}")),
        "execution.layout" => format!("{text}execution: {{layout: {value}}}\n"),
        "intent" => format!("{text}intent: {value}\n"),
        other => panic!("{other}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn every_combination_is_a_point_with_a_name_of_its_own(grid in grids()) {
        let sweep = sweep_of(&grid);
        prop_assert_eq!(sweep.points.len(), grid.iter().map(|(_, values)| values.len()).product::<usize>());
        let names: BTreeSet<&str> = sweep.points.iter().map(|point| point.name.as_str()).collect();
        prop_assert_eq!(names.len(), sweep.points.len());
        let values: BTreeSet<&Vec<usize>> = sweep.points.iter().map(|point| &point.values).collect();
        prop_assert_eq!(values.len(), sweep.points.len());
        for name in names {
            prop_assert!(name.starts_with("e1-") && name.len() <= 64, "{}", name);
        }
        prop_assert_eq!(&sweep_of(&grid), &sweep, "the same text gives the same points");
    }

    #[test]
    fn the_text_of_a_point_says_what_its_values_say(grid in grids(), pick in any::<prop::sample::Index>()) {
        let sweep = sweep_of(&grid);
        let point = pick.get(&sweep.points);
        let mut found = checked(&point.text).checked.unwrap();
        let mut text = BASE.to_owned();
        for ((place, values), value) in grid.iter().zip(&point.values) {
            text = by_hand(&text, place, values[*value]);
        }
        let mut expected = checked(&text).checked.unwrap();
        prop_assert_eq!(found.name.as_str(), point.name.as_str());
        // Name and digest are the text's own; all else is what would be written by hand.
        for checked in [&mut expected, &mut found] {
            checked.name = "x".parse().unwrap();
            checked.digest = fedwing::check::digest("");
            for dataset in &mut checked.datasets {
                dataset.config.spec_digest = checked.digest.clone();
                dataset.config.experiment = checked.name.clone();
            }
        }
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn a_mistake_of_every_point_is_told_once_as_the_specifications_own() {
    let text = format!("{BASE}sweep: {{grid: {{seed: [1, 2]}}}}\n").replace("rounds: 3", "rounds: 0");
    let report = check(&text, "sweep.yml", Path::new("/specs"));
    let shown = report.diagnostics.render(Colour::Never);
    assert_eq!(report.diagnostics.iter().count(), 1, "{shown}");
    assert!(!shown.contains("point"), "{shown}");
}

#[test]
fn points_have_jobs_and_files_of_their_own() {
    let sweep = sweep_of(&[("seed", vec!["1", "2"])]);
    let plans = sweep.points.iter().map(|point| {
        let plan = plan::lower(&checked(&point.text).checked.unwrap()).unwrap();
        plan.statics
            .iter()
            .map(|file| file.name.to_string())
            .collect::<BTreeSet<_>>()
    });
    let files: Vec<_> = plans.collect();
    assert!(files[0].is_disjoint(&files[1]));
}

fn two_by_two() -> Sweep {
    sweep_of(&[
        ("federation.algorithm", vec!["fedavg", "{fedprox: {mu: 0.01}}"]),
        ("seed", vec!["0", "1"]),
    ])
}

fn text(files: &MemoryFiles, name: &str) -> String {
    String::from_utf8(files.0[name].clone()).unwrap()
}

#[test]
fn a_sweep_for_dagman_is_one_dag_of_the_points_dags() {
    let mut files = MemoryFiles::default();
    sweep::write_dagman(&two_by_two(), &mut files).unwrap();
    assert_eq!(
        files.0.keys().collect::<Vec<_>>(),
        ["README.md", "dagman.config", "e1.dag", "submit.sh"]
    );
    insta::assert_snapshot!(text(&files, "e1.dag"));
    insta::assert_snapshot!("sweep_dagman_readme", text(&files, "README.md"));
    assert!(text(&files, "submit.sh").ends_with("exec condor_submit_dag \"$@\" e1.dag\n"));
}

#[test]
fn a_sweep_for_pegasus_is_an_ensemble() {
    let mut files = MemoryFiles::default();
    sweep::write_pegasus(&two_by_two(), &mut files).unwrap();
    assert_eq!(files.0.keys().collect::<Vec<_>>(), ["README.md", "submit.sh"]);
    insta::assert_snapshot!(text(&files, "submit.sh"));
}
