use num_bigint::BigInt;
use proptest::{prelude::*, sample::Index};

use super::*;
use crate::aggregate::oracle;

/// Values of one index, one per update, with their sample counts.
type Column<R> = Vec<(R, u64)>;

fn exact_sum<R: Real>(column: &[(R, u64)]) -> BigInt {
    column
        .iter()
        .map(|(value, count)| oracle::units((*value).into()) * count)
        .sum()
}

fn counts<R>(column: &[(R, u64)]) -> Vec<u64> {
    column.iter().map(|(_, count)| *count).collect()
}

/// The definition.
fn by_definition<R: Real>(column: &[(R, u64)]) -> R {
    let total: u64 = counts(column).iter().sum();
    R::from_f64(oracle::nearest(&exact_sum(column)) / total as f64)
}

fn mean_of<R: Real>(column: &[(R, u64)]) -> Result<R, CombineError> {
    let rows: Vec<[R; 1]> = column.iter().map(|(value, _)| [*value]).collect();
    let addends: Vec<_> = rows.iter().map(|row| Addend::Update(row)).collect();
    let mut out = [R::ZERO];
    mean(&Weights::new(&counts(column))?, &addends, &mut out)?;
    Ok(out[0])
}

fn bits<R: Real>(value: R) -> (u64, bool) {
    let value: f64 = value.into();
    (value.to_bits(), value.is_finite())
}

fn any_count() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => 1_u64..5000,
        1 => 1_u64..1 << 24,
        1 => (1_u64 << 29) - 2..(1 << 29) + 3,
        1 => 1_u64..1 << 45,
    ]
}

/// Wild, tame, tiny, and few enough to cancel.
fn any_f32() -> impl Strategy<Value = f32> {
    use prop::num::f32::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    prop_oneof![
        2 => POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO,
        4 => -1.0_f32..1.0,
        1 => POSITIVE | NEGATIVE | SUBNORMAL,
        1 => (-3_i32..4).prop_map(|small| small as f32 * 0.1),
        1 => prop::sample::select(vec![f32::MAX, f32::MIN, 1.0, 1.0 + f32::EPSILON, 2.0_f32.powi(-149)]),
    ]
}

/// As wild as sums allow that do not overflow.
fn any_f64() -> impl Strategy<Value = f64> {
    use prop::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    prop_oneof![
        2 => (POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO).prop_map(|value| value * 2.0_f64.powi(-70)),
        4 => -1.0_f64..1.0,
        1 => POSITIVE | NEGATIVE | SUBNORMAL,
        1 => (-3_i32..4).prop_map(|small| f64::from(small) * 0.1),
        1 => prop::sample::select(vec![1e280, -1e280, 1.0, 1.0 + f64::EPSILON, 5e-324]),
    ]
}

