//! Zstandard at level 1, with contexts that have done their allocations beforehand.

use zstd_safe::{CCtx, CParameter, DCtx};

use super::{Codec, Corrupt};
use crate::page::{PAGE_BYTES, Page};

const LEVEL: i32 = 1;

pub struct Zstd {
    compress: CCtx<'static>,
    decompress: DCtx<'static>,
}

impl Zstd {
    pub fn new() -> Self {
        let mut compress = CCtx::create();
        for parameter in [
            CParameter::CompressionLevel(LEVEL),
            CParameter::ContentSizeFlag(false),
            CParameter::ChecksumFlag(false),
            CParameter::DictIdFlag(false),
        ] {
            compress.set_parameter(parameter).expect("every zstd knows these parameters");
        }
        let mut zstd = Zstd { compress, decompress: DCtx::create() };
        // The first page makes zstd allocate what it will use ever after.
        let mut bytes = vec![0; zstd_safe::compress_bound(PAGE_BYTES)];
        let length = zstd.compress(&Page::ZERO, &mut bytes).expect("a bounded page fits");
        zstd.decompress(&bytes[..length], &mut Page::ZERO.clone()).expect("what was just compressed");
        zstd
    }
}

impl Codec for Zstd {
    fn compress(&mut self, page: &Page, into: &mut [u8]) -> Option<usize> {
        self.compress.compress2(into, &page[..]).ok()
    }

    fn decompress(&mut self, bytes: &[u8], into: &mut Page) -> Result<(), Corrupt> {
        match self.decompress.decompress(&mut into[..], bytes) {
            Ok(PAGE_BYTES) => Ok(()),
            _ => Err(Corrupt),
        }
    }

    fn memory_bytes(&self) -> usize {
        self.compress.sizeof() + self.decompress.sizeof()
    }
}
