//! Signal mode: the kernel sends SIGBUS to the thread that faulted, and the handler serves the
//! fault there and then. No other thread has to wake up, so it is faster; but a system call into
//! a page that is not there fails with EFAULT.
//!
//! The handler may run at any instruction of the program. It allocates nothing, takes only locks
//! whose holders have all signals blocked and touch no managed memory, and leaves `errno` alone.
//!
//! SIGBUS is never blocked in a thread of the program's, since the kernel ends a process that faults while it
//! is: whoever wraps the C library's functions for signals sees to that.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use zpager_core::fault::{Access, Outcome};
use zpager_core::page::PAGE_BYTES;

use crate::errno::{errno, set_errno};
use crate::error::Error;
use crate::handler_thread;
use crate::mapping::Mapping;
use crate::own_stack::away_from_managed;
use crate::pager::Shared;
use crate::program_action;
use crate::signals::{SignalsBlocked, bit, bits, pass_on, set_mask};

const PAGERS_MAX: usize = 64;

/// A pager in signal mode: its window, for the handler to find. Zeros are no pager.
struct Registered {
    start: AtomicUsize,
    end: AtomicUsize,
    shared: AtomicPtr<Shared>,
}

/// All of them, in a page that is wiped on fork: a child has none of its parent's memory, may
/// have a pager of its own at the same addresses, and must never serve a fault through what it
/// inherited, which would act on its parent.
static REGISTERED: OnceLock<&'static [Registered; PAGERS_MAX]> = OnceLock::new();

const _: () = assert!(size_of::<[Registered; PAGERS_MAX]>() <= PAGE_BYTES);

fn registered() -> std::io::Result<&'static [Registered; PAGERS_MAX]> {
    if let Some(registered) = REGISTERED.get() {
        return Ok(registered);
    }
    let page = Mapping::wiped_on_fork()?;
    // SAFETY: the page is as large, aligned, zero, and never unmapped; atomics of zeros are valid.
    let registered = unsafe { page.base().cast::<[Registered; PAGERS_MAX]>().as_ref() };
    std::mem::forget(page);
    Ok(REGISTERED.get_or_init(|| registered))
}

/// Serialises changes of the table and of the process's handler. Held with all signals blocked.
static CHANGING: Mutex<()> = Mutex::new(());

/// Enters a pager, and sees that our handler is in place.
pub(crate) fn register(shared: &std::sync::Arc<Shared>) -> Result<(), Error> {
    let _blocked = SignalsBlocked::new();
    let _changing = CHANGING.lock().expect("nothing panics under this lock");
    let registered = registered()
        .map_err(|error| Error::Device("no page for the table of pagers could be had".into(), error))?;
    install()?;
    let free = registered.iter().find(|entry| entry.shared.load(Ordering::Relaxed).is_null());
    let entry = free.ok_or_else(|| {
        Error::Configuration(format!("more than {PAGERS_MAX} pagers with faults=\"signal\" at the same time"))
    })?;
    let window = &shared.memory.window;
    entry.shared.store(std::sync::Arc::as_ptr(shared).cast_mut(), Ordering::Relaxed);
    entry.end.store(window.address(0) + window.bytes(), Ordering::Relaxed);
    entry.start.store(window.address(0), Ordering::Release);
    FIRST.fetch_min(window.address(0), Ordering::Relaxed);
    BEHIND.fetch_max(window.address(0) + window.bytes(), Ordering::Relaxed);
    Ok(())
}

/// Takes a pager out. None of its memory is in use any more.
pub(crate) fn unregister(shared: &std::sync::Arc<Shared>) {
    let _blocked = SignalsBlocked::new();
    let _changing = CHANGING.lock().expect("nothing panics under this lock");
    let pointer = std::sync::Arc::as_ptr(shared).cast_mut();
    let Some(registered) = REGISTERED.get() else { return };
    let mut registered = registered.iter();
    let entry = registered.find(|entry| entry.shared.load(Ordering::Relaxed) == pointer);
    // It is not, where there was no place for it.
    let Some(entry) = entry else { return };
    entry.start.store(0, Ordering::Relaxed);
    entry.end.store(0, Ordering::Relaxed);
    entry.shared.store(std::ptr::null_mut(), Ordering::Release);
}

