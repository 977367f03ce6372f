//! The Pegasus directory: its bytes, that it reads back as the plan's graph wherever it stands, and what is refused.

#![allow(clippy::unwrap_used)] // helpers of tests

mod sample;
#[path = "sample/strategy.rs"]
mod strategy;

use std::collections::{BTreeMap, BTreeSet};

use fedwing::{
    check::Layout,
    emit::{
        MemoryFiles,
        pegasus::{self, ReadError, WriteError},
    },
    plan::{self, Dag, External, Lfn, Plan, Program},
};
use proptest::prelude::*;
use sample::Sample;
use strategy::{any_sample, chunks};

fn lower(sample: &Sample) -> Plan {
    plan::lower(&sample.checked()).unwrap()
}

fn emit(sample: &Sample) -> MemoryFiles {
    let mut files = MemoryFiles::default();
    let settings = sample.checked().execution.pegasus;
    pegasus::write(&lower(sample), &settings, &mut files).unwrap();
    files
}

/// The files as they lie when the directory stands at `folder`.
fn at(folder: &str, files: &MemoryFiles) -> MemoryFiles {
    let moved = files
        .0
        .iter()
        .map(|(path, bytes)| (format!("{folder}/{path}"), bytes.clone()));
    MemoryFiles(moved.collect())
}

fn text(files: &MemoryFiles) -> String {
    let mut all = String::new();
    for (path, bytes) in &files.0 {
        all.push_str(&format!(
            "=== {path}\n{}",
            String::from_utf8(bytes.clone()).unwrap()
        ));
    }
    all
}

