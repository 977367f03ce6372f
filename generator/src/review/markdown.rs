//! The review as Markdown, for people who approve.

use contract::{
    dataset::{DatasetConfig, Source, Split, Task, TestSplit},
    units::Bytes,
};
use serde_json::Value;

use super::model::{DatasetReview, Moved, Review, Setting};
use crate::report::{
    Page,
    numbers::{bytes, count, counted, seconds},
    plain,
};

/// Clients, sites or warnings listed; the JSON has all.
const MOST_ROWS: usize = 20;

/// The review as Markdown.
pub fn markdown(review: &Review) -> String {
    let mut page = Page::default();
    let synthetic = if review.synthetic { " (SYNTHETIC data)" } else { "" };
    page.line(&format!("# {}{synthetic}: for review", plain(&review.experiment)));
    if let Some(intent) = &review.intent {
        page.paragraph(&plain(intent));
    }
    overview(review, &mut page);
    open_questions(review, &mut page);
    warnings(&review.warnings, &mut page);
    for (place, dataset) in review.datasets.iter().enumerate() {
        one_dataset(review, place, dataset, &mut page);
    }
    learning(review, &mut page);
    work(review, &mut page);
    moving(review, &mut page);
    leaving(review, &mut page);
    approval(&review.spec_digest, &mut page);
    page.finish()
}

pub(super) fn row(name: &str, value: impl Into<String>) -> Vec<String> {
    vec![name.to_owned(), value.into()]
}

fn overview(review: &Review, page: &mut Page) {
    let all: u64 = review.jobs.iter().map(|kind| kind.jobs).sum();
    let away: u64 = all - review.jobs.iter().map(|kind| kind.on_submit_host).sum::<u64>();
    let files: u64 = review.files.iter().map(|kind| kind.files).sum();
    let clients: Vec<String> = review
        .datasets
        .iter()
        .map(|dataset| {
            format!(
                "{} of {} in {}",
                dataset.selected,
                dataset.clients.len(),
                dataset.name
            )
        })
        .collect();
    let mut rows = vec![
        row(
            "Datasets",
            names(review.datasets.iter().map(|dataset| dataset.name.as_str())),
        ),
        row("Model", review.model.arch.clone()),
        row(
            "Schedule",
            format!(
                "{} of {} each; {} trains {}",
                counted(review.rounds.into(), "round", "rounds"),
                counted(review.epochs.into(), "epoch", "epochs"),
                review.algorithm,
                clients.join(", ")
            ),
        ),
        row(
            "Jobs",
            format!(
                "{}, {} of them away from the submit host",
                count(all),
                count(away)
            ),
        ),
        row("Files", count(files)),
    ];
    for traffic in &review.traffic {
        rows.push(row(
            &format!("Moved under {}", system(traffic.target)),
            format!("{} in all", moved(traffic.whole)),
        ));
    }
    if review.makespans.is_empty() {
        rows.push(row("Makespan", "not predicted without a pool: give --pool POOL"));
    }
    for makespan in &review.makespans {
        let what = format!("Makespan, {} under {}", makespan.layout, system(makespan.target));
        rows.push(row(&what, format!("{}, predicted", seconds(makespan.seconds))));
    }
    rows.push(row("Seed", review.seed.to_string()));
    rows.push(row("Specification", format!("SHA-256 {}", review.spec_digest)));
    page.words(&["Experiment", ""], &rows);
}

/// A text without the marks of code, which would be escaped.
pub(super) fn bare(text: &str) -> String {
    text.replace('`', "")
}

fn names<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

/// The workflow system's own spelling.
pub(super) fn system(target: &str) -> &str {
    match target {
        "pegasus" => "Pegasus",
        "dagman" => "DAGMan",
        other => other,
    }
}

pub(super) fn moved(moved: Moved) -> String {
    format!(
        "{} to jobs, {} from jobs",
        bytes(moved.received),
        bytes(moved.sent)
    )
}

fn open_questions(review: &Review, page: &mut Page) {
    page.line("## Open questions");
    let rows: Vec<Vec<String>> = review
        .open_questions
        .iter()
        .map(|question| {
            vec![
                bare(&question.about),
                bare(&question.question),
                bare(&question.way_out),
            ]
        })
        .collect();
    page.words(&["About", "Question", "Way out"], &rows);
}

pub(super) fn warnings(warnings: &[String], page: &mut Page) {
    page.line("## Warnings");
    if warnings.is_empty() {
        page.paragraph("`fedwing check` has none.");
    }
    for warning in warnings {
        page.item(&plain(&bare(warning)));
    }
}

