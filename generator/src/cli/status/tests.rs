use std::path::PathBuf;

use super::*;
use crate::ops::KindStatus;

/// A run in its second round of three, with trouble.
pub(in crate::cli) fn sample() -> Status {
    let round = |round, done, total, accuracy: Option<f64>| RoundStatus {
        dataset: "nih".to_owned(),
        round,
        jobs: Counts {
            total,
            done,
            unready: total - done,
            ..Counts::default()
        },
        auroc: accuracy.map(|accuracy| accuracy + 0.05),
        accuracy,
        synthetic: accuracy.map(|_| true),
    };
    Status {
        fedwing_status: Status::VERSION,
        dir: PathBuf::from("/runs/e1"),
        name: "e1".to_owned(),
        system: SystemName::Dagman,
        state: RunState::Running,
        started_unix_ms: Some(1_795_350_324_000),
        elapsed_s: 192.4,
        resumed: 1,
        jobs: Counts {
            total: 20,
            done: 8,
            running: 2,
            held: 1,
            failed: 1,
            unready: 8,
            ..Counts::default()
        },
        auxiliary: Counts {
            total: 4,
            done: 4,
            ..Counts::default()
        },
        retries: 2,
        machines_lost: 1,
        kinds: vec![KindStatus {
            kind: "train".to_owned(),
            jobs: Counts::default(),
        }],
        rounds: vec![
            round(1, 5, 5, Some(0.71)),
            round(2, 2, 5, None),
            round(3, 0, 5, None),
        ],
        held: vec![HeldJob {
            job: "train-c1-r2".to_owned(),
            reason: "Error from slot1_1@w7: memory usage exceeded request_memory".to_owned(),
            code: Some(21),
            subcode: Some(102),
            since_unix_ms: 1_795_350_400_000,
        }],
        failed: vec![FailedJob {
            job: "train-c0-r2".to_owned(),
            tries: 3,
            ended: "ended with exit code 20 (out_of_memory)".to_owned(),
            message: Some("memory ran out".to_owned()),
            log: Some(PathBuf::from("/runs/e1/logs/train-c0-r2.err")),
        }],
        unreadable: 0,
    }
}

#[test]
fn a_run_with_trouble_tells_rounds_reasons_and_what_to_do() {
    insta::assert_snapshot!(text(&sample(), ALL_ROUNDS));
}

#[test]
fn every_state_says_what_to_do_next() {
    let states = [
        RunState::NotSubmitted,
        RunState::Waiting,
        RunState::Running,
        RunState::Done,
        RunState::Failed,
        RunState::Stopped,
        RunState::Dead,
    ];
    let texts = states.map(|state| {
        let mut status = sample();
        (status.state, status.held, status.failed) = (state, Vec::new(), Vec::new());
        let text = text(&status, NonZeroUsize::new(1));
        let lines: Vec<&str> = text.lines().collect();
        format!("{}\n{}", lines[0], lines[lines.len() - 1])
    });
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn rounds_that_matter_now_are_shown_where_not_all_fit() {
    let mut status = sample();
    let like = status.rounds[0].clone();
    status.rounds = (1..=50)
        .map(|round| RoundStatus {
            round,
            jobs: Counts {
                total: 5,
                done: if round < 30 { 5 } else { 0 },
                ..Counts::default()
            },
            ..like.clone()
        })
        .collect();
    let numbers = |most| {
        let shown = shown_rounds(&status.rounds, NonZeroUsize::new(most));
        shown.iter().map(|(_, round)| round.round).collect::<Vec<_>>()
    };
    assert_eq!(numbers(3), [28, 29, 30]);
    assert_eq!(numbers(60).len(), 50);
}
