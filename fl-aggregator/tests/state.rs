//! How a rule is named, and what it remembers from round to round.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod workbench;

use contract::{
    exit::JobExit,
    ids::Round,
    metrics::Subject,
    tensors::{Header, TensorKind},
};
use safetensors::Dtype;
use serde_json::{Value as Json, json};
use workbench::{
    Tensors, Value, Workbench, header, named,
    network::{network, updates, write_round},
};

const THREE: &str = "--global global --update u0 --update u1 --update u2 --output out";

/// Rules with a state that a later round needs, and privacy.
const REMEMBERING: [&str; 6] = [
    "fedavgm",
    "fedadam",
    "fedyogi",
    "fedadagrad",
    "scaffold:clients=9",
    "fedavg --privacy fixed:norm=1,noise_multiplier=0,delta=0.00001",
];

fn one(value: f64) -> Tensors {
    vec![("w", Value::float(Dtype::F32, &[2], &[value, -value]))]
}

/// A model of round `round` and an update of the next, with a control variate where the rule wants one.
fn write_later_round(bench: &Workbench, round: u32, controls: bool) {
    bench.write(
        "global",
        Some(header(TensorKind::Model, round, None, 1)),
        &one(0.5),
    );
    let mut tensors = one(1.5);
    if controls {
        tensors.push(("control:w", Value::float(Dtype::F32, &[2], &[0.25, 0.5])));
    }
    bench.write(
        "a",
        Some(header(TensorKind::Update, round + 1, Some(4), 9)),
        &tensors,
    );
}

/// A state of a round that `strategy` left, by running it in round 0.
fn write_state(bench: &Workbench, strategy: &str) {
    write_later_round(bench, 0, strategy.starts_with("scaffold"));
    bench.does(&format!(
        "aggregate --strategy {strategy} --global global --update a --output first --state-out state"
    ));
    write_later_round(bench, 1, strategy.starts_with("scaffold"));
}

fn next_round(strategy: &str) -> String {
    format!(
        "aggregate --strategy {strategy} --global global --update a --state-in state --output out --state-out next"
    )
}

/// Writes the state file again with other memory, header or tensors.
fn change(
    bench: &Workbench,
    memory: impl Fn(&mut Json),
    head: impl Fn(&mut Header),
    tensors: impl Fn(&mut Tensors),
) {
    let mut json: Json = serde_json::from_str(&bench.metadata("state", "rule_memory").unwrap()).unwrap();
    memory(&mut json);
    let mut header = bench.header("state");
    head(&mut header);
    let mut values = bench.read("state");
    tensors(&mut values);
    bench.write_with(
        "state",
        Some(header),
        &[("rule_memory", &json.to_string())],
        &values,
    );
}

