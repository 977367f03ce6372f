//! The same verbs for a run on this machine, one of DAGMan's and one of Pegasus': `submit`, `status`, `watch`, `cancel`,
//! `resume`.
//!
//! A run is named by its folder: the one given to `fedwing run --dir`, or the one a workflow was generated into. Start at
//! [`find::Found`], then [`observe::Observer`], which every verb asks.

mod before_again;
mod cancel;
mod error;
mod find;
mod live;
mod observe;
mod rounds;
mod status;
mod submit;
pub(super) mod tools;
mod watch;

pub use cancel::CancelResult;
pub use error::OperateError;
pub use status::{Counts, FailedJob, HeldJob, KindStatus, RoundStatus, RunState, Status, SystemName};
pub use submit::SubmitResult;

pub(super) use cancel::{cancel, stop_engine, wait_until_over};
pub(super) use find::{Found, PoolDir};
pub(super) use live::holder;
pub(super) use observe::Observer;
pub(super) use submit::{prepare_again, resume as resume_run, submit as submit_run};
pub(super) use watch::RunWatch;
