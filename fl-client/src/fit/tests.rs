//! Tests of whole trainings.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use contract::{
    dataset::{Depth, Split},
    ids::{ClientId, Round},
    recipe::{Across, Augment, ClassWeights, Decay, EarlyStop, Loss, LossKind, OptimizerState, Schedule},
    tensors::{Header, TensorKind},
    training::{Arch, Moments, Optimizer, Target},
    units::SampleCount,
};

use super::*;
use crate::{
    data::shard::{self, Shard},
    model::{Input, Role},
};

const INPUT: Input = Input {
    channels: 1,
    image_size: 8,
    classes: 3,
};

/// A shard of patients with three images each, brighter with the class.
fn shard(dir: &Path, client: u32, patients: u8) -> (PathBuf, Shard) {
    shard_of(Target::Classes, dir, client, patients)
}

/// With several labels an image, label `l` is there from class `l` on.
fn shard_of(target: Target, dir: &Path, client: u32, patients: u8) -> (PathBuf, Shard) {
    let samples = patients * 3;
    let labels: Vec<u8> = (0..samples).map(|sample| sample % 3).collect();
    let header = Header {
        kind: TensorKind::Shard,
        experiment: "e1".parse().unwrap(),
        dataset: "nih".parse().unwrap(),
        spec_digest: "0".repeat(64).parse().unwrap(),
        synthetic: true,
        round: None,
        client: Some(ClientId(client)),
        num_samples: SampleCount(u64::from(samples)),
        arch: None,
        channels: 1,
        image_size: 8,
        num_classes: 3,
        target,
        classes: ["a", "b", "c"].map(str::to_owned).to_vec(),
        normalize: Some((0.5, 0.25)),
    };
    let written: Vec<u8> = match target {
        Target::Classes => labels.clone(),
        Target::Labels => labels
            .iter()
            .flat_map(|class| (0..3).map(|label| u8::from(label <= *class)))
            .collect(),
    };
    let path = dir.join(format!("c{client}.st"));
    let of_patient = |sample: u8| [sample / 3 + 100 * client as u8; 16];
    let contents = shard::Contents {
        header: &header,
        split: Split::Train,
        depth: Depth::U8,
        labels: &written,
        patients: &(0..samples).map(of_patient).collect::<Vec<_>>(),
        source_digest: &"0".repeat(64),
    };
    shard::write(&path, &contents, |rows| {
        (0..samples).try_for_each(|sample| {
            let noise = |at: u32| ((at * 37 + u32::from(sample) * 101) % 61) as u8;
            let image: Vec<u8> = (0..64)
                .map(|at| labels[usize::from(sample)] * 60 + noise(at))
                .collect();
            rows.push(&image)
        })
    })
    .unwrap();
    let shard = Shard::open(&path).unwrap();
    (path, shard)
}

fn header() -> Header {
    Header {
        kind: TensorKind::Update,
        experiment: "e1".parse().unwrap(),
        dataset: "nih".parse().unwrap(),
        spec_digest: "0".repeat(64).parse().unwrap(),
        synthetic: true,
        round: Some(Round(2)),
        client: Some(ClientId(0)),
        num_samples: SampleCount(9),
        arch: Some(Arch::SmallCnn),
        channels: 1,
        image_size: 8,
        num_classes: 3,
        target: Target::Classes,
        classes: Vec::new(),
        normalize: None,
    }
}

/// A recipe that uses all there is.
fn rich() -> Recipe {
    let optimizer = Optimizer::Adamw(Moments {
        learning_rate: 0.01,
        beta1: 0.9,
        beta2: 0.99,
        epsilon: 1e-8,
        weight_decay: 0.01,
    });
    Recipe {
        schedule: Schedule {
            across: Across::Epochs,
            periods: 4,
            warm_up: 1,
            decay: Decay::Cosine { least: 0.1 },
        },
        loss: Loss {
            kind: LossKind::Focal { gamma: 1.5 },
            smoothing: 0.05,
            class_weights: ClassWeights::Balanced,
        },
        clip_norm: Some(0.5),
        freeze: vec!["conv1.bias".into()],
        augment: Some(Augment {
            crop: 0.7,
            flip: 0.5,
            rotate: 20.0,
            brightness: 0.1,
            contrast: 0.2,
        }),
        validation: Some(0.25),
        early_stop: Some(EarlyStop {
            patience: 2,
            least: 0.0,
        }),
        ..Recipe::plain(4, optimizer)
    }
}

