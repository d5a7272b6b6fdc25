//! zpager's core: a compressed swap as a state machine.
//!
//! Plain Rust: no thread, no system call, no clock, no global. The same code runs on real
//! memory (crate `zpager-linux`) and in the seeded [`simulation`]. Pages take two ways through
//! it, and the modules stand in the order in which a page meets them.
//!
//! Out: RAM runs short. [`reclaim`] picks cold pages and unmaps them into the [`swap_cache`];
//! [`frontswap`] offers them to [`zcache`], which compresses them into its pool; what is denied
//! or refused goes to the [`swap_device`]. When zcache is full, [`eviction`] takes its coldest
//! frame back out.
//!
//! Back in: the program touches a page that is not there. [`fault`] finds it wherever it is and
//! brings it back.
//!
//! Work has three parts ([`task`]): *plan* under the lock (decide, mark the pages busy), *carry
//! out* without it (compress, copy, read, write), *commit* under the lock again. All state is
//! in one [`engine::Core`]; dependencies go downwards in the order above. Cores in several processes share
//! one number of frames through a [`ledger`].

pub mod fault;

pub mod reclaim;

pub mod discard;

pub mod watch;

pub mod lock;

pub mod unmanaged;

pub mod swap_cache;

pub mod frontswap;

pub mod zcache;

pub mod eviction;

pub mod swap_device;

pub mod engine;
pub mod task;
pub mod world;

pub mod budget;
pub mod histogram;
pub mod ledger;
pub mod loss;
pub mod page;
pub mod page_set;
pub mod page_table;
pub mod region;
pub mod stats;

pub mod simulation;
