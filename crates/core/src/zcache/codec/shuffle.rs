//! Byte shuffle by item size (as in Blosc and HDF5): all first bytes of the page's items, then
//! all second bytes, and so on. Numbers of similar size then show their equal high bytes in
//! long runs, which LZ4 alone cannot see.
//!
//! Pages need not begin with an item: the period is what counts, not the phase.

use crate::page::{PAGE_BYTES, Page};

/// The largest item that is shuffled.
pub const ITEM_BYTES_MAX: u8 = 64;

pub fn shuffle(from: &Page, to: &mut Page, item_bytes: u8) {
    match item_bytes {
        2 => shuffle_fixed::<2>(from, to),
        4 => shuffle_fixed::<4>(from, to),
        8 => shuffle_fixed::<8>(from, to),
        16 => shuffle_fixed::<16>(from, to),
        _ => shuffle_any(from, to, item_bytes.into()),
    }
}

pub fn unshuffle(from: &Page, to: &mut Page, item_bytes: u8) {
    match item_bytes {
        2 => unshuffle_fixed::<2>(from, to),
        4 => unshuffle_fixed::<4>(from, to),
        8 => unshuffle_fixed::<8>(from, to),
        16 => unshuffle_fixed::<16>(from, to),
        _ => unshuffle_any(from, to, item_bytes.into()),
    }
}

/// Items that are shuffled at a time: as many as a vector register has bytes, so that the
/// compiler makes vector instructions of the inner loops.
const BLOCK: usize = 16;

fn shuffle_fixed<const ITEM: usize>(from: &Page, to: &mut Page) {
    let items = PAGE_BYTES / ITEM;
    for (block, bytes) in from.chunks_exact(BLOCK * ITEM).enumerate() {
        for byte in 0..ITEM {
            let lane = &mut to[byte * items + block * BLOCK..][..BLOCK];
            for (item, out) in lane.iter_mut().enumerate() {
                *out = bytes[item * ITEM + byte];
            }
        }
    }
}

fn unshuffle_fixed<const ITEM: usize>(from: &Page, to: &mut Page) {
    let items = PAGE_BYTES / ITEM;
    for (block, bytes) in to.chunks_exact_mut(BLOCK * ITEM).enumerate() {
        for byte in 0..ITEM {
            let lane = &from[byte * items + block * BLOCK..][..BLOCK];
            for (item, value) in lane.iter().enumerate() {
                bytes[item * ITEM + byte] = *value;
            }
        }
    }
}

fn shuffle_any(from: &Page, to: &mut Page, item: usize) {
    let items = PAGE_BYTES / item;
    for byte in 0..item {
        for (index, out) in to[byte * items..][..items].iter_mut().enumerate() {
            *out = from[index * item + byte];
        }
    }
    to[items * item..].copy_from_slice(&from[items * item..]);
}

fn unshuffle_any(from: &Page, to: &mut Page, item: usize) {
    let items = PAGE_BYTES / item;
    for byte in 0..item {
        for (index, value) in from[byte * items..][..items].iter().enumerate() {
            to[index * item + byte] = *value;
        }
    }
    to[items * item..].copy_from_slice(&from[items * item..]);
}