fn sgd(learning_rate: f64) -> Optimizer {
    Optimizer::Sgd {
        learning_rate,
        momentum: 0.9,
        nesterov: true,
        weight_decay: 1e-4,
    }
}

struct Fixture {
    dir: tempfile::TempDir,
    path: PathBuf,
    shard: Shard,
    model: Model,
    start: Weights,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (path, shard) = shard(dir.path(), 0, 8);
        let model = Model::new(Arch::SmallCnn, INPUT).unwrap();
        let start = Weights::start(&model, Seed(3));
        Self {
            dir,
            path,
            shard,
            model,
            start,
        }
    }

    fn checkpoint(&self) -> PathBuf {
        self.dir.path().join("kept.st")
    }

    fn fit(&self, course: Course<'_>) -> Result<(Weights, Outcome), JobError> {
        let samples = Samples::new(&[(&self.path, &self.shard)], INPUT).unwrap();
        let mut weights = self.start.clone();
        let outcome = fit(&self.model, &mut weights, &samples, course, &mut ())?;
        Ok((weights, outcome))
    }

    fn fit_on(&self, threads: usize, course: Course<'_>) -> (Weights, Outcome) {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| self.fit(course)).unwrap()
    }
}

fn with(recipe: &Recipe, change: impl FnOnce(&mut Recipe)) -> Recipe {
    let mut recipe = recipe.clone();
    change(&mut recipe);
    recipe
}

#[test]
fn every_option_gives_the_same_bits_on_any_number_of_threads() {
    let fixture = Fixture::new();
    let plain = Recipe::plain(4, sgd(0.05));
    let recipes = [
        plain.clone(),
        with(&plain, |recipe| recipe.augment = rich().augment),
        with(&plain, |recipe| recipe.clip_norm = Some(0.1)),
        with(&rich(), |recipe| recipe.ahead = 1),
        with(&rich(), |recipe| recipe.ahead = 7),
    ];
    let mut ends = Vec::new();
    for recipe in &recipes {
        let one = fixture.fit_on(1, Course::of(3, recipe, Seed(5)));
        for threads in [1, 2, 4] {
            assert!(
                fixture.fit_on(threads, Course::of(3, recipe, Seed(5))) == one,
                "{threads}"
            );
        }
        ends.push(one.0);
    }
    // How far ahead batches are made changes nothing, everything else does.
    assert!(ends[3] == ends[4]);
    for (at, end) in ends[..4].iter().enumerate() {
        assert!(ends[..at].iter().all(|other| other != end), "recipe {at}");
    }
}

#[test]
fn a_training_learns_and_frozen_tensors_stay_as_they_are() {
    let fixture = Fixture::new();
    let recipe = with(&Recipe::plain(4, sgd(0.02)), |recipe| {
        recipe.freeze = vec!["conv*".into()];
    });
    let (weights, outcome) = fixture.fit(Course::of(8, &recipe, Seed(1))).unwrap();
    let losses = &outcome.epoch_loss;
    assert!(losses[7] < 0.5 * losses[0], "{losses:?}");
    for (place, spec) in fixture.model.tensors().iter().enumerate() {
        let stays = weights.real(place) == fixture.start.real(place);
        assert_eq!(stays, spec.name.starts_with("conv"), "{}", spec.name);
    }
    assert_eq!((outcome.trained_on, outcome.best_epoch), (24, None));
}

