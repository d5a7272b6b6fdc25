//! The program's large anonymous mappings, out of managed memory: a region each.
//!
//! A mapping of which a part was unmapped is several *pieces* of one region, which goes with the
//! last of them. What is unmapped of it meanwhile reads as zeros.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zpager_core::page::PAGE_BYTES;
use zpager_linux::pager::Region;

use crate::start::{ITEM_BYTES, pager};

struct Piece {
    end: usize,
    region: Arc<Region>,
}

impl Piece {
    fn discard(&self, range: &Range<usize>) {
        let first = (range.start - self.region.base() as usize) / PAGE_BYTES;
        self.region.discard_pages(first as u32, (range.len() / PAGE_BYTES) as u32);
    }
}

/// By the addresses where they begin.
static PIECES: Mutex<BTreeMap<usize, Piece>> = Mutex::new(BTreeMap::new());

/// The lock of this file.
pub struct Guard(MutexGuard<'static, BTreeMap<usize, Piece>>);

/// Takes it.
pub fn lock() -> Guard {
    Guard(PIECES.lock().unwrap_or_else(PoisonError::into_inner))
}

fn pieces() -> MutexGuard<'static, BTreeMap<usize, Piece>> {
    lock().0
}

/// A new mapping of zeros. `None`: there is no room.
pub fn map(bytes: usize) -> Option<usize> {
    let region = Arc::new(pager()?.allocate(bytes as u64, ITEM_BYTES).ok()?);
    let start = region.base() as usize;
    pieces().insert(start, Piece { end: start + bytes, region });
    Some(start)
}

/// Whether a range lies in one mapping of ours.
pub fn is_mapped(range: &Range<usize>) -> bool {
    let pieces = pieces();
    let piece = pieces.range(..=range.start).next_back();
    piece.is_some_and(|(_, piece)| range.end <= piece.end)
}

/// Parts of pieces that lie in a range, with what is to be done to them.
fn for_parts(
    pieces: &BTreeMap<usize, Piece>,
    range: &Range<usize>,
    mut act: impl FnMut(usize, &Piece, Range<usize>),
) {
    let first = pieces.range(..=range.start).next_back().map_or(range.start, |(start, _)| *start);
    for (start, piece) in pieces.range(first..range.end) {
        let part = range.start.max(*start)..range.end.min(piece.end);
        if part.start < part.end {
            act(*start, piece, part);
        }
    }
}

/// Drops the contents of what is mapped in a range.
pub fn discard(range: &Range<usize>) {
    for_parts(&pieces(), range, |_, piece, part| piece.discard(&part));
}

/// Brings in what is mapped in a range.
pub fn fault_in(range: &Range<usize>) {
    for_parts(&pieces(), range, |_, piece, part| {
        let first = (part.start - piece.region.base() as usize) / PAGE_BYTES;
        // What is lost is told to who touches it.
        let _ = piece.region.fault_in(first as u32, (part.len() / PAGE_BYTES) as u32);
    });
}

/// Unmaps what is mapped in a range.
pub fn unmap(range: &Range<usize>) {
    let mut all = pieces();
    let mut cut = Vec::new();
    for_parts(&all, range, |start, _, part| cut.push((start, part)));
    // Regions go outside of the lock.
    let mut gone = Vec::new();
    for (start, part) in cut {
        let piece = all.remove(&start).expect("just found");
        let is_whole = start == part.start && part.end == piece.end;
        if !is_whole || Arc::strong_count(&piece.region) > 1 {
            piece.discard(&part);
        }
        if part.end < piece.end {
            all.insert(part.end, Piece { end: piece.end, region: Arc::clone(&piece.region) });
        }
        if start < part.start {
            all.insert(start, Piece { end: part.start, region: Arc::clone(&piece.region) });
        }
        gone.push(piece);
    }
    drop(all);
}
