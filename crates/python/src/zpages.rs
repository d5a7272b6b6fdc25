//! What pages come to when they are compressed, for the lab.

use std::collections::BTreeMap;

use pyo3::prelude::*;
use zpager_core::page::{PAGE_BYTES, Page};
use zpager_core::zcache::codec::CodecKind;
use zpager_core::zcache::codec::measure::Measure;

use crate::errors::misconfigured;

/// The length of each page's zpage, by codec.
#[pyfunction]
pub fn zpage_bytes(
    python: Python<'_>,
    pages: &[u8],
    item_bytes: u8,
) -> PyResult<BTreeMap<&'static str, Vec<u16>>> {
    let (pages, rest) = pages.as_chunks::<PAGE_BYTES>();
    if !rest.is_empty() {
        let message = format!("{} bytes beyond the last whole page; give whole pages", rest.len());
        return Err(misconfigured(python, message));
    }
    Ok(python.detach(|| {
        let mut measure = Measure::default();
        let mut page = Box::new(Page::ZERO);
        let mut lengths = CodecKind::ALL.map(|kind| (kind.name(), Vec::with_capacity(pages.len())));
        for contents in pages {
            page.copy_from_slice(contents);
            for ((_, of_codec), length) in lengths.iter_mut().zip(measure.zpage_bytes(&page, item_bytes)) {
                of_codec.push(length);
            }
        }
        lengths.into_iter().collect()
    }))
}
