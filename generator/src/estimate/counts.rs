//! How many jobs, files and sub-workflows there are.

use std::collections::{BTreeMap, BTreeSet};

use contract::argv::Role;

use super::{FileKind, Sizes};
use crate::{
    check::Layout,
    plan::{Place, Plan},
};

/// Numbers of jobs and files of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Jobs by kind.
    pub jobs: BTreeMap<&'static str, u64>,
    /// Of those, jobs that run on the submit host.
    pub on_submit_host: BTreeMap<&'static str, u64>,
    /// Files by kind, given ones among them; those of clients are of one kind.
    pub files: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// Counts the jobs and files of `plan`.
    pub fn of(plan: &Plan, sizes: &Sizes) -> Self {
        let mut counts = Self::default();
        let mut given: BTreeSet<&str> = BTreeSet::new();
        let count = |files: &mut BTreeMap<_, _>, file: &str| {
            let kind = sizes.kind(file).map_or("other", FileKind::as_str);
            *files.entry(kind).or_default() += 1;
        };
        for planned in &plan.jobs {
            let kind = planned.job.name();
            *counts.jobs.entry(kind).or_default() += 1;
            if planned.place == Place::SubmitHost {
                *counts.on_submit_host.entry(kind).or_default() += 1;
            }
            planned.job.roles(&mut |role| match role {
                // One writer each: no file is counted twice.
                Role::Output(file) | Role::WrittenInPlace(file) => count(&mut counts.files, file),
                Role::Setting | Role::Input(_) | Role::ReadInPlace(_) | Role::Checkpoint(_) => {}
            });
        }
        given.extend(plan.statics.iter().map(|file| file.name.as_str()));
        given.extend(plan.weights.iter().map(|file| file.name.as_str()));
        for file in given {
            count(&mut counts.files, file);
        }
        counts
    }

    /// All jobs.
    pub fn all_jobs(&self) -> u64 {
        self.jobs.values().sum()
    }

    /// All files.
    pub fn all_files(&self) -> u64 {
        self.files.values().sum()
    }
}

/// How a layout divides a plan, and how often Pegasus plans it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plannings {
    /// Sub-workflows: one for each dataset and round, or rounds.
    pub sub_workflows: u64,
    /// Entries of the main workflow: sub-workflows, and jobs that are in none.
    pub entries: u64,
    /// How often Pegasus plans: the main workflow, and every sub-workflow.
    pub plannings: u64,
}

/// What `layout` makes of `plan`.
pub fn plannings(plan: &Plan, layout: Layout) -> Plannings {
    let mut groups = BTreeSet::new();
    let mut alone = 0;
    for planned in &plan.jobs {
        let round = planned.stage.round.filter(|round| round.0 > 0);
        match round.and_then(|round| layout.together(round, plan.rounds)) {
            Some((first, _)) => drop(groups.insert((planned.stage.dataset.as_str(), first))),
            None => alone += 1,
        }
    }
    let sub_workflows = groups.len() as u64;
    Plannings {
        sub_workflows,
        entries: alone + sub_workflows,
        plannings: 1 + sub_workflows,
    }
}
