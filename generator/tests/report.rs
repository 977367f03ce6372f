//! Reports of whole run folders, made by the test from typed events and metrics.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

#[path = "report/fixture.rs"]
mod fixture;

use std::fs;

use contract::{training::Backend, units::Bytes};
use fedwing::{
    record::{Event, Outcome, RunOutcome, Stamp, SweepAxis, SweepList, SweepPoint, SweepSystem},
    report::{
        Comparison, Known, Report, ReportError, RunState, build, compare, comparison_html, comparison_json,
        comparison_markdown, from_events, html, json, markdown,
    },
};
use fixture::{Run, two_datasets};
use insta::assert_snapshot;

/// Keeps the snapshots beside the fixture.
fn with_snapshots(check: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("report/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(check);
}

fn report_of(run: &Run) -> Report {
    from_events(&run.dir, run.events.clone()).expect("the fixture is a whole run")
}

#[test]
fn a_finished_run_is_told_as_json_and_markdown() {
    let report = report_of(&two_datasets());
    with_snapshots(|| {
        assert_snapshot!("finished.json", json(&report));
        assert_snapshot!("finished.md", markdown(&report));
    });
}

#[test]
fn privacy_bytes_and_absent_clients_are_told_everywhere() {
    let report = report_of(&fixture::guarded_dataset());
    let dataset = &report.datasets[0];
    let value: serde_json::Value = serde_json::from_str(&json(&report)).unwrap();
    let told = &value["datasets"][0];
    with_snapshots(|| {
        let text = markdown(&report);
        let (_, rounds) = text.split_once("### By round").unwrap();
        let (rounds, _) = rounds.split_once("### By class").unwrap();
        assert_snapshot!("guarded.md", rounds);
        let told = serde_json::json!({
            "privacy": told["privacy"], "transfer": told["transfer"], "absent": told["rounds"][2]["absent"],
        });
        assert_snapshot!("guarded.json", serde_json::to_string_pretty(&told).unwrap());
    });
    assert_eq!(
        dataset
            .privacy
            .as_ref()
            .map(|privacy| (privacy.round, privacy.epsilon)),
        Some((3, Some(3.75)))
    );
    assert_eq!(
        dataset
            .rounds
            .iter()
            .map(|round| round.num_clients)
            .collect::<Vec<_>>(),
        [0, 2, 1, 2],
        "an absent client is no part of its round"
    );
    let page = html(&report);
    for words in [
        "at most ε = 3.750 at δ = 0.00001",
        "whoever has the seed can take it away",
        "25.0 % of the 235.0 MiB",
        "<th scope=\"row\">2</th><td class=\"word\">client 1</td>",
        "the shard cannot be read: | &lt;damaged&gt;",
    ] {
        assert!(page.contains(words), "the page lacks `{words}`");
    }
}

#[test]
fn images_that_are_there_twice_or_were_skipped_are_told_where_they_are_and_only_there() {
    let mut report = report_of(&two_datasets());
    let summary = |report: &Report, name: &str| {
        let dataset = report.datasets.iter().find(|dataset| dataset.name == name);
        dataset.unwrap().stats.clone().unwrap()
    };
    let nih = summary(&report, "nih");
    assert_eq!((nih.leaks, nih.skipped), (3, 2));
    let told = |text: &str| ["LEAK", "SKIPPED"].map(|word| text.matches(word).count());
    for text in [markdown(&report), html(&report)] {
        assert_eq!(told(&text), [1, 1], "of two datasets one has such images");
        assert!(
            text.contains("3 images are there more than once") && text.contains("2 images could not be used")
        );
        assert!(text.contains("2 clients count as 1.9 of equal size"));
        assert!(text.contains("Hellinger") && text.contains("0.261"));
    }
    let stats = report
        .datasets
        .iter_mut()
        .filter_map(|dataset| dataset.stats.as_mut());
    stats.for_each(|stats| (stats.leaks, stats.skipped) = (0, 0));
    for text in [markdown(&report), html(&report)] {
        assert_eq!(told(&text), [0, 0]);
    }
    let one = report
        .datasets
        .iter_mut()
        .find_map(|dataset| dataset.stats.as_mut());
    let one = one.unwrap();
    (one.leaks, one.skipped) = (1, 1);
    let text = markdown(&report);
    assert!(text.contains("1 image is there more than once") && text.contains("1 image could not be used"));
}

#[test]
fn validation_intervals_and_clients_own_models_are_told_everywhere() {
    let report = report_of(&fixture::personal_dataset());
    let dataset = &report.datasets[0];
    with_snapshots(|| {
        let text = markdown(&report);
        let (text, _) = text.split_once("### Who has which samples").unwrap();
        let (_, text) = text.split_once("| Model |").unwrap();
        assert_snapshot!("personal.md", text);
    });
    // Client 0 sends its first epoch's weights, client 1 its last's: (310·0.75 + 190·1.05)/500.
    let validation = dataset.rounds[1].validation_loss.unwrap();
    assert!((validation - 0.864).abs() < 1e-12, "{validation}");
    let spent = dataset.sample_privacy.as_ref().unwrap();
    assert_eq!(
        (spent.client, spent.round, spent.epsilon, spent.steps),
        (1, 3, 2.5, 120)
    );
    let clients: Vec<u32> = dataset.personal.iter().map(|personal| personal.client).collect();
    assert_eq!(clients, [0, 1]);
    assert_eq!(dataset.backends, [Backend::Cpu]);
    assert_eq!(
        dataset.last.as_ref().map(|last| last.metrics.auroc),
        Some(Some(0.56 + 0.05 * 3.0)),
        "a client's own model is not taken for the global one"
    );
    let page = html(&report);
    for words in [
        "Clients&#39; own models",
        "validation loss of the clients",
        "at most ε = 2.500 at δ = 0.00001",
        "drawing the patients anew 1000 times",
        "0.710 [0.680, 0.730]",
        "Confusion matrix, federated",
    ] {
        assert!(page.contains(words), "{words}");
    }
    let plain = html(&report_of(&fixture::real_dataset()));
    for words in ["own models", "validation loss of the clients", "95 %", "ε ="] {
        assert!(!plain.contains(words), "{words}");
    }
}

#[test]
fn a_client_whose_absence_only_the_aggregation_tells_has_no_reason() {
    let mut run = fixture::guarded_dataset();
    let lost = |event: &Event| matches!(event, Event::JobEnded { job, .. } if job == "train-nih-r2-c1");
    run.events.retain(|event| !lost(event));
    let report = report_of(&run);
    let absent = &report.datasets[0].rounds[2].absent;
    assert_eq!(
        absent
            .iter()
            .map(|one| (one.client, &one.reason))
            .collect::<Vec<_>>(),
        [(1, &None)]
    );
    assert!(markdown(&report).contains("| 2 | client 1 | not told |"));
}

#[test]
fn clipping_without_noise_is_not_called_private() {
    let mut report = report_of(&fixture::guarded_dataset());
    report.datasets[0].privacy.as_mut().unwrap().epsilon = None;
    for text in [html(&report), markdown(&report)] {
        assert!(
            text.contains("nothing bounds what the global models tell"),
            "{text}"
        );
        assert!(!text.contains("ε ="));
    }
    let plain = report_of(&fixture::real_dataset());
    assert!(!html(&plain).contains("noise") && !markdown(&plain).contains("noise"));
}

#[test]
fn a_report_is_built_from_the_record_in_the_folder() {
    let run = two_datasets();
    let lines = run
        .events
        .iter()
        .map(|event| serde_json::to_string(event).unwrap() + "\n");
    fs::write(run.dir.record(), lines.collect::<String>()).unwrap();
    assert_eq!(build(&run.dir).unwrap(), report_of(&run));
    fs::remove_file(run.dir.record()).unwrap();
    assert!(matches!(build(&run.dir), Err(ReportError::Record(_))));
}

#[test]
fn json_reads_back_as_the_same_report() {
    let report = report_of(&two_datasets());
    assert_eq!(serde_json::from_str::<Report>(&json(&report)).unwrap(), report);
}

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
fn the_same_run_gives_the_same_bytes() {
    let (one, two) = (report_of(&two_datasets()), report_of(&two_datasets()));
    assert_eq!(html(&one), html(&two));
    assert_eq!(markdown(&one), markdown(&two));
    assert_eq!(json(&one), json(&two));
}

#[test]
fn synthetic_data_is_said_everywhere_and_real_data_never_called_so() {
    let report = report_of(&two_datasets());
    assert!(report.synthetic);
    let drawn: Vec<_> = report
        .datasets
        .iter()
        .map(|dataset| (dataset.name.as_str(), dataset.synthetic))
        .collect();
    assert_eq!(drawn, [("nih", false), ("phantoms", true)]);
    assert!(
        report.datasets[0].cross[0].synthetic,
        "a model of real data tested on drawn data"
    );
    assert!(html(&report).contains("<strong>SYNTHETIC</strong>"));
    assert!(markdown(&report).starts_with("# pilot (SYNTHETIC data): done\n"));
    assert!(json(&report).contains("\"synthetic\": true"));
    let report = report_of(&fixture::real_dataset());
    assert!(!html(&report).contains("SYNTHETIC") && !markdown(&report).contains("SYNTHETIC"));
    assert!(!json(&report).contains("\"synthetic\": true"));
}

#[test]
fn an_undefined_auroc_is_null_in_json_and_undefined_in_text() {
    let mut run = fixture::real_dataset();
    run.evaluate("nih", 4, None);
    let report = report_of(&run);
    let value: serde_json::Value = serde_json::from_str(&json(&report)).unwrap();
    let last = &value["datasets"][0]["final"];
    assert_eq!(
        (&last["round"], &last["metrics"]["auroc"]),
        (&4.into(), &serde_json::Value::Null)
    );
    assert!(markdown(&report).contains("| federated, round 4 | undefined |"));
    assert!(html(&report).contains("<p class=\"number\">undefined</p>"));
}

#[test]
fn a_run_without_an_end_is_unfinished_and_says_so() {
    let mut run = two_datasets();
    assert!(matches!(run.events.pop(), Some(Event::RunEnded { .. })));
    run.start("train-nih-r4-c0", "train", Some("nih"));
    let report = report_of(&run);
    assert_eq!(report.state, RunState::Unfinished);
    assert_eq!(
        (report.jobs.unfinished, report.timeline.last().unwrap().end_s),
        (1, None)
    );
    assert!(html(&report).contains("<strong>UNFINISHED</strong>"));
    assert!(markdown(&report).starts_with("# pilot (SYNTHETIC data): unfinished\n"));
}

#[test]
fn a_run_that_has_only_started_has_a_report() {
    let mut run = fixture::real_dataset();
    run.events.truncate(1);
    let report = report_of(&run);
    assert_eq!((report.jobs.waiting, report.jobs.done), (report.jobs.total, 0));
    assert!(html(&report).contains("No job has started."));
    assert!(markdown(&report).contains("**UNFINISHED**"));
}

#[test]
fn a_failed_run_lists_what_failed_with_the_way_out() {
    let mut run = two_datasets();
    run.events.pop();
    run.fail("train-nih-r4-c1", "train", Some("nih"));
    run.events.push(Event::RunEnded {
        at: Stamp(run.now),
        outcome: RunOutcome::Failed(vec!["train-nih-r4-c1".into(), "evaluate-nih-r4".into()]),
    });
    let report = report_of(&run);
    with_snapshots(|| {
        assert_snapshot!(
            "failed_jobs.json",
            serde_json::to_string_pretty(&report.failed_jobs).unwrap()
        );
    });
    for text in [html(&report), markdown(&report)] {
        assert!(
            text.contains("FAILED") && text.contains("train-nih-r4-c1"),
            "{text}"
        );
        assert!(
            text.contains("holds samples of client 0, not of client 1"),
            "{text}"
        );
        assert!(text.contains("run prepare again"), "{text}");
    }
}

#[test]
fn a_job_that_failed_once_and_then_passed_is_a_retry_and_no_failure() {
    let report = report_of(&two_datasets());
    assert_eq!((report.jobs.failed, report.jobs.retries), (0, 1));
    assert!(report.failed_jobs.is_empty());
    let attempts: Vec<_> = report
        .timeline
        .iter()
        .filter(|a| a.job == "train-nih-r2-c1")
        .collect();
    assert_eq!(
        attempts.iter().map(|attempt| attempt.attempt).collect::<Vec<_>>(),
        [1, 2]
    );
    assert_eq!(
        attempts[0].detail.as_deref(),
        Some("exit code 20 (out_of_memory)")
    );
}

#[test]
fn a_job_redone_after_a_resumption_counts_once_and_its_new_file_is_read() {
    let mut run = fixture::real_dataset();
    run.events.pop();
    let before = report_of(&run);
    run.start("train-nih-r4-c0", "train", Some("nih"));
    run.now += 5_000;
    run.events.push(Event::RunResumed {
        at: Stamp(run.now),
        kept: 3,
        redone: vec!["evaluate-nih-r3".into()],
        slots: 7,
    });
    let between = report_of(&run);
    assert_eq!((between.resumed, between.slots), (1, 7));
    assert_eq!(between.jobs.done, before.jobs.done - 1);
    assert_eq!(between.datasets[0].last.as_ref().unwrap().round, 2);
    run.evaluate("nih", 3, Some(0.9));
    let after = report_of(&run);
    assert_eq!(after.jobs.done, before.jobs.done);
    assert_eq!(after.datasets[0].last.as_ref().unwrap().metrics.auroc, Some(0.9));
    let cut = after
        .timeline
        .iter()
        .find(|attempt| attempt.job == "train-nih-r4-c0")
        .unwrap();
    assert!(
        cut.end_s.unwrap() < between.elapsed_s,
        "it ended with the first run, not with the pause"
    );
}

#[test]
fn files_that_are_not_what_the_record_says_are_refused_by_name() {
    let file = "pilot.nih.r0003.evaluate.json";
    let run = fixture::real_dataset();
    let path = run.dir.files().join(file);
    fs::write(&path, fs::read_to_string(&path).unwrap().replace("0.", "0.9")).unwrap();
    let error = from_events(&run.dir, run.events.clone()).unwrap_err();
    assert!(
        matches!(&error, ReportError::Changed { file: name, .. } if name == file),
        "{error}"
    );
    assert!(error.to_string().contains(file));

    fs::remove_file(&path).unwrap();
    let error = from_events(&run.dir, run.events.clone()).unwrap_err();
    assert!(
        matches!(&error, ReportError::Read { file: name, .. } if name == file),
        "{error}"
    );

    fs::File::create(&path).unwrap().set_len((16 << 20) + 1).unwrap();
    let error = from_events(&run.dir, run.events.clone()).unwrap_err();
    assert!(
        matches!(&error, ReportError::TooLarge { file: name, .. } if name == file),
        "{error}"
    );
}

#[test]
fn a_file_of_a_newer_format_or_of_no_format_is_refused_by_name() {
    let mut run = fixture::real_dataset();
    run.write(
        "evaluate-nih-r4",
        "evaluate",
        Some("nih"),
        "new.json",
        b"{\"fedwing_metrics\": 3, \"more\": []}",
    );
    let error = from_events(&run.dir, run.events.clone()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`new.json` has format version 3; this fedwing reads version 2"
    );

    let mut run = fixture::real_dataset();
    run.write("evaluate-nih-r4", "evaluate", Some("nih"), "none.json", b"{}");
    let error = from_events(&run.dir, run.events.clone()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`none.json` has neither `fedwing_metrics` nor `fedwing_stats`"
    );
}

#[test]
fn json_of_a_foreign_workflow_is_left_alone() {
    let mut run = fixture::real_dataset();
    let before = report_of(&run).datasets;
    run.write("t1", "train", None, "theirs.json", b"{\"loss\": 1}");
    assert_eq!(report_of(&run).datasets, before);
}

#[test]
fn a_record_that_points_outside_the_run_is_refused() {
    let mut run = fixture::real_dataset();
    let fact = run.fact("x.json", b"{}");
    let outside = fedwing::record::FileFact {
        name: "../x.json".into(),
        ..fact
    };
    run.start("evaluate-nih-r4", "evaluate", Some("nih"));
    run.end("evaluate-nih-r4", Outcome::Done, vec![outside]);
    let error = from_events(&run.dir, run.events.clone()).unwrap_err();
    assert!(matches!(error, ReportError::BadName { .. }), "{error}");
}

#[test]
fn a_changed_specification_is_refused_and_a_missing_one_is_said() {
    let run = fixture::real_dataset();
    fs::write(run.dir.spec(), "name: other\n").unwrap();
    let error = from_events(&run.dir, run.events.clone()).unwrap_err();
    assert!(
        matches!(&error, ReportError::Changed { file, .. } if file == "spec.yml"),
        "{error}"
    );
    fs::remove_file(run.dir.spec()).unwrap();
    let report = report_of(&run);
    assert_eq!((&report.spec, &report.intent), (&None, &None));
    assert!(html(&report).contains("holds no copy"));
}

#[test]
fn a_record_without_a_start_is_refused() {
    let run = fixture::real_dataset();
    assert!(matches!(
        from_events(&run.dir, run.events[1..].to_vec()),
        Err(ReportError::NoStart)
    ));
    assert!(matches!(from_events(&run.dir, vec![]), Err(ReportError::NoStart)));
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

#[test]
fn stages_add_up_to_the_totals() {
    let report = report_of(&two_datasets());
    let sum: u64 = report.stages.iter().map(|stage| stage.used.bytes_out.0).sum();
    assert_eq!(report.totals.bytes_out, Bytes(sum));
    assert_eq!(report.totals.jobs, report.jobs.total - report.jobs.waiting);
    assert_eq!(report.totals.attempts, report.timeline.len() as u64);
    let kinds: Vec<_> = report.stages.iter().map(|stage| stage.kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "prepare",
            "stats",
            "init",
            "baseline",
            "train",
            "aggregate",
            "evaluate"
        ]
    );
}

/// A sweep of four points: two that are done, one that failed and one that was not begun.
fn compared() -> (SweepList, Comparison) {
    let list = SweepList {
        fedwing_sweep: SweepList::VERSION,
        experiment: "e1".parse().unwrap(),
        intent: Some("See what | a <sweep> finds".to_owned()),
        source: "/specs/e1.yml".to_owned(),
        digest: "ab".repeat(32),
        system: SweepSystem::Local,
        at_once: 4,
        axes: vec![
            SweepAxis {
                place: "federation.algorithm".to_owned(),
                values: vec!["fedavg".to_owned(), "{fedprox: {mu: 0.01}}".to_owned()],
            },
            SweepAxis {
                place: "seed".to_owned(),
                values: vec!["0".to_owned(), "1".to_owned()],
            },
        ],
        points: ["e1-fedavg-s0", "e1-fedavg-s1", "e1-fedprox-s0", "e1-fedprox-s1"]
            .iter()
            .enumerate()
            .map(|(index, name)| SweepPoint {
                name: name.parse().unwrap(),
                values: vec![index / 2, index % 2],
            })
            .collect(),
    };
    let known = |report: Report, name: &str| Known::Report {
        report: Box::new(report),
        link: Some(format!("../points/{name}/report/report.html")),
    };
    let first = report_of(&two_datasets());
    let mut second = first.clone();
    for dataset in &mut second.datasets {
        let last = dataset.last.as_mut().unwrap();
        last.metrics.auroc = last.metrics.auroc.map(|auroc| auroc - 0.1);
    }
    let mut failed = first.clone();
    failed.state = RunState::Failed;
    failed.datasets.truncate(1);
    failed.datasets[0].last = None;
    failed.datasets[0].rounds.clear();
    let comparison = compare(
        &list,
        vec![
            known(first, "e1-fedavg-s0"),
            known(second, "e1-fedavg-s1"),
            known(failed, "e1-fedprox-s0"),
            Known::Problem("the machine <lacks> memory".to_owned()),
        ],
    );
    (list, comparison)
}

#[test]
fn the_points_of_a_sweep_are_told_side_by_side() {
    let (_, comparison) = compared();
    with_snapshots(|| assert_snapshot!("comparison.md", comparison_markdown(&comparison)));
    let text = comparison_json(&comparison);
    assert_eq!(serde_json::from_str::<Comparison>(&text).unwrap(), comparison);

    let page = comparison_html(&comparison);
    for words in [
        "<a href=\"../points/e1-fedavg-s1/report/report.html\">fedavg-s1</a>",
        "the machine &lt;lacks&gt; memory",
        "See what | a &lt;sweep&gt; finds",
        "SYNTHETIC",
        "#1 fedavg-s0",
        "\u{2212}0.100",
    ] {
        assert!(page.contains(words), "the page lacks `{words}`");
    }
    for foreign in ["<script", "http://", "https://", "src="] {
        assert!(!page.contains(foreign), "the page needs nothing else: {foreign}");
    }
}

#[test]
fn measures_are_compared_with_the_first_point_and_over_seeds() {
    let (list, comparison) = compared();
    let auroc = |point: usize| &comparison.points[point].datasets[0].measures[0];
    assert_eq!(auroc(0).against_first, None);
    assert!((auroc(1).against_first.unwrap() + 0.1).abs() < 1e-12);
    let [fedavg, fedprox] = &comparison.over_seeds[..] else {
        panic!("two groups")
    };
    assert_eq!((&fedavg.points, &fedprox.points), (&vec![0, 1], &vec![2, 3]));
    let spread = &fedavg.datasets[0].measures[0];
    assert_eq!(spread.seeds, 2);
    assert!((spread.sd.unwrap() - 0.1 / 2f64.sqrt()).abs() < 1e-12);
    assert_eq!(comparison.state, RunState::Failed);

    let nothing = compare(&list, vec![Known::NotBegun; 4]);
    assert_eq!(nothing.state, RunState::Unfinished);
    assert!(comparison_html(&nothing).contains("0 of 4 points are done"));
}
