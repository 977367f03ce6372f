//! `fedwing show`: the review document of a specification or a sweep, and pictures of a plan.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use contract::{
    args::{Binary, ProfileArgs},
    argv::JobArgs,
    dataset::{DatasetConfig, DatasetStats, Manifest, Source as Images},
    ids::DatasetName,
    job::read_json,
    profile::Profile,
    units::Bytes,
};
use serde_json::Value;

use super::{
    check::{self, Proven},
    error::OpError,
    programs,
    simulate::{self, Layouts},
    source::Source,
    sweep::source_of,
    write_text,
};
use crate::{
    check::Checked,
    diag::DiagnosticsJson,
    estimate::{Basis, Known, Samples, Sizes, images},
    plan::{self, Plan},
    review::{self, Graph, Makespan, Review, Subject, SweepReview},
    simulate::Pool,
};

/// The largest profile, statistics or manifest read, in bytes: a manifest of some million images.
const MAX_DOCUMENT: u64 = 512 << 20;

/// What is known of the data beside the specification.
#[derive(Debug, Clone, Default)]
pub struct ShowRequest {
    /// Profiles, statistics and manifests, as `FILE` or `DATASET=FILE`.
    pub documents: Vec<String>,
    /// Whether to look at the data of datasets that no document is about.
    pub look: Look,
    /// The file of a pool to predict makespans on.
    pub pool: Option<PathBuf>,
    /// Where to write the plan's graph as DOT.
    pub dot: Option<PathBuf>,
    /// Where to write the plan's graph as SVG.
    pub svg: Option<PathBuf>,
}

/// Whether to look at data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Look {
    /// No.
    #[default]
    No,
    /// With `fl-client profile`, where it is on this machine.
    Yes,
}

/// What was asked for, and what it could not look at.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The review.
    pub reviewed: Reviewed,
    /// Folders that should be looked at and are not on this machine.
    pub not_here: Vec<PathBuf>,
}

/// What was reviewed.
#[derive(Debug, Clone)]
pub enum Reviewed {
    /// One experiment.
    One(Box<Review>),
    /// The points of a sweep.
    Sweep(SweepReview),
}

/// Reviews the specification at `path`, and writes the pictures that are asked for.
///
/// Makespans are predicted in every layout, and in its own for each point of a sweep.
///
/// # Errors
/// [`OpError::Rejected`] with every mistake of the specification; [`OpError::Sweep`] when a picture of one is asked for;
/// [`OpError::Document`] for a file that tells nothing of a dataset; [`OpError::PoolRejected`] and [`OpError::Simulate`] for a
/// pool that cannot be used; [`OpError::Look`] when a folder cannot be profiled; [`OpError::Read`] and [`OpError::WriteWhole`].
pub fn show(path: &Path, request: &ShowRequest) -> Result<Shown, OpError> {
    let source = Source::read(path)?;
    let (proven, result) = check::proven(&source)?;
    let warnings = warnings(&result.diagnostics.to_json());
    let mut desk = Desk::new(request)?;
    let reviewed = match proven {
        Proven::One(checked) => {
            let plan = plan::lower(&checked)?;
            let review = desk.review(&checked, &plan, Layouts::All, &warnings)?;
            let graph = Graph::of(&plan);
            if let Some(file) = &request.dot {
                write_text(file, &review::dot(&graph))?;
            }
            if let Some(file) = &request.svg {
                write_text(file, &review::svg(&graph))?;
            }
            Reviewed::One(Box::new(review))
        }
        Proven::Sweep(sweep) if request.dot.is_some() || request.svg.is_some() => {
            return Err(check::is_sweep(&source, &sweep));
        }
        Proven::Sweep(sweep) => {
            let mut all = SweepReview::new(&sweep, warnings);
            for point in &sweep.points {
                let (checked, _) = check::accepted(&source_of(&source, point))?;
                let plan = plan::lower(&checked)?;
                let review = desk.review(&checked, &plan, Layouts::AsSpecified, &[])?;
                all.add(point, &review);
            }
            Reviewed::Sweep(all)
        }
    };
    Ok(Shown {
        reviewed,
        not_here: desk.not_here(),
    })
}

/// What lies ready for reviewing: each file is read and each folder looked at once, for however many points.
struct Desk<'a> {
    request: &'a ShowRequest,
    pool: Option<Pool>,
    documents: BTreeMap<PathBuf, Document>,
    /// By folder, what is in it; `None` where it is not on this machine.
    folders: BTreeMap<PathBuf, Option<Profile>>,
}