fn one_dataset(review: &Review, place: usize, dataset: &DatasetReview, page: &mut Page) {
    let synthetic = if dataset.synthetic { " (SYNTHETIC)" } else { "" };
    page.line(&format!("## Dataset {}{synthetic}", plain(&dataset.name)));
    let config = &dataset.settings;
    let (mut rows, samples) = (described(config), &dataset.samples);
    rows.push(row(
        "Samples",
        format!(
            "{} to train on, {} for thresholds, {} held out ({})",
            count(samples.train),
            count(samples.validation),
            count(samples.test),
            basis(samples.basis)
        ),
    ));
    match &dataset.found {
        None if dataset.synthetic => {}
        None => rows.push(row("Found", "unknown: nobody has looked")),
        Some(found) => {
            let patients = found
                .patients
                .map_or("patients not named".to_owned(), |patients| {
                    counted(patients, "patient", "patients")
                });
            rows.push(row(
                "Found",
                format!(
                    "{} images, {patients}, in {}; {} unusable, {} with burned-in annotation, {} groups of equal files",
                    count(found.images),
                    found.root,
                    count(found.unusable),
                    count(found.burned_in),
                    count(found.same_bytes)
                ),
            ));
            rows.extend(
                found
                    .kinds
                    .iter()
                    .map(|kind| row(&format!("Found, by {}", kind.name), kind.value.clone())),
            );
        }
    }
    let model = &review.model;
    if let (Some(parameters), Some(length), Some(update)) = (
        model.parameters.get(place),
        model.bytes.get(place),
        model.update.get(place),
    ) {
        rows.push(row(
            "Model",
            format!(
                "{} trained values, {} in a file; an update {}",
                count(*parameters),
                bytes(*length),
                bytes(*update)
            ),
        ));
    }
    page.words(&["Dataset", ""], &rows);
    clients(dataset, page);
}

fn basis(word: &str) -> &'static str {
    match word {
        "counted" => "counted",
        "expected" => "expected, shared out evenly",
        _ => "assumed, shared out evenly",
    }
}

fn described(config: &DatasetConfig) -> Vec<Vec<String>> {
    let source = match &config.source {
        Source::Cxr14 { images, labels } => format!("cxr14: {images}, labels {labels}"),
        Source::Table { csv, .. } => format!("table: {csv}"),
        Source::Folder { root } => format!("folder: {root}"),
        Source::Dicom { root, .. } => format!("dicom: {root}"),
        Source::Phantom { patients, sites } => {
            format!("phantom: drawn radiographs of {patients} patients from {sites} institutions")
        }
    };
    let task = match &config.task {
        Task::Binary { negative } => format!("binary: {} or anything else", negative.join(", ")),
        Task::Multiclass { classes } => format!("one of {}", classes.join(", ")),
        Task::Multilabel { labels } => format!("any of {}", labels.join(", ")),
    };
    let image = &config.image;
    let test = match &config.test {
        TestSplit::Fraction(fraction) => format!("{fraction} of the patients are held out"),
        TestSplit::Column { name, .. } => format!("the column {name} of the source says who is held out"),
    };
    let validation = config
        .validation
        .map(|share| format!(", {share} of the others are for {}", Split::Validation.as_str()));
    let partition =
        serde_json::to_value(config.partition).map_or(String::new(), |value| partition_words(&value));
    vec![
        row("Source", source),
        row("Task", task),
        row(
            "Image",
            format!("{0} x {0} pixels, {1} channels", image.size, image.channels),
        ),
        row(
            "Split",
            format!(
                "by patient, nobody on two sides: {test}{}",
                validation.unwrap_or_default()
            ),
        ),
        row(
            "Clients",
            format!("{}, {partition}", count(config.clients.into())),
        ),
    ]
}

/// `iid`, or `dirichlet: alpha 0.5, min_size 10`.
fn partition_words(value: &Value) -> String {
    let Value::Object(map) = value else {
        return value.as_str().unwrap_or_default().to_owned();
    };
    let settings = map.iter().map(|(word, settings)| match settings {
        Value::Object(settings) => {
            let settings: Vec<String> = settings
                .iter()
                .map(|(key, value)| format!("{key} {value}"))
                .collect();
            format!("{word}: {}", settings.join(", "))
        }
        other => format!("{word}: {}", other.as_str().unwrap_or_default()),
    });
    settings.collect::<Vec<_>>().join(", ")
}

fn clients(dataset: &DatasetReview, page: &mut Page) {
    let rows: Vec<Vec<String>> = dataset
        .clients
        .iter()
        .take(MOST_ROWS)
        .map(|client| {
            vec![
                format!("client {}", client.client),
                client.site.clone().unwrap_or_else(|| "-".to_owned()),
                count(client.samples),
                bytes(client.shard),
            ]
        })
        .collect();
    page.table(&["Client", "Site", "Samples", "Shard"], &rows);
    page.cut(rows.len(), dataset.clients.len());
}

fn learning(review: &Review, page: &mut Page) {
    page.line("## Learning");
    let mut rows = vec![
        row("rounds", review.rounds.to_string()),
        row("epochs", review.epochs.to_string()),
    ];
    if let Some(fewest) = review.min_clients {
        rows.push(row("min_clients", fewest.to_string()));
    }
    let weights = review.model.weights.clone();
    rows.push(row("weights", weights.unwrap_or_else(|| "random".to_owned())));
    rows.extend(cells(&review.training));
    page.words(&["Training", ""], &rows);
    page.words(&["Evaluation", ""], &cells(&review.evaluation));
    page.line("## Privacy");
    match review.privacy.is_empty() {
        true => page.paragraph("Updates travel in the clear, without noise."),
        false => page.words(&["Privacy", ""], &cells(&review.privacy)),
    }
}

