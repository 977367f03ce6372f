//! Ends the jobs of an engine that was killed.
//!
//! A small process waits on a socket that only the engine writes to. Each job names its process group there before its program
//! starts, and the engine takes it back when the job ended; when the socket closes, whatever the reason, the guard kills
//! the groups still named and ends. `PR_SET_PDEATHSIG` would reach the jobs' first processes only, not what those
//! started. Out of reach stay processes that left their group (`setsid`).

use std::{
    io,
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
    ptr,
};

/// The guard of one engine; dropped when the engine ends.
#[derive(Debug)]
pub(super) struct Guard {
    /// Open until dropped, or until the kernel closes it for a killed process.
    tell: Option<UnixStream>,
    pid: libc::pid_t,
}

/// The most process groups watched at once.
pub(super) const MOST_GROUPS: usize = 1024;

/// Takes back all groups.
const NONE: libc::pid_t = libc::pid_t::MIN;

/// Where a process that is about to become a job names its group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Door(RawFd);

impl Door {
    /// Names the calling process's group, which it leads; only a system call, as the time between fork and exec allows.
    pub(super) fn name_this_process(self) {
        // SAFETY: a system call without arguments.
        self.send(unsafe { libc::getpid() });
    }

    fn send(self, number: libc::pid_t) {
        let bytes = number.to_ne_bytes();
        // A guard that is gone (killed by hand) guards nothing; the run itself is not in danger.
        // SAFETY: the pointer and the length describe an array that lives through the call.
        unsafe { libc::send(self.0, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
    }
}

impl Guard {
    /// Starts the guard.
    ///
    /// # Errors
    /// There are no processes or file descriptors left.
    pub(super) fn start() -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        // SAFETY: between fork and _exit the child calls only functions that signal-safety(7) lists, on its own stack:
        // other threads of this process may hold locks that nobody releases in the child.
        let pid = unsafe { libc::fork() };
        match pid {
            -1 => Err(io::Error::last_os_error()),
            0 => watch(read.as_raw_fd()),
            _ => Ok(Self {
                tell: Some(write),
                pid,
            }),
        }
    }

    /// Where jobs name their groups while the guard lives.
    pub(super) fn door(&self) -> Door {
        Door(self.tell.as_ref().map_or(-1, AsRawFd::as_raw_fd))
    }

    /// Takes a group back; called while its first process is not reaped yet, so that the number is still its own.
    pub(super) fn remove(&self, group: libc::pid_t) {
        self.door().send(-group);
    }

    /// Takes back all groups but these: after a program that could not be executed, whose number is not known here.
    pub(super) fn keep_only(&self, groups: impl Iterator<Item = libc::pid_t>) {
        self.door().send(NONE);
        groups.for_each(|group| self.door().send(group));
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.tell = None;
        // SAFETY: waits for our own child; no status is asked for.
        unsafe { libc::waitpid(self.pid, ptr::null_mut(), 0) };
    }
}

/// The guard's whole life.
fn watch(socket: libc::c_int) -> ! {
    // SAFETY: system calls on numbers and on an array of this frame; the descriptors closed are this process's copies.
    unsafe {
        libc::setsid();
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGPIPE] {
            libc::signal(signal, libc::SIG_IGN);
        }
        // Keep nothing of the engine's open: neither the lock on the record nor the writing end of the socket.
        libc::dup2(socket, 0);
        if libc::syscall(
            libc::SYS_close_range,
            1 as libc::c_uint,
            libc::c_uint::MAX,
            0 as libc::c_uint,
        ) == -1
        {
            for fd in 1..65_536 {
                libc::close(fd);
            }
        }
        libc::prctl(libc::PR_SET_NAME, c"fedwing-guard".as_ptr());
        let mut groups = [0 as libc::pid_t; MOST_GROUPS];
        loop {
            let mut number: libc::pid_t = 0;
            let size = size_of::<libc::pid_t>();
            let got = libc::read(0, (&raw mut number).cast(), size);
            if got == -1 && *libc::__errno_location() == libc::EINTR {
                continue;
            }
            if got != size as isize {
                break;
            }
            if number == NONE {
                groups = [0; MOST_GROUPS];
                continue;
            }
            let (from, to) = if number > 0 { (0, number) } else { (-number, 0) };
            let mut place = 0;
            while place < MOST_GROUPS {
                if groups[place] == from {
                    groups[place] = to;
                    break;
                }
                place += 1;
            }
        }
        let mut place = 0;
        while place < MOST_GROUPS {
            if groups[place] > 0 {
                libc::kill(-groups[place], libc::SIGKILL);
            }
            place += 1;
        }
        libc::_exit(0)
    }
}
