//! Nodes that delete what rounds hand on, once no job reads it any more.
//!
//! Such a node is a child of all readers of its files, of nested DAGs as wholes, and runs a script alone. So the main
//! DAG's DAGMan knows that they are done before a file is gone: they stand in every rescue file written later, and are not
//! done again. Nothing waits for a deletion.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    io::{self, Write},
};

use contract::{
    argv::Role,
    ids::{DatasetName, Round},
};

use super::dag::after;
use crate::{
    emit::{
        kept::is_kept,
        units::{Unit, Units},
    },
    plan::Plan,
};

/// The script that deletes.
pub const SCRIPT: &str = "clean.sh";

/// Where the lists of files stand that it deletes.
pub const LISTS: &str = "clean";

/// What the file that says what was deleted ends in, after the name of its list.
pub const DELETED: &str = "deleted";

/// What [`SCRIPT`] is. Reports tell of files that are gone, so it first writes down their sizes and digests.
pub const SCRIPT_TEXT: &str = r#"#!/bin/sh
# Deletes the files that the list $1 names, one on each line; their sizes and SHA-256 are kept in $1.deleted.
# To keep every file, put `exit 0` here.
set -eu
there() { while read -r file; do if [ -e "$file" ]; then echo "$file"; fi; done <"$1"; }
echo >>"$1.deleted"
there "$1" | xargs -r stat -c 'size %s %n' -- >>"$1.deleted"
there "$1" | xargs -r sha256sum -- >>"$1.deleted"
xargs -r rm -f -- <"$1"
"#;

/// Nodes that delete.
pub struct Cleaning<'a>(BTreeMap<Key<'a>, Node<'a>>);

/// Files that are read for the last time in a round of a dataset, or in one of several that a nested DAG holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    dataset: &'a DatasetName,
    /// The last of these rounds.
    round: Round,
}

#[derive(Default)]
struct Node<'a> {
    /// The units it waits for, ascending.
    after: Vec<u32>,
    files: Vec<&'a str>,
}

impl<'a> Cleaning<'a> {
    /// What is to be deleted of `plan`, which `units` divides into DAGs.
    pub fn of(plan: &'a Plan, units: &Units) -> Self {
        let keys = keys(plan);
        let unit_of = unit_of(plan, units);
        let mut nodes: BTreeMap<Key<'a>, Node<'a>> = BTreeMap::new();
        for (planned, &unit) in plan.jobs.iter().zip(&unit_of) {
            planned.job.roles(&mut |role| match role {
                Role::Input(file) => {
                    if let Some(key) = keys.get(file) {
                        nodes.entry(*key).or_default().after.push(unit);
                    }
                }
                Role::Output(file) => {
                    if let Some(key) = keys.get(file) {
                        nodes.entry(*key).or_default().files.push(file);
                    }
                }
                Role::Setting | Role::Checkpoint(_) | Role::ReadInPlace(_) | Role::WrittenInPlace(_) => {}
            });
        }
        for node in nodes.values_mut() {
            node.after.sort_unstable();
            node.after.dedup();
        }
        Self(nodes)
    }

    /// Writes the nodes into the main DAG, whose nodes for units have the names `ids`.
    pub fn write(&self, ids: &[impl AsRef<str>], out: &mut impl Write) -> io::Result<()> {
        for (key, node) in &self.0 {
            writeln!(
                out,
                "JOB {key} {SCRIPT} NOOP\nSCRIPT PRE {key} ./{SCRIPT} {LISTS}/{key}"
            )?;
            let readers = node.after.iter().map(|&unit| ids[unit as usize].as_ref());
            after(out, &key.to_string(), readers)?;
        }
        Ok(())
    }

    /// The lists for [`SCRIPT`]: the path of each, and its text. `path` gives the files'.
    pub fn lists(&self, path: impl Fn(&str) -> String) -> impl Iterator<Item = (String, String)> {
        self.0.iter().map(move |(key, node)| {
            let lines = node.files.iter().map(|file| path(file) + "\n");
            (format!("{LISTS}/{key}"), lines.collect())
        })
    }
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "clean-{}-r{:04}", self.dataset, self.round.0)
    }
}

/// For each file that a job of a round writes, that others read and that is not kept, where it is deleted.
fn keys(plan: &Plan) -> HashMap<&str, Key<'_>> {
    struct Passing<'a> {
        dataset: &'a DatasetName,
        /// The last round that has to do with it.
        last: Round,
        is_read: bool,
    }
    let mut found: HashMap<&str, Passing<'_>> = HashMap::new();
    for planned in &plan.jobs {
        let round = planned.stage.round.unwrap_or(Round(0));
        // Jobs stand after those that they read from.
        planned.job.roles(&mut |role| match role {
            Role::Output(file) if round.0 > 0 && !is_kept(&planned.job, file) => {
                let dataset = &planned.stage.dataset;
                found.insert(
                    file,
                    Passing {
                        dataset,
                        last: round,
                        is_read: false,
                    },
                );
            }
            Role::Input(file) => {
                if let Some(passing) = found.get_mut(file) {
                    (passing.last, passing.is_read) = (passing.last.max(round), true);
                }
            }
            _ => {}
        });
    }
    let read = found.into_iter().filter(|(_, passing)| passing.is_read);
    read.map(|(file, Passing { dataset, last, .. })| {
        let together = plan.layout.together(last, plan.rounds);
        let round = together.map_or(last, |(_, last)| last);
        (file, Key { dataset, round })
    })
    .collect()
}

/// For each job, the unit it is of.
fn unit_of(plan: &Plan, units: &Units) -> Vec<u32> {
    let mut unit_of = vec![0; plan.jobs.len()];
    for (unit, found) in units.units.iter().enumerate() {
        match found {
            Unit::Job(job) => unit_of[*job] = unit as u32,
            Unit::Round(round) => round.jobs.iter().for_each(|job| unit_of[*job] = unit as u32),
        }
    }
    unit_of
}
