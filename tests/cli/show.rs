//! The review document, and the published experiments: what is told is what is generated.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::Value;
use tests::{data_or_skip, fedwing, root};

use crate::{broken_quickstart, code, example, folder_with, stderr, stdout};

/// The document of a specification as JSON.
fn review(arguments: &[&str]) -> Value {
    let output = fedwing([&["show", "--json"], arguments].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    serde_json::from_str(&stdout(&output)).expect("JSON")
}

/// The document for people, with what depends on the checkout's folder taken out.
fn document(spec: &str) -> String {
    let output = fedwing(["show", spec]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
    stdout(&output).replace(&root().display().to_string(), "[root]")
}

#[test]
fn the_quickstart_and_the_first_published_experiment_are_ready_for_review() {
    insta::assert_snapshot!("show_quickstart", document(&example("quickstart.yml")));
    insta::assert_snapshot!("show_e1", document(&example("paper/e1.yml")));
}

#[test]
fn a_review_says_what_is_predicted_on_a_pool() {
    let (spec, pool) = (example("quickstart.yml"), example("pools/laptop.yml"));
    let review = review(&[&spec, "--pool", &pool]);
    let output = fedwing(["simulate", &spec, "--pool", &pool, "--layout", "all", "--json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let simulated: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    let of = |list: &Value, seconds: fn(&Value) -> &Value| -> Vec<Value> {
        let each = list.as_array().expect("a list").iter();
        each.map(|one| serde_json::json!([one["layout"], one["target"], seconds(one)]))
            .collect()
    };
    let makespans = of(&review["makespans"], |one| &one["seconds"]);
    assert_eq!(makespans.len(), 6);
    assert_eq!(
        makespans,
        of(&simulated["predictions"], |one| &one["prediction"]["makespan_s"])
    );
    let output = fedwing(["show", &spec, "--pool", &pool]);
    let text = stdout(&output);
    assert!(
        text.contains("Makespan, flat under DAGMan") && text.contains(", predicted"),
        "{text}"
    );
}

#[test]
fn a_review_for_programs_has_a_version_and_these_parts() {
    let review = review(&[&example("quickstart.yml")]);
    assert_eq!(review["fedwing_review"], 1);
    let keys: Vec<&str> = review
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        keys,
        [
            "algorithm",
            "assumptions",
            "datasets",
            "epochs",
            "evaluation",
            "experiment",
            "fedwing_review",
            "files",
            "intent",
            "jobs",
            "layouts",
            "makespans",
            "min_clients",
            "model",
            "open_questions",
            "places",
            "privacy",
            "rounds",
            "seed",
            "spec_digest",
            "synthetic",
            "traffic",
            "training",
            "warnings",
        ]
    );
    assert_eq!(review["datasets"][0]["samples"]["basis"], "expected");
}

#[test]
fn a_rejected_specification_is_not_reviewed() {
    let (_folder, spec) = broken_quickstart(&[("rounds: 3", "rounds: 0")]);
    let output = fedwing(["show", &spec]);
    assert_eq!((code(&output), stdout(&output).as_str()), (3, ""));
}

#[test]
fn statistics_of_a_run_make_sizes_exact_and_others_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let group = |samples: u64| {
        format!(
            "{{\"samples\": {samples}, \"patients\": {samples}, \"class_counts\": [1, {}], \"unlabelled\": 0}}",
            samples - 1
        )
    };
    let client = |client: u32, samples| {
        let group = group(samples);
        format!(
            "{{\"client\": {client}, \"group\": {group}, \"kl\": 0, \"js\": 0, \"hellinger\": 0, \"emd\": 0}}"
        )
    };
    let stats = |dataset: &str, version: u32| {
        format!(
            "{{\"fedwing_stats\": {version}, \"experiment\": \"quickstart\", \"dataset\": \"{dataset}\", \"synthetic\": true, \
             \"target\": \"classes\", \"classes\": [\"a\", \"b\"], \"train\": {}, \"validation\": null, \"test\": {}, \
             \"clients\": [{}, {}], \"left_out\": {{}}, \"effective_clients\": 2, \"skipped\": 0, \"leaks\": 0}}",
            group(400),
            group(200),
            client(0, 100),
            client(1, 300)
        )
    };
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name).display().to_string();
        fs::write(&path, text).expect("a document");
        path
    };
    let counted = file("stats.json", &stats("chest", 2));
    let shown = review(&[&example("quickstart.yml"), "--profile", &counted]);
    let dataset = &shown["datasets"][0];
    assert_eq!(dataset["samples"]["basis"], "counted");
    assert_eq!(dataset["clients"][1]["samples"], 300);
    assert!(dataset["clients"][1]["shard"].as_u64() > dataset["clients"][0]["shard"].as_u64());

    for (name, text, reason) in [
        (
            "newer.json",
            stats("chest", 9),
            "it has format version 9, this program reads version 2",
        ),
        ("other.json", stats("heart", 2), "it is about `heart`"),
        (
            "strange.json",
            "{}".to_owned(),
            "it is no profile, statistics or manifest",
        ),
        ("broken.json", "{".to_owned(), "broken.json"),
    ] {
        let path = file(name, &text);
        let output = fedwing(["show", &example("quickstart.yml"), "--profile", &path]);
        assert_eq!(code(&output), 2, "{name}");
        assert!(stderr(&output).contains(reason), "{}", stderr(&output));
    }
}

