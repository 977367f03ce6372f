//! Reads what DAGMan writes about its own work, `NAME.dag.dagman.out`.
//!
//! In: bytes of a file that DAGMan may still be writing. Out: the [`Line`]s that tell about nodes and about DAGMan itself.
//! Start at [`Reader::push`]. Pure.
//!
//! DAGMan empties its node log when it is started again, but appends to this file: what happened before is known from
//! here. It is also the only place that tells of pre scripts that failed and of jobs that could not be submitted.

use super::{
    event_log::{Ending, QueueId, queue_id},
    time::LocalTime,
};

/// The longest line looked at; longer ones are statistics.
const LONGEST_LINE: usize = 64 << 10;

/// What a line tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// When it was written.
    pub at: LocalTime,
    /// What it says.
    pub says: Says,
}

/// What DAGMan says.
#[derive(Debug, Clone, PartialEq)]
pub enum Says {
    /// DAGMan started, as this job.
    Started {
        /// Its id in the queue.
        job: QueueId,
    },
    /// DAGMan ended with this status.
    Ended {
        /// 0 when every node is done.
        status: i32,
    },
    /// DAGMan was told to stop: it was removed from the queue.
    Removed,
    /// An event of a node's job, when it happened.
    Event {
        /// The node.
        node: String,
        /// Its job.
        job: QueueId,
        /// The event, by HTCondor's name without `ULOG_`.
        event: String,
        /// When it happened.
        happened: LocalTime,
    },
    /// A node's job ended.
    JobEnded {
        /// The node.
        node: String,
        /// The job.
        job: QueueId,
        /// How.
        ending: Ending,
    },
    /// A node's pre script runs.
    PreRuns {
        /// The node.
        node: String,
    },
    /// A node's pre script ended, with 0 when it succeeded.
    PreEnded {
        /// The node.
        node: String,
        /// Its status.
        status: i32,
    },
    /// A node's post script ended, with 0 when it succeeded.
    PostEnded {
        /// The node.
        node: String,
        /// Its status.
        status: i32,
    },
    /// A node is tried again.
    Retries {
        /// The node.
        node: String,
    },
    /// A node's job could not be submitted.
    NotSubmitted {
        /// The node.
        node: String,
    },
    /// A node failed for good.
    Failed {
        /// The node.
        node: String,
        /// Why, in DAGMan's words.
        error: String,
    },
    /// How many nodes are in which state.
    Counts(Counts),
}

/// How many nodes are in which state, as DAGMan counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Done.
    pub done: u64,
    /// With a pre script running.
    pub pre: u64,
    /// In the queue, running or held.
    pub queued: u64,
    /// With a post script running.
    pub post: u64,
    /// Could be submitted.
    pub ready: u64,
    /// Wait for others.
    pub unready: u64,
    /// Failed.
    pub failed: u64,
    /// Wait for one that failed; DAGMan before 10.0 counts them as unready.
    pub futile: u64,
}

/// Reads a file piece by piece.
#[derive(Debug, Clone, Default)]
pub struct Reader {
    /// The node described at the end of the file, when DAGMan lists those that failed.
    described: Option<String>,
}

impl Reader {
    /// Reads every whole line of `bytes`; returns what they say and how many bytes they take.
    pub fn push(&mut self, bytes: &[u8]) -> (Vec<Line>, usize) {
        let mut lines = Vec::new();
        let mut position = 0;
        while let Some(length) = bytes[position..].iter().position(|byte| *byte == b'\n') {
            let line = &bytes[position..position + length];
            position += length + 1;
            if line.len() <= LONGEST_LINE && !is_statistics(line) {
                lines.extend(self.line(&String::from_utf8_lossy(line)));
            }
        }
        if bytes.len() - position > LONGEST_LINE {
            position = bytes.len();
        }
        (lines, position)
    }

    fn line(&mut self, line: &str) -> Option<Line> {
        let mut words = line.splitn(3, ' ');
        let at = LocalTime::american(words.next()?, words.next()?)?;
        let says = self.says(words.next()?.trim())?;
        Some(Line { at, says })
    }

