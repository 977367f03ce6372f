//! What page and Markdown both tell, worded once: measures, rows of tables, sentences about the run.

use contract::metrics::Scores;

use super::{
    model::{
        AbsentClient, ClientShare, DatasetReport, DatasetSummary, Group, PrivacyReport, Report, RoundReport,
        RunState, SamplePrivacyReport, TransferReport, Use,
    },
    numbers::{bytes, count, counted, metric, metric_or_undefined, moment, seconds},
    scores::MEASURES,
};

/// The heads of the table of rounds.
pub(super) const ROUND_HEADS: [&str; 8] = [
    "Round",
    "AUROC",
    "Accuracy",
    "Macro F1",
    "Loss",
    "Training loss",
    "Validation loss",
    "Clients",
];

/// A row of the table of rounds.
pub(super) fn round_cells(round: &RoundReport) -> Vec<String> {
    let mut cells = vec![round.round.to_string()];
    for measure in &MEASURES {
        let scores = round.metrics.as_ref();
        cells.push(scores.map_or("not evaluated".to_owned(), |scores| {
            metric_or_undefined((measure.of)(scores))
        }));
    }
    cells.push(round.train_loss.map_or(NOTHING.to_owned(), metric));
    cells.push(round.validation_loss.map_or(NOTHING.to_owned(), metric));
    cells.push(count(round.num_clients.into()));
    cells
}

/// What the global models tell of a client's part, in sentences; `None` where nothing bounds it.
pub(super) fn privacy_words(dataset: &DatasetReport) -> Option<String> {
    let PrivacyReport {
        round,
        epsilon,
        delta,
        noise_multiplier,
        norm,
        rounds,
    } = dataset.privacy.as_ref()?;
    let Some(epsilon) = epsilon else {
        return Some(format!(
            "Differences were scaled down to the norm {norm}, and no noise was added: nothing bounds what the global \
             models tell of a client's part."
        ));
    };
    // Rounded up: a bound that reads smaller than it is would be none.
    let epsilon = (epsilon * 1000.0).ceil() / 1000.0;
    Some(format!(
        "After round {round} the global models tell of any one client's part at most ε = {} at δ = {delta}: the bound of \
         the client that took part most often, in {}. Differences were scaled down to a norm ({norm} in the last round) \
         and the noise multiplier is {noise_multiplier}. The noise comes from the specification's seed: whoever has the \
         seed can take it away.",
        metric(epsilon),
        counted(*rounds, "round", "rounds"),
    ))
}

/// What updates tell of a client's samples, in sentences; `None` where nothing bounds it.
pub(super) fn sample_privacy_words(dataset: &DatasetReport) -> Option<String> {
    let SamplePrivacyReport {
        round,
        client,
        epsilon,
        delta,
        noise_multiplier,
        norm,
        steps,
    } = dataset.sample_privacy.as_ref()?;
    // Rounded up: a bound that reads smaller than it is would be none.
    let epsilon = (epsilon * 1000.0).ceil() / 1000.0;
    Some(format!(
        "After round {round} the updates of any one client tell of any one of its samples at most ε = {} at δ = {delta}: \
         the bound of client {client}, whose is the largest, after {}. Each sample's gradient was scaled down to the norm \
         {norm} and the noise multiplier is {noise_multiplier}. The noise comes from the specification's seed: whoever has \
         the seed can take it away.",
        metric(epsilon),
        counted(*steps, "step", "steps"),
    ))
}

/// What updates took on the way, in a sentence; `None` before the first aggregation.
pub(super) fn transfer_words(dataset: &DatasetReport) -> Option<String> {
    let TransferReport {
        received_bytes,
        plain_bytes,
    } = dataset.transfer?;
    let received = bytes(received_bytes);
    if plain_bytes.0 == 0 {
        return Some(format!("The updates of all rounds took {received} on the way."));
    }
    Some(format!(
        "The updates of all rounds took {received} on the way, {:.1} % of the {} they have as plain values.",
        100.0 * received_bytes.0 as f64 / plain_bytes.0 as f64,
        bytes(plain_bytes),
    ))
}

/// The heads of the table of absent clients.
pub(super) const ABSENT_HEADS: [&str; 3] = ["Round", "Client", "Why it is absent"];

