//! Rényi divergences of the Gaussian mechanism, plain and with Poisson sampling, and ε from them.
//!
//! In: noise multiplier, sampling share, steps, orders. Out: one [`Divergence`] per order; [`convert`] makes a promise of
//! them. `libm` computes, so that figures do not depend on the platform.

use super::{PrivacyError, Spent};

/// A bound on the Rényi divergence of one order between neighbouring runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Divergence {
    /// The order α, more than 1.
    pub order: f64,
    /// The bound, in nats; infinite where there is none.
    pub bound: f64,
}

/// The orders promises are looked for at: 1.1 to 10.9 by tenths, 11 to 63 by ones, then 128, 256, 512, 1024; those of
/// Google's `dp-accounting`, so that figures can be compared.
pub const ORDERS: [f64; 156] = orders();

/// The largest order: the sum of a whole order has as many terms.
const MOST_TERMS: f64 = 100_000.0;

const fn orders() -> [f64; 156] {
    let mut orders = [0.0; 156];
    let mut at = 0;
    while at < 156 {
        orders[at] = match at {
            0..99 => 1.0 + (at + 1) as f64 / 10.0,
            99..152 => (at - 99 + 11) as f64,
            _ => (128 << (at - 152)) as f64,
        };
        at += 1;
    }
    orders
}

/// Divergences of `rounds` Gaussian mechanisms of noise multiplier z: `rounds·α / (2z²)` at order α.
///
/// # Errors
/// `NoNoise` unless `noise_multiplier` is positive and finite; `Order`
/// # Source
/// Mironov 2017, arXiv:1702.07476, Corollary 3 (divergence) and Proposition 1 (composition)
pub fn rdp_gaussian(
    noise_multiplier: f64,
    rounds: u64,
    orders: &[f64],
) -> Result<Vec<Divergence>, PrivacyError> {
    rdp_subsampled(1.0, noise_multiplier, rounds, orders)
}

/// Divergences of `steps` Gaussian mechanisms of noise multiplier `noise_multiplier`, each on a sample that holds every
/// record with probability `sampling_share`, independently (Poisson sampling).
///
/// `steps·ln A_α / (α - 1)` with `A_α = E[(1 + q·(exp((2Z - 1)/2z²) - 1))^α]`, Z normal of standard deviation z. Two runs
/// are neighbours if a record is present in one and absent in the other. This is for training that draws its batches so;
/// shuffled batches are no Poisson sample.
///
/// # Numerics
/// `ln(1 + x)` of `x = A_α - 1`, a sum (whole orders) or an integral (others) of positive terms added as logarithms:
/// no cancellation however small the share, no overflow however large the order. The integral is taken by the
/// trapezoidal rule, which converges exponentially for an integrand that is analytic and decays as this one; where z is
/// so small that it would need more than 65,536 points, the straight line between the whole orders next to it bounds it
/// from above (`ln A_α` is convex in α).
/// # Errors
/// `SamplingShare` unless `sampling_share` is from 0 to 1; `NoNoise` unless `noise_multiplier` is positive and finite;
/// `Order` unless each is more than 1 and at most 100,000
/// # Source
/// Mironov, Talwar and Zhang 2019, arXiv:1908.10530, section 3. Parity: `tests/parity/privacy/`
pub fn rdp_subsampled(
    sampling_share: f64,
    noise_multiplier: f64,
    steps: u64,
    orders: &[f64],
) -> Result<Vec<Divergence>, PrivacyError> {
    if !(0.0..=1.0).contains(&sampling_share) {
        return Err(PrivacyError::SamplingShare(sampling_share));
    }
    if !(noise_multiplier > 0.0 && noise_multiplier.is_finite()) {
        return Err(PrivacyError::NoNoise(noise_multiplier));
    }
    let one = |&order: &f64| {
        if !(order > 1.0 && order <= MOST_TERMS) {
            return Err(PrivacyError::Order(order));
        }
        let step = if sampling_share == 0.0 {
            0.0
        } else if sampling_share == 1.0 {
            // Division twice, since z² may underflow.
            order / 2.0 / noise_multiplier / noise_multiplier
        } else {
            log_moment(sampling_share, noise_multiplier, order) / (order - 1.0)
        };
        // 0 steps lose nothing, whatever one of them would.
        let bound = if steps == 0 { 0.0 } else { steps as f64 * step };
        Ok(Divergence { order, bound })
    };
    orders.iter().map(one).collect()
}