/// For each job, every job it waits for, directly or not.
fn ancestors(dag: &Dag) -> Vec<BTreeSet<u32>> {
    let mut all: Vec<BTreeSet<u32>> = Vec::new();
    for job in &dag.jobs {
        let mut above: BTreeSet<u32> = job.after.iter().copied().collect();
        for parent in &job.after {
            above.extend(all[*parent as usize].iter().copied());
        }
        all.push(above);
    }
    all
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
fn the_chunks_directory_of_an_experiment_at_two_sites() {
    let sample = Sample {
        datasets: vec!["nih"],
        clients: 3,
        rounds: 3,
        baselines: vec![],
        cross_dataset: false,
        weights: None,
        sites: true,
        ..Sample::small(chunks(2))
    };
    insta::assert_snapshot!(text(&emit(&sample)));
}

#[test]
fn each_data_configuration_has_the_directories_it_needs() {
    let mut all = String::new();
    for configuration in ["condorio", "nonsharedfs", "sharedfs"] {
        let sample = Sample::small(Layout::Flat);
        let mut files = MemoryFiles::default();
        let mut settings = sample.checked().execution.pegasus;
        settings.data_configuration = configuration.to_owned();
        pegasus::write(&lower(&sample), &settings, &mut files).unwrap();
        let file = |name: &str| String::from_utf8(files.0[name].clone()).unwrap();
        let bypass = file("workflow.yml").contains("bypass: true");
        assert_eq!(bypass, configuration == "condorio", "{configuration}");
        all += &format!(
            "=== {configuration}\n{}{}",
            file("sites.yml"),
            file("pegasus.properties")
        );
    }
    insta::assert_snapshot!(all);
}

#[test]
fn memory_grows_with_attempts_where_there_are_several_and_is_a_number_where_not() {
    let requests = |retries: u32| -> Vec<(Option<String>, Option<String>)> {
        let sample = Sample::small(Layout::Flat);
        let mut checked = sample.checked();
        checked.execution.retries = retries;
        let plan = plan::lower(&checked).unwrap();
        let mut files = MemoryFiles::default();
        pegasus::write(&plan, &checked.execution.pegasus, &mut files).unwrap();
        let main: serde_json::Value =
            serde_saphyr::from_str(&String::from_utf8(files.0["workflow.yml"].clone()).unwrap()).unwrap();
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let jobs = main["jobs"].as_array().unwrap().iter();
        jobs.filter(|job| job["name"] == "train")
            .map(|job| {
                let profiles = &job["profiles"];
                (
                    text(&profiles["condor"]["request_memory"]),
                    text(&profiles["pegasus"]["memory"]),
                )
            })
            .collect()
    };
    assert!(
        requests(0)
            .iter()
            .all(|(condor, pegasus)| condor.is_none() && pegasus.is_some())
    );
    let grown = requests(3);
    let (Some(expression), None) = &grown[0] else {
        panic!("{:?}", grown[0])
    };
    let number = requests(0)[0].1.clone().unwrap();
    assert_eq!(
        *expression,
        format!("ifthenelse(isundefined(DAGNodeRetry), {number}, {number} * (DAGNodeRetry + 1))")
    );
}

#[test]
fn in_the_rounds_layout_keys_stand_outside_and_what_a_round_remembers_crosses_to_the_next() {
    let sub_workflow = |way: usize, id: &str| -> (Vec<String>, Vec<String>) {
        let sample = Sample {
            datasets: vec!["nih"],
            clients: 3,
            baselines: vec![],
            cross_dataset: false,
            weights: None,
            ..Sample::small(Layout::Rounds)
        };
        let files = emit(&sample.learning(way));
        let main: serde_json::Value =
            serde_saphyr::from_str(&String::from_utf8(files.0["workflow.yml"].clone()).unwrap()).unwrap();
        let jobs = main["jobs"].as_array().unwrap();
        let job = jobs.iter().find(|job| job["id"] == id).unwrap();
        let used = |link: &str| {
            let uses = job["uses"].as_array().unwrap().iter();
            uses.filter(|used| used["type"] == link)
                .map(|used| used["lfn"].as_str().unwrap().replace("e1.nih.", ""))
                .collect()
        };
        (used("input"), used("output"))
    };
    let handed_on = [
        "r0001.c0000.residual.safetensors",
        "r0001.c0001.residual.safetensors",
        "r0001.c0002.residual.safetensors",
        "r0001.global.safetensors",
        "r0001.state.safetensors",
    ];
    let (_, mut written) = sub_workflow(1, "round-nih-r0001");
    written.sort();
    assert_eq!(written, handed_on);
    let (read, written) = sub_workflow(1, "round-nih-r0002");
    assert!(
        handed_on.iter().all(|file| read.iter().any(|name| name == file)),
        "{read:?}"
    );
    assert_eq!(written, [""; 0], "nothing reads what the last round leaves");

    let keys = ["c0000.secret-key.json", "c0002.public-key.json"];
    let (read, written) = sub_workflow(2, "round-nih-r0002");
    assert!(
        keys.iter().all(|file| read.iter().any(|name| name == file)),
        "{read:?}"
    );
    assert_eq!(written, [""; 0]);
    assert_eq!(
        sub_workflow(2, "keys-nih-c0001").1,
        ["c0001.secret-key.json", "c0001.public-key.json"]
    );
}

proptest! {
    #[test]
    fn the_directory_reads_back_as_the_plan_wherever_it_stands(sample in any_sample(), deep: bool) {
        let folder = if deep { "/srv/moved/here" } else { "/x" };
        let plan = lower(&sample);
        let ours = plan.to_dag();
        let read = pegasus::read(&at(folder, &emit(&sample)), &format!("{folder}/workflow.yml")).unwrap();
        prop_assert_eq!(&read.name, &ours.name);
        prop_assert_eq!(read.jobs.len(), ours.jobs.len());
        for ((read, ours), planned) in read.jobs.iter().zip(&ours.jobs).zip(&plan.jobs) {
            prop_assert_eq!(&read.id, &ours.id);
            prop_assert_eq!(&read.label, &ours.label);
            prop_assert_eq!(&read.argv, &ours.argv);
            // What is kept in place is not moved, so no workflow names it; its readers wait for its writers all the same.
            let moved = |files: &[Lfn]| -> Vec<Lfn> { files.iter().filter(|file| !file.is_kept()).cloned().collect() };
            prop_assert_eq!(&read.inputs, &moved(&ours.inputs));
            prop_assert_eq!(&read.outputs, &moved(&ours.outputs));
            if !sample.sites {
                prop_assert_eq!(&read.after, &ours.after);
            }
            prop_assert_eq!(read.request, ours.request);
            prop_assert_eq!(read.retries, ours.retries);
            let program = format!("{folder}/bin/{}", planned.job.binary().as_str());
            prop_assert_eq!(&read.program, &Program::Path(program));
        }
        // A sub-workflow waits as a whole for what is kept in place, so its jobs wait for no less.
        for (read, ours) in ancestors(&read).iter().zip(ancestors(&ours)) {
            prop_assert!(read.is_superset(&ours));
        }
        let expected: BTreeMap<_, _> = ours.external.into_iter().map(|(name, from)| {
            let path = match from {
                External::Content(_) => format!("{folder}/inputs/{name}"),
                External::Path(path) => path,
            };
            (name, External::Path(path))
        }).collect();
        prop_assert_eq!(read.external, expected);
    }

    #[test]
    fn the_same_specification_gives_the_same_bytes(sample in any_sample()) {
        prop_assert_eq!(emit(&sample), emit(&sample));
    }

    #[test]
    fn what_crosses_a_sub_workflows_border_is_declared_on_its_job(sample in any_sample()) {
        let sample = Sample { layout: if sample.layout == Layout::Flat { Layout::Rounds } else { sample.layout }, ..sample };
        let files = emit(&sample);
        let outer: serde_json::Value = serde_saphyr::from_str(&String::from_utf8(files.0["workflow.yml"].clone()).unwrap()).unwrap();
        let uses = |jobs: &[serde_json::Value], link: &str| -> BTreeSet<String> {
            let uses = jobs.iter().flat_map(|job| job["uses"].as_array().unwrap());
            uses.filter(|used| used["type"] == link).map(|used| used["lfn"].as_str().unwrap().to_owned()).collect()
        };
        let (mut rounds, mut read_outside) = (Vec::new(), BTreeSet::new());
        for job in outer["jobs"].as_array().unwrap() {
            if job["type"] == "pegasusWorkflow" { rounds.push(job.clone()) }
            read_outside.extend(uses(std::slice::from_ref(job), "input"));
        }
        let each = match sample.layout {
            Layout::Flat | Layout::Rounds => 1,
            Layout::Chunks { rounds } => rounds.get(),
        };
        prop_assert_eq!(rounds.len() as u32, sample.rounds.div_ceil(each) * sample.datasets.len() as u32);
        for job in &rounds {
            let file = job["file"].as_str().unwrap();
            let text = String::from_utf8(files.0[&format!("rounds/{file}")].clone()).unwrap();
            let inner: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
            let jobs = inner["jobs"].as_array().unwrap();
            let (read, written) = (uses(jobs, "input"), uses(jobs, "output"));
            let one = std::slice::from_ref(job);
            let mut declared = uses(one, "input");
            prop_assert!(declared.remove(file), "the workflow's own file");
            prop_assert_eq!(declared, read.difference(&written).cloned().collect());
            let crossing = uses(one, "output");
            prop_assert_eq!(&crossing, &written.intersection(&read_outside).cloned().collect());
            let outputs = jobs.iter().flat_map(|job| job["uses"].as_array().unwrap()).filter(|used| used["type"] == "output");
            for used in outputs.filter(|used| crossing.contains(used["lfn"].as_str().unwrap())) {
                prop_assert_eq!(&used["stageOut"], true, "a later round finds {}", used["lfn"]);
            }
        }
    }

    #[test]
    fn any_text_as_a_workflow_is_refused_or_read_without_panic(text in any::<String>()) {
        let _ = pegasus::read(&folder(&[("workflow.yml", &text)]), "/x/workflow.yml");
    }

    #[test]
    fn a_damaged_directory_is_refused_or_read_without_panic(
        file in 0usize..10, at_byte in any::<proptest::sample::Index>(), byte: u8, cut: bool,
    ) {
        let mut files = at("/x", &emit(&Sample::small(Layout::Rounds)));
        let count = files.0.len();
        let bytes = files.0.values_mut().nth(file % count).unwrap();
        let index = at_byte.index(bytes.len());
        if cut { bytes.truncate(index) } else { bytes[index] = byte }
        let _ = pegasus::read(&files, "/x/workflow.yml");
    }
}

#[test]
fn a_weights_path_with_a_variable_is_refused() {
    let sample = Sample {
        weights: Some("/w/${HOME}.safetensors".to_owned()),
        ..Sample::small(Layout::Flat)
    };
    let settings = sample.checked().execution.pegasus;
    let result = pegasus::write(&lower(&sample), &settings, &mut MemoryFiles::default());
    assert!(matches!(result, Err(WriteError::Variable { .. })));
}

fn folder(files: &[(&str, &str)]) -> MemoryFiles {
    let files = files
        .iter()
        .map(|(path, text)| (format!("/x/{path}"), text.as_bytes().to_vec()));
    MemoryFiles(files.collect())
}

const CATALOG: &str = r"
pegasus: '5.0.4'
transformations:
- {name: keg, sites: [{name: condorpool, pfn: /usr/bin/keg, type: installed}]}
- namespace: diamond
  name: analyze
  version: '4.0'
  profiles: {env: {MODE: fast}, condor: {request_memory: 2 GB}}
  sites:
  - {name: remote, pfn: 'https://example.org/a', type: stageable}
  - {name: local, pfn: bin/analyze, type: stageable}
- {name: boxed, sites: [{name: local, pfn: /bin/true, type: installed, container: box}]}
- {name: far, sites: [{name: remote, pfn: 'https://example.org/far', type: stageable}]}
";

const REPLICAS: &str = r"
pegasus: '5.0.4'
replicas:
- {lfn: f.a, pfns: [{site: osg, pfn: 'https://example.org/f.a'}, {site: local, pfn: 'file:///data/f.a'}]}
- {lfn: f.z, pfns: [{site: local, pfn: inputs/f.z}]}
- {lfn: inner.yml, pfns: [{site: local, pfn: sub/inner.yml}]}
";

/// A foreign workflow's jobs and dependencies beside [`CATALOG`], [`REPLICAS`] and the inner workflow `inner`.
fn read(jobs: &str, inner: &str) -> Result<Dag, ReadError> {
    let workflow = format!("pegasus: 5.0.4\nname: diamond\n{jobs}");
    let inner = format!("pegasus: 5.0.4\nname: inner\n{inner}");
    let files = folder(&[
        ("workflow.yml", &workflow),
        ("transformations.yml", CATALOG),
        ("replicas.yml", REPLICAS),
        ("sub/inner.yml", &inner),
    ]);
    pegasus::read(&files, "/x/workflow.yml")
}

fn refused(jobs: &str) -> String {
    read(jobs, "").unwrap_err().to_string()
}

fn after(dag: &Dag) -> Vec<(String, Vec<String>)> {
    let id = |index: &u32| dag.jobs[*index as usize].id.to_string();
    dag.jobs
        .iter()
        .map(|job| (job.id.to_string(), job.after.iter().map(id).collect()))
        .collect()
}

#[test]
fn a_foreign_workflow_reads_with_catalogs_profiles_and_streams() {
    let dag = read(
        r"
jobs:
- type: job
  name: keg
  id: ID2
  arguments: [-i f.b -n, 5, 'two ''quoted words''']
  uses: [{lfn: f.b, type: input}, {lfn: f.c, type: output, stageOut: true, registerReplica: true}]
  profiles: {pegasus: {cores: 3, gpus: 1, maxwalltime: 2}, dagman: {RETRY: '2'}, env: {A: '1'}}
- type: job
  namespace: diamond
  name: analyze
  version: '4.0'
  id: ID1
  stdin: f.a
  stdout: f.b
  stderr: f.err
  arguments: []
  uses: [{lfn: f.a, type: input}, {lfn: f.b, type: output}, {lfn: f.z, type: input}]
  profiles: {env: {MODE: slow}, pegasus: {memory: 100}}
",
        "",
    )
    .unwrap();
    // The reader stands after the writer, though it was written first.
    assert_eq!(
        after(&dag),
        [("ID1".into(), vec![]), ("ID2".into(), vec!["ID1".into()])]
    );
    let [analyze, keg] = &dag.jobs[..] else { panic!() };
    assert_eq!(analyze.program, Program::Path("/x/bin/analyze".to_owned()));
    assert_eq!(keg.program, Program::Path("/usr/bin/keg".to_owned()));
    assert_eq!(keg.argv, ["-i", "f.b", "-n", "5", "two", "quoted words"]);
    assert_eq!(
        (
            keg.request.cpus,
            keg.request.gpus,
            keg.request.walltime.0,
            keg.retries
        ),
        (3, 1, 120, 2)
    );
    // The transformation catalog's profiles win over the job's.
    assert_eq!(analyze.request.memory.0, 2 << 30);
    assert_eq!(
        analyze.env,
        BTreeMap::from([("MODE".to_owned(), "fast".to_owned())])
    );
    assert_eq!(analyze.stdin.as_ref().unwrap().as_str(), "f.a");
    assert_eq!(
        analyze
            .outputs
            .iter()
            .map(|file| file.as_str())
            .collect::<Vec<_>>(),
        ["f.b", "f.err"]
    );
    let external: Vec<_> = dag
        .external
        .iter()
        .map(|(name, from)| (name.as_str(), from.clone()))
        .collect();
    let path = |path: &str| External::Path(path.to_owned());
    assert_eq!(
        external,
        [("f.a", path("/data/f.a")), ("f.z", path("/x/inputs/f.z"))]
    );
}

const JOB: &str = "jobs:\n- {type: job, name: keg, id: a, arguments: [], uses: [";

#[test]
fn what_cannot_run_here_is_refused_by_name() {
    let cases = [
        (
            "jobs:\n- {type: job, name: nope, id: a, arguments: [], uses: []}".to_owned(),
            "job `a` runs `nope`, which no transformation catalog names",
        ),
        (
            format!("{JOB}{{lfn: f.q, type: input}}]}}"),
            "job `a` reads `f.q`, which no job writes and no replica catalog places on this machine",
        ),
        (
            format!(
                "{JOB}{{lfn: f, type: output}}]}}\n- {{name: keg, id: b, uses: [{{lfn: f, type: output}}]}}"
            ),
            "`f` is written by both `a` and `b`",
        ),
        (
            format!(
                "{JOB}{{lfn: f, type: output}}, {{lfn: g, type: input}}]}}\n- {{name: keg, id: b, uses: [{{lfn: f, type: input}}, {{lfn: g, type: output}}]}}"
            ),
            "jobs wait for each other: a, b",
        ),
        (
            format!("{JOB}]}}\njobDependencies: [{{id: a, children: [a]}}]"),
            "jobs wait for each other: a",
        ),
        (
            format!("{JOB}]}}\njobDependencies: [{{id: a, children: [b]}}]"),
            "`/x/workflow.yml` makes jobs wait for `b`, or it for others, and holds no such job",
        ),
        (
            format!("{JOB}]}}\n- {{name: keg, id: a}}"),
            "`/x/workflow.yml` holds two jobs named `a`",
        ),
        (
            format!("{JOB}{{lfn: state, type: inout}}]}}"),
            "`/x/workflow.yml` holds `state` as inout of job `a`: not supported on this machine",
        ),
        (
            format!("{JOB}{{lfn: ../up, type: input}}]}}"),
            "job `a` in `/x/workflow.yml` uses `../up`, which is not a relative path without `.` and `..`",
        ),
        (
            "jobs:\n- {name: boxed, id: a}".to_owned(),
            "`/x/transformations.yml` holds `boxed` in the container `box`: not supported on this machine",
        ),
        (
            "jobs:\n- {name: far, id: a}".to_owned(),
            "`/x/transformations.yml` holds `far` at `https://example.org/far`, which is not on this machine: not supported on this machine",
        ),
        (
            "jobs:\n- {type: pegasusWorkflow, file: other.yml, id: s}".to_owned(),
            "job `s` runs the workflow `other.yml`, which no replica catalog places on this machine",
        ),
        (
            "jobs:\n- {type: condorWorkflow, file: other.dag, id: s}".to_owned(),
            "`/x/workflow.yml` holds job `s`, an HTCondor DAG inside a workflow: not supported on this machine",
        ),
        (
            "jobs:\n- {name: keg, id: a, arguments: ['${HOME}']}".to_owned(),
            "`/x/workflow.yml` uses the variable `HOME`; none but `PEGASUS_FEDWING_DIR` is known here",
        ),
        (
            "jobs:\n- {name: keg, id: a, profiles: {pegasus: {cores: many}}}".to_owned(),
            "profile `pegasus.cores` of job `a` is `many`, which is not a number",
        ),
        (
            "jobs:\n- {name: keg, id: a/b}".to_owned(),
            "`a/b` in `/x/workflow.yml` is not a job id: use 1 to 128 letters, digits, `-` and `_`",
        ),
        ("jobs: []".to_owned(), "`/x/workflow.yml` holds no jobs"),
    ];
    for (jobs, message) in cases {
        assert_eq!(refused(&jobs), message);
    }
}

#[test]
fn another_version_and_a_missing_file_are_refused() {
    let files = folder(&[(
        "workflow.yml",
        "pegasus: '4.9'\nname: a\njobs: [{name: keg, id: a}]",
    )]);
    let refused = |path| pegasus::read(&files, path).unwrap_err().to_string();
    assert_eq!(
        refused("/x/workflow.yml"),
        "`/x/workflow.yml` is written for Pegasus 4.9; only 5 is read"
    );
    assert_eq!(refused("/x/other.yml"), "cannot read `/x/other.yml`");
    assert_eq!(refused("workflow.yml"), "`workflow.yml` is not an absolute path");
}

#[test]
fn a_sub_workflow_is_flattened_and_keeps_stated_order() {
    let dag = read(
        r"
jobs:
- {name: keg, id: first}
- {type: pegasusWorkflow, file: inner.yml, id: sub, uses: [{lfn: inner.yml, type: input}]}
- {name: keg, id: last}
jobDependencies: [{id: first, children: [sub]}, {id: sub, children: [last]}]
",
        r"
jobs:
- {name: keg, id: first, uses: [{lfn: f.1, type: output}]}
- {name: keg, id: second, uses: [{lfn: f.1, type: input}]}
- {name: keg, id: third}
",
    )
    .unwrap();
    let names = |list: &[&str]| list.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    assert_eq!(
        after(&dag),
        [
            ("first".into(), names(&[])),
            ("sub.first".into(), names(&["first"])),
            ("second".into(), names(&["sub.first"])),
            ("third".into(), names(&["first"])),
            ("last".into(), names(&["second", "third"])),
        ]
    );
}

#[test]
fn a_sub_workflow_that_holds_itself_is_refused() {
    let itself = "jobs:\n- {type: pegasusWorkflow, file: inner.yml, id: again}";
    let error = read(
        "jobs:\n- {type: pegasusWorkflow, file: inner.yml, id: sub}",
        itself,
    )
    .unwrap_err();
    assert!(matches!(error, ReadError::TooDeep { .. }), "{error}");
}

#[test]
fn catalogs_are_found_through_properties_and_inside_the_workflow() {
    let properties = "pegasus.catalog.transformation.file = ${PEGASUS_FEDWING_DIR}/tc.yml\n";
    let workflow = r"
pegasus: '5.0'
name: w
replicaCatalog: {replicas: [{lfn: f, pfns: [{site: local, pfn: ./f.txt}]}]}
jobs: [{name: keg, id: a, arguments: [f], uses: [{lfn: f, type: input}]}]
";
    let files = folder(&[
        ("workflow.yml", workflow),
        ("pegasus.properties", properties),
        ("tc.yml", CATALOG),
    ]);
    let dag = pegasus::read(&files, "/x/workflow.yml").unwrap();
    assert_eq!(
        dag.external.into_values().collect::<Vec<_>>(),
        [External::Path("/x/f.txt".to_owned())]
    );
    let other = folder(&[
        ("workflow.yml", workflow),
        ("pegasus.properties", "pegasus.catalog.replica = JDBCRC\n"),
    ]);
    assert_eq!(
        pegasus::read(&other, "/x/workflow.yml").unwrap_err().to_string(),
        "`/x/pegasus.properties` holds a replica catalog of the kind `JDBCRC`: not supported on this machine"
    );
}
