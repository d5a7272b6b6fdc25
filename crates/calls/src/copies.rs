//! Structures in managed memory, copied for a system call: what it has done before it writes one (waited, taken
//! a message, reaped a child) would else be lost with an EFAULT.

use std::mem::MaybeUninit;

use crate::touch::is_managed;

/// A pointer to a structure, or null.
pub trait Pointer: Copy {
    /// The structure.
    type Target;

    /// It without its constness.
    fn plain(self) -> *mut Self::Target;

    /// A pointer of this kind to another place.
    fn to(place: *mut Self::Target) -> Self;

    /// Whether the kernel may write there.
    const IS_FILLED: bool;
}

impl<T> Pointer for *mut T {
    type Target = T;
    const IS_FILLED: bool = true;

    fn plain(self) -> *mut T {
        self
    }

    fn to(place: *mut T) -> Self {
        place
    }
}

impl<T> Pointer for *const T {
    type Target = T;
    const IS_FILLED: bool = false;

    fn plain(self) -> *mut T {
        self.cast_mut()
    }

    fn to(place: *mut T) -> Self {
        place
    }
}

/// Calls with the pointer, or where that is to managed memory with a pointer to a copy, which is copied back.
///
/// # Safety
/// The pointer is to a structure of that type, or outside of managed memory.
pub unsafe fn with_copy<P: Pointer, R>(pointer: P, call: impl FnOnce(P) -> R) -> R {
    let place = pointer.plain();
    if !is_managed(place.cast(), size_of::<P::Target>()) {
        return call(pointer);
    }
    // SAFETY: the caller's; bytes of any value may be copied as such.
    unsafe {
        let mut copy = place.cast::<MaybeUninit<P::Target>>().read_unaligned();
        let result = call(P::to(copy.as_mut_ptr()));
        if P::IS_FILLED {
            place.cast::<MaybeUninit<P::Target>>().write_unaligned(copy);
        }
        result
    }
}
