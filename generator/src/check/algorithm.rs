//! Aggregation rules and encodings of updates, as the jobs know them.

use contract::{
    aggregation::{CentralPrivacy, Encoding, Strategy},
    recipe::{LocalPrivacy, Method},
};

use super::checked::Compression;
use crate::{
    diag::{Code, Diagnostic, Span},
    spec::{At, Found, types},
};

/// Where a rule's word stands.
pub fn place(algorithm: &At<types::Algorithm>) -> Span {
    use types::Algorithm as A;
    match &algorithm.value {
        A::Fedavg | A::Fednova | A::Fedbn | A::Fedper | A::Median => algorithm.span,
        A::Scaffold(settings) => settings.span,
        A::Ditto(settings) => settings.span,
        A::Fedavgm(settings) => settings.span,
        A::Fedadam(settings) => settings.span,
        A::Fedyogi(settings) => settings.span,
        A::Fedadagrad(settings) => settings.span,
        A::Fedprox(settings) => settings.span,
        A::TrimmedMean(settings) => settings.span,
        A::Krum(settings) | A::Bulyan(settings) => settings.span,
        A::MultiKrum(settings) => settings.span,
        A::GeometricMedian(settings) => settings.span,
        A::NormBound(settings) => settings.span,
        A::Qfedavg(settings) => settings.span,
    }
}

/// A rule's word.
pub fn word(algorithm: &types::Algorithm) -> &'static str {
    use types::Algorithm as A;
    match algorithm {
        A::Fedavg => "fedavg",
        A::Fedavgm(_) => "fedavgm",
        A::Fedadam(_) => "fedadam",
        A::Fedyogi(_) => "fedyogi",
        A::Fedadagrad(_) => "fedadagrad",
        A::Fedprox(_) => "fedprox",
        A::Scaffold(_) => "scaffold",
        A::Fednova => "fednova",
        A::Fedbn => "fedbn",
        A::Fedper => "fedper",
        A::Ditto(_) => "ditto",
        A::Median => "median",
        A::TrimmedMean(_) => "trimmed_mean",
        A::Krum(_) => "krum",
        A::MultiKrum(_) => "multi_krum",
        A::Bulyan(_) => "bulyan",
        A::GeometricMedian(_) => "geometric_median",
        A::NormBound(_) => "norm_bound",
        A::Qfedavg(_) => "qfedavg",
    }
}

/// The server's part of an algorithm and the clients'.
///
/// SCAFFOLD's number of clients is each dataset's: `Federation::strategy_for` puts it in.
pub fn parts(algorithm: types::Algorithm) -> Option<(Strategy, Method)> {
    use types::Algorithm as A;
    match algorithm {
        A::Fedprox(At { value, span: _ }) => {
            let types::Proximal { mu } = value;
            let mu = mu?.value.get();
            Some((Strategy::Fedprox, Method::Fedprox { mu }))
        }
        A::Scaffold(At { value, span: _ }) => {
            let types::ServerStep { server_learning_rate } = value;
            let rule = Strategy::Scaffold {
                learning_rate: server_learning_rate?.value.get(),
                clients: 1,
            };
            Some((rule, Method::Scaffold))
        }
        A::Qfedavg(At { value, span: _ }) => {
            let types::Fairness { q, learning_rate } = value;
            let rule = Strategy::Qfedavg {
                q: q?.value.get(),
                learning_rate: learning_rate?.value.get(),
            };
            Some((rule, Method::Qfedavg))
        }
        A::Fedbn => Some((Strategy::Fedbn, Method::Fedbn)),
        A::Fedper => Some((Strategy::Fedavg, Method::Fedper)),
        A::Ditto(At { value, span: _ }) => {
            let types::Nearness { lambda } = value;
            let lambda = lambda?.value.get();
            Some((Strategy::Fedavg, Method::Ditto { lambda }))
        }
        servers_alone => strategy(servers_alone).map(|rule| (rule, Method::Plain)),
    }
}

