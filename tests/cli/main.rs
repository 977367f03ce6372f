//! The command line as others script it: commands, exit codes, and what goes to stdout.

mod operate;
mod operate_pegasus;
mod show;
mod show_sweep;
mod simulate;
mod sweep;

use std::{fs, path::Path, process::Output};

use serde_json::Value;
use tempfile::TempDir;
use tests::{fedwing, root};

fn example(name: &str) -> String {
    root().join("examples").join(name).display().to_string()
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A folder with a specification in it.
fn folder_with(text: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let spec = folder.path().join("spec.yml");
    fs::write(&spec, text).expect("a specification");
    let spec = spec.display().to_string();
    (folder, spec)
}

/// The quickstart with some of its words replaced.
fn broken_quickstart(changes: &[(&str, &str)]) -> (TempDir, String) {
    let mut text = fs::read_to_string(example("quickstart.yml")).expect("the quickstart");
    for (from, to) in changes {
        assert!(text.contains(from), "the quickstart has no `{from}`");
        text = text.replacen(from, to, 1);
    }
    folder_with(&text)
}

#[test]
fn an_accepted_specification_exits_0_and_a_rejected_one_3_with_every_mistake() {
    assert_eq!(code(&fedwing(["check", &example("quickstart.yml")])), 0);

    let (_folder, spec) = broken_quickstart(&[("rounds: 3", "rounds: 0"), ("batch_size", "batch_sise")]);
    let output = fedwing(["check", &spec]);
    assert_eq!(code(&output), 3);
    assert!(stdout(&output).is_empty(), "diagnostics are talk");
    let said = stderr(&output);
    assert!(
        said.contains("did you mean `batch_size`") || said.contains("`batch_size`"),
        "{said}"
    );
    assert!(said.contains("spec.yml:"), "positions are given: {said}");
    assert!(
        said.contains("2 errors") || said.contains("3 errors"),
        "both mistakes are told: {said}"
    );
}

#[test]
fn a_check_as_json_gives_code_line_and_column() {
    let (_folder, spec) = broken_quickstart(&[("rounds: 3", "rounds: 0")]);
    let output = fedwing(["check", &spec, "--json"]);
    assert_eq!(code(&output), 3);
    let result: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(result["accepted"], false);
    let first = &result["found"]["diagnostics"][0];
    assert!(first["code"].as_str().expect("a code").starts_with("FL"));
    assert!(first["line"].is_u64() && first["column"].is_u64());
}

#[test]
fn a_rejected_specification_is_neither_run_nor_generated() {
    let (folder, spec) = broken_quickstart(&[("rounds: 3", "rounds: 0")]);
    let (run, workflow) = (folder.path().join("run"), folder.path().join("workflow"));
    assert_eq!(
        code(&fedwing([
            "run".as_ref(),
            spec.as_ref(),
            "--dir".as_ref(),
            run.as_os_str()
        ])),
        3
    );
    assert_eq!(
        code(&fedwing([
            "generate".as_ref(),
            spec.as_ref(),
            "-o".as_ref(),
            workflow.as_os_str()
        ])),
        3
    );
    assert!(!run.exists() && !workflow.exists());
}

#[test]
fn what_is_not_built_yet_is_refused_by_name() {
    let container = "execution: {pegasus: {container: {apptainer: fl-client.sif}}}\n\nevaluation:";
    let (_folder, spec) = broken_quickstart(&[("evaluation:", container)]);
    let output = fedwing(["check", &spec]);
    assert_eq!(code(&output), 3);
    let said = stderr(&output);
    assert!(
        said.contains("apptainer") && said.contains("not built yet"),
        "{said}"
    );
}

#[test]
fn a_missing_file_a_wrong_flag_and_an_unknown_code_are_usage_errors() {
    assert_eq!(code(&fedwing(["check", "no-such-file.yml"])), 2);
    assert_eq!(code(&fedwing(["check", "--no-such-flag"])), 2);
    assert_eq!(code(&fedwing(["explain", "FL9999"])), 2);
    assert_eq!(code(&fedwing(["report", "no-such-run"])), 2);
    assert_eq!(code(&fedwing(["resume", "no-such-run"])), 2);
    assert_eq!(
        code(&fedwing([
            "run",
            &example("quickstart.yml"),
            "--dir",
            "x",
            "--jobs",
            "0"
        ])),
        2
    );
}

#[test]
fn the_schema_printed_is_the_schema_kept() {
    let output = fedwing(["schema"]);
    assert_eq!(code(&output), 0);
    let kept = fs::read_to_string(root().join("generator/spec.schema.json")).expect("the schema");
    assert_eq!(stdout(&output), kept);
}

#[test]
fn every_code_has_a_page_to_explain_it() {
    for entry in fs::read_dir(root().join("docs/codes")).expect("docs/codes") {
        let path = entry.expect("entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let output = fedwing(["explain", &name.to_lowercase()]);
        assert_eq!(code(&output), 0, "{name}");
        assert_eq!(
            stdout(&output),
            fs::read_to_string(&path).expect("page"),
            "{name}"
        );
    }
}

#[test]
fn generating_twice_gives_the_same_bytes_and_never_overwrites() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let generate = |name: &str| {
        let target = folder.path().join(name);
        let output = fedwing([
            "generate".as_ref(),
            example("quickstart.yml").as_ref(),
            "-o".as_ref(),
            target.as_os_str(),
        ]);
        (code(&output), target)
    };
    let ((first, one), (second, two)) = (generate("one"), generate("two"));
    assert_eq!((first, second), (0, 0));
    for file in [
        "workflow.yml",
        "replicas.yml",
        "transformations.yml",
        "sites.yml",
        "pegasus.properties",
    ] {
        let read = |folder: &Path| fs::read(folder.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert!(read(&one) == read(&two), "`{file}` differs");
    }
    assert!(one.join("bin/fl-client").is_file() && one.join("bin/fl-aggregator").is_file());
    assert_eq!(
        generate("one").0,
        2,
        "a folder that holds something is left alone"
    );
}

#[test]
fn a_generated_folder_can_be_moved_and_runs_to_the_same_files_as_its_specification() {
    let text = fs::read_to_string(example("quickstart.yml")).expect("the quickstart");
    let (folder, spec) = folder_with(
        &text
            .replace("patients: 600", "patients: 80")
            .replace("epochs: 8", "epochs: 1"),
    );
    let at = |name: &str| folder.path().join(name).display().to_string();
    assert_eq!(code(&fedwing(["generate", &spec, "-o", &at("made")])), 0);
    fs::rename(at("made"), at("moved")).expect("moved");
    for (source, run) in [(&spec, at("from-spec")), (&at("moved"), at("from-workflow"))] {
        let output = fedwing(["run", source, "--dir", &run]);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
    }
    let files = |run: &str| {
        let mut names: Vec<_> = fs::read_dir(Path::new(run).join("files"))
            .expect("files")
            .map(|entry| entry.expect("entry").path())
            .collect();
        names.sort();
        names
    };
    let (left, right) = (files(&at("from-spec")), files(&at("from-workflow")));
    assert_eq!(left.len(), right.len());
    for (left, right) in left.iter().zip(&right) {
        assert_eq!(left.file_name(), right.file_name());
        assert!(
            fs::read(left).expect("file") == fs::read(right).expect("file"),
            "{} differs",
            left.display()
        );
    }
}

#[test]
fn a_folder_for_dagman_is_complete_before_it_is_submitted() {
    let text = fs::read_to_string(example("quickstart.yml")).expect("the quickstart");
    let weights = "model: {arch: small_cnn, weights: start.safetensors}";
    let (folder, spec) = folder_with(&text.replace("model: {arch: small_cnn}", weights));
    let made = folder.path().join("made");
    let output = fedwing([
        "generate",
        &spec,
        "-o",
        &made.display().to_string(),
        "--target",
        "dagman",
        "--json",
    ]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(
        stdout(&output).contains(r#""target": "dagman""#),
        "{}",
        stdout(&output)
    );
    for file in [
        "quickstart.dag",
        "spec.yml",
        "jobs.jsonl",
        "bin/fl-client",
        "submit/train.sub",
    ] {
        assert!(made.join(file).is_file(), "{file}");
    }
    for empty in ["logs", "files"] {
        assert!(
            made.join(empty).is_dir(),
            "{empty}: HTCondor makes no folder for what arrives"
        );
    }
    assert_eq!(
        fs::read_link(made.join("files/quickstart.weights.safetensors")).expect("a link"),
        folder.path().join("start.safetensors")
    );
    let script = fs::metadata(made.join("submit.sh")).expect("submit.sh");
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&script.permissions()) & 0o111,
        0o111
    );
}

#[test]
fn the_specification_shown_in_the_readme_is_accepted() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let (_, rest) = readme.split_once("```yaml\n").expect("a specification");
    let (text, _) = rest.split_once("```").expect("its end");
    let (_folder, spec) = folder_with(text);
    let output = fedwing(["check", &spec]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}
