//! Predictions: a network's outputs for every sample of a shard, beside what is true and whose each is.
//!
//! In: logits and their shard, or a file. Out: [`Scores`], and the same from the file as from the job that wrote it.
//! Start at [`Predictions::scores`]. A file tells of patients as shards do (salted hashes) and stays where they are.

use std::{collections::BTreeMap, fs, io::Write, path::Path};

use contract::{
    exit::JobExit,
    ids::Seed,
    job::{JobError, write_whole},
    metrics::{ClassScores, Interval, Intervals, Scores},
    tensors::{Header, SHARD_LABELS, SHARD_PATIENTS, TensorInfo, TensorKind, encode_header},
    training::Target,
};
use kernels::metrics::{self, Bootstrap, DRAWS, DeLong, Settings, Truth};
use ndarray::ArrayView2;
use safetensors::{Dtype, SafeTensors};

use crate::data::shard::{PatientHash, Shard};

/// Tensor of the network's outputs: `F32`, samples × classes or labels.
const LOGITS: &str = "logits";
/// Metadata: the thresholds told by, as JSON.
const THRESHOLDS: &str = "thresholds";
/// Metadata: the seed of the draws behind intervals.
const SEED: &str = "seed";
/// Metadata: the dataset the samples are of; the header's is the model's.
const TEST_DATASET: &str = "test_dataset";
/// The largest file read, in bytes: some ten million samples of a few classes.
const MAX_BYTES: u64 = 2 << 30;

/// How predictions are judged.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judgement {
    /// The probability from which on each class or label is told, chosen on other samples.
    pub thresholds: Option<Vec<f64>>,
    /// Seed of the draws behind intervals; no intervals when not given.
    pub seed: Option<Seed>,
}

/// A network's outputs for samples, and what is true of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    /// What the file says about itself: the model's round and dataset, the samples' classes.
    pub header: Header,
    /// The dataset the samples are of.
    pub test_dataset: String,
    /// Samples × classes or labels.
    pub logits: Vec<f32>,
    /// As a shard has them.
    pub labels: Vec<u8>,
    /// Whose each sample is.
    pub patients: Vec<PatientHash>,
    /// How they are judged.
    pub judgement: Judgement,
}

impl Predictions {
    /// Of a model with this header for the samples of a shard.
    pub fn new(model: &Header, shard: &Shard, logits: Vec<f32>, judgement: Judgement) -> Self {
        let samples = shard.header();
        Self {
            header: Header {
                kind: TensorKind::Predictions,
                synthetic: model.synthetic || samples.synthetic,
                num_samples: samples.num_samples,
                target: samples.target,
                classes: samples.classes.clone(),
                normalize: None,
                ..model.clone()
            },
            test_dataset: samples.dataset.to_string(),
            logits,
            labels: shard.labels().to_vec(),
            patients: shard.patients().to_vec(),
            judgement,
        }
    }

    /// Scores them.
    ///
    /// # Errors
    /// `Unexpected` if logits, labels and patients do not fit each other; `NotFinite` if a logit is no number.
    pub fn scores(&self) -> Result<Scores, JobError> {
        let names = &self.header.classes;
        let unexpected = |error: String| JobError::new(JobExit::Unexpected, error);
        let logits = ArrayView2::from_shape((self.patients.len(), names.len()), &self.logits)
            .map_err(|error| unexpected(error.to_string()))?;
        let refused = |error: metrics::ScoreError| match error {
            error @ metrics::ScoreError::NotFinite { .. } => {
                JobError::new(JobExit::NotFinite, error.to_string())
            }
            error => unexpected(error.to_string()),
        };
        let truth = truth(self.header.target, &self.labels);
        let Judgement { thresholds, seed } = &self.judgement;
        let thresholds = thresholds.as_deref();
        let settings = Settings {
            weights: None,
            thresholds,
        };
        let scored = metrics::score(logits, truth, &settings).map_err(refused)?;
        let drawn = match seed {
            None => None,
            Some(seed) => {
                let how = Bootstrap {
                    patients: &self.patients,
                    seed: seed.derive("intervals").0,
                    draws: DRAWS,
                    thresholds,
                };
                let drawn = metrics::bootstrap(logits, truth, &how).map_err(refused)?;
                Some((drawn, DeLong::per_class(logits, truth).map_err(refused)?))
            }
        };
        let area = |class: usize| {
            let (_, areas) = drawn.as_ref()?;
            areas[class]?.interval().map(interval)
        };
        // Of two classes one threshold tells both.
        let first = usize::from(self.header.target == Target::Classes && names.len() == 2);
        let told_from = |class: usize| thresholds.filter(|_| class >= first).map(|all| all[class]);
        let per_class = names.iter().zip(scored.per_class).enumerate();
        let per_class = per_class.map(|(number, (label, class))| ClassScores {
            label: label.clone(),
            support: class.support as u64,
            precision: class.precision,
            recall: class.recall,
            f1: class.f1,
            auroc: class.auroc,
            auroc_interval: area(number),
            pr_auc: class.pr_auc,
            threshold: told_from(number),
        });
        let counts = |row: Vec<f64>| row.into_iter().map(|count| count as u64).collect();
        Ok(Scores {
            loss: scored.loss,
            accuracy: scored.accuracy,
            balanced_accuracy: scored.balanced_accuracy,
            macro_f1: scored.macro_f1,
            micro_f1: scored.micro_f1,
            auroc: scored.auroc,
            pr_auc: scored.pr_auc,
            brier: scored.brier,
            ece: scored.ece,
            confusion: scored.confusion.into_iter().map(counts).collect(),
            intervals: drawn.as_ref().map(|(drawn, _)| Intervals {
                draws: DRAWS,
                accuracy: interval(drawn.accuracy),
                balanced_accuracy: drawn.balanced_accuracy.map(interval),
                macro_f1: interval(drawn.macro_f1),
                auroc: drawn.auroc.map(interval),
                pr_auc: drawn.pr_auc.map(interval),
            }),
            per_class: per_class.collect(),
        })
    }