/// The smallest ε at `delta` that any of the divergences gives, and at which order.
///
/// `ε = R + ln(1 - 1/α) - ln(δ·α)/(α - 1)` for a divergence R of order α, 0 where less; and 0 where `δ² > 1 - e^(-R)`,
/// since the total variation distance is then at most δ. Orders up to 1.01 are used for the latter only.
///
/// # Errors
/// `Delta` unless `delta` is more than 0 and below 1; `NoOrders`; `Order`; `Divergence` if one is NaN or negative
/// # Source
/// Canonne, Kamath and Steinke 2020, arXiv:2004.00010, Proposition 12; the same in Balle et al. 2020; the bound on total
/// variation is that of Bretagnolle and Huber
pub fn convert(divergences: &[Divergence], delta: f64) -> Result<Spent, PrivacyError> {
    if !(delta > 0.0 && delta < 1.0) {
        return Err(PrivacyError::Delta(delta));
    }
    let mut least: Option<Spent> = None;
    for &Divergence { order, bound } in divergences {
        if order <= 1.0 || !order.is_finite() {
            return Err(PrivacyError::Order(order));
        }
        if bound.is_nan() || bound < 0.0 {
            return Err(PrivacyError::Divergence {
                order,
                divergence: bound,
            });
        }
        let epsilon = if delta * delta > -libm::expm1(-bound) {
            0.0
        } else if order > 1.01 {
            let given = libm::log1p(-1.0 / order) - (libm::log(delta) + libm::log(order)) / (order - 1.0);
            (bound + given).max(0.0)
        } else {
            f64::INFINITY
        };
        if least.is_none_or(|least| epsilon < least.epsilon) {
            least = Some(Spent {
                epsilon,
                delta,
                order,
            });
        }
    }
    least.ok_or(PrivacyError::NoOrders)
}

/// `ln A_α`; share strictly between 0 and 1.
fn log_moment(share: f64, noise: f64, order: f64) -> f64 {
    let whole = order.floor();
    if whole == order {
        return whole_moment(share, noise, order);
    }
    if let Some(moment) = any_moment(share, noise, order) {
        return moment;
    }
    let t = order - whole;
    // ln A_1 is 0, and the sum says so too.
    (1.0 - t) * whole_moment(share, noise, whole) + t * whole_moment(share, noise, whole + 1.0)
}

/// `ln A_α` for a whole order: `A_α - 1 = Σ_k C(α, k)·(1-q)^(α-k)·q^k·(exp((k² - k)/2z²) - 1)`.
///
/// The coefficients sum to 1, so taking 1 off each exponential takes 1 off the sum; terms 0 and 1 vanish.
fn whole_moment(share: f64, noise: f64, order: f64) -> f64 {
    let (log_share, log_rest) = (libm::log(share), libm::log1p(-share));
    let mut sum = LogSum::default();
    let mut log_choose = libm::log(order);
    let mut k = 2.0;
    while k <= order {
        log_choose += libm::log((order - k + 1.0) / k);
        let exponent = (k * (k - 1.0)) / 2.0 / noise / noise;
        sum.add(log_choose + (order - k) * log_rest + k * log_share + log_expm1(exponent));
        k += 1.0;
    }
    log1p_exp(sum.log())
}

/// `ln A_α` for any order, by the trapezoidal rule; `None` if that takes too many points.
///
/// `A_α - 1 = E[f(u)]` with `u = ln(1 + q·(e^x - 1))`, `x = (2Z - 1)/2z²` and `f(u) = e^(αu) - 1 - α·(e^u - 1) ≥ 0`: what
/// is taken off has expectation 1, since `E[e^x] = 1`. The integrand is analytic up to `πz²` from the real line, which
/// with steps of 0.4·min(z, z²) leaves an error near e^-40, and lies between -10z and α + 10z but for e^-50.
fn any_moment(share: f64, noise: f64, order: f64) -> Option<f64> {
    let step = 0.4 * noise.min(noise * noise);
    let points = (order + 20.0 * noise) / step;
    if points > 65_536.0 {
        return None;
    }
    let (log_share, log_rest) = (libm::log(share), libm::log1p(-share));
    let log_height = libm::log(step / noise) - 0.5 * libm::log(std::f64::consts::TAU);
    let mut sum = LogSum::default();
    for point in 0..=points.ceil() as u32 {
        let z = -10.0 * noise + f64::from(point) * step;
        let x = (z - 0.5) / noise / noise;
        let u = if x > 30.0 {
            log_share + x + log1p_exp(log_rest - log_share - x)
        } else {
            libm::log1p(share * libm::expm1(x))
        };
        let scaled = z / noise;
        sum.add(log_height - 0.5 * scaled * scaled + log_excess(order, u));
    }
    Some(log1p_exp(sum.log()))
}

/// `ln(e^(αu) - 1 - α·(e^u - 1))` for α > 1.
fn log_excess(order: f64, u: f64) -> f64 {
    let power = order * u;
    if power.abs() < 0.5 {
        // Σ_k (α^k - α)·u^k / k!, where the difference would cancel.
        let (mut sum, mut all, mut one) = (0.0, power, power);
        for k in 2..20 {
            all *= power / f64::from(k);
            one *= u / f64::from(k);
            sum += all - one;
        }
        libm::log(sum)
    } else if power < 1.0 {
        libm::log(libm::expm1(power) - order * libm::expm1(u))
    } else {
        power + libm::log1p(-libm::exp(-power) - order * (libm::exp(u - power) - libm::exp(-power)))
    }
}

