//! What the engine is told besides the graph: where it comes from, what the machine has, how patient to be.

use std::{collections::BTreeMap, fs, num::NonZeroU32, path::PathBuf, thread, time::Duration};

use contract::{args::Binary, units::Bytes};

use super::Interrupt;

/// What the engine is told besides the graph.
#[derive(Debug, Clone)]
pub struct Options {
    /// What is run, for the record; `resume` refuses another.
    pub origin: Origin,
    /// What jobs may use at the same time.
    pub machine: Machine,
    /// Where fedwing's own job binaries are.
    pub programs: BTreeMap<Binary, PathBuf>,
    /// How long to wait for what.
    pub patience: Patience,
    /// How to stop the run from outside.
    pub interrupt: Interrupt,
}

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Absolute path of the specification or workflow.
    pub source: String,
    /// SHA-256 of its text.
    pub digest: String,
    /// Whether any dataset is synthetic.
    pub synthetic: bool,
}

/// What jobs may use at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Jobs at once.
    pub slots: NonZeroU32,
    /// CPU cores. A job that asks for more is given all of them: it is slower, its result is the same.
    pub cpus: NonZeroU32,
    /// Memory. A run with a job that asks for more is refused: it would be killed half-way.
    pub memory: Bytes,
    /// GPUs, as `CUDA_VISIBLE_DEVICES` names them. A run with a job that asks for more is refused.
    pub gpus: Vec<String>,
}

impl Machine {
    /// This machine: the cores and memory this process may use, the GPUs it may see; `slots` jobs at once.
    pub fn here(slots: NonZeroU32) -> Self {
        let cores =
            thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX));
        Self {
            slots,
            cpus: NonZeroU32::new(cores).unwrap_or(NonZeroU32::MIN),
            memory: memory_here(),
            gpus: gpus_here(),
        }
    }
}

/// The machine's memory, or the limit of this process's control group where that is less.
fn memory_here() -> Bytes {
    let total = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kibibytes << 10)
    });
    let limits = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ];
    let limit = limits
        .iter()
        .find_map(|file| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok());
    // A machine that tells neither is not asked to stay within a limit.
    Bytes(total.into_iter().chain(limit).min().unwrap_or(u64::MAX))
}

/// The GPUs `CUDA_VISIBLE_DEVICES` allows; all NVIDIA devices when it is not set.
fn gpus_here() -> Vec<String> {
    if let Ok(visible) = std::env::var("CUDA_VISIBLE_DEVICES") {
        let names = visible.split(',').map(str::trim);
        return names.filter(|name| !name.is_empty()).map(str::to_owned).collect();
    }
    let mut numbers: Vec<u32> = fs::read_dir("/dev")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            entry
                .ok()?
                .file_name()
                .to_str()?
                .strip_prefix("nvidia")?
                .parse()
                .ok()
        })
        .collect();
    numbers.sort_unstable();
    numbers.iter().map(u32::to_string).collect()
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Wait before the second attempt; each further wait is twice as long.
    pub retry_first: Duration,
    /// The longest wait before another attempt.
    pub retry_most: Duration,
    /// Time a job has to end after SIGTERM before SIGKILL.
    pub grace: Duration,
}

impl Default for Patience {
    /// 1, 2, 4 ... at most 60 seconds between attempts; 10 seconds to end.
    fn default() -> Self {
        Self {
            retry_first: Duration::from_secs(1),
            retry_most: Duration::from_secs(60),
            grace: Duration::from_secs(10),
        }
    }
}

impl Patience {
    /// The wait after `failed` attempts, at least 1.
    pub(super) fn before_retry(&self, failed: u32) -> Duration {
        let factor = 1u32.checked_shl(failed.saturating_sub(1)).unwrap_or(u32::MAX);
        self.retry_first.saturating_mul(factor).min(self.retry_most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits: Vec<u64> = [1, 2, 3, 7, 40, 100]
            .map(|failed| Patience::default().before_retry(failed).as_secs())
            .to_vec();
        assert_eq!(waits, [1, 2, 4, 60, 60, 60]);
    }

    #[test]
    fn this_machine_has_cores_and_memory() {
        let machine = Machine::here(NonZeroU32::MIN);
        assert!(machine.memory > Bytes(1 << 20));
    }
}
