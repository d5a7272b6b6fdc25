//! Calls that change mappings, by their numbers. Where zpager is preloaded into a program, the C
//! library's functions of these names are zpager's own, for the program's use.

use std::io;

fn result(value: libc::c_long) -> io::Result<usize> {
    if value == -1 { Err(io::Error::last_os_error()) } else { Ok(value as usize) }
}

/// mmap(2) of anonymous private memory.
///
/// # Safety
/// With MAP_FIXED in `flags`, whatever is mapped at these addresses goes.
pub unsafe fn map(address: usize, length: usize, protection: i32, flags: i32) -> io::Result<usize> {
    let flags = flags | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: the caller's.
    result(unsafe { libc::syscall(libc::SYS_mmap, address, length, protection, flags, -1, 0_usize) })
}

/// mmap(2) of a file that is read, written and shared.
///
/// # Safety
/// The file is so long, and stays so.
pub unsafe fn map_shared(file: i32, length: usize) -> io::Result<usize> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: the caller's.
    result(unsafe {
        libc::syscall(libc::SYS_mmap, 0_usize, length, protection, libc::MAP_SHARED, file, 0_usize)
    })
}

/// munmap(2).
///
/// # Safety
/// Nobody uses the range any more.
pub unsafe fn unmap(address: usize, length: usize) -> io::Result<()> {
    // SAFETY: the caller's.
    result(unsafe { libc::syscall(libc::SYS_munmap, address, length) }).map(drop)
}

/// madvise(2).
///
/// # Safety
/// As the advice has it: some of it drops contents.
pub unsafe fn advise(address: usize, length: usize, advice: i32) -> io::Result<()> {
    // SAFETY: the caller's.
    result(unsafe { libc::syscall(libc::SYS_madvise, address, length, advice) }).map(drop)
}