/// `ln(e^x - 1)` for x ≥ 0.
fn log_expm1(x: f64) -> f64 {
    if x > 30.0 {
        x + libm::log1p(-libm::exp(-x))
    } else {
        libm::log(libm::expm1(x))
    }
}

/// `ln(1 + e^x)`.
fn log1p_exp(x: f64) -> f64 {
    if x > 0.0 {
        x + libm::log1p(libm::exp(-x))
    } else {
        libm::log1p(libm::exp(x))
    }
}

/// A sum of positive numbers of any size, given and kept as logarithms.
struct LogSum {
    largest: f64,
    /// The sum over the largest.
    scaled: f64,
}

impl Default for LogSum {
    fn default() -> Self {
        Self {
            largest: f64::NEG_INFINITY,
            scaled: 0.0,
        }
    }
}

impl LogSum {
    fn add(&mut self, log: f64) {
        if log == f64::NEG_INFINITY {
            return;
        }
        if log > self.largest {
            self.scaled = self.scaled * libm::exp(self.largest - log) + 1.0;
            self.largest = log;
        } else {
            self.scaled += libm::exp(log - self.largest);
        }
    }

    fn log(&self) -> f64 {
        self.largest + libm::log(self.scaled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_and_the_integral_agree_at_whole_orders() {
        for share in [1e-6, 0.004, 0.1, 0.5, 0.999] {
            for noise in [0.1, 0.3, 0.7, 1.0, 4.0, 50.0] {
                for order in [2.0, 3.0, 7.0, 20.0, 64.0] {
                    let (sum, integral) =
                        (whole_moment(share, noise, order), any_moment(share, noise, order));
                    let off = integral.unwrap() / sum - 1.0;
                    assert!(off.abs() < 1e-11, "{share} {noise} {order}: off by {off:e}");
                }
            }
        }
    }

    #[test]
    fn where_the_integral_is_too_long_the_line_bounds_it() {
        let (share, noise, order) = (0.1, 0.03, 3.5);
        let line = 0.5 * (whole_moment(share, noise, 3.0) + whole_moment(share, noise, 4.0));
        assert!(any_moment(share, noise, order).unwrap() <= line);
        assert_eq!(any_moment(share, 0.001, order), None);
        let orders: Vec<f64> = (11..60).map(|tenths| f64::from(tenths) / 10.0).collect();
        let bounds = rdp_subsampled(share, 0.001, 1, &orders).unwrap();
        for pair in bounds.windows(2) {
            let (less, more) = (pair[0].bound, pair[1].bound);
            assert!(more.is_finite() && less <= more * (1.0 + 1e-12), "{pair:?}");
        }
    }

    #[test]
    fn a_share_of_everything_is_no_sampling_and_a_share_of_nothing_costs_nothing() {
        let orders = [1.5, 2.0, 30.0];
        let plain = rdp_gaussian(1.5, 10, &orders).unwrap();
        let nearly = rdp_subsampled(1.0 - 1e-12, 1.5, 10, &orders).unwrap();
        for (plain, nearly) in plain.iter().zip(&nearly) {
            assert!(
                (nearly.bound / plain.bound - 1.0).abs() < 1e-10,
                "{plain:?} {nearly:?}"
            );
        }
        assert!(
            rdp_subsampled(0.0, 1.5, 10, &orders)
                .unwrap()
                .iter()
                .all(|of| of.bound == 0.0)
        );
        assert!(
            rdp_subsampled(0.5, 1.5, 0, &orders)
                .unwrap()
                .iter()
                .all(|of| of.bound == 0.0)
        );
    }

    #[test]
    fn a_divergence_grows_with_the_order_and_the_share() {
        let of = |share| rdp_subsampled(share, 0.8, 1, &ORDERS).unwrap();
        assert!(of(0.01).windows(2).all(|pair| pair[0].bound < pair[1].bound));
        assert!(
            of(0.01)
                .iter()
                .zip(of(0.02))
                .all(|(less, more)| less.bound < more.bound)
        );
        assert!(
            of(1e-300)
                .iter()
                .all(|of| of.bound >= 0.0 && of.bound.is_finite())
        );
    }

    #[test]
    fn impossible_input_is_named() {
        assert_eq!(
            rdp_subsampled(1.1, 1.0, 1, &[2.0]),
            Err(PrivacyError::SamplingShare(1.1))
        );
        assert!(rdp_subsampled(f64::NAN, 1.0, 1, &[2.0]).is_err());
        assert_eq!(
            rdp_subsampled(0.1, 0.0, 1, &[2.0]),
            Err(PrivacyError::NoNoise(0.0))
        );
        assert_eq!(rdp_subsampled(0.1, 1.0, 1, &[1.0]), Err(PrivacyError::Order(1.0)));
        assert!(rdp_subsampled(0.1, 1.0, 1, &[f64::INFINITY]).is_err());
        assert_eq!(convert(&[], 0.1), Err(PrivacyError::NoOrders));
        let negative = Divergence {
            order: 2.0,
            bound: -1.0,
        };
        assert!(matches!(
            convert(&[negative], 0.1),
            Err(PrivacyError::Divergence { .. })
        ));
    }
}
