//! How far a run is, as text.

use std::{fmt::Write, num::NonZeroUsize, time::Duration};

use indicatif::HumanDuration;

use crate::ops::{CancelResult, Counts, FailedJob, HeldJob, RoundStatus, RunState, Status, SystemName};

/// Held and failed jobs that are shown by name.
const SHOWN: usize = 10;

/// The longest reason shown, in characters.
const LONGEST: usize = 300;

/// No round is left out.
pub const ALL_ROUNDS: Option<NonZeroUsize> = None;

/// How far a run is, in lines; of each dataset at most `rounds` rounds, those that matter now.
pub fn text(status: &Status, rounds: Option<NonZeroUsize>) -> String {
    let now = status
        .started_unix_ms
        .unwrap_or(0)
        .saturating_add((status.elapsed_s * 1000.0) as u64);
    let mut text = format!("{} ({}), {}\n", status.name, system(status.system), state(status));
    line(&mut text, "jobs", &counts(&status.jobs));
    if status.auxiliary.total > 0 {
        line(&mut text, "auxiliary", &counts(&status.auxiliary));
    }
    let mut extra = Vec::new();
    for (number, what) in [
        (status.retries, "failed tries"),
        (status.machines_lost, "machines lost"),
        (status.resumed, "continuations"),
        (status.unreadable, "log lines not understood"),
    ] {
        if number > 0 {
            extra.push(format!("{what}: {number}"));
        }
    }
    if !extra.is_empty() {
        line(&mut text, "", &extra.join(", "));
    }
    for (first, round) in shown_rounds(&status.rounds, rounds) {
        line(
            &mut text,
            if first { &round.dataset } else { "" },
            &round_text(round),
        );
    }
    for held in status.held.iter().take(SHOWN) {
        let since = now.saturating_sub(held.since_unix_ms);
        let since = HumanDuration(Duration::from_millis(since));
        line(&mut text, "held", &format!("{}; for {since}", held_text(held)));
    }
    for failed in status.failed.iter().take(SHOWN) {
        line(&mut text, "failed", &failed_text(failed));
    }
    for (all, what) in [(status.held.len(), "held"), (status.failed.len(), "failed")] {
        if all > SHOWN {
            line(
                &mut text,
                what,
                &format!("{} more; `fedwing status --json` names them", all - SHOWN),
            );
        }
    }
    if let Some(help) = help(status) {
        line(&mut text, "help", &help);
    }
    text
}

/// One line that tells how many jobs are how far, for places without a terminal.
pub fn short(status: &Status) -> String {
    format!("{}: {}", word(status.state), counts(&status.jobs))
}

/// What cancelling came to.
pub fn cancelled(result: &CancelResult) -> String {
    format!(
        "{}: {} of {} jobs are done; `fedwing resume {}` continues",
        word(result.state),
        result.done,
        result.jobs,
        result.dir.display()
    )
}

/// A round on one line.
pub fn round_text(round: &RoundStatus) -> String {
    let mut text = format!("round {}: {}", round.round, counts(&round.jobs));
    if let Some(accuracy) = round.accuracy {
        let auroc = round
            .auroc
            .map_or("undefined".to_owned(), |auroc| format!("{auroc:.3}"));
        let synthetic = if round.synthetic == Some(true) {
            " (SYNTHETIC)"
        } else {
            ""
        };
        let _ = write!(text, "; AUROC {auroc}, accuracy {accuracy:.3}{synthetic}");
    }
    text
}

/// A held job on one line.
pub fn held_text(held: &HeldJob) -> String {
    let code = match (held.code, held.subcode) {
        (Some(code), Some(subcode)) => format!(" (code {code}, subcode {subcode})"),
        _ => String::new(),
    };
    format!("{}: {}{code}", held.job, cut(&held.reason))
}

