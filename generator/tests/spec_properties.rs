//! What holds for any text, and for any set of mistakes.

use std::path::Path;

use fedwing::{
    check::{check, digest},
    diag::{Colour, Severity},
};
use proptest::{prelude::*, sample::subsequence};

/// Places in a correct specification, and what makes a mistake of each that no other depends on.
const MISTAKES: [(&str, &str, &str); 14] = [
    ("name: any", "name: Any One", "FL0208"),
    ("seed: 7", "seed: -7", "FL0206"),
    ("intent: Words", "intent: ", "FL0205"),
    ("csv: a.csv", "csv: ~/a.csv", "FL0212"),
    ("negative: [Normal]", "negative: [Normal, Normal]", "FL0211"),
    ("size: 32", "sise: 32", "FL0201"),
    ("fraction: 0.2", "fraction: two", "FL0203"),
    ("by: iid", "by: iids", "FL0204"),
    ("arch: small_cnn", "arch: densenet12", "FL0204"),
    ("rounds: 3", "rounds: 0", "FL0206"),
    ("epochs: 1", "epochs: [1]", "FL0203"),
    (
        "learning_rate: 0.1",
        "learning_rate: 0.1, learning_rate: 0.2",
        "FL0103",
    ),
    ("walltime: 1h", "walltime: one hour", "FL0209"),
    ("data_stays_at_site: false", "data_stays_at_site: true", "FL0402"),
];

const CORRECT: &str = "\
fedwing: 1
name: any
seed: 7
intent: Words
datasets:
  a:
    source: {table: {csv: a.csv, image: i, patient: p, labels: [l]}}
    task: {binary: {negative: [Normal]}}
    image: {size: 32}
    test: {fraction: 0.2}
    clients: {count: 2, by: iid}
model: {arch: small_cnn}
federation:
  algorithm: fedavg
  rounds: 3
  local: {epochs: 1, batch_size: 8, optimizer: {sgd: {learning_rate: 0.1}}}
execution: {resources: {train: {walltime: 1h}}}
privacy: {data_stays_at_site: false}
";

/// What makes a sweep of the correct specification.
const SWEEP: &str = "\
sweep:
  grid:
    federation.algorithm: [fedavg, {fedprox: {mu: 0.01}}]
    datasets.a.clients.by.dirichlet.alpha: [0.5, 5]
    seed: [0, 1]
  at_once: 2
";

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn independent_mistakes_are_all_reported(mistakes in subsequence(MISTAKES.to_vec(), 0..=MISTAKES.len())) {
        let mut text = CORRECT.to_owned();
        let mut expected = Vec::new();
        for (right, wrong, code) in mistakes {
            prop_assert!(text.contains(right));
            text = text.replacen(right, wrong, 1);
            expected.push(code);
        }
        let report = check(&text, "any.yml", Path::new("/specs"));
        let found: Vec<&str> = report.diagnostics.iter().map(|found| found.code.as_str()).collect();
        prop_assert_eq!(&found, &expected, "{}", report.diagnostics.render(Colour::Never));
        prop_assert_eq!(report.checked.is_some(), expected.is_empty());
        prop_assert_eq!(report.diagnostics.count(Severity::Error), expected.len());
    }

    #[test]
    fn no_text_makes_the_check_panic(text in "(?s).{0,300}") {
        let report = check(&text, "any.yml", Path::new("/specs"));
        prop_assert!(report.checked.is_none() && report.diagnostics.has_errors());
        prop_assert!(report.diagnostics.render(Colour::Always).contains("any.yml"));
    }

    #[test]
    fn no_damage_to_a_specification_makes_the_check_panic(
        sweep in prop::sample::select(vec!["", SWEEP]),
        at in any::<prop::sample::Index>(),
        length in 0usize..12,
        inserted in "[ -~\n\té{}\\[\\]]{0,6}",
    ) {
        let correct = format!("{CORRECT}{sweep}");
        let at = at.index(correct.len());
        let end = (at + length).min(correct.len());
        let text = format!("{}{inserted}{}", &correct[..at], &correct[end..]);
        let report = check(&text, "any.yml", Path::new("/specs"));
        prop_assert_eq!(report.accepted(), !report.diagnostics.has_errors(), "{}", text);
        report.diagnostics.render(Colour::Never);
        report.diagnostics.to_json();
    }
}

#[test]
fn carriage_returns_and_byte_order_marks_change_no_places() {
    let text = CORRECT.replace("rounds: 3", "rounds: 0");
    let place = |text: &str| {
        let json = check(text, "any.yml", Path::new("/specs")).diagnostics.to_json();
        assert_eq!(json.diagnostics.len(), 1, "{json:?}");
        (json.diagnostics[0].line, json.diagnostics[0].column)
    };
    assert_eq!(place(&text), (15, 11));
    assert_eq!(place(&text.replace('\n', "\r\n")), (15, 11));
    assert_eq!(place(&format!("\u{feff}{text}")), (15, 11));
}

#[test]
fn the_digest_is_the_sha_256_of_the_text() {
    let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(digest("abc").as_str(), known);
    let checked = check(CORRECT, "any.yml", Path::new("/specs")).checked.unwrap();
    assert_eq!(checked.digest, digest(CORRECT));
    let config = &checked.datasets[0].config;
    assert_eq!(config.spec_digest, checked.digest);
    assert_ne!(
        config.seed, checked.seed,
        "each dataset draws from a seed of its own"
    );
    assert_eq!(config.source.paths(), ["/specs/a.csv"]);
}