/// A file that tells of a dataset.
enum Document {
    Stats(DatasetStats),
    Manifest(Manifest),
    Profile(Box<Profile>),
}

impl<'a> Desk<'a> {
    fn new(request: &'a ShowRequest) -> Result<Self, OpError> {
        Ok(Self {
            request,
            pool: request.pool.as_deref().map(simulate::read_pool).transpose()?,
            documents: BTreeMap::new(),
            folders: BTreeMap::new(),
        })
    }

    fn review(
        &mut self,
        checked: &Checked,
        plan: &Plan,
        layouts: Layouts,
        warnings: &[String],
    ) -> Result<Review, OpError> {
        let mut about = About::default();
        for given in &self.request.documents {
            about.read(checked, given, &mut self.documents)?;
        }
        if self.request.look == Look::Yes {
            about.look(checked, &mut self.folders)?;
        }
        if let Some(weights) = &checked.model.weights {
            // The file may well be on another machine; its length is then assumed.
            about.known.weights = fs::metadata(weights).ok().map(|found| Bytes(found.len()));
        }
        let sizes = Sizes::new(checked, &about.known);
        let predicted = match &self.pool {
            Some(pool) => simulate::predictions(pool, layouts, checked, plan, &sizes)?,
            None => Vec::new(),
        };
        let makespans: Vec<Makespan> = predicted
            .into_iter()
            .map(|predicted| Makespan {
                layout: predicted.layout,
                target: predicted.target,
                seconds: predicted.prediction.makespan_s,
            })
            .collect();
        Ok(review::review(&Subject {
            checked,
            plan,
            sizes: &sizes,
            found: &about.found,
            makespans: &makespans,
            warnings,
        }))
    }

    fn not_here(self) -> Vec<PathBuf> {
        let folders = self.folders.into_iter();
        folders
            .filter(|(_, found)| found.is_none())
            .map(|(folder, _)| folder)
            .collect()
    }
}

fn warnings(found: &DiagnosticsJson) -> Vec<String> {
    let lines = found
        .diagnostics
        .iter()
        .map(|one| format!("{} at line {}: {}", one.code, one.line, one.message));
    lines.collect()
}

/// What documents and folders tell of the datasets of an experiment.
#[derive(Default)]
struct About {
    known: Known,
    found: BTreeMap<DatasetName, Profile>,
}

impl About {
    /// Takes in `FILE` or `DATASET=FILE`.
    fn read(
        &mut self,
        checked: &Checked,
        given: &str,
        documents: &mut BTreeMap<PathBuf, Document>,
    ) -> Result<(), OpError> {
        let (dataset, file) = match given.split_once('=') {
            Some((dataset, file)) if config(checked, dataset).is_some() => (Some(dataset), file),
            _ => (None, given),
        };
        let path = Path::new(file);
        let refuse = |reason: String| OpError::Document {
            path: path.to_owned(),
            reason,
        };
        let document = match documents.entry(path.to_owned()) {
            Entry::Occupied(read) => read.into_mut(),
            Entry::Vacant(unread) => unread.insert(document(path).map_err(refuse)?),
        };
        match document {
            Document::Stats(stats) => self
                .counted(checked, stats.dataset.clone(), Samples::counted(stats))
                .map_err(refuse),
            Document::Manifest(manifest) => self
                .counted(checked, manifest.dataset.clone(), Samples::listed(manifest))
                .map_err(refuse),
            Document::Profile(profile) => {
                let config = whose(checked, dataset, profile).map_err(refuse)?;
                self.profiled(config, Profile::clone(profile));
                Ok(())
            }
        }
    }

    fn counted(&mut self, checked: &Checked, name: DatasetName, samples: Samples) -> Result<(), String> {
        let Some(config) = config(checked, name.as_str()) else {
            return Err(format!(
                "it is about `{name}`, which is no dataset of the specification"
            ));
        };
        let (told, wanted) = (samples.clients.len(), config.clients as usize);
        if told != wanted {
            return Err(format!(
                "it tells of {told} clients of `{name}`, the specification of {wanted}: it is of another one"
            ));
        }
        self.known.samples.insert(name, samples);
        Ok(())
    }

    fn profiled(&mut self, config: &DatasetConfig, profile: Profile) {
        let samples = Samples::expected(config, Basis::Expected(images(config, &profile)));
        let name = config.dataset.clone();
        // What was counted is better than what is expected.
        self.known.samples.entry(name.clone()).or_insert(samples);
        self.found.insert(name, profile);
    }

