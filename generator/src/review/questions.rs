//! What a specification leaves to defaults that matter, and what nobody knows yet.

use contract::{
    dataset::{Partition, Source},
    recipe::{ClassWeights, DeviceChoice},
    training::Arch,
};

use super::{Subject, model::Question};
use crate::{
    check::{Checked, DEFAULT_RESOURCES, Dataset},
    estimate::Basis,
};

/// Every question, what is about data first.
pub(super) fn open(subject: &Subject<'_>) -> Vec<Question> {
    let mut questions = Questions(Vec::new());
    let checked = subject.checked;
    if checked.intent.is_none() {
        questions.ask("intent", "what is the experiment for?", "write `intent`");
    }
    for dataset in &checked.datasets {
        questions.data(subject, dataset);
    }
    questions.model(checked);
    questions.training(checked);
    questions.result(checked);
    questions.machines(checked);
    questions.others(checked);
    questions.0
}

struct Questions(Vec<Question>);

impl Questions {
    fn ask(&mut self, about: &str, question: impl Into<String>, way_out: &str) {
        self.0.push(Question {
            about: about.to_owned(),
            question: question.into(),
            way_out: way_out.to_owned(),
        });
    }

    fn data(&mut self, subject: &Subject<'_>, dataset: &Dataset) {
        let config = &dataset.config;
        let about = format!("datasets.{}", config.dataset);
        let drawn = config.source.is_synthetic();
        match subject.sizes.samples(&config.dataset).map(|samples| samples.basis) {
            Some(Basis::Assumed(images)) => self.ask(
                &about,
                format!("how many images and patients are there? {} images are assumed", images.0),
                "give `--profile` what `fl-client profile` or an earlier run's `stats` wrote, or `--look` where the data is here",
            ),
            Some(Basis::Expected(_)) if !drawn => self.ask(
                &about,
                "how many images does each client get? equal shares are assumed",
                "give `--profile` the statistics of a run that has prepared the data",
            ),
            Some(Basis::Expected(_) | Basis::Counted) | None => {}
        }
        match config.partition {
            Partition::Natural | Partition::Attribute(_) => {}
            Partition::Iid
            | Partition::PatientHash
            | Partition::Dirichlet { .. }
            | Partition::QuantitySkew { .. }
            | Partition::Pathological { .. } => self.ask(
                &about,
                "clients are shares drawn of one source, not institutions: is that what the experiment is about?",
                "choose `by: natural` where the source names institutions",
            ),
        }
        if !drawn && config.quality.unusable == 0.0 {
            self.ask(
                &about,
                "a single image that cannot be read ends the experiment: is every one known to be readable?",
                "profile the folder, or allow a share with `quality: {unusable: 0.01}`",
            );
        }
        if let Source::Dicom { burned_in: true, .. } = config.source {
            self.ask(
                &about,
                "images with burned-in annotation are taken: may they name patients?",
                "leave `burned_in` out to count them as unusable",
            );
        }
    }

    fn model(&mut self, checked: &Checked) {
        let small = matches!(checked.model.arch, Arch::SmallCnn | Arch::SmallCnnBn);
        match &checked.model.weights {
            None if small => {}
            None => self.ask(
                "model",
                format!(
                    "`{}` starts from random weights: is that meant?",
                    checked.model.arch
                ),
                "name a file of published weights in `model: {weights: …}`",
            ),
            Some(path) => self.ask(
                "model",
                format!("`{path}` is read when the first job runs: is it there, and may it be used so?"),
                "look at it, and at its licence",
            ),
        }
    }

    fn training(&mut self, checked: &Checked) {
        let federation = &checked.federation;
        if federation.recipe.loss.class_weights == ClassWeights::Equal {
            self.ask(
                "federation.local.loss",
                "every class counts the same, whatever the balance of classes: is it known?",
                "see the balance in `stats`; `class_weights: balanced` makes rare ones count more",
            );
        }
        if federation.min_clients.is_none() {
            let tries = checked.execution.retries + 1;
            self.ask(
                "federation.min_clients",
                format!("one client whose training fails {tries} times ends the experiment: may rounds go on without some?"),
                "set `min_clients` to the fewest a round may be left with",
            );
        }
    }

    fn result(&mut self, checked: &Checked) {
        let evaluation = &checked.evaluation;
        if evaluation.baselines.is_empty() {
            self.ask(
                "evaluation.baselines",
                "what is the result compared with?",
                "add `centralized` (where data is in one place) or `local_only`",
            );
        }
        if !evaluation.intervals {
            self.ask(
                "evaluation.intervals",
                "results have no intervals: which difference would count?",
                "set `intervals: true`",
            );
        }
        self.ask(
            "seed",
            "one seed tells nothing of how results vary",
            "repeat the experiment with other seeds",
        );
        if checked
            .datasets
            .iter()
            .all(|dataset| dataset.config.validation.is_none())
        {
            self.ask(
                "datasets.*.validation",
                "sensitivity and specificity are told at a threshold of one half: is that the operating point?",
                "keep a share for choosing thresholds with `validation`",
            );
        }
    }

    fn machines(&mut self, checked: &Checked) {
        let execution = &checked.execution;
        let large = checked.model.arch != Arch::SmallCnn && checked.model.arch != Arch::SmallCnnBn;
        if execution.resources.train == DEFAULT_RESOURCES.train && large {
            let asked = execution.resources.train;
            self.ask(
                "execution.resources.train",
                format!(
                    "training asks for the default: {} and {} at most. Is that enough?",
                    asked.memory, asked.walltime
                ),
                "measure one client's training, and set `resources: {train: …}`",
            );
        }
        if execution.device == DeviceChoice::Cpu && large {
            self.ask(
                "execution.device",
                format!("`{}` trains on CPUs: is that meant?", checked.model.arch),
                "set `device: auto` or `cuda:0`, with `gpus` in `resources`",
            );
        }
    }

    fn others(&mut self, checked: &Checked) {
        let privacy = &checked.privacy;
        if privacy.central.is_none()
            && !privacy.secure_aggregation
            && checked.federation.recipe.privacy.is_none()
        {
            self.ask(
                "privacy",
                "whoever aggregates can read each client's update, from which training images may be inferred: is that agreed?",
                "see `privacy`: `secure_aggregation`, `central` or `local` noise",
            );
        }
        if checked.sites.is_empty()
            && !checked
                .datasets
                .iter()
                .all(|dataset| dataset.config.source.is_synthetic())
        {
            self.ask(
                "sites",
                "shards are images, and go from the submit host to any machine of the pool: is that allowed?",
                "keep data where it is with `sites`",
            );
        }
    }
}
