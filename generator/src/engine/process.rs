//! One process group: started, signalled, waited for.
//!
//! `std::process` starts it, by `fork` since the job names itself to the guard before its program starts: measured with 25 MB
//! in memory, 0.1 ms a job more than `posix_spawn`. What `std` leaves out is done here: the resources a child used (`wait4`), signals to its whole group, waiting for several at once (`pidfd_open`, `poll`).

use std::{
    io, mem,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::process::{CommandExt, ExitStatusExt},
    },
    process::{Command, ExitStatus},
    time::Duration,
};

use contract::units::Bytes;

use super::guard::Door;

/// A running child that leads a process group of its own; killed with the whole group when dropped.
#[derive(Debug)]
pub(super) struct Child {
    pid: libc::pid_t,
    fd: OwnedFd,
    reaped: bool,
}

/// How a child ended and what it used, its own ended children included.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exit {
    pub(super) status: ExitStatus,
    pub(super) cpu: Duration,
    pub(super) peak_memory: Bytes,
}

impl Child {
    /// Starts `command` as the leader of a new process group that is named at `door` before the program runs.
    ///
    /// # Errors
    /// The program cannot be executed, or there are no processes or file descriptors left.
    pub(super) fn spawn(command: &mut Command, door: Door) -> io::Result<Self> {
        // SAFETY: between fork and exec it makes two system calls and touches no memory but its own stack.
        unsafe {
            command.pre_exec(move || {
                door.name_this_process();
                Ok(())
            });
        }
        let child = command.process_group(0).spawn()?;
        let pid = child.id() as libc::pid_t;
        // SAFETY: a system call on numbers; the process is our child and not reaped, so its number is its own.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        if fd == -1 {
            let error = io::Error::last_os_error();
            signal_group(pid, libc::SIGKILL);
            wait4(pid)?;
            return Err(error);
        }
        // SAFETY: the call just returned this descriptor; nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as RawFd) };
        Ok(Self {
            pid,
            fd,
            reaped: false,
        })
    }

    /// The number of its process group.
    pub(super) fn group(&self) -> libc::pid_t {
        self.pid
    }

    /// Readable once it ended.
    pub(super) fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Sends `signal` to every process of its group.
    pub(super) fn signal(&self, signal: libc::c_int) {
        signal_group(self.pid, signal);
    }

    /// Waits for its end, and for what it used.
    ///
    /// # Errors
    /// Somebody else waited for it.
    pub(super) fn reap(mut self) -> io::Result<Exit> {
        self.reaped = true;
        wait4(self.pid)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            self.signal(libc::SIGKILL);
            // Only reached when the run breaks off; that error is the one reported.
            let _ = wait4(self.pid);
        }
    }
}

fn signal_group(group: libc::pid_t, signal: libc::c_int) {
    // SAFETY: a system call on numbers. A group that is gone (ESRCH) is what is wanted.
    unsafe { libc::kill(-group, signal) };
}

fn wait4(pid: libc::pid_t) -> io::Result<Exit> {
    let mut status = 0;
    // SAFETY: zero is a valid rusage, which is plain data.
    let mut usage: libc::rusage = unsafe { mem::zeroed() };
    loop {
        // SAFETY: both pointers are to locals that live through the call.
        if unsafe { libc::wait4(pid, &mut status, 0, &mut usage) } != -1 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    let time = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_micros(time.tv_usec.unsigned_abs())
    };
    Ok(Exit {
        status: ExitStatus::from_raw(status),
        cpu: time(usage.ru_utime) + time(usage.ru_stime),
        // getrusage(2): in kibibytes on Linux.
        peak_memory: Bytes(usage.ru_maxrss.unsigned_abs() << 10),
    })
}

/// Waits until one of `fds` is readable or `timeout` is over, and says which are readable.
///
/// # Errors
/// The kernel refuses the list.
pub(super) fn poll(fds: &[RawFd], timeout: Option<Duration>, ready: &mut Vec<bool>) -> io::Result<()> {
    let mut list: Vec<libc::pollfd> = fds
        .iter()
        .map(|&fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    // Rounded up: woken a little early, the wait would be repeated with nothing to do.
    let timeout = timeout.map_or(-1, |time| {
        i32::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
    });
    ready.clear();
    // SAFETY: the pointer and the length describe a vector that lives through the call.
    if unsafe { libc::poll(list.as_mut_ptr(), list.len() as libc::nfds_t, timeout) } == -1 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
        ready.resize(fds.len(), false);
        return Ok(());
    }
    ready.extend(list.iter().map(|entry| entry.revents != 0));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::guard::Guard;

    #[test]
    fn a_child_tells_how_it_ended_and_what_it_used() {
        let guard = Guard::start().unwrap();
        let child = Child::spawn(Command::new("/bin/sh").args(["-c", "exit 7"]), guard.door()).unwrap();
        let mut ready = Vec::new();
        poll(&[child.fd()], None, &mut ready).unwrap();
        assert_eq!(ready, [true]);
        let exit = child.reap().unwrap();
        assert_eq!(exit.status.code(), Some(7));
        assert!(exit.peak_memory > Bytes(0));
    }

    #[test]
    fn a_signal_reaches_the_childs_children() {
        // The inner process holds the pipe open: reading to its end proves that it is gone as well.
        let (mut read, write) = io::pipe().unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "sleep 1000 & echo up; wait"]).stdout(write);
        let guard = Guard::start().unwrap();
        let child = Child::spawn(&mut command, guard.door()).unwrap();
        drop(command);
        let mut up = [0; 3];
        io::Read::read_exact(&mut read, &mut up).unwrap();
        child.signal(libc::SIGKILL);
        assert_eq!(child.reap().unwrap().status.signal(), Some(libc::SIGKILL));
        assert_eq!(io::Read::read(&mut read, &mut up).unwrap(), 0);
    }

    #[test]
    fn a_guard_that_goes_away_ends_what_is_named_and_spares_what_was_taken_back() {
        let start = |guard: &Guard| {
            let (mut read, write) = io::pipe().unwrap();
            let mut command = Command::new("/bin/sh");
            command.args(["-c", "echo up; sleep 1000"]).stdout(write);
            let child = Child::spawn(&mut command, guard.door()).unwrap();
            drop(command);
            io::Read::read_exact(&mut read, &mut [0; 3]).unwrap();
            child
        };
        let guard = Guard::start().unwrap();
        let (named, removed, kept) = (start(&guard), start(&guard), start(&guard));
        guard.remove(removed.group());
        guard.keep_only([named.group()].into_iter());
        drop(guard);
        assert_eq!(named.reap().unwrap().status.signal(), Some(libc::SIGKILL));
        for spared in [removed, kept] {
            spared.signal(libc::SIGTERM);
            assert_eq!(spared.reap().unwrap().status.signal(), Some(libc::SIGTERM));
        }
    }
}
