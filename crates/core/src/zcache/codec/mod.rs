//! Codecs: a page to compressed bytes and back.
//!
//! [`Compressor`] is what a task works with: the [form] that suits a page, codec, checksum. It owns
//! all the memory it needs, because stores and loads happen inside page faults.

mod form;
mod lz4;
pub mod measure;
mod numbers;
pub mod recorded;
mod shuffle;
mod zstd;

use std::str::FromStr;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::pool::ZpageHeader;
use super::same_filled;
use crate::page::{Page, PageNumber};

pub use form::TEXT;

/// A zpage that does not decompress to a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

/// One codec with its working memory.
pub trait Codec: Send {
    /// Compresses a page into `into`; the length, or `None` where it does not fit.
    fn compress(&mut self, page: &Page, into: &mut [u8]) -> Option<usize>;

    /// The reverse. Never writes past `into`, whatever the bytes are.
    fn decompress(&mut self, bytes: &[u8], into: &mut Page) -> Result<(), Corrupt>;

    /// Bytes of working memory.
    fn memory_bytes(&self) -> usize;
}

/// The codecs by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodecKind {
    /// LZ4: fastest.
    Lz4,
    /// Zstandard at level 1: a third smaller, three times as slow.
    Zstd,
    /// None: [`recorded`] lengths, for pages without contents.
    Recorded,
}

impl FromStr for CodecKind {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "lz4" => Ok(CodecKind::Lz4),
            "zstd" => Ok(CodecKind::Zstd),
            _ => Err(()),
        }
    }
}

impl CodecKind {
    /// All that a program can have.
    pub const ALL: [CodecKind; 2] = [CodecKind::Lz4, CodecKind::Zstd];

    /// The name that it is known by.
    pub fn name(self) -> &'static str {
        match self {
            CodecKind::Lz4 => "lz4",
            CodecKind::Zstd => "zstd",
            CodecKind::Recorded => "recorded",
        }
    }

    fn codec(self) -> Box<dyn Codec> {
        match self {
            CodecKind::Lz4 => Box::new(lz4::Lz4::new()),
            CodecKind::Zstd => Box::new(zstd::Zstd::new()),
            CodecKind::Recorded => Box::new(recorded::Recorded),
        }
    }
}

/// Form, codec and checksum in one, with their working memory.
pub struct Compressor {
    codec: Box<dyn Codec>,
    shuffled: Box<Page>,
    spare: Box<Page>,
}

impl Compressor {
    /// A compressor with working memory of its own.
    pub fn new(kind: CodecKind) -> Self {
        Compressor { codec: kind.codec(), shuffled: Box::new(Page::ZERO), spare: Box::new(Page::ZERO) }
    }

    /// Bytes of working memory.
    pub fn memory_bytes(&self) -> usize {
        self.codec.memory_bytes() + 2 * size_of::<Page>()
    }

    /// Compresses a page of items of a size, or of [`TEXT`], into `into`. `None` where the result
    /// would be longer than that.
    pub fn compress(
        &mut self,
        page: PageNumber,
        contents: &Page,
        item_bytes: u8,
        into: &mut [u8],
    ) -> Option<ZpageHeader> {
        let form = form::choose(contents, item_bytes);
        let source = if form == form::PLAIN {
            contents
        } else {
            shuffle::shuffle(contents, &mut self.shuffled, &mut self.spare, form);
            &*self.shuffled
        };
        let length = self.codec.compress(source, into)?;
        Some(ZpageHeader {
            page,
            checksum: checksum(page, form, &into[..length]),
            length: length as u16,
            form,
        })
    }

    /// Decompresses a zpage, or finds that it is not what was stored for that page.
    pub fn decompress(&mut self, header: &ZpageHeader, bytes: &[u8], into: &mut Page) -> Result<(), Corrupt> {
        if checksum(header.page, header.form, bytes) != header.checksum {
            return Err(Corrupt);
        }
        match header.form {
            VALUE_ITSELF => {
                let value = bytes.try_into().map_err(|_| Corrupt)?;
                same_filled::fill(into, u64::from_le_bytes(value));
                Ok(())
            }
            form::PLAIN => self.codec.decompress(bytes, into),
            form => {
                self.codec.decompress(bytes, &mut self.shuffled)?;
                shuffle::unshuffle(&mut self.shuffled, into, &mut self.spare, form);
                Ok(())
            }
        }
    }
}

/// Where a zpage's form would be: its bytes are the value of a same-filled page for which
/// the table of values had no room.
const VALUE_ITSELF: u8 = 0;

/// The zpage of a page that is one value over and over.
pub fn zpage_of_value(page: PageNumber, value: u64) -> (ZpageHeader, [u8; 8]) {
    let bytes = value.to_le_bytes();
    let checksum = checksum(page, VALUE_ITSELF, &bytes);
    (ZpageHeader { page, checksum, length: bytes.len() as u16, form: VALUE_ITSELF }, bytes)
}

