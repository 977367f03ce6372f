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

use crate::{
    partial::{Member, PartialSum},
    tensor_file::TensorFile,
    update::{Content, Update, absence},
};

/// A global model and updates of the same tensors.
pub struct Inputs {
    /// The model the updates started from.
    pub global: TensorFile,
    /// The updates in canonical order: by client where every update names its client, else by sample count, then by
    /// the files' bytes (files of equal bytes and counts are interchangeable).
    pub updates: Vec<Update>,
    /// Who is behind them, by client where every update names its client.
    pub members: Vec<Member>,
    /// Selected clients whose updates say that they are absent, in order.
    pub absent: Vec<ClientId>,
    /// The sum of all sample counts, below 2⁵³.
    pub total_samples: u64,
    /// Bytes of all update files, those behind partial sums included.
    pub received_bytes: u64,
}

impl Inputs {
    /// Opens and checks everything. `fewest` clients must be present: all when it is not given.
    ///
    /// # Errors
    /// [`JobError`] naming file, tensor or header field
    pub fn open(
        global: &InputFile,
        updates: &[InputFile],
        samples: &[u64],
        fewest: Fewest,
    ) -> Result<Self, JobError> {
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
        let mut absent = Absent::default();
        let mut received_bytes = 0_u64;
        for (number, update) in updates.iter().enumerate() {
            let file = TensorFile::open(update.path())?;
            check_header(&global, &file)?;
            if let Some(reason) = absence(&file) {
                absent.add(&file, reason, fewest)?;
                continue;
            }
            if let Some(sum) = PartialSum::of(&file)?
                && sum.members.is_empty()
            {
                absent.extend(&file, &sum, fewest)?;
                continue;
            }
            let samples = sample_count(&file, samples.get(number).copied())?;
            let update = Update::open(file, &global, samples)?;
            received_bytes = received_bytes.saturating_add(match &update.content {
                Content::Partial(sum) => {
                    absent.extend(&update.file, sum, fewest)?;
                    sum.received_bytes
                }
                _ => update.file.all_bytes().len() as u64,
            });
            opened.push(update);
        }
        check_contents(&opened)?;
        sort(&mut opened);
        let (members, absent) = members(&opened, absent)?;
        fewest.check(members.len(), absent.len())?;
        Ok(Self {
            total_samples: total(&opened)?,
            global,
            updates: opened,
            members,
            absent,
            received_bytes,
        })
    }

    /// Bytes the same updates have as plain values.
    pub fn plain_bytes(&self) -> u64 {
        let each = self
            .updates
            .iter()
            .map(|update| update.plain_length(&self.global));
        each.fold(0, u64::saturating_add)
    }

    /// Whether samples behind the global model or any update are drawn.
    pub fn is_synthetic(&self) -> bool {
        self.global.header.as_ref().is_some_and(|header| header.synthetic)
            || self.updates.iter().any(Update::is_synthetic)
    }
}

/// How many clients must be present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fewest {
    /// Every selected one.
    All,
    /// At least this many.
    Some(u32),
    /// A later job decides.
    Any,
}

impl Fewest {
    fn check(self, present: usize, absent: usize) -> Result<(), JobError> {
        let fewest = match self {
            Fewest::All if absent == 0 => return Ok(()),
            Fewest::All => present + absent,
            Fewest::Some(fewest) => fewest.max(1) as usize,
            Fewest::Any => return Ok(()),
        };
        if present >= fewest {
            return Ok(());
        }
        let message =
            format!("{present} clients are present and {absent} absent, at least {fewest} must be present");
        Err(JobError::new(JobExit::DataUnfit, message)
            .help("the absent updates say why their clients are absent"))
    }
}

/// Clients whose updates say that they are absent.
#[derive(Default)]
struct Absent(Vec<ClientId>);

