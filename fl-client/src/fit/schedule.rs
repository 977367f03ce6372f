//! Schedules: what the learning rate is multiplied by in an epoch.
//!
//! In: a [`Schedule`] and where in training an epoch is. Out: a factor in 0..=1. Start at [`factor`].

use contract::recipe::{Across, Decay, Schedule};

/// The factor in epoch `epoch` (counted from 0) of a job whose first epoch is in round `round` (counted from 0), where
/// a round has `epochs_per_round` epochs.
///
/// Across epochs the schedule starts anew in every round, in a baseline too; across rounds all epochs of a round share a
/// factor. After its periods a cosine stays at `least`, and steps stay at the last period's factor.
///
/// # Numerics
/// `f64` with `libm`: the same bits on every platform.
/// # Source
/// Cosine: Loshchilov and Hutter 2016, arXiv:1608.03983, equation 5, as PyTorch's `CosineAnnealingLR`. Parity:
/// `tests/parity/train/`
pub fn factor(schedule: Schedule, round: u32, epoch: u32, epochs_per_round: u32) -> f64 {
    let Schedule {
        across,
        periods,
        warm_up,
        decay,
    } = schedule;
    let epochs_per_round = epochs_per_round.max(1);
    let period = match across {
        Across::Epochs => epoch % epochs_per_round,
        Across::Rounds => round.saturating_add(epoch / epochs_per_round),
    };
    if period < warm_up {
        return (f64::from(period) + 1.0) / (f64::from(warm_up) + 1.0);
    }
    let (after, length) = (period - warm_up, periods.saturating_sub(warm_up).max(1));
    match decay {
        Decay::None => 1.0,
        Decay::Cosine { least } => {
            let share = f64::from(after.min(length)) / f64::from(length);
            least + (1.0 - least) * (1.0 + libm::cos(std::f64::consts::PI * share)) / 2.0
        }
        Decay::Step { every, factor } => {
            let steps = after.min(length - 1) / every.max(1);
            libm::pow(factor, f64::from(steps))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn across(across: Across) -> Schedule {
        Schedule {
            across,
            periods: 6,
            warm_up: 2,
            decay: Decay::Step {
                every: 2,
                factor: 0.5,
            },
        }
    }

    #[test]
    fn epochs_count_within_a_round_and_rounds_across_them() {
        let of = |schedule, round, epochs: u32, per_round| -> Vec<f64> {
            (0..epochs)
                .map(|epoch| factor(schedule, round, epoch, per_round))
                .collect()
        };
        let expected = [1.0 / 3.0, 2.0 / 3.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5];
        assert_eq!(of(across(Across::Epochs), 0, 8, 8), expected);
        // In a later round just the same.
        assert_eq!(of(across(Across::Epochs), 7, 8, 8), expected);
        // A baseline of twice as many epochs starts anew with its second round.
        assert_eq!(
            of(across(Across::Epochs), 0, 16, 8),
            [expected, expected].concat()
        );
        let by_round: Vec<f64> = (0..8)
            .map(|round| factor(across(Across::Rounds), round, 0, 3))
            .collect();
        assert_eq!(by_round, expected);
        // A baseline's epochs count in rounds of three, a client's all as its round.
        assert_eq!(
            of(across(Across::Rounds), 0, 7, 3),
            [
                1.0 / 3.0,
                1.0 / 3.0,
                1.0 / 3.0,
                2.0 / 3.0,
                2.0 / 3.0,
                2.0 / 3.0,
                1.0
            ]
        );
        assert_eq!(of(across(Across::Rounds), 4, 3, 3), [0.5; 3]);
    }

    #[test]
    fn a_cosine_starts_at_one_and_stays_at_its_end() {
        let schedule = Schedule {
            across: Across::Epochs,
            periods: 4,
            warm_up: 0,
            decay: Decay::Cosine { least: 0.2 },
        };
        let found: Vec<f64> = (0..7).map(|epoch| factor(schedule, 0, epoch, 100)).collect();
        let half = 0.2 + 0.8 * 0.5;
        for (found, expected) in found.iter().zip([1.0, 0.8828427, half, 0.3171573, 0.2, 0.2, 0.2]) {
            assert!((found - expected).abs() < 1e-7, "{found} is not {expected}");
        }
    }

    proptest! {
        #[test]
        fn a_factor_is_from_zero_to_one(
            periods in 1_u32..50,
            warm_up in 0_u32..49,
            epoch: u32,
            round: u32,
            per_round: u32,
            rounds: bool,
            decay in prop_oneof![
                Just(Decay::None),
                (0.0..=1.0).prop_map(|least| Decay::Cosine { least }),
                (1_u32..9, 0.01..=1.0).prop_map(|(every, factor)| Decay::Step { every, factor }),
            ],
        ) {
            let across = if rounds { Across::Rounds } else { Across::Epochs };
            let schedule = Schedule { across, periods, warm_up: warm_up.min(periods - 1), decay };
            let found = factor(schedule, round, epoch, per_round);
            prop_assert!((0.0..=1.0).contains(&found), "{found}");
        }
    }
}
