//! System calls into managed memory, for signal mode, and for users to whom the kernel gives faults in user
//! mode only: there a system call into a page that is not there, or that is write-protected, fails with EFAULT
//! and asks nobody.
//!
//! So the C library's functions that hand a caller's memory to the kernel are *wrapped* ([`wrappers`]): the
//! wrapper brings the pages in by touching them ([`touch`]), calls the original, and does both again where
//! that failed with EFAULT although there were faults meanwhile ([`retry`]). Where no managed memory is
//! concerned it is a comparison or two.

pub mod retry;
pub mod touch;
pub mod wrappers;