    /// Profiles the folders of datasets that no document is about, where they are.
    fn look(
        &mut self,
        checked: &Checked,
        folders: &mut BTreeMap<PathBuf, Option<Profile>>,
    ) -> Result<(), OpError> {
        for dataset in &checked.datasets {
            let config = &dataset.config;
            if self.found.contains_key(&config.dataset) || self.known.samples.contains_key(&config.dataset) {
                continue;
            }
            // What is drawn has no folder.
            let Some(folder) = folder(&config.source) else {
                continue;
            };
            let found = match folders.entry(folder) {
                Entry::Occupied(seen) => seen.into_mut(),
                Entry::Vacant(unseen) => {
                    let here = unseen.key().is_dir();
                    let found = here.then(|| profile(unseen.key())).transpose()?;
                    unseen.insert(found)
                }
            };
            if let Some(profile) = found {
                self.profiled(config, profile.clone());
            }
        }
        Ok(())
    }
}

fn config<'a>(checked: &'a Checked, name: &str) -> Option<&'a DatasetConfig> {
    let mut configs = checked.datasets.iter().map(|dataset| &dataset.config);
    configs.find(|config| config.dataset.as_str() == name)
}

/// The dataset that a profile is about: the one that is named, the one whose folder it is, or the only one.
fn whose<'a>(
    checked: &'a Checked,
    named: Option<&str>,
    profile: &Profile,
) -> Result<&'a DatasetConfig, String> {
    let of_folder = |config: &&DatasetConfig| {
        folder(&config.source).is_some_and(|folder| folder == Path::new(&profile.root))
    };
    let configs = || checked.datasets.iter().map(|dataset| &dataset.config);
    let only = configs().next().filter(|_| checked.datasets.len() == 1);
    let named = named.and_then(|name| config(checked, name));
    named
        .or_else(|| configs().find(of_folder))
        .or(only)
        .ok_or_else(|| {
            format!(
                "it is about the folder `{}`, which is no dataset's: write DATASET=FILE",
                profile.root
            )
        })
}

/// The folder whose profile tells of a source; none of what is drawn.
fn folder(source: &Images) -> Option<PathBuf> {
    match source {
        Images::Cxr14 { images, .. } => Some(PathBuf::from(images)),
        Images::Table { csv, .. } => Path::new(csv).parent().map(Path::to_owned),
        Images::Folder { root } | Images::Dicom { root, .. } => Some(PathBuf::from(root)),
        Images::Phantom { .. } => None,
    }
}

/// Reads a file that tells of a dataset, or says why it does not.
fn document(path: &Path) -> Result<Document, String> {
    let value: Value = read_json(path, MAX_DOCUMENT).map_err(|error| error.message)?;
    let version = |key: &str, known: u32| match value.get(key).and_then(Value::as_u64) {
        None => Ok(false),
        Some(found) if found == u64::from(known) => Ok(true),
        Some(found) => Err(format!(
            "it has format version {found}, this program reads version {known}"
        )),
    };
    let read = if version("fedwing_stats", DatasetStats::VERSION)? {
        serde_json::from_value(value).map(Document::Stats)
    } else if version("fedwing_manifest", Manifest::VERSION)? {
        serde_json::from_value(value).map(Document::Manifest)
    } else if version("fedwing_profile", Profile::VERSION)? {
        serde_json::from_value(value).map(Document::Profile)
    } else {
        return Err("it is no profile, statistics or manifest of fedwing's".to_owned());
    };
    read.map_err(|error| error.to_string())
}

/// Runs `fl-client profile` on a folder.
fn profile(folder: &Path) -> Result<Profile, OpError> {
    let refuse = |reason: String| OpError::Look {
        folder: folder.to_owned(),
        reason,
    };
    let programs = programs::find()?;
    let beside = tempfile::tempdir().map_err(|error| refuse(error.to_string()))?;
    let file = beside.path().join("profile.json");
    let output = Command::new(&programs[&Binary::FlClient])
        .arg(ProfileArgs::NAME)
        .arg("--root")
        .arg(folder)
        .arg("--profile")
        .arg(&file)
        .output()
        .map_err(|error| refuse(error.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(refuse(said.trim().to_owned()));
    }
    read_json(&file, MAX_DOCUMENT).map_err(|error| refuse(error.message))
}
