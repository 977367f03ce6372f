//! What a continued run keeps and what it does again.
//!
//! In: the graph, the record, the sources as they are now, and a way to compare files with their digests. Out:
//! [`Assessment`]. Pure but for that comparison. Start at [`assess`].
//!
//! A job is done again when it was not done, when it read something else than what is there now, or when an output of
//! it is missing or changed. What follows from a job that is done again is decided when it is done: with the same output
//! (the rule), what read it stays; see [`same_inputs`].

use super::{
    digest::{Digest, Fact, SourceFact},
    graph::{FileIndex, From, Graph, JobIndex},
};
use crate::record::{Attempt, History, JobHistory};

/// What a continued run keeps and what it does again.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Assessment {
    /// For each job, whether it must run.
    pub(super) to_do: Vec<bool>,
    /// Those of them that were done before.
    pub(super) again: Vec<JobIndex>,
    /// Files that are missing, or not what their writer left.
    pub(super) harmed: Vec<FileIndex>,
    /// What each file of a kept job contains.
    pub(super) facts: Vec<Option<Fact>>,
}

/// Decides what to keep; `intact` says for each file whether it has the content given.
pub(super) fn assess(
    graph: &Graph<'_>,
    history: &History,
    sources: &[Option<SourceFact>],
    mut intact: impl FnMut(&[(FileIndex, Fact)]) -> Vec<bool>,
) -> Assessment {
    let mut facts = recorded_facts(graph, history);
    let complete = |job: JobIndex| {
        let done = history_of(graph, history, job).and_then(JobHistory::done);
        let outputs = graph.node(job).outputs.iter();
        done.is_some_and(|done| {
            outputs.clone().all(|&file| facts[file as usize].is_some())
                && same_sources(graph, history, job, done, sources)
                && same_inputs(graph, history, job, done, |file| facts[file as usize])
        })
    };
    let mut to_do: Vec<bool> = (0..graph.jobs.len() as JobIndex)
        .map(|job| !complete(job))
        .collect();
    let kept: Vec<(FileIndex, Fact)> = (0..)
        .zip(&graph.files)
        .filter(|(_, entry)| matches!(entry.from, From::Job(writer) if !to_do[writer as usize]))
        .filter_map(|(file, _)| Some((file, facts[file as usize]?)))
        .collect();
    let compared = kept.iter().zip(intact(&kept));
    let harmed: Vec<FileIndex> = compared
        .filter(|(_, good)| !good)
        .map(|((file, _), _)| *file)
        .collect();
    for &file in &harmed {
        if let From::Job(writer) = graph.file(file).from {
            to_do[writer as usize] = true;
        }
    }
    for (file, entry) in graph.files.iter().enumerate() {
        if matches!(entry.from, From::Job(writer) if to_do[writer as usize]) {
            facts[file] = None;
        }
    }
    let was_done = |&job: &JobIndex| {
        to_do[job as usize]
            && history_of(graph, history, job).is_some_and(|job| job.attempts.iter().any(Attempt::is_done))
    };
    let again = (0..graph.jobs.len() as JobIndex).filter(was_done).collect();
    Assessment {
        to_do,
        again,
        harmed,
        facts,
    }
}

/// What the record says about a job.
pub(super) fn history_of<'h>(
    graph: &Graph<'_>,
    history: &'h History,
    job: JobIndex,
) -> Option<&'h JobHistory> {
    history.jobs.get(&*graph.job(job).id)
}

/// What each file contains according to the last time its writer was done.
fn recorded_facts(graph: &Graph<'_>, history: &History) -> Vec<Option<Fact>> {
    let mut facts = vec![None; graph.files.len()];
    for job in 0..graph.jobs.len() as JobIndex {
        let Some(done) = history_of(graph, history, job).and_then(JobHistory::done) else {
            continue;
        };
        for (place, &file) in graph.node(job).outputs.iter().enumerate() {
            facts[file as usize] = output_fact(graph, done, place, file);
        }
    }
    facts
}

/// What an attempt left as `file`, which it declares in this place.
fn output_fact(graph: &Graph<'_>, attempt: &Attempt, place: usize, file: FileIndex) -> Option<Fact> {
    let recorded = attempt.outputs.get(place)?;
    if recorded.name != graph.file(file).name.as_str() {
        return None;
    }
    Some(Fact {
        size: recorded.size,
        digest: Digest::parse(&recorded.sha256)?,
    })
}

/// Whether every input written by another job is `now` what it was when `done` read it.
///
/// An input whose writer is not done at present is not held against the job: when the writer is done again, this is
/// asked again.
pub(super) fn same_inputs(
    graph: &Graph<'_>,
    history: &History,
    job: JobIndex,
    done: &Attempt,
    now: impl Fn(FileIndex) -> Option<Fact>,
) -> bool {
    graph.node(job).inputs.iter().all(|&file| {
        let (From::Job(writer), Some(now)) = (graph.file(file).from, now(file)) else {
            return true;
        };
        let place = graph
            .node(writer)
            .outputs
            .iter()
            .position(|&output| output == file);
        let then = history_of(graph, history, writer)
            .and_then(|writer| writer.done_before(done.position))
            .and_then(|attempt| output_fact(graph, attempt, place?, file));
        then == Some(now)
    })
}

