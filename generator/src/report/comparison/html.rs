//! The comparison as one HTML file that needs nothing else.

use super::{
    ComparedDataset, ComparedPoint, Comparison,
    rows::{
        BEST_WORDS, SEED_WORDS, SYNTHETIC_WORDS, USE_HEADS, USE_WORD_COLUMNS, USE_WORDS, axis_rows, datasets,
        facts, is_synthetic, result_cells, result_heads, seed_cells, seed_heads, short, state_words,
        troubles, use_cells,
    },
};
use crate::report::{
    chart::{self, Chart, Series},
    html::{STYLE, draw_head},
    html_dataset::line_swatch,
    markup::Markup,
    numbers::metric,
    scores::{MEASURES, Measure},
    table::{row, table},
};

/// Colours and dashes of the points' lines.
const LINES: &str = include_str!("style.css");

/// Lines of a chart; more could not be told apart.
const MOST_LINES: usize = 12;

/// The comparison as a self-contained HTML page.
pub fn comparison_html(comparison: &Comparison) -> String {
    let mut page = Markup::default();
    page.constant("<!DOCTYPE html>\n");
    let synthetic = if comparison.synthetic {
        " (SYNTHETIC data)"
    } else {
        ""
    };
    let title = format!(
        "{}{synthetic}: {} points, {}",
        comparison.experiment,
        comparison.points.len(),
        comparison.state.as_str()
    );
    page.element("html", &[("lang", &"en")], |html| {
        html.element("head", &[], |head| draw_head(&title, &[STYLE, LINES], head));
        html.element("body", &[], |body| {
            draw_banners(comparison, body);
            body.element("main", &[], |main| {
                draw_title(comparison, main);
                draw_troubles(comparison, main);
                for dataset in datasets(comparison) {
                    draw_dataset(comparison, dataset, main);
                }
                draw_use(comparison, main);
            });
        });
    });
    page.finish()
}

fn draw_banners(comparison: &Comparison, body: &mut Markup) {
    let mut banner = |class: &str, word: &str, words: &str| {
        let class = format!("banner {class}");
        body.element("div", &[("class", &class), ("role", &"note")], |banner| {
            banner.leaf("strong", &[], word);
            banner.text(format!(" {words}"));
        });
    };
    if comparison.synthetic {
        banner("synthetic", "SYNTHETIC", SYNTHETIC_WORDS);
    }
    if let Some(words) = state_words(comparison) {
        let state = comparison.state.as_str();
        banner(state, &state.to_uppercase(), &words);
    }
}

fn draw_title(comparison: &Comparison, main: &mut Markup) {
    main.element("header", &[], |header| {
        header.leaf(
            "p",
            &[("class", &"kicker")],
            "Sweep of federated learning experiments",
        );
        header.element("h1", &[], |title| {
            title.text(&comparison.experiment);
            title.text(" ");
            let class = format!("pill {}", comparison.state.as_str());
            title.leaf("span", &[("class", &class)], comparison.state.as_str());
        });
        if let Some(intent) = &comparison.intent {
            header.leaf("p", &[("class", &"intent")], intent);
        }
        header.element("dl", &[("class", &"facts")], |list| {
            for (name, value) in facts(comparison) {
                list.element("div", &[], |fact| {
                    fact.leaf("dt", &[], name);
                    fact.leaf("dd", &[], value);
                });
            }
        });
        header.leaf("h3", &[], "What is varied");
        table(header, &["Place", "Values"], 2, |rows| {
            for cells in axis_rows(comparison) {
                row(rows, "", 2, &cells);
            }
        });
    });
}

fn draw_troubles(comparison: &Comparison, main: &mut Markup) {
    let troubles = troubles(comparison);
    if troubles.is_empty() {
        return;
    }
    main.element("section", &[("class", &"failures")], |section| {
        section.leaf("h2", &[], "Points that are not done");
        for (point, words) in troubles {
            section.element("article", &[("class", &"failure")], |article| {
                article.element("p", &[], |line| {
                    line.leaf("code", &[], &point.name);
                    line.text(format!(": {}", point.state.as_str()));
                });
                article.leaf("p", &[("class", &"message")], words);
            });
        }
    });
}

fn draw_dataset(comparison: &Comparison, dataset: &str, main: &mut Markup) {
    main.element("section", &[("class", &"dataset")], |section| {
        section.element("h2", &[], |title| {
            title.leaf("span", &[("class", &"of")], "Dataset ");
            title.text(dataset);
            if is_synthetic(comparison, dataset) {
                title.text(" ");
                title.leaf("span", &[("class", &"pill synthetic")], "SYNTHETIC");
            }
        });
        section.leaf(
            "h3",
            &[],
            "Points, on the test samples after the last evaluated round",
        );
        let heads = result_heads(comparison);
        let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
        let words = 1 + comparison.axes.len();
        table(section, &heads, words, |rows| {
            for point in &comparison.points {
                linked_row(rows, words, point, &result_cells(comparison, point, dataset));
            }
        });
        section.leaf("p", &[("class", &"note")], BEST_WORDS);
        draw_over_seeds(comparison, dataset, section);
        draw_curves(comparison, dataset, section);
    });
}

