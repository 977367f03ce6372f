//! What a client keeps from round to round, and that no other job reads it.

use std::collections::BTreeSet;

use contract::{aggregation::Encoding, args::Job, argv::Role, ids::ClientId};
use fedwing::plan::PlanError;

use super::words::{FOUR, Words, aggregates, evaluations, refused, trains};

#[test]
fn a_residual_goes_to_the_next_round_its_client_takes_part_in() {
    let plan = Words {
        clients: 6,
        rounds: 6,
        federation: "algorithm: fedavg\n  fraction: 0.5\n  compression: {top_k: {share: 0.25}}",
        ..FOUR
    }
    .plan();
    let trains = trains(&plan);
    let mut skipped = 0;
    for client in 0..6 {
        let mut last: Option<(u32, String)> = None;
        for train in trains.iter().filter(|train| train.client.0 == client) {
            assert_eq!(train.encoding, Some(Encoding::TopK { share: 0.25 }));
            let read = train.residual_in.as_ref().map(ToString::to_string);
            assert_eq!(
                read,
                last.as_ref().map(|(_, file)| file.clone()),
                "client {client}"
            );
            skipped += u32::from(last.is_some_and(|(round, _)| round + 1 < train.round.0));
            last = Some((train.round.0, train.residual_out.as_ref().unwrap().to_string()));
        }
    }
    assert!(skipped > 0, "some client pauses for a round");
}

#[test]
fn what_a_client_keeps_goes_to_its_next_round_and_to_the_test_of_its_model() {
    for algorithm in ["fedper", "{ditto: {lambda: 0.1}}"] {
        let federation = format!("algorithm: {algorithm}\n  fraction: 0.5");
        let plan = Words {
            clients: 6,
            rounds: 5,
            federation: &federation,
            ..FOUR
        }
        .plan();
        let trains = trains(&plan);
        let tested: Vec<_> = evaluations(&plan)
            .into_iter()
            .filter(|args| args.client.is_some())
            .collect();
        let mut models = 0;
        for client in 0..6 {
            let mut last: Option<String> = None;
            for train in trains.iter().filter(|train| train.client.0 == client) {
                assert_eq!(train.personal_in.as_ref().map(ToString::to_string), last);
                last = train.personal_out.as_ref().map(ToString::to_string);
                assert!(last.is_some());
                assert_eq!(
                    train.seed,
                    trains.iter().find(|t| t.client == train.client).unwrap().seed
                );
            }
            let tests: Vec<_> = tested
                .iter()
                .filter(|args| args.client.map(|client| client.0) == Some(client))
                .collect();
            assert_eq!(tests.len(), usize::from(last.is_some()));
            for test in tests {
                models += 1;
                assert_eq!(test.personal.as_ref().map(ToString::to_string), last);
                assert_eq!(test.global.as_str(), "e1.nih.r0005.global.safetensors");
            }
        }
        assert!(models >= 3, "{models}");
        for aggregate in aggregates(&plan) {
            let kept: Vec<&str> = aggregate.keep.iter().map(|pattern| pattern.as_str()).collect();
            let head: &[&str] = if algorithm == "fedper" { &["fc2.*"] } else { &[] };
            assert_eq!(kept, head);
        }
    }
    let untested = Words {
        federation: "algorithm: fedper",
        more: "evaluation: {personal: false}",
        ..FOUR
    }
    .plan();
    assert!(evaluations(&untested).iter().all(|args| args.client.is_none()));
    let plain = FOUR.plan();
    assert!(trains(&plain).iter().all(|train| train.personal_out.is_none()));
}

#[test]
fn what_a_client_keeps_is_read_by_its_own_jobs_alone() {
    let personal = Words {
        federation: "algorithm: fedper",
        ..FOUR
    };
    let by_another = refused(&personal, |job| {
        if let Job::Evaluate(args) = job
            && args.client == Some(ClientId(1))
        {
            args.personal = Some("e1.nih.r0002.c0000.personal.safetensors".into());
        }
    });
    assert_eq!(
        by_another.to_string(),
        "`personal-nih-c0001` reads `e1.nih.r0002.c0000.personal.safetensors`, which stays with the client of \
         `train-nih-r0002-c0000`"
    );
    let by_nobody_in_particular = refused(&personal, |job| {
        if let Job::Evaluate(args) = job
            && args.client == Some(ClientId(1))
        {
            args.client = None;
        }
    });
    assert!(
        matches!(by_nobody_in_particular, PlanError::PrivateFile { .. }),
        "{by_nobody_in_particular}"
    );
}

