//! The report as one HTML file that needs nothing else: styles and figures are inside, no script, no network.

use super::{
    html_dataset, html_run,
    markup::Markup,
    model::{Report, RunState},
    numbers::{count, counted, moment, seconds},
};

/// Colours, type and layout; light and dark, on screen and paper.
const STYLE: &str = include_str!("style.css");

/// The report as a self-contained HTML page.
pub fn html(report: &Report) -> String {
    let mut page = Markup::default();
    page.constant("<!DOCTYPE html>\n");
    page.element("html", &[("lang", &"en")], |html| {
        html.element("head", &[], |head| draw_head(report, head));
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

fn draw_head(report: &Report, head: &mut Markup) {
    head.void("meta", &[("charset", &"utf-8")]);
    head.void(
        "meta",
        &[
            ("name", &"viewport"),
            ("content", &"width=device-width, initial-scale=1"),
        ],
    );
    head.void("meta", &[("name", &"color-scheme"), ("content", &"light dark")]);
    let synthetic = if report.synthetic { " (SYNTHETIC data)" } else { "" };
    head.leaf(
        "title",
        &[],
        format!("{}{synthetic}: {}", report.experiment, report.state.as_str()),
    );
    head.element("style", &[], |style| style.constant(STYLE));
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

/// Which datasets are drawn, in a sentence.
pub(super) fn synthetic_words(report: &Report) -> String {
    let drawn: Vec<_> = report
        .datasets
        .iter()
        .filter(|d| d.synthetic)
        .map(|d| d.name.as_str())
        .collect();
    if drawn.is_empty() || drawn.len() == report.datasets.len() {
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
            "Stopped by the user; {done}. `fedwing resume` continues."
        )),
        RunState::Unfinished => Some(format!(
            "The run is still going or was killed; {done}. Results below are of what was reached. `fedwing resume` continues \
             a killed run."
        )),
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
