//! Puts a review together.

use std::{collections::BTreeMap, num::NonZeroU32};

use contract::{ids::DatasetName, profile::Profile};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    data,
    model::{LayoutReview, Makespan, ModelReview, Review, Setting},
    moved, questions,
};
use crate::{
    check::{Checked, Compression, Evaluation, Layout},
    estimate::{Sizes, plannings},
    plan::Plan,
};

/// Rounds of a sub-workflow in the layout shown where the specification chooses none.
const USUAL_CHUNK: NonZeroU32 = NonZeroU32::new(10).expect("10 is not 0");

/// What is reviewed.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The specification, proven.
    pub checked: &'a Checked,
    /// Its plan.
    pub plan: &'a Plan,
    /// The sizes of its files.
    pub sizes: &'a Sizes,
    /// What was found at datasets' sources.
    pub found: &'a BTreeMap<DatasetName, Profile>,
    /// Makespans that were predicted.
    pub makespans: &'a [Makespan],
    /// Warnings of `check`, a line each.
    pub warnings: &'a [String],
}

/// Reviews a specification.
pub fn review(subject: &Subject<'_>) -> Review {
    let Subject {
        checked,
        plan,
        sizes,
        found,
        makespans,
        warnings,
    } = *subject;
    let datasets = checked.datasets.iter();
    Review {
        fedwing_review: Review::VERSION,
        experiment: checked.name.to_string(),
        intent: checked.intent.clone(),
        spec_digest: checked.digest.to_string(),
        seed: checked.seed.0,
        synthetic: plan.synthetic,
        datasets: datasets
            .map(|dataset| data::dataset(checked, dataset, sizes, found.get(&dataset.config.dataset)))
            .collect(),
        model: model(checked, sizes),
        algorithm: checked.federation.algorithm.to_owned(),
        rounds: checked.federation.rounds,
        epochs: checked.federation.epochs,
        min_clients: checked.federation.min_clients,
        training: training(checked),
        evaluation: evaluation(checked),
        privacy: settings(&json!({
            "central": checked.privacy.central,
            "samples": checked.federation.recipe.privacy,
            "secure_aggregation": checked.privacy.secure_aggregation,
        })),
        jobs: moved::jobs(plan),
        files: moved::files(plan, sizes),
        layouts: layouts(plan),
        places: moved::places(plan, sizes),
        traffic: moved::traffic(plan, sizes),
        makespans: makespans.to_vec(),
        warnings: warnings.to_vec(),
        assumptions: sizes.assumptions().to_vec(),
        open_questions: questions::open(subject),
    }
}

fn model(checked: &Checked, sizes: &Sizes) -> ModelReview {
    let names: Vec<&DatasetName> = checked
        .datasets
        .iter()
        .map(|dataset| &dataset.config.dataset)
        .collect();
    ModelReview {
        arch: checked.model.arch.to_string(),
        parameters: names.iter().map(|name| sizes.parameters(name)).collect(),
        bytes: names.iter().map(|name| sizes.model(name)).collect(),
        update: names.iter().map(|name| sizes.update(name)).collect(),
        weights: checked.model.weights.clone(),
    }
}

/// The rule, the encoding and the recipe.
fn training(checked: &Checked) -> Vec<Setting> {
    let federation = &checked.federation;
    let compression = federation.compression.map(
        |Compression {
             encoding,
             error_feedback,
         }| { json!({"encoding": encoding, "error_feedback": error_feedback}) },
    );
    let mut recipe = value(&federation.recipe);
    if let Value::Object(recipe) = &mut recipe {
        // The file's version is no setting, and privacy has a place of its own.
        recipe.remove("fedwing_recipe");
        recipe.remove("privacy");
    }
    let mut all = settings(
        &json!({"aggregation": federation.strategy, "compression": compression, "broadcast": federation.broadcast}),
    );
    all.extend(settings(&recipe));
    all
}

fn evaluation(checked: &Checked) -> Vec<Setting> {
    let Evaluation {
        baselines,
        cross_dataset,
        intervals,
        predictions,
        personal,
    } = &checked.evaluation;
    settings(&json!({
        "baselines": baselines,
        "cross_dataset": cross_dataset,
        "intervals": intervals,
        "predictions": predictions,
        "personal": *personal && checked.federation.recipe.has_personal_models(),
    }))
}

fn value(of: &impl Serialize) -> Value {
    serde_json::to_value(of).expect("settings have text keys and finite numbers")
}

/// Every leaf of a JSON value with its path, but for what is off: null, false, and lists without elements.
fn settings(value: &Value) -> Vec<Setting> {
    let mut all = Vec::new();
    leaves("", value, &mut all);
    all
}

fn leaves(path: &str, value: &Value, all: &mut Vec<Setting>) {
    let text = match value {
        Value::Null | Value::Bool(false) => return,
        Value::Object(map) => {
            for (key, value) in map {
                let path = match path {
                    "" => key.clone(),
                    path => format!("{path}.{key}"),
                };
                leaves(&path, value, all);
            }
            return;
        }
        Value::Array(list) if list.is_empty() => return,
        Value::Array(list) => {
            let words: Vec<String> = list.iter().map(word).collect();
            words.join(", ")
        }
        Value::Bool(true) => "yes".to_owned(),
        Value::Number(_) | Value::String(_) => word(value),
    };
    all.push(Setting {
        name: path.to_owned(),
        value: text,
    });
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The chosen layout, then the others.
fn layouts(plan: &Plan) -> Vec<LayoutReview> {
    let chunks = match plan.layout {
        Layout::Chunks { rounds } => rounds,
        Layout::Flat | Layout::Rounds => USUAL_CHUNK,
    };
    let all = [Layout::Flat, Layout::Rounds, Layout::Chunks { rounds: chunks }];
    let others = all.into_iter().filter(|layout| *layout != plan.layout);
    std::iter::once(plan.layout)
        .chain(others)
        .map(|layout| {
            let divided = plannings(plan, layout);
            LayoutReview {
                layout: match layout {
                    Layout::Flat => "flat".to_owned(),
                    Layout::Rounds => "rounds".to_owned(),
                    Layout::Chunks { rounds } => format!("{{chunks: {rounds}}}"),
                },
                chosen: layout == plan.layout,
                entries: divided.entries,
                sub_workflows: divided.sub_workflows,
                plannings: divided.plannings,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_off_is_no_setting_and_what_is_on_has_its_path() {
        let all = settings(&json!({
            "a": {"b": 0.1, "c": null, "d": false},
            "e": true, "f": [], "g": ["x", 1], "h": "word",
        }));
        let pairs: Vec<_> = all
            .iter()
            .map(|one| (one.name.as_str(), one.value.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [("a.b", "0.1"), ("e", "yes"), ("g", "x, 1"), ("h", "word")]
        );
    }
}
