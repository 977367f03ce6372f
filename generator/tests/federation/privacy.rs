//! Noise of the server, masks of clients and how they are taken off.

use contract::{aggregation::CentralPrivacy, ids::Seed};

use super::words::{FOUR, Words, aggregates, keys, reveals, short, trains};

#[test]
fn central_privacy_draws_other_noise_every_round_and_keeps_account() {
    let plan = Words {
        more: "privacy: {central: {adaptive: {initial_norm: 2, count_noise: 0.6, noise_multiplier: 1, delta: 1e-5}}}",
        ..FOUR
    }
    .plan();
    let [first, second] = aggregates(&plan)[..] else {
        panic!()
    };
    let expected = CentralPrivacy::Adaptive {
        initial_norm: 2.0,
        quantile: 0.5,
        learning_rate: 0.2,
        count_noise: 0.6,
        noise_multiplier: 1.0,
        delta: 1e-5,
    };
    assert_eq!((first.privacy, second.privacy), (Some(expected), Some(expected)));
    assert_eq!(first.seed, Some(Seed(7).derive("noise/nih/1")));
    assert_eq!(second.seed, Some(Seed(7).derive("noise/nih/2")));
    assert_eq!(short(first.state_out.as_slice()), ["r0001.state"]);
    assert_eq!(short(second.state_in.as_slice()), ["r0001.state"]);
}

#[test]
fn masked_updates_are_made_with_the_keys_of_all_clients_of_the_round() {
    let plan = Words {
        clients: 6,
        federation: "algorithm: fedavg\n  fraction: 0.5",
        more: "privacy: {secure_aggregation: true}",
        ..FOUR
    }
    .plan();
    assert_eq!(keys(&plan).len(), 6, "once per client, not per round");
    assert!(reveals(&plan).is_empty(), "nobody can be absent");
    let trains = trains(&plan);
    for train in &trains {
        let own = format!("e1.nih.c{:04}.secret-key.json", train.client.0);
        assert_eq!(train.secret_key.as_ref().unwrap().as_str(), own);
        let selected = trains.iter().filter(|other| other.round == train.round);
        let expected: Vec<String> = selected
            .map(|other| format!("c{:04}.public-key", other.client.0))
            .collect();
        assert_eq!(short(&train.public_keys), expected);
        assert_eq!(expected.len(), 3);
    }
    assert!(
        aggregates(&plan)
            .iter()
            .all(|aggregate| aggregate.reveals.is_empty())
    );
}

#[test]
fn masks_are_revealed_once_all_have_trained_where_clients_may_be_absent() {
    let plan = Words {
        federation: "algorithm: fedavg\n  min_clients: 3",
        more: "privacy: {secure_aggregation: true}",
        ..FOUR
    }
    .plan();
    let reveals = reveals(&plan);
    assert_eq!(reveals.len(), 8, "every client in every round");
    for reveal in &reveals {
        let train = |client| format!("r{:04}.c{client:04}.train", reveal.round.0);
        assert_eq!(short(&reveal.train_metrics), [0, 1, 2, 3].map(train));
        assert_eq!(reveal.public_keys.len(), 4);
        assert_eq!(
            short(&[&reveal.secret_key]),
            [format!("c{:04}.secret-key", reveal.client.0)]
        );
    }
    let [first, second] = aggregates(&plan)[..] else {
        panic!()
    };
    for (aggregate, round) in [(first, 1), (second, 2)] {
        let reveal = |client| format!("r{round:04}.c{client:04}.reveal");
        assert_eq!(short(&aggregate.reveals), [0, 1, 2, 3].map(reveal));
    }
}
