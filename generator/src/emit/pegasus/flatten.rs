//! A workflow and its sub-workflows as one list of jobs, files and edges not yet joined.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
    rc::Rc,
};

use super::{
    NAMESPACE,
    document::{self, JobDoc, JobKind, Profiles, WorkflowDoc},
    read::{MAX_DEPTH, MAX_JOBS, ReadError, Reader},
    resolve::{Catalogs, Lookup, expand, key},
};
use crate::{
    emit::Source,
    plan::{DagJob, Label, Lfn, Program},
};

/// A job with the catalogs its files are looked up in.
pub struct FlatJob {
    /// The ids of the sub-workflows it stands in, outermost first, with dots.
    pub prefix: Rc<str>,
    pub job: DagJob,
    pub catalogs: Rc<Catalogs>,
}

/// An explicit dependency between two entries of one workflow.
pub struct Dependency {
    pub parent: Range<u32>,
    pub child: Range<u32>,
}

/// Everything a workflow and its sub-workflows hold.
#[derive(Default)]
pub struct Flat {
    pub jobs: Vec<FlatJob>,
    /// Inner workflows' dependencies stand before outer ones.
    pub dependencies: Vec<Dependency>,
}

/// Where in the hierarchy a workflow stands.
pub struct Place<'a> {
    /// The workflow's path.
    pub file: &'a str,
    /// The paths of the workflows it stands in.
    pub above: Vec<&'a str>,
    pub prefix: Rc<str>,
}

/// An entry of one workflow: its place in the flat list and what it declares.
struct Entry {
    range: Range<u32>,
    kind: JobKind,
    inputs: HashSet<String>,
    outputs: HashSet<String>,
}

