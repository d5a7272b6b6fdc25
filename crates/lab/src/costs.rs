//! What everything takes, in nanoseconds of virtual time.

/// Of a machine and its disk.
#[derive(Clone, Copy, Debug)]
pub struct Costs {
    /// An access to a page that is there, with what the program does between two accesses.
    pub access_ns: u64,
    /// A fault: the trap, its way to who serves it, and back.
    pub fault_ns: u64,
    /// Until a sleeping thread runs that is woken.
    pub wake_ns: u64,
    /// Each page that is mapped.
    pub map_ns: u64,
    /// Each call that unmaps clean pages, for however many.
    pub unmap_call_ns: u64,
    /// Each page of it.
    pub unmap_ns: u64,
    /// Each page that is moved into the swap cache or back.
    pub move_ns: u64,
    /// A page compressed.
    pub compress_ns: u64,
    /// A page decompressed.
    pub decompress_ns: u64,
    /// The device: a request, whatever its length,
    pub read_ns: u64,
    /// and a write's,
    pub write_ns: u64,
    /// and where that does not begin where the last one ended,
    pub seek_ns: u64,
    /// and each page of it.
    pub transfer_ns: u64,
    /// Requests that it serves at the same time.
    pub queue_depth: u32,
    /// CPUs.
    pub cpus: u32,
}

impl Costs {
    /// Round numbers of a present machine with a solid-state disk.
    pub const ROUND: Costs = Costs {
        access_ns: 100,
        fault_ns: 1000,
        wake_ns: 5000,
        map_ns: 500,
        unmap_call_ns: 2000,
        unmap_ns: 500,
        move_ns: 1300,
        compress_ns: 1500,
        decompress_ns: 600,
        read_ns: 60_000,
        write_ns: 60_000,
        seek_ns: 0,
        transfer_ns: 1400,
        queue_depth: 16,
        cpus: 2,
    };
}
