//! The page by itself: whole, small, and safe from the names in it.

use fedwing::{
    record::{Event, Outcome},
    report::{html, markdown},
};

use super::{
    fixture::{self, two_datasets},
    support::report_of,
};

#[test]
fn the_page_needs_no_other_file_and_no_network() {
    let page = html(&report_of(&two_datasets()));
    for outside in [
        "http://", "https://", "src=", "href=", "url(", "@import", "<script", "<link", "<iframe",
    ] {
        assert!(!page.contains(outside), "the page has `{outside}`");
    }
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"));
}

#[test]
fn every_element_of_the_page_is_closed_and_every_figure_has_words() {
    let page = html(&report_of(&two_datasets()));
    let body = page.split_once("</style>").unwrap().1;
    let mut open = vec!["html", "head"];
    let mut figures = 0;
    for (at, _) in body.match_indices('<') {
        let tag = body[at + 1..].split_once('>').unwrap().0;
        let name = tag.split([' ', '/']).find(|part| !part.is_empty()).unwrap();
        if tag.starts_with('/') {
            assert_eq!(
                open.pop(),
                Some(name),
                "near {}",
                &body[at..(at + 60).min(body.len())]
            );
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        if tag.contains("role=\"img\"") {
            figures += 1;
            let inside = &body[at + tag.len() + 2..];
            assert!(
                inside.starts_with("<title>") && inside.split_once("</desc>").is_some(),
                "{tag}"
            );
        }
    }
    assert!(open.is_empty(), "{open:?}");
    assert_eq!(
        figures,
        2 * (4 + 1) + 1,
        "four curves and bars a dataset, and the timeline"
    );
}

#[test]
fn hostile_names_stay_text() {
    let hostile = "</title><script>alert(1)</script>\"' onload=x | **b** `c`\n# d";
    let mut run = two_datasets();
    let Event::RunStarted { name, host, .. } = &mut run.events[0] else {
        unreachable!()
    };
    *name = hostile.into();
    *host = hostile.into();
    run.fail(hostile, hostile, Some(hostile));
    let mut report = report_of(&run);
    report.spec = Some(hostile.into());
    report.intent = Some(hostile.into());
    report.datasets[0].name = hostile.into();
    report.datasets[0].classes[0] = hostile.into();
    let page = html(&report);
    assert!(!page.contains("<script") && !page.contains("\" onload") && !page.contains("' onload"));
    let text = markdown(&report);
    let before_spec = text.split_once("## Specification").unwrap().0;
    assert!(!before_spec.contains("<script"));
    assert_eq!(
        text.lines().filter(|line| line.starts_with("# ")).count(),
        2,
        "the title, and the one in the fence"
    );
}

#[test]
fn thousands_of_jobs_keep_the_page_small() {
    let mut run = fixture::real_dataset();
    for i in 0..5_000 {
        let job = format!("train-nih-r{}-c{}", i / 10, i % 10);
        run.start(&job, "train", Some("nih"));
        run.now += 40;
        run.end(&job, Outcome::Done, vec![]);
    }
    let report = report_of(&run);
    assert!(report.timeline.len() > 5_000);
    let page = html(&report);
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    assert!(page.contains("too many to draw one by one"));
}
