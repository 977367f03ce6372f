//! Pure numerics of federated learning on chest X-rays: no files, no clock, no environment, no global state.
//!
//! Every function gives the same bits for the same arguments, whatever the number of threads. What is drawn at random
//! is drawn from a seed passed in, through [`random::Random`].
//!
//! | module | from | to |
//! |---|---|---|
//! | [`metrics`] | log-probabilities and truth | accuracy, F1, AUROC, loss |
//! | [`partition`] | patients, classes, institutions | test split, clients, divergences |

pub mod metrics;
pub mod partition;
pub mod random;
