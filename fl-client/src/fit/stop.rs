//! SIGTERM: a batch system's word that a job is about to be ended.
//!
//! In: the signal. Out: [`is_asked`]. A second signal ends the process at once. Start at [`listen`].

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
};

static ASKED: AtomicBool = AtomicBool::new(false);

extern "C" fn note(_: libc::c_int) {
    ASKED.store(true, Ordering::Relaxed);
}

/// From now on SIGTERM is noted instead of ending the process, once.
///
/// # Errors
/// The system's.
pub fn listen() -> io::Result<()> {
    // SAFETY: `sigaction` is a plain C structure for which zeros are a value; every field that is read is set below.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = note as extern "C" fn(libc::c_int) as libc::sighandler_t;
    action.sa_flags = libc::SA_RESTART | libc::SA_RESETHAND;
    // SAFETY: both pointers are of live structures, and the handler only stores to an atomic, which is allowed in one.
    let done = unsafe {
        libc::sigemptyset(&raw mut action.sa_mask);
        libc::sigaction(libc::SIGTERM, &raw const action, std::ptr::null_mut())
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Whether SIGTERM came since [`listen`].
pub fn is_asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}