/// The rows of the table of absent clients, by round.
pub(super) fn absent_rows(dataset: &DatasetReport) -> Vec<Vec<String>> {
    let rows = dataset.rounds.iter().flat_map(|round| {
        round.absent.iter().map(|AbsentClient { client, reason }| {
            let reason = reason.clone().unwrap_or_else(|| "not told".to_owned());
            vec![round.round.to_string(), format!("client {client}"), reason]
        })
    });
    rows.collect()
}

/// Rows of the table of samples: the first `most` clients, then all together, then the test samples.
pub(super) fn group_rows(stats: &DatasetSummary, most: usize) -> Vec<Vec<String>> {
    let cells = |name: String, samples: u64, patients: u64, counts: &[u64], divergences: [String; 4]| {
        let mut cells = vec![name, count(samples), count(patients)];
        cells.extend(counts.iter().copied().map(count));
        cells.extend(divergences);
        cells
    };
    let clients = stats.clients.iter().take(most).map(|share| {
        let ClientShare {
            client,
            samples,
            patients,
            class_counts,
            unlabelled: _,
            kl,
            js,
            hellinger,
            emd,
        } = share;
        cells(
            format!("client {client}"),
            *samples,
            *patients,
            class_counts,
            [kl, js, hellinger, emd].map(|value| metric(*value)),
        )
    });
    let groups = [
        ("all clients", Some(&stats.train)),
        ("validation", stats.validation.as_ref()),
        ("test", Some(&stats.test)),
    ];
    let groups = groups
        .into_iter()
        .filter_map(|(name, group)| Some((name, group?)));
    let groups = groups.map(|(name, group)| {
        let Group {
            samples,
            patients,
            class_counts,
            unlabelled: _,
        } = group;
        cells(
            name.to_owned(),
            *samples,
            *patients,
            class_counts,
            [NOTHING; 4].map(str::to_owned),
        )
    });
    clients.chain(groups).collect()
}

/// How unequal the clients are in size, in a sentence.
pub(super) fn size_words(stats: &DatasetSummary) -> String {
    format!(
        "Weighted by their samples, {} count as {:.1} of equal size.",
        counted(stats.clients.len() as u64, "client", "clients"),
        stats.effective_clients
    )
}

/// What the columns of divergences mean.
pub(super) const DIVERGENCES: &str = "KL and JS: Kullback-Leibler and Jensen-Shannon divergence of a client's classes \
     from those of all clients together, in nats; Hellinger and EMD: Hellinger and earth mover's distance between the \
     same two, 0 to 1. 0 is the same mix.";

/// What nobody may overlook about a dataset's images: a word each, and a sentence.
pub(super) fn alerts(dataset: &DatasetReport) -> Vec<(&'static str, String)> {
    let Some(stats) = &dataset.stats else {
        return Vec::new();
    };
    let mut alerts = Vec::new();
    if stats.leaks > 0 {
        let images = match stats.leaks {
            1 => "1 image is".to_owned(),
            n => format!("{} images are", count(n)),
        };
        alerts.push((
            "LEAK",
            format!(
                "{images} there more than once, of several patients or on both sides of the test split: results may be \
                 better than on images never seen. The manifest names them."
            ),
        ));
    }
    if stats.skipped > 0 {
        let images = counted(stats.skipped, "image", "images");
        alerts.push((
            "SKIPPED",
            format!("{images} could not be used; the manifest says which and why. Nothing here counts them."),
        ));
    }
    alerts
}

/// What stands in a cell to which nothing applies.
pub(super) const NOTHING: &str = "–";

/// Models by test datasets; own results on the diagonal.
pub(super) struct CrossMatrix<'a> {
    /// Test datasets.
    pub columns: Vec<&'a str>,
    /// The dataset a model was trained on, and its result per column.
    pub rows: Vec<(&'a str, Vec<Option<CrossCell<'a>>>)>,
}

/// A model on one dataset's test samples.
pub(super) struct CrossCell<'a> {
    /// Whether the model was trained on them too: not across, but beside it for comparison.
    pub own: bool,
    /// Whether samples behind it are drawn.
    pub synthetic: bool,
    /// Quality of its predictions.
    pub scores: &'a Scores,
}

