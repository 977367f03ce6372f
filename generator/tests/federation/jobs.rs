//! Trees of partial sums; names, places and resources of jobs; one plan for the same words.

use fedwing::plan::Plan;

use super::words::{FOUR, Words, aggregates, partials, short};

#[test]
fn a_tree_adds_up_in_client_order_until_one_job_may_read_the_rest() {
    let plan = Words {
        clients: 7,
        rounds: 1,
        federation: "algorithm: fedavg",
        more: "execution: {aggregation: {fan_in: 2}}",
    }
    .plan();
    let sums: Vec<(Vec<String>, Vec<String>)> = partials(&plan)
        .iter()
        .map(|partial| (short(&partial.updates), short(&[&partial.output])))
        .collect();
    let update = |client: u32| format!("r0001.c{client:04}.update");
    let partial = |level: u32, number: u32| format!("r0001.l{level}.p{number:04}.partial");
    let sum = |inputs: [String; 2], output: String| (inputs.to_vec(), vec![output]);
    assert_eq!(
        sums,
        [
            sum([update(0), update(1)], partial(0, 0)),
            sum([update(2), update(3)], partial(0, 1)),
            sum([update(4), update(5)], partial(0, 2)),
            sum([partial(0, 0), partial(0, 1)], partial(1, 0)),
            sum([partial(0, 2), update(6)], partial(1, 1)),
        ]
    );
    assert_eq!(
        short(&aggregates(&plan)[0].updates),
        [partial(1, 0), partial(1, 1)]
    );
    assert!(
        partials(&plan)
            .iter()
            .all(|partial| short(&[&partial.global]) == ["r0000.global"])
    );
}

#[test]
fn a_round_that_one_job_may_read_has_no_tree() {
    let plan = Words {
        more: "execution: {aggregation: {fan_in: 4}}",
        ..FOUR
    }
    .plan();
    assert!(partials(&plan).is_empty());
    assert_eq!(aggregates(&plan)[0].updates.len(), 4);
}

#[test]
fn new_jobs_have_names_places_and_resources() {
    let masked = Words {
        rounds: 1,
        federation: "algorithm: fedavg\n  min_clients: 3",
        more: "privacy: {secure_aggregation: true}",
        ..FOUR
    }
    .plan();
    let tree = Words {
        rounds: 1,
        more: "execution: {aggregation: {fan_in: 3}}",
        ..FOUR
    }
    .plan();
    let job = |plan: &Plan, id: &str| plan.jobs.iter().find(|job| &*job.id.0 == id).unwrap().clone();
    let usual = fedwing::check::DEFAULT_RESOURCES;
    let found = job(&masked, "keys-nih-c0002");
    assert_eq!((found.stage.round, found.stage.client.unwrap().0), (None, 2));
    assert_eq!(found.request, usual.stats);
    let found = job(&masked, "reveal-nih-r0001-c0003");
    assert_eq!(
        (found.stage.round.unwrap().0, found.stage.client.unwrap().0),
        (1, 3)
    );
    assert_eq!(found.request, usual.stats);
    let found = job(&tree, "partial-nih-r0001-l0-p0000");
    assert_eq!((found.stage.round.unwrap().0, found.stage.client), (1, None));
    assert_eq!(found.request, usual.aggregate);
}

#[test]
fn the_same_words_give_the_same_plan() {
    let words = Words {
        clients: 9,
        federation: "algorithm: fedyogi\n  min_clients: 2\n  compression: int8",
        more: "execution: {aggregation: {fan_in: 2}, layout: rounds}",
        ..FOUR
    };
    assert_eq!(format!("{:?}", words.plan()), format!("{:?}", words.plan()));
}
