//! Memory: what training certainly needs against what the job may have, and a named end when it runs out.
//!
//! In: a model, samples, a recipe; limits of the system. Out: an error before training, or [`Guarded`]'s exit during it.
//! Start at [`check`].
//!
//! # What is caught
//! [`check`] compares a lower bound (weights, gradients, moments, batches; no activations, which depend on the network)
//! with the address-space limit and the control group's: a job it refuses could not have run, one it lets pass may still run
//! out. An allocation that the system refuses, as under an address-space limit, ends the process by [`Guarded`] with
//! `OutOfMemory`. A process that the kernel kills (SIGKILL under a control group's limit) leaves no word of its own.

use std::{
    alloc::{GlobalAlloc, Layout},
    sync::atomic::{AtomicBool, Ordering},
};

use contract::exit::JobExit;

/// An allocator that ends the process with [`JobExit::OutOfMemory`] and a failure file where another returns nothing.
#[derive(Debug)]
pub struct Guarded<A>(pub A);

/// Whether the process is ending for want of memory.
static ENDING: AtomicBool = AtomicBool::new(false);

// SAFETY: every call goes on to an allocator that keeps the contract, with the same arguments; the only change is that
// the process ends where that one returns null.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Guarded<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`.
        given(unsafe { self.0.alloc(layout) }, layout.size())
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and the pointer came from the same allocator.
        unsafe { self.0.dealloc(pointer, layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        given(unsafe { self.0.alloc_zeroed(layout) }, layout.size())
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `realloc`, and the pointer came from the same allocator.
        given(unsafe { self.0.realloc(pointer, layout, size) }, size)
    }
}

fn given(pointer: *mut u8, bytes: usize) -> *mut u8 {
    if pointer.is_null() {
        end(bytes);
    }
    pointer
}

#[cold]
fn end(bytes: usize) -> ! {
    // What follows needs a little memory itself; should that be refused too, the exit code says enough.
    if !ENDING.swap(true, Ordering::SeqCst) {
        let job = std::env::args().nth(1).unwrap_or_default();
        let text = format!("memory ran out: the system refused {bytes} bytes more");
        let error = contract::job::JobError::new(JobExit::OutOfMemory, text)
            .help("give the job more memory, a smaller `batch_size`, or fewer batches `ahead`");
        contract::job::fail(&format!("fl-client {job}"), &error);
    }
    // SAFETY: `_exit` ends the process without running anything that could allocate.
    unsafe { libc::_exit(i32::from(JobExit::OutOfMemory.code())) }
}

/// Bytes that training certainly takes: the global weights and the trained ones, their copy in a step, gradients, moments,
/// the best epoch's weights, the batch in training and those ahead.
#[cfg(feature = "train")]
pub fn least(
    model: &crate::model::Model,
    samples: &crate::batches::Samples<'_>,
    recipe: &contract::recipe::Recipe,
) -> u64 {
    use contract::training::Optimizer;
    let moments = match recipe.optimizer {
        Optimizer::Sgd { .. } => 1,
        Optimizer::Adam(_) | Optimizer::Adamw(_) => 2,
    };
    let copies = 4 + moments + u64::from(recipe.early_stop.is_some());
    let weights = model.parameters() as u64 * size_of::<f32>() as u64;
    let of_one = (recipe.batch_size as usize).min(samples.len());
    let steps = samples.len().div_ceil(of_one.max(1)) as u64;
    let batches = (1 + u64::from(recipe.ahead)).min(steps);
    copies * weights + batches * samples.batch_bytes(of_one)
}

/// Refuses what certainly does not fit into the memory this process may have.
///
/// # Errors
/// `OutOfMemory` with both numbers.
#[cfg(feature = "train")]
pub fn check(least: u64) -> Result<(), contract::job::JobError> {
    match allowed() {
        Some((bytes, whose)) if bytes < least => {
            let text = format!("training takes {least} bytes or more, {whose} allows {bytes}");
            Err(contract::job::JobError::new(JobExit::OutOfMemory, text)
                .help("give the job more memory, a smaller `batch_size`, or fewer batches `ahead`"))
        }
        _ => Ok(()),
    }
}

/// The smallest limit on this process's memory, and whose it is; nothing where the system does not tell.
#[cfg(feature = "train")]
fn allowed() -> Option<(u64, &'static str)> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let address_space =
        address_space(&read("/proc/self/limits")).map(|bytes| (bytes, "the address-space limit"));
    let groups = group_files(&read("/proc/self/cgroup"));
    let groups = groups
        .iter()
        .filter_map(|file| read(file).trim().parse().ok())
        .map(|bytes| (bytes, "the control group"));
    address_space.into_iter().chain(groups).min()
}

/// The soft limit in a text of proc(5) `limits`, where there is one.
#[cfg(feature = "train")]
fn address_space(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Files that hold the limits of the groups in a text of proc(5) `cgroup`, and of the groups around them.
#[cfg(feature = "train")]
fn group_files(groups: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let (root, file) = if controllers.is_empty() {
            ("/sys/fs/cgroup", "memory.max")
        } else if controllers.split(',').any(|controller| controller == "memory") {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            continue;
        };
        let mut path = path.trim_end_matches('/');
        loop {
            files.push(format!("{root}{path}/{file}"));
            match path.rsplit_once('/') {
                Some((parent, _)) => path = parent,
                None => break,
            }
        }
    }
    files
}

#[cfg(all(test, feature = "train"))]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_from_the_texts_of_proc() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max resident set          unlimited            unlimited            bytes     \n\
                      Max address space         1048576              unlimited            bytes     \n";
        assert_eq!(address_space(limits), Some(1_048_576));
        assert_eq!(address_space(&limits.replace("1048576", "unlimited")), None);
        assert_eq!(
            group_files("0::/a/b\n"),
            [
                "/sys/fs/cgroup/a/b/memory.max",
                "/sys/fs/cgroup/a/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        assert_eq!(
            group_files("5:cpu,memory:/\n4:cpuset:/x\n"),
            ["/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        );
    }

    #[test]
    fn what_certainly_does_not_fit_is_refused_with_both_numbers() {
        if let Some((bytes, _)) = allowed() {
            let error = check(bytes.saturating_add(1)).unwrap_err();
            assert_eq!(error.exit, JobExit::OutOfMemory);
            assert!(error.message.contains(&bytes.to_string()), "{}", error.message);
        }
        assert_eq!(check(0), Ok(()));
    }
}