static IS_INSTALLED: AtomicBool = AtomicBool::new(false);

/// Whether our handler has been installed.
pub fn is_installed() -> bool {
    IS_INSTALLED.load(Ordering::Acquire)
}

type Sigaction = unsafe extern "C" fn(i32, *const libc::sigaction, *mut libc::sigaction) -> i32;

/// The C library's `sigaction`, where it has been told; 0: what is linked by that name.
static SIGACTION: AtomicUsize = AtomicUsize::new(0);

/// Tells the function behind the `sigaction` that is linked here, which is a wrapper.
pub fn use_sigaction(original: Sigaction) {
    SIGACTION.store(original as *const () as usize, Ordering::Relaxed);
}

/// `sigaction`, past the wrapper of that name.
///
/// # Safety
/// As `sigaction`.
pub unsafe fn original_sigaction(signal: i32, new: *const libc::sigaction, old: *mut libc::sigaction) -> i32 {
    match SIGACTION.load(Ordering::Relaxed) {
        // SAFETY: the caller's.
        0 => unsafe { libc::sigaction(signal, new, old) },
        // SAFETY: told by `use_sigaction`, of that type; and the caller's.
        address => unsafe { std::mem::transmute::<usize, Sigaction>(address)(signal, new, old) },
    }
}

/// More flags for our handler.
static MORE_FLAGS: AtomicI32 = AtomicI32::new(0);

/// Has the handler run on a thread's alternate stack: for programs whose stacks may be managed memory. Told
/// before the first pager; every thread is to have such a stack that is large enough.
pub fn use_alternate_stacks() {
    MORE_FLAGS.store(libc::SA_ONSTACK, Ordering::Relaxed);
}

fn handler_now() -> std::io::Result<libc::sigaction> {
    // SAFETY: zeros are a valid sigaction, which the call then fills.
    unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        match original_sigaction(libc::SIGBUS, std::ptr::null(), &mut now) {
            0 => Ok(now),
            _ => Err(std::io::Error::last_os_error()),
        }
    }
}

/// Whether this is our handler.
pub fn is_ours(action: &libc::sigaction) -> bool {
    action.sa_sigaction == on_sigbus as *const () as usize
}

/// Fails where our handler has been replaced: the next fault would end the process. It cannot be
/// put in front again, since whoever replaced it passes foreign signals on to it.
pub(crate) fn require_handler() -> Result<(), Error> {
    match handler_now() {
        Ok(now) if is_ours(&now) => Ok(()),
        _ => Err(Error::Configuration(
            "somebody has replaced zpager's handler for SIGBUS past the C library's functions, without which \
             faults=\"signal\" cannot work; have it done before the first Pager is made, or use \
             faults=\"thread\""
                .into(),
        )),
    }
}

/// Installs our handler, once.
fn install() -> Result<(), Error> {
    if is_installed() {
        return require_handler();
    }
    let unable = |error| Error::Device("no handler for SIGBUS could be installed".into(), error);
    program_action::set(&handler_now().map_err(unable)?);
    // SAFETY: `ours` is filled before it is installed, and the handler has the signature that SA_SIGINFO asks
    // for.
    unsafe {
        let mut ours: libc::sigaction = std::mem::zeroed();
        ours.sa_sigaction = on_sigbus as *const () as usize;
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | MORE_FLAGS.load(Ordering::Relaxed);
        libc::sigfillset(&mut ours.sa_mask);
        if original_sigaction(libc::SIGBUS, &ours, std::ptr::null_mut()) != 0 {
            return Err(unable(std::io::Error::last_os_error()));
        }
    }
    IS_INSTALLED.store(true, Ordering::Release);
    Ok(())
}

/// What the program wants done about SIGBUS that is not ours, and its change; `None` before our handler is
/// there, when the kernel is to be asked and told.
pub fn exchange_program_action(new: Option<&libc::sigaction>) -> Option<libc::sigaction> {
    let _blocked = SignalsBlocked::new();
    let _changing = CHANGING.lock().expect("nothing panics under this lock");
    if !is_installed() {
        return None;
    }
    let before = program_action::get();
    new.inspect(|new| program_action::set(new));
    Some(before)
}