impl Absent {
    fn add(&mut self, file: &TensorFile, reason: &str, fewest: Fewest) -> Result<(), JobError> {
        let path = file.path();
        let Some(client) = file.header.as_ref().and_then(|header| header.client) else {
            return Err(JobError::invalid(
                path,
                "it says its client is absent, but names none",
            ));
        };
        if fewest == Fewest::All {
            let message = format!("`{}`: client {client} is absent: {reason}", path.display());
            let help = "`--min-clients` says how many clients must be present for a round to count";
            return Err(JobError::new(JobExit::DataUnfit, message).about(path).help(help));
        }
        eprintln!("warning: client {client} is absent: {reason}");
        self.0.push(client);
        Ok(())
    }

    /// Clients that said so to the job that added up their part of the tree.
    fn extend(&mut self, file: &TensorFile, sum: &PartialSum, fewest: Fewest) -> Result<(), JobError> {
        match sum.absent.first() {
            Some(client) if fewest == Fewest::All => {
                let message = format!("`{}`: client {client} is absent", file.path().display());
                let help = "`--min-clients` says how many clients must be present for a round to count";
                Err(JobError::new(JobExit::DataUnfit, message)
                    .about(file.path())
                    .help(help))
            }
            _ => {
                self.0.extend(&sum.absent);
                Ok(())
            }
        }
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
pub fn lineage(header: &Header) -> [(&'static str, String); 6] {
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
    if !matches!(theirs.kind, TensorKind::Update | TensorKind::Partial) {
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

/// Masked numbers add up to something only among themselves.
fn check_contents(updates: &[Update]) -> Result<(), JobError> {
    let masked = |update: &Update| match update.content {
        Content::Masked(bits) => Some(bits),
        _ => None,
    };
    let Some(first) = updates.first() else {
        return Ok(());
    };
    match updates.iter().find(|update| masked(update) != masked(first)) {
        None => Ok(()),
        Some(other) => {
            let text = |update: &Update| match masked(update) {
                Some(bits) => format!("masked with {bits} fractional bits"),
                None => "not masked".to_owned(),
            };
            let reason = format!(
                "it is {}, `{}` is {}",
                text(other),
                first.file.path().display(),
                text(first)
            );
            Err(JobError::invalid(other.file.path(), reason))
        }
    }
}

/// Everyone behind the updates, and everyone absent; no client twice.
fn members(updates: &[Update], absent: Absent) -> Result<(Vec<Member>, Vec<ClientId>), JobError> {
    let mut members = Vec::new();
    let Absent(mut absent) = absent;
    let mut seen = BTreeMap::new();
    for update in updates {
        let own = Member {
            client: update.client(),
            num_samples: update.samples,
        };
        let theirs = match &update.content {
            Content::Partial(sum) => &sum.members[..],
            _ => std::slice::from_ref(&own),
        };
        for client in theirs.iter().filter_map(|member| member.client) {
            if let Some(first) = seen.insert(client, update.file.path()) {
                let reason = format!("it is of client {client}, and so is `{}`", first.display());
                return Err(JobError::invalid(update.file.path(), reason));
            }
        }
        members.extend_from_slice(theirs);
    }
    if let Some(client) = absent.iter().find(|client| seen.contains_key(*client)) {
        let reason = format!("it is of client {client}, who is also said to be absent");
        return Err(JobError::invalid(seen[client], reason));
    }
    absent.sort_unstable();
    if let Some(client) = absent.windows(2).find(|two| two[0] == two[1]) {
        let message = format!("client {} is said to be absent twice", client[0]);
        return Err(JobError::new(JobExit::InputInvalid, message));
    }
    if members.iter().all(|member| member.client.is_some()) {
        members.sort_by_key(|member| member.client);
    }
    Ok((members, absent))
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

/// Sample counts are exact as `f64`, which the exact mean rests on.
fn total(updates: &[Update]) -> Result<u64, JobError> {
    const LIMIT: u64 = 1 << 53;
    updates
        .iter()
        .try_fold(0_u64, |sum, update| {
            sum.checked_add(update.samples).filter(|sum| *sum < LIMIT)
        })
        .ok_or_else(|| {
            let message =
                format!("the sample counts sum to {LIMIT} or more, which cannot be weighed exactly");
            JobError::new(JobExit::InputInvalid, message)
        })
}
