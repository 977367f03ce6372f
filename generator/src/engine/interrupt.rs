//! How a run is stopped from outside: by Ctrl-C, by SIGTERM, or by the program that runs the engine.
//!
//! Start at [`Interrupt`]. Asked once, a run stops cleanly; asked twice, it kills its jobs at once.

use std::{
    io::{self, PipeReader, PipeWriter, Read, Write},
    mem,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    ptr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

/// A request to stop that can be made from any thread, and from a signal handler.
#[derive(Debug, Clone)]
pub struct Interrupt(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    asked: AtomicU32,
    /// A byte for each request, so that waiting for jobs ends.
    wake: PipeWriter,
    woken: PipeReader,
}

/// What the signal handler triggers; set before the handler is installed.
static BY_SIGNALS: OnceLock<Interrupt> = OnceLock::new();

impl Interrupt {
    /// One that only [`Interrupt::trigger`] triggers.
    ///
    /// # Errors
    /// The process has no file descriptors left.
    pub fn new() -> io::Result<Self> {
        let (woken, wake) = io::pipe()?;
        for fd in [woken.as_raw_fd(), wake.as_raw_fd()] {
            // SAFETY: plain fcntl on a descriptor owned by this function; no memory is passed.
            if unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) } == -1 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(Self(Arc::new(Inner {
            asked: AtomicU32::new(0),
            wake,
            woken,
        })))
    }

    /// The one that SIGINT, SIGTERM and SIGHUP trigger from now on, the same at each call.
    ///
    /// A signal that is ignored stays ignored: `nohup` and shells' background jobs rely on it.
    ///
    /// # Errors
    /// The process has no file descriptors left, or the handlers cannot be installed.
    pub fn on_signals() -> io::Result<Self> {
        if let Some(interrupt) = BY_SIGNALS.get() {
            return Ok(interrupt.clone());
        }
        let made = Self::new()?;
        let interrupt = BY_SIGNALS.get_or_init(|| made).clone();
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            install(signal)?;
        }
        Ok(interrupt)
    }

    /// Asks to stop.
    pub fn trigger(&self) {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        // A full pipe already wakes the reader; nothing else can fail while both ends are open.
        let _ = (&self.0.wake).write(&[1]);
    }

    /// How often stopping was asked for.
    pub fn asked(&self) -> u32 {
        self.0.asked.load(Ordering::SeqCst)
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.woken.as_fd()
    }

    /// Takes the wake-up bytes, so that the next wait waits.
    pub(super) fn rest(&self) {
        // Nothing to read is what is wanted.
        let _ = (&self.0.woken).read(&mut [0; 64]);
    }
}

/// Only touches atomics and writes to a pipe, which signal-safety(7) allows.
extern "C" fn on_signal(_: libc::c_int) {
    // SAFETY: the location is this thread's errno, valid for its life; it is put back so that the interrupted code
    // sees its own.
    unsafe {
        let errno = libc::__errno_location();
        let saved = *errno;
        if let Some(interrupt) = BY_SIGNALS.get() {
            interrupt.trigger();
        }
        *errno = saved;
    }
}

fn install(signal: libc::c_int) -> io::Result<()> {
    // SAFETY: both structures are plain data for which zero is valid; the pointers are to locals or null; the handler
    // has the signature sigaction(2) wants and does only what signal-safety(7) allows.
    unsafe {
        let mut before: libc::sigaction = mem::zeroed();
        if libc::sigaction(signal, ptr::null(), &mut before) == -1 {
            return Err(io::Error::last_os_error());
        }
        if before.sa_sigaction == libc::SIG_IGN {
            return Ok(());
        }
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = on_signal as extern "C" fn(libc::c_int) as usize;
        action.sa_flags = libc::SA_RESTART;
        libc::sigemptyset(&mut action.sa_mask);
        if libc::sigaction(signal, &action, ptr::null_mut()) == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trigger_is_counted_and_wakes_a_waiter_once() {
        let interrupt = Interrupt::new().unwrap();
        assert_eq!(interrupt.asked(), 0);
        interrupt.clone().trigger();
        assert_eq!(interrupt.asked(), 1);
        interrupt.rest();
        let error = (&interrupt.0.woken).read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
