//! LZ4, with the state that the C library would otherwise put on the stack or the heap.

use std::ffi::c_char;

use super::{Codec, Corrupt};
use crate::page::{PAGE_BYTES, Page};

/// 1 is LZ4's default: the best ratio of its fast mode.
const ACCELERATION: i32 = 1;

pub struct Lz4 {
    /// In words, for their alignment.
    state: Vec<u64>,
}

// The two entry points that work on memory of the caller's; lz4-sys does not declare the first.
unsafe extern "C" {
    fn LZ4_sizeofState() -> i32;
    fn LZ4_compress_fast_extState(
        state: *mut u64,
        source: *const c_char,
        target: *mut c_char,
        source_bytes: i32,
        target_bytes: i32,
        acceleration: i32,
    ) -> i32;
}

impl Lz4 {
    pub fn new() -> Self {
        // SAFETY: takes nothing and returns a constant.
        let state_bytes = unsafe { LZ4_sizeofState() } as usize;
        Lz4 { state: vec![0; state_bytes.div_ceil(size_of::<u64>())] }
    }
}

impl Codec for Lz4 {
    fn compress(&mut self, page: &Page, into: &mut [u8]) -> Option<usize> {
        // SAFETY: the state is as long as the library asked and aligned to 8 bytes; it reads
        // PAGE_BYTES of a page and writes at most `into.len()` bytes.
        let length = unsafe {
            LZ4_compress_fast_extState(
                self.state.as_mut_ptr(),
                page.as_ptr().cast(),
                into.as_mut_ptr().cast(),
                PAGE_BYTES as i32,
                into.len() as i32,
                ACCELERATION,
            )
        };
        (length > 0).then_some(length as usize)
    }

    fn decompress(&mut self, bytes: &[u8], into: &mut Page) -> Result<(), Corrupt> {
        // SAFETY: reads at most `bytes`, writes at most PAGE_BYTES of `into`, whatever the
        // bytes are: that is what `_safe` stands for.
        let length = unsafe {
            lz4_sys::LZ4_decompress_safe(
                bytes.as_ptr().cast(),
                into.as_mut_ptr().cast(),
                bytes.len() as i32,
                PAGE_BYTES as i32,
            )
        };
        if length == PAGE_BYTES as i32 { Ok(()) } else { Err(Corrupt) }
    }

    fn memory_bytes(&self) -> usize {
        size_of_val(&self.state[..])
    }
}
