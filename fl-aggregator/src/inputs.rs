//! Opens the global model and the updates, and checks that they belong together.
//!
//! In: the arguments' files and counts. Out: [`Inputs`], in an order that does not depend on the command line.
//! Start at [`Inputs::open`].

use std::collections::BTreeMap;

use contract::{
    argv::InputFile,
    exit::JobExit,
    ids::ClientId,
    job::JobError,
    tensors::{Header, NUM_SAMPLES, TensorKind},
};

use crate::tensor_file::{Tensor, TensorFile};

/// A global model and updates of the same tensors.
pub struct Inputs {
    /// The model the updates started from.
    pub global: TensorFile,
    /// The updates in canonical order: by client where every update names its client, else by sample count, then by
    /// the files' bytes (files of equal bytes and counts are interchangeable).
    pub updates: Vec<Update>,
    /// The sum of their sample counts.
    pub total_samples: u64,
}

/// One client's update.
pub struct Update {
    /// The file.
    pub file: TensorFile,
    /// Samples it was trained on, at least 1.
    pub samples: u64,
    /// The position of each of the global model's tensors in `file.tensors`.
    places: Vec<usize>,
}

impl Inputs {
    /// Opens and checks everything.
    ///
    /// # Errors
    /// [`JobError`] naming file, tensor or header field
    pub fn open(global: &InputFile, updates: &[InputFile], samples: &[u64]) -> Result<Self, JobError> {
        if updates.is_empty() {
            return Err(JobError::new(
                JobExit::Usage,
                "`--update` is missing: there is nothing to aggregate",
            ));
        }
        if !samples.is_empty() && samples.len() != updates.len() {
            let message = format!(
                "`--samples` is given {} times for {} updates",
                samples.len(),
                updates.len()
            );
            return Err(JobError::new(JobExit::Usage, message).help("give one count per `--update`, or none"));
        }
        let global = TensorFile::open(global.path())?;
        check_global(&global)?;
        let mut opened = Vec::with_capacity(updates.len());
        for (number, update) in updates.iter().enumerate() {
            let file = TensorFile::open(update.path())?;
            check_header(&global, &file)?;
            let places = places(&global, &file)?;
            let samples = sample_count(&file, samples.get(number).copied())?;
            opened.push(Update {
                file,
                samples,
                places,
            });
        }
        check_clients(&opened)?;
        sort(&mut opened);
        let total_samples = opened
            .iter()
            .try_fold(0_u64, |sum, update| sum.checked_add(update.samples));
        let total_samples = total_samples.ok_or_else(|| {
            JobError::new(
                JobExit::InputInvalid,
                "the sample counts sum to more than can be counted",
            )
        })?;
        Ok(Self {
            global,
            updates: opened,
            total_samples,
        })
    }
}

impl Update {
    /// The client, where the update names it.
    pub fn client(&self) -> Option<ClientId> {
        self.file.header.as_ref().and_then(|header| header.client)
    }

    /// Whether it says that samples behind it are drawn.
    pub fn is_synthetic(&self) -> bool {
        self.file.header.as_ref().is_some_and(|header| header.synthetic)
    }

    /// The values of the global model's tensor number `number`.
    pub fn bytes(&self, number: usize) -> &[u8] {
        self.file.bytes(&self.file.tensors[self.places[number]])
    }
}

fn check_global(global: &TensorFile) -> Result<(), JobError> {
    let path = global.path();
    if global.tensors.is_empty() {
        return Err(JobError::invalid(path, "it has no tensors"));
    }
    if let Some(tensor) = global.tensors.iter().find(|tensor| tensor.element().is_none()) {
        let reason = format!(
            "tensor `{}` is of type {}, which cannot be combined",
            tensor.name, tensor.dtype
        );
        return Err(JobError::invalid(path, reason));
    }
    match &global.header {
        Some(header) if header.kind != TensorKind::Model => Err(JobError::invalid(
            path,
            format!("it holds a {}, not a global model", header.kind),
        )),
        _ => Ok(()),
    }
}

