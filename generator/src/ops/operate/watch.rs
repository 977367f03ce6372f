//! How far a run is, again and again.

use std::path::Path;

use super::{find::Found, observe::Observer, rounds::Scores, status::Status};
use crate::{ops::OpError, record::Stamp};

/// A run that is watched.
#[derive(Debug)]
pub struct RunWatch {
    observer: Observer,
    scores: Scores,
}

impl RunWatch {
    /// Begins to watch the run at `path`.
    ///
    /// # Errors
    /// [`OpError::HoldsNoRun`]; [`OpError::Operate`] where a file of the run cannot be read.
    pub fn new(path: &Path) -> Result<Self, OpError> {
        Ok(Self {
            observer: Observer::new(Found::at(path)?)?,
            scores: Scores::default(),
        })
    }

    /// How far the run is now; reads only what is new.
    ///
    /// # Errors
    /// [`OpError::Operate`] where a file of the run cannot be read.
    pub fn look(&mut self) -> Result<Status, OpError> {
        let observed = self.observer.look()?;
        self.scores.refresh(&observed, &self.observer.run_dir());
        let dir = self.observer.root().to_owned();
        Ok(Status::of(&observed, dir, &self.scores, Stamp::now()))
    }
}
