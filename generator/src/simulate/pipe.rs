//! A connection that transfers share: each gets an equal part of the bandwidth, and no more than a stream reaches.
//!
//! All transfers on their way progress alike, so one number (the bytes each has got since the connection was last idle)
//! tells of them all, and the next to end is the one with the least end by that number: adding and ending cost O(log n).

use std::{cmp::Ordering, collections::BinaryHeap};

use super::Moment;

/// A connection, and the transfers on it; `T` says whose they are.
#[derive(Debug)]
pub struct Pipe<T> {
    /// Bytes a second for all together.
    bandwidth: Option<f64>,
    /// Bytes a second for one.
    stream: Option<f64>,
    /// Bytes that every transfer has got since the connection was idle.
    served: f64,
    /// When that was so.
    at: Moment,
    transfers: BinaryHeap<Transfer<T>>,
    begun: u64,
}

#[derive(Debug)]
struct Transfer<T> {
    /// The value of `served` at which it ends.
    end: f64,
    /// Its number, so that those of equal size end in the order they began.
    number: u64,
    of: T,
}

impl<T> Pipe<T> {
    /// An idle connection; no limit where none is given.
    pub fn new(bandwidth: Option<f64>, stream: Option<f64>) -> Self {
        Self {
            bandwidth,
            stream,
            served: 0.0,
            at: Moment::ZERO,
            transfers: BinaryHeap::new(),
            begun: 0,
        }
    }

    /// Whether transfers take no time.
    pub fn is_instant(&self) -> bool {
        self.bandwidth.is_none() && self.stream.is_none()
    }

    /// Begins a transfer of `bytes` at `now`.
    pub fn begin(&mut self, now: Moment, bytes: u64, of: T) {
        self.advance(now);
        self.begun += 1;
        self.transfers.push(Transfer {
            end: self.served + bytes as f64,
            number: self.begun,
            of,
        });
    }

    /// When the next transfer ends if none begins before; none where the connection is idle.
    pub fn next_end(&self) -> Option<Moment> {
        let next = self.transfers.peek()?;
        let left = (next.end - self.served).max(0.0);
        Some(self.at + Moment::from_seconds(left / self.rate()))
    }

    /// Ends the next transfer, at the time [`Pipe::next_end`] gave.
    pub fn end_next(&mut self, now: Moment) -> Option<T> {
        self.advance(now);
        let ended = self.transfers.pop()?;
        // Microseconds are rounded: what ends has all its bytes.
        self.served = if self.transfers.is_empty() {
            0.0
        } else {
            self.served.max(ended.end)
        };
        Some(ended.of)
    }

    /// Bytes a second that each transfer gets.
    fn rate(&self) -> f64 {
        let shared = self
            .bandwidth
            .map_or(f64::INFINITY, |all| all / self.transfers.len().max(1) as f64);
        shared.min(self.stream.unwrap_or(f64::INFINITY))
    }

    fn advance(&mut self, now: Moment) {
        if !self.transfers.is_empty() {
            self.served += self.rate() * now.since(self.at).seconds();
        }
        self.at = now;
    }
}

impl<T> Ord for Transfer<T> {
    /// The one that ends first is the greatest, as a heap gives the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        let ends = other.end.total_cmp(&self.end);
        ends.then(other.number.cmp(&self.number))
    }
}

impl<T> PartialOrd for Transfer<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Transfer<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Transfer<T> {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// When each transfer ends, in seconds.
    fn ends(mut pipe: Pipe<usize>, begins: &[(f64, u64)]) -> Vec<f64> {
        let mut ends = vec![0.0; begins.len()];
        let end = |pipe: &mut Pipe<usize>, until: Moment, ends: &mut Vec<f64>| {
            while let Some(at) = pipe.next_end().filter(|at| *at <= until) {
                if let Some(of) = pipe.end_next(at) {
                    ends[of] = at.seconds();
                }
            }
        };
        for (index, (at, bytes)) in begins.iter().enumerate() {
            let at = Moment::from_seconds(*at);
            end(&mut pipe, at, &mut ends);
            pipe.begin(at, *bytes, index);
        }
        end(&mut pipe, Moment::from_seconds(1e9), &mut ends);
        ends
    }

    #[test]
    fn two_transfers_share_and_the_longer_one_then_has_all() {
        // Both get 50 a second until the first has its 100; the second then has 100 left.
        let found = ends(Pipe::new(Some(100.0), None), &[(0.0, 100), (0.0, 200)]);
        assert_eq!(found, [2.0, 3.0]);
    }

    #[test]
    fn a_stream_is_no_faster_for_being_alone() {
        let found = ends(Pipe::new(Some(100.0), Some(20.0)), &[(0.0, 100), (5.0, 100)]);
        assert_eq!(found, [5.0, 10.0]);
    }

    proptest! {
        #[test]
        fn a_shared_connection_is_never_idle_while_there_is_work(sizes in prop::collection::vec(1_u64..10_000, 1..40)) {
            let begins: Vec<(f64, u64)> = sizes.iter().map(|size| (0.0, *size)).collect();
            let found = ends(Pipe::new(Some(100.0), None), &begins);
            let last = found.iter().copied().fold(0.0, f64::max);
            let work = sizes.iter().sum::<u64>() as f64 / 100.0;
            prop_assert!((last - work).abs() < 1e-3, "{last} {work}");
        }

        #[test]
        fn no_transfer_is_faster_than_alone(sizes in prop::collection::vec((0.0_f64..100.0, 1_u64..10_000), 1..40)) {
            let mut begins = sizes;
            begins.sort_by(|a, b| a.0.total_cmp(&b.0));
            for (end, (begin, bytes)) in ends(Pipe::new(Some(100.0), None), &begins).iter().zip(&begins) {
                prop_assert!(*end + 1e-3 >= begin + *bytes as f64 / 100.0);
            }
        }
    }
}
