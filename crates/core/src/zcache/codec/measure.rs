//! What pages come to under every codec, for whoever records what a program does.

use super::{CodecKind, Compressor};
use crate::page::{PAGE_BYTES, Page, PageNumber};
use crate::zcache::same_filled;

/// Every codec with its working memory.
pub struct Measure {
    compressors: [Compressor; CodecKind::ALL.len()],
    bytes: Box<Page>,
}

impl Default for Measure {
    fn default() -> Self {
        Measure { compressors: CodecKind::ALL.map(Compressor::new), bytes: Box::new(Page::ZERO) }
    }
}

impl Measure {
    /// The length of a page's zpage under each codec, in the order of [`CodecKind::ALL`]: 0 for a page that is
    /// one value over and over, a whole page where it would not be shorter.
    pub fn zpage_bytes(&mut self, contents: &Page, item_bytes: u8) -> [u16; CodecKind::ALL.len()] {
        if same_filled::value_of(contents).is_some() {
            return [0; CodecKind::ALL.len()];
        }
        let bytes = &mut self.bytes;
        self.compressors.each_mut().map(|compressor| {
            let header =
                compressor.compress(PageNumber(0), contents, item_bytes, &mut bytes[..PAGE_BYTES - 1]);
            header.map_or(PAGE_BYTES as u16, |header| header.length)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_comes_to_what_the_compressor_makes_of_it() {
        let mut page = Page::ZERO;
        let mut measure = Measure::default();
        assert_eq!(measure.zpage_bytes(&page, 8), [0, 0]);
        page.fill(0x33);
        assert_eq!(measure.zpage_bytes(&page, 8), [0, 0]);

        page[..1000].fill(0x34);
        let mut bytes = [0; PAGE_BYTES];
        let lengths = CodecKind::ALL
            .map(|kind| Compressor::new(kind).compress(PageNumber(7), &page, 8, &mut bytes).unwrap().length);
        assert_eq!(measure.zpage_bytes(&page, 8), lengths);

        let mut state = 1_u32;
        for byte in page.iter_mut() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (state >> 24) as u8;
        }
        assert_eq!(measure.zpage_bytes(&page, 8), [4096, 4096], "noise");
    }
}