/// Whether every source is what it was when `done` read it; one that is gone is not held against the job.
fn same_sources(
    graph: &Graph<'_>,
    history: &History,
    job: JobIndex,
    done: &Attempt,
    sources: &[Option<SourceFact>],
) -> bool {
    graph.node(job).sources.iter().all(|&source| {
        let Some(now) = &sources[source as usize] else {
            return true;
        };
        let seen = history.sources.get(graph.sources[source as usize].path);
        let then = seen.and_then(|seen| seen.iter().rev().find(|(position, _)| *position < done.position));
        then.is_some_and(|(_, digest)| *digest == now.digest)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use contract::units::{Bytes, Seconds};

    use super::*;
    use crate::{
        check::Request,
        plan::{Dag, DagJob, Label, Lfn, Program},
        record::{Event, FileFact, Outcome, Stamp},
    };

    fn lfn(name: &str) -> Lfn {
        Lfn::new(name).unwrap()
    }

    fn job(id: &str, inputs: &[&str], outputs: &[&str]) -> DagJob {
        DagJob {
            id: id.into(),
            label: Label {
                kind: "k".into(),
                dataset: None,
                round: None,
                client: None,
            },
            program: Program::Path("/bin/true".to_owned()),
            argv: Vec::new(),
            env: BTreeMap::new(),
            inputs: inputs.iter().map(|name| lfn(name)).collect(),
            outputs: outputs.iter().map(|name| lfn(name)).collect(),
            stdout: None,
            stderr: None,
            stdin: None,
            request: Request {
                cpus: 1,
                memory: Bytes(0),
                gpus: 0,
                walltime: Seconds(1),
            },
            retries: 0,
            after: Vec::new(),
            in_place: Vec::new(),
            checkpoints: Vec::new(),
        }
    }

    /// `a` writes `x`, `b` makes `y` of it, `c` makes `z` of that.
    fn chain() -> Dag {
        Dag {
            name: "e".to_owned(),
            jobs: vec![
                job("a", &[], &["x"]),
                job("b", &["x"], &["y"]),
                job("c", &["y"], &["z"]),
            ],
            external: BTreeMap::new(),
        }
    }

    /// A record in which these jobs were done in this order, each leaving a file with this content.
    fn history(done: &[(&str, &str, &str)]) -> History {
        let first = Event::RunStarted {
            fedwing_record: Event::VERSION,
            at: Stamp(0),
            fedwing: "0".into(),
            name: "e".into(),
            source: "/s".into(),
            digest: "d".into(),
            synthetic: false,
            jobs: 3,
            slots: 1,
            host: "h".into(),
        };
        let ends = done
            .iter()
            .enumerate()
            .map(|(place, (job, name, text))| Event::JobEnded {
                at: Stamp(0),
                job: (*job).to_owned(),
                attempt: place as u32 + 1,
                outcome: Outcome::Done,
                wall_s: 0.0,
                cpu_s: 0.0,
                peak_memory: Bytes(0),
                outputs: vec![FileFact {
                    name: (*name).to_owned(),
                    size: Bytes(text.len() as u64),
                    sha256: Digest::of(text.as_bytes()).to_string(),
                }],
                failure: None,
            });
        History::from_events(std::iter::once(first).chain(ends)).unwrap()
    }

    /// Which jobs must run, with these files harmed, and which files were compared.
    fn assessed(history: &History, harmed: &[&str]) -> (Vec<bool>, Vec<String>) {
        let dag = chain();
        let graph = Graph::new(&dag).unwrap();
        let mut compared = Vec::new();
        let assessment = assess(&graph, history, &[], |files| {
            let names = files.iter().map(|(file, _)| graph.file(*file).name.to_string());
            let names: Vec<String> = names.collect();
            compared.extend(names.clone());
            names
                .iter()
                .map(|name| !harmed.contains(&name.as_str()))
                .collect()
        });
        (assessment.to_do, compared)
    }

    const ALL_DONE: [(&str, &str, &str); 3] = [("a", "x", "1"), ("b", "y", "2"), ("c", "z", "3")];

    #[test]
    fn nothing_is_done_again_when_every_file_is_as_recorded() {
        assert_eq!(assessed(&history(&ALL_DONE), &[]).0, [false; 3]);
    }

    #[test]
    fn a_harmed_file_is_made_again_even_when_its_readers_are_done() {
        assert_eq!(assessed(&history(&ALL_DONE), &["y"]).0, [false, true, false]);
    }

    #[test]
    fn files_of_jobs_that_run_anyway_are_not_compared() {
        let (to_do, compared) = assessed(&history(&ALL_DONE[..2]), &[]);
        assert_eq!(to_do, [false, false, true]);
        assert_eq!(compared, ["x", "y"]);
    }

    #[test]
    fn a_job_that_read_something_else_than_is_there_now_is_done_again() {
        let redone = [ALL_DONE[0], ALL_DONE[1], ALL_DONE[2], ("a", "x", "other")];
        assert_eq!(assessed(&history(&redone), &[]).0, [false, true, false]);
    }

    #[test]
    fn a_job_redone_with_the_same_result_leaves_its_readers_alone() {
        let redone = [ALL_DONE[0], ALL_DONE[1], ALL_DONE[2], ALL_DONE[0]];
        assert_eq!(assessed(&history(&redone), &[]).0, [false; 3]);
    }
}
