//! Pages without contents, for the lab: a page's first word says which page it is and how long its zpage
//! would be, and the rest is zeros.

use std::cell::Cell;

use super::{Codec, Corrupt};
use crate::page::{Page, PageNumber};

const LENGTH_BITS: u32 = 16;
const WORD_BYTES: usize = size_of::<u64>();

thread_local! {
    static COUNTS: Cell<Counts> = const { Cell::new(Counts { compressed: 0, decompressed: 0 }) };
}

/// How much this thread has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pages compressed.
    pub compressed: u64,
    /// Pages decompressed.
    pub decompressed: u64,
}

/// What this thread has done since it was last asked.
pub fn take_counts() -> Counts {
    COUNTS.take()
}

/// The first word of a page whose zpage is so long; 0 bytes is a page of zeros.
pub fn word(page: PageNumber, zpage_bytes: u16) -> u64 {
    if zpage_bytes == 0 { 0 } else { u64::from(page.0) << LENGTH_BITS | u64::from(zpage_bytes) }
}

/// See the module's description.
pub struct Recorded;

impl Codec for Recorded {
    fn compress(&mut self, page: &Page, into: &mut [u8]) -> Option<usize> {
        COUNTS.set(Counts { compressed: COUNTS.get().compressed + 1, ..COUNTS.get() });
        let word: &[u8; WORD_BYTES] = page.first_chunk().expect("a page is longer");
        let length = (u64::from_le_bytes(*word) & ((1 << LENGTH_BITS) - 1)) as usize;
        let zpage = into.get_mut(..length.max(WORD_BYTES))?;
        zpage.fill(0);
        zpage[..WORD_BYTES].copy_from_slice(word);
        Some(zpage.len())
    }

    fn decompress(&mut self, bytes: &[u8], into: &mut Page) -> Result<(), Corrupt> {
        COUNTS.set(Counts { decompressed: COUNTS.get().decompressed + 1, ..COUNTS.get() });
        into.fill(0);
        into[..WORD_BYTES].copy_from_slice(bytes.get(..WORD_BYTES).ok_or(Corrupt)?);
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        0
    }
}
