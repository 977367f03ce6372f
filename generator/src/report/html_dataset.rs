//! One dataset on the HTML page: the result, curves per round, who has which samples.

use contract::training::BaselineKind;

use super::{
    bars,
    chart::{self, Chart, Level, Series},
    findings::{
        ABSENT_HEADS, CrossCell, DIVERGENCES, NOTHING, ROUND_HEADS, absent_rows, alerts, cross_matrix,
        group_rows, privacy_words, round_cells, sample_privacy_words, size_words, transfer_words,
    },
    markup::Markup,
    model::{DatasetReport, DatasetSummary, Report, RoundReport, RunState, Spread},
    numbers::{count, counted, difference, metric, metric_or_undefined, thinned},
    scores::{
        CLASS_HEADS, FURTHER, FURTHER_WORDS, MEASURES, Measure, PERSONAL_WORDS, class_cells, confusion,
        heads, interval_words, model_rows, personal_rows,
    },
    table::{row, table},
};

/// Rows of a table of rounds or clients; more are in the JSON report.
const MOST_ROWS: usize = 120;

/// Draws the dataset's part of the page.
pub(super) fn draw(report: &Report, dataset: &DatasetReport, main: &mut Markup) {
    main.element("section", &[("class", &"dataset")], |section| {
        section.element("h2", &[], |title| {
            title.leaf("span", &[("class", &"of")], "Dataset ");
            title.text(&dataset.name);
            if dataset.synthetic {
                title.text(" ");
                title.leaf("span", &[("class", &"pill synthetic")], "SYNTHETIC");
            }
        });
        for (word, words) in alerts(dataset) {
            section.element("p", &[("class", &"alert"), ("role", &"note")], |alert| {
                alert.leaf("strong", &[], word);
                alert.text(format!(" {words}"));
            });
        }
        draw_tiles(report, dataset, section);
        if dataset.rounds.is_empty() && dataset.baselines.is_empty() {
            section.leaf(
                "p",
                &[("class", &"empty")],
                "No round and no baseline has metrics yet.",
            );
        } else {
            draw_curves(dataset, section);
            draw_updates(dataset, section);
            draw_models(report, dataset, section);
            draw_classes(dataset, section);
        }
        match &dataset.stats {
            Some(stats) => draw_distribution(dataset, stats, section),
            None => section.leaf(
                "p",
                &[("class", &"empty")],
                "The statistics of this dataset are not there.",
            ),
        }
    });
}

/// The result at a glance.
fn draw_tiles(report: &Report, dataset: &DatasetReport, section: &mut Markup) {
    let Some(last) = &dataset.last else { return };
    let central = dataset
        .baselines
        .iter()
        .find(|baseline| baseline.kind == BaselineKind::Centralized);
    section.element("div", &[("class", &"tiles")], |tiles| {
        for measure in &MEASURES[..3] {
            let value = (measure.of)(&last.metrics);
            let against = central.and_then(|central| (measure.of)(&central.metrics));
            tile(tiles, measure.name, metric_or_undefined(value), |note| {
                if let (Some(value), Some(against)) = (value, against) {
                    note.text(format!("{} against centralized", difference(value - against)));
                } else {
                    note.text(if report.state == RunState::Done {
                        "federated"
                    } else {
                        "last evaluated round"
                    });
                }
            });
        }
        let clients = dataset.stats.as_ref().map(|stats| stats.clients.len() as u64);
        tile(tiles, "Rounds", count(last.round.into()), |note| match clients {
            Some(n) => note.text(counted(n, "client", "clients")),
            None => note.text("clients not counted"),
        });
    });
}

fn tile(tiles: &mut Markup, name: &str, value: String, note: impl FnOnce(&mut Markup)) {
    tiles.element("div", &[("class", &"tile")], |tile| {
        tile.leaf("p", &[("class", &"name")], name);
        tile.leaf("p", &[("class", &"number")], value);
        tile.element("p", &[("class", &"note")], note);
    });
}