fn columns<R: Real + std::fmt::Debug>(
    values: impl Strategy<Value = R>,
    most: usize,
) -> impl Strategy<Value = Column<R>> {
    prop::collection::vec((values, any_count()), 1..most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_mean_of_singles_is_the_definition(column in columns(any_f32(), 12)) {
        prop_assert_eq!(bits(mean_of(&column).unwrap()), bits(by_definition(&column)));
    }

    #[test]
    fn a_mean_of_doubles_is_the_definition(column in columns(any_f64(), 12)) {
        prop_assert_eq!(bits(mean_of(&column).unwrap()), bits(by_definition(&column)));
    }

    #[test]
    fn what_cancels_is_still_exact(column in columns(any_f32(), 6), other in any_f32(), count in any_count()) {
        let mut column = column;
        column.extend(column.clone().into_iter().map(|(value, count)| (-value, count)));
        column.push((other, count));
        prop_assert_eq!(bits(mean_of(&column).unwrap()), bits(by_definition(&column)));
    }

    #[test]
    fn equal_singles_come_out_unchanged(value in any_f32(), counts in prop::collection::vec(any_count(), 1..20)) {
        let column: Column<f32> = counts.into_iter().map(|count| (value, count)).collect();
        prop_assert_eq!(mean_of(&column).unwrap(), value);
    }

    #[test]
    fn middles_of_two_singles_are_decided_by_what_is_below_them(
        value in prop::num::f32::NORMAL,
        count in 1_u64..5000,
        below in prop_oneof![Just(0.0), Just(5e-324), Just(-5e-324), -1e-12..1e-12_f64],
    ) {
        // Halfway to the next: 25 bits, so times the count exact.
        prop_assume!(value.abs() > 1e-30 && value.abs() < 1e30);
        let middle = (f64::from(value) + f64::from(f32::from_bits(value.to_bits() + 1))) / 2.0;
        let rows: [&[f64]; 2] = [&[middle * count as f64], &[below * middle.abs()]];
        let mut out = [0.0_f32];
        mean(&Weights::new(&[count]).unwrap(), &[Addend::Partial(&rows)], &mut out).unwrap();
        let sum = oracle::units(rows[0][0]) + oracle::units(rows[1][0]);
        prop_assert_eq!(out[0], (oracle::nearest(&sum) / count as f64) as f32);
    }

    #[test]
    fn middles_of_two_doubles_are_decided_by_what_is_below_them(
        value in 1.0..2.0_f64,
        below in prop_oneof![Just(0.0), Just(5e-324), Just(-5e-324), -1e-40..1e-40_f64],
    ) {
        let rows: [&[f64]; 3] = [&[value], &[f64::EPSILON / 2.0], &[below]];
        let mut out = [0.0];
        mean_f64::<f32>(&Weights::new(&[1]).unwrap(), &[Addend::Partial(&rows)], &mut out).unwrap();
        let sum: BigInt = rows.iter().map(|row| oracle::units(row[0])).sum();
        prop_assert_eq!(out[0], oracle::nearest(&sum));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn two_hundred_updates_in_any_order_give_the_definition(
        column in columns(any_f32(), 201),
        order in any::<u64>(),
    ) {
        let expected = bits(by_definition(&column));
        prop_assert_eq!(bits(mean_of(&column).unwrap()), expected);
        let mut shuffled = column;
        let mut random = order;
        for place in (1..shuffled.len()).rev() {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            shuffled.swap(place, (random >> 33) as usize % (place + 1));
        }
        prop_assert_eq!(bits(mean_of(&shuffled).unwrap()), expected);
    }

    #[test]
    fn any_tree_of_singles_gives_the_same_bits(
        column in columns(any_f32(), 40),
        joins in prop::collection::vec((any::<Index>(), 1_usize..5), 0..20),
    ) {
        check_tree(&column, &joins)?;
    }

    #[test]
    fn any_tree_of_doubles_gives_the_same_bits(
        column in columns(any_f64(), 12),
        joins in prop::collection::vec((any::<Index>(), 1_usize..5), 0..20),
    ) {
        check_tree(&column, &joins)?;
    }
}

/// What a node of a tree holds: an update's value, or a partial sum's components; with its count.
#[derive(Debug, Clone)]
enum Node<R> {
    Update(R, u64),
    Partial(Vec<f64>, u64),
}

/// The result of `finish` on the addends that `nodes` are.
fn on_nodes<R: Real, T>(nodes: &[Node<R>], finish: impl FnOnce(&Weights, &[Addend<'_, R>]) -> T) -> T {
    let counts: Vec<u64> = nodes
        .iter()
        .map(|node| match node {
            Node::Update(_, count) | Node::Partial(_, count) => *count,
        })
        .collect();
    let rows: Vec<Vec<&[f64]>> = nodes
        .iter()
        .map(|node| match node {
            Node::Update(..) => Vec::new(),
            Node::Partial(components, _) => components.chunks(1).collect(),
        })
        .collect();
    let addends: Vec<Addend<'_, R>> = nodes
        .iter()
        .zip(&rows)
        .map(|(node, rows)| match node {
            Node::Update(value, _) => Addend::Update(std::slice::from_ref(value)),
            Node::Partial(..) => Addend::Partial(rows),
        })
        .collect();
    finish(&Weights::new(&counts).unwrap(), &addends)
}

fn join<R: Real>(nodes: &[Node<R>]) -> Node<R> {
    on_nodes(nodes, |weights, addends| {
        let needed = components_needed(weights, addends).unwrap();
        let mut out = vec![[0.0]; needed];
        let mut rows: Vec<&mut [f64]> = out.iter_mut().map(|row| row.as_mut_slice()).collect();
        partial_components(weights, addends, &mut rows).unwrap();
        Node::Partial(out.into_iter().map(|row| row[0]).collect(), weights.total())
    })
}

fn check_tree<R: Real + std::fmt::Debug>(
    column: &[(R, u64)],
    joins: &[(Index, usize)],
) -> Result<(), TestCaseError> {
    let expected = bits(by_definition(column));
    let mut components = oracle::components(exact_sum(column));
    if components.is_empty() {
        components.push(0.0);
    }
    let mut nodes: Vec<Node<R>> = column.iter().map(|(v, n)| Node::Update(*v, *n)).collect();
    for (place, length) in joins {
        let start = place.index(nodes.len());
        let end = nodes.len().min(start + length);
        let joined = join(&nodes[start..end]);
        nodes.drain(start..end);
        nodes.push(joined);
    }
    let (mut single, mut double) = ([R::ZERO], [0.0]);
    on_nodes(&nodes, |weights, addends| {
        mean(weights, addends, &mut single).unwrap();
        mean_f64(weights, addends, &mut double).unwrap();
    });
    prop_assert_eq!(bits(single[0]), expected);
    prop_assert_eq!(bits(R::from_f64(double[0])), expected);
    let Node::Partial(found, _) = join(&nodes) else {
        unreachable!("joined")
    };
    let as_bits = |components: Vec<f64>| components.into_iter().map(f64::to_bits).collect::<Vec<_>>();
    prop_assert_eq!(as_bits(found), as_bits(components));
    Ok(())
}

/// K rows of values that look like a model's, from a linear congruence.
fn models(updates: usize, length: usize) -> Vec<Vec<f32>> {
    let mut state = 7_u64;
    let mut draw = move || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    let centre: Vec<f32> = (0..length).map(|_| 0.1 * draw()).collect();
    (0..updates)
        .map(|_| centre.iter().map(|value| value + 0.001 * draw()).collect())
        .collect()
}

#[test]
fn blocks_of_any_length_give_what_each_value_gives_alone() {
    let mut rows = models(5, 2 * CHUNK + 77);
    // A stretch that the bound cannot decide, long enough for a cascade; zeros of either sign.
    rows[0][CHUNK + 100..CHUNK + 200].fill(1e30);
    rows[1][CHUNK + 100..CHUNK + 200].fill(-1e30);
    rows.iter_mut().for_each(|row| row[5] = -0.0);
    let counts = [3, 3, 11, 1 << 30, 7];
    let weights = Weights::new(&counts).unwrap();
    let addends: Vec<_> = rows.iter().map(|row| Addend::Update(row)).collect();
    let mut out = vec![0.0_f32; rows[0].len()];
    mean(&weights, &addends, &mut out).unwrap();
    let mut wide = vec![0.0; out.len()];
    mean_f64(&weights, &addends, &mut wide).unwrap();
    for (place, (value, wide)) in out.iter().zip(wide).enumerate() {
        let column: Column<f32> = rows.iter().map(|row| row[place]).zip(counts).collect();
        assert_eq!(value.to_bits(), by_definition(&column).to_bits(), "{place}");
        assert_eq!((wide as f32).to_bits(), value.to_bits(), "{place}");
    }
    let mut pieces = vec![0.0_f32; out.len()];
    for (number, piece) in pieces.chunks_mut(333).enumerate() {
        let start = number * 333;
        let addends: Vec<_> = rows
            .iter()
            .map(|row| Addend::Update(&row[start..start + piece.len()]))
            .collect();
        mean(&weights, &addends, piece).unwrap();
    }
    assert_eq!(pieces, out);
}

#[test]
fn the_bound_decides_almost_all_values() {
    let rows = models(10, CHUNK);
    let weights = Weights::new(&[400; 10]).unwrap();
    let addends: Vec<_> = rows.iter().map(|row| Addend::Update(row)).collect();
    let block = Block::new(&weights, &addends, CHUNK);
    let (mut sums, mut out, mut wide) = (Sums::new(), [0.0_f32; CHUNK], [0.0; CHUNK]);
    assert_eq!(block.single(0, &mut sums, &mut out), 0);
    block.cascade(0, &mut sums, &mut wide);
    assert!(wide.iter().all(|value| value.is_finite()));
    // Zeros too, without a look at each.
    let zeros = [[0.0_f32; CHUNK]; 10];
    let addends: Vec<_> = zeros.iter().map(|row| Addend::Update(row)).collect();
    let block = Block::new(&weights, &addends, CHUNK);
    assert_eq!(block.single(0, &mut sums, &mut out), 0);
    assert_eq!(out.map(f32::to_bits), [0; CHUNK]);
}

#[test]
fn a_tensor_takes_the_components_its_widest_value_needs() {
    let weights = Weights::new(&[1, 1, 1]).unwrap();
    let rows = [[1.0_f32, 1e30, 1.0], [2.0, 1.0, -1.0], [3.0, 1e-30, 0.0]];
    let addends: Vec<_> = rows.iter().map(|row| Addend::Update(row)).collect();
    assert_eq!(components_needed(&weights, &addends), Ok(3));
    let mut out = [[7.0; 3]; 4];
    let mut rows_out: Vec<&mut [f64]> = out.iter_mut().map(|row| row.as_mut_slice()).collect();
    partial_components(&weights, &addends, &mut rows_out).unwrap();
    assert_eq!(out[0], [6.0, f64::from(1e30_f32), 0.0]);
    assert_eq!(out[1], [0.0, 1.0, 0.0]);
    assert_eq!(out[2], [0.0, f64::from(1e-30_f32), 0.0]);
    assert_eq!(out[3], [0.0; 3]);
}

#[test]
fn the_first_value_that_is_not_finite_is_named() {
    let mut rows = models(3, 2 * CHUNK);
    rows[0][CHUNK + 7] = f32::NEG_INFINITY;
    rows[2][CHUNK + 3] = f32::NAN;
    rows[1][CHUNK + 3] = f32::INFINITY;
    let infinite: Vec<f64> = (0..2 * CHUNK)
        .map(|i| if i == 9 { f64::NEG_INFINITY } else { 1.0 })
        .collect();
    let weights = Weights::new(&[5, 6, 7]).unwrap();
    let addends: Vec<_> = rows.iter().map(|row| Addend::Update(row)).collect();
    let partial: [&[f64]; 1] = [&infinite];
    let with_partial = [addends[0], addends[1], Addend::Partial(&partial)];
    for (addends, part, index, value) in [
        (addends.as_slice(), 1, CHUNK + 3, f64::INFINITY),
        (&with_partial, 2, 9, f64::NEG_INFINITY),
    ] {
        let expected = CombineError::NotFinite { part, index, value };
        let (mut out, mut wide, mut other) =
            (vec![0.0; 2 * CHUNK], vec![0.0; 2 * CHUNK], vec![0.0; 2 * CHUNK]);
        assert_eq!(mean(&weights, addends, &mut out), Err(expected.clone()));
        assert_eq!(mean_f64(&weights, addends, &mut wide), Err(expected.clone()));
        assert_eq!(components_needed(&weights, addends), Err(expected.clone()));
        let rows = &mut [wide.as_mut_slice(), other.as_mut_slice()];
        assert_eq!(partial_components(&weights, addends, rows), Err(expected));
    }
}

#[test]
fn sums_beyond_the_largest_double_say_so() {
    let overflow = Err(CombineError::Overflow { index: 0 });
    assert_eq!(mean_of(&[(f64::MAX, 1), (f64::MAX, 1)]), overflow);
    assert_eq!(
        mean_of(&[(f64::MAX / 4.0, 1), (f64::MAX / 8.0, 1)]),
        Ok(f64::MAX / 16.0 * 3.0)
    );
    assert_eq!(mean_of(&[(f64::MAX, 3)]), overflow);
    // A partial sum that no singles can have.
    let rows: [&[f64]; 1] = [&[1e300]];
    let mut out = [0.0_f32];
    let result = mean(&Weights::new(&[2]).unwrap(), &[Addend::Partial(&rows)], &mut out);
    assert_eq!(result, Err(CombineError::Overflow { index: 0 }));
}

#[test]
fn counts_that_are_no_weights_are_refused() {
    assert_eq!(Weights::new(&[]), Err(CombineError::NoParts));
    assert_eq!(Weights::new(&[4, 0]), Err(CombineError::NoSamples { part: 1 }));
    assert_eq!(Weights::new(&[u64::MAX, 1]), Err(CombineError::TooManySamples));
    assert_eq!(Weights::new(&[1 << 53]), Err(CombineError::TooManySamples));
    assert_eq!(Weights::new(&[(1 << 53) - 2, 1]).unwrap().total(), (1 << 53) - 1);
}
