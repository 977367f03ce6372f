//! Reads HTCondor's job event log, of which a DAG's node log is one.
//!
//! In: bytes of a log that others may still be writing. Out: the whole [`JobEvent`]s in them, and how many bytes they
//! take. Start at [`parse`]. Pure.
//!
//! An event is a line `NNN (cluster.proc.subproc) date time text`, indented lines about it, and a line `...`. Events of
//! kinds nobody asks about become [`Happening::Other`]; what cannot be read at all is counted and skipped.

use contract::units::Bytes;

use super::time::LocalTime;

/// The longest event read; longer ones are skipped.
const LONGEST_EVENT: usize = 1 << 20;

/// The longest reason kept, in bytes.
const LONGEST_REASON: usize = 2000;

/// A job in a queue: what `condor_q` calls its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId {
    /// The cluster.
    pub cluster: u64,
    /// The process within the cluster.
    pub process: u32,
}

/// One event of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct JobEvent {
    /// The job it is about.
    pub job: QueueId,
    /// When, on the clock of the machine that holds the queue.
    pub at: LocalTime,
    /// What happened.
    pub what: Happening,
}

/// What happened to a job.
#[derive(Debug, Clone, PartialEq)]
pub enum Happening {
    /// It entered the queue.
    Submitted {
        /// The node of a DAG that it does.
        node: Option<String>,
    },
    /// It started on a machine.
    Executing {
        /// The machine.
        host: Option<String>,
    },
    /// It lost its machine.
    Evicted(Used),
    /// It ended, and waits in the queue to be tried again.
    Requeued(Ending, Used),
    /// It ended.
    Terminated(Ending, Used),
    /// It uses this much memory.
    Memory(Bytes),
    /// It was removed from the queue.
    Aborted {
        /// Why.
        reason: String,
    },
    /// It was put on hold.
    Held(Hold),
    /// It was released from hold.
    Released,
    /// A node's post script ended.
    PostScript {
        /// The node.
        node: Option<String>,
        /// How.
        ending: Ending,
    },
    /// A node's pre script asked to skip the node.
    Skipped {
        /// The node.
        node: Option<String>,
    },
    /// The machine it runs on is out of reach.
    Disconnected,
    /// The machine is in reach again.
    Reconnected,
    /// The machine did not come back; the job waits for another.
    ReconnectFailed,
    /// An event of another kind.
    Other(u16),
}

/// Why a job is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// In HTCondor's words.
    pub reason: String,
    /// HTCondor's code.
    pub code: Option<i32>,
    /// What the code leaves open.
    pub subcode: Option<i32>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this code.
    Exit(i32),
    /// By this signal.
    Signal(i32),
}

/// What a job used while it ran.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Used {
    /// User and system CPU time in seconds.
    pub cpu_s: Option<f64>,
    /// Bytes that went to the machine.
    pub received: Option<Bytes>,
    /// Bytes that came back.
    pub sent: Option<Bytes>,
    /// Memory at its peak.
    pub memory: Option<Bytes>,
    /// Seconds the job's process ran.
    pub execute_s: Option<f64>,
}

/// The whole events of a piece of a log.
#[derive(Debug, Default, PartialEq)]
pub struct Parsed {
    /// In the order of the log.
    pub events: Vec<JobEvent>,
    /// How many bytes were read; what follows is the beginning of an event still being written.
    pub consumed: usize,
    /// How many events could not be read.
    pub unreadable: u64,
}

/// Reads every whole event of `bytes`.
pub fn parse(bytes: &[u8]) -> Parsed {
    let mut parsed = Parsed::default();
    let (mut begin, mut position) = (0, 0);
    while let Some(length) = bytes[position..].iter().position(|byte| *byte == b'\n') {
        let line = &bytes[position..position + length];
        position += length + 1;
        if line.strip_suffix(b"\r").unwrap_or(line) != b"..." {
            continue;
        }
        let whole = &bytes[begin..position];
        match (whole.len() <= LONGEST_EVENT)
            .then(|| event(&String::from_utf8_lossy(whole)))
            .flatten()
        {
            Some(event) => parsed.events.push(event),
            None => parsed.unreadable += 1,
        }
        begin = position;
    }
    parsed.consumed = begin;
    if bytes.len() - begin > LONGEST_EVENT {
        parsed.consumed = bytes.len();
        parsed.unreadable += 1;
    }
    parsed
}

fn event(text: &str) -> Option<JobEvent> {
    let mut lines = text.lines().map(str::trim_end).filter(|line| *line != "...");
    let head = lines.find(|line| !line.is_empty())?;
    let (number, rest) = head.split_once(" (")?;
    let (id, rest) = rest.split_once(") ")?;
    let mut words = rest.splitn(3, ' ');
    let at = LocalTime::iso(words.next()?, words.next()?)?;
    let title = words.next().unwrap_or("");
    let body: Vec<&str> = lines.map(str::trim).collect();
    let number: u16 = number.parse().ok()?;
    Some(JobEvent {
        job: queue_id(id)?,
        at,
        what: happening(number, title, &body)?,
    })
}

/// Reads `1030.000.000`.
pub(super) fn queue_id(text: &str) -> Option<QueueId> {
    let mut parts = text.split('.');
    let (cluster, process) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some(QueueId { cluster, process })
}