fn draw_curves(dataset: &DatasetReport, section: &mut Markup) {
    section.leaf("h3", &[], "Quality by round, on the test samples");
    section.element("ul", &[("class", &"legend")], |list| {
        line_swatch("fed", "federated", list);
        for (kind, class, name) in BASELINES {
            if dataset.baselines.iter().any(|baseline| baseline.kind == kind) {
                line_swatch(class, name, list);
            }
        }
        if dataset.rounds.iter().any(|round| round.train_loss.is_some()) {
            line_swatch("train", "training loss of the clients, weighted by samples", list);
        }
        if dataset.rounds.iter().any(|round| round.validation_loss.is_some()) {
            line_swatch(
                "valid",
                "validation loss of the clients, weighted by samples",
                list,
            );
        }
    });
    section.element("div", &[("class", &"charts")], |grid| {
        for measure in &MEASURES {
            grid.element("figure", &[], |figure| {
                figure.leaf("figcaption", &[], measure.name);
                chart::draw(&curve(dataset, measure), figure);
            });
        }
    });
    draw_rounds_table(dataset, section);
}

/// Baselines as lines: kind, style, name.
const BASELINES: [(BaselineKind, &str, &str); 2] = [
    (
        BaselineKind::Centralized,
        "central",
        "centralized (all samples in one place)",
    ),
    (
        BaselineKind::LocalOnly,
        "local",
        "local only (mean and range over clients)",
    ),
];

/// An entry of a legend: a line as it is drawn, and what it is.
pub(super) fn line_swatch(class: &str, name: &str, list: &mut Markup) {
    list.element("li", &[], |item| {
        item.element(
            "svg",
            &[
                ("viewBox", &"0 0 26 12"),
                ("class", &"swatch line"),
                ("aria-hidden", &"true"),
            ],
            |svg| {
                let class = format!("line {class}");
                svg.void(
                    "line",
                    &[("class", &class), ("x1", &1), ("x2", &25), ("y1", &6), ("y2", &6)],
                );
            },
        );
        item.text(name);
    });
}

fn curve(dataset: &DatasetReport, measure: &Measure) -> Chart<'static> {
    let points = dataset.rounds.iter().filter_map(|round| {
        // A round not evaluated yet is no point; one whose measure is undefined breaks the line.
        round
            .metrics
            .as_ref()
            .map(|scores| (round.round, (measure.of)(scores)))
    });
    let mut series = vec![Series {
        name: "federated",
        class: "fed",
        points: points.collect(),
    }];
    type Loss = fn(&RoundReport) -> Option<f64>;
    let losses: [(&str, &str, Loss); 2] = [
        ("training", "train", |round| round.train_loss),
        ("validation", "valid", |round| round.validation_loss),
    ];
    for (name, class, of) in losses.into_iter().filter(|_| !measure.share) {
        let points = dataset.rounds.iter().filter(|round| of(round).is_some());
        let points: Vec<_> = points.map(|round| (round.round, of(round))).collect();
        if !points.is_empty() {
            series.push(Series { name, class, points });
        }
    }
    let levels = [
        (BaselineKind::Centralized, "central", "centralized"),
        (BaselineKind::LocalOnly, "local", "local only"),
    ];
    let levels = levels.into_iter().filter_map(|(kind, class, name)| {
        let Spread { mean, min, max } = dataset.baseline(kind, measure.of)?;
        Some(Level {
            name,
            class,
            value: mean,
            range: (max > min).then_some((min, max)),
        })
    });
    let levels: Vec<_> = levels.collect();
    Chart {
        title: format!("{} by round, dataset {}", measure.name, dataset.name),
        description: describe(measure, &series, &levels),
        series,
        levels,
        share: measure.share,
    }
}

fn describe(measure: &Measure, series: &[Series<'_>], levels: &[Level<'_>]) -> String {
    let mut parts = Vec::new();
    for line in series {
        let mut defined = line
            .points
            .iter()
            .filter_map(|(round, value)| Some((round, (*value)?)));
        let Some((first, from)) = defined.next() else {
            continue;
        };
        let (last, to) = defined.next_back().unwrap_or((first, from));
        parts.push(format!(
            "{}: {} in round {first}, {} in round {last}",
            line.name,
            metric(from),
            metric(to)
        ));
    }
    for level in levels {
        let range = level.range.map_or(String::new(), |(low, high)| {
            format!(" ({} to {})", metric(low), metric(high))
        });
        parts.push(format!("{}: {}{range}", level.name, metric(level.value)));
    }
    format!("{}. {}.", measure.name, parts.join("; "))
}

