//! Proves a specification: every rule, all mistakes at once.
//!
//! In: [`crate::spec`]. Out: [`Checked`], the only form that reaches [`crate::plan`]. Pure: nothing is looked up on
//! disk. Start at [`check`]. Every function here takes a part apart without `..`: a field that reaches nothing is a
//! compiler warning.

mod algorithm;
mod checked;
mod dataset;
mod execution;
mod learning;
mod local;
mod memory;
mod methods;
mod paths;
mod rules;
mod sites;
mod sweep;
mod together;
mod training;

use std::path::Path;

use contract::ids::{Seed, SpecDigest};
use sha2::{Digest, Sha256};

pub use checked::{
    Checked, Compression, Dataset, Evaluation, Execution, Federation, Layout, Model, PegasusSettings,
    Privacy, Request, Resources, Site, SubmitHost,
};
pub use execution::DEFAULT_RESOURCES;
pub use sweep::{Axis, Point, Sweep};

use crate::{
    diag::{Code, Diagnostic, Diagnostics, Span, Text},
    spec::{self, At, Document, Found, Spec, types},
};

/// What checking a specification gives.
#[derive(Debug, Clone)]
pub struct Report {
    /// The proven specification; none when there is an error, and for a sweep.
    pub checked: Option<Checked>,
    /// The proven sweep; none when there is an error, and for a specification of one experiment.
    pub sweep: Option<Sweep>,
    /// Errors and warnings, in the order of the text.
    pub diagnostics: Diagnostics,
}

impl Report {
    /// Whether there is no error.
    pub fn accepted(&self) -> bool {
        self.checked.is_some() || self.sweep.is_some()
    }
}

/// Checks the specification `text`.
///
/// `file_name` is how messages call the file. Relative paths in the specification start at `base_dir`, the folder of
/// the file; it must be absolute for the paths in [`Checked`] to be. Paths are resolved by their words alone: nothing
/// is read.
///
/// # Example
/// ```
/// let report = fedwing::check::check("fedwing: 1\n", "e1.yml", std::path::Path::new("/specs"));
/// assert!(report.checked.is_none());
/// assert!(report.diagnostics.iter().any(|found| found.message.contains("lacks the key `name`")));
/// ```
pub fn check(text: &str, file_name: &str, base_dir: &Path) -> Report {
    let mut found = Found::new();
    let shown = Text::new(file_name, text);
    let (checked, sweep) = match spec::document(text, &mut found) {
        Some(Document::One(spec)) => {
            let checked = spec.and_then(|spec| prove(spec, digest(text), base_dir, &mut found));
            (checked, None)
        }
        Some(Document::Sweep(written)) => {
            let sweep = sweep::prove(&written, &shown, digest(text), base_dir, &mut found);
            (None, sweep)
        }
        None => (None, None),
    };
    let diagnostics = Diagnostics::new(shown, found);
    let accepted = !diagnostics.has_errors();
    Report {
        checked: checked.filter(|_| accepted),
        sweep: sweep.filter(|_| accepted),
        diagnostics,
    }
}

/// SHA-256 of a specification's text.
pub fn digest(text: &str) -> SpecDigest {
    let hex: String = Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    SpecDigest::new(&hex).expect("SHA-256 is 64 hexadecimal digits")
}

