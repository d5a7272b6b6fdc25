//! What this machine allows, for `zpager doctor`.

use pyo3::prelude::*;
use pyo3::types::PyDict;

/// What the kernel allows this process, found by trying.
#[pyfunction]
pub fn probe(python: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let found = zpager_linux::probe::probe();
    let facts = PyDict::new(python);
    facts.set_item("userfaultfd", found.why_not.is_none())?;
    facts.set_item("why_not", found.why_not)?;
    facts.set_item("user_mode_only", found.is_user_mode_only)?;
    facts.set_item("features", found.features)?;
    facts.set_item("missing_features", found.missing_features)?;
    facts.set_item("process_madvise", found.has_process_madvise)?;
    facts.set_item("io_uring", found.why_no_io_uring.is_none())?;
    facts.set_item("why_no_io_uring", found.why_no_io_uring)?;
    Ok(facts)
}