/// Addresses from the first to behind the last of all pagers in signal mode that there ever were.
static FIRST: AtomicUsize = AtomicUsize::new(usize::MAX);
static BEHIND: AtomicUsize = AtomicUsize::new(0);

/// Faults that were served here.
static SERVED: AtomicU64 = AtomicU64::new(0);

/// How many faults have been served in signal mode, in this process and those that it was forked from.
pub fn faults_served() -> u64 {
    SERVED.load(Ordering::Relaxed)
}

/// The part of a range that is memory of a pager in signal mode; for most ranges none.
pub fn managed_part(range: &Range<usize>) -> Option<Range<usize>> {
    if range.start >= BEHIND.load(Ordering::Relaxed) || range.end <= FIRST.load(Ordering::Relaxed) {
        return None;
    }
    let parts = REGISTERED.get()?.iter().map(|entry| {
        let start = entry.start.load(Ordering::Acquire);
        let end = if start == 0 { 0 } else { entry.end.load(Ordering::Relaxed) };
        range.start.max(start)..range.end.min(end)
    });
    parts.into_iter().find(|part| !part.is_empty())
}

/// Whether an address is in memory of a pager in signal mode that has been given out.
pub fn is_given_out(address: usize) -> bool {
    away_from_managed(move || {
        let _blocked = SignalsBlocked::new();
        // SAFETY: a pager is unregistered before it goes, and whoever asks about an address uses its memory.
        find(address).is_some_and(|shared| unsafe { (*shared).offset_in_region(address) }.is_some())
    })
}

fn find(address: usize) -> Option<*const Shared> {
    let entry = REGISTERED.get()?.iter().find(|entry| {
        let start = entry.start.load(Ordering::Acquire);
        start != 0 && (start..entry.end.load(Ordering::Relaxed)).contains(&address)
    })?;
    Some(entry.shared.load(Ordering::Relaxed).cast_const()).filter(|shared| !shared.is_null())
}

/// Called by the kernel on the thread that faulted, all signals blocked.
extern "C" fn on_sigbus(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a siginfo_t and a ucontext_t.
    unsafe {
        let errno_before = errno();
        let address = (*info).si_addr() as usize;
        // Not somebody's `kill`, nor a poisoned page, which is a hardware error to the kernel.
        let is_fault = (*info).si_code == libc::BUS_ADRERR;
        if let Some(shared) = find(address).filter(|_| is_fault) {
            let (access, was_mapped) = access_of(context);
            // A pager is unregistered before it goes, and does not go as long as any of its memory
            // is in use: `shared` is alive.
            match (*shared).serve_here(address, access, was_mapped) {
                Outcome::Resolved => {
                    SERVED.fetch_add(1, Ordering::Relaxed);
                    set_errno(errno_before);
                    return;
                }
                failure => handler_thread::report(failure, address, (*shared).offset_in_region(address)),
            }
        }
        let action = program_action::get();
        if action.sa_flags & libc::SA_RESETHAND != 0 {
            let mut default = action;
            default.sa_sigaction = libc::SIG_DFL;
            default.sa_flags = 0;
            program_action::set(&default);
        }
        // The program's handler may touch managed memory. What it blocks beside that is up to the program.
        let blocked = (*context.cast::<libc::ucontext_t>()).uc_sigmask;
        set_mask((bits(&blocked) | bits(&action.sa_mask)) & !bit(libc::SIGBUS));
        set_errno(errno_before);
        pass_on(&action, signal, info, context);
    }
}

/// What the access was, and whether the page was there: the processor's error code tells.
#[cfg(target_arch = "x86_64")]
unsafe fn access_of(context: *mut libc::c_void) -> (Access, bool) {
    const PRESENT: i64 = 1;
    const WRITE: i64 = 2;
    // SAFETY: the kernel's own context of this signal.
    let code = unsafe { (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_ERR as usize] };
    let access = if code & WRITE != 0 { Access::Write } else { Access::Read };
    (access, code & PRESENT != 0)
}

#[cfg(not(target_arch = "x86_64"))]
compile_error!("signal mode needs to learn from the context what the access was; so far on x86_64 only");
