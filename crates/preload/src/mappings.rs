//! The program's large anonymous mappings, out of managed memory.
//!
//! A mapping that is as long as a huge page has a region of the pager to itself. Smaller ones are cut out of
//! regions that they share, since only long regions are left to the kernel as long as there is room.
//!
//! A region is divided into *pieces*, which are the program's, and *rooms*, which are not: what was cut off
//! a mapping, or was never given out. A room reads as zeros. A region that is one room goes, but for one,
//! so that a program that maps and unmaps by turns does not make regions by turns.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zpager_core::page::{HUGE_PAGE_PAGES, PAGE_BYTES};
use zpager_linux::pager::Region;

use crate::start::{ITEM_BYTES, pager};

const HUGE_PAGE_BYTES: usize = HUGE_PAGE_PAGES as usize * PAGE_BYTES;
/// What small mappings share, at most, and as a share of RAM: all of it counts as soon as it is there.
const SHARED_BYTES_MAX: usize = 16 << 20;
const SHARED_OF_RAM: usize = 32;

/// A part of a region, by the address where it begins.
#[derive(Clone)]
struct Part {
    end: usize,
    region: Arc<Region>,
}

type Parts = BTreeMap<usize, Part>;

struct Mappings {
    pieces: Parts,
    rooms: Parts,
}

static MAPPINGS: Mutex<Mappings> = Mutex::new(Mappings { pieces: Parts::new(), rooms: Parts::new() });

/// The lock of this file.
pub struct Guard(MutexGuard<'static, Mappings>);

/// Takes it.
pub fn lock() -> Guard {
    Guard(MAPPINGS.lock().unwrap_or_else(PoisonError::into_inner))
}

fn mappings() -> MutexGuard<'static, Mappings> {
    lock().0
}

fn range_of(region: &Region) -> Range<usize> {
    let start = region.base() as usize;
    start..start + region.page_count() as usize * PAGE_BYTES
}

/// Pages of a range, counted from the region's first: where they begin, and how many.
fn pages_in(region: &Region, range: &Range<usize>) -> (u32, u32) {
    let first = (range.start - region.base() as usize) / PAGE_BYTES;
    (first as u32, (range.len() / PAGE_BYTES) as u32)
}

fn discard_in(region: &Region, range: &Range<usize>) {
    let (first, count) = pages_in(region, range);
    region.discard_pages(first, count);
}

/// What lies in a range, cut to it.
fn parts_in(parts: &Parts, range: &Range<usize>) -> Vec<(Range<usize>, Arc<Region>)> {
    let first = parts.range(..=range.start).next_back().map_or(range.start, |(start, _)| *start);
    let cut = parts
        .range(first..range.end)
        .map(|(start, part)| (range.start.max(*start)..range.end.min(part.end), Arc::clone(&part.region)));
    cut.filter(|(part, _)| part.start < part.end).collect()
}

/// Takes a range out of the part that it lies in; what is before and behind stays.
fn cut_out(parts: &mut Parts, range: &Range<usize>) {
    let (&start, _) = parts.range(..=range.start).next_back().expect("the range lies in a part");
    let whole = parts.remove(&start).expect("just found");
    assert!(range.end <= whole.end, "the range lies in a part");
    if range.end < whole.end {
        parts.insert(range.end, whole.clone());
    }
    if start < range.start {
        parts.insert(start, Part { end: range.start, ..whole });
    }
}

/// Adds a range, as one part with its neighbours of the same region, which is returned.
fn join_in(parts: &mut Parts, range: Range<usize>, region: &Arc<Region>) -> Range<usize> {
    // Between two regions there is always a page that is in neither.
    let before = parts.range(..range.start).next_back().filter(|(_, part)| part.end == range.start);
    let start = before.map_or(range.start, |(start, _)| *start);
    let end = parts.remove(&range.end).map_or(range.end, |behind| behind.end);
    parts.insert(start, Part { end, region: Arc::clone(region) });
    start..end
}

impl Mappings {
    /// Makes a piece of the first room that is long enough.
    fn take_room(&mut self, bytes: usize) -> Option<usize> {
        let (&start, room) = self.rooms.iter().find(|(start, room)| room.end - **start >= bytes)?;
        let region = Arc::clone(&room.region);
        self.take(&(start..start + bytes), &region);
        Some(start)
    }

    /// Makes a piece of a part of a room.
    fn take(&mut self, range: &Range<usize>, region: &Arc<Region>) {
        cut_out(&mut self.rooms, range);
        join_in(&mut self.pieces, range.clone(), region);
    }

