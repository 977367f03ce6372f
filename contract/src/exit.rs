//! How a job ends: one table for jobs, emitters, engine and diagnosis.

use serde::{Deserialize, Serialize};

/// Whether running the same job again can end differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// The same inputs give the same failure.
    Useless,
    /// Another attempt, perhaps elsewhere, can succeed.
    CanHelp,
}

macro_rules! exits {
    ($( $(#[doc = $doc:literal])+ $name:ident = $code:literal, $text:literal, $retry:ident; )*) => {
        /// How a job ends.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum JobExit {
            $( $(#[doc = $doc])+ $name, )*
        }

        impl JobExit {
            /// Every way a job ends.
            pub const ALL: &'static [JobExit] = &[$( JobExit::$name, )*];

            /// The process exit code.
            pub const fn code(self) -> u8 {
                match self { $( JobExit::$name => $code, )* }
            }

            /// The kind in the failure file.
            pub const fn as_str(self) -> &'static str {
                match self { $( JobExit::$name => $text, )* }
            }

            /// Whether another attempt can end differently.
            pub const fn retry(self) -> Retry {
                match self { $( JobExit::$name => Retry::$retry, )* }
            }
        }
    };
}

exits! {
    /// All outputs are written.
    Done = 0, "done", Useless;
    /// A defect of the job itself.
    Unexpected = 1, "unexpected", Useless;
    /// The command line is not the job's arguments.
    Usage = 2, "usage", Useless;
    /// A declared input is not there.
    InputMissing = 10, "input_missing", Useless;
    /// An input is there and is not what it should be.
    InputInvalid = 11, "input_invalid", Useless;
    /// The data cannot satisfy what was asked (too few samples, patients or classes).
    DataUnfit = 12, "data_unfit", Useless;
    /// Loss or weights became NaN or infinite.
    NotFinite = 13, "not_finite", Useless;
    /// The asked device is not there.
    DeviceMissing = 14, "device_missing", CanHelp;
    /// Memory ran out.
    OutOfMemory = 20, "out_of_memory", CanHelp;
    /// Reading or writing failed below us (disk full, network file system gone).
    Io = 21, "io", CanHelp;
    /// The job was told to stop before it was done.
    Interrupted = 22, "interrupted", CanHelp;
}

impl JobExit {
    /// The exit a process code stands for, if it is one of ours.
    pub fn from_code(code: i32) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|exit| i32::from(exit.code()) == code)
    }
}

/// Whether another attempt can help after a process ended with `code`.
///
/// Codes that are not ours (a signal, a missing loader, another program) are worth another attempt.
pub fn retry_for_code(code: i32) -> Retry {
    JobExit::from_code(code).map_or(Retry::CanHelp, JobExit::retry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_read_back() {
        for exit in JobExit::ALL {
            assert_eq!(JobExit::from_code(i32::from(exit.code())), Some(*exit));
        }
    }

    #[test]
    fn a_foreign_code_is_worth_a_retry() {
        assert_eq!(retry_for_code(137), Retry::CanHelp);
        assert_eq!(retry_for_code(11), Retry::Useless);
    }
}
