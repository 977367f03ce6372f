//! Every key of a specification, as people write it.
//!
//! Each declaration makes the type, its reader and its JSON Schema; documentation here is what editors show. A key may
//! be described here before it is built: [`crate::check`] refuses its use with a message that says so. Start at [`Spec`].

mod dataset;
mod execution;
mod learning;
mod local;
mod privacy;
mod source;
mod sweep;

pub use dataset::{
    Attribute, Clients, Dataset, Duplicates, FewClasses, Fit, Image, Normalize, Partition, Quality, Skew,
    SplitColumn, Test,
};
pub use execution::{
    Aggregation, Condor, Container, DataConfiguration, Execution, Layout, Pegasus, Request, Resources, Site,
    SiteProgram, SubmitHostStep,
};
pub use learning::{
    Algorithm, Arch, Baseline, Bound, Broadcast, Byzantine, Compression, Evaluation, Fairness, Federation,
    Head, KeptByzantine, Largest, Model, Nearness, Proximal, Quantised, ServerMoments, ServerMomentum,
    ServerRate, ServerStep, TrimmedShare, Weiszfeld, YogiMoments,
};
pub use local::{
    Across, Adam, Augment, ClassWeights, Constant, Cosine, EarlyStop, Focal, Local, Loss, LossKind,
    Optimizer, OptimizerState, Precision, Schedule, Sgd, Steps,
};
pub use privacy::{AdaptiveNorm, Central, FixedNorm, Privacy, SampleNoise};
pub use source::{
    Binary, BurnedIn, Cxr14, Dicom, Folder, Institution, Multiclass, Multilabel, Phantom, Slices, Source,
    Table, Task,
};
pub use sweep::Sweep;

use crate::spec::{
    leaf::{FormatVersion, Name, Named, Text, Whole},
    written::mapping,
};

mapping! {
    /// A federated-learning experiment.
    pub struct Spec {
        /// Specification format: 1.
        fedwing: required FormatVersion,
        /// The experiment's name; it stands in every file name.
        name: required Name,
        /// What the experiment is for, in your words.
        intent: optional Text,
        /// The seed everything random descends from.
        seed: required Whole<0, 9_007_199_254_740_992>,
        /// The datasets by name; each is a federation of its own.
        datasets: required Named<Dataset>,
        /// The network.
        model: required Model,
        /// How clients learn together.
        federation: required Federation,
        /// What the result is compared with; nothing when absent.
        evaluation: optional Evaluation,
        /// Where clients' data lives, by site: every client is of one. Absent when all data is in one place.
        sites: optional Named<Site>,
        /// How jobs are laid out and what they ask for.
        execution: optional Execution,
        /// What must not happen to the data.
        privacy: optional Privacy,
        /// Many experiments from this one, each with other values in some places.
        sweep: optional Sweep,
    }
}
