//! What we emit for Pegasus means the same as what its official Python API makes of the same jobs.

#![allow(clippy::unwrap_used)] // a test throughout

#[path = "../../generator/tests/sample/mod.rs"]
mod sample;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use contract::{argv::Role, training::BaselineKind};
use fedwing::{
    check::Layout,
    emit::{MemoryFiles, pegasus},
    plan::{self, Place, Plan},
};
use sample::Sample;
use serde_json::{Value, json};

/// The release the comparison was written against.
const API: &str = "pegasus-wms.api==5.1.3";

/// A Python with the API, made once; `Err` says why there is none.
fn python() -> Result<PathBuf, String> {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pegasus-api-5.1.3");
    let python = venv.join("bin/python");
    let ready = venv.join("ready");
    if !ready.exists() {
        let venv_path = venv.display().to_string();
        run(Command::new("python3").args(["-m", "venv", "--clear", &venv_path]))?;
        run(Command::new(&python).args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            API,
        ]))?;
        fs::write(&ready, API).map_err(|error| error.to_string())?;
    }
    Ok(python)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{command:?}: {}\n{stderr}", output.status))
    }
}

/// What the jobs are, without a word of how Pegasus is told.
fn description(sample: &Sample, plan: &Plan) -> Value {
    let jobs: Vec<Value> = plan
        .jobs
        .iter()
        .map(|job| {
            let (mut inputs, mut outputs, mut checkpoints) = (Vec::new(), Vec::new(), Vec::new());
            job.job.roles(&mut |role| match role {
                Role::Setting | Role::ReadInPlace(_) | Role::WrittenInPlace(_) => {}
                Role::Checkpoint(file) => checkpoints.push(file),
                Role::Input(file) => inputs.push(file),
                Role::Output(file) => outputs.push(file),
            });
            json!({
                "id": job.id.to_string(),
                "kind": job.job.name(),
                "argv": job.job.to_argv(),
                "inputs": inputs,
                "outputs": outputs,
                "checkpoints": checkpoints,
                "cpus": job.request.cpus,
                "memory_mb": job.request.memory.mebibytes(),
                "gpus": job.request.gpus,
                "walltime_s": job.request.walltime.0,
                "dataset": job.stage.dataset.as_str(),
                "round": job.stage.round.map(|round| round.0),
                "client": job.stage.client.map(|client| client.0),
                "here": job.place == Place::SubmitHost,
                "program": job.program.as_deref(),
                "site": job.site().map(|site| site.name.as_str()),
            })
        })
        .collect();
    json!({
        "name": plan.experiment.as_str(),
        "rounds_together": match sample.layout {
            Layout::Flat => 0,
            Layout::Rounds => 1,
            Layout::Chunks { rounds } => rounds.get(),
        },
        "algorithm": plan.algorithm,
        "rounds": plan.rounds,
        "spec_digest": plan.spec_digest.as_str(),
        "synthetic": plan.synthetic,
        "sites": plan.sites().iter().map(|site| json!({
            "name": site.name.as_str(),
            "requirements": site.requirements,
        })).collect::<Vec<_>>(),
        "dependencies": plan.jobs.iter().enumerate().flat_map(|(index, job)| {
            let parents = plan.edges().after(index).iter();
            parents.map(|parent| json!([plan.jobs[*parent as usize].id.to_string(), job.id.to_string()]))
        }).collect::<Vec<_>>(),
        "compute_site": sample.checked().execution.pegasus.compute_site,
        "retries": plan.retries,
        "statics": plan.statics.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(),
        "weights": plan.weights.as_ref().map(|file| json!({"name": file.name.as_str(), "path": file.path})),
        "jobs": jobs,
    })
}

