//! What stands around the workflows of a sweep's points: one DAG of theirs, or a script that makes an ensemble of them.
//!
//! The caller puts the workflow of each point into the folder that [`point`] names. Pure; the same sweep gives the same
//! bytes.

use std::io::{self, Write};

use super::{Sink, SinkError, dagman, directory::Directory, pegasus};
use crate::check::{Point, Sweep};

/// The category of the points' DAGs, of which only so many are worked on at once.
const CATEGORY: &str = "point";

/// The most workflows that an ensemble plans at once: each planning is a Java program on the submit host.
const PLANNING: u32 = 2;

/// The file that says that the points were handed to an ensemble.
pub const HANDED_OVER: &str = "handed-over";

/// The folder of a point's workflow.
pub fn point(point: &Point) -> String {
    format!("points/{}", point.name)
}

/// Fills `sink` with the DAG whose nodes are the points' DAGs, DAGMan's settings, `submit.sh` and `README.md`.
///
/// # Errors
/// At the first file that fails.
pub fn write_dagman<S: Sink>(sweep: &Sweep, sink: &mut S) -> Result<(), SinkError> {
    let mut directory = Directory(sink);
    directory.file(&format!("{}.dag", sweep.name), |out| dag(sweep, out))?;
    directory.file(dagman::CONFIG, |out| out.write_all(dagman::SETTINGS.as_bytes()))?;
    directory.script("submit.sh", &dagman::submit_script(sweep.name.as_str()))?;
    directory.file("README.md", |out| {
        let how = format!(
            "A DAGMan workflow whose {} nodes are the points' own DAGs, at most {} of them at once (`MAXJOBS {CATEGORY}` in \
             `{}.dag`).\n\n    ./submit.sh\n\nsubmits it to HTCondor. Called again after a failure, it goes on with what is \
             not done.",
            sweep.points.len(),
            sweep.at_once,
            sweep.name,
        );
        readme(sweep, &how, out)
    })
}

fn dag(sweep: &Sweep, out: &mut impl Write) -> io::Result<()> {
    dagman::head(
        out,
        format_args!("{}.status", sweep.name),
        format_args!("jobstate.log"),
    )?;
    writeln!(out, "MAXJOBS {CATEGORY} {}", sweep.at_once)?;
    for one in &sweep.points {
        let name = &one.name;
        writeln!(out, "SUBDAG EXTERNAL {name} {name}.dag DIR {}", point(one))?;
        writeln!(out, "CATEGORY {name} {CATEGORY}")?;
    }
    Ok(())
}

/// Fills `sink` with the script that makes an ensemble of the points, and `README.md`.
///
/// # Errors
/// At the first file that fails.
pub fn write_pegasus<S: Sink>(sweep: &Sweep, sink: &mut S) -> Result<(), SinkError> {
    let mut directory = Directory(sink);
    directory.script("submit.sh", &ensemble_script(sweep))?;
    directory.file("README.md", |out| {
        let how = format!(
            "A Pegasus workflow for each of {} points, run as the ensemble `{}`: at most {} at once.\n\n    \
             pegasus-em server &      # unless it is running\n    ./submit.sh\n\nmakes the ensemble and hands the points to it; \
             `pegasus-em workflows {}` lists them. The folder cannot be moved after that.",
            sweep.points.len(),
            sweep.name,
            sweep.at_once,
            sweep.name,
        );
        readme(sweep, &how, out)
    })
}

/// The script that makes the ensemble.
///
/// The ensemble's server plans and starts workflows in its own environment, which cannot name the folder of each: so the
/// catalogs are told where they lie.
fn ensemble_script(sweep: &Sweep) -> String {
    let (name, at_once, variable) = (&sweep.name, sweep.at_once, pegasus::DIR_VARIABLE);
    let mut script = format!(
        r#"#!/bin/sh
# Makes the ensemble {name} of this sweep's points and hands them to it. `pegasus-em server` must be running.
set -eu
command -v pegasus-em >/dev/null || {{
    echo "submit.sh: there is no pegasus-em: run this where Pegasus is installed and submits to an HTCondor pool" >&2
    exit 5
}}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
case $here in
*[!A-Za-z0-9._/-]*)
    echo "submit.sh: move this directory to a path of letters, digits, '.', '_' and '-': '$here'" >&2
    exit 2
    ;;
esac
cd "$here"
pegasus-em create {name} -R {at_once} -P {PLANNING}
# The server plans and starts workflows without the variable by which catalogs find their files: name the place in full.
hand_over() {{
    for catalog in replicas.yml transformations.yml sites.yml; do
        sed "s|\${{{variable}}}|$here/points/$1|g" "points/$1/$catalog" >"points/$1/$catalog.full"
        mv "points/$1/$catalog.full" "points/$1/$catalog"
    done
    pegasus-em submit "{name}.$1" "./points/$1/plan.sh"
}}
"#
    );
    for point in &sweep.points {
        script += &format!("hand_over {}\n", point.name);
    }
    script += &format!(": >{HANDED_OVER}\n");
    script
}

fn readme(sweep: &Sweep, how: &str, out: &mut impl Write) -> io::Result<()> {
    write!(
        out,
        "# {}\n\nA sweep of {} points.\nWritten by fedwing from the specification with the digest\n`{}`.\n\n{how}\n\n\
         `fedwing status`, `watch`, `cancel`, `resume` and `report` take this folder, and the folder of each point.\n\n",
        sweep.name,
        sweep.points.len(),
        sweep.digest,
    )?;
    let places: Vec<String> = sweep
        .axes
        .iter()
        .map(|axis| format!("`{}`", axis.place))
        .collect();
    writeln!(out, "| point | {} |", places.join(" | "))?;
    writeln!(out, "|---|{}", "---|".repeat(places.len()))?;
    for one in &sweep.points {
        let axes = sweep.axes.iter().zip(&one.values);
        let values: Vec<String> = axes
            .map(|(axis, value)| format!("`{}`", axis.values[*value].replace('|', "\\|").replace('`', "'")))
            .collect();
        writeln!(out, "| `{}/` | {} |", point(one), values.join(" | "))?;
    }
    Ok(())
}
