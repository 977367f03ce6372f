//! How many images may be unusable.
//!
//! In: images that cannot be used, one after the other. Out: what the manifest says of them, or the end of the job.
//! Start at [`Tolerance::new`].

use contract::{dataset::Skipped, exit::JobExit, job::JobError};

/// Reasons an error shows.
const SHOWN: usize = 3;

/// Counts images that cannot be used.
#[derive(Debug)]
pub struct Tolerance {
    share: f64,
    images: usize,
    skipped: Vec<Skipped>,
}

impl Tolerance {
    /// For so many images, of which a share from 0 to below 1 may be unusable.
    pub fn new(share: f64, images: usize) -> Self {
        Self {
            share,
            images,
            skipped: Vec::new(),
        }
    }

    /// Whether none may be unusable: the first that is ends the job in its own words.
    pub fn is_none(&self) -> bool {
        self.share == 0.0
    }

    /// Adds images that cannot be used.
    ///
    /// # Errors
    /// `InputInvalid` if there are more of them than tolerated, with the first and their reasons.
    pub fn skip(&mut self, more: impl IntoIterator<Item = Skipped>) -> Result<(), JobError> {
        self.skipped.extend(more);
        let (count, images, share) = (self.skipped.len(), self.images, self.share);
        if count == 0 || count as f64 / images as f64 <= share {
            return Ok(());
        }
        let shown = self.skipped.iter().take(SHOWN);
        let shown: Vec<String> = shown
            .map(|Skipped { image, reason }| format!("`{image}`: {reason}"))
            .collect();
        let more = if count > SHOWN { "; …" } else { "" };
        Err(JobError::new(
            JobExit::InputInvalid,
            format!(
                "at least {count} of {images} images cannot be used, more than the tolerated share of {share}: {}{more}",
                shown.join("; ")
            ),
        )
        .help(
            "mend these images or take them out, or tolerate a larger share of unusable images in the specification; \
             what is decoded is kept for the next attempt",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skip(tolerance: &mut Tolerance, count: usize) -> Result<(), JobError> {
        tolerance.skip((0..count).map(|number| Skipped {
            image: format!("i{number}"),
            reason: format!("because {number}"),
        }))
    }

    #[test]
    fn exactly_the_tolerated_share_is_skipped_and_one_more_ends_the_job() {
        let mut tolerance = Tolerance::new(0.1, 50);
        skip(&mut tolerance, 4).unwrap();
        skip(&mut tolerance, 1).unwrap();
        let error = skip(&mut tolerance, 1).unwrap_err();
        assert_eq!(error.exit, JobExit::InputInvalid);
        for part in [
            "at least 6 of 50",
            "share of 0.1",
            "`i0`: because 0",
            "because 2; …",
        ] {
            assert!(error.message.contains(part), "`{error}` lacks `{part}`");
        }
        assert!(!error.message.contains("because 3"), "{error}");
        assert!(error.help.is_some());
    }

    #[test]
    fn without_tolerance_one_is_too_many_and_none_is_none() {
        let mut tolerance = Tolerance::new(0.0, 5);
        assert!(tolerance.is_none());
        skip(&mut tolerance, 0).unwrap();
        skip(&mut tolerance, 1).unwrap_err();
        skip(&mut Tolerance::new(0.0, 0), 0).unwrap();
    }
}