/// A failed job on one line.
pub fn failed_text(failed: &FailedJob) -> String {
    let tries = if failed.tries > 1 {
        format!(", tried {} times", failed.tries)
    } else {
        String::new()
    };
    let message = failed
        .message
        .as_ref()
        .map_or(String::new(), |message| format!(": {}", cut(message)));
    let log = failed
        .log
        .as_ref()
        .map_or(String::new(), |log| format!("; see {}", log.display()));
    format!("{} {}{tries}{message}{log}", failed.job, cut(&failed.ended))
}

/// A run's state in one word or two.
pub fn word(state: RunState) -> &'static str {
    match state {
        RunState::NotSubmitted => "not submitted",
        RunState::Waiting => "waiting",
        RunState::Running => "running",
        RunState::Done => "done",
        RunState::Failed => "failed",
        RunState::Stopped => "stopped",
        RunState::Dead => "dead",
    }
}

fn line(text: &mut String, key: &str, value: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  {key:<11} {value}");
}

fn system(system: SystemName) -> &'static str {
    match system {
        SystemName::Local => "this machine",
        SystemName::Dagman => "DAGMan",
        SystemName::Pegasus => "Pegasus",
    }
}

fn state(status: &Status) -> String {
    let elapsed = HumanDuration(Duration::try_from_secs_f64(status.elapsed_s).unwrap_or_default());
    match status.state {
        RunState::NotSubmitted => "not submitted".to_owned(),
        RunState::Waiting => "submitted, not begun".to_owned(),
        RunState::Running => format!("running for {elapsed}"),
        RunState::Done => format!("done after {elapsed}"),
        RunState::Failed => format!("failed after {elapsed}"),
        RunState::Stopped => format!("stopped after {elapsed}"),
        RunState::Dead => "dead: it has no end, and nobody works on it".to_owned(),
    }
}

/// How many jobs are how far.
pub fn counts(counts: &Counts) -> String {
    if counts.total == 0 {
        return "none known".to_owned();
    }
    let parts = [
        (counts.running, "running"),
        (counts.queued, "queued"),
        (counts.held, "held"),
        (counts.pre_script + counts.post_script, "in scripts"),
        (counts.ready, "ready"),
        (counts.unready, "waiting"),
        (counts.failed, "failed"),
        (counts.futile, "cannot run"),
    ];
    let parts = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!(", {number} {what}"));
    format!(
        "{} of {} done{}",
        counts.done,
        counts.total,
        parts.collect::<String>()
    )
}

/// Rounds with whether they are the first of their dataset; where not all fit, the last one that is done and what follows.
fn shown_rounds(rounds: &[RoundStatus], most: Option<NonZeroUsize>) -> Vec<(bool, &RoundStatus)> {
    let mut shown = Vec::new();
    for of_dataset in rounds.chunk_by(|a, b| a.dataset == b.dataset) {
        let most = most
            .map_or(of_dataset.len(), NonZeroUsize::get)
            .min(of_dataset.len());
        let open = of_dataset
            .iter()
            .position(|round| round.jobs.done < round.jobs.total);
        let open = open.unwrap_or(of_dataset.len());
        let first = (open + 1).saturating_sub(most).min(of_dataset.len() - most);
        let part = &of_dataset[first..first + most];
        shown.extend(part.iter().enumerate().map(|(index, round)| (index == 0, round)));
    }
    shown
}

fn help(status: &Status) -> Option<String> {
    let dir = status.dir.display();
    match status.state {
        RunState::NotSubmitted => Some(format!("`fedwing submit {dir}` starts it")),
        RunState::Running if !status.held.is_empty() => Some(
            "mend what holds the jobs, then `condor_release` them; `fedwing cancel` stops the run".to_owned(),
        ),
        RunState::Failed => Some(format!(
            "mend the cause, then `fedwing resume {dir}` does what is not done"
        )),
        RunState::Stopped => Some(format!("`fedwing resume {dir}` continues it")),
        RunState::Dead => Some(format!(
            "whoever worked on it was killed or its machine went down; `fedwing resume {dir}` does what is not done"
        )),
        RunState::Waiting | RunState::Running | RunState::Done => None,
    }
}

fn cut(text: &str) -> String {
    let text = text.replace('\n', " ");
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
pub(super) mod tests;
