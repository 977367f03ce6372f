//! The DAGMan directory: its bytes, that its nodes are the plan's jobs, and that every file is there when it is read.

#![allow(clippy::unwrap_used)] // helpers of tests

mod sample;
#[path = "sample/strategy.rs"]
mod strategy;

use std::collections::{BTreeMap, BTreeSet};

use contract::exit::{JobExit, Retry};
use fedwing::{
    check::Layout,
    emit::{MemoryFiles, dagman},
    evidence::deleted,
    plan::{self, Plan},
};
use proptest::prelude::*;
use sample::Sample;
use strategy::{any_sample, chunks};

fn lower(sample: &Sample) -> Plan {
    plan::lower(&sample.checked()).unwrap()
}

fn emit(sample: &Sample) -> MemoryFiles {
    written(&lower(sample))
}

fn written(plan: &Plan) -> MemoryFiles {
    let mut files = MemoryFiles::default();
    dagman::write(plan, &mut files).unwrap();
    files
}

fn file<'a>(files: &'a MemoryFiles, path: &str) -> &'a str {
    std::str::from_utf8(&files.0[path]).unwrap()
}

fn text(files: &MemoryFiles) -> String {
    let all = files
        .0
        .keys()
        .map(|path| format!("=== {path}\n{}", file(files, path)));
    all.collect()
}

/// A node as its DAG's lines say it.
#[derive(Debug, Default)]
struct Node {
    submit: String,
    vars: BTreeMap<String, String>,
    parents: BTreeSet<String>,
    category: Option<String>,
    /// The list of files that it deletes.
    deletes: Option<String>,
}

impl Node {
    fn is_job(&self) -> bool {
        !self.submit.is_empty() && self.deletes.is_none()
    }
}

/// The nodes of the DAG at `path` and of those nested in it, and for each nested one what its node waits for.
fn nodes(files: &MemoryFiles, path: &str) -> BTreeMap<String, Node> {
    let mut nodes = BTreeMap::<String, Node>::new();
    let mut nested = Vec::new();
    for line in file(files, path).lines() {
        let (word, rest) = line.split_once(' ').unwrap();
        match word {
            "JOB" => {
                let (id, submit) = rest.split_once(' ').unwrap();
                let new = Node {
                    submit: submit.trim_end_matches(" NOOP").to_owned(),
                    ..Node::default()
                };
                assert!(nodes.insert(id.to_owned(), new).is_none(), "{id} stands twice");
            }
            "SUBDAG" => {
                let [_, id, dag] = rest.split(' ').collect::<Vec<_>>().try_into().unwrap();
                nodes.insert(id.to_owned(), Node::default());
                nested.push((id.to_owned(), dag.to_owned()));
            }
            "VARS" => {
                let (id, rest) = rest.split_once(' ').unwrap();
                let rest = rest.replace("\\\"", "\u{1}");
                let mut parts = rest.split('"');
                while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
                    let key = key.trim().strip_suffix('=').unwrap().to_owned();
                    nodes
                        .get_mut(id)
                        .unwrap()
                        .vars
                        .insert(key, value.replace('\u{1}', "\""));
                }
            }
            "CATEGORY" => {
                let (id, category) = rest.split_once(' ').unwrap();
                nodes.get_mut(id).unwrap().category = Some(category.to_owned());
            }
            "SCRIPT" => {
                let [when, id, script, list] = rest.split(' ').collect::<Vec<_>>().try_into().unwrap();
                assert_eq!((when, script), ("PRE", "./clean.sh"));
                nodes.get_mut(id).unwrap().deletes = Some(list.to_owned());
            }
            "PARENT" => {
                let (parents, child) = rest.split_once(" CHILD ").unwrap();
                let parents = parents.split(' ').map(str::to_owned);
                nodes.get_mut(child).unwrap().parents.extend(parents);
            }
            "CONFIG" | "NODE_STATUS_FILE" | "JOBSTATE_LOG" | "MAXJOBS" | "PRIORITY" => {}
            other => panic!("a line begins with {other}"),
        }
    }
    for (id, dag) in nested {
        let outside = nodes[&id].parents.clone();
        for (inner, mut node) in self::nodes(files, &dag) {
            node.parents.extend(outside.iter().cloned());
            // Whoever waits for the nested DAG waits for all in it.
            nodes.get_mut(&id).unwrap().parents.insert(inner.clone());
            nodes.insert(inner, node);
        }
    }
    nodes
}

/// The nodes that end before `id` starts.
fn before<'a>(nodes: &'a BTreeMap<String, Node>, id: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&str> = nodes[id].parents.iter().map(String::as_str).collect();
    while let Some(id) = open.pop() {
        if found.insert(id) {
            open.extend(nodes[id].parents.iter().map(String::as_str));
        }
    }
    found
}

