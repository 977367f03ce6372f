//! What the recipe says, and what reaches the jobs beside it.

use std::{collections::BTreeSet, path::Path};

use contract::{
    args::Job,
    recipe::{
        Across, Augment, ClassWeights, Decay, DeviceChoice, EarlyStop, LocalPrivacy, Loss, LossKind, Method,
        OptimizerState, Precision, Recipe, Schedule,
    },
    training::{Moments, Optimizer},
};
use fedwing::{check::check, plan};

use super::words::{FOUR, Words, evaluations, recipe, trains};

#[test]
fn thresholds_intervals_predictions_and_the_device_reach_the_jobs() {
    let plan = Words {
        more: "evaluation: {baselines: [centralized], intervals: true, predictions: true}\n\
               execution: {device: cuda:1}",
        ..FOUR
    }
    .plan();
    let evaluations = evaluations(&plan);
    let seeds: BTreeSet<_> = evaluations.iter().map(|args| args.seed.unwrap().0).collect();
    assert_eq!(seeds.len(), 3, "one for each round");
    let written: Vec<_> = evaluations
        .iter()
        .filter_map(|args| args.predictions.as_ref())
        .map(ToString::to_string)
        .collect();
    assert_eq!(written, ["e1.nih.r0002.predictions.safetensors"]);
    for job in &plan.jobs {
        let (device, computes) = match &job.job {
            Job::Train(args) => (args.device, true),
            Job::Evaluate(args) => (args.device, true),
            Job::Baseline(args) => (args.device, true),
            _ => (None, false),
        };
        assert_eq!(device, computes.then_some(DeviceChoice::Cuda(1)));
        assert_eq!(job.request.gpus, if computes { 2 } else { 0 }, "{}", job.id);
    }
}

#[test]
fn the_recipe_says_what_the_specification_does() {
    let report = check(
        include_str!("../../../examples/options.yml"),
        "options.yml",
        Path::new("/specs"),
    );
    let checked = report.checked.unwrap();
    let wanted = Recipe {
        fedwing_recipe: Recipe::VERSION,
        batch_size: 16,
        optimizer: Optimizer::Adamw(Moments {
            learning_rate: 0.003,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.01,
        }),
        optimizer_state: OptimizerState::Reset,
        schedule: Schedule {
            across: Across::Rounds,
            periods: 4,
            warm_up: 1,
            decay: Decay::Cosine { least: 0.05 },
        },
        loss: Loss {
            kind: LossKind::CrossEntropy,
            smoothing: 0.05,
            class_weights: ClassWeights::Balanced,
        },
        method: Method::Fedprox { mu: 0.01 },
        clip_norm: Some(5.0),
        freeze: Vec::new(),
        augment: Some(Augment {
            crop: 0.9,
            flip: 0.0,
            rotate: 5.0,
            brightness: 0.1,
            contrast: 0.1,
        }),
        validation: Some(0.15),
        early_stop: Some(EarlyStop {
            patience: 2,
            least: 0.0,
        }),
        privacy: None,
        precision: Precision::F32,
        ahead: 2,
    };
    assert_eq!(checked.federation.recipe, wanted);
    let plan = plan::lower(&checked).unwrap();
    let read: Recipe = serde_json::from_str(
        &plan
            .statics
            .iter()
            .find(|file| file.name.as_str() == "options.chest.recipe.json")
            .unwrap()
            .content,
    )
    .unwrap();
    assert_eq!(read, wanted, "what jobs read is what was proven");
    let validated: Vec<bool> = evaluations(&plan)
        .iter()
        .map(|args| args.validation_shard.is_some())
        .collect();
    assert_eq!(validated, [true; 5]);
}

#[test]
fn frozen_tensors_and_the_samples_privacy_stand_in_the_recipe() {
    let plan = Words {
        more: "privacy: {local: {norm: 0.5, noise_multiplier: 1.1, delta: 1e-5}}",
        ..FOUR
    }
    .plan();
    let private = recipe(&plan).privacy;
    let wanted = LocalPrivacy {
        norm: 0.5,
        noise_multiplier: 1.1,
        delta: 1e-5,
    };
    assert_eq!(private, Some(wanted));
    assert!(
        trains(&plan).iter().all(|train| train.personal_out.is_some()),
        "a client keeps account of its steps"
    );
}