    fn says(&mut self, text: &str) -> Option<Says> {
        if let Some(name) = text.strip_prefix("Node Name: ") {
            self.described = Some(name.to_owned());
            return None;
        }
        if let Some(error) = text.strip_prefix("Error: ") {
            let node = self.described.take()?;
            return Some(Says::Failed {
                node,
                error: error.to_owned(),
            });
        }
        if text.starts_with("---------------------------------------\t<END>") {
            // A node that is described without an error.
            self.described = None;
            return None;
        }
        about_dagman(text)
            .or_else(|| about_node(text))
            .or_else(|| counts(text).map(Says::Counts))
    }
}

/// Most of a file are statistics that nobody asks about.
fn is_statistics(line: &[u8]) -> bool {
    line.get(18..)
        .is_some_and(|text| text.starts_with(b"DAGMan Runtime Statistics"))
}

fn about_dagman(text: &str) -> Option<Says> {
    if text == "Received SIGUSR1" {
        return Some(Says::Removed);
    }
    // `** condor_scheduniv_exec.12.0 (CONDOR_DAGMAN) STARTING UP`, and four stars at the end.
    let rest = text
        .trim_start_matches('*')
        .strip_prefix(" condor_scheduniv_exec.")?;
    if let Some((_, status)) = rest.split_once("EXITING WITH STATUS ") {
        return Some(Says::Ended {
            status: status.trim().parse().ok()?,
        });
    }
    let (id, rest) = rest.split_once(' ')?;
    rest.ends_with("STARTING UP")
        .then(|| queue_id(id))
        .flatten()
        .map(|job| Says::Started { job })
}

fn about_node(text: &str) -> Option<Says> {
    if let Some(rest) = text.strip_prefix("Event: ULOG_") {
        return node_event(rest);
    }
    if let Some(rest) = text.strip_prefix("Node ") {
        return job_ended(rest);
    }
    if let Some(rest) = text.strip_prefix("PRE Script of ") {
        let (node, status) = script_ended(rest)?;
        return Some(Says::PreEnded { node, status });
    }
    if let Some(rest) = text.strip_prefix("POST Script of ") {
        let (node, status) = script_ended(rest)?;
        return Some(Says::PostEnded { node, status });
    }
    let name = |rest: &str| {
        rest.split(' ')
            .next()
            .map(|name| name.trim_end_matches("...").to_owned())
    };
    if let Some(rest) = text.strip_prefix("Running PRE script of Node ") {
        return name(rest).map(|node| Says::PreRuns { node });
    }
    if let Some(rest) = text.strip_prefix("Retrying node ") {
        return name(rest).map(|node| Says::Retries { node });
    }
    let rest = text.strip_prefix("Shortcutting node ")?;
    rest.contains("submit failure")
        .then(|| name(rest))
        .flatten()
        .map(|node| Says::NotSubmitted { node })
}

/// `SUBMIT for HTCondor Node A (12.0.0) {11/22/26 12:01:22}`.
fn node_event(rest: &str) -> Option<Says> {
    let (event, rest) = rest.split_once(" for HTCondor Node ")?;
    let (node, rest) = rest.split_once(" (")?;
    let (id, rest) = rest.split_once(") {")?;
    let (date, time) = rest.trim_end_matches('}').split_once(' ')?;
    Some(Says::Event {
        node: node.to_owned(),
        job: queue_id(id)?,
        event: event.to_owned(),
        happened: LocalTime::american(date, time)?,
    })
}

/// `A job proc (12.0.0) completed successfully.` or `failed with status 9.` or `failed with signal 9.`
fn job_ended(rest: &str) -> Option<Says> {
    let (node, rest) = rest.split_once(" job proc (")?;
    let (id, rest) = rest.split_once(") ")?;
    let rest = rest.trim_end_matches('.');
    let ending = if rest == "completed successfully" {
        Ending::Exit(0)
    } else if let Some(status) = rest.strip_prefix("failed with status ") {
        Ending::Exit(status.parse().ok()?)
    } else {
        Ending::Signal(rest.strip_prefix("failed with signal ")?.parse().ok()?)
    };
    Some(Says::JobEnded {
        node: node.to_owned(),
        job: queue_id(id)?,
        ending,
    })
}