fn words<'a>(node: &'a Node, key: &str, by: char) -> Vec<&'a str> {
    let list = node.vars.get(key).map_or("", String::as_str);
    list.split(by)
        .filter(|word| !matches!(*word, "" | "\"\""))
        .collect()
}

#[test]
fn the_flat_directory_of_a_small_experiment() {
    insta::assert_snapshot!(text(&emit(&Sample::small(Layout::Flat))));
}

#[test]
fn the_rounds_directory_of_a_small_experiment() {
    insta::assert_snapshot!(text(&emit(&Sample::small(Layout::Rounds))));
}

#[test]
fn jobs_of_a_site_have_a_submit_file_of_their_own_that_sends_them_there() {
    let sample = Sample {
        datasets: vec!["nih"],
        clients: 3,
        rounds: 1,
        baselines: vec![],
        cross_dataset: false,
        weights: None,
        sites: true,
        ..Sample::small(chunks(2))
    };
    let files = emit(&sample);
    let requirements = |path: &str| {
        let mut lines = file(&files, path).lines();
        lines
            .find(|line| line.starts_with("requirements"))
            .map(str::to_owned)
    };
    let nodes = nodes(&files, "e1.dag");
    let told = [
        "prepare-nih",
        "prepare-nih-AT-second",
        "train-nih-r0001-c0000",
        "train-nih-r0001-c0002",
        "aggregate-nih-r0001",
    ];
    let told: Vec<_> = told
        .iter()
        .map(|id| (*id, &nodes[*id].submit, requirements(&nodes[*id].submit)))
        .collect();
    insta::assert_debug_snapshot!((
        told,
        &nodes["prepare-nih-AT-second"],
        &nodes["train-nih-r0001-c0002"]
    ));
}

#[test]
fn another_attempt_is_made_only_where_the_contract_says_it_can_help() {
    let files = emit(&Sample::small(Layout::Flat));
    let submit = file(&files, "submit/train.sub");
    let over = submit
        .lines()
        .find(|line| line.starts_with("on_exit_remove"))
        .unwrap();
    for exit in JobExit::ALL {
        let ends = over.ends_with(&format!("ExitCode =?= {}", exit.code()))
            || over.contains(&format!("ExitCode =?= {} ", exit.code()));
        assert_eq!(ends, exit.retry() == Retry::Useless, "{exit:?}: {over}");
    }
}

#[test]
fn the_weights_are_expected_by_their_logical_name_where_init_reads_them() {
    let sample = Sample::small(Layout::Flat);
    let here = dagman::weights_path(&lower(&sample)).unwrap();
    assert_eq!(here, "files/e1.weights.safetensors");
    let mut checked = sample.checked();
    checked.execution.submit_host.init = false;
    let plan = plan::lower(&checked).unwrap();
    let path = dagman::weights_path(&plan).unwrap();
    assert_eq!(path, "inputs/e1.weights.safetensors");
    let nodes = nodes(&written(&plan), "e1.dag");
    assert!(words(&nodes["init-nih"], "reads", ',').contains(&path.as_str()));
    let none = Sample {
        weights: None,
        ..sample
    };
    assert_eq!(dagman::weights_path(&lower(&none)), None);
}

