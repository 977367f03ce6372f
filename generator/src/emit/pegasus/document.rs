//! Pegasus documents as they are written: what matters for running is kept, the rest is passed over.

use std::collections::BTreeMap;

use serde::{Deserialize, de::DeserializeOwned};

use super::read::ReadError;

/// Keys and values by namespace.
pub type Profiles = BTreeMap<String, BTreeMap<String, String>>;

/// An abstract workflow, alone or with catalogs inside.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowDoc {
    pub pegasus: String,
    pub name: String,
    #[serde(default)]
    pub profiles: Profiles,
    pub replica_catalog: Option<ReplicasDoc>,
    pub transformation_catalog: Option<TransformationsDoc>,
    pub jobs: Vec<JobDoc>,
    #[serde(default)]
    pub job_dependencies: Vec<DependencyDoc>,
}

/// A job, or a sub-workflow in a job's place.
#[derive(Debug, Deserialize)]
pub struct JobDoc {
    #[serde(rename = "type", default)]
    pub kind: JobKind,
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub version: Option<String>,
    pub file: Option<String>,
    pub id: String,
    #[serde(default)]
    pub arguments: Vec<String>,
    #[serde(default)]
    pub uses: Vec<UseDoc>,
    pub stdin: Option<String>,
    pub stdout: Option<String>,
    pub stderr: Option<String>,
    #[serde(default)]
    pub profiles: Profiles,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

/// What stands in a job's place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum JobKind {
    #[default]
    Job,
    PegasusWorkflow,
    CondorWorkflow,
}

/// A file a job uses.
#[derive(Debug, Deserialize)]
pub struct UseDoc {
    pub lfn: String,
    #[serde(rename = "type")]
    pub link: String,
}

/// A job and those that wait for it.
#[derive(Debug, Deserialize)]
pub struct DependencyDoc {
    pub id: String,
    #[serde(default)]
    pub children: Vec<String>,
}

/// A replica catalog.
#[derive(Debug, Default, Deserialize)]
pub struct ReplicasDoc {
    #[serde(default)]
    pub replicas: Vec<ReplicaDoc>,
}

/// Where a file lies.
#[derive(Debug, Deserialize)]
pub struct ReplicaDoc {
    pub lfn: String,
    #[serde(default)]
    pub pfns: Vec<PfnDoc>,
    #[serde(default)]
    pub regex: bool,
}

/// One place of a file.
#[derive(Debug, Deserialize)]
pub struct PfnDoc {
    pub pfn: String,
}

/// A transformation catalog.
#[derive(Debug, Default, Deserialize)]
pub struct TransformationsDoc {
    #[serde(default)]
    pub transformations: Vec<TransformationDoc>,
}

/// A program by its logical name.
#[derive(Debug, Clone, Deserialize)]
pub struct TransformationDoc {
    pub namespace: Option<String>,
    pub name: String,
    pub version: Option<String>,
    #[serde(default)]
    pub requires: Vec<String>,
    #[serde(default)]
    pub sites: Vec<TransformationSiteDoc>,
    #[serde(default)]
    pub profiles: Profiles,
}

/// Where a program lies.
#[derive(Debug, Clone, Deserialize)]
pub struct TransformationSiteDoc {
    pub name: String,
    pub pfn: String,
    pub container: Option<String>,
    #[serde(default)]
    pub profiles: Profiles,
}

/// Reads one document; `file` is named in the error.
pub fn parse<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, ReadError> {
    // The caller has bounded the text; these bounds follow from it and guard only against aliases that multiply it.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: text.len().saturating_add(1000),
            max_nodes: text.len().saturating_add(1000),
            max_total_scalar_bytes: text.len().saturating_mul(2).saturating_add(1000),
            max_depth: 32,
        },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| ReadError::Document {
        file: file.to_owned(),
        reason: error.to_string(),
    })
}
