//! The one mapping from Rust's errors to the classes of `zpager.errors`.

use pyo3::prelude::*;
use pyo3::types::PyString;
use zpager_linux::Error;

/// The Python exception of an error.
pub fn raise(python: Python<'_>, error: &Error) -> PyErr {
    let class = match error {
        Error::Configuration(_) => "ConfigurationError",
        Error::UserfaultfdUnavailable(_) => "UserfaultfdUnavailable",
        Error::Device(..) => "DeviceError",
        Error::OutOfSwap(_) => "OutOfSwap",
        Error::PageLost(_) => "PageLost",
        Error::Closed => "ClosedError",
    };
    let message = PyString::new(python, &error.to_string());
    let exception = python
        .import("zpager.errors")
        .and_then(|module| module.getattr(class))
        .and_then(|class| class.call1((message,)));
    match exception {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// A `ConfigurationError` that says this.
pub fn misconfigured(python: Python<'_>, message: String) -> PyErr {
    raise(python, &Error::Configuration(message))
}
