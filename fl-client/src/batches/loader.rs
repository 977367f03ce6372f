//! Batches made ahead of training, by threads of their own.
//!
//! In: how to make the batch at a place, and how many places there are. Out: every batch in order, the same whatever the
//! threads do. At most `ahead` batches wait or are being made while one is in training. Start at [`with_loader`].
//!
//! The threads are not those of rayon's pool: a training step that waits for a batch does not keep anybody from making it.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use contract::{exit::JobExit, job::JobError};

/// Where batches come from.
pub struct Loader<'a, T> {
    shared: &'a Shared<T>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    /// Something in the state changed.
    changed: Condvar,
    count: usize,
    ahead: usize,
}

struct State<T> {
    /// The place that is made next.
    next: usize,
    /// The place that is taken next.
    taken: usize,
    /// Made and not taken; a panic's payload in place of what could not be made.
    ready: BTreeMap<usize, thread::Result<T>>,
    /// Nothing more is wanted.
    stopped: bool,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // The lock is held for moves and comparisons alone, which do not panic halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes batches until there are no more or nobody wants them.
    fn work(&self, make: &(impl Fn(usize) -> T + Sync)) {
        loop {
            let place = {
                let mut state = self.lock();
                while !state.stopped && state.next < self.count && state.next >= state.taken + self.ahead {
                    state = self.wait(state);
                }
                if state.stopped || state.next >= self.count {
                    return;
                }
                state.next += 1;
                state.next - 1
            };
            let made = catch_unwind(AssertUnwindSafe(|| make(place)));
            self.lock().ready.insert(place, made);
            self.changed.notify_all();
        }
    }
}

/// Items in order.
///
/// # Panics
/// As the making of an item did, once it is asked for.
impl<T> Iterator for Loader<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let mut state = self.shared.lock();
        if state.taken >= self.shared.count {
            return None;
        }
        let made = loop {
            let place = state.taken;
            match state.ready.remove(&place) {
                Some(made) => break made,
                None => state = self.shared.wait(state),
            }
        };
        state.taken += 1;
        drop(state);
        self.shared.changed.notify_all();
        Some(made.unwrap_or_else(|panic| resume_unwind(panic)))
    }
}

/// Stops the threads, also when what they work for ends early or panics.
struct Stop<'a, T>(&'a Shared<T>);

impl<T> Drop for Stop<'_, T> {
    fn drop(&mut self) {
        self.0.lock().stopped = true;
        self.0.changed.notify_all();
    }
}

/// How far ahead, and by how many threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead {
    /// Items that wait or are being made, at least 1.
    pub items: usize,
    /// Threads that make them, at least 1; no more than `items` are started.
    pub threads: usize,
}

/// Runs `work` while `count` items are made by `make`, each from its place alone.
///
/// # Errors
/// `Io` if the system gives no thread; else what `work` returns.
/// # Panics
/// As `work` does, or as `make` did once its item is asked for. All threads have ended then.
pub fn with_loader<T: Send, R>(
    count: usize,
    ahead: Ahead,
    make: impl Fn(usize) -> T + Sync,
    work: impl FnOnce(&mut Loader<'_, T>) -> Result<R, JobError>,
) -> Result<R, JobError> {
    let items = ahead.items.max(1);
    let shared = Shared {
        state: Mutex::new(State {
            next: 0,
            taken: 0,
            ready: BTreeMap::new(),
            stopped: false,
        }),
        changed: Condvar::new(),
        count,
        ahead: items,
    };
    thread::scope(|scope| {
        let _stop = Stop(&shared);
        for _ in 0..ahead.threads.clamp(1, items).min(count) {
            thread::Builder::new()
                .name("loader".to_owned())
                .spawn_scoped(scope, || shared.work(&make))
                .map_err(|error| JobError::new(JobExit::Io, format!("cannot start a thread: {error}")))?;
        }
        work(&mut Loader { shared: &shared })
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn all(loader: &mut Loader<'_, usize>) -> Vec<usize> {
        loader.collect()
    }

    #[test]
    fn items_come_in_order_and_all_of_them() {
        for (count, items, threads) in [(0, 1, 1), (1, 3, 2), (100, 1, 1), (100, 4, 3), (100, 64, 8)] {
            let ahead = Ahead { items, threads };
            let found = with_loader(count, ahead, |place| place * 3, |loader| Ok(all(loader))).unwrap();
            assert!(found.into_iter().eq((0..count).map(|place| place * 3)));
        }
    }

    #[test]
    fn no_more_than_ahead_are_made_before_they_are_wanted() {
        let (made, ahead) = (AtomicUsize::new(0), Ahead { items: 3, threads: 3 });
        let make = |place: usize| {
            made.fetch_add(1, Ordering::SeqCst);
            place
        };
        with_loader(50, ahead, make, |loader| {
            for taken in 1..=50 {
                loader.next();
                // While `taken` items are taken, at most three more were begun.
                assert!(made.load(Ordering::SeqCst) <= taken + 3);
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(made.load(Ordering::SeqCst), 50);
    }

    #[test]
    fn an_error_of_training_ends_the_threads() {
        let ahead = Ahead { items: 2, threads: 2 };
        let error = with_loader(
            1000,
            ahead,
            |place| place,
            |loader| {
                loader.next();
                Err::<(), _>(JobError::new(JobExit::NotFinite, "diverged"))
            },
        )
        .unwrap_err();
        assert_eq!(error.message, "diverged");
    }

    #[test]
    fn a_panic_while_making_an_item_is_passed_on_where_it_is_wanted() {
        let ahead = Ahead { items: 4, threads: 2 };
        let seen = AtomicUsize::new(0);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            with_loader(
                10,
                ahead,
                |place| {
                    assert!(place != 5, "cannot make this one");
                    place
                },
                |loader| {
                    for _ in loader {
                        seen.fetch_add(1, Ordering::SeqCst);
                    }
                    Ok(())
                },
            )
        }));
        assert!(outcome.is_err());
        assert_eq!(seen.load(Ordering::SeqCst), 5);
    }

    #[test]
    fn a_panic_of_training_ends_the_threads() {
        let ahead = Ahead { items: 2, threads: 2 };
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            with_loader(
                10,
                ahead,
                |place| place,
                |_| -> Result<(), JobError> { panic!("training is broken") },
            )
        }));
        assert!(outcome.is_err());
    }
}