#[test]
fn the_script_deletes_and_keeps_what_reports_tell() {
    let folder = tempfile::tempdir().unwrap();
    let files = emit(&Sample::small(Layout::Flat));
    let at = |path: &str| folder.path().join(path);
    std::fs::create_dir_all(at("files")).unwrap();
    std::fs::create_dir_all(at("clean")).unwrap();
    let list = "clean/clean-nih-r0001";
    let paths: Vec<&str> = file(&files, list).lines().collect();
    std::fs::write(at(list), file(&files, list)).unwrap();
    std::fs::write(at("files/other"), "stays").unwrap();
    let run = || {
        let script = file(&files, "clean.sh");
        let mut shell = std::process::Command::new("sh");
        let status = shell
            .args(["-c", script, "clean.sh", list])
            .current_dir(folder.path())
            .status();
        assert!(status.unwrap().success());
        std::fs::read_to_string(at(&format!("{list}.deleted"))).unwrap()
    };
    // It was killed when it had deleted one of the two.
    std::fs::write(at(paths[0]), "one").unwrap();
    run();
    std::fs::write(at(paths[1]), "second").unwrap();
    let told = deleted::parse(&run());
    run();
    let told: Vec<_> = told
        .iter()
        .map(|fact| (format!("files/{}", fact.name), fact.size.0))
        .collect();
    assert_eq!(told, [(paths[0].to_owned(), 3), (paths[1].to_owned(), 6)]);
    let left: Vec<_> = std::fs::read_dir(at("files"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["other"]);
}

proptest! {
    #[test]
    fn nodes_are_the_jobs_of_the_plan_and_wait_for_all_they_read(sample in any_sample()) {
        let plan = lower(&sample);
        let files = emit(&sample);
        let nodes = nodes(&files, "e1.dag");
        let dag = plan.to_dag();
        let jobs = nodes.values().filter(|node| node.is_job()).count();
        prop_assert_eq!(jobs, dag.jobs.len());
        for job in &dag.jobs {
            let node = &nodes[&*job.id];
            prop_assert_eq!(&node.vars["argv"], &job.argv.join(" "));
            prop_assert!(files.0.contains_key(&node.submit), "{}", node.submit);
            let before = before(&nodes, &job.id);
            for &parent in &job.after {
                prop_assert!(before.contains(&*dag.jobs[parent as usize].id), "{} does not wait", job.id);
            }
        }
    }

    #[test]
    fn every_file_that_travels_to_a_job_is_given_or_was_brought_back_before(sample in any_sample()) {
        let plan = lower(&sample);
        let files = emit(&sample);
        let nodes = nodes(&files, "e1.dag");
        let dag = plan.to_dag();
        let mut written = BTreeMap::new();
        for job in &dag.jobs {
            let node = &nodes[&*job.id];
            let here = file(&files, &node.submit).contains("universe = local");
            prop_assert_eq!(here, node.category.as_deref() == Some("submit-host"));
            let outputs: Vec<&str> = job.outputs.iter().filter(|file| !file.is_kept()).map(|file| file.as_str()).collect();
            if !here {
                let expected: Vec<_> = outputs.iter().map(|output| format!("{output}=files/{output}")).collect();
                prop_assert_eq!(words(node, "remaps", ';'), expected);
                prop_assert_eq!(words(node, "writes", ','), outputs.clone());
                prop_assert!(!node.vars["writes"].is_empty(), "all that is new would travel");
            }
            written.extend(outputs.iter().map(|file| (format!("files/{file}"), &*job.id)));
        }
        let mut given: BTreeSet<String> = files.0.keys().cloned().collect();
        given.extend(dagman::weights_path(&plan));
        for job in &dag.jobs {
            let node = &nodes[&*job.id];
            let before = before(&nodes, &job.id);
            let mut names = BTreeSet::new();
            let reads: Vec<String> = match node.vars.get("reads") {
                Some(reads) => reads.split(',').filter(|path| !path.is_empty()).map(str::to_owned).collect(),
                None => {
                    prop_assert!(job.inputs.iter().all(|file| !file.is_kept()), "a site's file on the submit host");
                    job.inputs.iter().map(|file| format!("files/{file}")).collect()
                }
            };
            for path in reads {
                let there = given.contains(&path)
                    || written.get(&path).is_some_and(|writer| before.contains(writer));
                prop_assert!(there, "{} reads {path}", job.id);
                names.insert(path.rsplit('/').next().unwrap().to_owned());
            }
            let moved = job.inputs.iter().filter(|file| !file.is_kept());
            prop_assert_eq!(names, moved.map(|file| file.to_string()).collect());
        }
    }

    #[test]
    fn what_only_jobs_of_rounds_read_is_deleted_once_and_after_the_last_of_them(sample in any_sample()) {
        let plan = lower(&sample);
        let files = emit(&sample);
        let nodes = nodes(&files, "e1.dag");
        let mut deleted = BTreeMap::new();
        for (id, node) in nodes.iter().filter(|(_, node)| node.deletes.is_some()) {
            for path in file(&files, node.deletes.as_ref().unwrap()).lines() {
                prop_assert!(deleted.insert(path.to_owned(), &**id).is_none(), "{path} is deleted twice");
            }
        }
        let dag = plan.to_dag();
        let mut readers = BTreeMap::<String, Vec<&str>>::new();
        for job in &dag.jobs {
            for file in job.inputs.iter().filter(|file| !file.is_kept()) {
                readers.entry(format!("files/{file}")).or_default().push(&job.id);
            }
        }
        for (path, id) in &deleted {
            let before = before(&nodes, id);
            prop_assert!(readers[path].iter().all(|reader| before.contains(reader)), "{path} goes too early");
            prop_assert!(![".global.", ".metrics.", ".stats.", ".manifest."].iter().any(|kept| path.contains(kept)), "{path} is for people");
        }
        for path in readers.keys().filter(|path| path.contains(".update.") || path.contains(".partial.")) {
            prop_assert!(deleted.contains_key(path), "{path} stays");
        }
    }

    #[test]
    fn the_same_specification_gives_the_same_bytes(sample in any_sample()) {
        prop_assert_eq!(emit(&sample), emit(&sample));
    }
}
