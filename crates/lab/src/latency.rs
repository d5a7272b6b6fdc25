//! How long faults took, counted by a quarter of a power of two: fine enough to draw.

/// Buckets of one doubling.
const STEPS: u32 = 4;

/// Buckets: below 4 ns each its own, then four a doubling.
pub const BUCKETS: usize = (u64::BITS * STEPS) as usize;

/// See the module's description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    counts: Vec<u64>,
}

impl Default for Latency {
    fn default() -> Self {
        Latency { counts: vec![0; BUCKETS] }
    }
}

impl Latency {
    /// Counts one fault.
    pub fn record(&mut self, took_ns: u64) {
        self.counts[bucket(took_ns)] += 1;
    }

    /// The buckets that count anything: each one's upper bound (excluded), and its count.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        let counts = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        counts.map(|(bucket, count)| (bound_ns(bucket), *count))
    }
}

fn bucket(took_ns: u64) -> usize {
    if took_ns < STEPS.into() {
        return took_ns as usize;
    }
    let doublings = took_ns.ilog2() - STEPS.ilog2();
    // The two bits below the highest one.
    let step = (took_ns >> doublings) as u32 - STEPS;
    ((doublings + 1) * STEPS + step) as usize
}

fn bound_ns(bucket: usize) -> u64 {
    let (doublings, step) = (bucket as u32 / STEPS, bucket as u32 % STEPS);
    match doublings {
        0 => u64::from(step) + 1,
        _ => (u64::from(STEPS + step) + 1).saturating_mul(1 << (doublings - 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_below_its_buckets_bound_and_not_below_the_one_before() {
        for took_ns in (0..5000).chain((0..62).map(|power| (1 << power) + 1)) {
            let bucket = bucket(took_ns);
            assert!(took_ns < bound_ns(bucket), "{took_ns} ns in bucket {bucket}");
            assert!(bucket == 0 || took_ns >= bound_ns(bucket - 1), "{took_ns} ns in bucket {bucket}");
        }
        let mut latency = Latency::default();
        [5, 1000, 1001, u64::MAX].into_iter().for_each(|took_ns| latency.record(took_ns));
        let counts: Vec<_> = latency.buckets().map(|(_, count)| count).collect();
        assert_eq!(counts, [1, 2, 1]);
    }
}
