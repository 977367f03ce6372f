//! Follows one DAG and its sub-DAGs while DAGMan works on them.
//!
//! In: the path of a DAG file. Out: [`Nodes`] that are as far as the files are. Start at [`Follow::open`], then
//! [`Follow::refresh`] as often as needed: each reads only what is new.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    dag_file::{self, DagFile, Node, NodeKind},
    dagman_out, event_log,
    nodes::Nodes,
    tail::{Tail, read_text},
};

/// Splices and sub-DAGs inside each other: more are a mistake, or a circle.
const MOST_NESTED: usize = 16;

/// The largest submit file read.
const MAX_SUBMIT_BYTES: u64 = 1 << 20;

/// A file of a run that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read `{}`", path.display())]
pub struct FollowError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// A DAG and what is known of it so far.
#[derive(Debug)]
pub struct Follow {
    path: PathBuf,
    /// Where DAGMan works: names in the DAG are relative to it.
    folder: PathBuf,
    nodes: Nodes,
    node_log: Tail,
    dagman_out: Tail,
    reader: dagman_out::Reader,
    rescue: u32,
    unreadable: u64,
    nested: usize,
    /// The DAGs of nodes that are DAGs; a Pegasus sub-workflow has one for each time it was planned.
    below: BTreeMap<usize, Vec<Follow>>,
}

impl Follow {
    /// Begins to follow the DAG file at `path`.
    ///
    /// # Errors
    /// [`FollowError`]: a file is unreadable or too large.
    pub fn open(path: &Path) -> Result<Self, FollowError> {
        Self::nested(path, folder_of(path), 0)
    }

    fn nested(path: &Path, folder: &Path, nested: usize) -> Result<Self, FollowError> {
        let dag = read_dag(path, folder, 0)?;
        let mut follow = Self {
            path: path.to_owned(),
            folder: folder.to_owned(),
            nodes: Nodes::new(dag),
            node_log: Tail::new(beside(path, "nodes.log")),
            dagman_out: Tail::new(beside(path, "dagman.out")),
            reader: dagman_out::Reader::default(),
            rescue: 0,
            unreadable: 0,
            nested,
            below: BTreeMap::new(),
        };
        for kept in kept_logs(path) {
            follow.read_events(&mut Tail::new(kept))?;
        }
        follow.refresh()?;
        Ok(follow)
    }

    /// The DAG file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The submit file of a node, and the folder from which it is submitted.
    pub fn submit_file(&self, node: &Node) -> (PathBuf, PathBuf) {
        let folder = node
            .dir
            .as_ref()
            .map_or(self.folder.clone(), |dir| self.folder.join(dir));
        (folder.join(&node.file), folder)
    }

    /// Its nodes.
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// The DAGs of a node that is a DAG, in the order they were planned.
    pub fn below(&self, node: usize) -> &[Follow] {
        self.below.get(&node).map_or(&[], Vec::as_slice)
    }

    /// Every DAG below this one, itself first.
    pub fn all(&self) -> Vec<&Follow> {
        let mut all = vec![self];
        all.extend(self.below.values().flatten().flat_map(Follow::all));
        all
    }

    /// The number of its newest rescue file; 0 where there is none.
    pub fn rescue(&self) -> u32 {
        self.rescue
    }

    /// Lines and events of its files that could not be read.
    pub fn unreadable(&self) -> u64 {
        self.unreadable + self.nodes.unreadable()
    }

    /// Reads what is new.
    ///
    /// # Errors
    /// [`FollowError`].
    pub fn refresh(&mut self) -> Result<(), FollowError> {
        let mut log = std::mem::replace(&mut self.node_log, Tail::new(""));
        let read = self.read_events(&mut log);
        self.node_log = log;
        read?;
        let (nodes, reader) = (&mut self.nodes, &mut self.reader);
        let path = self.dagman_out.path().to_owned();
        let read = self.dagman_out.read(|bytes| {
            let (lines, consumed) = reader.push(bytes);
            lines.iter().for_each(|line| nodes.on_line(line));
            consumed
        });
        read.map_err(|source| FollowError { path, source })?;
        self.read_rescue()?;
        self.find_below()?;
        self.below.values_mut().flatten().try_for_each(Follow::refresh)
    }

    fn read_events(&mut self, log: &mut Tail) -> Result<(), FollowError> {
        let path = log.path().to_owned();
        let (nodes, unreadable) = (&mut self.nodes, &mut self.unreadable);
        let read = log.read(|bytes| {
            let parsed = event_log::parse(bytes);
            *unreadable += parsed.unreadable;
            parsed.events.iter().for_each(|event| nodes.on_event(event));
            parsed.consumed
        });
        read.map_err(|source| FollowError { path, source })
    }

    /// The newest rescue file, once.
    fn read_rescue(&mut self) -> Result<(), FollowError> {
        let mut newest = self.rescue;
        while newest < 999 && rescue_file(&self.path, newest + 1).exists() {
            newest += 1;
        }
        if newest > self.rescue {
            let path = rescue_file(&self.path, newest);
            let text =
                read_text(&path, dag_file::MAX_BYTES).map_err(|source| FollowError { path, source })?;
            self.nodes
                .mark_done(&dag_file::parse(&text.unwrap_or_default()).done);
            self.rescue = newest;
        }
        Ok(())
    }

