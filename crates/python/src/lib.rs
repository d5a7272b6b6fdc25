//! The extension module `zpager._core`: a thin layer over `zpager-linux` and `zpager-lab`. What it
//! offers is documented in `python/zpager/_core.pyi`.

mod allocation;
mod calls;
mod engine;
mod errors;
mod lab;
mod lab_policy;
mod probe;
mod zpages;

use pyo3::prelude::*;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<allocation::Allocation>()?;
    module.add_class::<engine::Engine>()?;
    module.add_class::<lab::Replayed>()?;
    module.add_class::<lab_policy::Units>()?;
    module.add_class::<lab::ReplayedThread>()?;
    module.add_function(wrap_pyfunction!(probe::probe, module)?)?;
    module.add_function(wrap_pyfunction!(lab::misses, module)?)?;
    module.add_function(wrap_pyfunction!(lab::replay, module)?)?;
    module.add_function(wrap_pyfunction!(zpages::zpage_bytes, module)?)?;
    module.add(
        "__all__",
        [
            "Allocation",
            "Engine",
            "Replayed",
            "ReplayedThread",
            "Units",
            "misses",
            "probe",
            "replay",
            "zpage_bytes",
        ],
    )
}
