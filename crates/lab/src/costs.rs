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
