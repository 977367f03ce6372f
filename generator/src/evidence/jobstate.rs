//! Reads `jobstate.log`: one line an event, with the time since 1970.
//!
//! In: bytes of a file that may still be written. Out: its [`Entry`]s. Start at [`parse`]. Pure.
//!
//! DAGMan writes it where the DAG has `JOBSTATE_LOG`; in a Pegasus submit directory, Pegasus does.

use super::event_log::{QueueId, queue_id};
use crate::record::Stamp;

/// The longest line looked at.
const LONGEST_LINE: usize = 64 << 10;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When, to the second.
    pub at: Stamp,
    /// What.
    pub what: Fact,
}

/// What a line tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// DAGMan started.
    Started(Option<QueueId>),
    /// DAGMan ended with this status.
    Ended(i32),
    /// Something happened to a node.
    Node {
        /// The node.
        node: String,
        /// What, such as `PRE_SCRIPT_FAILURE`.
        event: String,
        /// The job's id, for events of a job in the queue.
        job: Option<QueueId>,
        /// The status, for events that state one.
        status: Option<i32>,
    },
}

/// Reads every whole line of `bytes`; returns what they tell and how many bytes they take.
pub fn parse(bytes: &[u8]) -> (Vec<Entry>, usize) {
    let mut entries = Vec::new();
    let mut position = 0;
    while let Some(length) = bytes[position..].iter().position(|byte| *byte == b'\n') {
        let line = &bytes[position..position + length];
        position += length + 1;
        if line.len() <= LONGEST_LINE {
            entries.extend(entry(&String::from_utf8_lossy(line)));
        }
    }
    if bytes.len() - position > LONGEST_LINE {
        position = bytes.len();
    }
    (entries, position)
}

fn entry(line: &str) -> Option<Entry> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let seconds: u64 = words.first()?.parse().ok()?;
    let at = Stamp(seconds.checked_mul(1000)?);
    let what = match *words.get(1)? {
        "INTERNAL" => match *words.get(3)? {
            "DAGMAN_STARTED" => Fact::Started(queue_id(words.get(4)?)),
            "DAGMAN_FINISHED" => Fact::Ended(words.get(4)?.parse().ok()?),
            _ => return None,
        },
        node => {
            let value = *words.get(3)?;
            Fact::Node {
                node: node.to_owned(),
                event: (*words.get(2)?).to_owned(),
                job: value.contains('.').then(|| queue_id(value)).flatten(),
                status: value.parse().ok(),
            }
        }
    };
    Some(Entry { at, what })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nodes_and_dagman_are_told_apart() {
        let log = "1795350323 INTERNAL *** DAGMAN_STARTED 23.0 ***\n\
                   1795350323 INTERNAL *** MONITORD_STARTED ***\n\
                   1795350324 a SUBMIT 26.0 pool - 1\n\
                   1795350325 a PRE_SCRIPT_FAILURE 3 pool - 1\n\
                   1795350330 INTERNAL *** DAGMAN_FINISHED 1 ***\nhalf a li";
        let (entries, consumed) = parse(log.as_bytes());
        assert_eq!(consumed, log.len() - "half a li".len());
        insta::assert_debug_snapshot!(entries);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(parse(&bytes).1 <= bytes.len());
        }
    }
}
