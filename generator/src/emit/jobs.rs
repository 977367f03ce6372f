//! The list of a workflow's jobs: what each is about and what it leaves, for whoever watches a run or reads what it left.

use std::io::{self, Write};

use contract::argv::Role;
use serde::Serialize;

use super::{Sink, SinkError, directory::Directory};
use crate::plan::{Plan, PlannedJob};

/// The list's file name.
pub const JOBS_FILE: &str = "jobs.jsonl";

/// One line of [`JOBS_FILE`].
#[derive(Debug, Serialize)]
struct Line<'a> {
    /// The job's name in the plan, in workflows and in records.
    job: &'a str,
    /// Its subcommand.
    kind: &'static str,
    dataset: &'a str,
    round: Option<u32>,
    client: Option<u32>,
    /// Logical names of the files it writes, in the order of its arguments.
    outputs: Vec<&'a str>,
}

/// Writes [`JOBS_FILE`] into `sink`: a JSON object a line for each job, in the plan's order.
///
/// # Errors
/// When the sink fails.
pub fn write_jobs<S: Sink>(plan: &Plan, sink: &mut S) -> Result<(), SinkError> {
    Directory(sink).file(JOBS_FILE, |out| {
        plan.jobs.iter().try_for_each(|planned| line(planned, out))
    })
}

fn line(planned: &PlannedJob, out: &mut impl Write) -> io::Result<()> {
    let PlannedJob {
        id,
        job,
        stage,
        request: _,
        place: _,
        in_place: _,
        program: _,
    } = planned;
    let mut outputs = Vec::new();
    job.roles(&mut |role| match role {
        Role::Setting | Role::Input(_) | Role::Checkpoint(_) => {}
        // What is kept in place arrives nowhere.
        Role::ReadInPlace(_) | Role::WrittenInPlace(_) => {}
        Role::Output(file) => outputs.push(file),
    });
    let line = Line {
        job: &id.0,
        kind: job.name(),
        dataset: stage.dataset.as_str(),
        round: stage.round.map(|round| round.0),
        client: stage.client.map(|client| client.0),
        outputs,
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}
