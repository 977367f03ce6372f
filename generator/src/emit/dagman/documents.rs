//! What stands beside DAG and submit files: DAGMan's settings, the script that submits, and a page for people.

use std::io::{self, Write};

use super::{FILES, INPUTS, LISTS, LOGS, PROGRAMS, clean::SCRIPT};
use crate::{
    emit::units::{Unit, Units},
    plan::Plan,
};

/// DAGMan's settings.
pub const SETTINGS: &str = "\
# Rounds wait for each other, so what ends is noticed soon.
DAGMAN_USER_LOG_SCAN_INTERVAL = 1
DAGMAN_MAX_SUBMITS_PER_INTERVAL = 1000
";

/// The script that submits, wherever it is called from.
pub fn submit_script(name: &str) -> String {
    format!(
        r#"#!/bin/sh
# Submits this workflow; after a failure, what is left of it. Further options go to condor_submit_dag.
set -eu
cd -- "$(dirname -- "$0")"
command -v condor_submit_dag >/dev/null || {{
    echo "submit.sh: there is no condor_submit_dag: run this on a machine that submits to an HTCondor pool" >&2
    exit 5
}}
exec condor_submit_dag "$@" {name}.dag
"#
    )
}

/// The page for people.
pub fn readme(plan: &Plan, units: &Units, out: &mut impl Write) -> io::Result<()> {
    let nested = units.units.iter().filter(|unit| matches!(unit, Unit::Round(_)));
    let nested = nested.count();
    let synthetic = if plan.synthetic {
        "\n**SYNTHETIC**: at least one dataset is drawn, not taken.\n"
    } else {
        ""
    };
    write!(
        out,
        r#"# {experiment}

A DAGMan workflow of {jobs} jobs in {dags}.
Written by fedwing from the specification with the digest
`{digest}`.
{synthetic}
    ./submit.sh

submits it to HTCondor. Called again after a failure, it goes on with what is not done, from the rescue file that DAGMan
left. This directory can be moved as a whole before it is submitted; HTCondor refuses one below `/tmp`.

| here | is |
|---|---|
| `{experiment}.dag`, `rounds/` | the nodes, who waits for whom, and what differs from job to job |
| `submit/` | what the jobs of a kind have in common |
| `{INPUTS}/` | what is there before the first job |
| `{PROGRAMS}/` | the job programs |
| `{FILES}/` | what jobs write: models, metrics, statistics, manifests, shards; updates until they are read |
| `{LISTS}/`, `{SCRIPT}` | which files are deleted behind each round, and by what; `*.deleted` says what was |
| `{LOGS}/` | stdout and stderr of each job's last attempt |
| `{experiment}.status`, `jobstate.log` | how far it is, by DAGMan |

`prepare` and `stats` run on the submit host unless sites hold the data: they read the images and the manifest, which
names patients. So do the steps of the server that the specification puts there (`submit_host`). Every other job gets the files it declares, and gives those back. To limit how many jobs of a kind run at
once, add a line such as `MAXJOBS train 20` to the DAG that holds them.
"#,
        experiment = plan.experiment,
        jobs = plan.jobs.len(),
        dags = match nested {
            0 => "one DAG".to_owned(),
            nested => format!("a DAG and {nested} nested ones"),
        },
        digest = plan.spec_digest,
    )
}
