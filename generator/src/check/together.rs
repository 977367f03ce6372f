//! Rules that look at several parts at once.

use contract::training::{Arch, Target};

use super::{
    dataset::Proven, execution::ProvenExecution, memory::training, training::ProvenEvaluation,
    training::ProvenFederation,
};
use crate::{
    diag::{Code, Diagnostic},
    spec::Found,
};

/// Testing each final model on the other datasets needs several, with the same input and number of classes.
pub fn cross_dataset(evaluation: &ProvenEvaluation, datasets: &[Proven], found: &mut Found) {
    if !evaluation.checked.cross_dataset {
        return;
    }
    let [first, others @ ..] = datasets else { return };
    if others.is_empty() {
        found.push(
            Diagnostic::warning(
                Code::CrossDatasetAlone,
                evaluation.cross_dataset,
                "there is one dataset, and nothing to test its model across",
            )
            .label("has no effect")
            .help("declare a second dataset, or set it to `false`"),
        );
    }
    for other in others {
        let classes = |proven: &Proven| proven.task.value.classes().len() as u64;
        let differences = [
            (
                "image size",
                u64::from(first.image.size),
                u64::from(other.image.size),
                other.size_span,
            ),
            (
                "channels",
                u64::from(first.image.channels),
                u64::from(other.image.channels),
                other.channels_span,
            ),
            (
                "number of classes",
                classes(first),
                classes(other),
                other.task.span,
            ),
        ];
        let kind = |proven: &Proven| match proven.task.value.target() {
            Target::Classes => "one class an image",
            Target::Labels => "several labels an image",
        };
        if kind(first) != kind(other) {
            let words = format!(
                "`{}` has {} but `{}` has {}: no model fits both",
                other.name,
                kind(other),
                first.name,
                kind(first)
            );
            found.push(
                Diagnostic::error(Code::CrossDatasetMismatch, other.task.span, words)
                    .label(format!("must be as in `{}`", first.name))
                    .help("make the tasks alike, or set `cross_dataset: false`"),
            );
        }
        for (what, wanted, given, span) in differences {
            if wanted != given {
                let words = format!(
                    "`{}` has {what} {given} but `{}` has {wanted}: no model fits both",
                    other.name, first.name
                );
                found.push(
                    Diagnostic::error(Code::CrossDatasetMismatch, span, words)
                        .label(format!("must be {wanted}, as in `{}`", first.name))
                        .help("make them equal, or set `cross_dataset: false`"),
                );
            }
        }
    }
}

/// Warns where training will probably not fit into the memory asked for.
pub fn memory(
    federation: &ProvenFederation,
    execution: &ProvenExecution,
    arch: Arch,
    datasets: &[Proven],
    found: &mut Found,
) {
    let recipe = &federation.checked.recipe;
    let batch_size = recipe.batch_size;
    let needs = |dataset: &Proven| {
        let size = dataset.image.size;
        (training(arch, &dataset.image, recipe), size)
    };
    let Some((needed, size)) = datasets.iter().map(needs).max() else {
        return;
    };
    let asked = execution.checked.resources.train.memory;
    if needed <= asked {
        return;
    }
    let words = format!(
        "training `{arch}` on {batch_size} images of {size} pixels at a time takes about {needed}, and {asked} is asked for"
    );
    found.push(
        Diagnostic::warning(
            Code::LittleMemory,
            execution.train_memory.unwrap_or(federation.places.batch_size),
            words,
        )
        .label("probably too little memory")
        .help("raise `memory` in `execution: {resources: {train: ...}}`, or lower `batch_size`"),
    );
}
