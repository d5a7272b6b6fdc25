//! How every thread of the pager starts.
//!
//! Not by `std::thread`: its threads begin by registering destructors, for which glibc takes the lock of the loader.
//! A pager may be made, and its memory be touched, by a constructor that runs under that lock, and waits
//! then for threads that never begin. For the same reason no thread of ours uses what registers such
//! destructors: `std::thread::current`, parking, channels.

use std::ffi::{CString, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use crate::signals::SignalsBlocked;

/// Stacks of those that ask for no size, of which nothing is touched that is not needed.
const STACK_BYTES: usize = 2 << 20;

/// A thread that was started. Forgotten, it runs on.
pub struct Thread(libc::pthread_t);

struct Start {
    name: CString,
    body: Box<dyn FnOnce() + Send>,
}

/// Starts a thread with all signals blocked, whose panic ends the process: whoever waits for a
/// page would wait for ever.
pub fn spawn(
    name: &str,
    stack_bytes: Option<usize>,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<Thread> {
    let _blocked = SignalsBlocked::new();
    let name = CString::new(name).expect("a name without zeros");
    let start = Box::into_raw(Box::new(Start { name, body: Box::new(body) }));
    let mut attributes = MaybeUninit::uninit();
    let mut thread = MaybeUninit::uninit();
    // SAFETY: the attributes are made before they are used and destroyed after that; the thread takes what it starts
    // with, or we take it back where there is no thread.
    unsafe {
        libc::pthread_attr_init(attributes.as_mut_ptr());
        libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), stack_bytes.unwrap_or(STACK_BYTES));
        let error =
            libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), run, start.cast::<c_void>());
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        if error != 0 {
            drop(Box::from_raw(start));
            return Err(io::Error::from_raw_os_error(error));
        }
        Ok(Thread(thread.assume_init()))
    }
}

/// Whether a thread with this body is one of ours.
pub fn is_own(body: extern "C" fn(*mut c_void) -> *mut c_void) -> bool {
    std::ptr::fn_addr_eq(body, run as extern "C" fn(*mut c_void) -> *mut c_void)
}

impl Thread {
    /// Waits for its end.
    pub fn join(self) {
        // SAFETY: a thread that was started here, and that nobody else can wait for.
        unsafe { libc::pthread_join(self.0, ptr::null_mut()) };
    }
}

extern "C" fn run(start: *mut c_void) -> *mut c_void {
    // SAFETY: `spawn` has made it for this thread.
    let Start { name, body } = *unsafe { Box::from_raw(start.cast::<Start>()) };
    // SAFETY: a name that ends with a zero; it is cut where it is too long.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    if catch_unwind(AssertUnwindSafe(body)).is_err() {
        eprintln!("zpager: this is a defect of zpager's; its memory cannot be served any more. Aborting.");
        std::process::abort();
    }
    ptr::null_mut()
}
