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
    cell::UnsafeCell,
    sync::atomic::{AtomicUsize, Ordering},
};

use contract::exit::JobExit;

/// An allocator that ends the process with [`JobExit::OutOfMemory`] and a failure file where another returns nothing.
#[derive(Debug)]
pub struct Guarded<A>(pub A);

/// The thread that ends the process for want of memory; 0 for none.
static ENDING: AtomicUsize = AtomicUsize::new(0);

/// What the last words are made of, when the system gives nothing more.
static RESERVE: Reserve = Reserve {
    bytes: UnsafeCell::new([0; RESERVED]),
    taken: AtomicUsize::new(0),
};

/// More than an error and a failure file take, whose writer has a buffer of 1 MiB.
const RESERVED: usize = 3 << 19;

/// Memory that is handed out once, from the start on.
struct Reserve {
    bytes: UnsafeCell<[u8; RESERVED]>,
    taken: AtomicUsize,
}

// SAFETY: every byte is handed out once.
unsafe impl Sync for Reserve {}

impl Reserve {
    /// A block, null when nothing is left.
    fn take(&self, layout: Layout) -> *mut u8 {
        let whole = layout.size() + layout.align();
        let from = self.taken.fetch_add(whole, Ordering::Relaxed);
        if from.saturating_add(whole) > RESERVED {
            return std::ptr::null_mut();
        }
        let start = self.bytes.get().cast::<u8>().wrapping_add(from);
        start.wrapping_add(start.align_offset(layout.align()))
    }

    fn has(&self, pointer: *mut u8) -> bool {
        let start = self.bytes.get().cast::<u8>();
        (start..start.wrapping_add(RESERVED)).contains(&pointer)
    }
}

// SAFETY: every call goes on to an allocator that keeps the contract, with the same arguments; the only change is that
// the process ends where that one returns null.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Guarded<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`.
        given(unsafe { self.0.alloc(layout) }, layout)
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if !RESERVE.has(pointer) {
            // SAFETY: the caller keeps the contract of `dealloc`, and the pointer came from the same allocator.
            unsafe { self.0.dealloc(pointer, layout) }
        }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc_zeroed`; the reserve is zeros until it is handed out.
        given(unsafe { self.0.alloc_zeroed(layout) }, layout)
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let kept = RESERVE.has(pointer);
        let larger = match kept {
            true => std::ptr::null_mut(),
            // SAFETY: the caller keeps the contract of `realloc`, and the pointer came from the same allocator.
            false => unsafe { self.0.realloc(pointer, layout, size) },
        };
        if !larger.is_null() {
            return larger;
        }
        // SAFETY: the caller keeps the contract of `realloc`: the size is not 0 and fits with the alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        let moved = given(larger, wanted);
        // SAFETY: both blocks have so many bytes, and a new one is another one.
        unsafe { std::ptr::copy_nonoverlapping(pointer, moved, layout.size().min(size)) };
        moved
    }
}

/// The block; one of the reserve for the thread that ends the process, that end for the first, and none for others.
#[inline]
fn given(pointer: *mut u8, layout: Layout) -> *mut u8 {
    if pointer.is_null() {
        refused(layout)
    } else {
        pointer
    }
}

#[cold]
fn refused(layout: Layout) -> *mut u8 {
    // SAFETY: the function has no conditions.
    let thread = unsafe { libc::pthread_self() } as usize;
    match ENDING.compare_exchange(0, thread, Ordering::SeqCst, Ordering::SeqCst) {
        Ok(_) => end(layout.size()),
        Err(ending) if ending == thread => match RESERVE.take(layout) {
            block if block.is_null() => leave(),
            block => block,
        },
        // Another thread has the last word.
        Err(_) => loop {
            std::thread::sleep(std::time::Duration::from_secs(1));
        },
    }
}

/// Says what happened, with what memory the reserve has.
fn end(bytes: usize) -> ! {
    let job = std::env::args().nth(1).unwrap_or_default();
    let text = format!("memory ran out: the system refused {bytes} bytes more");
    let error = contract::job::JobError::new(JobExit::OutOfMemory, text)
        .help("give the job more memory, a smaller `batch_size`, or fewer batches `ahead`");
    contract::job::fail(&format!("fl-client {job}"), &error);
    leave()
}

fn leave() -> ! {
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
