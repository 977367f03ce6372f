//! Rules of aggregation, and clients that may be absent.

use contract::{
    aggregation::{Strategy, StrategyArg},
    args::AggregateArgs,
    argv::ArgValue,
    recipe::Method,
    training::Absence,
};

use super::words::{FOUR, Words, aggregates, recipe, trains};

#[test]
fn every_built_rule_reaches_its_job_with_its_defaults() {
    let cases = [
        ("fedavg", Strategy::Fedavg, false),
        ("fednova", Strategy::Fednova, false),
        ("median", Strategy::Median, false),
        (
            "{fedavgm: {server_momentum: 0.5}}",
            Strategy::Fedavgm {
                learning_rate: 1.0,
                momentum: 0.5,
            },
            true,
        ),
        (
            "fedadam",
            Strategy::Fedadam {
                learning_rate: 0.1,
                beta1: 0.9,
                beta2: 0.99,
                tau: 0.001,
            },
            true,
        ),
        (
            "fedyogi",
            Strategy::Fedyogi {
                learning_rate: 0.01,
                beta1: 0.9,
                beta2: 0.99,
                tau: 0.001,
            },
            true,
        ),
        (
            "{fedadagrad: {server_learning_rate: 0.3}}",
            Strategy::Fedadagrad {
                learning_rate: 0.3,
                tau: 0.001,
            },
            true,
        ),
        ("trimmed_mean", Strategy::TrimmedMean { beta: 0.2 }, false),
        ("{krum: {byzantine: 1}}", Strategy::Krum { byzantine: 1 }, false),
        (
            "{multi_krum: {byzantine: 1, keep: 3}}",
            Strategy::MultiKrum {
                byzantine: 1,
                keep: 3,
            },
            false,
        ),
        (
            "{bulyan: {byzantine: 1}}",
            Strategy::Bulyan { byzantine: 1 },
            false,
        ),
        (
            "geometric_median",
            Strategy::GeometricMedian {
                iterations: 100,
                smoothing: 1e-6,
            },
            false,
        ),
        (
            "{norm_bound: {norm: 2.5}}",
            Strategy::NormBound { norm: 2.5 },
            false,
        ),
    ];
    for (written, expected, remembers) in cases {
        let federation = format!("algorithm: {written}");
        let plan = Words {
            clients: 7,
            federation: &federation,
            ..FOUR
        }
        .plan();
        let [first, second] = aggregates(&plan)[..] else {
            panic!()
        };
        assert_eq!(first.strategy, StrategyArg::Given(expected), "{written}");
        if !written.starts_with('{') {
            // On the command line the same word has the same settings.
            assert_eq!(<Strategy as ArgValue>::read(written), Ok(expected), "{written}");
        }
        assert_eq!(
            (&first.state_in, first.seed, &first.privacy),
            (&None, None, &None),
            "{written}"
        );
        let state = |args: &AggregateArgs| args.state_out.as_ref().map(ToString::to_string);
        assert_eq!(state(first).is_some(), remembers, "{written}");
        assert_eq!(
            second.state_in.as_ref().map(ToString::to_string),
            state(first),
            "{written}"
        );
        assert!(
            trains(&plan)
                .iter()
                .all(|train| train.encoding.is_none() && train.absence.is_none())
        );
    }
}

#[test]
fn scaffold_hands_the_servers_variate_to_the_clients_of_the_next_round() {
    let plan = Words {
        federation: "algorithm: {scaffold: {server_learning_rate: 0.5}}\n  fraction: 0.5",
        ..FOUR
    }
    .plan();
    for train in trains(&plan) {
        let wanted = (train.round.0 > 1).then(|| "e1.nih.r0001.state.safetensors".to_owned());
        assert_eq!(train.control.as_ref().map(ToString::to_string), wanted);
        assert!(train.personal_out.is_some());
    }
    for aggregate in aggregates(&plan) {
        let rule = Strategy::Scaffold {
            learning_rate: 0.5,
            clients: 4,
        };
        assert_eq!(
            aggregate.strategy,
            StrategyArg::from(rule),
            "all clients, not the selected"
        );
    }
    assert_eq!(recipe(&plan).method, Method::Scaffold);
}

#[test]
fn clients_may_be_absent_where_the_specification_says_how_many_must_remain() {
    let plan = Words {
        federation: "algorithm: fedavg\n  min_clients: 3",
        ..FOUR
    }
    .plan();
    assert!(
        trains(&plan)
            .iter()
            .all(|train| train.absence == Some(Absence::Allowed))
    );
    assert!(
        aggregates(&plan)
            .iter()
            .all(|aggregate| aggregate.min_clients == Some(3))
    );
    let strict = FOUR.plan();
    assert!(trains(&strict).iter().all(|train| train.absence.is_none()));
    assert!(
        aggregates(&strict)
            .iter()
            .all(|aggregate| aggregate.min_clients.is_none())
    );
}