#[test]
fn data_that_is_here_is_counted_and_data_that_is_not_is_named() {
    let output = fedwing(["show", "--look", &example("paper/e1.yml")]);
    assert_eq!(code(&output), 0);
    let said = stderr(&output);
    assert!(
        said.contains("note: `/data/nih/images` is not on this machine"),
        "{said}"
    );
    let Some(data) = data_or_skip("data_that_is_here_is_counted_and_data_that_is_not_is_named") else {
        return;
    };
    let text = fs::read_to_string(example("nih1000.yml")).expect("an example");
    let here = text.replace("../../shared/data", &data.display().to_string());
    let (_folder, spec) = folder_with(&here);
    let shown = review(&[&spec, "--look"]);
    let dataset = &shown["datasets"][0];
    assert_eq!(dataset["found"]["images"], 1000);
    assert_eq!(dataset["samples"]["basis"], "expected");
    assert_eq!(dataset["samples"]["test"], 200);
}

/// What a generated folder holds: jobs by kind, entries of the main workflow, and sub-workflows.
#[derive(Debug, Default, PartialEq)]
struct Generated {
    jobs: BTreeMap<String, u64>,
    entries: u64,
    sub_workflows: u64,
    files: BTreeSet<String>,
}

impl Generated {
    /// Reads what `fedwing generate` wrote, with nothing of its own code.
    fn read(folder: &Path, name: &str, target: &str) -> Self {
        let mut found = Self::default();
        let (main, end) = match target {
            "pegasus" => (folder.join("workflow.yml"), ".workflow.yml"),
            _ => (folder.join(format!("{name}.dag")), ".dag"),
        };
        found.entries = found.workflow(&fs::read_to_string(main).expect("the main workflow"));
        for entry in fs::read_dir(folder.join("rounds")).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.to_string_lossy().ends_with(end) {
                found.sub_workflows += 1;
                found.workflow(&fs::read_to_string(path).expect("a sub-workflow"));
            }
        }
        found
    }

    /// Counts a workflow's jobs and files, and returns the number of its entries.
    fn workflow(&mut self, text: &str) -> u64 {
        let mut entries = 0;
        let mut of_job = false;
        for line in text.lines() {
            let dag: Vec<&str> = line.split(' ').collect();
            let kind = match (line.strip_prefix("- type: "), dag.as_slice()) {
                (Some(kind), _) => {
                    of_job = kind == "job";
                    entries += 1;
                    continue;
                }
                (None, ["SUBDAG", ..]) => {
                    entries += 1;
                    continue;
                }
                (None, ["JOB", _, file]) => {
                    entries += 1;
                    let file = file.strip_prefix("submit/").expect("a submit file");
                    file.split('.').next().expect("a kind")
                }
                (None, _) => match line.strip_prefix("  name: ") {
                    Some(kind) if of_job => kind,
                    _ => {
                        self.lfn(line);
                        continue;
                    }
                },
            };
            *self.jobs.entry(kind.to_owned()).or_default() += 1;
        }
        entries
    }

    /// Notes a file that a job of a Pegasus workflow uses.
    fn lfn(&mut self, line: &str) {
        let Some(uses) = line.trim_start().strip_prefix("- {lfn: ") else {
            return;
        };
        let file = uses.split([',', '}']).next().expect("a file");
        if !file.ends_with(".workflow.yml") && !uses.contains("type: checkpoint") {
            self.files.insert(file.to_owned());
        }
    }
}

