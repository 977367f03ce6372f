//! A Pegasus 5 workflow fedwing did not write, with catalogs and a sub-workflow.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Output};

use tests::fedwing;

use crate::scenario::assert_code;

/// `j1` copies `f.in` to `f.mid`; the sub-workflow `j2` copies that to `f.out`.
fn write_workflow(folder: &Path, program: &str) {
    let here = folder.display();
    let files = [
        ("f.in", "hello\n".to_owned()),
        ("step.sh", program.to_owned()),
        (
            "workflow.yml",
            "pegasus: '5.0.4'
name: tiny
jobs:
- {type: job, name: step, id: j1, arguments: [f.in, f.mid], uses: [{lfn: f.in, type: input}, {lfn: f.mid, type: output}]}
- {type: pegasusWorkflow, file: sub.yml, id: j2, arguments: [], uses: [{lfn: f.mid, type: input}, {lfn: f.out, type: output}]}
jobDependencies:
- {id: j1, children: [j2]}
"
            .to_owned(),
        ),
        (
            "sub.yml",
            "pegasus: '5.0.4'
name: sub
jobs:
- {type: job, name: step, id: s1, arguments: [f.mid, f.out], uses: [{lfn: f.mid, type: input}, {lfn: f.out, type: output}]}
"
            .to_owned(),
        ),
        (
            "replicas.yml",
            format!(
                "pegasus: '5.0.4'
replicas:
- {{lfn: f.in, pfns: [{{site: local, pfn: 'file://{here}/f.in'}}]}}
- {{lfn: sub.yml, pfns: [{{site: local, pfn: '{here}/sub.yml'}}]}}
"
            ),
        ),
        (
            "transformations.yml",
            format!(
                "pegasus: '5.0.4'
transformations:
- name: step
  sites: [{{name: local, pfn: 'file://{here}/step.sh', type: stageable}}]
"
            ),
        ),
    ];
    for (name, text) in files {
        fs::write(folder.join(name), text).expect("a file");
    }
    fs::set_permissions(folder.join("step.sh"), fs::Permissions::from_mode(0o755)).expect("executable");
}

fn run(folder: &Path) -> Output {
    let (workflow, dir) = (folder.join("workflow.yml"), folder.join("run"));
    fedwing([
        "run".as_ref(),
        workflow.as_os_str(),
        "--dir".as_ref(),
        dir.as_os_str(),
    ])
}

#[test]
fn a_foreign_workflow_with_a_sub_workflow_runs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_workflow(folder.path(), "#!/bin/sh\ncat \"$1\" > \"$2\"\n");
    assert_code(&run(folder.path()), 0);
    let made = fs::read_to_string(folder.path().join("run/files/f.out")).expect("the output");
    assert_eq!(made, "hello\n");
}

#[test]
fn a_foreign_job_that_fails_exits_4_and_resume_does_the_rest() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_workflow(
        folder.path(),
        "#!/bin/sh\ntest \"$2\" = f.mid && cat \"$1\" > \"$2\"\n",
    );
    let output = run(folder.path());
    assert_code(&output, 4);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("s1") && said.contains("fedwing resume"), "{said}");

    write_workflow(folder.path(), "#!/bin/sh\ncat \"$1\" > \"$2\"\n");
    let dir = folder.path().join("run");
    assert_code(&fedwing(["resume".as_ref(), dir.as_os_str()]), 0);
    assert_eq!(
        fs::read_to_string(dir.join("files/f.out")).expect("the output"),
        "hello\n"
    );
}