    /// Writes them: the same predictions always give the same bytes.
    ///
    /// # Errors
    /// `Io` naming the file; nothing is left then.
    pub fn write(&self, path: &Path) -> Result<(), JobError> {
        let mut metadata = self.header.to_metadata();
        let mut set = |key: &str, value: String| metadata.insert(key.to_owned(), value);
        set(TEST_DATASET, self.test_dataset.clone());
        if let Some(thresholds) = &self.judgement.thresholds {
            set(THRESHOLDS, serde_json::json!(thresholds).to_string());
        }
        if let Some(seed) = self.judgement.seed {
            set(SEED, seed.0.to_string());
        }
        let (samples, columns) = (self.patients.len(), self.header.classes.len());
        let label_shape = match self.header.target {
            Target::Classes => vec![samples],
            Target::Labels => vec![samples, columns],
        };
        let tensor = |name, dtype, shape, bytes| TensorInfo {
            name,
            dtype,
            shape,
            bytes,
        };
        let head = encode_header(
            &metadata,
            &[
                tensor(LOGITS, "F32", &[samples, columns], self.logits.len() * 4),
                tensor(SHARD_LABELS, "U8", &label_shape, self.labels.len()),
                tensor(SHARD_PATIENTS, "U8", &[samples, 16], samples * 16),
            ],
        );
        let logits: Vec<u8> = self.logits.iter().flat_map(|value| value.to_le_bytes()).collect();
        write_whole(path, |out| {
            out.write_all(&head)?;
            out.write_all(&logits)?;
            out.write_all(&self.labels)?;
            out.write_all(self.patients.as_flattened())
        })
    }

    /// Reads what [`Predictions::write`] wrote.
    ///
    /// # Errors
    /// `InputMissing` or `Io` if it cannot be read; `InputInvalid` if it is no such file.
    pub fn open(path: &Path) -> Result<Self, JobError> {
        let reading = |error| JobError::reading(path, &error);
        let size = fs::metadata(path).map_err(reading)?.len();
        if size > MAX_BYTES {
            let reason = format!("it has {size} bytes; at most {MAX_BYTES} are read");
            return Err(JobError::invalid(path, reason));
        }
        let bytes = fs::read(path).map_err(reading)?;
        let invalid = |reason: String| {
            JobError::invalid(path, reason).help("run the `evaluate` job with `--predictions` again")
        };
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| invalid(error.to_string()))?;
        let fields: BTreeMap<String, String> = metadata
            .metadata()
            .clone()
            .unwrap_or_default()
            .into_iter()
            .collect();
        let header = Header::from_metadata(|key| fields.get(key).map(String::as_str))
            .map_err(|error| invalid(error.to_string()))?;
        if header.kind != TensorKind::Predictions {
            return Err(invalid(format!(
                "it holds a {}, expected predictions",
                header.kind
            )));
        }
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| invalid(error.to_string()))?;
        let (samples, columns) = (header.num_samples.0 as usize, header.classes.len());
        let label_shape = match header.target {
            Target::Classes => vec![samples],
            Target::Labels => vec![samples, columns],
        };
        let tensor = |name: &str, dtype: Dtype, shape: &[usize]| {
            let view = tensors.tensor(name).map_err(|error| invalid(error.to_string()))?;
            if view.dtype() != dtype || view.shape() != shape {
                let (found, its) = (view.dtype(), view.shape());
                return Err(invalid(format!(
                    "`{name}` has type {found} and shape {its:?}, expected {dtype} and {shape:?}"
                )));
            }
            Ok(view.data().to_vec())
        };
        let logits = tensor(LOGITS, Dtype::F32, &[samples, columns])?;
        let field = |key: &'static str| fields.get(key);
        let wrong = |key: &str, text: &str| invalid(format!("its metadata says {key} `{text}`"));
        let thresholds = field(THRESHOLDS)
            .map(|text| serde_json::from_str(text).map_err(|_| wrong(THRESHOLDS, text)))
            .transpose()?;
        let seed = field(SEED)
            .map(|text| text.parse().map(Seed).map_err(|_| wrong(SEED, text)))
            .transpose()?;
        Ok(Self {
            test_dataset: field(TEST_DATASET).cloned().unwrap_or_default(),
            logits: logits
                .as_chunks()
                .0
                .iter()
                .map(|bytes| f32::from_le_bytes(*bytes))
                .collect(),
            labels: tensor(SHARD_LABELS, Dtype::U8, &label_shape)?,
            patients: tensor(SHARD_PATIENTS, Dtype::U8, &[samples, 16])?
                .as_chunks()
                .0
                .to_vec(),
            judgement: Judgement { thresholds, seed },
            header,
        })
    }
}

