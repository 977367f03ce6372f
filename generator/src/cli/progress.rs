//! Progress of a run: a bar with time left on a terminal, a line per evaluated round elsewhere.

use std::{
    collections::BTreeSet,
    io::{IsTerminal, stderr},
    time::{Duration, Instant},
};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    engine::{self, JobEnd, JobView, Message, Next, Observer, Totals, Weight},
    plan::Dag,
    record::{Outcome, RunOutcome},
};

/// Names of running jobs shown beside the bar.
const SHOWN: usize = 2;

/// Shows a run on stderr.
pub struct Progress {
    bar: ProgressBar,
    on_terminal: bool,
    estimate: engine::Progress,
    started: Instant,
    running: BTreeSet<String>,
}

impl Progress {
    /// Shows a run of `dag`; nothing before it starts.
    pub fn new(dag: &Dag) -> Self {
        let on_terminal = stderr().is_terminal();
        let target = if on_terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} jobs · {elapsed} · {msg}")
            .expect("the template names known parts");
        let bar = ProgressBar::with_draw_target(Some(dag.jobs.len() as u64), target).with_style(style);
        let estimate = engine::Progress::new(dag);
        Self {
            bar,
            on_terminal,
            estimate,
            started: Instant::now(),
            running: BTreeSet::new(),
        }
    }

    fn say(&self, line: &str) {
        if self.on_terminal {
            self.bar.println(line);
        } else {
            eprintln!("{line}");
        }
    }

    fn refresh(&self) {
        let left = self.estimate.snapshot(self.started.elapsed()).left;
        let left = left.map_or(String::new(), |left| {
            format!("{} left · ", HumanDuration(Duration::from_secs(left.as_secs())))
        });
        let mut names: Vec<&str> = self.running.iter().take(SHOWN).map(String::as_str).collect();
        if self.running.len() > SHOWN {
            names.push("…");
        }
        self.bar.set_message(format!("{left}{}", names.join(", ")));
    }
}

impl Observer for Progress {
    fn run_started(&mut self, totals: &Totals) {
        self.started = Instant::now();
        self.bar.reset();
        self.bar.set_length(totals.jobs);
        self.bar.set_position(totals.kept);
        if self.on_terminal {
            self.bar.enable_steady_tick(Duration::from_millis(500));
        }
        if totals.kept > 0 {
            self.say(&format!(
                "{} of {} jobs are done already",
                totals.kept, totals.jobs
            ));
        }
    }

    fn job_kept(&mut self, job: &JobView<'_>) {
        self.estimate.kept(&job.label.kind);
    }

    fn job_started(&mut self, job: &JobView<'_>) {
        self.estimate.started(&job.label.kind);
        self.running.insert(job.id.to_owned());
        self.refresh();
    }

    fn job_ended(&mut self, job: &JobView<'_>, end: &JobEnd<'_>) {
        let kind = &job.label.kind;
        self.running.remove(job.id);
        match end.next {
            Next::Settled => {
                self.estimate.done(kind, end.wall);
                self.bar.inc(1);
            }
            Next::Retry(wait) => {
                self.estimate.retried(kind, end.wall);
                self.say(&format!(
                    "{}: {}; again in {}",
                    job.id,
                    ended(end),
                    HumanDuration(wait)
                ));
            }
            Next::GivenUp => {
                self.estimate.given_up(kind, end.wall);
                self.say(&format!("error: {}: {}", job.id, ended(end)));
                if let Some(help) = end.failure.and_then(|failure| failure.help.as_ref()) {
                    self.say(&format!("help: {help}"));
                }
            }
        }
        // Elsewhere than on a terminal, the evaluation of a round is what tells that it is over.
        if let (false, "evaluate", Some(dataset), Some(round)) =
            (self.on_terminal, &**kind, &job.label.dataset, job.label.round)
            && *end.outcome == Outcome::Done
        {
            self.say(&format!(
                "{dataset}: round {round} evaluated, {} of {} jobs done",
                self.bar.position(),
                self.bar.length().unwrap_or(0)
            ));
        }
        self.refresh();
    }

    fn message(&mut self, message: &Message) {
        let weight = match message.weight {
            Weight::Note => "note",
            Weight::Warning => "warning",
            Weight::Error => "error",
        };
        self.say(&format!("{weight}: {}", message.text));
    }

    fn run_ended(&mut self, _outcome: &RunOutcome) {
        self.bar.finish_and_clear();
    }
}

/// How an attempt ended, in words.
fn ended(end: &JobEnd<'_>) -> String {
    if let Some(failure) = end.failure {
        return failure.message.clone();
    }
    match end.outcome {
        Outcome::Done => "done".to_owned(),
        Outcome::Exit(code) => format!("ended with exit code {code}"),
        Outcome::Signal(signal) => format!("ended by signal {signal}"),
        Outcome::Walltime => "took longer than its walltime".to_owned(),
        Outcome::OutputMissing(files) => format!("did not write {}", files.join(", ")),
        Outcome::NotStarted(why) | Outcome::Removed(why) => why.clone(),
        Outcome::Interrupted => "interrupted".to_owned(),
    }
}
