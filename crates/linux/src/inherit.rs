//! Forked children that get the memory, as it was at that moment.
//!
//! Before the fork everything comes to rest: no task is between plan and commit, and all locks are held by
//! the thread that forks, so that its copy in the child is whole. The child then has its own copy of all
//! tables, page frames and pool frames, which the kernel copies when one of the two writes. It gets
//! a userfaultfd and threads of its own, writes to a swap file of its own by a key of its own, and reads what its
//! parent had written from the parent's; the parent gives those slots out again when the last such child has gone,
//! which it learns from a pipe that only they hold open.
//!
//! Children that come to be without `fork` (by `clone` alone) do not get the memory: it is marked so
//! but for the moment of a fork.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use crate::at_fork::at_fork;
use crate::last_words::abort;
use crate::pager::{Pager, Rest};
use crate::signals::SignalsBlocked;

static PAGERS: Mutex<Vec<Weak<Pager>>> = Mutex::new(Vec::new());

/// Everything that is held during a fork, the locks before what they belong to.
struct AtRest {
    rests: Vec<Rest<'static>>,
    pagers: Vec<Arc<Pager>>,
    list: MutexGuard<'static, Vec<Weak<Pager>>>,
    blocked: SignalsBlocked,
}

struct Held(UnsafeCell<Option<AtRest>>);

// SAFETY: touched only by the thread that holds the lock of `PAGERS`, from before its fork to after it.
unsafe impl Sync for Held {}

static HELD: Held = Held(UnsafeCell::new(None));

/// A pager's memory is inherited from now on.
pub fn enter(pager: &Arc<Pager>) {
    static IS_PREPARED: AtomicBool = AtomicBool::new(false);
    let _blocked = SignalsBlocked::new();
    let mut pagers = PAGERS.lock().expect("nothing panics under this lock");
    pagers.retain(|pager| pager.strong_count() > 0);
    pagers.push(Arc::downgrade(pager));
    if !IS_PREPARED.swap(true, Ordering::Relaxed) {
        at_fork(Some(before), Some(in_parent), Some(in_child));
    }
}

extern "C" fn before() {
    let blocked = SignalsBlocked::new();
    let list = PAGERS.lock().expect("nothing panics under this lock");
    let pagers: Vec<_> =
        list.iter().filter_map(Weak::upgrade).filter(|pager| !pager.is_elsewhere()).collect();
    let rests = pagers.iter().map(|pager| {
        let rest = pager.come_to_rest();
        // SAFETY: the guards in it are of locks of the pager, which is kept beside it, and dropped after it.
        unsafe { std::mem::transmute::<Rest<'_>, Rest<'static>>(rest) }
    });
    let rests = rests.collect();
    // SAFETY: this thread holds the lock.
    unsafe { *HELD.0.get() = Some(AtRest { rests, pagers, list, blocked }) };
}

fn take() -> AtRest {
    // SAFETY: this thread holds the lock since `before`.
    unsafe { (*HELD.0.get()).take() }.expect("fork calls this after `before`")
}

extern "C" fn in_parent() {
    let AtRest { rests, pagers, list, blocked } = take();
    for (pager, rest) in pagers.iter().zip(rests) {
        pager.go_on(rest);
    }
    drop(list);
    drop(pagers);
    drop(blocked);
}

extern "C" fn in_child() {
    let AtRest { rests, pagers, list, blocked } = take();
    for (pager, rest) in pagers.iter().zip(rests) {
        // SAFETY: a forked child has one thread, and it is here.
        if let Err(error) = unsafe { pager.begin_in_child(rest) } {
            abort(format_args!("a forked child cannot have its parent's memory: {error}. Aborting."));
        }
    }
    drop(list);
    drop(pagers);
    drop(blocked);
}
