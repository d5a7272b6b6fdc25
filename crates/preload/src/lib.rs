//! zpager under a program that knows nothing of it: the library that `zpager run` preloads.
//!
//! It takes the place of the C library's functions for memory. Large blocks ([`malloc`], [`blocks`]) and
//! large anonymous mappings ([`mmap`], [`mappings`]) come from a pager, which is made when the first of
//! them is asked for ([`start`]); everything else stays where it was. What the pager itself needs
//! comes from the C library ([`own_memory`]) and the kernel, never from managed memory.
//!
//! Where faults are told by signals, system calls into managed memory are made to work by wrappers of the C
//! library's functions that make them ([`calls`]).
//!
//! Any function here may be called before `main`, by a loader that holds its lock, or by many threads
//! at once. Locks of ours that are held while managed memory is touched are never taken by who serves
//! its faults.

mod blocks;
mod calls;
mod descriptors;
mod fork;
mod malloc;
mod mappings;
mod mlock;
mod mmap;
mod options;
mod own_memory;
mod report;
mod small;
mod start;
