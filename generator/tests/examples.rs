//! Every example passes the check without so much as a warning.

use std::{fs, path::Path};

use fedwing::{check::check, diag::Colour};

/// The names of the specifications in a folder of the examples, each accepted without a warning.
fn accepted(folder: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
        .join(folder);
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "yml") {
            continue;
        }
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a name")
            .to_owned();
        let report = check(&fs::read_to_string(&path).expect("an example"), &name, &folder);
        assert_eq!(report.diagnostics.render(Colour::Never), "", "{name}");
        let experiment = match (report.checked, report.sweep) {
            (Some(checked), _) => checked.name,
            (None, sweep) => sweep.expect("an experiment or a sweep").name,
        };
        assert_eq!(
            format!("{experiment}.yml"),
            name,
            "an example is called as its file"
        );
        names.push(name);
    }
    names.sort();
    names
}

#[test]
fn every_example_passes_the_check() {
    assert_eq!(
        accepted("examples"),
        [
            "nih1000.yml",
            "options.yml",
            "pneumoniamnist.yml",
            "quickstart.yml",
            "sweep.yml"
        ]
    );
    assert_eq!(
        accepted("examples/paper"),
        ["e1.yml", "e2.yml", "e3.yml", "e4.yml", "e5.yml", "e6.yml"]
    );
}