fn draw_rounds_table(dataset: &DatasetReport, section: &mut Markup) {
    section.element("details", &[], |details| {
        details.leaf("summary", &[], "The numbers behind the curves");
        let shown = thinned(dataset.rounds.len(), MOST_ROWS);
        if shown.len() < dataset.rounds.len() {
            let note = format!(
                "{} of {} rounds; the JSON report has all.",
                shown.len(),
                dataset.rounds.len()
            );
            details.leaf("p", &[("class", &"note")], note);
        }
        table(details, &ROUND_HEADS, 1, |rows| {
            for round in shown.iter().map(|i| &dataset.rounds[*i]) {
                row(rows, "", 1, &round_cells(round));
            }
        });
    });
}

/// What updates took on the way, what they may tell, and whose were missing.
fn draw_updates(dataset: &DatasetReport, section: &mut Markup) {
    let words: Vec<String> = [
        transfer_words(dataset),
        privacy_words(dataset),
        sample_privacy_words(dataset),
    ]
    .into_iter()
    .flatten()
    .collect();
    let absent = absent_rows(dataset);
    if words.is_empty() && absent.is_empty() {
        return;
    }
    section.leaf("h3", &[], "Updates");
    for words in words {
        section.leaf("p", &[], words);
    }
    if absent.is_empty() {
        return;
    }
    let shown = absent.len().min(MOST_ROWS);
    table(section, &ABSENT_HEADS, ABSENT_HEADS.len(), |rows| {
        for cells in &absent[..shown] {
            row(rows, "", ABSENT_HEADS.len(), cells);
        }
    });
    if shown < absent.len() {
        let all = counted(absent.len() as u64, "absence", "absences");
        section.leaf(
            "p",
            &[("class", &"note")],
            format!("The first {shown} of {all}; the JSON report has all."),
        );
    }
}

fn draw_models(report: &Report, dataset: &DatasetReport, section: &mut Markup) {
    let done = report.state == RunState::Done;
    section.leaf("h3", &[], if done { "Final metrics" } else { "Metrics so far" });
    draw_measured(&MEASURES, model_rows(dataset, &MEASURES, MOST_ROWS), section);
    draw_measured(&FURTHER, model_rows(dataset, &FURTHER, MOST_ROWS), section);
    section.leaf("p", &[("class", &"note")], FURTHER_WORDS);
    if let Some(words) = dataset
        .last
        .as_ref()
        .and_then(|last| interval_words(&last.metrics))
    {
        section.leaf("p", &[("class", &"note")], words);
    }
    if dataset.personal.is_empty() {
        return;
    }
    section.leaf("h3", &[], "Clients' own models");
    draw_measured(&MEASURES, personal_rows(dataset, MOST_ROWS), section);
    section.leaf("p", &[("class", &"note")], PERSONAL_WORDS);
    if dataset.personal.len() > MOST_ROWS {
        let all = counted(dataset.personal.len() as u64, "model", "models");
        section.leaf(
            "p",
            &[("class", &"note")],
            format!("The first {MOST_ROWS} of {all}; the JSON report has all."),
        );
    }
}

