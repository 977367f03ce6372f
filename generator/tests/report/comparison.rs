//! The points of a sweep side by side.

use fedwing::{
    record::{SweepAxis, SweepList, SweepPoint, SweepSystem},
    report::{
        Comparison, Known, Report, RunState, compare, comparison_html, comparison_json, comparison_markdown,
    },
};
use insta::assert_snapshot;

use super::{
    fixture::two_datasets,
    support::{report_of, with_snapshots},
};

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