/// A published experiment with another layout, in a folder of its own.
fn with_layout(name: &str, layout: &str, folder: &Path) -> String {
    let text = fs::read_to_string(example(&format!("paper/{name}.yml"))).expect("an example");
    assert!(text.contains("  layout: flat "), "{name} has the flat layout");
    let spec = folder.join(format!("{name}.yml"));
    fs::write(
        &spec,
        text.replace("  layout: flat ", &format!("  layout: {layout} ")),
    )
    .expect("a specification");
    spec.display().to_string()
}

#[test]
fn what_is_shown_of_the_published_experiments_is_what_is_generated() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["e1", "e2", "e3", "e4", "e5", "e6"] {
        for (layout, shown_as) in [
            ("flat", "flat"),
            ("rounds", "rounds"),
            ("{chunks: 10}", "{chunks: 10}"),
        ] {
            let spec = with_layout(name, layout, folder.path());
            let shown = review(&[&spec]);
            let jobs: BTreeMap<String, u64> = shown["jobs"]
                .as_array()
                .expect("jobs by kind")
                .iter()
                .map(|kind| {
                    let word = kind["kind"].as_str().expect("a kind").to_owned();
                    (word, kind["jobs"].as_u64().expect("a number"))
                })
                .collect();
            let chosen = &shown["layouts"][0];
            assert_eq!(
                (&chosen["chosen"], &chosen["layout"]),
                (&Value::Bool(true), &Value::from(shown_as))
            );
            for target in ["pegasus", "dagman"] {
                let out = folder.path().join("out");
                let arguments = [
                    "generate",
                    &spec,
                    "--target",
                    target,
                    "-o",
                    &out.display().to_string(),
                ];
                assert_eq!(code(&fedwing(arguments)), 0);
                let found = Generated::read(&out, name, target);
                assert_eq!(found.jobs, jobs, "{name} {layout} {target}");
                assert_eq!(
                    Some(found.entries),
                    chosen["entries"].as_u64(),
                    "{name} {layout} {target}"
                );
                assert_eq!(
                    Some(found.sub_workflows),
                    chosen["sub_workflows"].as_u64(),
                    "{name} {layout} {target}"
                );
                if target == "pegasus" {
                    let kinds = shown["files"].as_array().expect("files by kind").iter();
                    let files: u64 = kinds.filter_map(|kind| kind["files"].as_u64()).sum();
                    assert_eq!(found.files.len() as u64, files, "{name} {layout}");
                }
                fs::remove_dir_all(&out).expect("the folder goes");
            }
        }
    }
}