/// `node A failed with status 1`, `Job A failed with status 1`, `node A completed successfully.`
fn script_ended(rest: &str) -> Option<(String, i32)> {
    let (_, rest) = rest.split_once(' ')?;
    let (node, rest) = rest.split_once(' ')?;
    let rest = rest.trim_end_matches('.');
    let status = if rest == "completed successfully" {
        0
    } else {
        // Ended by a signal counts as a failure of its own.
        rest.strip_prefix("failed with status ")
            .map_or(Some(-1), |status| status.parse().ok())?
    };
    Some((node.to_owned(), status))
}

/// `2       0        1       0       0          2        0        0`; older DAGMan has no last column.
fn counts(text: &str) -> Option<Counts> {
    let mut columns = [0; 8];
    let mut found = 0;
    for word in text.split_ascii_whitespace() {
        *columns.get_mut(found)? = word.parse().ok()?;
        found += 1;
    }
    let [done, pre, queued, post, ready, unready, failed, futile] = columns;
    (found >= 7).then_some(Counts {
        done,
        pre,
        queued,
        post,
        ready,
        unready,
        failed,
        futile,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OUT: &str = "\
01/05/26 09:00:00 ** condor_scheduniv_exec.7.0 (CONDOR_DAGMAN) STARTING UP
01/05/26 09:00:00 ** PID = 812
01/05/26 09:00:01 Running PRE script of Node plan...
01/05/26 09:00:02 PRE Script of Job plan failed with status 3
01/05/26 09:00:02 Event: ULOG_SUBMIT for HTCondor Node a (8.0.0) {01/05/26 09:00:01}
01/05/26 09:00:03 Node a job proc (8.0.0) failed with signal 9.
01/05/26 09:00:03 Retrying node a (retry #1 of 2)...
01/05/26 09:00:04 Node a job proc (9.0.0) completed successfully.
01/05/26 09:00:04 POST Script of node a failed with status 1
01/05/26 09:00:05 Shortcutting node b retries because of submit failure(s)
01/05/26 09:00:05  Done     Pre   Queued    Post   Ready   Un-Ready   Failed   Futile
01/05/26 09:00:05   ===     ===      ===     ===     ===        ===      ===      ===
01/05/26 09:00:05     2       0        1       0       0          2        3        4
01/05/26 09:00:05 DAGMan Runtime Statistics: [EventCycleTimeAvg = 0.003; ]
01/05/26 09:00:06 Received SIGUSR1
01/05/26 09:00:06       Node Name: b
01/05/26 09:00:06           Error: Job submit failed
01/05/26 09:00:07 **** condor_scheduniv_exec.7.0 (condor_DAGMAN) pid 812 EXITING WITH STATUS 1
";

    #[test]
    fn what_dagman_says_is_read_in_order() {
        let (lines, consumed) = Reader::default().push(OUT.as_bytes());
        assert_eq!(consumed, OUT.len());
        insta::assert_debug_snapshot!(lines.iter().map(|line| &line.says).collect::<Vec<_>>());
    }

    #[test]
    fn a_file_read_in_two_pieces_says_the_same() {
        let (whole, _) = Reader::default().push(OUT.as_bytes());
        for cut in 0..OUT.len() {
            let mut reader = Reader::default();
            let (mut lines, consumed) = reader.push(&OUT.as_bytes()[..cut]);
            lines.extend(reader.push(&OUT.as_bytes()[consumed..]).0);
            assert_eq!(lines, whole, "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let (_, consumed) = Reader::default().push(&bytes);
            prop_assert!(consumed <= bytes.len());
        }
    }
}