#[test]
fn a_rule_is_a_word_with_or_without_settings_json_or_a_file() {
    let bench = Workbench::new();
    write_round(&bench, 3, Dtype::F32);
    bench.write_bytes(
        "rule.json",
        br#"{"fedadam": {"learning_rate": 0.1, "tau": 1e-3}}"#,
    );
    bench.write_bytes("word.json", br#""fedadam""#);
    let out = |strategy: &str| {
        bench.does(&format!(
            "aggregate --strategy {strategy} {THREE} --metrics metrics"
        ));
        let Subject::Aggregate { strategy, .. } = bench.metrics("metrics").subject else {
            panic!()
        };
        (bench.bytes("out"), strategy)
    };
    let word = out("fedadam");
    assert!(
        word.1.starts_with("fedadam:") && word.1.contains("beta2=0.99"),
        "{}",
        word.1
    );
    for same in [
        "fedadam:learning_rate=0.1,beta1=0.9",
        r#"{"fedadam":{"beta2":0.99}}"#,
        "rule.json",
        "./rule.json",
        "word.json",
    ] {
        assert!(out(same) == word, "{same}");
    }
    assert!(out("fedadam:learning_rate=0.2").0 != word.0);
}

#[test]
fn a_rule_that_is_none_is_named_with_what_is_wrong() {
    let bench = Workbench::new();
    write_round(&bench, 3, Dtype::F32);
    let refuses =
        |strategy: &str, exit| bench.refuses(&format!("aggregate --strategy {strategy} {THREE}"), exit);
    for (strategy, part) in [
        ("fedsgd", "unknown variant `fedsgd`"),
        (
            "fedadam:learning_rate=0",
            "`learning_rate` is 0.0, it must be more than 0",
        ),
        ("fedadam:momentum=0.9", "unknown field `momentum`"),
        ("fedavg:learning_rate=1", "`fedavg` has no settings"),
        ("krum", "missing field `byzantine`"),
        (r#"{"fedadam":5}"#, "invalid type"),
    ] {
        let message = refuses(strategy, JobExit::Usage);
        assert!(message.contains(part), "{message}");
    }
    refuses("./gone.json", JobExit::InputMissing);
    for text in [
        "",
        "{",
        "5",
        "[]",
        r#"{"fedadam":{"tau":-1}}"#,
        r#"{"fedadam":{},"median":{}}"#,
        "\u{0}",
    ] {
        bench.write_bytes("rule.json", text.as_bytes());
        let message = refuses("rule.json", JobExit::InputInvalid);
        assert!(message.starts_with("`rule.json`: "), "{text}: {message}");
    }
    bench.write_bytes("rule.json", &vec![b' '; 1 << 17]);
    let message = refuses("rule.json", JobExit::InputInvalid);
    assert!(
        message.contains("more than the 65536 such a file may have"),
        "{message}"
    );
}

#[test]
fn a_later_round_of_a_rule_that_remembers_needs_its_state() {
    for strategy in REMEMBERING {
        let bench = Workbench::new();
        write_later_round(&bench, 1, strategy.starts_with("scaffold"));
        let line = format!("aggregate --strategy {strategy} --global global --update a --output out");
        let message = bench.refuses(&line, JobExit::Usage);
        assert!(message.starts_with("`--state-in` is missing: "), "{message}");
        write_state(&bench, strategy);
        bench.does(&next_round(strategy));
        assert_eq!(bench.header("next").kind, TensorKind::State);
        assert_eq!(bench.header("next").round, Some(Round(2)));
    }
}

#[test]
fn moments_go_on_where_they_were() {
    let bench = Workbench::new();
    let strategy = "fedavgm:learning_rate=0.5,momentum=0.25";
    write_state(&bench, strategy);
    assert_eq!(
        bench.read("state"),
        [("first_moment:w", Value::float(Dtype::F64, &[2], &[-1.0, 1.0]))]
    );
    bench.does(&next_round(strategy));
    // v = ¼·(-1) - 1 = -1.25, 0.5 + ½·1.25
    assert_eq!(
        named(&bench.read("next"), "first_moment:w").floats(),
        [-1.25, 1.25]
    );
    assert_eq!(named(&bench.read("out"), "w").floats(), [1.125, -1.125]);
}

#[test]
fn rules_that_remember_nothing_take_and_give_a_state_all_the_same() {
    for strategy in [
        "fedavg",
        "fedprox",
        "median",
        "trimmed_mean",
        "norm_bound:norm=1",
        "geometric_median",
    ] {
        let bench = Workbench::new();
        write_state(&bench, strategy);
        assert_eq!(bench.read("state"), []);
        bench.does(&next_round(strategy));
        let with = bench.bytes("out");
        let memory: Json = serde_json::from_str(&bench.metadata("next", "rule_memory").unwrap()).unwrap();
        assert_eq!(memory["steps"], 2, "{strategy}");
        bench.does(&format!(
            "aggregate --strategy {strategy} --global global --update a --output out"
        ));
        assert!(bench.bytes("out") == with, "{strategy}");
    }
}

#[test]
fn a_state_of_something_else_is_refused_by_what_it_is_of() {
    let nothing = |_: &mut Json| ();
    let same = |_: &mut Header| ();
    let refused = |memory: &dyn Fn(&mut Json), head: &dyn Fn(&mut Header), tensors: &dyn Fn(&mut Tensors)| {
        let bench = Workbench::new();
        write_state(&bench, "fedadam");
        change(&bench, memory, head, tensors);
        bench.refuses(&next_round("fedadam"), JobExit::InputInvalid)
    };
    let whole = |_: &mut Tensors| ();
    assert_eq!(
        refused(&|memory| memory["rule"] = json!("fedyogi"), &same, &whole),
        "`state`: it is what `fedyogi` remembers, the rule is `fedadam`"
    );
    assert_eq!(
        refused(
            &|memory| {
                memory["fedwing_state"] = json!(2);
                memory["lattice"] = json!([]);
            },
            &same,
            &whole
        ),
        "`state`: it has format version 2, this program reads version 1"
    );
    assert_eq!(
        refused(&nothing, &|header| header.round = Some(Round(2)), &whole),
        "`state`: its round is `2`, the global model's is `1`"
    );
    assert_eq!(
        refused(
            &nothing,
            &|header| header.experiment = "e2".parse().unwrap(),
            &whole
        ),
        "`state`: its experiment is `e2`, the global model's is `e1`"
    );
    assert_eq!(
        refused(&nothing, &|header| header.kind = TensorKind::Update, &whole),
        "`state`: its kind is `update`, not `state`"
    );
    assert_eq!(
        refused(&nothing, &same, &|tensors| tensors.truncate(1)),
        "`state`: tensor `second_moment:w` is missing"
    );
    assert_eq!(
        refused(&nothing, &same, &|tensors| tensors[0].1.shape = vec![1, 2]),
        "`state`: tensor `first_moment:w` is F64 [1, 2], not F64 [2]"
    );
    assert_eq!(
        refused(&nothing, &same, &|tensors| tensors[0].1 =
            Value::f32(&[2], &[0.0; 2])),
        "`state`: tensor `first_moment:w` is F32 [2], not F64 [2]"
    );
}

#[test]
fn numbers_that_no_round_leaves_in_a_state_are_refused_where_they_stand() {
    for (strategy, tensor, value, text) in [
        ("fedadam", "first_moment:w", f64::NAN, "NaN"),
        ("fedadam", "second_moment:w", f64::INFINITY, "inf"),
        ("fedyogi", "second_moment:w", -1e-9, "-0.000000001"),
        ("fedavgm", "first_moment:w", f64::NEG_INFINITY, "-inf"),
        ("scaffold:clients=4", "control:w", f64::NAN, "NaN"),
    ] {
        let bench = Workbench::new();
        write_state(&bench, strategy);
        change(
            &bench,
            |_| (),
            |_| (),
            |tensors| {
                let place = tensors.iter().position(|(name, _)| *name == tensor).unwrap();
                tensors[place].1 = Value::float(Dtype::F64, &[2], &[0.5, value]);
            },
        );
        let message = bench.refuses(&next_round(strategy), JobExit::InputInvalid);
        let prefix = tensor.strip_suffix('w').unwrap();
        assert_eq!(
            message,
            format!("`state`: `{prefix}` of tensor `w` at [1] is {text}")
        );
    }
}

#[test]
fn counts_that_no_rounds_lead_to_are_refused() {
    let private = "fedavg --privacy adaptive:initial_norm=1,count_noise=0,noise_multiplier=0,delta=0.001";
    let changes: [&dyn Fn(&mut Json); 7] = [
        &|memory| memory["steps"] = json!(u64::MAX),
        &|memory| memory["private_rounds"] = json!(u64::MAX),
        &|memory| memory["private_rounds"] = json!(2),
        &|memory| memory["participations"] = json!({"4": u64::MAX}),
        &|memory| memory["norm"] = json!(-1.0),
        &|memory| memory["norm"] = json!(0.0),
        &|memory| memory["norm"] = json!("wide"),
    ];
    for forged in changes {
        let bench = Workbench::new();
        write_state(&bench, private);
        change(&bench, forged, |_| (), |_| ());
        let message = bench.refuses(&next_round(private), JobExit::InputInvalid);
        assert!(
            message.starts_with("`state`: metadata `rule_memory`"),
            "{message}"
        );
    }
    let bench = Workbench::new();
    write_state(&bench, private);
    for text in ["", "[]", "{}", "null", r#"{"fedwing_state":1}"#] {
        let header = bench.header("state");
        bench.write_with("state", Some(header), &[("rule_memory", text)], &[]);
        bench.refuses(&next_round(private), JobExit::InputInvalid);
    }
    bench.write("state", Some(header(TensorKind::State, 1, None, 1)), &[]);
    let message = bench.refuses(&next_round(private), JobExit::InputInvalid);
    assert_eq!(message, "`state`: it is no state file: `--state-out` writes them");
}

#[test]
fn a_model_from_elsewhere_goes_on_without_a_header() {
    let bench = Workbench::new();
    bench.write_foreign("global", &one(0.5), &[]);
    bench.write_foreign("a", &one(1.5), &[("num_samples", "9")]);
    let line = |state: &str| {
        format!(
            "aggregate --strategy fedavgm:momentum=0.5 --global global --update a --output out --state-out state {state}"
        )
    };
    bench.does(&line(""));
    assert_eq!(named(&bench.read("out"), "w").floats(), [1.5, -1.5]);
    bench.does(&line("--state-in state"));
    assert_eq!(named(&bench.read("out"), "w").floats(), [2.0, -2.0]);
    let memory: Json = serde_json::from_str(&bench.metadata("state", "rule_memory").unwrap()).unwrap();
    assert_eq!(memory["steps"], 2);
}

#[test]
fn states_of_models_of_ours_and_from_elsewhere_do_not_mix() {
    let bench = Workbench::new();
    bench.write_foreign("foreign", &one(0.5), &[]);
    bench.write_foreign("update", &one(1.5), &[("num_samples", "9")]);
    write_state(&bench, "fedavgm");
    let message = bench.refuses(
        "aggregate --strategy fedavgm --global foreign --update update --state-in state --output out",
        JobExit::InputInvalid,
    );
    assert_eq!(
        message,
        "`state`: it is of a model of fedwing's, the global model is from elsewhere"
    );
    bench
        .does("aggregate --strategy fedavgm --global foreign --update update --state-out state --output out");
    let message = bench.refuses(&next_round("fedavgm"), JobExit::InputInvalid);
    assert_eq!(
        message,
        "`state`: it is of a model from elsewhere, the global model is fedwing's"
    );
}

#[test]
fn the_privacy_of_a_run_does_not_change_between_rounds() {
    let private =
        |noise: &str| format!("fedavg --seed 3 --privacy fixed:norm=1,noise_multiplier={noise},delta=0.001");
    let bench = Workbench::new();
    write_state(&bench, &private("2"));
    for other in [private("1"), "fedavg".to_owned()] {
        let message = bench.refuses(&next_round(&other), JobExit::InputInvalid);
        assert!(
            message.starts_with("`state`: the privacy of its rounds is `fixed:"),
            "{message}"
        );
    }
    bench.does(&next_round(&private("2")));
    write_state(&bench, "fedavg");
    let message = bench.refuses(&next_round(&private("2")), JobExit::InputInvalid);
    assert!(
        message.starts_with("`state`: the privacy of its rounds is `none`"),
        "{message}"
    );
}

#[test]
fn a_network_goes_through_rounds_of_every_rule_that_steps() {
    for strategy in ["fedavgm", "fedadam", "fedyogi", "fedadagrad"] {
        let bench = Workbench::new();
        write_round(&bench, 3, Dtype::BF16);
        bench.does(&format!(
            "aggregate --strategy {strategy} {THREE} --state-out state"
        ));
        let (model, state) = (bench.bytes("out"), bench.bytes("state"));
        bench.write_bytes("global", &model);
        for client in 0..3 {
            let head = header(TensorKind::Update, 2, Some(client), 5);
            bench.write(
                &format!("u{client}"),
                Some(head),
                &network(u64::from(client) + 9, Dtype::BF16),
            );
        }
        let later = |order: [&str; 3], threads: u32| {
            bench.write_bytes("state", &state);
            bench.does(&format!(
                "aggregate --strategy {strategy} --global global{} --output out --state-in state --state-out state \
                 --threads {threads}",
                updates(order)
            ));
            (bench.bytes("out"), bench.bytes("state"))
        };
        assert!(
            later(["u0", "u1", "u2"], 1) == later(["u2", "u0", "u1"], 3),
            "{strategy}"
        );
    }
}

#[test]
fn moments_beyond_the_largest_number_are_not_left_to_the_next_round() {
    let bench = Workbench::new();
    let model = |value: f64| vec![("w", Value::float(Dtype::F64, &[2], &[0.0, value]))];
    bench.write("global", Some(header(TensorKind::Model, 0, None, 1)), &model(0.0));
    bench.write(
        "a",
        Some(header(TensorKind::Update, 1, Some(0), 1)),
        &model(1e200),
    );
    // The square of 1e200, through whose root the step is 0.
    let message = bench.refuses(
        "aggregate --strategy fedadam --global global --update a --output out --state-out state",
        JobExit::NotFinite,
    );
    assert_eq!(
        message,
        "what is to be remembered of tensor `w` at [1] is too large for its type"
    );
}
