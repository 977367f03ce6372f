//! HTCondor's DAGMan: one directory with DAG, submit files and everything a run reads.
//!
//! Every path in it is relative to the directory, where DAGMan and the nested DAGs' DAGMans all work, so it can be moved
//! as a whole. Files travel as declared, by HTCondor itself; nothing else need be shared. What differs from job to job
//! stands in the DAG, what a kind of job has in common in its submit file. Start at [`write()`].

mod clean;
mod dag;
mod documents;
mod groups;
mod submit;
mod write;

use std::collections::HashSet;

use contract::argv::Role;

use super::units::RoundUnit;
use crate::plan::{Place, Plan};

pub use clean::{DELETED, LISTS};
pub(super) use dag::head;
pub(super) use documents::{SETTINGS, submit_script};
pub use write::write;

/// Where every file between jobs and every result lies.
pub const FILES: &str = "files";

/// Where files lie that are there before the first job, but for those that jobs on the submit host read.
pub const INPUTS: &str = "inputs";

/// Where the job programs lie.
pub const PROGRAMS: &str = "bin";

/// Where jobs' stdout and stderr arrive.
pub const LOGS: &str = "logs";

/// Where DAGMan's settings stand.
pub(super) const CONFIG: &str = "dagman.config";

/// Where a plan's weights file is expected: a link or a copy that the caller makes, as HTCondor gives a file the name it
/// has where it lies.
pub fn weights_path(plan: &Plan) -> Option<String> {
    let weights = plan.weights.as_ref()?;
    Some(Places::of(plan).path(weights.name.as_str()))
}

/// Where each file lies on the submit host.
struct Places<'a> {
    /// Given files that only jobs elsewhere read.
    inputs: HashSet<&'a str>,
}

impl<'a> Places<'a> {
    fn of(plan: &'a Plan) -> Self {
        let statics = plan.statics.iter().map(|file| file.name.as_str());
        let weights = plan.weights.iter().map(|file| file.name.as_str());
        let mut inputs: HashSet<&str> = statics.chain(weights).collect();
        // Jobs on the submit host find files by name in the one directory that they run in.
        let here = plan.jobs.iter().filter(|job| job.place == Place::SubmitHost);
        for planned in here {
            planned.job.roles(&mut |role| match role {
                Role::Input(file) => {
                    inputs.remove(file);
                }
                Role::Setting
                | Role::Output(_)
                | Role::Checkpoint(_)
                | Role::ReadInPlace(_)
                | Role::WrittenInPlace(_) => {}
            });
        }
        Self { inputs }
    }

    /// The path of the file of that logical name.
    fn path(&self, file: &str) -> String {
        let folder = if self.inputs.contains(file) { INPUTS } else { FILES };
        format!("{folder}/{file}")
    }
}

/// The path of a nested DAG; what DAGMan writes about it lies beside it.
fn round_dag(round: &RoundUnit) -> String {
    format!("rounds/{}.dag", round.id())
}
