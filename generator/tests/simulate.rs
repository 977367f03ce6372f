//! Predictions held to what is published, to what was measured, and to themselves.
//!
//! `UPDATE=1 cargo test -p fedwing --test simulate` rewrites the tables in `docs/simulate.md`.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::{fs, path::Path};

use fedwing::{diag::Colour, simulate::Pool};

mod paper;

use paper::{E1, E3, E4, busy, hours, of_reference, pool};

/// Of what was measured, how much more was predicted.
fn error(experiment: paper::Experiment) -> f64 {
    hours(&of_reference(&pool(), experiment)) / experiment.hours - 1.0
}

#[test]
fn e1_is_what_the_pool_was_fitted_to() {
    assert!(error(E1).abs() < 0.02, "{}", error(E1));
    let queue = paper::mean(&of_reference(&pool(), E1), |prediction| {
        prediction.kinds["train"].queue_s
    });
    assert!((queue / 227.0 - 1.0).abs() < 0.05, "{queue}");
}

#[test]
fn e4_is_predicted_within_fifteen_percent_and_e3_is_not() {
    assert!(error(E4).abs() < 0.15, "{}", error(E4));
    // Its jobs waited longer than E1's: docs/simulate.md says by how much.
    assert!(error(E3) < -0.3, "{}", error(E3));
}

#[test]
fn rounds_are_as_busy_as_published_where_the_pool_was_the_same() {
    for experiment in [E1, E4] {
        let found = busy(&of_reference(&pool(), experiment));
        assert!(
            (found / experiment.busy - 1.0).abs() < 0.15,
            "{} {found}",
            experiment.name
        );
    }
}

#[test]
fn the_published_busy_share_of_e3_explains_how_long_it_took() {
    let (times, found) = paper::wait_for_busy(&pool(), E3);
    assert!(times > 1.5, "{times}");
    assert!((hours(&found) / E3.hours - 1.0).abs() < 0.2, "{}", hours(&found));
}

const BEGIN: &str = "<!-- tables of the published experiments: begin -->\n";
const END: &str = "<!-- tables of the published experiments: end -->";

#[test]
fn the_tables_in_the_guide_are_those_that_are_simulated() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/simulate.md");
    let guide = fs::read_to_string(&path).unwrap();
    let (before, rest) = guide.split_once(BEGIN).unwrap();
    let (tables, after) = rest.split_once(END).unwrap();
    let simulated = paper::tables();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{simulated}{END}{after}")).unwrap();
        return;
    }
    assert!(
        tables == simulated,
        "run `UPDATE=1 cargo test -p fedwing --test simulate` and look at the difference:\n{simulated}"
    );
}

#[test]
fn the_schema_of_pool_files_in_the_repository_is_that_of_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("pool.schema.json");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, fedwing::spec::pool_schema()).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == fedwing::spec::pool_schema(),
        "run `UPDATE=1 cargo test -p fedwing --test simulate`"
    );
}

#[test]
fn every_mistake_of_a_pool_file_is_shown_where_it_stands() {
    let text = "fedwing_pool: 2\nsites: {North: {slots: 0}, south: {slots: 4, cpu: 8}}\nqueue: {wait: soon}\n\
        staging: {bandwidth: fast, overhead: {median: 3, spread: 0.5}}\njobs: {trian: {fixed: 1}, train: {fixed: -1}}\n";
    let report = Pool::read(text, "pool.yml");
    assert!(report.pool.is_none());
    insta::assert_snapshot!(report.diagnostics.render(Colour::Never));
    assert!(Pool::read("", "pool.yml").pool.is_none());
}