fn cells(settings: &[Setting]) -> Vec<Vec<String>> {
    let cells = settings
        .iter()
        .map(|setting| row(&setting.name, setting.value.clone()));
    cells.collect()
}

fn work(review: &Review, page: &mut Page) {
    page.line("## Jobs and files");
    let rows: Vec<Vec<String>> = review
        .jobs
        .iter()
        .map(|kind| {
            vec![
                kind.kind.clone(),
                count(kind.jobs),
                count(kind.on_submit_host),
                kind.cpus.to_string(),
                kind.memory.to_string(),
                kind.gpus.to_string(),
                kind.walltime.to_string(),
            ]
        })
        .collect();
    let head = [
        "Job",
        "Number",
        "On the submit host",
        "CPUs",
        "Memory",
        "GPUs",
        "Walltime",
    ];
    page.table(&head, &rows);
    let rows: Vec<Vec<String>> = review
        .files
        .iter()
        .map(|kind| vec![kind.kind.clone(), count(kind.files), bytes(kind.bytes)])
        .collect();
    page.table(&["File", "Number", "Together"], &rows);
    let rows: Vec<Vec<String>> = review
        .layouts
        .iter()
        .map(|layout| {
            let chosen = if layout.chosen { " (chosen)" } else { "" };
            vec![
                format!("{}{chosen}", layout.layout),
                count(layout.entries),
                count(layout.sub_workflows),
                count(layout.plannings),
            ]
        })
        .collect();
    page.table(
        &[
            "Layout",
            "Entries of the main workflow",
            "Sub-workflows",
            "Plannings by Pegasus",
        ],
        &rows,
    );
    let rows: Vec<Vec<String>> = review
        .places
        .iter()
        .take(MOST_ROWS)
        .map(|place| {
            vec![
                place.place.clone(),
                count(place.jobs),
                count(place.training_at_once),
                place.cpus.to_string(),
                place.memory.to_string(),
                place.gpus.to_string(),
            ]
        })
        .collect();
    page.table(
        &[
            "Place",
            "Jobs",
            "Training at once",
            "Most CPUs",
            "Most memory",
            "Most GPUs",
        ],
        &rows,
    );
    page.cut(rows.len(), review.places.len());
}

fn moving(review: &Review, page: &mut Page) {
    page.line("## What moves");
    page.paragraph("Between the submit host and other machines, when every job is tried once.");
    for traffic in &review.traffic {
        let named = |name: String, moved: Moved| {
            let both = Bytes(moved.received.0 + moved.sent.0);
            vec![name, bytes(moved.received), bytes(moved.sent), bytes(both)]
        };
        let rounds = traffic.round.iter();
        let mut rows: Vec<_> = rounds
            .map(|round| named(format!("a round of {}, on average", round.name), round.moved))
            .collect();
        rows.extend(
            traffic
                .places
                .iter()
                .take(MOST_ROWS)
                .map(|place| named(format!("all of {}", place.name), place.moved)),
        );
        rows.extend(
            traffic
                .kinds
                .iter()
                .map(|kind| named(format!("all files of kind {}", kind.name), kind.moved)),
        );
        rows.push(named("the whole experiment".to_owned(), traffic.whole));
        page.table(
            &[system(traffic.target), "To jobs", "From jobs", "Together"],
            &rows,
        );
    }
    if !review.assumptions.is_empty() {
        page.paragraph("Sizes assume:");
        for assumption in &review.assumptions {
            page.item(&plain(&bare(assumption)));
        }
    }
}

fn leaving(review: &Review, page: &mut Page) {
    let sites: Vec<_> = review
        .places
        .iter()
        .filter(|place| place.data.is_some())
        .collect();
    page.line("## What leaves a site");
    if sites.is_empty() {
        page.paragraph(
            "All data is in one place, and no site is declared: shards, which are images, go to any machine that trains.",
        );
        return;
    }
    page.paragraph("Planning has proven that jobs at a site send nothing else, and that no job elsewhere reads what is kept there.");
    let mut rows = Vec::new();
    for site in &sites {
        for sent in &site.sends {
            rows.push(vec![
                site.place.clone(),
                sent.kind.clone(),
                count(sent.files),
                bytes(sent.bytes),
            ]);
        }
    }
    page.table(&["Site", "Kind", "Files", "Together"], &rows);
}

pub(super) fn approval(spec_digest: &str, page: &mut Page) {
    page.line("## Approval");
    page.paragraph(&format!(
        "Who approves this approves the specification whose SHA-256 is `{spec_digest}`; another text has another one."
    ));
}