#[test]
fn several_labels_an_image_are_learnt_each_by_itself() {
    let fixture = Fixture::new();
    let (path, shard) = shard_of(Target::Labels, fixture.dir.path(), 2, 8);
    let samples = Samples::new(&[(&path, &shard)], INPUT).unwrap();
    let counts = Counts::of(
        Target::Labels,
        3,
        (0..samples.len()).map(|sample| samples.labels(sample)),
    );
    // Every image has the first label, two of three the second, one of three the third.
    assert_eq!(
        (counts.samples, counts.of_each.as_slice()),
        (24, [24, 16, 8].as_slice())
    );
    let recipe = with(&Recipe::plain(4, sgd(0.02)), |recipe| {
        recipe.loss.class_weights = ClassWeights::Balanced;
        recipe.loss.smoothing = 0.01;
    });
    let mut weights = fixture.start.clone();
    let outcome = fit(
        &fixture.model,
        &mut weights,
        &samples,
        Course::of(12, &recipe, Seed(1)),
        &mut (),
    )
    .unwrap();
    let losses = &outcome.epoch_loss;
    assert!(losses[11] < 0.5 * losses[0], "{losses:?}");
    let places: Vec<usize> = (0..samples.len()).collect();
    let plain = Criterion::plain(Target::Labels, 3);
    let of =
        |weights: &Weights| mean_loss((&fixture.model, weights), (&samples, &places), 5, &plain).unwrap();
    let (before, after) = (of(&fixture.start), of(&weights));
    assert!(
        (before - 2.0_f64.ln()).abs() < 0.2 && after < 0.6 * before,
        "{before} {after}"
    );
}

#[test]
fn a_frozen_normalisation_uses_its_running_statistics_and_leaves_them_alone() {
    let input = Input { channels: 1, ..INPUT };
    let fixture = Fixture::new();
    let model = Model::new(Arch::Resnet18, input).unwrap();
    let samples = Samples::new(&[(&fixture.path, &fixture.shard)], input).unwrap();
    let start = Weights::start(&model, Seed(2));
    let recipe = with(&Recipe::plain(8, sgd(0.01)), |recipe| {
        recipe.freeze = vec!["bn1.*".into(), "layer1.0.bn2.weight".into()];
    });
    let mut weights = start.clone();
    fit(
        &model,
        &mut weights,
        &samples,
        Course::of(1, &recipe, Seed(2)),
        &mut (),
    )
    .unwrap();
    for (place, spec) in model.tensors().iter().enumerate() {
        let stays = weights.real(place) == start.real(place) && weights.count(place) == start.count(place);
        let is_frozen = spec.name.starts_with("bn1.") || spec.name == "layer1.0.bn2.weight";
        assert_eq!(stays, is_frozen, "{}", spec.name);
    }
}

#[test]
fn patterns_that_freeze_nothing_or_all_are_refused_by_name() {
    let fixture = Fixture::new();
    for (patterns, words) in [
        (vec!["fc2.*", "layer9.*"], "`layer9.*`"),
        (vec!["*"], "leaves nothing"),
        (vec!["conv1"], "`conv1`"),
    ] {
        let recipe = with(&Recipe::plain(4, sgd(0.02)), |recipe| {
            recipe.freeze = patterns.into_iter().map(Into::into).collect();
        });
        let error = fixture.fit(Course::of(1, &recipe, Seed(1))).unwrap_err();
        assert_eq!(error.exit, JobExit::Usage);
        assert!(error.message.contains(words), "{}", error.message);
    }
}

#[test]
fn weights_of_another_number_of_classes_are_refused() {
    let fixture = Fixture::new();
    let recipe = with(&Recipe::plain(4, sgd(0.02)), |recipe| {
        recipe.loss.class_weights = ClassWeights::Given(vec![1.0, 2.0]);
    });
    let error = fixture.fit(Course::of(1, &recipe, Seed(1))).unwrap_err();
    assert_eq!(error.exit, JobExit::Usage);
    assert!(error.message.contains("2 class weights") && error.message.contains("3 outputs"));
}