/// The matrix, where any model was tested on another dataset.
pub(super) fn cross_matrix(report: &Report) -> Option<CrossMatrix<'_>> {
    let crossed = report.datasets.iter().flat_map(|dataset| &dataset.cross);
    let mut columns: Vec<&str> = crossed.map(|cross| cross.test_dataset.as_str()).collect();
    if columns.is_empty() {
        return None;
    }
    columns.extend(report.datasets.iter().map(|dataset| dataset.name.as_str()));
    columns.sort_unstable();
    columns.dedup();
    let rows = report.datasets.iter().map(|dataset| {
        let scores = columns.iter().map(|column| {
            if *column == dataset.name {
                let cell = |scores| CrossCell {
                    own: true,
                    synthetic: dataset.synthetic,
                    scores,
                };
                return dataset.last.as_ref().map(|last| cell(&last.metrics));
            }
            let cross = dataset
                .cross
                .iter()
                .rev()
                .find(|cross| cross.test_dataset == **column);
            cross.map(|cross| CrossCell {
                own: false,
                synthetic: cross.synthetic,
                scores: &cross.metrics,
            })
        });
        (dataset.name.as_str(), scores.collect())
    });
    let rows = rows.collect();
    Some(CrossMatrix { columns, rows })
}

/// The heads of the table of stages.
pub(super) const STAGE_HEADS: [&str; 8] = [
    "Kind",
    "Jobs",
    "Attempts",
    "Wall time",
    "CPU time",
    "Peak memory",
    "Bytes in",
    "Bytes out",
];

/// A row of the table of stages.
pub(super) fn stage_cells(kind: &str, used: &Use) -> Vec<String> {
    let Use {
        jobs,
        attempts,
        wall_s,
        cpu_s,
        peak_memory_bytes,
        bytes_in,
        bytes_out,
    } = used;
    vec![
        kind.to_owned(),
        count(*jobs),
        count(*attempts),
        seconds(*wall_s),
        seconds(*cpu_s),
        bytes(*peak_memory_bytes),
        bytes(*bytes_in),
        bytes(*bytes_out),
    ]
}

/// Which datasets are drawn, in a sentence.
pub(super) fn synthetic_words(report: &Report) -> String {
    let drawn: Vec<_> = report
        .datasets
        .iter()
        .filter(|d| d.synthetic)
        .map(|d| d.name.as_str())
        .collect();
    if drawn.is_empty() {
        return "Images of this experiment are drawn by a program; numbers made with them say nothing about patients."
            .to_owned();
    }
    if drawn.len() == report.datasets.len() {
        return "All images behind these numbers are drawn by a program; they say nothing about patients."
            .to_owned();
    }
    format!(
        "The images of {} are drawn by a program; numbers made with them say nothing about patients.",
        drawn.join(", ")
    )
}

/// What is missing from the report of a run that is not done; `None` for one that is.
pub(super) fn state_words(report: &Report) -> Option<String> {
    let jobs = &report.jobs;
    let done = format!(
        "{} of {} are done",
        count(jobs.done),
        counted(jobs.total, "job", "jobs")
    );
    match report.state {
        RunState::Done => None,
        RunState::Failed => {
            let failed = counted(report.failed_jobs.len() as u64, "job", "jobs");
            Some(format!(
                "{failed} failed; {done}. Results below are of what was reached."
            ))
        }
        RunState::Interrupted => Some(format!(
            "Stopped by the user; {done}. \"fedwing resume\" continues."
        )),
        RunState::Unfinished => Some(format!(
            "The run is still going or was killed; {done}. Results below are of what was reached. \"fedwing resume\" continues \
             a killed run."
        )),
    }
}

/// The run in a few words each.
pub(super) fn run_facts(report: &Report) -> Vec<(&'static str, String)> {
    let jobs = &report.jobs;
    let mut facts = vec![
        ("Started", moment(report.started_unix_ms)),
        ("Elapsed", seconds(report.elapsed_s)),
        (
            "Jobs done",
            format!("{} of {}", count(jobs.done), count(jobs.total)),
        ),
        ("Retries", count(jobs.retries)),
        ("Jobs at once", count(report.slots.into())),
        ("Machine", report.host.clone()),
        ("fedwing", report.fedwing.clone()),
        ("Specification", report.spec_digest.chars().take(12).collect()),
    ];
    if report.resumed > 0 {
        facts.push(("Resumed", counted(report.resumed.into(), "time", "times")));
    }
    facts
}
