//! Away from stacks in managed memory. While signals are blocked no fault can be served on this thread; and what it
//! touches then, first of all its stack, would be missing where the program has put that into managed memory (a
//! coroutine's) and reclaim has come to it.

use std::arch::asm;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::signal_mode::managed_part;

type Spare = fn() -> Option<usize>;

/// Who knows of a spare stack of the calling thread, where anybody does; 0: nobody.
static SPARE: AtomicUsize = AtomicUsize::new(0);

/// Tells who knows the end of a spare stack, aligned to 16 bytes, of the thread that asks.
pub fn use_spare_stacks(spare: Spare) {
    SPARE.store(spare as *const () as usize, Ordering::Relaxed);
}

struct Job<W, R> {
    work: ManuallyDrop<W>,
    result: MaybeUninit<R>,
}

unsafe extern "C" fn run<W: FnOnce() -> R, R>(job: *mut Job<W, R>) {
    // SAFETY: the job is there until this returns, and its work is done once.
    unsafe {
        // To this stack first.
        let work = ManuallyDrop::take(&mut (*job).work);
        let result = work();
        (*job).result.write(result);
    }
}

/// Does some work, on another stack if this one is managed and there is one. What the work refers to is not on
/// this one then.
pub fn away_from_managed<R>(work: impl FnOnce() -> R) -> R {
    let here = &raw const work as usize;
    if managed_part(&(here..here + 1)).is_none() {
        return work();
    }
    let spare = match SPARE.load(Ordering::Relaxed) {
        0 => None,
        // SAFETY: told by `use_spare_stacks`, of that type.
        address => unsafe { std::mem::transmute::<usize, Spare>(address)() },
    };
    let Some(end) = spare else { return work() };
    elsewhere(end, work)
}

#[inline(never)]
fn elsewhere<W: FnOnce() -> R, R>(end: usize, work: W) -> R {
    let mut job = Job { work: ManuallyDrop::new(work), result: MaybeUninit::uninit() };
    let function: unsafe extern "C" fn(*mut Job<W, R>) = run::<W, R>;
    // SAFETY: the stack is spare, and large and aligned as functions want it; the old one is kept in a register that
    // functions preserve. The result is written when the function has returned: a panic ends the process.
    unsafe {
        asm!(
            "mov r12, rsp",
            "mov rsp, {end}",
            "call {function}",
            "mov rsp, r12",
            end = in(reg) end,
            function = in(reg) function,
            in("rdi") &raw mut job,
            out("r12") _,
            clobber_abi("C"),
        );
        job.result.assume_init()
    }
}
