//! System calls into managed memory, for signal mode, and for users to whom the kernel gives faults in user
//! mode only: there a system call into a page that is not there, or that is write-protected, fails with EFAULT
//! and asks nobody.
//!
//! So the C library's functions that hand a caller's memory to the kernel are wrapped. A wrapper brings the
//! pages in by touching them ([`touch`]), calls the original, and does both again where that failed with
//! EFAULT although pages were missing ([`retry`]). Where no managed memory is concerned it is a comparison or
//! two. Which functions those are, and what each hands over, is one list: [`for_each_call`](crate::for_each_call).

pub mod list;
pub mod original;
pub mod retry;
pub mod touch;
