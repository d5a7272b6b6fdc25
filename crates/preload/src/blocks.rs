//! Large blocks of `malloc`, out of managed memory.
//!
//! Blocks from [`REGION_BLOCK_BYTES_MIN`] on are a region of the pager each. Smaller ones are cut out of
//! regions by dlmalloc, of which there are several, each with a lock: a thread takes one that is
//! free. Before each block is a [`Header`]. Headers and dlmalloc's own words are in managed memory and may
//! have to be brought in; that may happen under dlmalloc's lock, since nobody who serves faults takes it.

use std::collections::BTreeMap;
use std::fmt::Arguments;
use std::ops::Range;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dlmalloc::{Allocator, Dlmalloc};
use zpager_core::page::{HUGE_PAGE_PAGES, PAGE_BYTES};
use zpager_linux::pager::Region;

use crate::own_memory::ALIGNMENT;
use crate::start::{ITEM_BYTES, pager};

/// A shorter region is not left to the kernel, whatever room there is.
const REGION_BLOCK_BYTES_MIN: usize = HUGE_PAGE_PAGES as usize * PAGE_BYTES;
/// What dlmalloc gets at least, with the page that separates it from the next a multiple of a huge page.
const SEGMENT_BYTES_MIN: usize = (8 << 20) - PAGE_BYTES;
const ARENAS: usize = 8;

/// What is before each block.
#[derive(Clone, Copy)]
#[repr(C)]
struct Header {
    bytes: usize,
    /// From the start of what was allocated for the block.
    distance: u32,
    owner: u16,
    mark: u16,
}

const _: () = assert!(size_of::<Header>() == ALIGNMENT);

const MARK: u16 = 0x5a9e;
const OWN_REGION: u16 = u16::MAX;

/// Where dlmalloc gets memory from.
struct Segments;

static ARENA: [Mutex<Dlmalloc<Segments>>; ARENAS] =
    [const { Mutex::new(Dlmalloc::new_with_allocator(Segments)) }; ARENAS];

/// By the addresses where they begin.
static REGIONS: Mutex<BTreeMap<usize, Region>> = Mutex::new(BTreeMap::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn new_region(bytes: usize) -> Option<(*mut u8, usize)> {
    let region = pager()?.allocate(bytes as u64, ITEM_BYTES).ok()?;
    let (base, bytes) = (region.base(), region.page_count() as usize * PAGE_BYTES);
    lock(&REGIONS).insert(base as usize, region);
    Some((base, bytes))
}

/// The region is unmapped outside of the lock.
fn free_region(base: usize) {
    let region = lock(&REGIONS).remove(&base);
    drop(region);
}

// SAFETY: regions are the allocator's alone until it frees them; new ones read as zeros.
unsafe impl Allocator for Segments {
    fn alloc(&self, bytes: usize) -> (*mut u8, usize, u32) {
        match new_region(bytes.max(SEGMENT_BYTES_MIN)) {
            Some((base, bytes)) => (base, bytes, 0),
            None => (ptr::null_mut(), 0, 0),
        }
    }

    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        ptr::null_mut()
    }

    /// What it gives back of a segment it never asks for again, and a region cannot be shortened. What nobody
    /// uses is compressed sooner or later.
    fn free_part(&self, _: *mut u8, _: usize, _: usize) -> bool {
        false
    }

    fn free(&self, base: *mut u8, _: usize) -> bool {
        free_region(base as usize);
        true
    }

    fn can_release_part(&self, _: u32) -> bool {
        true
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        PAGE_BYTES
    }
}

/// All locks of this file.
pub struct Guards {
    _arenas: Vec<MutexGuard<'static, Dlmalloc<Segments>>>,
    _regions: MutexGuard<'static, BTreeMap<usize, Region>>,
}

/// Takes them, in the order in which they are taken everywhere.
pub fn lock_all() -> Guards {
    Guards { _arenas: ARENA.iter().map(lock).collect(), _regions: lock(&REGIONS) }
}

/// Locks an arena that nobody else is in, beginning with this thread's.
fn some_arena() -> (usize, MutexGuard<'static, Dlmalloc<Segments>>) {
    // SAFETY: has no preconditions.
    let own = (unsafe { libc::pthread_self() } as usize >> 12) % ARENAS;
    for arena in (own..own + ARENAS).map(|arena| arena % ARENAS) {
        if let Ok(guard) = ARENA[arena].try_lock() {
            return (arena, guard);
        }
    }
    (own, lock(&ARENA[own]))
}

/// Drops the contents of what is ours in a range.
pub fn discard(range: &Range<usize>) {
    let regions = lock(&REGIONS);
    let first = regions.range(..=range.start).next_back().map_or(range.start, |(base, _)| *base);
    for (base, region) in regions.range(first..range.end) {
        let pages = |address: usize| (address.saturating_sub(*base) / PAGE_BYTES) as u32;
        let (first, end) = (pages(range.start), pages(range.end).min(region.page_count()));
        if first < end {
            region.discard_pages(first, end - first);
        }
    }
}