#[test]
fn a_checkpoint_belongs_to_one_job() {
    let mut seen = BTreeSet::new();
    let plan = Words {
        more: "evaluation: {baselines: [centralized, local_only]}",
        ..FOUR
    }
    .plan();
    for job in &plan.jobs {
        let mut found = Vec::new();
        job.job.roles(&mut |role| {
            if let Role::Checkpoint(file) = role {
                found.push(file.to_owned());
            }
        });
        let trains = matches!(job.job, Job::Train(_) | Job::Baseline(_));
        assert_eq!(found.len(), usize::from(trains), "{}", job.id);
        assert!(seen.is_disjoint(&BTreeSet::from_iter(found.clone())));
        seen.extend(found);
    }
    let error = refused(&FOUR, |job| {
        if let Job::Train(args) = job
            && args.client == ClientId(1)
            && args.round.0 == 1
        {
            args.checkpoint = Some("e1.nih.r0001.c0000.checkpoint.safetensors".into());
        }
    });
    assert!(matches!(error, PlanError::TwoWriters { .. }), "{error}");
}

#[test]
fn encodings_without_error_feedback_keep_nothing() {
    let encodings = [
        ("delta", Encoding::Delta),
        ("fp16", Encoding::Fp16),
        ("bf16", Encoding::Bf16),
        ("{int8: {error_feedback: false}}", Encoding::Int8),
        ("{top_k: {error_feedback: false}}", Encoding::TopK { share: 0.01 }),
    ];
    for (written, encoding) in encodings {
        let federation = format!("algorithm: median\n  compression: {written}");
        let plan = Words {
            federation: &federation,
            ..FOUR
        }
        .plan();
        for train in trains(&plan) {
            assert_eq!(train.encoding, Some(encoding), "{written}");
            assert_eq!(
                (&train.residual_in, &train.residual_out),
                (&None, &None),
                "{written}"
            );
        }
    }
}

#[test]
fn a_secret_key_is_read_by_its_client_alone() {
    let masked = Words {
        rounds: 1,
        federation: "algorithm: fedavg\n  min_clients: 3",
        more: "privacy: {secure_aggregation: true}",
        ..FOUR
    };
    let by_another = refused(&masked, |job| {
        if let Job::Reveal(args) = job
            && args.client.0 == 1
        {
            args.secret_key = "e1.nih.c0000.secret-key.json".into();
        }
    });
    assert_eq!(
        by_another.to_string(),
        "`reveal-nih-r0001-c0001` reads `e1.nih.c0000.secret-key.json`, which stays with the client of `keys-nih-c0000`"
    );
    let by_the_server = refused(&masked, |job| {
        if let Job::Aggregate(args) = job {
            args.reveals.push("e1.nih.c0002.secret-key.json".into());
        }
    });
    assert!(
        matches!(by_the_server, PlanError::PrivateFile { .. }),
        "{by_the_server}"
    );
}

#[test]
fn a_residual_is_read_by_its_client_alone() {
    let compressed = Words {
        federation: "algorithm: fedavg\n  compression: int8",
        ..FOUR
    };
    let by_another = refused(&compressed, |job| {
        if let Job::Train(args) = job
            && args.round.0 == 2
            && args.client.0 == 1
        {
            args.residual_in = Some("e1.nih.r0001.c0000.residual.safetensors".into());
        }
    });
    assert_eq!(
        by_another.to_string(),
        "`train-nih-r0002-c0001` reads `e1.nih.r0001.c0000.residual.safetensors`, which stays with the client of \
         `train-nih-r0001-c0000`"
    );
    let as_an_update = refused(&compressed, |job| {
        if let Job::Aggregate(args) = job
            && args.state_in.is_none()
        {
            args.updates
                .push("e1.nih.r0001.c0000.residual.safetensors".into());
        }
    });
    assert!(
        matches!(as_an_update, PlanError::PrivateFile { .. }),
        "{as_an_update}"
    );
}
