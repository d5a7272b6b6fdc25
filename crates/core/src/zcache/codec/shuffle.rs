//! Shuffle by item size (as in Blosc and HDF5): all first bytes of the page's items, then all
//! second bytes, and so on. Numbers of similar size then show their equal high bytes in long
//! runs, which LZ4 alone cannot see. The shuffle of bits (as in Bitshuffle) goes on with that to
//! the bits of numbers.
//!
//! The highest byte and bit of a number come first: that is where the runs are. A run at a page's
//! start is copied from one byte before, which LZ4 does much faster than from any odd distance,
//! as it finds one behind noise.
//!
//! Pages need not begin with an item: the period is what counts, not the phase.

use super::form::{BITS, DIFFERENCES, item_bytes_of};
use super::numbers;
use crate::page::{PAGE_BYTES, Page};

/// Brings a page into a form, which is not plain; `spare` is overwritten.
pub fn shuffle(from: &Page, to: &mut Page, spare: &mut Page, form: u8) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { avx2::shuffle(from, to, spare, form) };
    }
    shuffle_here(from, to, spare, form);
}

/// The reverse; `from` is overwritten, too.
pub fn unshuffle(from: &mut Page, to: &mut Page, spare: &mut Page, form: u8) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { avx2::unshuffle(from, to, spare, form) };
    }
    unshuffle_here(from, to, spare, form);
}

/// The same, compiled for vectors twice as wide.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use crate::page::Page;

    #[target_feature(enable = "avx2")]
    pub fn shuffle(from: &Page, to: &mut Page, spare: &mut Page, form: u8) {
        super::shuffle_here(from, to, spare, form);
    }

    #[target_feature(enable = "avx2")]
    pub fn unshuffle(from: &mut Page, to: &mut Page, spare: &mut Page, form: u8) {
        super::unshuffle_here(from, to, spare, form);
    }
}

#[inline(always)]
fn shuffle_here(from: &Page, to: &mut Page, spare: &mut Page, form: u8) {
    let item_bytes = item_bytes_of(form);
    if !matches!(item_bytes, 2 | 4 | 8) {
        return shuffle_any(from, to, item_bytes.into());
    }
    // The last round ends in `to`.
    let (one, other) = if item_bytes == 4 { (&mut *spare, &mut *to) } else { (&mut *to, &mut *spare) };
    if form >= DIFFERENCES {
        match item_bytes {
            2 => numbers::u16::subtract(from, other),
            4 => numbers::u32::subtract(from, other),
            _ => numbers::u64::subtract(from, other),
        }
        deal(other, one);
    } else {
        deal(from, one);
    }
    if item_bytes >= 4 {
        deal(one, other);
    }
    if item_bytes == 8 {
        deal(other, one);
    }
    if form >= BITS {
        turn_items(to, item_bytes);
    }
}

#[inline(always)]
fn unshuffle_here(from: &mut Page, to: &mut Page, spare: &mut Page, form: u8) {
    let item_bytes = item_bytes_of(form);
    if !matches!(item_bytes, 2 | 4 | 8) {
        return unshuffle_any(from, to, item_bytes.into());
    }
    if form >= BITS {
        turn_items(from, item_bytes);
    }
    let (one, other) = if item_bytes == 4 { (&mut *spare, &mut *to) } else { (&mut *to, &mut *spare) };
    riffle(from, one);
    if item_bytes >= 4 {
        riffle(one, other);
    }
    if item_bytes == 8 {
        riffle(other, one);
    }
    if form >= DIFFERENCES {
        match item_bytes {
            2 => numbers::u16::add(to),
            4 => numbers::u32::add(to),
            _ => numbers::u64::add(to),
        }
    }
}

const HALF: usize = PAGE_BYTES / 2;
/// Bytes that are dealt at a time, and pairs of them.
const DEALT: usize = 2 * PAIRS;
const PAIRS: usize = 16;

/// Deals the page out like cards, one byte to the right half, the next to the left. Byte `b` of
/// item `i` stands at the index with the bits `iii…bbb`; dealing turns an index's lowest bit into
/// its highest, and inverts it, so that after as many rounds as the item has index bits it is
/// `bbbiii…`, the highest byte first.
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
        *left = pairs.map(|pair| (pair >> 8) as u8);
        *right = pairs.map(|pair| pair as u8);
    }
}

/// The reverse of dealing: both halves merged, a byte from each in turn.
#[inline(always)]
fn riffle(from: &Page, to: &mut Page) {
    let (left, right) = from.split_at(HALF);
    for ((pair, left), right) in to.chunks_exact_mut(2).zip(left).zip(right) {
        pair[0] = *right;
        pair[1] = *left;
    }
}

