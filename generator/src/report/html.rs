//! The report as one HTML file that needs nothing else: styles and figures are inside, no script, no network.

use super::{
    findings::{run_facts, state_words, synthetic_words},
    html_dataset, html_run,
    markup::Markup,
    model::Report,
};

/// Colours, type and layout; light and dark, on screen and paper.
pub(super) const STYLE: &str = include_str!("style.css");

/// The report as a self-contained HTML page.
pub fn html(report: &Report) -> String {
    let mut page = Markup::default();
    page.constant("<!DOCTYPE html>\n");
    page.element("html", &[("lang", &"en")], |html| {
        let synthetic = if report.synthetic { " (SYNTHETIC data)" } else { "" };
        let title = format!("{}{synthetic}: {}", report.experiment, report.state.as_str());
        html.element("head", &[], |head| draw_head(&title, &[STYLE], head));
        html.element("body", &[], |body| {
            draw_banners(report, body);
            body.element("main", &[], |main| {
                draw_title(report, main);
                html_run::draw_failures(report, main);
                for dataset in &report.datasets {
                    html_dataset::draw(report, dataset, main);
                }
                if report.datasets.is_empty() {
                    main.leaf(
                        "p",
                        &[("class", &"empty")],
                        "No job has left metrics or statistics.",
                    );
                }
                html_dataset::draw_cross(report, main);
                html_run::draw_run(report, main);
                html_run::draw_spec(report, main);
            });
        });
    });
    page.finish()
}

/// The head of a page.
pub(super) fn draw_head(title: &str, styles: &[&'static str], head: &mut Markup) {
    head.void("meta", &[("charset", &"utf-8")]);
    head.void(
        "meta",
        &[
            ("name", &"viewport"),
            ("content", &"width=device-width, initial-scale=1"),
        ],
    );
    head.void("meta", &[("name", &"color-scheme"), ("content", &"light dark")]);
    head.leaf("title", &[], title);
    head.element("style", &[], |element| {
        styles.iter().for_each(|style| element.constant(style));
    });
}

/// What nobody may overlook: drawn data, and a run that did not end well.
fn draw_banners(report: &Report, body: &mut Markup) {
    if report.synthetic {
        body.element(
            "div",
            &[("class", &"banner synthetic"), ("role", &"note")],
            |banner| {
                banner.leaf("strong", &[], "SYNTHETIC");
                banner.text(format!(" {}", synthetic_words(report)));
            },
        );
    }
    if let Some(words) = state_words(report) {
        let class = format!("banner {}", report.state.as_str());
        body.element("div", &[("class", &class), ("role", &"note")], |banner| {
            banner.leaf("strong", &[], report.state.as_str().to_uppercase());
            banner.text(format!(" {words}"));
        });
    }
}

fn draw_title(report: &Report, main: &mut Markup) {
    main.element("header", &[], |header| {
        header.leaf("p", &[("class", &"kicker")], "Federated learning experiment");
        header.element("h1", &[], |title| {
            title.text(&report.experiment);
            title.text(" ");
            let class = format!("pill {}", report.state.as_str());
            title.leaf("span", &[("class", &class)], report.state.as_str());
        });
        if let Some(intent) = &report.intent {
            header.leaf("p", &[("class", &"intent")], intent);
        }
        header.element("dl", &[("class", &"facts")], |facts| {
            for (name, value) in run_facts(report) {
                facts.element("div", &[], |fact| {
                    fact.leaf("dt", &[], name);
                    fact.leaf("dd", &[], value);
                });
            }
        });
    });
}
