//! What kind of run a folder holds.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

use super::error::OperateError;
use crate::{
    evidence::{self, SubmitDir, System, dag_file, read_text},
    ops::OpError,
    record::RunDir,
};

/// What a folder holds.
#[derive(Debug)]
pub enum Found {
    /// A run on this machine.
    Local(RunDir),
    /// A workflow for a pool, submitted or not.
    Pool(PoolDir),
}

/// A workflow for a pool.
#[derive(Debug, Clone)]
pub struct PoolDir {
    /// Who runs it.
    pub system: System,
    /// The folder, absolute.
    pub root: PathBuf,
    /// The DAG file; none before Pegasus planned it.
    pub dag: Option<PathBuf>,
    /// Pegasus' submit directory.
    pub submit: Option<SubmitDir>,
}

impl Found {
    /// What `path` holds: a run's folder, a Pegasus submit directory or a DAG file.
    ///
    /// # Errors
    /// [`OpError::HoldsNoRun`], [`OperateError::SeveralDags`], [`OperateError::Read`].
    pub fn at(path: &Path) -> Result<Self, OpError> {
        let root = std::path::absolute(path).map_err(|source| read(path, source))?;
        if root.is_file() {
            let folder = root.parent().unwrap_or(Path::new("/")).to_owned();
            return match root.extension() {
                Some(extension) if extension == "dag" => Ok(Self::Pool(PoolDir::of_dag(folder, root))),
                _ => Err(OpError::HoldsNoRun {
                    path: path.to_owned(),
                }),
            };
        }
        let local = RunDir::new(&root);
        if local.record().exists() {
            return Ok(Self::Local(local));
        }
        let submit = evidence::newest(&root).map_err(|source| read(&root, source))?;
        if submit.is_some() || is_pegasus(&root) {
            let root = if submit.as_ref().is_some_and(|submit| submit.path == root) {
                home_of(&root)
            } else {
                root
            };
            return Ok(Self::Pool(PoolDir {
                system: System::Pegasus,
                root,
                dag: submit.as_ref().map(SubmitDir::dag),
                submit,
            }));
        }
        match main_dag(&root)? {
            Some(dag) => Ok(Self::Pool(PoolDir::of_dag(root, dag))),
            None => Err(OpError::HoldsNoRun {
                path: path.to_owned(),
            }),
        }
    }
}

impl PoolDir {
    /// The DAG file `dag` of nobody but DAGMan, in the folder `root`.
    pub fn of_dag(root: PathBuf, dag: PathBuf) -> Self {
        Self {
            system: System::Dagman,
            root,
            dag: Some(dag),
            submit: None,
        }
    }

    /// The experiment or workflow: the specification's folder and files carry its name.
    pub fn name(&self) -> String {
        if let Some(submit) = &self.submit {
            return submit.braindump.dax_label.clone();
        }
        let path = self.dag.as_ref().unwrap_or(&self.root);
        path.file_stem()
            .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
    }

    /// What its jobs are about.
    pub fn manifest(&self) -> PathBuf {
        self.root.join("jobs.jsonl")
    }

    /// Where its results arrive.
    pub fn run_dir(&self) -> RunDir {
        RunDir::new(&self.root).with_files_in(match self.system {
            System::Pegasus => "outputs",
            System::Dagman | System::Local => "files",
        })
    }
}

fn read(path: &Path, source: io::Error) -> OperateError {
    OperateError::Read {
        path: path.to_owned(),
        source,
    }
}

/// Whether a Pegasus workflow was generated into it.
fn is_pegasus(root: &Path) -> bool {
    root.join("plan.sh").is_file() && root.join("workflow.yml").is_file()
}

/// The folder whose workflow was planned into `submit`: the nearest above it that says so, else `submit` itself.
fn home_of(submit: &Path) -> PathBuf {
    submit
        .ancestors()
        .skip(1)
        .find(|folder| is_pegasus(folder))
        .unwrap_or(submit)
        .to_owned()
}

/// The DAG in `root` that is no part of another one there.
fn main_dag(root: &Path) -> Result<Option<PathBuf>, OperateError> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(read(root, source)),
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".dag")).collect();
    names.sort();
    if names.len() > 1 {
        let parts = parts(root, &names)?;
        names.retain(|name| !parts.contains(name));
    }
    match names.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(root.join(one))),
        _ => Err(OperateError::SeveralDags {
            folder: root.to_owned(),
            names,
        }),
    }
}

/// The DAG files that others include.
fn parts(root: &Path, names: &[String]) -> Result<HashSet<String>, OperateError> {
    let mut parts = HashSet::new();
    for name in names {
        let path = root.join(name);
        let text = read_text(&path, dag_file::MAX_BYTES).map_err(|source| read(&path, source))?;
        let dag = dag_file::parse(&text.unwrap_or_default());
        parts.extend(dag.splices.into_iter().map(|splice| splice.file));
        parts.extend(dag.nodes.into_iter().map(|node| node.file));
    }
    Ok(parts)
}