/// Turns all planes of a page. Each size is compiled for itself, which is five times as fast.
#[inline(always)]
fn turn_items(page: &mut Page, item_bytes: u8) {
    match item_bytes {
        2 => turn::<{ PAGE_BYTES / 2 / 8 }>(page),
        4 => turn::<{ PAGE_BYTES / 4 / 8 }>(page),
        _ => turn::<{ PAGE_BYTES / 8 / 8 }>(page),
    }
}

/// Words of a row that are turned at a time: a vector.
const WORDS: usize = 4;
const WORD_BYTES: usize = 8;
type Rows = [[u64; WORDS]; 8];

/// Cuts a plane, the bytes of one place in all items, into 8 rows and turns each column of 8 bytes
/// like a chessboard: row `r` then has the bits `7 - r` of all bytes. That is its own reverse.
#[inline(always)]
fn turn<const ROW_BYTES: usize>(page: &mut Page) {
    for plane in page.chunks_exact_mut(8 * ROW_BYTES) {
        for column in (0..ROW_BYTES).step_by(WORDS * WORD_BYTES) {
            let mut rows: Rows = [[0; WORDS]; 8];
            for row in 0..8 {
                let bytes = plane[row * ROW_BYTES + column..].as_chunks::<WORD_BYTES>().0;
                for word in 0..WORDS {
                    rows[row][word] = u64::from_le_bytes(bytes[word]);
                }
            }
            for row in [0, 1, 2, 3] {
                swap::<4>(&mut rows, row, 0x0f0f_0f0f_0f0f_0f0f);
            }
            for row in [0, 1, 4, 5] {
                swap::<2>(&mut rows, row, 0x3333_3333_3333_3333);
            }
            for row in [0, 2, 4, 6] {
                swap::<1>(&mut rows, row, 0x5555_5555_5555_5555);
            }
            for row in 0..8 {
                let bytes = plane[row * ROW_BYTES + column..].as_chunks_mut::<WORD_BYTES>().0;
                for word in 0..WORDS {
                    bytes[word] = rows[row][word].to_le_bytes();
                }
            }
        }
    }
}

/// Swaps the lower part (by `mask`) of a row's bytes for the upper part of those `DISTANCE` rows below.
#[inline(always)]
fn swap<const DISTANCE: usize>(rows: &mut Rows, row: usize, mask: u64) {
    let (above, below) = rows.split_at_mut(row + DISTANCE);
    for (upper, lower) in above[row].iter_mut().zip(&mut below[0]) {
        let swapped = (*upper ^ (*lower >> DISTANCE)) & mask;
        *upper ^= swapped;
        *lower ^= swapped << DISTANCE;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn noise() -> Page {
        let mut state = 7_u32;
        Page(std::array::from_fn(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        }))
    }

    #[test]
    fn every_form_has_a_reverse_with_and_without_avx2() {
        let (before, mut spare) = (noise(), Page::ZERO);
        for form in 1..=u8::MAX {
            let mut shuffled = [Page::ZERO, Page::ZERO];
            shuffle(&before, &mut shuffled[0], &mut spare, form);
            shuffle_here(&before, &mut shuffled[1], &mut spare, form);
            assert!(shuffled[0][..] == shuffled[1][..], "form {form:#x}");
            for (with, shuffled) in [unshuffle, unshuffle_here].into_iter().zip(&mut shuffled) {
                let mut after = Page::ZERO;
                with(shuffled, &mut after, &mut spare, form);
                assert!(before[..] == after[..], "form {form:#x}");
            }
        }
    }

    #[test]
    fn a_bit_of_all_numbers_is_one_plane_the_highest_first() {
        for item_bytes in [2, 4, 8] {
            let plane_bytes = PAGE_BYTES / item_bytes / 8;
            for bit in 0..item_bytes * 8 {
                let (mut page, mut to, mut spare) = (Page::ZERO, Page::ZERO, Page::ZERO);
                for item in page.chunks_exact_mut(item_bytes) {
                    item[bit / 8] = 1 << (bit % 8);
                }
                shuffle(&page, &mut to, &mut spare, BITS + item_bytes as u8);
                let start = (item_bytes * 8 - 1 - bit) * plane_bytes;
                for (at, byte) in to.iter().enumerate() {
                    let is_inside = (start..start + plane_bytes).contains(&at);
                    assert_eq!(*byte, if is_inside { 0xff } else { 0 }, "bit {bit} of {item_bytes}, at {at}");
                }
            }
        }
    }
}
