//! Memory as an object with the buffer protocol.

use std::ffi::c_int;
use std::sync::Arc;

use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use zpager_core::page::PAGE_BYTES;
use zpager_linux::Error;
use zpager_linux::pager::Region;

use crate::engine::Live;
use crate::errors::{misconfigured, raise};

/// Zeroed, writable, C-contiguous memory that may be larger than RAM: an object with the buffer protocol.
#[pyclass(frozen, module = "zpager._core")]
pub struct Allocation {
    /// `None` only while it is being dropped.
    region: Option<Arc<Region>>,
    nbytes: usize,
    number: u64,
    live: Arc<Live>,
}

impl Allocation {
    pub fn new(region: Arc<Region>, nbytes: usize, number: u64, live: Arc<Live>) -> Self {
        Allocation { region: Some(region), nbytes, number, live }
    }

    fn region(&self) -> &Region {
        self.region.as_ref().expect("an allocation that can be named is not being dropped")
    }
}

#[pymethods]
impl Allocation {
    /// The size in bytes, as it was asked for.
    #[getter]
    fn nbytes(&self) -> usize {
        self.nbytes
    }

    /// Forget `length` bytes from `offset`: they read as zeros.
    fn discard(&self, python: Python<'_>, offset: i64, length: i64) -> PyResult<()> {
        let inside = || {
            let (offset, length) = (usize::try_from(offset).ok()?, usize::try_from(length).ok()?);
            let end = offset.checked_add(length)?;
            (end <= self.nbytes).then_some((offset, end))
        };
        let (offset, end) = inside().ok_or_else(|| {
            let nbytes = self.nbytes;
            let message =
                format!("discard({offset}, {length}): the range must lie inside the {nbytes} bytes");
            misconfigured(python, message)
        })?;
        let region = self.region();
        if region.pager().is_elsewhere() {
            return Err(raise(python, &Error::Closed));
        }
        python.detach(|| {
            let first = offset.next_multiple_of(PAGE_BYTES);
            // The last page belongs to the allocation as a whole.
            let last = if end == self.nbytes { end.next_multiple_of(PAGE_BYTES) } else { end } / PAGE_BYTES;
            let zero = |from: usize, to: usize| {
                // SAFETY: inside the region, which lives as long as `self`; other threads may
                // write there at the same time just as they may with any buffer.
                unsafe { region.base().add(from).write_bytes(0, to - from) };
            };
            if first / PAGE_BYTES < last {
                region.discard_pages((first / PAGE_BYTES) as u32, (last - first / PAGE_BYTES) as u32);
                zero(offset, first);
                zero((last * PAGE_BYTES).min(end), end);
            } else {
                zero(offset, end);
            }
        });
        Ok(())
    }

    /// The memory as writable bytes.
    ///
    /// # Safety
    /// Called by the interpreter with a view to fill.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("the view is null"));
        }
        let this = slf.get();
        // SAFETY: the memory is valid for `nbytes` as long as the object, which the view keeps alive.
        let result = unsafe {
            ffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                this.region().base().cast(),
                this.nbytes as ffi::Py_ssize_t,
                0,
                flags,
            )
        };
        if result == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }

    fn __repr__(&self) -> String {
        format!("<zpager Allocation of {} bytes>", self.nbytes)
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        let region = self.region.take().expect("dropped once");
        self.live.remove(self.number, region);
    }
}