impl<S: Source> Reader<'_, S> {
    /// Appends the workflow at `place`; `outer` are the catalogs known there.
    pub fn flatten(
        &self,
        place: &Place<'_>,
        outer: &Rc<Catalogs>,
        flat: &mut Flat,
    ) -> Result<String, ReadError> {
        let text = self.text(place.file)?;
        let doc: WorkflowDoc = document::parse(place.file, &text)?;
        drop(text);
        if doc.pegasus != "5" && !doc.pegasus.starts_with("5.") {
            return Err(ReadError::Version {
                file: place.file.to_owned(),
                version: doc.pegasus,
            });
        }
        if doc.jobs.is_empty() {
            return Err(ReadError::Empty {
                file: place.file.to_owned(),
            });
        }
        let mut catalogs = outer.clone();
        if let Some(replicas) = doc.replica_catalog {
            Rc::make_mut(&mut catalogs).add_replicas(place.file, self.root, replicas)?;
        }
        if let Some(transformations) = doc.transformation_catalog {
            Rc::make_mut(&mut catalogs).add_transformations(place.file, transformations);
        }
        let mut entries = BTreeMap::new();
        for job in doc.jobs {
            if flat.jobs.len() >= MAX_JOBS {
                return Err(ReadError::TooManyJobs);
            }
            let id = job.id.clone();
            let entry = self.entry(place, &catalogs, &doc.profiles, job, flat)?;
            if entries.insert(id.clone(), entry).is_some() {
                return Err(ReadError::TwoJobs {
                    file: place.file.to_owned(),
                    id,
                });
            }
        }
        for dependency in doc.job_dependencies {
            let find = |id: &str| {
                entries.get(id).ok_or_else(|| ReadError::UnknownJob {
                    file: place.file.to_owned(),
                    id: id.to_owned(),
                })
            };
            let parent = find(&dependency.id)?;
            for child in &dependency.children {
                let child = find(child)?;
                if !is_said_by_files(parent, child) {
                    flat.dependencies.push(Dependency {
                        parent: parent.range.clone(),
                        child: child.range.clone(),
                    });
                }
            }
        }
        Ok(doc.name)
    }

    fn entry(
        &self,
        place: &Place<'_>,
        catalogs: &Rc<Catalogs>,
        shared: &Profiles,
        job: JobDoc,
        flat: &mut Flat,
    ) -> Result<Entry, ReadError> {
        let id = job.id.clone();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if id.is_empty() || id.len() > 128 || !id.bytes().all(plain) {
            return Err(ReadError::BadId {
                file: place.file.to_owned(),
                id,
            });
        }
        let start = flat.jobs.len() as u32;
        let (mut inputs, mut outputs, mut checkpoints) = (Vec::new(), Vec::new(), Vec::new());
        for used in &job.uses {
            match used.link.as_str() {
                "input" => inputs.push(used.lfn.clone()),
                "output" => outputs.push(used.lfn.clone()),
                "checkpoint" => checkpoints.push(used.lfn.clone()),
                other => {
                    return Err(ReadError::Unsupported {
                        file: place.file.to_owned(),
                        what: format!("`{}` as {other} of job `{id}`", used.lfn),
                    });
                }
            }
        }
        if let Some(stdin) = &job.stdin
            && !inputs.contains(stdin)
        {
            inputs.push(stdin.clone());
        }
        for stream in job.stdout.iter().chain(&job.stderr) {
            if !outputs.contains(stream) {
                outputs.push(stream.clone());
            }
        }
        let kind = job.kind;
        match kind {
            JobKind::Job => {
                let job = self.job(place, catalogs, shared, job, [&inputs, &outputs, &checkpoints])?;
                flat.jobs.push(FlatJob {
                    prefix: place.prefix.clone(),
                    job,
                    catalogs: catalogs.clone(),
                });
            }
            JobKind::PegasusWorkflow => self.sub_workflow(place, catalogs, &job, flat)?,
            JobKind::CondorWorkflow => {
                return Err(ReadError::Unsupported {
                    file: place.file.to_owned(),
                    what: format!("job `{id}`, an HTCondor DAG inside a workflow"),
                });
            }
        }
        Ok(Entry {
            range: start..flat.jobs.len() as u32,
            kind,
            inputs: inputs.into_iter().collect(),
            outputs: outputs.into_iter().collect(),
        })
    }

    fn sub_workflow(
        &self,
        place: &Place<'_>,
        catalogs: &Rc<Catalogs>,
        job: &JobDoc,
        flat: &mut Flat,
    ) -> Result<(), ReadError> {
        let name = job
            .file
            .as_deref()
            .ok_or_else(|| missing(place, &job.id, "file"))?;
        let path = catalogs
            .replica(name)
            .flatten()
            .ok_or_else(|| ReadError::NoSubWorkflow {
                job: job.id.clone(),
                file: name.to_owned(),
            })?;
        let mut above = place.above.clone();
        above.push(place.file);
        if above.contains(&path) || above.len() > MAX_DEPTH {
            return Err(ReadError::TooDeep {
                job: job.id.clone(),
                file: path.to_owned(),
            });
        }
        let inner = Place {
            file: path,
            above,
            prefix: format!("{}{}.", place.prefix, job.id).into(),
        };
        self.flatten(&inner, catalogs, flat).map(|_| ())
    }

    fn job(
        &self,
        place: &Place<'_>,
        catalogs: &Catalogs,
        shared: &Profiles,
        doc: JobDoc,
        [inputs, outputs, checkpoints]: [&[String]; 3],
    ) -> Result<DagJob, ReadError> {
        let name = doc
            .name
            .as_deref()
            .ok_or_else(|| missing(place, &doc.id, "name"))?;
        let ours = doc.namespace.as_deref() == Some(NAMESPACE);
        // A version of ours is a copy of the program at a site; here is the program itself.
        let version = doc.version.as_deref().filter(|_| !ours);
        let key = key(doc.namespace.as_deref(), name, version);
        let (program, stronger) = catalogs.program(self.root, &doc.id, &key)?;
        let mut sets = vec![shared, &doc.profiles];
        sets.extend(stronger);
        let lookup = Lookup { job: &doc.id, sets };
        let mut env = BTreeMap::new();
        for (name, value) in lookup.sets.iter().filter_map(|set| set.get("env")).flatten() {
            env.insert(name.clone(), expand(place.file, self.root, value)?);
        }
        let line = expand(place.file, self.root, &doc.arguments.join(" "))?;
        let argv = split_words(&line).ok_or_else(|| ReadError::Quote {
            file: place.file.to_owned(),
            job: doc.id.clone(),
        })?;
        let lfn = |text: &String| {
            Lfn::new(text).ok_or_else(|| ReadError::BadFile {
                file: place.file.to_owned(),
                job: doc.id.clone(),
                lfn: text.clone(),
            })
        };
        let lfns = |files: &[String]| files.iter().map(lfn).collect::<Result<Vec<_>, _>>();
        Ok(DagJob {
            label: label(name, &doc),
            program: Program::Path(program),
            argv,
            env,
            inputs: lfns(inputs)?,
            outputs: lfns(outputs)?,
            checkpoints: lfns(checkpoints)?,
            stdout: doc.stdout.as_ref().map(lfn).transpose()?,
            stderr: doc.stderr.as_ref().map(lfn).transpose()?,
            stdin: doc.stdin.as_ref().map(lfn).transpose()?,
            request: lookup.request()?,
            retries: lookup.retries()?,
            after: Vec::new(),
            in_place: Vec::new(),
            id: doc.id.as_str().into(),
        })
    }
}

