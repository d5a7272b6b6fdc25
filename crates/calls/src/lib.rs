//! System calls into managed memory, for signal mode, and for users to whom the kernel gives faults in user
//! mode only: there a system call into a page that is not there, or that is write-protected, fails with EFAULT
//! and asks nobody.
//!
//! So the C library's functions that hand a caller's memory to the kernel are wrapped. Where no managed memory is
//! concerned a wrapper is a comparison or two. Else it does one of three things:
//! - It gives the kernel a copy ([`copies`], and small amounts in [`transfer`]), where what the kernel has done before
//!   it found a page missing would be lost: a child reaped, a message taken.
//! - It brings the pages in by touching them ([`touch`]), calls, and does both again where that failed with EFAULT
//!   although pages were missing ([`retry`]).
//! - It does so part by part ([`transfer`]), where that is more than can be expected to stay in RAM.
//!
//! Which functions those are, and what each hands over, are two lists ([`list`]) and a table of both
//! ([`wrappers`]). Beside them: the C library's own streams, which call the kernel past all wrappers ([`stdio`]);
//! SIGBUS, which must reach us ([`signals`]), on a stack that is there ([`stacks`]); and the wrappers' place in
//! libraries that were loaded before ([`patch`]).

#[macro_use]
mod own;

mod copies;
pub mod last_thread;
#[macro_use]
pub mod list;
mod objects;
pub mod original;
pub mod patch;
mod retry;
pub mod signals;
pub mod sockets;
pub mod spawn;
pub mod stacks;
pub mod stdio;
pub mod system_call;
mod touch;
pub mod transfer;
pub mod waiting;
pub mod wrappers;
