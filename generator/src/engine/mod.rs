//! Runs a graph of jobs on this machine, and continues a run that was stopped.
//!
//! In: a [`Dag`](crate::plan::Dag), a [`RunDir`](crate::record::RunDir), [`Options`]. Out: files in the run's folder, the record, a
//! [`RunOutcome`](crate::record::RunOutcome). Start at [`run`] and [`resume`].
//!
//! Always true, whatever happens in between:
//! - a job sees its declared inputs only, and each is what its writer left (`files`);
//! - an output is in the run's files and in the record before anything that reads it starts;
//! - what the record says happened; what is acted on is in the record ([`crate::record::Journal`]);
//! - a killed engine leaves no jobs behind (`guard`), and [`resume`] continues to the same result (`resume.rs`).

#[cfg(not(target_os = "linux"))]
compile_error!("the engine waits for jobs by process file descriptors, which only Linux has");

mod begin;
mod digest;
mod error;
mod files;
mod finish;
mod graph;
mod guard;
mod interrupt;
mod launch;
mod observer;
mod options;
mod process;
mod progress;
mod resume;
mod schedule;
mod turn;

pub use begin::{resume, run};
pub use error::EngineError;
pub use interrupt::Interrupt;
pub use observer::{JobEnd, JobView, Message, Next, Observer, Totals, Weight};
pub use options::{Machine, Options, Origin, Patience};
pub use progress::{KindProgress, Progress, Snapshot};