/// A row whose first cell leads to the point's own report.
fn linked_row(rows: &mut Markup, words: usize, point: &ComparedPoint, cells: &[String]) {
    rows.element("tr", &[], |row| {
        for (index, cell) in cells.iter().enumerate() {
            match (index, &point.report) {
                (0, Some(report)) => row.element("th", &[("scope", &"row")], |head| {
                    head.leaf("a", &[("href", report)], cell);
                }),
                (0, None) => row.leaf("th", &[("scope", &"row")], cell),
                _ => {
                    let class = if index < words { "word" } else { "num" };
                    row.leaf("td", &[("class", &class)], cell);
                }
            }
        }
    });
}

fn draw_over_seeds(comparison: &Comparison, dataset: &str, section: &mut Markup) {
    if comparison.over_seeds.is_empty() {
        return;
    }
    section.leaf("h3", &[], "Over seeds");
    let heads = seed_heads(comparison);
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let words = heads.len() - MEASURES.len() - 1;
    table(section, &heads, words, |rows| {
        for group in &comparison.over_seeds {
            row(rows, "", words, &seed_cells(comparison, group, dataset));
        }
    });
    section.leaf("p", &[("class", &"note")], SEED_WORDS);
}

fn draw_curves(comparison: &Comparison, dataset: &str, section: &mut Markup) {
    let mut found: Vec<(&ComparedPoint, &ComparedDataset)> = comparison
        .points
        .iter()
        .filter_map(|point| {
            let found = point.datasets.iter().find(|found| found.name == dataset)?;
            (!found.curve.is_empty()).then_some((point, found))
        })
        .collect();
    if found.is_empty() {
        section.leaf(
            "p",
            &[("class", &"empty")],
            "No round of any point is evaluated yet.",
        );
        return;
    }
    section.leaf("h3", &[], "Quality by round");
    if found.len() > MOST_LINES {
        let last = |dataset: &ComparedDataset| dataset.measures[0].last.unwrap_or(f64::NEG_INFINITY);
        found.sort_by(|a, b| last(b.1).total_cmp(&last(a.1)));
        found.truncate(MOST_LINES);
        let note = format!(
            "The {MOST_LINES} points with the largest {} after their last round; the JSON report has all.",
            MEASURES[0].name
        );
        section.leaf("p", &[("class", &"note")], note);
    }
    // A name is too long to stand beside its line: there stands its number in the legend.
    let lines: Vec<(String, String)> = (0..found.len())
        .map(|line| (format!("#{}", line + 1), format!("p{line}")))
        .collect();
    section.element("ul", &[("class", &"legend")], |list| {
        for ((point, _), (number, class)) in found.iter().zip(&lines) {
            line_swatch(class, &format!("{number} {}", short(comparison, point)), list);
        }
    });
    section.element("div", &[("class", &"charts")], |grid| {
        for (index, measure) in MEASURES.iter().enumerate() {
            grid.element("figure", &[], |figure| {
                figure.leaf("figcaption", &[], measure.name);
                chart::draw(&curves(dataset, measure, index, &found, &lines), figure);
            });
        }
    });
}

fn curves<'a>(
    dataset: &str,
    measure: &Measure,
    index: usize,
    found: &[(&ComparedPoint, &ComparedDataset)],
    lines: &'a [(String, String)],
) -> Chart<'a> {
    let series = found
        .iter()
        .zip(lines)
        .map(|((_, dataset), (name, class))| Series {
            name,
            class,
            points: dataset
                .curve
                .iter()
                .map(|point| (point.round, point.values.get(index).copied().flatten()))
                .collect(),
        });
    let ends = found.iter().filter_map(|(point, dataset)| {
        let last = dataset.measures.get(index)?.last?;
        Some(format!("{}: {}", point.name, metric(last)))
    });
    Chart {
        title: format!("{} by round and point, dataset {dataset}", measure.name),
        description: format!(
            "{} after the last round. {}.",
            measure.name,
            ends.collect::<Vec<_>>().join("; ")
        ),
        series: series.collect(),
        levels: Vec::new(),
        share: measure.share,
    }
}

fn draw_use(comparison: &Comparison, main: &mut Markup) {
    main.element("section", &[], |section| {
        section.leaf("h2", &[], "Jobs and time by point");
        table(section, &USE_HEADS, USE_WORD_COLUMNS, |rows| {
            for point in &comparison.points {
                linked_row(rows, USE_WORD_COLUMNS, point, &use_cells(comparison, point));
            }
        });
        section.leaf("p", &[("class", &"note")], USE_WORDS);
        section.element("p", &[("class", &"digest")], |line| {
            line.text("Specification: SHA-256 ");
            line.leaf("code", &[], &comparison.spec_digest);
        });
    });
}
