//! Pure numerics of federated learning on chest X-rays: no files, no clock, no environment, no global state.
//!
//! Every function gives the same bits for the same arguments, whatever the number of threads. What is drawn at random
//! is drawn from a seed passed in, through [`random::Random`].
//!
//! | module | from | to |
//! |---|---|---|
//! | [`aggregate`] | the same tensor of several updates | one tensor |
//! | [`codec`] | changes of a tensor | fewer bytes, and back in blocks |
//! | [`cxr`] | bytes of DICOM files and pictures | grey squares of one size, and what files say of them |
//! | [`metrics`] | log-probabilities and truth | accuracy, F1, AUROC, loss |
//! | [`partition`] | patients, classes, institutions | test split, clients, divergences |
//! | [`phantom`] | a seed and a finding | a drawn radiograph |
//! | [`privacy`] | norms, noise multipliers, rounds | a norm to clip to, Gaussian noise, an (ε, δ) promise |
//! | [`secure`] | updates, keys of clients | masked updates of which only the sum can be read |
//! | [`simd`] | a computation over lanes | the same, with the widest vector instructions there are |

pub mod aggregate;
pub mod codec;
pub mod cxr;
pub mod metrics;
pub mod partition;
pub mod phantom;
pub mod privacy;
pub mod random;
pub mod secure;
pub mod simd;
