//! Forms: what is done to a page's bytes before they are compressed, chosen page by page.
//!
//! - *Plain*: nothing. For bytes, and for numbers that repeat as a whole.
//! - *Bytes*: [shuffled](super::shuffle) by item size. For text and records.
//! - *Bits*: the same, bit by bit, for numbers. Bits that all have alike cost nothing then.
//! - *Differences*: bits of the differences between neighbours. For moments, walks, sorted keys.
//!
//! A sample of the page decides, and nothing is tried or remembered: bits and differences come to
//! as many bit planes as are not all alike, plain bytes to the numbers that are not the one before.

use super::numbers;
use crate::page::Page;

/// The largest item that is shuffled.
pub const ITEM_BYTES_MAX: u8 = 64;
/// In an item size's place: text of code points, 4 bytes each, whose bytes repeat and whose bits do not.
pub const TEXT: u8 = ITEM_BYTES_MAX + 1;

/// The form of a page that is left as it is. Bytes have their item size as form.
pub const PLAIN: u8 = 1;
/// From here on, with the item size (2, 4 or 8) added, they are bits...
pub const BITS: u8 = 0x80;
/// ...and from here on bits of differences.
pub const DIFFERENCES: u8 = 0xc0;

/// What LZ4 takes to tell of a match, as many bits.
const MATCH_BITS: u32 = 24;
/// What zsmalloc refuses, as a share of a page. Plain bytes never count as more: where bits would be
/// refused, repeats that the sample does not see are the only hope.
const REFUSED: (u32, u32) = (4, 5);

/// The form for a page of items of this size.
pub fn choose(page: &Page, item_bytes: u8) -> u8 {
    let sample = match item_bytes {
        2 => numbers::u16::sample(page),
        4 => numbers::u32::sample(page),
        8 => numbers::u64::sample(page),
        TEXT => return 4,
        other => return other,
    };
    let item_bits = 8 * u32::from(item_bytes);
    let plain =
        (sample.changes * (item_bits + MATCH_BITS) / numbers::SAMPLES).min(item_bits * REFUSED.0 / REFUSED.1);
    if plain <= sample.bits.min(sample.difference_bits) {
        PLAIN
    } else if sample.difference_bits < sample.bits {
        item_bytes + DIFFERENCES
    } else {
        item_bytes + BITS
    }
}

/// The item size of a page in this form, whatever the byte is.
pub fn item_bytes_of(form: u8) -> u8 {
    match form & !DIFFERENCES {
        item_bytes @ (2 | 4 | 8) if form >= BITS => item_bytes,
        _ => form,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(mut item: impl FnMut(u32) -> u32) -> Page {
        let mut page = Page::ZERO;
        for (at, bytes) in page.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            *bytes = item(at as u32).to_le_bytes();
        }
        page
    }

    fn noise(at: u32) -> u32 {
        at.wrapping_mul(0x9e37_79b9).rotate_left(15).wrapping_mul(0x85eb_ca6b) >> 7
    }

    #[test]
    fn the_contents_decide() {
        assert_eq!(choose(&page(|at| noise(at) % 1000), 4), BITS + 4);
        assert_eq!(choose(&page(|at| noise(at) % 2), 4), BITS + 4);
        assert_eq!(choose(&page(|at| 1_000_000 + 50 * at + noise(at) % 9), 4), DIFFERENCES + 4);
        assert_eq!(
            choose(&page(|at| if noise(at).is_multiple_of(10) { noise(at) << 7 } else { 0 }), 4),
            PLAIN
        );
        assert_eq!(choose(&page(|at| noise(at) << 7), 4), PLAIN);
        let odd = |at| if at == 17 { u32::MAX } else { 4 + noise(at) % 4 };
        assert_eq!(choose(&page(odd), 4), BITS + 4, "a single odd number, which the sample has");
    }

    #[test]
    fn what_is_no_number_keeps_its_bytes_whole() {
        let page = page(|at| 'a' as u32 + noise(at) % 26);
        assert_eq!([TEXT, 1, 3, 12, ITEM_BYTES_MAX].map(|items| choose(&page, items)), [4, 1, 3, 12, 64]);
    }
}