/// Labels as the kernels take them.
pub(super) fn truth(target: Target, labels: &[u8]) -> Truth<'_> {
    match target {
        Target::Classes => Truth::Classes(labels),
        Target::Labels => Truth::Labels(labels),
    }
}

fn interval([low, high]: [f64; 2]) -> Interval {
    Interval { low, high }
}

#[cfg(test)]
mod tests {
    use contract::{ids::Round, training::Arch, units::SampleCount};

    use super::*;

    fn predictions(target: Target) -> Predictions {
        let logits: Vec<f32> = (0..60).map(|at| ((at * 37 % 23) as f32 - 11.0) / 4.0).collect();
        let labels: Vec<u8> = match target {
            Target::Classes => (0..30).map(|sample| u8::from(sample % 3 == 0)).collect(),
            Target::Labels => (0..60).map(|at| u8::from(at % 3 == 0)).collect(),
        };
        Predictions {
            header: Header {
                kind: TensorKind::Predictions,
                experiment: "e1".parse().unwrap(),
                dataset: "nih".parse().unwrap(),
                spec_digest: "0".repeat(64).parse().unwrap(),
                synthetic: true,
                round: Some(Round(3)),
                client: None,
                num_samples: SampleCount(30),
                arch: Some(Arch::SmallCnn),
                channels: 1,
                image_size: 8,
                num_classes: 2,
                target,
                classes: vec!["a".to_owned(), "b".to_owned()],
                normalize: None,
            },
            test_dataset: "other".to_owned(),
            logits,
            labels,
            patients: (0..30).map(|sample| [sample / 2; 16]).collect(),
            judgement: Judgement {
                thresholds: Some(vec![0.3, 1.0 / 3.0]),
                seed: Some(Seed(7)),
            },
        }
    }

    #[test]
    fn a_file_gives_the_same_scores_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("predictions.safetensors");
        for target in [Target::Classes, Target::Labels] {
            for judgement in [Judgement::default(), predictions(target).judgement] {
                let predictions = Predictions {
                    judgement,
                    ..predictions(target)
                };
                predictions.write(&path).unwrap();
                let read = Predictions::open(&path).unwrap();
                assert_eq!(read, predictions);
                assert_eq!(read.scores().unwrap(), predictions.scores().unwrap());
            }
        }
    }

    #[test]
    fn intervals_and_thresholds_are_there_where_they_are_asked_for() {
        let with = predictions(Target::Classes).scores().unwrap();
        let intervals = with.intervals.as_ref().unwrap();
        assert_eq!(intervals.draws, DRAWS);
        let within = |interval: Interval, value: f64| interval.low <= value && value <= interval.high;
        assert!(within(intervals.accuracy, with.accuracy));
        assert!(within(intervals.auroc.unwrap(), with.auroc.unwrap()));
        assert!(intervals.accuracy.low < intervals.accuracy.high);
        assert!(within(
            with.per_class[1].auroc_interval.unwrap(),
            with.auroc.unwrap()
        ));
        let thresholds =
            |scores: &Scores| -> Vec<_> { scores.per_class.iter().map(|class| class.threshold).collect() };
        assert_eq!(thresholds(&with), [None, Some(1.0 / 3.0)]);
        assert_eq!(with.confusion.iter().flatten().sum::<u64>(), 30);
        let labels = predictions(Target::Labels).scores().unwrap();
        assert_eq!(thresholds(&labels), [Some(0.3), Some(1.0 / 3.0)]);
        assert!(labels.confusion.is_empty());
        let without = Predictions {
            judgement: Judgement::default(),
            ..predictions(Target::Classes)
        };
        let without = without.scores().unwrap();
        assert_eq!(
            (&without.intervals, thresholds(&without)),
            (&None, vec![None, None])
        );
        assert_eq!(without.per_class[1].auroc_interval, None);
        assert_eq!(without.auroc, with.auroc);
    }

    #[test]
    fn what_is_no_file_of_predictions_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("predictions.safetensors");
        assert_eq!(Predictions::open(&path).unwrap_err().exit, JobExit::InputMissing);
        let mut model = predictions(Target::Classes);
        model.header.kind = TensorKind::Model;
        model.write(&path).unwrap();
        let error = Predictions::open(&path).unwrap_err();
        assert_eq!(error.exit, JobExit::InputInvalid);
        assert!(error.message.contains("holds a model"), "{error}");
        predictions(Target::Classes).write(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        for length in [0, 8, whole.len() / 2, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(Predictions::open(&path).unwrap_err().exit, JobExit::InputInvalid);
        }
    }
}