/// Reference and ours, file by file.
fn both(python: &Path, sample: &Sample) -> (Value, Value) {
    let plan = plan::lower(&sample.checked()).unwrap();
    let mut files = MemoryFiles::default();
    pegasus::write(&plan, &sample.checked().execution.pegasus, &mut files).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (path, bytes) in &files.0 {
        let path = at("ours").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    fs::write(at("description.json"), description(sample, &plan).to_string()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("emit/reference.py");
    let arguments = [at("description.json"), at("ours"), at("both.json")];
    run(Command::new(python).arg(script).args(arguments)).unwrap_or_else(|error| panic!("{error}"));
    let mut both: Value = serde_json::from_slice(&fs::read(at("both.json")).unwrap()).unwrap();
    (both["reference"].take(), both["ours"].take())
}

/// The same meaning has one form: jobs and files sorted by name, dependencies as pairs, profile values as text, nobody's signature.
fn meaning(mut files: Value) -> Value {
    for (_, document) in files.as_object_mut().unwrap() {
        let document = document.as_object_mut().unwrap();
        document.remove("x-pegasus");
        if let Some(dependencies) = document.remove("jobDependencies") {
            document.insert("dependencies".to_owned(), json!(pairs(&dependencies)));
        }
        for (list, key) in [
            ("jobs", "id"),
            ("replicas", "lfn"),
            ("transformations", "name"),
            ("sites", "name"),
        ] {
            let Some(entries) = document.get_mut(list) else {
                continue;
            };
            sort_by(entries, key);
            for entry in entries.as_array_mut().unwrap() {
                if let Some(uses) = entry.get_mut("uses") {
                    sort_by(uses, "lfn");
                }
                for (_, profiles) in entry
                    .get_mut("profiles")
                    .and_then(Value::as_object_mut)
                    .into_iter()
                    .flatten()
                {
                    for (_, value) in profiles.as_object_mut().unwrap() {
                        if let Value::Number(number) = value {
                            *value = json!(number.to_string());
                        }
                    }
                }
            }
        }
    }
    files
}

fn sort_by(list: &mut Value, key: &str) {
    let text = |entry: &Value| entry[key].as_str().unwrap().to_owned();
    list.as_array_mut().unwrap().sort_by_key(text);
}

fn pairs(dependencies: &Value) -> BTreeSet<(String, String)> {
    let entries = dependencies.as_array().unwrap().iter();
    let pairs = entries.flat_map(|entry| {
        let children = entry["children"].as_array().unwrap().iter();
        children.map(|child| {
            (
                entry["id"].as_str().unwrap().to_owned(),
                child.as_str().unwrap().to_owned(),
            )
        })
    });
    pairs.collect()
}

#[test]
fn we_emit_what_the_official_api_makes_of_the_same_jobs() {
    let python = match python() {
        Ok(python) => python,
        Err(why) => return eprintln!("skipped: the Pegasus API cannot be installed: {why}"),
    };
    let two = Layout::Chunks {
        rounds: 2.try_into().unwrap(),
    };
    for layout in [Layout::Flat, Layout::Rounds, two] {
        let some = Sample {
            clients: 3,
            fraction: 0.7,
            ..Sample::small(layout)
        };
        let alone = Sample {
            datasets: vec!["nih"],
            weights: None,
            ..Sample::small(layout)
        };
        let apart = Sample {
            clients: 3,
            rounds: 3,
            sites: true,
            baselines: vec![BaselineKind::LocalOnly],
            ..Sample::small(layout)
        };
        let together = Sample {
            clients: 5,
            clients_per_job: 2,
            ..apart.clone()
        };
        for sample in [Sample::small(layout), some, alone, apart, together] {
            let (reference, ours) = both(&python, &sample);
            let (reference, ours) = (meaning(reference), meaning(ours));
            let names = |files: &Value| files.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(&reference), names(&ours));
            for file in names(&ours) {
                let pretty = |files: &Value| serde_json::to_string_pretty(&files[&file]).unwrap();
                assert_eq!(pretty(&reference), pretty(&ours), "{file}");
            }
        }
    }
}