    /// Makes a room of a part of a piece. The region, if it is to go.
    fn give_back(&mut self, range: &Range<usize>, region: &Arc<Region>) -> Option<Arc<Region>> {
        cut_out(&mut self.pieces, range);
        let is_spare = |(start, part): (&usize, &Part)| (*start..part.end) == range_of(&part.region);
        let has_spare = self.rooms.iter().any(is_spare);
        let room = join_in(&mut self.rooms, range.clone(), region);
        let whole = range_of(region);
        if room == whole && (has_spare || whole.len() != shared_bytes()) {
            self.rooms.remove(&room.start);
            return Some(Arc::clone(region));
        }
        discard_in(region, range);
        None
    }
}

/// How long the regions are that small mappings share: with the page that separates them from the next,
/// a multiple of a huge page.
fn shared_bytes() -> usize {
    let of_ram = pager().map_or(0, |pager| pager.options().ram_bytes as usize) / SHARED_OF_RAM;
    let bytes = of_ram.next_multiple_of(HUGE_PAGE_BYTES).clamp(2 * HUGE_PAGE_BYTES, SHARED_BYTES_MAX);
    bytes - PAGE_BYTES
}

fn new_region(bytes: usize) -> Option<Arc<Region>> {
    new_region_at(bytes, None)
}

fn new_region_at(bytes: usize, address: Option<usize>) -> Option<Arc<Region>> {
    Some(Arc::new(pager()?.allocate_at(bytes as u64, ITEM_BYTES, address).ok()?))
}

/// A new mapping of zeros. `None`: there is no room.
pub fn map(bytes: usize) -> Option<usize> {
    if bytes < HUGE_PAGE_BYTES {
        if let Some(start) = mappings().take_room(bytes) {
            return Some(start);
        }
        if let Some(region) = new_region(shared_bytes()) {
            return Some(add(region, bytes));
        }
    }
    new_region(bytes).map(|region| add(region, bytes))
}

/// Adds a region whose first bytes are mapped.
fn add(region: Arc<Region>, bytes: usize) -> usize {
    let whole = range_of(&region);
    let mut mappings = mappings();
    let end = whole.start + bytes;
    mappings.pieces.insert(whole.start, Part { end, region: Arc::clone(&region) });
    if end < whole.end {
        mappings.rooms.insert(end, Part { end: whole.end, region });
    }
    whole.start
}

/// Whether all of a range is mapped.
pub fn is_mapped(range: &Range<usize>) -> bool {
    let found = parts_in(&mappings().pieces, range);
    found.iter().map(|(part, _)| part.len()).sum::<usize>() == range.len()
}

/// Maps a range of addresses anew, with zeros, whatever of it is mapped. `false`: that cannot be.
pub fn map_at(range: &Range<usize>) -> bool {
    if map_over(range) {
        return true;
    }
    let region = new_region_at(range.len(), Some(range.start));
    region.map(|region| add(region, range.len())).is_some()
}

/// The same where all of it is in regions that are there.
fn map_over(range: &Range<usize>) -> bool {
    let mut mappings = mappings();
    let pieces = parts_in(&mappings.pieces, range);
    let rooms = parts_in(&mappings.rooms, range);
    let covered: usize = pieces.iter().chain(&rooms).map(|(part, _)| part.len()).sum();
    if covered != range.len() {
        return false;
    }
    for (part, region) in &rooms {
        mappings.take(part, region);
    }
    for (part, region) in &pieces {
        discard_in(region, part);
    }
    true
}

/// Makes a mapping longer where it is. `false`: what is behind it is somebody else's.
pub fn extend(mapped: &Range<usize>, bytes: usize) -> bool {
    let mut mappings = mappings();
    let behind = mapped.end..mapped.start + bytes;
    match parts_in(&mappings.rooms, &behind).as_slice() {
        [(room, region)] if *room == behind => {
            mappings.take(&behind, region);
            true
        }
        _ => false,
    }
}

/// Drops the contents of what is mapped in a range.
pub fn discard(range: &Range<usize>) {
    for (part, region) in parts_in(&mappings().pieces, range) {
        discard_in(&region, &part);
    }
}

/// Brings in what is mapped in a range.
pub fn fault_in(range: &Range<usize>) {
    // Not under the lock: it takes long.
    let parts = parts_in(&mappings().pieces, range);
    for (part, region) in parts {
        let (first, count) = pages_in(&region, &part);
        // What is lost is told to who touches it.
        let _ = region.fault_in(first, count);
    }
}

/// Unmaps what is mapped in a range.
pub fn unmap(range: &Range<usize>) {
    let mut mappings = mappings();
    // Regions go outside of the lock.
    let mut gone = Vec::new();
    for (part, region) in parts_in(&mappings.pieces, range) {
        gone.extend(mappings.give_back(&part, &region));
    }
    drop(mappings);
}
