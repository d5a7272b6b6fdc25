//! A policy of the pool that is written in Python, for the lab.
//!
//! The replay runs without the GIL and takes it for each call. The first exception is kept, and nothing of the
//! policy is called any more: the replay ends with it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use pyo3::call::PyCallArgs;
use pyo3::prelude::*;
use zpager_core::page::PageNumber;
use zpager_core::zcache::policy::{Policy, Units as CoreUnits};
use zpager_core::zcache::pool::unit_list::Side;

use crate::errors::misconfigured;

/// The exception that a policy ended with, if any.
#[derive(Clone, Default)]
pub struct Failure(Arc<Mutex<Option<PyErr>>>);

impl Failure {
    /// The exception, once.
    pub fn take(&self) -> Option<PyErr> {
        self.0.lock().expect("nothing panics under this lock").take()
    }
}

/// Units as a policy sees them while it is asked for the coldest.
#[pyclass(frozen, module = "zpager._core")]
pub struct Units {
    lent: Mutex<Option<Lent>>,
}

struct Lent(*mut (dyn CoreUnits + 'static));

// SAFETY: used under the mutex only, and gone from it before what it points to is used by anybody else.
unsafe impl Send for Lent {}

impl Units {
    fn with<T>(
        &self,
        python: Python<'_>,
        unit: u32,
        use_it: impl FnOnce(&mut dyn CoreUnits) -> T,
    ) -> PyResult<T> {
        let lent = self.lent.lock().expect("nothing panics under this lock");
        match &*lent {
            // SAFETY: it is there while `take_coldest` waits, which has it to itself (`Lent`).
            Some(Lent(units)) => Ok(use_it(unsafe { &mut **units })),
            None => {
                let message = format!("unit {unit}: units can be looked at in take_coldest only");
                Err(misconfigured(python, message))
            }
        }
    }
}

#[pymethods]
impl Units {
    fn frame_count(&self, python: Python<'_>, unit: u32) -> PyResult<u32> {
        self.with(python, unit, |units| units.frame_count(unit))
    }

    fn zpage_count(&self, python: Python<'_>, unit: u32) -> PyResult<u32> {
        self.with(python, unit, |units| units.zpage_count(unit))
    }

    fn take_referenced(&self, python: Python<'_>, unit: u32) -> PyResult<u32> {
        self.with(python, unit, |units| units.take_referenced(unit))
    }
}

/// The object's methods, and the units that it has.
pub struct PythonPolicy {
    insert: Py<PyAny>,
    stored: Py<PyAny>,
    used: Py<PyAny>,
    left: Py<PyAny>,
    remove: Py<PyAny>,
    take_coldest: Py<PyAny>,
    put_back: Py<PyAny>,
    units: BTreeSet<u32>,
    has_failed: bool,
    failure: Failure,
}

impl PythonPolicy {
    /// Of an object that has all methods.
    pub fn new(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let method = |name: &str| match object.getattr(name) {
            Ok(method) => Ok(method.unbind()),
            Err(_) => {
                let message = format!("policy={object}: it is no policy's name, and has no method {name:?}");
                Err(misconfigured(object.py(), message))
            }
        };
        Ok(PythonPolicy {
            insert: method("insert")?,
            stored: method("stored")?,
            used: method("used")?,
            left: method("left")?,
            remove: method("remove")?,
            take_coldest: method("take_coldest")?,
            put_back: method("put_back")?,
            units: BTreeSet::new(),
            has_failed: false,
            failure: Failure::default(),
        })
    }

    /// Where its exception will be.
    pub fn failure(&self) -> Failure {
        self.failure.clone()
    }

    fn fails(&mut self, error: PyErr) {
        self.has_failed = true;
        *self.failure.0.lock().expect("nothing panics under this lock") = Some(error);
    }

    fn tell(&mut self, method: fn(&Self) -> &Py<PyAny>, arguments: impl for<'py> PyCallArgs<'py>) {
        if self.has_failed {
            return;
        }
        let told = Python::attach(|python| method(self).bind(python).call1(arguments).map(drop));
        if let Err(error) = told {
            self.fails(error);
        }
    }

    fn ask(&self, units: &mut dyn CoreUnits) -> PyResult<Option<u32>> {
        Python::attach(|python| {
            // SAFETY: only the lifetime changes, and `Units` has lost it again before this call returns.
            let lent =
                unsafe { std::mem::transmute::<*mut dyn CoreUnits, *mut (dyn CoreUnits + 'static)>(units) };
            let lent = Bound::new(python, Units { lent: Mutex::new(Some(Lent(lent))) })?;
            let answer = self.take_coldest.bind(python).call1((&lent,));
            lent.get().lent.lock().expect("nothing panics under this lock").take();
            let answer = answer?;
            let Ok(unit) = answer.extract::<Option<u32>>() else {
                let message = format!("take_coldest returned {answer}: it has to be a unit, or None");
                return Err(misconfigured(python, message));
            };
            match unit {
                Some(unit) if !self.units.contains(&unit) => {
                    let message =
                        format!("take_coldest returned {unit}, which is no unit that the policy has");
                    Err(misconfigured(python, message))
                }
                None if !self.units.is_empty() => {
                    let message =
                        format!("take_coldest returned None, and the policy has {} units", self.units.len());
                    Err(misconfigured(python, message))
                }
                unit => Ok(unit),
            }
        })
    }
}

impl Policy for PythonPolicy {
    fn insert(&mut self, _: &mut dyn CoreUnits, unit: u32) {
        self.units.insert(unit);
        self.tell(|policy| &policy.insert, (unit,));
    }

    fn stored(&mut self, _: &mut dyn CoreUnits, unit: u32, page: PageNumber) {
        self.tell(|policy| &policy.stored, (unit, page.0));
    }

    fn used(&mut self, _: &mut dyn CoreUnits, unit: u32) {
        self.tell(|policy| &policy.used, (unit,));
    }

    fn left(&mut self, _: &mut dyn CoreUnits, unit: u32, page: PageNumber, is_isolated: bool) {
        self.tell(|policy| &policy.left, (unit, page.0, is_isolated));
    }

    fn remove(&mut self, _: &mut dyn CoreUnits, unit: u32) {
        self.units.remove(&unit);
        self.tell(|policy| &policy.remove, (unit,));
    }

    fn take_coldest(&mut self, units: &mut dyn CoreUnits) -> Option<u32> {
        if self.has_failed {
            return None;
        }
        let unit = self.ask(units).unwrap_or_else(|error| {
            self.fails(error);
            None
        })?;
        self.units.remove(&unit);
        Some(unit)
    }

    fn put_back(&mut self, _: &mut dyn CoreUnits, unit: u32) {
        self.units.insert(unit);
        self.tell(|policy| &policy.put_back, (unit,));
    }

    fn walk(&self, _: &dyn Fn(u32, Side) -> u32, each: &mut dyn FnMut(u32)) {
        self.units.iter().copied().for_each(each);
    }
}
