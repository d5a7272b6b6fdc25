//! Byte shuffle by item size (as in Blosc and HDF5): all first bytes of the page's items, then
//! all second bytes, and so on. Numbers of similar size then show their equal high bytes in
//! long runs, which LZ4 alone cannot see.
//!
//! Pages need not begin with an item: the period is what counts, not the phase.

use crate::page::{PAGE_BYTES, Page};

/// The largest item that is shuffled.
pub const ITEM_BYTES_MAX: u8 = 64;

/// Shuffles a page; `spare` is overwritten.
pub fn shuffle(from: &Page, to: &mut Page, spare: &mut Page, item_bytes: u8) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { avx2::shuffle(from, to, spare, item_bytes) };
    }
    shuffle_here(from, to, spare, item_bytes);
}

/// The reverse.
pub fn unshuffle(from: &Page, to: &mut Page, spare: &mut Page, item_bytes: u8) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { avx2::unshuffle(from, to, spare, item_bytes) };
    }
    unshuffle_here(from, to, spare, item_bytes);
}

/// The same, compiled for vectors twice as wide.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use crate::page::Page;

    #[target_feature(enable = "avx2")]
    pub fn shuffle(from: &Page, to: &mut Page, spare: &mut Page, item_bytes: u8) {
        super::shuffle_here(from, to, spare, item_bytes);
    }

    #[target_feature(enable = "avx2")]
    pub fn unshuffle(from: &Page, to: &mut Page, spare: &mut Page, item_bytes: u8) {
        super::unshuffle_here(from, to, spare, item_bytes);
    }
}

#[inline(always)]
fn shuffle_here(from: &Page, to: &mut Page, spare: &mut Page, item_bytes: u8) {
    match item_bytes {
        2 => deal(from, to),
        4 => {
            deal(from, spare);
            deal(spare, to);
        }
        8 => {
            deal(from, to);
            deal(to, spare);
            deal(spare, to);
        }
        _ => shuffle_any(from, to, item_bytes.into()),
    }
}

#[inline(always)]
fn unshuffle_here(from: &Page, to: &mut Page, spare: &mut Page, item_bytes: u8) {
    match item_bytes {
        2 => riffle(from, to),
        4 => {
            riffle(from, spare);
            riffle(spare, to);
        }
        8 => {
            riffle(from, to);
            riffle(to, spare);
            riffle(spare, to);
        }
        _ => unshuffle_any(from, to, item_bytes.into()),
    }
}

const HALF: usize = PAGE_BYTES / 2;
/// Bytes that are dealt at a time, and pairs of them.
const DEALT: usize = 2 * PAIRS;
const PAIRS: usize = 16;

/// Deals the page out like cards, one byte to the left half, the next to the right. Byte `b` of
/// item `i` stands at the index with the bits `iii…bbb`; dealing turns an index's lowest bit into
/// its highest, so that after as many rounds as the item has index bits it is `bbbiii…`.
#[inline(always)]
fn deal(from: &Page, to: &mut Page) {
    let (left, right) = to.split_at_mut(HALF);
    let (from, left, right) =
        (from.as_chunks::<DEALT>().0, left.as_chunks_mut::<PAIRS>().0, right.as_chunks_mut::<PAIRS>().0);
    for ((dealt, left), right) in from.iter().zip(left).zip(right) {
        // As words, whose halves the compiler packs by a few vector instructions; byte by byte it
        // does not see that.
        let pairs: [u16; PAIRS] =
            std::array::from_fn(|at| u16::from_le_bytes([dealt[2 * at], dealt[2 * at + 1]]));
        *left = pairs.map(|pair| pair as u8);
        *right = pairs.map(|pair| (pair >> 8) as u8);
    }
}

/// The reverse of dealing: both halves merged, a byte from each in turn.
#[inline(always)]
fn riffle(from: &Page, to: &mut Page) {
    let (left, right) = from.split_at(HALF);
    for ((pair, left), right) in to.chunks_exact_mut(2).zip(left).zip(right) {
        pair[0] = *left;
        pair[1] = *right;
    }
}

#[inline(always)]
fn shuffle_any(from: &Page, to: &mut Page, item: usize) {
    let items = PAGE_BYTES / item;
    for byte in 0..item {
        for (index, out) in to[byte * items..][..items].iter_mut().enumerate() {
            *out = from[index * item + byte];
        }
    }
    to[items * item..].copy_from_slice(&from[items * item..]);
}

#[inline(always)]
fn unshuffle_any(from: &Page, to: &mut Page, item: usize) {
    let items = PAGE_BYTES / item;
    for byte in 0..item {
        for (index, value) in from[byte * items..][..items].iter().enumerate() {
            to[index * item + byte] = *value;
        }
    }
    to[items * item..].copy_from_slice(&from[items * item..]);
}
