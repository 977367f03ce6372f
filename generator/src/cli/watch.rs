//! `fedwing watch`: a view that stays in place on a terminal, a line for each change elsewhere.

use std::{
    collections::BTreeSet,
    io::{self, IsTerminal, Write, stdout},
    num::NonZeroUsize,
    path::Path,
    thread,
    time::Duration,
};

use super::{status, sweep};
use crate::ops::{Exit, OpError, RunState, Seen, Status, Watch};

/// How often the run is looked at.
const PAUSE: Duration = Duration::from_secs(1);

/// Rounds of each dataset that are shown at once.
const ROUNDS: NonZeroUsize = NonZeroUsize::new(8).expect("8 is not 0");

/// Points of a sweep that are shown at once.
const POINTS: NonZeroUsize = NonZeroUsize::new(20).expect("20 is not 0");

/// Shows the run at `path` until it ends. Ctrl-C ends this process alone; the run knows nothing of it.
pub fn watch(path: &Path, json: bool) -> Result<Exit, OpError> {
    let mut watch = Watch::new(path)?;
    let on_terminal = stdout().is_terminal();
    let mut view: Box<dyn View> = match (json, on_terminal) {
        (true, _) => Box::new(Json::default()),
        (false, true) => Box::new(Terminal::default()),
        (false, false) => Box::new(Plain::default()),
    };
    loop {
        let seen = watch.look()?;
        // A reader that went away wants no more.
        if view.show(&seen, &mut stdout().lock()).is_err() {
            return Ok(Exit::Done);
        }
        match seen.state() {
            RunState::Waiting | RunState::Running => thread::sleep(PAUSE),
            RunState::NotSubmitted => {
                eprintln!(
                    "error: it was not submitted yet\nhelp: `fedwing submit {}` starts it",
                    path.display()
                );
                return Ok(Exit::Usage);
            }
            RunState::Done | RunState::Failed | RunState::Stopped | RunState::Dead => return Ok(seen.exit()),
        }
    }
}

/// A way to show a run as it changes.
trait View {
    fn show(&mut self, seen: &Seen, out: &mut dyn Write) -> io::Result<()>;
}

/// Writes over what it wrote before.
#[derive(Default)]
struct Terminal {
    lines: usize,
}

impl View for Terminal {
    fn show(&mut self, seen: &Seen, out: &mut dyn Write) -> io::Result<()> {
        let text = match seen {
            Seen::One(status) => status::text(status, Some(ROUNDS)),
            Seen::Sweep(status) => sweep::text(status, Some(POINTS)),
        };
        let width = width();
        let lines: Vec<String> = text
            .lines()
            .map(|line| line.chars().take(width).collect())
            .collect();
        if self.lines > 0 {
            // Up to where it began, and everything below is cleared.
            write!(out, "\x1b[{}A\x1b[J", self.lines)?;
        }
        for line in &lines {
            writeln!(out, "{line}")?;
        }
        self.lines = lines.len();
        out.flush()
    }
}

/// Columns of the terminal; a line that wraps would be counted wrong.
fn width() -> usize {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the call fills the structure given, which lives through it.
    let asked = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    if asked == 0 && size.ws_col > 0 {
        usize::from(size.ws_col)
    } else {
        80
    }
}

/// A line for each change of the numbers, each round that is over, each job that is held or fails.
#[derive(Default)]
struct Plain {
    last: Option<String>,
    told: BTreeSet<String>,
}

impl View for Plain {
    fn show(&mut self, seen: &Seen, out: &mut dyn Write) -> io::Result<()> {
        let (news, short) = match seen {
            Seen::One(status) => (news(status), status::short(status)),
            Seen::Sweep(status) => (sweep::news(status), sweep::short(status)),
        };
        let news = news.into_iter().filter(|line| !self.told.contains(line));
        let news: Vec<String> = news.collect();
        for line in news {
            writeln!(out, "{line}")?;
            self.told.insert(line);
        }
        if self.last.as_ref() != Some(&short) {
            writeln!(out, "{short}")?;
            self.last = Some(short);
        }
        out.flush()
    }
}

/// Rounds that are over, jobs that are held or failed, each in a line.
fn news(status: &Status) -> Vec<String> {
    let over = status.rounds.iter().filter(|round| round.accuracy.is_some());
    let rounds = over.map(|round| format!("{}: {}", round.dataset, status::round_text(round)));
    let held = status
        .held
        .iter()
        .map(|held| format!("held: {}", status::held_text(held)));
    let failed = status
        .failed
        .iter()
        .map(|failed| format!("failed: {}", status::failed_text(failed)));
    rounds.chain(held).chain(failed).collect()
}

/// The same at any time.
fn timeless(seen: &Seen) -> Seen {
    let mut seen = seen.clone();
    match &mut seen {
        Seen::One(status) => status.elapsed_s = 0.0,
        Seen::Sweep(status) => status.points.iter_mut().for_each(|point| point.elapsed_s = 0.0),
    }
    seen
}

/// A status a line, whenever more than the time has changed.
#[derive(Default)]
struct Json {
    last: Option<Seen>,
}

impl View for Json {
    fn show(&mut self, seen: &Seen, out: &mut dyn Write) -> io::Result<()> {
        let timeless = timeless(seen);
        if self.last.as_ref() == Some(&timeless) {
            return Ok(());
        }
        let line = serde_json::to_string(seen).expect("a status has text keys and no failing parts");
        writeln!(out, "{line}")?;
        self.last = Some(timeless);
        out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::status::tests::sample;

    fn shown(view: &mut dyn View, status: &Status) -> String {
        let mut out = Vec::new();
        view.show(&Seen::One(Box::new(status.clone())), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn plain_lines_tell_each_thing_once() {
        let (mut view, mut status) = (Plain::default(), sample());
        insta::assert_snapshot!(shown(&mut view, &status));
        status.elapsed_s += 1.0;
        assert_eq!(shown(&mut view, &status), "");
        status.jobs.running -= 1;
        status.jobs.done += 1;
        assert_eq!(shown(&mut view, &status).lines().count(), 1);
    }

    #[test]
    fn a_terminal_is_written_over() {
        let (mut view, status) = (Terminal::default(), sample());
        let lines = shown(&mut view, &status).lines().count();
        assert!(shown(&mut view, &status).starts_with(&format!("\x1b[{lines}A\x1b[J")));
    }

    #[test]
    fn json_is_a_line_a_change() {
        let (mut view, mut status) = (Json::default(), sample());
        assert_eq!(shown(&mut view, &status).lines().count(), 1);
        status.elapsed_s += 1.0;
        assert_eq!(shown(&mut view, &status), "");
    }
}