/// Applies every rule to what could be read. `None` when a part is missing; the mistake has been reported then.
fn prove(spec: Spec, digest: SpecDigest, base: &Path, found: &mut Found) -> Option<Checked> {
    let Spec {
        fedwing,
        name,
        intent,
        seed,
        datasets,
        model,
        federation,
        evaluation,
        sites,
        execution,
        privacy,
        sweep: _, // points have none
    } = spec;
    // Every part first, so that all mistakes are found; then the whole.
    let arch = model
        .as_ref()
        .and_then(|model| model.value.arch.as_ref())
        .map(|arch| training::arch(&arch.value));
    let model = model.and_then(|model| training::model(model.value, base, found));
    let federation = federation.and_then(|federation| training::federation(federation.value, found));
    let sites_span = sites.as_ref().map(|sites| sites.span);
    if sites_span.is_some() {
        sites::pegasus(execution.as_ref().map(|execution| &execution.value), found);
        sites::evaluation(evaluation.as_ref().map(|evaluation| &evaluation.value), found);
    }
    let execution = execution::execution(execution.map(|execution| execution.value), found);
    let evaluation = training::evaluation(evaluation.map(|evaluation| evaluation.value), found);
    let proven_privacy = learning::privacy(privacy.as_ref().map(|privacy| &privacy.value), found);
    keeping_data(sites_span, privacy, found);

    let header = match (name, seed) {
        (Some(name), Some(seed)) => Some(dataset::Header {
            experiment: name.value.0,
            seed: Seed(seed.value.get()),
            digest,
        }),
        _ => None,
    };
    let datasets = datasets?.value.0;
    let written = datasets.len();
    if sites_span.is_some() {
        for (_, dataset) in &datasets {
            sites::dataset(&dataset.value, found);
        }
    }
    let datasets: Vec<dataset::Proven> = datasets
        .into_iter()
        .filter_map(|(name, dataset)| dataset::dataset(name.value, dataset.value, arch, base, found))
        .collect();
    if let (Some(evaluation), true) = (&evaluation, written == datasets.len()) {
        together::cross_dataset(evaluation, &datasets, found);
    }
    if let (Some(federation), Some(execution), Some(arch)) = (&federation, &execution, arch) {
        together::memory(federation, execution, arch, &datasets, found);
    }
    if let (Some(model), Some(federation)) = (&model, &federation) {
        let (privacy, evaluation) = (proven_privacy.as_ref(), evaluation.as_ref());
        methods::methods(model, federation, privacy, evaluation, found);
        methods::class_weights(federation, &datasets, found);
    }
    if let (Some(federation), Some(execution), Some(privacy)) = (&federation, &execution, &proven_privacy) {
        // A dataset that could not be read may have the fewest clients.
        let datasets = if written == datasets.len() {
            &datasets[..]
        } else {
            &[]
        };
        learning::learning(federation, execution, privacy, datasets, found);
    }

    let sites = match sites {
        Some(sites) => {
            let clients = (written == datasets.len())
                .then(|| datasets.iter().map(|dataset| dataset.clients).max())
                .flatten();
            let taken = execution
                .as_ref()
                .map(|execution| execution.checked.pegasus.compute_site.as_str());
            sites::sites(sites, clients, taken, found)
        }
        None => Some(Vec::new()),
    };

    let At {
        value: spec::FormatVersion,
        span: _,
    } = fedwing?;
    let header = header?;
    let training::ProvenModel {
        checked: model,
        freeze,
    } = model?;
    let proven_privacy = proven_privacy?;
    let mut federation = federation?.checked;
    federation.recipe.freeze = rules::plain(freeze);
    federation.recipe.privacy = proven_privacy.samples;
    Some(Checked {
        datasets: datasets
            .into_iter()
            .map(|dataset| dataset.named(&header))
            .collect(),
        name: header.experiment,
        intent: intent.map(|intent| intent.value.0),
        seed: header.seed,
        digest: header.digest,
        model,
        federation,
        evaluation: evaluation?.checked,
        sites: sites?,
        execution: execution?.checked,
        privacy: proven_privacy.checked,
    })
}

/// The promise that data stays at its sites, which there must be for it.
fn keeping_data(sites: Option<Span>, privacy: Option<At<types::Privacy>>, found: &mut Found) {
    let Some(At {
        value:
            types::Privacy {
                data_stays_at_site,
                // Proven with the rule they belong to.
                central: _,
                local: _,
                secure_aggregation: _,
            },
        span: _,
    }) = privacy
    else {
        return;
    };
    if let Some(At { value: true, span }) = data_stays_at_site
        && sites.is_none()
    {
        found.push(
            Diagnostic::error(
                Code::BrokenPromise,
                span,
                "data cannot be promised to stay at its site when no sites are declared",
            )
            .label("a promise nothing here can keep")
            .help("set it to `false`, or leave it out"),
        );
    }
}