fn happening(number: u16, title: &str, body: &[&str]) -> Option<Happening> {
    Some(match number {
        0 => Happening::Submitted { node: node(body) },
        1 => Happening::Executing {
            host: host(title, body),
        },
        4 => match ending(body).filter(|_| body.iter().any(|line| line.contains("requeued"))) {
            Some(ending) => Happening::Requeued(ending, used(body)),
            None => Happening::Evicted(used(body)),
        },
        5 => Happening::Terminated(ending(body)?, used(body)),
        6 => memory(title, body).map_or(Happening::Other(6), Happening::Memory),
        9 => Happening::Aborted {
            reason: sentence(body.first()),
        },
        12 => Happening::Held(hold(body)),
        13 => Happening::Released,
        16 => Happening::PostScript {
            node: node(body),
            ending: ending(body)?,
        },
        22 => Happening::Disconnected,
        23 => Happening::Reconnected,
        24 => Happening::ReconnectFailed,
        34 => Happening::Skipped { node: node(body) },
        other => Happening::Other(other),
    })
}

fn node(body: &[&str]) -> Option<String> {
    body.iter()
        .find_map(|line| line.strip_prefix("DAG Node:"))
        .map(|name| name.trim().to_owned())
}

/// The machine: what follows `@` in the slot's name, else the alias in its address.
fn host(title: &str, body: &[&str]) -> Option<String> {
    let slot = body.iter().find_map(|line| line.strip_prefix("SlotName:"));
    if let Some((_, host)) = slot.and_then(|slot| slot.trim().split_once('@')) {
        return Some(host.to_owned());
    }
    let (_, alias) = title.split_once("alias=")?;
    alias
        .split(['&', '>', ' '])
        .next()
        .filter(|host| !host.is_empty())
        .map(str::to_owned)
}

fn ending(body: &[&str]) -> Option<Ending> {
    body.iter().find_map(|line| {
        let number = |key: &str| line.split_once(key)?.1.split(')').next()?.trim().parse().ok();
        number("(return value ")
            .map(Ending::Exit)
            .or_else(|| number("(signal ").map(Ending::Signal))
    })
}

fn hold(body: &[&str]) -> Hold {
    let codes = body.iter().find_map(|line| {
        let (code, subcode) = line.strip_prefix("Code ")?.split_once(" Subcode ")?;
        Some((code.trim().parse().ok()?, subcode.trim().parse().ok()?))
    });
    Hold {
        reason: sentence(body.first().filter(|line| !line.starts_with("Code "))),
        code: codes.map(|(code, _)| code),
        subcode: codes.map(|(_, subcode)| subcode),
    }
}

fn sentence(line: Option<&&str>) -> String {
    let line = line.copied().unwrap_or("no reason given");
    let end = (0..=LONGEST_REASON.min(line.len()))
        .rev()
        .find(|end| line.is_char_boundary(*end));
    line[..end.unwrap_or(0)].to_owned()
}

fn used(body: &[&str]) -> Used {
    let mut used = Used::default();
    for line in body {
        if let Some((value, what)) = line.split_once("  -  ") {
            match what {
                "Run Remote Usage" => used.cpu_s = cpu(value),
                "Run Bytes Sent By Job" => used.sent = number(value).map(bytes),
                "Run Bytes Received By Job" => used.received = number(value).map(bytes),
                _ => {}
            }
        } else if let Some(values) = line.strip_prefix("Memory (MB)") {
            used.memory = usage(values).map(|mib| bytes(mib * 1_048_576.0));
        } else if let Some(values) = line.strip_prefix("TimeExecute (s)") {
            used.execute_s = usage(values);
        }
    }
    used
}

/// The usage in a line of the resource table; none where only the request is stated.
///
/// The columns are `Usage  Request Allocated`; a line with fewer than three numbers may lack any of them, but of time only
/// the usage is ever stated.
fn usage(values: &str) -> Option<f64> {
    let values = values.trim_start().strip_prefix(':')?;
    let numbers: Vec<f64> = values.split_whitespace().filter_map(number).collect();
    match numbers.len() {
        1 | 3 => numbers.first().copied(),
        _ => None,
    }
}

/// `Usr 0 00:00:01, Sys 0 00:00:00` in seconds.
fn cpu(text: &str) -> Option<f64> {
    let (user, system) = text.split_once(',')?;
    let seconds = |part: &str, key: &str| {
        let (days, time) = part.trim().strip_prefix(key)?.trim().split_once(' ')?;
        let mut sum = number(days)? * 86_400.0;
        for (part, unit) in time.trim().splitn(3, ':').zip([3600.0, 60.0, 1.0]) {
            sum += number(part)? * unit;
        }
        Some(sum)
    };
    Some(seconds(user, "Usr ")? + seconds(system, "Sys ")?)
}

/// Memory of an image size event: what it uses where stated, else what is resident.
fn memory(title: &str, body: &[&str]) -> Option<Bytes> {
    title.starts_with("Image size").then_some(())?;
    let of = |key: &str, unit: f64| {
        let line = body.iter().find(|line| line.contains(key))?;
        number(line.split_once("  -  ")?.0).map(|value| bytes(value * unit))
    };
    of("ResidentSetSize", 1024.0).or_else(|| of("MemoryUsage", 1_048_576.0))
}

/// A number that is finite and not negative.
fn number(text: &str) -> Option<f64> {
    let number: f64 = text.trim().parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number)
}

/// Saturates where a log states more than there can be.
fn bytes(number: f64) -> Bytes {
    Bytes(number as u64)
}

#[cfg(test)]
mod tests;