/// What two headers must agree in, as text.
fn lineage(header: &Header) -> [(&'static str, String); 6] {
    [
        ("experiment", header.experiment.to_string()),
        ("dataset", header.dataset.to_string()),
        ("spec_digest", header.spec_digest.to_string()),
        (
            "arch",
            header.arch.map_or("none", |arch| arch.as_str()).to_owned(),
        ),
        (
            "image",
            format!("{}x{}x{}", header.channels, header.image_size, header.image_size),
        ),
        ("num_classes", header.num_classes.to_string()),
    ]
}

/// An update of ours must be an update of this round of this federation.
fn check_header(global: &TensorFile, update: &TensorFile) -> Result<(), JobError> {
    let Some(theirs) = &update.header else {
        return Ok(());
    };
    let path = update.path();
    let Some(ours) = &global.header else {
        let reason = format!("it was not written by fedwing, but `{}` was", path.display());
        return Err(JobError::invalid(global.path(), reason));
    };
    if theirs.kind != TensorKind::Update {
        return Err(JobError::invalid(
            path,
            format!("it holds a {}, not an update", theirs.kind),
        ));
    }
    for ((field, ours), (_, theirs)) in lineage(ours).into_iter().zip(lineage(theirs)) {
        if ours != theirs {
            let reason = format!("its {field} is `{theirs}`, the global model's is `{ours}`");
            return Err(JobError::invalid(path, reason));
        }
    }
    let expected = ours.round.and_then(|round| round.0.checked_add(1));
    let found = theirs.round.map(|round| round.0);
    if found != expected {
        let text = |round: Option<u32>| round.map_or("none".to_owned(), |round| round.to_string());
        let reason = format!(
            "its round is {}, an update of this global model is of round {}",
            text(found),
            text(expected)
        );
        return Err(JobError::invalid(path, reason));
    }
    Ok(())
}

/// Where each of the global model's tensors is in the update: the same names, types and shapes, no more and no fewer.
fn places(global: &TensorFile, update: &TensorFile) -> Result<Vec<usize>, JobError> {
    let by_name: BTreeMap<&str, usize> = update
        .tensors
        .iter()
        .enumerate()
        .map(|(place, tensor)| (tensor.name.as_str(), place))
        .collect();
    let mut found = Vec::with_capacity(global.tensors.len());
    for wanted in &global.tensors {
        let Some(&place) = by_name.get(wanted.name.as_str()) else {
            let reason = format!("tensor `{}` of the global model is missing", wanted.name);
            return Err(JobError::invalid(update.path(), reason));
        };
        let tensor = &update.tensors[place];
        if (tensor.dtype, &tensor.shape) != (wanted.dtype, &wanted.shape) {
            let text = |tensor: &Tensor| format!("{} {:?}", tensor.dtype, tensor.shape);
            let reason = format!(
                "tensor `{}` is {}, the global model's is {}",
                wanted.name,
                text(tensor),
                text(wanted)
            );
            return Err(JobError::invalid(update.path(), reason));
        }
        found.push(place);
    }
    let known: BTreeMap<&str, ()> = global
        .tensors
        .iter()
        .map(|tensor| (tensor.name.as_str(), ()))
        .collect();
    if let Some(extra) = update
        .tensors
        .iter()
        .find(|tensor| !known.contains_key(tensor.name.as_str()))
    {
        let reason = format!("tensor `{}` is not in the global model", extra.name);
        return Err(JobError::invalid(update.path(), reason));
    }
    Ok(found)
}

fn sample_count(update: &TensorFile, given: Option<u64>) -> Result<u64, JobError> {
    let path = update.path();
    let stated = match update.metadata.get(NUM_SAMPLES) {
        None => None,
        Some(text) => Some(text.parse::<u64>().map_err(|_| {
            JobError::invalid(
                path,
                format!("metadata `{NUM_SAMPLES}` is `{text}`, not a number of samples"),
            )
        })?),
    };
    match (given, stated) {
        (Some(given), Some(stated)) if given != stated => Err(JobError::invalid(
            path,
            format!("`--samples` says {given} samples, the file says {stated}"),
        )),
        (None, None) => Err(JobError::invalid(
            path,
            format!("it states no sample count (metadata `{NUM_SAMPLES}`)"),
        )
        .help("give the counts by `--samples`, one per `--update` in order")),
        (Some(0), _) | (_, Some(0)) => Err(JobError::invalid(
            path,
            "its sample count is 0, so it has no weight in the mean",
        )),
        (Some(count), _) | (None, Some(count)) => Ok(count),
    }
}

fn check_clients(updates: &[Update]) -> Result<(), JobError> {
    let mut seen = BTreeMap::new();
    for update in updates {
        let Some(client) = update.client() else { continue };
        if let Some(first) = seen.insert(client, update.file.path()) {
            let reason = format!("it is of client {client}, and so is `{}`", first.display());
            return Err(JobError::invalid(update.file.path(), reason));
        }
    }
    Ok(())
}

fn sort(updates: &mut [Update]) {
    if updates.iter().all(|update| update.client().is_some()) {
        updates.sort_by_key(Update::client);
    } else {
        updates.sort_by(|a, b| {
            let by_bytes = || a.file.all_bytes().cmp(b.file.all_bytes());
            a.samples.cmp(&b.samples).then_with(by_bytes)
        });
    }
}