/// A block of so many bytes; `alignment` is a power of two. `None`: there is no memory.
pub fn allocate(bytes: usize, alignment: usize, zeroed: bool) -> Option<*mut u8> {
    // As everybody aligns what is large, to a line of the cache.
    let distance = alignment.max(if bytes < REGION_BLOCK_BYTES_MIN { ALIGNMENT } else { 64 });
    let distance_in_header = u32::try_from(distance).ok()?;
    let total = bytes.checked_add(distance)?;
    if bytes >= REGION_BLOCK_BYTES_MIN && alignment <= PAGE_BYTES {
        let (base, _) = new_region(total)?;
        // SAFETY: the new region is so long.
        return Some(unsafe { with_header(base, bytes, distance_in_header, OWN_REGION) });
    }
    let (arena, mut dlmalloc) = some_arena();
    // SAFETY: the alignment is a power of two; what is zeroed is as long as was asked for.
    unsafe {
        let base = if alignment > ALIGNMENT {
            dlmalloc.c_memalign(alignment, total)
        } else if zeroed {
            dlmalloc.calloc(total, ALIGNMENT)
        } else {
            dlmalloc.c_malloc(total)
        };
        drop(dlmalloc);
        if base.is_null() {
            return None;
        }
        let block = with_header(base, bytes, distance_in_header, arena as u16);
        if zeroed && alignment > ALIGNMENT {
            block.write_bytes(0, bytes);
        }
        Some(block)
    }
}

/// # Safety
/// From `base` on there are `distance`, a multiple of the header's size, and `bytes` more.
unsafe fn with_header(base: *mut u8, bytes: usize, distance: u32, owner: u16) -> *mut u8 {
    // SAFETY: the caller's.
    unsafe {
        let block = base.add(distance as usize);
        block.cast::<Header>().sub(1).write(Header { bytes, distance, owner, mark: MARK });
        block
    }
}

/// # Safety
/// The address is one of managed memory.
unsafe fn header_of(block: *mut u8, what: &str) -> Header {
    if !(block as usize).is_multiple_of(ALIGNMENT) {
        complain(format_args!("{what}: {block:p} is no block of memory"));
    }
    // SAFETY: the caller's; where no block is, this may be a SIGBUS, which is as good.
    let header = unsafe { block.cast::<Header>().sub(1).read() };
    if header.mark != MARK {
        complain(format_args!(
            "{what}: {block:p} is no block of memory, or what is before it was overwritten"
        ));
    }
    header
}

fn complain(complaint: Arguments<'_>) -> ! {
    eprintln!("zpager: {complaint}");
    std::process::abort()
}

/// # Safety
/// As `malloc_usable_size`, for a block in managed memory.
pub unsafe fn usable_bytes(block: *mut u8) -> usize {
    // SAFETY: the caller's.
    unsafe { header_of(block, "malloc_usable_size") }.bytes
}

/// # Safety
/// As `free`, for a block in managed memory.
pub unsafe fn free(block: *mut u8) {
    // SAFETY: the caller's; the block's base is where its header says.
    unsafe {
        let header = header_of(block, "free");
        let base = block.sub(header.distance as usize);
        if header.owner == OWN_REGION {
            free_region(base as usize);
        } else {
            // Freed twice, it is told.
            block.cast::<Header>().sub(1).write(Header { mark: 0, ..header });
            lock(&ARENA[usize::from(header.owner)]).c_free(base);
        }
    }
}

/// The block with another length, maybe elsewhere. `None`: it is where and what it was.
///
/// # Safety
/// As `realloc`, for a block in managed memory.
pub unsafe fn reallocate(block: *mut u8, bytes: usize) -> Option<*mut u8> {
    // SAFETY: the caller's; the block's base is where its header says, and what is copied is in both.
    unsafe {
        let header = header_of(block, "realloc");
        let base = block.sub(header.distance as usize);
        if header.owner == OWN_REGION {
            let room = region_bytes(base as usize) - header.distance as usize;
            if bytes <= room && bytes >= room / 2 {
                return Some(with_header(base, bytes, header.distance, OWN_REGION));
            }
        } else if bytes < REGION_BLOCK_BYTES_MIN {
            let total = bytes + header.distance as usize;
            let base = lock(&ARENA[usize::from(header.owner)]).c_realloc(base, total);
            return (!base.is_null()).then(|| with_header(base, bytes, header.distance, header.owner));
        }
        let new = allocate(bytes, ALIGNMENT, false)?;
        move_contents(block, new, header.bytes.min(bytes), (header.owner == OWN_REGION).then_some(base));
        free(block);
        Some(new)
    }
}

fn region_bytes(base: usize) -> usize {
    lock(&REGIONS).get(&base).expect("a block's region").page_count() as usize * PAGE_BYTES
}

/// Copies to a new block; what was copied from a region is let go of step by step, so that large blocks
/// do not have to be in RAM twice.
///
/// # Safety
/// Both blocks are so long; nobody else uses them.
unsafe fn move_contents(from: *mut u8, to: *mut u8, bytes: usize, region: Option<*mut u8>) {
    const STEP_BYTES: usize = 4 << 20;
    for start in (0..bytes).step_by(STEP_BYTES) {
        let length = STEP_BYTES.min(bytes - start);
        // SAFETY: the caller's.
        unsafe { to.add(start).copy_from_nonoverlapping(from.add(start), length) };
        let Some(base) = region else { continue };
        // Not the first page, which has the header.
        let first = ((from as usize + start - base as usize) / PAGE_BYTES).max(1) as u32;
        let end = ((from as usize + start + length - base as usize) / PAGE_BYTES) as u32;
        if first < end
            && let Some(region) = lock(&REGIONS).get(&(base as usize))
        {
            region.discard_pages(first, end - first);
        }
    }
}
