//! Reads DAGMan's description of a workflow, and the rescue files that say what of it is done.
//!
//! In: the text of a DAG file. Out: a [`DagFile`]. Start at [`parse`]. Pure.
//!
//! Only what tells about a run is kept. Lines that DAGMan would refuse are counted, not errors: the file is evidence of
//! a run, and DAGMan has said what it thinks of it.

use std::collections::HashMap;

/// The largest DAG or rescue file read.
pub const MAX_BYTES: u64 = 64 << 20;

/// What a DAG file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DagFile {
    /// Its nodes, in the order of the file.
    pub nodes: Vec<Node>,
    /// Who waits for whom: all `parents` before all `children`; indices into `nodes`.
    pub edges: Vec<Edge>,
    /// Other DAG files that become part of this one.
    pub splices: Vec<Splice>,
    /// Names marked as done, in a DAG or rescue file.
    pub done: Vec<String>,
    /// Lines that are no command of DAGMan, or name nodes that are not there.
    pub unreadable: u64,
    /// Names in edges that belong to splices.
    loose: Vec<(Vec<String>, Vec<String>)>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// What it runs.
    pub kind: NodeKind,
    /// The submit file, or the DAG file of a sub-DAG, as written.
    pub file: String,
    /// The folder it is submitted from, where it is not the DAG's.
    pub dir: Option<String>,
    /// Tries after the first.
    pub retries: u32,
    /// The exit code after which there is no other try.
    pub unless_exit: Option<i32>,
    /// Whether a script follows it.
    pub post: Script,
    /// Whether it does nothing.
    pub noop: bool,
}

/// What a node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// A job.
    Job,
    /// A DAGMan of its own.
    SubDag,
    /// A job beside the workflow: service or provisioner.
    Beside,
}

/// Whether there is a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// There is none.
    Absent,
    /// There is one.
    Present,
}

/// All of `parents` before all of `children`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// Indices of nodes.
    pub parents: Vec<usize>,
    /// Indices of nodes.
    pub children: Vec<usize>,
}

/// A DAG file whose nodes become nodes of this DAG, named with a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Splice {
    /// The splice's name; its nodes are called `name+node`. Empty for an included file, whose nodes keep their names.
    pub name: String,
    /// The file as written.
    pub file: String,
}

/// Reads a DAG file or a rescue file.
pub fn parse(text: &str) -> DagFile {
    let mut reader = Reader::default();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut whole = line.trim().to_owned();
        while whole.ends_with('\\') {
            whole.pop();
            whole.push(' ');
            whole.push_str(lines.next().unwrap_or("").trim());
        }
        reader.line(&whole);
    }
    reader.finish()
}

impl DagFile {
    /// Takes in the nodes of a splice, with their prefix; edges that name the splice become edges to its nodes.
    pub fn take_in(&mut self, splice: &Splice, mut other: DagFile) {
        let prefix = if splice.name.is_empty() {
            String::new()
        } else {
            format!("{}+", splice.name)
        };
        let first = self.nodes.len();
        for node in &mut other.nodes {
            node.name.insert_str(0, &prefix);
        }
        self.done
            .extend(other.done.iter().map(|name| format!("{prefix}{name}")));
        self.unreadable += other.unreadable;
        self.nodes.append(&mut other.nodes);
        let shifted = |list: Vec<usize>| list.into_iter().map(|index| index + first).collect();
        self.edges.extend(other.edges.into_iter().map(|edge| Edge {
            parents: shifted(edge.parents),
            children: shifted(edge.children),
        }));
    }

    /// Edges that name splices, once these are taken in: every node of the splice stands for it.
    pub fn tie(&mut self) {
        let loose = std::mem::take(&mut self.loose);
        if loose.is_empty() {
            return;
        }
        let mut members: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, node) in self.nodes.iter().enumerate() {
            members.entry(&node.name).or_default().push(index);
            for (at, _) in node.name.match_indices('+') {
                members.entry(&node.name[..at]).or_default().push(index);
            }
        }
        let mut unknown = 0;
        let mut all = |names: &[String]| -> Vec<usize> {
            let mut found = Vec::new();
            for name in names {
                match members.get(name.as_str()) {
                    Some(indices) => found.extend(indices),
                    None => unknown += 1,
                }
            }
            found
        };
        let edges: Vec<Edge> = loose
            .iter()
            .map(|(parents, children)| Edge {
                parents: all(parents),
                children: all(children),
            })
            .collect();
        self.edges.extend(edges);
        self.unreadable += unknown;
    }
}