/// Of everything that decides what comes out: a header can be damaged, too.
fn checksum(page: PageNumber, form: u8, bytes: &[u8]) -> u32 {
    xxh3_64_with_seed(bytes, u64::from(form) << 32 | u64::from(page.0)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::PAGE_BYTES;

    fn contents(seed: u64) -> Page {
        let mut page = Page::ZERO;
        let mut state = seed | 1;
        for (at, byte) in page.iter_mut().enumerate() {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let noise = [0x01, 0x0f, 0xff][(seed % 3) as usize];
            *byte = (at / 64) as u8 ^ (state as u8 & noise);
        }
        page
    }

    #[test]
    fn every_codec_gives_back_what_it_got_at_every_item_size() {
        let mut bytes = vec![0; PAGE_BYTES * 2];
        for kind in [CodecKind::Lz4, CodecKind::Zstd] {
            let mut compressor = Compressor::new(kind);
            for item_bytes in 1..=TEXT {
                for seed in 0..6 {
                    let (page, before) = (PageNumber(seed), contents(u64::from(seed)));
                    let header = compressor.compress(page, &before, item_bytes, &mut bytes).unwrap();
                    let mut after = contents(99);
                    let zpage = &bytes[..usize::from(header.length)];
                    compressor.decompress(&header, zpage, &mut after).unwrap();
                    assert!(before[..] == after[..], "{kind:?}, items of {item_bytes} bytes, seed {seed}");
                }
            }
        }
    }

    /// Pages as columns have them, each with a number of its own in front.
    fn columns(pages: u64) -> impl Iterator<Item = Page> {
        let mut state = 1_u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let (mut moment, mut price) = (1_700_000_000_000, 1e4_f64);
        (0..pages).map(move |number| {
            let mut page = Page::ZERO;
            for (at, bytes) in page.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                let value = match number % 5 {
                    _ if at == 0 => number,
                    0 => random() % 1000,
                    1 => {
                        moment += random() % 2000;
                        moment
                    }
                    2 => {
                        price += (random() % 11) as f64 - 5.0;
                        (price / 100.0).to_bits()
                    }
                    3 if random() % 10 > 0 => 0,
                    _ => random() << 33 ^ random() << 2,
                };
                *bytes = value.to_le_bytes();
            }
            page
        })
    }

    #[test]
    fn the_form_chosen_is_the_best_however_pages_are_mixed() {
        let mut compressor = Compressor::new(CodecKind::Lz4);
        let mut bytes = vec![0; PAGE_BYTES * 2];
        // Beyond that no pool takes it, and no form is better than another.
        let seen = |length| usize::min(length, PAGE_BYTES * 4 / 5);
        for (number, page) in columns(100).enumerate() {
            let chosen = compressor.compress(PageNumber(0), &page, 8, &mut bytes).unwrap();
            let chosen_bytes = seen(chosen.length.into());
            for form in [form::PLAIN, 8, form::BITS + 8, form::DIFFERENCES + 8] {
                let Compressor { codec, shuffled, spare } = &mut compressor;
                if form == form::PLAIN {
                    shuffled.copy_from_slice(&page[..]);
                } else {
                    shuffle::shuffle(&page, shuffled, spare, form);
                }
                let other_bytes = seen(codec.compress(shuffled, &mut bytes).unwrap());
                assert!(
                    chosen_bytes <= other_bytes + other_bytes / 50,
                    "page {number} in form {:#x}: {chosen_bytes}, in form {form:#x}: {other_bytes}",
                    chosen.form
                );
            }
        }
    }

    #[test]
    fn a_value_is_a_zpage_like_any_other() {
        let (header, mut bytes) = zpage_of_value(PageNumber(4), 0x3ff0_0000_0000_0001);
        let mut compressor = Compressor::new(CodecKind::Lz4);
        let mut after = Page::ZERO;
        compressor.decompress(&header, &bytes, &mut after).unwrap();
        assert_eq!(same_filled::value_of(&after), Some(0x3ff0_0000_0000_0001));
        bytes[3] ^= 1;
        assert_eq!(compressor.decompress(&header, &bytes, &mut after), Err(Corrupt));
    }

    #[test]
    fn a_zpage_that_does_not_fit_is_refused_and_a_damaged_one_is_found() {
        for kind in [CodecKind::Lz4, CodecKind::Zstd] {
            let mut compressor = Compressor::new(kind);
            let mut bytes = vec![0; PAGE_BYTES];
            assert!(compressor.compress(PageNumber(0), &contents(2), 1, &mut bytes[..3000]).is_none());
            let header = compressor.compress(PageNumber(0), &contents(3), 4, &mut bytes).unwrap();
            let zpage = &mut bytes[..usize::from(header.length)];
            let mut after = Page::ZERO;
            zpage[10] ^= 4;
            assert_eq!(compressor.decompress(&header, zpage, &mut after), Err(Corrupt));
            zpage[10] ^= 4;
            for other in [ZpageHeader { page: PageNumber(1), ..header }, ZpageHeader { form: 8, ..header }] {
                assert_eq!(compressor.decompress(&other, zpage, &mut after), Err(Corrupt));
            }
        }
    }
}