#[test]
fn the_best_epochs_weights_are_kept_and_counted() {
    let fixture = Fixture::new();
    // A learning rate that soon makes things worse.
    let recipe = with(&Recipe::plain(4, sgd(0.35)), |recipe| {
        recipe.validation = Some(0.25);
        recipe.early_stop = Some(EarlyStop {
            patience: 3,
            least: 0.0,
        });
    });
    let (weights, outcome) = fixture.fit(Course::of(30, &recipe, Seed(4))).unwrap();
    let best = outcome.best_epoch.unwrap() as usize;
    let losses = &outcome.validation_loss;
    assert_eq!(losses.len(), best + 3, "{losses:?}");
    let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(losses[best - 1], least);
    // Training for as many epochs without watching ends at the same weights.
    let only = with(&recipe, |recipe| recipe.early_stop = None);
    let (again, ends) = fixture.fit(Course::of(best as u32, &only, Seed(4))).unwrap();
    assert!(weights == again);
    assert_eq!(outcome.local_steps, ends.local_steps);
    assert_eq!(ends.best_epoch, Some(best as u32));
    assert_eq!(outcome.trained_on, 18);
}

#[test]
fn local_steps_follow_the_schedule_and_momentum() {
    let fixture = Fixture::new();
    let rule = Optimizer::Sgd {
        learning_rate: 1e-3,
        momentum: 0.0,
        nesterov: false,
        weight_decay: 0.0,
    };
    let recipe = with(&Recipe::plain(10, rule), |recipe| {
        recipe.schedule = Schedule {
            across: Across::Epochs,
            periods: 3,
            warm_up: 0,
            decay: Decay::Step {
                every: 1,
                factor: 0.5,
            },
        };
    });
    // 24 samples: 3 steps an epoch, with factors 1, 1/2, 1/4.
    let (_, outcome) = fixture.fit(Course::of(3, &recipe, Seed(4))).unwrap();
    assert_eq!(outcome.local_steps, 3.0 * 1.75);
}

#[test]
fn validation_keeps_whole_patients_and_the_same_in_every_round() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (shard(dir.path(), 0, 8), shard(dir.path(), 1, 4));
    let pair = [(first.0.as_path(), &first.1), (second.0.as_path(), &second.1)];
    let both = Samples::new(&pair, INPUT).unwrap();
    let alone = Samples::new(&pair[..1], INPUT).unwrap();
    let of_both = split(&both, Some(0.25), Seed(9)).unwrap();
    let of_one = split(&alone, Some(0.25), Seed(9)).unwrap();
    // Two of eight patients, one of four, three images each.
    assert_eq!((of_one.validation.len(), of_both.validation.len()), (6, 9));
    assert_eq!(of_both.training.len() + of_both.validation.len(), 36);
    // A client's patients are kept whoever else is there.
    assert!(of_both.validation.starts_with(&of_one.validation));
    for place in 0..24 {
        let siblings: Vec<usize> = (0..24).filter(|other| other / 3 == place / 3).collect();
        let kept = of_one.validation.contains(&place);
        assert!(
            siblings
                .iter()
                .all(|sibling| of_one.validation.contains(sibling) == kept)
        );
    }
    assert_ne!(split(&alone, Some(0.25), Seed(10)).unwrap(), of_one);
    for share in [0.01, 0.99] {
        let error = split(&alone, Some(share), Seed(9)).unwrap_err();
        assert_eq!(error.exit, JobExit::DataUnfit);
        assert!(error.message.contains("8 patients"), "{}", error.message);
    }
}

#[test]
fn a_loss_that_is_no_number_names_its_step_and_the_last_good_one() {
    let fixture = Fixture::new();
    let recipe = Recipe::plain(4, sgd(1e30));
    let error = fixture.fit(Course::of(3, &recipe, Seed(4))).unwrap_err();
    assert_eq!(error.exit, JobExit::NotFinite);
    assert!(error.message.contains(" of epoch 1; "), "{}", error.message);
}

