//! What a forked child has to replace.

use std::cell::UnsafeCell;

/// A value that is the same as long as the process lives, and another one in its forked child.
pub struct OfProcess<T>(UnsafeCell<T>);

// SAFETY: shared references only are given out, but for `replace`, whose caller has it for himself.
unsafe impl<T: Send + Sync> Sync for OfProcess<T> {}

impl<T> OfProcess<T> {
    pub fn new(value: T) -> Self {
        OfProcess(UnsafeCell::new(value))
    }

    pub fn get(&self) -> &T {
        // SAFETY: nobody has a mutable reference, see `replace`.
        unsafe { &*self.0.get() }
    }

    /// Makes the child's value of the parent's. Where that fails there is none: the process has to end.
    ///
    /// # Safety
    /// This thread is the only one, and nothing that `get` has returned is in use.
    pub unsafe fn replace<E>(&self, of_child: impl FnOnce(T) -> Result<T, E>) -> Result<(), E> {
        // SAFETY: the caller's; the old value is moved out, and the new one written over it before
        // anybody can look. If there is no new one, the caller does not go on.
        unsafe {
            let value = of_child(self.0.get().read())?;
            self.0.get().write(value);
        }
        Ok(())
    }
}
