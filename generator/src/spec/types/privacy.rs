//! What must not happen to the data.

use crate::spec::{
    leaf::{NonNegative, Part, Positive},
    written::{choice, mapping},
};

mapping! {
    /// What must not happen to the data.
    pub struct Privacy {
        /// Images never leave their client's site; only models and counts move.
        data_stays_at_site: default bool = false,
        /// What the global models may tell of any one client's part; unbounded when absent.
        central: optional Central,
        /// What a client's updates may tell of any one of its samples (DP-SGD); unbounded when absent.
        local: optional SampleNoise,
        /// Whether updates are masked so that only their sum can be read; keys are drawn anew in every run.
        secure_aggregation: default bool = false,
    }
}

mapping! {
    /// Differential privacy of samples, given by the clients (Abadi et al. 2016, arXiv:1607.00133).
    pub struct SampleNoise {
        /// Largest L2 norm of a sample's gradient; longer ones are scaled down to it.
        norm: required Positive,
        /// Standard deviation of a step's noise over the norm.
        noise_multiplier: required Positive,
        /// Probability with which the promise may fail.
        delta: required Part,
    }
}

choice! {
    /// Differential privacy of a client's part, given by the aggregator (McMahan et al. 2018, arXiv:1710.06963).
    pub enum Central {
        /// Updates are scaled down to a norm that stays.
        Fixed(FixedNorm) = "fixed",
        /// Updates are scaled down to a norm that follows a quantile of theirs (Andrew et al. 2021, arXiv:1905.03871).
        Adaptive(AdaptiveNorm) = "adaptive",
    }
}

mapping! {
    /// Updates are scaled down to a norm that stays.
    pub struct FixedNorm {
        /// Largest L2 norm of an update's difference from the global model.
        norm: required Positive,
        /// Standard deviation of the noise over the norm; 0 adds none and promises nothing.
        noise_multiplier: required NonNegative,
        /// Probability with which the promise may fail.
        delta: required Part,
    }
}

mapping! {
    /// Updates are scaled down to a norm that follows a quantile of theirs.
    pub struct AdaptiveNorm {
        /// The norm of the first round.
        initial_norm: required Positive,
        /// The quantile.
        quantile: default Part = 0.5,
        /// Step size of the norm's logarithm.
        learning_rate: default Positive = 0.2,
        /// Standard deviation of the noise on the number of updates below the norm; more than half of
        /// `noise_multiplier`.
        count_noise: required NonNegative,
        /// Standard deviation of all noise together over the norm; 0 adds none and promises nothing.
        noise_multiplier: required NonNegative,
        /// Probability with which the promise may fail.
        delta: required Part,
    }
}