/// Trains, interrupted after every step number in `stops`, until it ends.
fn interrupted(fixture: &Fixture, recipe: &Recipe, stops: &[u64]) -> (Weights, Outcome, usize) {
    let path = fixture.checkpoint();
    let (steps, mut attempts) = (AtomicU64::new(0), 0);
    let stop = |stops: &[u64]| {
        let step = steps.fetch_add(1, Ordering::SeqCst) + 1;
        stops.contains(&step)
    };
    loop {
        attempts += 1;
        let ask = || stop(stops);
        let keeper = Keeper::asking(&path, &header(), "update", &ask);
        let course = Course {
            keeper: Some(&keeper),
            ..Course::of(4, recipe, Seed(6))
        };
        match fixture.fit(course) {
            Ok((weights, outcome)) => return (weights, outcome, attempts),
            Err(error) => {
                assert_eq!(error.exit, JobExit::Interrupted, "{error}");
                assert!(path.exists());
            }
        }
    }
}

#[test]
fn an_interrupted_training_ends_with_the_same_bytes() {
    let fixture = Fixture::new();
    let nesterov = with(&Recipe::plain(4, sgd(0.05)), |recipe| {
        recipe.optimizer_state = OptimizerState::Kept;
        recipe.augment = rich().augment;
    });
    for recipe in [rich(), nesterov] {
        let (weights, outcome) = fixture.fit(Course::of(4, &recipe, Seed(6))).unwrap();
        for stops in [
            &[][..],
            &[1],
            &[3],
            &[5, 6],
            &[2, 9, 11, 12],
            &(1..40).collect::<Vec<_>>(),
        ] {
            let (again, same, attempts) = interrupted(&fixture, &recipe, stops);
            assert!(again == weights && same == outcome, "{stops:?}");
            assert!(attempts > stops.len().min(4), "{stops:?}: {attempts} attempts");
            checkpoint::remove(&fixture.checkpoint()).unwrap();
            checkpoint::remove(&fixture.checkpoint()).unwrap();
        }
    }
}

#[test]
fn a_checkpoint_of_another_job_is_refused_and_a_damaged_one_overwritten() {
    let fixture = Fixture::new();
    let path = fixture.checkpoint();
    let never = || false;
    let keeper = |header: Header| Keeper::asking(&path, &header, "update", &never);
    let train = |keeper: &Keeper<'_>, recipe: &Recipe, seed| {
        fixture.fit(Course {
            keeper: Some(keeper),
            ..Course::of(2, recipe, Seed(seed))
        })
    };
    let plain = train(&keeper(header()), &rich(), 6).unwrap();
    let whole = std::fs::read(&path).unwrap();
    // Another round, another seed, another recipe: each is told of, and the file stays.
    let other = Header {
        round: Some(Round(3)),
        ..header()
    };
    let error = train(&keeper(other), &rich(), 6).unwrap_err();
    assert_eq!(error.exit, JobExit::InputInvalid);
    assert!(
        error.message.contains("round 2") && error.message.contains("round 3"),
        "{error}"
    );
    for (recipe, seed) in [(rich(), 7), (with(&rich(), |recipe| recipe.batch_size = 5), 6)] {
        let error = train(&keeper(header()), &recipe, seed).unwrap_err();
        assert_eq!(error.exit, JobExit::InputInvalid);
        assert!(error.message.contains("other settings"), "{error}");
    }
    assert!(std::fs::read(&path).unwrap() == whole);
    // A file that is no checkpoint is not overwritten either.
    fixture.start.save(&path, &header(), &fixture.model).unwrap();
    let error = train(&keeper(header()), &rich(), 6).unwrap_err();
    assert!(error.message.contains("holds a update") || error.message.contains("not a checkpoint"));
    // Cut short, one bit changed, emptied: training starts anew and ends the same.
    let mut flipped = whole.clone();
    let last = flipped.len() - 5;
    flipped[last] ^= 1;
    for bytes in [&whole[..whole.len() / 2], &flipped, &[]] {
        std::fs::write(&path, bytes).unwrap();
        assert!(train(&keeper(header()), &rich(), 6).unwrap() == plain);
        assert!(std::fs::read(&path).unwrap() == whole);
    }
}