/// The rule of an algorithm that is the server's alone.
fn strategy(algorithm: types::Algorithm) -> Option<Strategy> {
    use types::Algorithm as A;
    match algorithm {
        A::Fedavg => Some(Strategy::Fedavg),
        A::Fednova => Some(Strategy::Fednova),
        A::Median => Some(Strategy::Median),
        // `parts` knows these.
        A::Fedprox(_) | A::Scaffold(_) | A::Qfedavg(_) | A::Fedbn | A::Fedper | A::Ditto(_) => None,
        A::Fedavgm(At { value, span: _ }) => {
            let types::ServerMomentum {
                server_learning_rate,
                server_momentum,
            } = value;
            Some(Strategy::Fedavgm {
                learning_rate: server_learning_rate?.value.get(),
                momentum: server_momentum?.value.get(),
            })
        }
        A::Fedadam(At { value, span: _ }) => {
            let types::ServerMoments {
                server_learning_rate,
                beta1,
                beta2,
                tau,
            } = value;
            Some(Strategy::Fedadam {
                learning_rate: server_learning_rate?.value.get(),
                beta1: beta1?.value.get(),
                beta2: beta2?.value.get(),
                tau: tau?.value.get(),
            })
        }
        A::Fedyogi(At { value, span: _ }) => {
            let types::YogiMoments {
                server_learning_rate,
                beta1,
                beta2,
                tau,
            } = value;
            Some(Strategy::Fedyogi {
                learning_rate: server_learning_rate?.value.get(),
                beta1: beta1?.value.get(),
                beta2: beta2?.value.get(),
                tau: tau?.value.get(),
            })
        }
        A::Fedadagrad(At { value, span: _ }) => {
            let types::ServerRate {
                server_learning_rate,
                tau,
            } = value;
            Some(Strategy::Fedadagrad {
                learning_rate: server_learning_rate?.value.get(),
                tau: tau?.value.get(),
            })
        }
        A::TrimmedMean(At { value, span: _ }) => {
            let types::TrimmedShare { beta } = value;
            Some(Strategy::TrimmedMean {
                beta: beta?.value.get(),
            })
        }
        A::Krum(At { value, span: _ }) => {
            let types::Byzantine { byzantine } = value;
            Some(Strategy::Krum {
                byzantine: byzantine?.value.get(),
            })
        }
        A::MultiKrum(At { value, span: _ }) => {
            let types::KeptByzantine { byzantine, keep } = value;
            Some(Strategy::MultiKrum {
                byzantine: byzantine?.value.get(),
                keep: keep?.value.get(),
            })
        }
        A::Bulyan(At { value, span: _ }) => {
            let types::Byzantine { byzantine } = value;
            Some(Strategy::Bulyan {
                byzantine: byzantine?.value.get(),
            })
        }
        A::GeometricMedian(At { value, span: _ }) => {
            let types::Weiszfeld {
                iterations,
                smoothing,
            } = value;
            Some(Strategy::GeometricMedian {
                iterations: iterations?.value.get(),
                smoothing: smoothing?.value.get(),
            })
        }
        A::NormBound(At { value, span: _ }) => {
            let types::Bound { norm } = value;
            Some(Strategy::NormBound {
                norm: norm?.value.get(),
            })
        }
    }
}

/// How updates are written.
pub fn compression(compression: types::Compression) -> Option<Compression> {
    let plain = |encoding| Compression {
        encoding,
        error_feedback: false,
    };
    match compression {
        types::Compression::Delta => Some(plain(Encoding::Delta)),
        types::Compression::Fp16 => Some(plain(Encoding::Fp16)),
        types::Compression::Bf16 => Some(plain(Encoding::Bf16)),
        types::Compression::Int8(At { value, span: _ }) => {
            let types::Quantised { error_feedback } = value;
            Some(Compression {
                encoding: Encoding::Int8,
                error_feedback: error_feedback?.value,
            })
        }
        types::Compression::TopK(At { value, span: _ }) => {
            let types::Largest {
                share,
                error_feedback,
            } = value;
            Some(Compression {
                encoding: Encoding::TopK {
                    share: share?.value.0.get(),
                },
                error_feedback: error_feedback?.value,
            })
        }
    }
}

/// The samples' privacy.
pub fn samples(noise: types::SampleNoise) -> Option<LocalPrivacy> {
    let types::SampleNoise {
        norm,
        noise_multiplier,
        delta,
    } = noise;
    Some(LocalPrivacy {
        norm: norm?.value.get(),
        noise_multiplier: noise_multiplier?.value.get(),
        delta: delta?.value.get(),
    })
}

/// Central privacy, when its noise is enough.
pub fn central(central: types::Central, found: &mut Found) -> Option<CentralPrivacy> {
    match central {
        types::Central::Fixed(At { value, span: _ }) => {
            let types::FixedNorm {
                norm,
                noise_multiplier,
                delta,
            } = value;
            Some(CentralPrivacy::Fixed {
                norm: norm?.value.get(),
                noise_multiplier: noise_multiplier?.value.get(),
                delta: delta?.value.get(),
            })
        }
        types::Central::Adaptive(At { value, span: _ }) => {
            let types::AdaptiveNorm {
                initial_norm,
                quantile,
                learning_rate,
                count_noise,
                noise_multiplier,
                delta,
            } = value;
            let count_noise = count_noise?;
            let noise_multiplier = noise_multiplier?.value.get();
            let half = noise_multiplier / 2.0;
            // Below it the count alone would spend more than all noise together promises (Andrew et al. 2021, Theorem 1).
            if noise_multiplier > 0.0 && count_noise.value.get() <= half {
                let words = format!(
                    "`count_noise` is {}, and half of `noise_multiplier` is {half}",
                    count_noise.value.get()
                );
                found.push(
                    Diagnostic::error(Code::CountNoise, count_noise.span, words)
                        .label(format!("must be more than {half}"))
                        .help("raise it: a twentieth of the clients selected per round is usual"),
                );
                return None;
            }
            Some(CentralPrivacy::Adaptive {
                initial_norm: initial_norm?.value.get(),
                quantile: quantile?.value.get(),
                learning_rate: learning_rate?.value.get(),
                count_noise: count_noise.value.get(),
                noise_multiplier,
                delta: delta?.value.get(),
            })
        }
    }
}
