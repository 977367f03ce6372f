//! Reads the file DAGMan rewrites while it runs where the DAG has `NODE_STATUS_FILE`.
//!
//! In: the file's text: ClassAds in brackets, one for the DAG, one a node, one for the end. Out: a [`NodeStatus`]. Start at
//! [`parse`]. Pure.

use std::collections::BTreeMap;

use crate::record::Stamp;

/// The largest such file read.
pub const MAX_BYTES: u64 = 64 << 20;

/// What DAGMan wrote last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeStatus {
    /// When it wrote it.
    pub written: Option<Stamp>,
    /// When it will write next; none after its last time.
    pub next: Option<Stamp>,
    /// The state of the whole: 3 running, 5 done, 6 failed.
    pub dag_status: Option<i32>,
    /// The state of each node by name: 1 waits, 2 pre script, 3 queued or running, 4 post script, 5 done, 6 failed.
    pub nodes: BTreeMap<String, i32>,
    /// Jobs on hold.
    pub held: u64,
}

/// Reads the file's text.
pub fn parse(text: &str) -> NodeStatus {
    let mut status = NodeStatus::default();
    let mut ad = Ad::default();
    for line in text.lines() {
        let line = strip_comment(line).trim();
        match line {
            "[" => ad = Ad::default(),
            "]" => status.take(std::mem::take(&mut ad)),
            _ => ad.line(line),
        }
    }
    status
}

#[derive(Default)]
struct Ad(BTreeMap<String, String>);

impl Ad {
    fn line(&mut self, line: &str) {
        if let Some((key, value)) = line.trim_end_matches(';').split_once(" = ") {
            self.0
                .insert(key.trim().to_owned(), value.trim().trim_matches('"').to_owned());
        }
    }

    fn number(&self, key: &str) -> Option<i64> {
        self.0.get(key)?.parse().ok()
    }

    fn stamp(&self, key: &str) -> Option<Stamp> {
        let seconds = u64::try_from(self.number(key)?).ok()?;
        (seconds > 0)
            .then(|| seconds.checked_mul(1000))
            .flatten()
            .map(Stamp)
    }
}

impl NodeStatus {
    fn take(&mut self, ad: Ad) {
        let small = |key| ad.number(key).and_then(|value| i32::try_from(value).ok());
        match ad.0.get("Type").map(String::as_str) {
            Some("DagStatus") => {
                self.written = ad.stamp("Timestamp");
                self.dag_status = small("DagStatus");
                self.held = ad
                    .number("JobProcsHeld")
                    .and_then(|held| u64::try_from(held).ok())
                    .unwrap_or(0);
            }
            Some("NodeStatus") => {
                if let (Some(node), Some(state)) = (ad.0.get("Node"), small("NodeStatus")) {
                    self.nodes.insert(node.clone(), state);
                }
            }
            Some("StatusEnd") => self.next = ad.stamp("NextUpdate"),
            _ => {}
        }
    }
}

/// A comment begins with `/*`; DAGMan writes none with more on its line.
fn strip_comment(line: &str) -> &str {
    line.split_once("/*").map_or(line, |(before, _)| before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn states_of_nodes_and_of_the_whole_are_read() {
        let text = "[\n  Type = \"DagStatus\";\n  DagFiles = {\n    \"e.dag\"\n  };\n  Timestamp = 1795350324; /* \"Sun\" */\n  \
                    DagStatus = 3; /* \"STATUS_SUBMITTED ()\" */\n  JobProcsHeld = 1;\n]\n\
                    [\n  Type = \"NodeStatus\";\n  Node = \"a\";\n  NodeStatus = 5; /* \"STATUS_DONE\" */\n]\n\
                    [\n  Type = \"StatusEnd\";\n  NextUpdate = 0; /* \"none\" */\n]\n";
        let status = parse(text);
        assert_eq!(status.written, Some(Stamp(1_795_350_324_000)));
        assert_eq!((status.dag_status, status.held, status.next), (Some(3), 1, None));
        assert_eq!(status.nodes["a"], 5);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in any::<String>()) {
            parse(&text);
        }
    }
}
