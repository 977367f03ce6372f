//! Specifications that carry their expectation in their first lines: `# expects FL0206 at 12:11`, or
//! `# expects nothing`. Each rule has one that triggers it and a near miss that must not.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use fedwing::{
    check::check,
    diag::{Code, Colour, Severity},
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join("tests/spec")
}

/// The cases as (name, text), in the order of their names.
fn cases() -> Vec<(String, String)> {
    let mut cases: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yml"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect();
    cases.sort();
    cases
}

fn expected(text: &str) -> Vec<String> {
    let lines = text.lines().map_while(|line| line.strip_prefix("# expects "));
    lines
        .filter(|line| *line != "nothing")
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_case_gets_the_codes_and_places_it_expects() {
    let mut wrong = String::new();
    for (name, text) in cases() {
        assert!(
            text.starts_with("# expects "),
            "{name} says nothing of what it expects"
        );
        let report = check(&text, &format!("{name}.yml"), Path::new("/specs"));
        let found = report.diagnostics.to_json().diagnostics;
        let found: Vec<String> = found
            .iter()
            .map(|d| format!("{} at {}:{}", d.code, d.line, d.column))
            .collect();
        if found != expected(&text) {
            wrong += &format!(
                "{name}: expected {:?}\n{}\n",
                expected(&text),
                report.diagnostics.render(Colour::Never)
            );
        }
        assert_eq!(report.accepted(), !report.diagnostics.has_errors(), "{name}");
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn every_code_has_a_case_that_triggers_it_and_every_rule_a_near_miss() {
    let cases = cases();
    let triggered: BTreeSet<String> = cases
        .iter()
        .flat_map(|(_, text)| expected(text))
        .map(|line| line[..6].to_owned())
        .collect();
    let missed: BTreeSet<String> = cases
        .iter()
        .filter(|(name, text)| name.contains("-near-") && expected(text).is_empty())
        .map(|(name, _)| name[..6].to_uppercase())
        .collect();
    for code in Code::ALL {
        // Too large to keep: a unit test of `spec::tree` has it.
        let kept = *code != Code::TooLarge;
        assert_eq!(triggered.contains(code.as_str()), kept, "{code} has no case");
        // The near miss of these is every other case: any known word, the one known version, other network sizes.
        let shared = matches!(
            code,
            Code::UnknownKey
                | Code::UnknownWord
                | Code::SpecVersion
                | Code::TooFewClasses
                | Code::CrossDatasetAlone
        );
        if kept && !shared {
            assert!(missed.contains(code.as_str()), "{code} has no near miss");
        }
    }
}

#[test]
fn messages_read_as_they_were_approved() {
    let all: Vec<String> = cases()
        .into_iter()
        .filter(|(_, text)| !expected(text).is_empty())
        .map(|(name, text)| {
            check(&text, &format!("{name}.yml"), Path::new("/specs"))
                .diagnostics
                .render(Colour::Never)
        })
        .collect();
    insta::with_settings!({ snapshot_path => folder(), prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("messages", all.join("\n"));
    });
}

/// A small specification in parts, by top-level key.
const PARTS: [(&str, &str); 6] = [
    ("fedwing", "fedwing: 1\n"),
    ("name", "name: page\n"),
    ("seed", "seed: 7\n"),
    (
        "datasets",
        "datasets:\n  chest:\n    source: {phantom: {patients: 100, sites: 2}}\n    task: {binary: {negative: [No \
         Finding]}}\n    image: {size: 32}\n    clients: {count: 2, by: iid}\n",
    ),
    ("model", "model: {arch: small_cnn}\n"),
    (
        "federation",
        "federation:\n  algorithm: fedavg\n  rounds: 3\n  local: {epochs: 1, batch_size: 32, optimizer: {sgd: \
         {learning_rate: 0.01}}}\n",
    ),
];

#[test]
fn the_example_of_every_page_triggers_its_code_and_no_other() {
    for code in Code::ALL.iter().filter(|code| **code != Code::TooLarge) {
        let page = code.page();
        let example = page
            .split("```yaml\n")
            .nth(1)
            .unwrap()
            .split("```")
            .next()
            .unwrap();
        let replaced = |key: &str| example.lines().any(|line| line.starts_with(&format!("{key}:")));
        let mut text: String = PARTS
            .iter()
            .filter(|(key, _)| !replaced(key))
            .map(|(_, part)| *part)
            .collect();
        text += example;
        let report = check(&text, "page.yml", Path::new("/specs"));
        let codes: Vec<Code> = report.diagnostics.iter().map(|found| found.code).collect();
        assert_eq!(codes, [*code], "{}", report.diagnostics.render(Colour::Never));
    }
}

#[test]
fn warnings_do_not_refuse() {
    let text = fs::read_to_string(folder().join("fl0309-one-dataset.yml")).unwrap();
    let report = check(&text, "warned.yml", Path::new("/specs"));
    assert_eq!(report.diagnostics.count(Severity::Warning), 1);
    assert!(report.checked.is_some());
}