/// Whether `text` is one well-formed element of XML: elements nest and close, attributes are quoted, and nothing stands
/// outside them. Returns the tags in order.
fn xml(text: &str) -> Vec<String> {
    let (mut open, mut tags, mut rest) = (Vec::new(), Vec::new(), text.trim());
    while let Some(start) = rest.find('<') {
        let said = &rest[..start];
        assert!(!said.contains('>'), "`{said}`");
        assert!(!open.is_empty() || said.trim().is_empty(), "`{said}` is outside");
        for entity in said.split('&').skip(1) {
            assert!(
                ["amp;", "lt;", "gt;", "quot;", "#39;"]
                    .iter()
                    .any(|known| entity.starts_with(known)),
                "`&{entity}`"
            );
        }
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closed), "elements nest");
            continue;
        }
        let (tag, alone) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        assert!(tag.matches('"').count().is_multiple_of(2), "`{tag}`");
        let name = tag.split(' ').next().expect("a name");
        assert!(!tags.is_empty() || name == "svg", "one root");
        assert!(tags.is_empty() || !open.is_empty(), "one root");
        tags.push(name.to_owned());
        if !alone {
            open.push(name);
        }
    }
    assert!(open.is_empty() && rest.is_empty(), "every element is closed");
    tags
}

#[test]
fn pictures_are_well_formed_tell_what_they_show_and_fit_a_page() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for spec in ["quickstart.yml", "paper/e1.yml", "nih1000.yml"] {
        let (svg, dot) = (folder.path().join("graph.svg"), folder.path().join("graph.dot"));
        let flags = [svg.display().to_string(), dot.display().to_string()];
        review(&[&example(spec), "--svg", &flags[0], "--dot", &flags[1]]);
        let picture = fs::read_to_string(&svg).expect("a picture");
        let tags = xml(&picture);
        assert_eq!(tags[..3], ["svg", "title", "desc"], "screen readers look there");
        let boxes = tags.iter().filter(|tag| *tag == "g").count();
        assert!((5..=48).contains(&boxes), "{spec}: {boxes} boxes");
        let graph = fs::read_to_string(&dot).expect("a graph");
        assert!(graph.starts_with("digraph ") && graph.ends_with("}\n"));
        assert_eq!(graph.matches('{').count(), graph.matches('}').count());
        let again = [folder.path().join("again.svg").display().to_string()];
        review(&[&example(spec), "--svg", &again[0]]);
        assert_eq!(
            fs::read_to_string(&again[0]).expect("a picture"),
            picture,
            "the same bytes"
        );
    }
}

/// A row of the table in the documentation.
fn row(name: &str) -> String {
    let shown = review(&[&example(&format!("paper/{name}.yml"))]);
    let number = |value: &Value| value.as_u64().expect("a number");
    let sum = |list: &Value, key: &str| -> u64 {
        let list = list.as_array().expect("a list").iter();
        list.map(|one| number(&one[key])).sum()
    };
    let jobs = sum(&shown["jobs"], "jobs");
    let layouts = shown["layouts"].as_array().expect("layouts");
    let sub_workflows: Vec<String> = layouts
        .iter()
        .map(|layout| layout["sub_workflows"].to_string())
        .collect();
    let gigabytes = |place: usize, part: &str| {
        let moved = &shown["traffic"][place][part];
        let round = shown["traffic"][place][part].get(0);
        let moved = round.unwrap_or(moved);
        (number(&moved["received"]) + number(&moved["sent"])) as f64 / 1e9
    };
    format!(
        "| {} | {} | {} | {} | {jobs} | {} | {} | {} | {:.2} | {:.0} | {:.0} |",
        name.to_uppercase(),
        shown["datasets"][0]["clients"].as_array().expect("clients").len(),
        shown["rounds"],
        shown["epochs"],
        jobs - sum(&shown["jobs"], "on_submit_host"),
        sum(&shown["files"], "files"),
        sub_workflows.join(", "),
        gigabytes(1, "round"),
        gigabytes(1, "whole"),
        gigabytes(0, "whole"),
    )
}

#[test]
fn the_documentation_of_the_published_experiments_has_these_numbers() {
    let page = fs::read_to_string(root().join("docs/paper.md")).expect("the page");
    for name in ["e1", "e2", "e3", "e4", "e5", "e6"] {
        let row = row(name);
        assert!(page.contains(&row), "docs/paper.md lacks:\n{row}");
    }
}
