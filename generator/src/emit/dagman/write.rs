//! Fills a directory with everything DAGMan needs to run an experiment.

use std::io::Write;

use super::{
    CONFIG, Places,
    clean::{self, Cleaning},
    dag::Nodes,
    documents,
    groups::Groups,
    round_dag, submit,
};
use crate::{
    emit::{
        Sink, SinkError,
        directory::Directory,
        units::{Unit, Units},
    },
    plan::Plan,
};

/// Fills `sink` with the DAG, nested ones, lists of what is deleted, submit files, DAGMan's settings, static files, `submit.sh`
/// and `README.md`.
///
/// The caller makes the folders [`super::FILES`] and [`super::LOGS`], copies the job binaries into [`super::PROGRAMS`] and puts the
/// weights at [`super::weights_path`]. Nothing depends on where the directory will stand. The bytes depend on the
/// plan alone. Memory stays at a few numbers a job.
///
/// # Errors
/// At the first file that fails.
pub fn write<S: Sink>(plan: &Plan, sink: &mut S) -> Result<(), SinkError> {
    let units = Units::of(plan);
    let groups = Groups::of(plan);
    let cleaning = Cleaning::of(plan, &units);
    let nodes = Nodes::of(plan, &groups, &cleaning);
    let mut directory = Directory(sink);
    directory.file(&format!("{}.dag", plan.experiment), |out| {
        nodes.write_main(&units, out)
    })?;
    for unit in &units.units {
        if let Unit::Round(round) = unit {
            directory.file(&round_dag(round), |out| nodes.write_round(round, out))?;
        }
    }
    let places = Places::of(plan);
    for (path, list) in cleaning.lists(|file| places.path(file)) {
        directory.file(&path, |out| out.write_all(list.as_bytes()))?;
    }
    directory.script(clean::SCRIPT, clean::SCRIPT_TEXT)?;
    for (path, group) in groups.files() {
        directory.file(path, |out| submit::write(plan, group, out))?;
    }
    directory.file(CONFIG, |out| out.write_all(documents::SETTINGS.as_bytes()))?;
    for file in &plan.statics {
        let path = places.path(file.name.as_str());
        directory.file(&path, |out| out.write_all(file.content.as_bytes()))?;
    }
    directory.script("submit.sh", &documents::submit_script(plan.experiment.as_str()))?;
    directory.file("README.md", |out| documents::readme(plan, &units, out))
}