    /// Sub-DAGs whose files have appeared.
    fn find_below(&mut self) -> Result<(), FollowError> {
        if self.nested >= MOST_NESTED {
            return Ok(());
        }
        for (index, node) in self.nodes.all().iter().enumerate() {
            let known = self.below.get(&index).map_or(0, Vec::len);
            let (file, folder) = self.submit_file(node);
            let found: Vec<(PathBuf, PathBuf)> = match node.kind {
                NodeKind::SubDag if known > 0 => continue,
                NodeKind::SubDag => Some((file, folder))
                    .into_iter()
                    .filter(|(file, _)| file.is_file())
                    .collect(),
                NodeKind::Job if is_sub_workflow(&node.name) => {
                    if known > 0 && self.nodes.attempts(index).len() <= known {
                        continue;
                    }
                    let planned = planned(&file).into_iter();
                    planned
                        .map(|dag| (dag.clone(), folder_of(&dag).to_owned()))
                        .collect()
                }
                NodeKind::Job | NodeKind::Beside => continue,
            };
            for (file, folder) in found.into_iter().skip(known) {
                let below = Follow::nested(&file, &folder, self.nested + 1)?;
                self.below.entry(index).or_default().push(below);
            }
        }
        Ok(())
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

/// Whether a node of a Pegasus DAG plans and runs a sub-workflow.
pub(super) fn is_sub_workflow(name: &str) -> bool {
    name.starts_with("pegasus-plan_") || name.starts_with("subdax_")
}

/// `NAME.dag` and an ending.
pub fn beside(dag: &Path, ending: &str) -> PathBuf {
    let mut name = dag.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// The rescue file DAGMan wrote as its `number`th.
pub fn rescue_file(dag: &Path, number: u32) -> PathBuf {
    beside(dag, &format!("rescue{number:03}"))
}

/// The file by which a DAGMan that did not end in order makes the next one read the node log.
pub fn lock_file(dag: &Path) -> PathBuf {
    beside(dag, "lock")
}

/// Where the node log of an earlier start is kept: DAGMan empties it when it starts.
pub fn kept_log(dag: &Path, number: u32) -> PathBuf {
    beside(dag, &format!("nodes.log.kept{number:03}"))
}

fn kept_logs(dag: &Path) -> impl Iterator<Item = PathBuf> {
    (1..)
        .map(|number| kept_log(dag, number))
        .take_while(|path| path.exists())
}

fn read_dag(path: &Path, folder: &Path, nested: usize) -> Result<DagFile, FollowError> {
    let failed = |source| FollowError {
        path: path.to_owned(),
        source,
    };
    let text = read_text(path, dag_file::MAX_BYTES).map_err(failed)?;
    let text = text.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    let mut dag = dag_file::parse(&text);
    if nested < MOST_NESTED {
        for splice in dag.splices.clone() {
            dag.take_in(&splice, read_dag(&folder.join(&splice.file), folder, nested + 1)?);
        }
    }
    dag.tie();
    Ok(dag)
}

/// The DAGs Pegasus made of a sub-workflow, one for each time it planned it: `sub_ID.000/NAME-0.dag` and so on, in the
/// folder of the submit file that names them.
fn planned(submit: &Path) -> Vec<PathBuf> {
    let Ok(Some(text)) = read_text(submit, MAX_SUBMIT_BYTES) else {
        return Vec::new();
    };
    named_in(&text).map_or(Vec::new(), |(folder, dag)| numbered(submit, &folder, &dag))
}

/// The folder, without its number, and the DAG file that a submit file names.
fn named_in(text: &str) -> Option<(String, String)> {
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim_start().strip_prefix('=').map(str::trim)
    };
    let folder = Path::new(value("initialdir")?).file_name()?.to_str()?;
    let dag = value("arguments")?
        .split_whitespace()
        .skip_while(|word| *word != "-Dag")
        .nth(1)?;
    Some((folder.to_owned(), dag.to_owned()))
}

fn numbered(submit: &Path, folder: &str, dag: &str) -> Vec<PathBuf> {
    let parent = submit.parent().unwrap_or(Path::new("."));
    let Ok(entries) = fs::read_dir(parent) else {
        return Vec::new();
    };
    let numbered = entries.filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        let number: u32 = name.strip_prefix(folder)?.strip_prefix('.')?.parse().ok()?;
        Some((number, parent.join(name).join(dag)))
    });
    let mut numbered: Vec<_> = numbered.filter(|(_, path)| path.is_file()).collect();
    numbered.sort();
    numbered.into_iter().map(|(_, path)| path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_a_sub_dag_are_relative_to_where_its_dagman_works() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(folder_of(&path)).unwrap();
            fs::write(path, text).unwrap();
        };
        write(
            "e.dag",
            "SUBDAG EXTERNAL r1 rounds/r1.dag\nSUBDAG EXTERNAL r2 r2.dag DIR second\nSUBDAG EXTERNAL r3 later.dag\n",
        );
        write("rounds/r1.dag", "JOB a jobs/a.sub\n");
        write("second/r2.dag", "JOB b b.sub DIR inner\nSPLICE s s.dag\n");
        write("second/s.dag", "JOB c c.sub\n");
        let mut follow = Follow::open(&folder.path().join("e.dag")).unwrap();
        let at = |follow: &Follow, node: usize, inner: usize| {
            let below = &follow.below(node)[0];
            let (file, _) = below.submit_file(&below.nodes().all()[inner]);
            file.strip_prefix(folder.path()).unwrap().display().to_string()
        };
        assert_eq!(at(&follow, 0, 0), "jobs/a.sub");
        assert_eq!(at(&follow, 1, 0), "second/inner/b.sub");
        assert_eq!(at(&follow, 1, 1), "second/c.sub");
        assert!(follow.below(2).is_empty());
        write("later.dag", "JOB d d.sub\n");
        follow.refresh().unwrap();
        assert_eq!(
            follow.below(2)[0].nodes().all()[0].name,
            "d",
            "a DAG written while the run goes on"
        );
    }
}
