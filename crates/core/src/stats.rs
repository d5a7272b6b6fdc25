//! Counters, one for each cause, by the kernel's names where the kernel has one.

use crate::histogram::Histogram;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What has happened so far.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
            /// From the fault's arrival to its end.
            pub fault_us: Histogram,
            /// From unuse, which takes a page out of zcache, to the end of its write.
            pub unuse_to_write_us: Histogram,
            /// From the decision to evict to a page frame's being free.
            pub eviction_us: Histogram,
        }

        impl Counters {
            /// Every counter with its name.
            pub fn by_name(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Faults served, of every kind.
    faults,
    /// Microseconds that all of them took.
    fault_time_us,
    /// First touches.
    faults_zero,
    /// Served from the swap cache.
    faults_swap_cache,
    /// Served from zcache.
    faults_zcache,
    /// Served from the device.
    faults_device,
    /// First writes to clean pages.
    faults_write_protect,
    /// Ended in an error because no frame could be had for a long time.
    faults_given_up,
    /// Pages brought in that nobody had touched yet.
    readahead_pages,
    /// Pages that came back after they were evicted.
    refaults,
    /// Refaults soon enough for the active list.
    activations,
    /// Faults that had to reclaim by themselves.
    direct_reclaims,
    /// Times that kswapd was woken.
    kswapd_wakes,
    /// Regions that the kernel looked after until frames ran short.
    watched_regions,
    /// Pages taken out of the program's sight.
    unmapped,
    /// Pages that left with nothing to do, because their copy was still good.
    clean_drops,
    /// Pages looked up in zcache by faults.
    loads,
    /// Stores that zcache took.
    succ_stores,
    /// Stores that were refused, for any of the reasons below.
    failed_stores,
    /// Pages dropped from zcache because they were written or discarded.
    invalidates,
    /// Units of the pool that unuse has evicted.
    unuses,
    /// Units of the pool that were evicted, by whatever mechanism.
    evicted_units,
    /// Zpages of units on the device that were taken back, because the units had holes.
    repacked_zpages,
    /// Stores refused because of a denial bit.
    denials,
    /// Stores refused because the page did not get small enough.
    reject_compress_poor,
    /// Stores refused because the budget had no frame.
    reject_alloc_fail,
    /// Stores refused because the pool was full.
    pool_limit_hit,
    /// Pages that eviction took from zcache and that have reached the device.
    written_back_pages,
    /// Pages read from the device.
    pswpin,
    /// Slots written on the device: a page each, or a frame of zpages.
    pswpout,
    /// Pages that came from zcache.
    zswpin,
    /// Pages that went to zcache.
    zswpout,
    /// Pages that eviction took out of zcache.
    zswpwb,
    /// Zpages moved by compaction.
    compaction_moves,
    /// Pages that could not be unmapped because the kernel had them pinned.
    unmap_busy,
    /// Pages that had to stay in the swap cache because the device had no free slot.
    device_full,
    /// Pages lost because the device did not read them.
    device_read_errors,
    /// Pages lost because the device read something else than was written.
    corrupt_slots,
    /// Pages lost because their zpage was not what was stored.
    corrupt_zpages,
    /// Writes that failed for good; their slots were retired.
    device_write_errors,
    /// Pages whose only copy could not be read back.
    lost_pages,
    /// Pages that should have been in RAM and were not: the program has discarded them by itself.
    vanished_pages,
}
