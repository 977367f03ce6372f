//! What a report says, and that it says so in every form.

use contract::{training::Backend, units::Bytes};
use fedwing::{
    record::Event,
    report::{Report, html, json, markdown},
};
use insta::assert_snapshot;

use super::{
    fixture::{self, two_datasets},
    support::{report_of, with_snapshots},
};

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
fn json_reads_back_as_the_same_report() {
    let report = report_of(&two_datasets());
    assert_eq!(serde_json::from_str::<Report>(&json(&report)).unwrap(), report);
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
