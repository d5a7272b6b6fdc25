//! Counts of durations by powers of two microseconds.

/// Buckets: below 1 µs, below 2, below 4, …, and everything above.
pub const BUCKETS: usize = 32;

/// See the module's description.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BUCKETS],
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, duration_us: u64) {
        let bucket = (u64::BITS - duration_us.leading_zeros()) as usize;
        self.counts[bucket.min(BUCKETS - 1)] += 1;
    }

    /// Durations that were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Each bucket's upper bound (excluded), and its count.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        self.counts.iter().enumerate().map(|(bucket, count)| (1 << bucket, *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_below_its_buckets_bound() {
        let mut histogram = Histogram::default();
        for duration_us in [0, 1, 2, 3, 4, u64::MAX] {
            histogram.record(duration_us);
        }
        let filled: Vec<_> = histogram.buckets().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(1, 1), (2, 1), (4, 2), (8, 1), (1 << 31, 1)]);
    }
}
