//! What pages compress to, for traces: the sizes without the pages.

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use zpager_core::page::{PAGE_BYTES, Page, PageNumber};
use zpager_core::zcache::codec::Compressor;
use zpager_core::zcache::same_filled;

use crate::engine::parse;
use crate::errors::misconfigured;

/// See the stub.
#[pyfunction]
pub fn zpage_bytes<'py>(
    python: Python<'py>,
    pages: PyBuffer<u8>,
    codec: &str,
    item_bytes: u8,
) -> PyResult<Bound<'py, PyBytes>> {
    let contents = pages.to_vec(python)?;
    let (pages, rest) = contents.as_chunks::<PAGE_BYTES>();
    if !rest.is_empty() {
        let message = format!("{} bytes are no whole number of pages of {PAGE_BYTES}", contents.len());
        return Err(misconfigured(python, message));
    }
    let mut compressor = Compressor::new(parse(python, "codec", codec, "\"lz4\", \"zstd\"")?);
    let sizes: Vec<u8> = python.detach(|| {
        let size = |page: &[u8; PAGE_BYTES]| {
            let page = Page(*page);
            if same_filled::value_of(&page).is_some() {
                return 0;
            }
            let header = compressor.compress(PageNumber(0), &page, item_bytes, &mut [0; PAGE_BYTES]);
            header.map_or(PAGE_BYTES as u16, |header| header.length)
        };
        pages.iter().map(size).flat_map(u16::to_ne_bytes).collect()
    });
    Ok(PyBytes::new(python, &sizes))
}