#[test]
fn an_optimisers_state_goes_to_a_file_and_back() {
    let fixture = Fixture::new();
    for rule in [sgd(0.05), rich().optimizer] {
        let recipe = Recipe::plain(4, rule);
        let (_, outcome) = fixture.fit(Course::of(1, &recipe, Seed(4))).unwrap();
        let path = fixture.dir.path().join("state.st");
        let pieces = outcome.optimizer.pieces(&fixture.model);
        let moments = if matches!(rule, Optimizer::Sgd { .. }) {
            1
        } else {
            2
        };
        let trained = fixture
            .model
            .tensors()
            .iter()
            .filter(|spec| spec.role == Role::Trained);
        assert_eq!(pieces.len(), 1 + moments * trained.count());
        crate::pieces::write_pieces(&path, &Default::default(), pieces).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let read = Descent::read(rule, &fixture.model, &file).unwrap();
        assert!(read == outcome.optimizer);
        let other = match rule {
            Optimizer::Sgd { .. } => rich().optimizer,
            _ => sgd(0.05),
        };
        assert!(
            Descent::read(other, &fixture.model, &file)
                .unwrap_err()
                .contains("optimiser")
        );
    }
}

#[test]
fn a_method_is_asked_once_a_step_and_its_memory_survives() {
    /// Shrinks gradients more with every step.
    struct Tired(RefCell<f32>);
    impl Adjust for Tired {
        fn adjust(&mut self, _: &Weights, result: &mut crate::model::StepResult) {
            *self.0.borrow_mut() *= 0.9;
            let share = *self.0.borrow();
            for (_, values) in result.gradients_mut() {
                values.iter_mut().for_each(|value| *value *= share);
            }
        }
        fn memory(&self) -> Vec<crate::pieces::Piece> {
            let share = *self.0.borrow();
            vec![crate::pieces::Piece::floats(
                "method.share".to_owned(),
                &[],
                &[share],
            )]
        }
        fn recall(&mut self, file: &safetensors::SafeTensors<'_>) -> Result<(), String> {
            let view = file.tensor("method.share").map_err(|error| error.to_string())?;
            let bytes = view.data().first_chunk().ok_or("cut short")?;
            *self.0.borrow_mut() = f32::from_le_bytes(*bytes);
            Ok(())
        }
    }
    let fixture = Fixture::new();
    let samples = Samples::new(&[(&fixture.path, &fixture.shard)], INPUT).unwrap();
    let recipe = Recipe::plain(4, sgd(0.05));
    let mut undisturbed = fixture.start.clone();
    let mut method = Tired(RefCell::new(1.0));
    fit(
        &fixture.model,
        &mut undisturbed,
        &samples,
        Course::of(2, &recipe, Seed(6)),
        &mut method,
    )
    .unwrap();
    assert!((*method.0.borrow() - 0.9_f32.powi(12)).abs() < 1e-6);
    let (path, mut weights) = (fixture.checkpoint(), fixture.start.clone());
    for stop in [true, false] {
        let calls = AtomicU64::new(0);
        let ask = || stop && calls.fetch_add(1, Ordering::SeqCst) == 3;
        let keeper = Keeper::asking(&path, &header(), "update", &ask);
        let course = Course {
            keeper: Some(&keeper),
            ..Course::of(2, &recipe, Seed(6))
        };
        weights = fixture.start.clone();
        let mut method = Tired(RefCell::new(1.0));
        let ended = fit(&fixture.model, &mut weights, &samples, course, &mut method);
        assert_eq!(ended.is_err(), stop);
    }
    assert!(weights == undisturbed);
}
