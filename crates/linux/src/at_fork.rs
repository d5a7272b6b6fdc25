//! What the C library is to call around a fork.

type Function = extern "C" fn();

unsafe extern "C" {
    /// Of the C library; the crate `libc` does not declare it for Linux.
    fn pthread_atfork(prepare: Option<Function>, parent: Option<Function>, child: Option<Function>) -> i32;
}

/// Has functions called by the thread that forks: before it does, and after it in the parent and in the child, where
/// they do what a child of many threads may do. Of several `before`, what was registered last is called first.
/// Where there is no memory for that, they are not called.
pub fn at_fork(before: Option<Function>, in_parent: Option<Function>, in_child: Option<Function>) {
    // SAFETY: functions, which stay where they are.
    unsafe { pthread_atfork(before, in_parent, in_child) };
}