/// A table of models by measures.
fn draw_measured(
    measures: &[Measure],
    models: Vec<(String, &'static str, Vec<String>)>,
    section: &mut Markup,
) {
    table(section, &heads("Model", measures), 1, |rows| {
        for (name, class, values) in models {
            let mut cells = vec![name];
            cells.extend(values);
            row(rows, class, 1, &cells);
        }
    });
}

fn draw_classes(dataset: &DatasetReport, section: &mut Markup) {
    let federated = dataset.last.iter().map(|last| ("federated", &last.metrics));
    let central = dataset
        .baselines
        .iter()
        .filter(|baseline| baseline.kind == BaselineKind::Centralized);
    let models: Vec<_> = federated
        .chain(central.map(|central| ("centralized", &central.metrics)))
        .collect();
    if models.is_empty() {
        return;
    }
    section.leaf("h3", &[], "By class");
    let mut head = vec!["Class", "Model"];
    head.extend(CLASS_HEADS);
    table(section, &head, 2, |rows| {
        let most = models
            .iter()
            .map(|(_, scores)| scores.per_class.len())
            .max()
            .unwrap_or(0);
        for i in 0..most {
            for (name, scores) in &models {
                let Some(class) = scores.per_class.get(i) else {
                    continue;
                };
                let mut cells = vec![class.label.clone(), (*name).to_owned()];
                cells.extend(class_cells(class));
                row(rows, if *name == "federated" { "main" } else { "" }, 2, &cells);
            }
        }
    });
    for (name, scores) in &models {
        let Some((head, matrix)) = confusion(scores) else {
            continue;
        };
        section.leaf("h3", &[], format!("Confusion matrix, {name}"));
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        table(section, &head, 1, |rows| {
            for cells in &matrix {
                row(rows, "", 1, cells);
            }
        });
    }
}

fn draw_distribution(dataset: &DatasetReport, stats: &DatasetSummary, section: &mut Markup) {
    section.leaf("h3", &[], "Who has which samples");
    bars::legend(&dataset.classes, section);
    section.element("figure", &[], |figure| {
        bars::draw(stats, &dataset.classes, figure)
    });
    let mut head = vec!["Group", "Samples", "Patients"];
    head.extend(dataset.classes.iter().map(String::as_str));
    head.extend(["KL", "JS", "Hellinger", "EMD"]);
    table(section, &head, 1, |rows| {
        let cells = group_rows(stats, MOST_ROWS);
        let clients = stats.clients.len().min(MOST_ROWS);
        for (i, cells) in cells.iter().enumerate() {
            row(rows, if i < clients { "" } else { "main" }, 1, cells);
        }
    });
    if stats.clients.len() > MOST_ROWS {
        let all = counted(stats.clients.len() as u64, "client", "clients");
        section.leaf(
            "p",
            &[("class", &"note")],
            format!("The first {MOST_ROWS} of {all}; the JSON report has all."),
        );
    }
    for words in [size_words(stats).as_str(), DIVERGENCES] {
        section.leaf("p", &[("class", &"note")], words);
    }
    if !stats.left_out.is_empty() {
        let reasons: Vec<_> = stats
            .left_out
            .iter()
            .map(|(reason, n)| format!("{reason}: {}", count(*n)))
            .collect();
        section.leaf(
            "p",
            &[("class", &"note")],
            format!("Left out of the source: {}.", reasons.join("; ")),
        );
    }
}

/// Draws how each dataset's model does on the others' test samples, where that was asked.
pub(super) fn draw_cross(report: &Report, main: &mut Markup) {
    let Some(matrix) = cross_matrix(report) else {
        return;
    };
    main.element("section", &[], |section| {
        section.leaf("h2", &[], "Across datasets");
        section.leaf(
            "p",
            &[("class", &"note")],
            "AUROC and, below it, accuracy of a row's final model on a column's test samples.",
        );
        let mut head = vec!["Trained on"];
        head.extend(matrix.columns.iter().copied());
        table(section, &head, 1, |rows| {
            for (name, cells) in &matrix.rows {
                rows.element("tr", &[], |row| {
                    row.leaf("th", &[("scope", &"row")], name);
                    for cell in cells {
                        draw_cross_cell(cell.as_ref(), row);
                    }
                });
            }
        });
    });
}

fn draw_cross_cell(cell: Option<&CrossCell<'_>>, row: &mut Markup) {
    let Some(CrossCell {
        own,
        synthetic,
        scores,
    }) = cell
    else {
        row.leaf("td", &[("class", &"num")], NOTHING);
        return;
    };
    row.element("td", &[("class", &if *own { "num own" } else { "num" })], |td| {
        td.text(metric_or_undefined(scores.auroc));
        td.void("br", &[]);
        td.leaf("small", &[], metric(scores.accuracy));
        if *synthetic {
            td.void("br", &[]);
            td.leaf("small", &[], "SYNTHETIC");
        }
    });
}
