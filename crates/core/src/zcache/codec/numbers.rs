//! Pages as numbers: their differences, and a sample of them.
//!
//! A difference is *folded*, its sign in the lowest bit: small ones of both signs then have their
//! upper bits alike.

use crate::page::{PAGE_BYTES, Page};

/// How many pairs of neighbours a sample has.
pub const SAMPLES: u32 = 64;

/// What a sample of neighbours in a page shows.
pub struct Sample {
    /// How many are not alike.
    pub changes: u32,
    /// In how many bits neighbours differ. A bit counts from its second time on, so that a single
    /// odd number does not matter.
    pub bits: u32,
    /// In how many bits their differences are not 0, counted in the same way.
    pub difference_bits: u32,
}

macro_rules! numbers {
    ($number:ident, $signed:ident) => {
        pub mod $number {
            use super::*;

            const BYTES: usize = size_of::<$number>();

            #[inline(always)]
            fn folded(before: $number, number: $number) -> $number {
                let difference = number.wrapping_sub(before) as $signed;
                ((difference << 1) ^ (difference >> ($number::BITS - 1))) as $number
            }

            /// The first number, and of all others the difference to the one before.
            #[inline(always)]
            pub fn subtract(from: &Page, to: &mut Page) {
                let (from, to) = (from.as_chunks::<BYTES>().0, to.as_chunks_mut::<BYTES>().0);
                to[0] = from[0];
                for (pair, to) in from.windows(2).zip(&mut to[1..]) {
                    *to = folded($number::from_le_bytes(pair[0]), $number::from_le_bytes(pair[1]))
                        .to_le_bytes();
                }
            }

            /// The reverse, in place.
            #[inline(always)]
            pub fn add(page: &mut Page) {
                let numbers = page.as_chunks_mut::<BYTES>().0;
                let mut last = $number::from_le_bytes(numbers[0]);
                for bytes in &mut numbers[1..] {
                    let folded = $number::from_le_bytes(*bytes);
                    last = last.wrapping_add((folded >> 1) ^ (folded & 1).wrapping_neg());
                    *bytes = last.to_le_bytes();
                }
            }

            /// Looks at pairs of neighbours all over a page.
            pub fn sample(page: &Page) -> Sample {
                let numbers = page.as_chunks::<BYTES>().0;
                let (mut once, mut twice, mut changes) = ([0; 2], [0; 2], 0);
                let stretches = numbers.chunks_exact(PAGE_BYTES / BYTES / SAMPLES as usize);
                for (index, stretch) in stretches.enumerate() {
                    // Not always at the same place: rows of a table would show two columns only.
                    let at = index % (stretch.len() - 1);
                    let (before, number) =
                        ($number::from_le_bytes(stretch[at]), $number::from_le_bytes(stretch[at + 1]));
                    for (kind, bits) in [before ^ number, folded(before, number)].into_iter().enumerate() {
                        twice[kind] |= once[kind] & bits;
                        once[kind] |= bits;
                    }
                    changes += u32::from(before != number);
                }
                let [bits, difference_bits] = twice.map($number::count_ones);
                Sample { changes, bits, difference_bits }
            }
        }
    };
}

numbers!(u16, i16);
numbers!(u32, i32);
numbers!(u64, i64);
