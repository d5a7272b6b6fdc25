//! zpager's real world: the core of `zpager-core` on userfaultfd, a swap file and threads.
//!
//! [`pager::Pager`] is what a language binding uses. It drives the core's tasks; a fault comes
//! to it through the [`handler_thread`] or, in [`signal_mode`], on the thread that faulted.
//! [`memory`] moves pages by the calls of [`userfaultfd`], and asks [`pagemap`] what is there; [`swap_file`] is the swap device, which
//! [`device_io`] writes and reads. Processes that share their RAM have a [`ledger`]; what they do can be told to a [`recorder`]. A [`fork`]ed child is told that the memory is not there, or [`inherit`]s it.

#[cfg(not(target_os = "linux"))]
compile_error!("zpager needs Linux");

pub mod pager;
pub mod process_memory;

pub mod at_fork;
pub mod errno;
mod fork;
mod handler_thread;
mod inherit;
mod keeper;
mod last_words;
pub mod ledger;
mod of_process;
pub mod own_stack;
mod program_action;
pub mod recorder;
pub mod signal_mode;
pub mod signals;
pub mod spawn;
mod stop;
pub mod system_call;

pub mod descriptors;
pub mod device_io;
mod mapping;
mod memory;
mod pagemap;
pub mod swap_file;

pub mod probe;
mod userfaultfd;

mod error;

pub use error::Error;