#[derive(Default)]
struct Reader {
    dag: DagFile,
    index: HashMap<String, usize>,
    edges: Vec<(Vec<String>, Vec<String>)>,
    retries: Vec<(String, u32, Option<i32>)>,
    posts: Vec<String>,
    /// Inside the braces of a submit description.
    inline: bool,
}

/// The name by which a command means every node.
const ALL_NODES: &str = "ALL_NODES";

impl Reader {
    fn line(&mut self, line: &str) {
        if self.inline {
            self.inline = !line.starts_with('}');
            return;
        }
        if line.is_empty() || line.starts_with('#') {
            return;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        if self.command(&words).is_none() {
            self.dag.unreadable += 1;
        }
        if words.last() == Some(&"{") {
            self.inline = true;
        }
    }

    fn command(&mut self, words: &[&str]) -> Option<()> {
        match words.first()?.to_ascii_uppercase().as_str() {
            "JOB" | "NODE" | "FINAL" => self.node(NodeKind::Job, words.get(1..)?),
            "SERVICE" | "PROVISIONER" => self.node(NodeKind::Beside, words.get(1..)?),
            "SUBDAG" => {
                words.get(1)?.eq_ignore_ascii_case("EXTERNAL").then_some(())?;
                self.node(NodeKind::SubDag, words.get(2..)?)
            }
            "SPLICE" => self.splice(words.get(1)?, words.get(2)?),
            "INCLUDE" => self.splice("", words.get(1)?),
            "PARENT" => {
                let child = words.iter().position(|word| word.eq_ignore_ascii_case("CHILD"))?;
                let names = |words: &[&str]| words.iter().map(|&name| name.to_owned()).collect();
                self.edges
                    .push((names(&words[1..child]), names(&words[child + 1..])));
                Some(())
            }
            "RETRY" => {
                let unless = words
                    .get(3)
                    .filter(|word| word.eq_ignore_ascii_case("UNLESS-EXIT"));
                let unless = unless.and_then(|_| words.get(4)?.parse().ok());
                self.retries
                    .push(((*words.get(1)?).to_owned(), words.get(2)?.parse().ok()?, unless));
                Some(())
            }
            "SCRIPT" => self.script(words),
            "DONE" => {
                self.dag.done.push((*words.get(1)?).to_owned());
                Some(())
            }
            "VARS" | "PRIORITY" | "CATEGORY" | "MAXJOBS" | "CONFIG" | "ENV" | "DOT" | "ABORT-DAG-ON"
            | "NODE_STATUS_FILE" | "JOBSTATE_LOG" | "REJECT" | "SET_JOB_ATTR" | "PRE_SKIP" | "CONNECT"
            | "PIN_IN" | "PIN_OUT" | "SAVE_POINT_FILE" | "SUBMIT-DESCRIPTION" => Some(()),
            _ => None,
        }
    }

    fn node(&mut self, kind: NodeKind, words: &[&str]) -> Option<()> {
        let (name, file) = ((*words.first()?).to_owned(), (*words.get(1)?).to_owned());
        let has = |word: &str| {
            words
                .get(2..)
                .is_some_and(|rest| rest.iter().any(|w| w.eq_ignore_ascii_case(word)))
        };
        let dir = words.iter().position(|word| word.eq_ignore_ascii_case("DIR"));
        let node = Node {
            kind,
            file,
            dir: dir.and_then(|at| words.get(at + 1)).map(|&dir| dir.to_owned()),
            retries: 0,
            unless_exit: None,
            post: Script::Absent,
            noop: has("NOOP"),
            name,
        };
        if has("DONE") {
            self.dag.done.push(node.name.clone());
        }
        self.index.insert(node.name.clone(), self.dag.nodes.len());
        self.dag.nodes.push(node);
        Some(())
    }

    fn splice(&mut self, name: &str, file: &str) -> Option<()> {
        self.dag.splices.push(Splice {
            name: name.to_owned(),
            file: file.to_owned(),
        });
        Some(())
    }

    fn script(&mut self, words: &[&str]) -> Option<()> {
        // SCRIPT [DEFER status seconds] [DEBUG file type] (PRE|POST|HOLD) node program ...
        let at = words.iter().position(|word| {
            ["PRE", "POST", "HOLD"]
                .iter()
                .any(|kind| word.eq_ignore_ascii_case(kind))
        })?;
        let node = words.get(at + 1)?;
        if words[at].eq_ignore_ascii_case("POST") {
            self.posts.push((*node).to_owned());
        }
        Some(())
    }

    fn finish(mut self) -> DagFile {
        let mut dag = std::mem::take(&mut self.dag);
        for (name, retries, unless) in &self.retries {
            self.each(&mut dag, name, |node| {
                (node.retries, node.unless_exit) = (*retries, *unless)
            });
        }
        for name in &self.posts {
            self.each(&mut dag, name, |node| node.post = Script::Present);
        }
        for (parents, children) in std::mem::take(&mut self.edges) {
            let known = |names: &[String]| -> Option<Vec<usize>> {
                names.iter().map(|name| self.index.get(name).copied()).collect()
            };
            match (known(&parents), known(&children)) {
                (Some(parents), Some(children)) => dag.edges.push(Edge { parents, children }),
                _ if dag.splices.is_empty() => dag.unreadable += 1,
                _ => dag.loose.push((parents, children)),
            }
        }
        dag
    }

    fn each(&self, dag: &mut DagFile, name: &str, change: impl Fn(&mut Node)) {
        if name == ALL_NODES {
            dag.nodes.iter_mut().for_each(change);
        } else if let Some(index) = self.index.get(name) {
            change(&mut dag.nodes[*index]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAG: &str = "\
# an experiment of two rounds
CONFIG dagman.config
job prepare prepare.sub
JOB train-0 train.sub DIR clients/0 NOOP
JOB old old.sub DONE
SUBDAG EXTERNAL round-2 rounds/2.dag DIR rounds
SPLICE join join.dag
SUBMIT-DESCRIPTION plain {
  executable = /bin/true
  JOB = not a command
}
VARS train-0 client=\"0\"
RETRY ALL_NODES 1
Retry train-0 3 unless-exit 11
SCRIPT DEFER 1 10 POST train-0 check.sh $RETURN
SCRIPT PRE round-2 plan.sh
PARENT prepare old CHILD \\
  train-0
PARENT train-0 CHILD join
PARENT train-0 CHLD typo
DONE prepare
";

    #[test]
    fn nodes_edges_retries_and_done_marks_are_read() {
        let dag = parse(DAG);
        let names: Vec<&str> = dag.nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["prepare", "train-0", "old", "round-2"]);
        let train = &dag.nodes[1];
        assert_eq!(
            (train.retries, train.unless_exit, train.noop),
            (3, Some(11), true)
        );
        assert_eq!(
            (train.post, train.dir.as_deref()),
            (Script::Present, Some("clients/0"))
        );
        assert_eq!((dag.nodes[3].kind, dag.nodes[3].retries), (NodeKind::SubDag, 1));
        assert_eq!(dag.done, ["old", "prepare"]);
        assert_eq!(
            dag.edges,
            [Edge {
                parents: vec![0, 2],
                children: vec![1]
            }]
        );
        assert_eq!(dag.unreadable, 1, "only the misspelt line");
    }

    #[test]
    fn a_splice_brings_its_nodes_and_edges() {
        let mut dag = parse(DAG);
        let splice = dag.splices[0].clone();
        dag.take_in(&splice, parse("JOB a a.sub\nJOB b b.sub\nPARENT a CHILD b\n"));
        dag.tie();
        let names: Vec<&str> = dag.nodes.iter().skip(4).map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["join+a", "join+b"]);
        assert!(dag.edges.contains(&Edge {
            parents: vec![4],
            children: vec![5]
        }));
        assert!(dag.edges.contains(&Edge {
            parents: vec![1],
            children: vec![4, 5]
        }));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in any::<String>()) {
            let mut dag = parse(&text);
            dag.tie();
        }
    }
}
