//! Looks things up: variables, paths, replicas, transformations, profiles.

use std::collections::HashMap;

use contract::units::{Bytes, Seconds};

use super::{
    DIR_VARIABLE, LOCAL,
    document::{Profiles, ReplicasDoc, TransformationDoc, TransformationsDoc},
    memory::first_attempt,
    read::ReadError,
};
use crate::check::Request;

/// The folder of a path, without its last component.
pub fn folder(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) => "/",
        Some(end) => &path[..end],
        None => "",
    }
}

/// `path` seen from `folder`.
pub fn join(folder: &str, path: &str) -> String {
    let path = path.strip_prefix("./").unwrap_or(path);
    if path.starts_with('/') || folder.is_empty() {
        path.to_owned()
    } else {
        format!("{}/{path}", folder.trim_end_matches('/'))
    }
}

/// The transformation a job names, as people write it.
pub fn key(namespace: Option<&str>, name: &str, version: Option<&str>) -> String {
    let mut key = String::new();
    if let Some(namespace) = namespace {
        key.push_str(namespace);
        key.push_str("::");
    }
    key.push_str(name);
    if let Some(version) = version {
        key.push(':');
        key.push_str(version);
    }
    key
}

/// Replaces our own variable by the workflow's folder; there are no others here, because nothing here sees an
/// environment.
pub fn expand(file: &str, root: &str, text: &str) -> Result<String, ReadError> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, from) = rest.split_at(start);
        expanded.push_str(before);
        let end = from.find('}').unwrap_or(from.len());
        let name = &from[2..end.max(2)];
        if name != DIR_VARIABLE || end == from.len() {
            return Err(ReadError::Variable {
                file: file.to_owned(),
                name: name.to_owned(),
            });
        }
        expanded.push_str(root);
        rest = &from[end + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// Catalogs by name, from files and from the workflows that hold the job.
#[derive(Debug, Clone, Default)]
pub struct Catalogs {
    /// Places of a file that lie on this machine, first come first taken.
    replicas: HashMap<String, Vec<String>>,
    transformations: HashMap<String, (String, TransformationDoc)>,
}

impl Catalogs {
    /// Adds a replica catalog found in `file`; what is added later is looked up first.
    pub fn add_replicas(&mut self, file: &str, root: &str, doc: ReplicasDoc) -> Result<(), ReadError> {
        for replica in doc.replicas {
            if replica.regex {
                return Err(ReadError::Unsupported {
                    file: file.to_owned(),
                    what: format!("the pattern `{}` in place of a file name", replica.lfn),
                });
            }
            let mut paths = Vec::with_capacity(replica.pfns.len());
            for pfn in &replica.pfns {
                paths.extend(local_path(folder(file), &expand(file, root, &pfn.pfn)?));
            }
            self.replicas.insert(replica.lfn, paths);
        }
        Ok(())
    }

    /// Adds a transformation catalog found in `file`; what is added later is looked up first.
    pub fn add_transformations(&mut self, file: &str, doc: TransformationsDoc) {
        for entry in doc.transformations {
            let key = key(entry.namespace.as_deref(), &entry.name, entry.version.as_deref());
            self.transformations.insert(key, (file.to_owned(), entry));
        }
    }

    /// Where the file lies on this machine: `None` if no catalog names it.
    pub fn replica(&self, lfn: &str) -> Option<Option<&str>> {
        self.replicas
            .get(lfn)
            .map(|paths| paths.first().map(String::as_str))
    }

    /// The program's absolute path and the profiles that come with it.
    pub fn program(&self, root: &str, job: &str, key: &str) -> Result<(String, Vec<&Profiles>), ReadError> {
        let unknown = || ReadError::UnknownTransformation {
            job: job.to_owned(),
            transformation: key.to_owned(),
        };
        let (file, entry) = self.transformations.get(key).ok_or_else(unknown)?;
        let unsupported = |what: String| ReadError::Unsupported {
            file: file.clone(),
            what,
        };
        if let Some(other) = entry.requires.first() {
            return Err(unsupported(format!("`{key}`, which requires `{other}`")));
        }
        let here = entry.sites.iter().find(|site| site.name == LOCAL);
        let site = here.or(entry.sites.first()).ok_or_else(unknown)?;
        if let Some(container) = &site.container {
            return Err(unsupported(format!("`{key}` in the container `{container}`")));
        }
        let path = local_path(folder(file), &expand(file, root, &site.pfn)?)
            .ok_or_else(|| unsupported(format!("`{key}` at `{}`, which is not on this machine", site.pfn)))?;
        Ok((path, vec![&entry.profiles, &site.profiles]))
    }
}

/// The absolute path a place means, if it is on this machine.
fn local_path(folder: &str, pfn: &str) -> Option<String> {
    let path = match pfn.split_once("://") {
        None => return Some(join(folder, pfn)),
        Some(("file", path)) => path,
        Some(_) => return None,
    };
    // `file:///path` and `file://localhost/path` are the same place.
    let path = path.strip_prefix("localhost").unwrap_or(path);
    path.starts_with('/').then(|| path.to_owned())
}

/// What a job asks for when its workflow does not say: a core, a gibibyte, a week.
pub const UNSTATED: Request = Request {
    cpus: 1,
    memory: Bytes(1 << 30),
    gpus: 0,
    walltime: Seconds(7 * 24 * 3600),
};

/// Looks a profile up; later sets win, as the transformation catalog wins over the job in Pegasus.
pub struct Lookup<'a> {
    /// The job, for messages.
    pub job: &'a str,
    /// The sets of profiles, the strongest last.
    pub sets: Vec<&'a Profiles>,
}

