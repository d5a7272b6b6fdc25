//! Runs by threads: who calls works on its runs itself, and a few threads help.
//!
//! The lock of the table of calls and that of a call's list are never held at the same time, nor
//! over a system call.

use std::io;
use std::os::fd::RawFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::Request;
use crate::signals::SignalsBlocked;
use crate::spawn::{Thread, spawn};

const THREADS: usize = 4;
/// Calls that are helped at the same time; who finds no place works alone.
const CALLS: usize = 8;
const STACK_BYTES: usize = 64 << 10;
/// What such a thread touches of its stack, and some more: two pages were measured.
const THREAD_BYTES: usize = 16 << 10;

/// The threads. Dropped, it ends them.
pub struct Helpers {
    shared: Arc<Shared>,
    threads: Vec<Thread>,
}

struct Shared {
    state: Mutex<State>,
    /// There is a call to help with, or the end has come.
    wanted: Condvar,
    /// The last thread has left a call.
    left: Condvar,
}

struct State {
    calls: [Option<Call>; CALLS],
    is_stopping: bool,
}

/// A call that has runs to give away.
struct Call {
    work: Work,
    /// Threads that are at it.
    helpers: u32,
    /// Nothing is left to take.
    has_run_out: bool,
}

/// Takes runs of a call and carries them out, until there are no more.
#[derive(Clone, Copy)]
struct Work(*const (dyn Fn() + Sync));

// SAFETY: what it points to may be called by any thread, and lives as long as the call is in the
// table: `Entered` sees to that.
unsafe impl Send for Work {}

impl Helpers {
    /// Memory that the threads take.
    pub const MEMORY_BYTES: usize = THREADS * THREAD_BYTES;

    pub fn new() -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State { calls: [const { None }; CALLS], is_stopping: false }),
            wanted: Condvar::new(),
            left: Condvar::new(),
        });
        // Dropped where a later step fails, it ends the threads that run already.
        let mut helpers = Helpers { shared, threads: Vec::new() };
        for _ in 0..THREADS {
            let shared = Arc::clone(&helpers.shared);
            helpers.threads.push(spawn("zpager-io", Some(STACK_BYTES), move || shared.help())?);
        }
        Ok(helpers)
    }

    /// There is one run at least.
    pub fn carry_out(&self, descriptor: RawFd, runs: &mut [impl Request]) {
        let helpers_wanted = (runs.len() - 1).min(THREADS);
        let rest = Mutex::new(runs.iter_mut());
        let work = || {
            loop {
                // Given back before the run is carried out.
                let next = rest.lock().expect("no panic under the lock").next();
                let Some(run) = next else { break };
                let result = run.transfer().carry_out(descriptor);
                run.end(result);
            }
        };
        let _entered = self.shared.enter(&work, helpers_wanted);
        work();
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        {
            let _blocked = SignalsBlocked::new();
            self.shared.lock().is_stopping = true;
        }
        self.shared.wanted.notify_all();
        for thread in self.threads.drain(..) {
            thread.join();
        }
    }
}

/// A call is in the table as long as this lives; then no thread is at it any more.
struct Entered<'a> {
    shared: &'a Shared,
    /// `None`: there was no place.
    place: Option<usize>,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        let mut state = self.shared.lock();
        state.call(place).has_run_out = true;
        while state.call(place).helpers > 0 {
            state = self.shared.left.wait(state).expect("no panic under the lock");
        }
        state.calls[place] = None;
    }
}

impl State {
    fn call(&mut self, place: usize) -> &mut Call {
        self.calls[place].as_mut().expect("a call stays in the table until nobody is at it")
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic under the lock")
    }

    fn enter<'a>(&'a self, work: &'a (dyn Fn() + Sync + 'a), helpers_wanted: usize) -> Entered<'a> {
        // SAFETY: only the lifetime changes, and what is returned keeps it: it is dropped before
        // `work` goes, and from then on the pointer is nowhere.
        let work = Work(unsafe {
            std::mem::transmute::<*const (dyn Fn() + Sync + 'a), *const (dyn Fn() + Sync + 'static)>(work)
        });
        let mut state = self.lock();
        let place = state.calls.iter().position(Option::is_none);
        if let Some(place) = place {
            state.calls[place] = Some(Call { work, helpers: 0, has_run_out: false });
        }
        drop(state);
        for _ in 0..helpers_wanted {
            self.wanted.notify_one();
        }
        Entered { shared: self, place }
    }

    /// A thread's body.
    fn help(&self) {
        let mut state = self.lock();
        while !state.is_stopping {
            let needs_help = |call: &Option<Call>| call.as_ref().is_some_and(|call| !call.has_run_out);
            let Some(place) = state.calls.iter().position(needs_help) else {
                state = self.wanted.wait(state).expect("no panic under the lock");
                continue;
            };
            let call = state.call(place);
            call.helpers += 1;
            let work = call.work.0;
            drop(state);
            // SAFETY: it lives as long as a helper is counted.
            unsafe { (*work)() };
            state = self.lock();
            let call = state.call(place);
            call.has_run_out = true;
            call.helpers -= 1;
            if call.helpers == 0 {
                self.left.notify_all();
            }
        }
    }
}
