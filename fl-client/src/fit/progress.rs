//! Progress: what a job tells while it trains, on standard error.
//!
//! In: steps and epochs as they end. Out: a bar and a line an epoch for people, or a JSON object a line for machines
//! ([`Event`], described in `docs/training.md`). Start at [`Reporter::new`]. It says when it pleases: nothing that is
//! written elsewhere depends on it.

use std::{
    io::{IsTerminal, Write, stderr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use contract::training::Progress;
use serde::Serialize;

use super::{Course, Outcome, checkpoint::Kept, loss::Total, step::At, watch::Split};

/// Least time between two events or drawings within an epoch.
const PAUSE: Duration = Duration::from_millis(500);

/// One line of JSON; losses are means per sample.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Training begins, or goes on.
    Start {
        /// Format version, [`Event::VERSION`].
        fedwing_progress: u32,
        /// Epochs at most.
        epochs: u32,
        /// Samples trained on.
        samples: usize,
        /// Samples kept for validation.
        validation_samples: usize,
        /// Whole epochs a checkpoint holds.
        epochs_before: u32,
        /// Steps of the next epoch that a checkpoint holds.
        steps_before: usize,
    },
    /// A step was taken; told of at most twice a second.
    Step {
        /// The epoch, counted from 1.
        epoch: u32,
        /// The step in the epoch, counted from 1.
        step: usize,
        /// Steps of an epoch.
        steps: usize,
        /// Over the epoch's steps so far.
        loss: f64,
    },
    /// An epoch is whole.
    Epoch {
        /// Counted from 1.
        epoch: u32,
        /// Epochs at most.
        epochs: u32,
        /// On the training samples, while weights moved.
        loss: f64,
        /// On the validation samples after it; `null` where there are none.
        validation_loss: Option<f64>,
        /// The best epoch so far by validation; `null` where there is none.
        best_epoch: Option<u32>,
        /// Of the epoch's steps.
        learning_rate: f64,
    },
    /// Training is over.
    Done {
        /// Epochs trained.
        epochs: u32,
        /// The epoch whose weights are kept; `null` without validation.
        best_epoch: Option<u32>,
    },
}

impl Event {
    /// The format version of these events.
    pub const VERSION: u32 = 1;
}

/// Says nothing.
pub static SILENT: Reporter = Reporter {
    progress: Progress::None,
    last: Mutex::new(None),
    is_terminal: false,
};

/// Tells of a training.
#[derive(Debug)]
pub struct Reporter {
    progress: Progress,
    /// When a step was told of last.
    last: Mutex<Option<Instant>>,
    /// Whether a line can be drawn over.
    is_terminal: bool,
}

impl Reporter {
    /// As asked for; when not given, text on a terminal and nothing elsewhere.
    pub fn new(progress: Option<Progress>) -> Self {
        let is_terminal = stderr().is_terminal();
        let otherwise = if is_terminal {
            Progress::Text
        } else {
            Progress::None
        };
        Self {
            progress: progress.unwrap_or(otherwise),
            last: Mutex::new(None),
            is_terminal,
        }
    }

    pub(super) fn start(&self, course: &Course<'_>, parts: &Split, (epochs, steps): (u32, usize)) {
        match self.progress {
            Progress::None => {}
            Progress::Json => self.event(&Event::Start {
                fedwing_progress: Event::VERSION,
                epochs: course.epochs,
                samples: parts.training.len(),
                validation_samples: parts.validation.len(),
                epochs_before: epochs,
                steps_before: steps,
            }),
            Progress::Text if epochs > 0 || steps > 0 => {
                self.line(&format!("going on after {epochs} epochs and {steps} steps"));
            }
            Progress::Text => {}
        }
    }

    pub(super) fn step(&self, at: At, steps: usize, so_far: Total) {
        let is_drawn = self.progress == Progress::Text && self.is_terminal;
        if !(is_drawn || self.progress == Progress::Json) || !self.is_due() {
            return;
        }
        let At { epoch, step } = at;
        if is_drawn {
            let text = format!("epoch {epoch}: step {step} of {steps}, loss {:.4}", so_far.mean());
            self.write(&format!("\r{text}\x1b[K"));
        } else {
            let loss = so_far.mean();
            self.event(&Event::Step {
                epoch,
                step,
                steps,
                loss,
            });
        }
    }

    pub(super) fn epoch(&self, course: &Course<'_>, kept: &Kept, learning_rate: f64) {
        let (Some(loss), validation) = (kept.epoch_loss.last(), kept.watch.losses().last()) else {
            return;
        };
        match self.progress {
            Progress::None => {}
            Progress::Json => self.event(&Event::Epoch {
                epoch: kept.epochs(),
                epochs: course.epochs,
                loss: *loss,
                validation_loss: validation.copied(),
                best_epoch: kept.watch.best_epoch(),
                learning_rate,
            }),
            Progress::Text => {
                let mut text = format!("epoch {} of {}: loss {loss:.4}", kept.epochs(), course.epochs);
                if let Some(validation) = validation {
                    text.push_str(&format!(", validation {validation:.4}"));
                }
                self.line(&text);
            }
        }
    }

    pub(super) fn done(&self, course: &Course<'_>, outcome: &Outcome) {
        let epochs = outcome.epoch_loss.len() as u32;
        match (self.progress, outcome.best_epoch) {
            (Progress::None, _) => {}
            (Progress::Json, best_epoch) => self.event(&Event::Done { epochs, best_epoch }),
            (Progress::Text, Some(best)) if course.recipe.early_stop.is_some() => {
                self.line(&format!("kept the weights of epoch {best}"));
            }
            (Progress::Text, _) => {}
        }
    }

    fn is_due(&self) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| last.elapsed() >= PAUSE);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }

    fn event(&self, event: &Event) {
        match serde_json::to_string(event) {
            Ok(line) => self.write(&format!("{line}\n")),
            Err(error) => self.write(&format!("warning: cannot tell of progress: {error}\n")),
        }
    }

    fn line(&self, text: &str) {
        if self.is_terminal {
            self.write(&format!("\r{text}\x1b[K\n"));
        } else {
            self.write(&format!("{text}\n"));
        }
    }

    fn write(&self, text: &str) {
        // Nobody listens to a closed standard error.
        let _ = stderr().lock().write_all(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line_of_json_with_its_name() {
        let event = Event::Epoch {
            epoch: 2,
            epochs: 5,
            loss: 0.5,
            validation_loss: None,
            best_epoch: None,
            learning_rate: 0.01,
        };
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            r#"{"event":"epoch","epoch":2,"epochs":5,"loss":0.5,"validation_loss":null,"best_epoch":null,"learning_rate":0.01}"#
        );
    }
}