impl Lookup<'_> {
    fn text(&self, namespace: &str, key: &str) -> Option<&str> {
        // HTCondor and DAGMan do not tell capitals from small letters.
        self.sets.iter().rev().find_map(|set| {
            let values = set.get(namespace)?;
            let found = values.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
            found.map(|(_, value)| value.as_str())
        })
    }

    fn number(&self, namespace: &str, key: &str) -> Result<Option<u64>, ReadError> {
        let parse = |value: &str| value.trim().parse().map_err(|_| self.bad(namespace, key, value));
        self.text(namespace, key).map(parse).transpose()
    }

    fn bad(&self, namespace: &str, key: &str, value: &str) -> ReadError {
        ReadError::Profile {
            job: self.job.to_owned(),
            key: format!("{namespace}.{key}"),
            value: value.to_owned(),
        }
    }

    fn count(&self, pegasus: &str, condor: &str) -> Result<Option<u32>, ReadError> {
        let count = match self.number("condor", condor)? {
            Some(count) => Some(count),
            None => self.number("pegasus", pegasus)?,
        };
        let small =
            |count: u64| u32::try_from(count).map_err(|_| self.bad("pegasus", pegasus, &count.to_string()));
        count.map(small).transpose()
    }

    /// A size in MB unless a unit is given, as HTCondor reads it: its units are powers of 1024.
    fn memory(&self) -> Result<Option<Bytes>, ReadError> {
        let given = [("condor", "request_memory"), ("pegasus", "memory")];
        let given = given
            .into_iter()
            .find_map(|(namespace, key)| Some((namespace, key, self.text(namespace, key)?)));
        let Some((namespace, key, value)) = given else {
            return Ok(None);
        };
        let text = first_attempt(value).unwrap_or(value).trim();
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let shift = match text[end..].trim().to_ascii_uppercase().as_str() {
            "K" | "KB" => 10,
            "" | "M" | "MB" => 20,
            "G" | "GB" => 30,
            "T" | "TB" => 40,
            _ => return Err(self.bad(namespace, key, value)),
        };
        let number: f64 = text[..end].parse().map_err(|_| self.bad(namespace, key, value))?;
        let bytes = number * f64::from(shift).exp2();
        if bytes < u64::MAX as f64 {
            Ok(Some(Bytes(bytes as u64)))
        } else {
            Err(self.bad(namespace, key, value))
        }
    }

    /// What the job asks its machine for.
    pub fn request(&self) -> Result<Request, ReadError> {
        let walltime = match self.number("condor", "allowed_execute_duration")? {
            Some(seconds) => Some(seconds),
            None => self
                .number("pegasus", "maxwalltime")?
                .map(|minutes| minutes.saturating_mul(60)),
        };
        Ok(Request {
            cpus: self
                .count("cores", "request_cpus")?
                .unwrap_or(UNSTATED.cpus)
                .max(1),
            memory: self.memory()?.unwrap_or(UNSTATED.memory),
            gpus: self.count("gpus", "request_gpus")?.unwrap_or(UNSTATED.gpus),
            walltime: walltime.map_or(UNSTATED.walltime, Seconds),
        })
    }

    /// Attempts after the first; none when the workflow does not say.
    pub fn retries(&self) -> Result<u32, ReadError> {
        let retries = self.number("dagman", "retry")?.unwrap_or(0);
        u32::try_from(retries).map_err(|_| self.bad("dagman", "retry", &retries.to_string()))
    }
}