fn missing(place: &Place<'_>, id: &str, key: &'static str) -> ReadError {
    ReadError::MissingKey {
        file: place.file.to_owned(),
        id: id.to_owned(),
        key,
    }
}

fn label(name: &str, doc: &JobDoc) -> Label {
    let ours = doc.namespace.as_deref() == Some(NAMESPACE);
    let get = |key| doc.metadata.get(key).filter(|_| ours);
    Label {
        kind: name.into(),
        dataset: get("dataset").map(|dataset| dataset.as_str().into()),
        round: get("round").and_then(|round| round.parse().ok()),
        client: get("client").and_then(|client| client.parse().ok()),
    }
}

/// Whether files already make `child` wait for what it needs of `parent`. Between two plain jobs a stated dependency
/// is taken as it is; a sub-workflow's dependency is on the jobs that write and read the files, not on all of them.
fn is_said_by_files(parent: &Entry, child: &Entry) -> bool {
    let plain = parent.kind == JobKind::Job && child.kind == JobKind::Job;
    !plain && !parent.outputs.is_disjoint(&child.inputs)
}

/// Splits a command line at white space; quotes of either kind hold a word together. `None` if one stays open.
fn split_words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => word.get_or_insert_default().push(c),
            None if c == '"' || c == '\'' => {
                word.get_or_insert_default();
                quote = Some(c);
            }
            None if c.is_whitespace() => words.extend(word.take()),
            None => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// Names jobs whose id another workflow of the hierarchy uses too by the sub-workflows they stand in.
pub fn unique_ids(jobs: &mut [FlatJob]) {
    let mut seen: HashMap<std::sync::Arc<str>, u32> = HashMap::with_capacity(jobs.len());
    for job in jobs.iter() {
        *seen.entry(job.job.id.clone()).or_default() += 1;
    }
    for job in jobs {
        if seen[&job.job.id] > 1 {
            job.job.id = format!("{}{}", job.prefix, job.job.id).into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_split_at_white_space_outside_quotes() {
        let words = |line| split_words(line).unwrap();
        assert_eq!(words("-a  b\tc"), ["-a", "b", "c"]);
        assert_eq!(words("-m 'two words' \"\" x'y'z"), ["-m", "two words", "", "xyz"]);
        assert_eq!(words(""), Vec::<String>::new());
        assert_eq!(split_words("'open"), None);
    }
}
