//! Every example passes the check without so much as a warning.

use std::{fs, path::Path};

use fedwing::{check::check, diag::Colour};

#[test]
fn every_example_passes_the_check() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join("examples");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yml") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let report = check(&fs::read_to_string(&path).unwrap(), &name, &folder);
        assert_eq!(report.diagnostics.render(Colour::Never), "", "{name}");
        let checked = report.checked.unwrap();
        assert_eq!(
            format!("{}.yml", checked.name),
            name,
            "an example is called as its file"
        );
        names.push(name);
    }
    names.sort();
    assert_eq!(
        names,
        [
            "nih1000.yml",
            "options.yml",
            "pneumoniamnist.yml",
            "quickstart.yml"
        ]
    );
}
