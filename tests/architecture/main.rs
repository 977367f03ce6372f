//! Who may depend on whom. A new edge is a decision: it belongs in this table first.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use serde_json::Value;
use tests::root;

/// Workspace crates each crate may use, development dependencies not counted.
const CRATES: &[(&str, &[&str])] = &[
    ("contract", &[]),
    ("kernels", &[]),
    ("fl-client", &["contract", "kernels"]),
    ("fl-aggregator", &["contract", "kernels"]),
    ("fedwing", &["contract"]),
    (
        "benches",
        &["contract", "fedwing", "fl-aggregator", "fl-client", "kernels"],
    ),
    ("tests", &["contract"]),
    ("xtask", &[]),
];

/// All that `contract` may use: it is compiled into everything.
const CONTRACT_MAY_USE: &[&str] = &["clap", "serde", "serde_json", "thiserror"];

/// The stages of the generator, bottom up, each with the stages it may use.
const STAGES: &[(&str, &[&str])] = &[
    ("diag", &[]),
    ("spec", &["diag"]),
    ("check", &["diag", "spec"]),
    ("plan", &["check"]),
    ("estimate", &["check", "plan"]),
    ("emit", &["check", "plan"]),
    ("record", &[]),
    ("engine", &["check", "plan", "record"]),
    ("evidence", &["plan", "record"]),
    ("report", &["plan", "record"]),
    ("review", &["check", "plan", "estimate", "report"]),
    ("simulate", &["diag", "spec", "check", "plan", "estimate", "emit"]),
    (
        "ops",
        &[
            "diag", "spec", "check", "plan", "estimate", "emit", "record", "engine", "evidence", "report",
            "review", "simulate",
        ],
    ),
    ("cli", &["diag", "engine", "ops", "plan", "record", "review"]),
];

/// Stages that must give the same bytes for the same input, whatever the machine.
const PURE: &[&str] = &[
    "diag", "spec", "check", "plan", "estimate", "emit", "review", "simulate",
];

/// What a pure stage must not touch.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::env",
    "std::process",
    "std::net",
    "SystemTime",
    "Instant",
    "println!",
    "eprintln!",
];

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

/// Each crate's dependencies, development ones left out.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    let of = |package: &Value| -> Vec<String> {
        let list = package["dependencies"].as_array().expect("dependencies");
        list.iter()
            .filter(|d| d["kind"].as_str() != Some("dev"))
            .map(|d| text(&d["name"]))
            .collect()
    };
    packages
        .iter()
        .map(|package| (text(&package["name"]), of(package)))
        .collect()
}

#[test]
fn crates_use_only_the_crates_the_table_allows() {
    let all = dependencies();
    let table: BTreeMap<_, _> = CRATES.iter().copied().collect();
    assert_eq!(
        all.keys().map(String::as_str).collect::<Vec<_>>(),
        table.keys().copied().collect::<Vec<_>>()
    );
    for (name, dependencies) in &all {
        for used in dependencies
            .iter()
            .filter(|used| table.contains_key(used.as_str()))
        {
            assert!(
                table[name.as_str()].contains(&used.as_str()),
                "`{name}` must not depend on `{used}`"
            );
        }
    }
}

#[test]
fn contract_stays_small_and_only_the_client_uses_burn() {
    for (name, dependencies) in dependencies() {
        for used in &dependencies {
            if name == "contract" {
                assert!(
                    CONTRACT_MAY_USE.contains(&used.as_str()),
                    "`contract` must not depend on `{used}`"
                );
            }
            assert!(
                used != "burn" || name == "fl-client",
                "`{name}` must not depend on `burn`"
            );
        }
    }
}

#[test]
fn stages_use_only_stages_the_table_allows() {
    for (stage, allowed) in STAGES {
        for (path, text) in sources(&root().join("generator/src").join(stage)) {
            for used in used_stages(&text).into_iter().filter(|used| used != stage) {
                assert!(allowed.contains(&used), "`{stage}` must not use `{used}`: {path}");
            }
        }
    }
}

#[test]
fn every_stage_stands_in_the_table() {
    let mut folders: Vec<_> = fs::read_dir(root().join("generator/src"))
        .expect("generator/src")
        .map(|entry| entry.expect("entry"))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    folders.sort();
    let mut stages: Vec<_> = STAGES.iter().map(|(stage, _)| (*stage).to_owned()).collect();
    stages.sort();
    assert_eq!(folders, stages);
}

#[test]
fn stages_up_to_emit_are_pure() {
    for stage in PURE {
        for (path, text) in sources(&root().join("generator/src").join(stage)) {
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
                for word in IMPURE {
                    assert!(
                        !line.contains(word),
                        "`{stage}` is pure, but {path} says `{}`",
                        line.trim()
                    );
                }
            }
        }
    }
}

/// The stages named by `crate::<stage>` paths in the code of a source text, grouped imports included.
fn used_stages(text: &str) -> Vec<&'static str> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code = lines.collect::<Vec<_>>().join("\n");
    let names = code
        .split("crate::")
        .skip(1)
        .flat_map(|rest| match rest.strip_prefix('{') {
            Some(group) => group_members(group),
            None => vec![first_word(rest)],
        });
    names
        .filter_map(|name| {
            STAGES
                .iter()
                .map(|(stage, _)| *stage)
                .find(|stage| *stage == name)
        })
        .collect()
}

/// The first word of each member of the group that ends at the brace which closes it.
fn group_members(group: &str) -> Vec<&str> {
    let (mut members, mut depth, mut start) = (Vec::new(), 0_i32, 0);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' | ',' if depth == 0 => {
                members.push(first_word(group[start..at].trim_start()));
                start = at + 1;
            }
            _ => {}
        }
        if character == '}' && depth == 0 && start == at + 1 {
            break;
        }
    }
    members
}

fn first_word(text: &str) -> &str {
    text.split(|c: char| !c.is_ascii_lowercase() && c != '_')
        .next()
        .unwrap_or_default()
}

#[test]
fn grouped_imports_are_seen() {
    let text = "use crate::{\n    check::{self, Checked},\n    diag::Text, plan,\n};\nfn f() { crate::emit::g() }\n// crate::ops\n";
    assert_eq!(used_stages(text), ["check", "diag", "plan", "emit"]);
}

/// Path and text of every Rust file below `folder`.
fn sources(folder: &Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push((
                path.display().to_string(),
                fs::read_to_string(&path).expect("source"),
            ));
        }
    }
    files
}
