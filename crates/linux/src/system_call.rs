//! System calls past the C library. Where zpager is preloaded into a program, the C library's functions for them
//! are zpager's own, for the program's use; and what they do about pages that are missing must not happen to the
//! pager's own calls, which are about such pages.

use std::arch::asm;
use std::io;

/// Makes one.
///
/// # Safety
/// As the call has it.
pub unsafe fn call(number: libc::c_long, arguments: [usize; 6]) -> io::Result<usize> {
    const ERROR_MAX: isize = 4095;
    let [first, second, third, fourth, fifth, sixth] = arguments;
    let result: isize;
    // SAFETY: the caller's; the kernel changes these two registers and the result.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") first,
            in("rsi") second,
            in("rdx") third,
            in("r10") fourth,
            in("r8") fifth,
            in("r9") sixth,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    if (-ERROR_MAX..0).contains(&result) {
        return Err(io::Error::from_raw_os_error(-result as i32));
    }
    Ok(result as usize)
}

/// mmap(2) of anonymous private memory.
///
/// # Safety
/// With MAP_FIXED in `flags`, whatever is mapped at these addresses goes.
pub unsafe fn map(address: usize, length: usize, protection: i32, flags: i32) -> io::Result<usize> {
    let flags = flags | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let no_file = usize::MAX;
    // SAFETY: the caller's.
    unsafe { call(libc::SYS_mmap, [address, length, protection as usize, flags as usize, no_file, 0]) }
}

/// mmap(2) of a file that is read, written and shared.
///
/// # Safety
/// The file is so long, and stays so.
pub unsafe fn map_shared(file: i32, length: usize) -> io::Result<usize> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let arguments = [0, length, protection as usize, libc::MAP_SHARED as usize, file as usize, 0];
    // SAFETY: the caller's.
    unsafe { call(libc::SYS_mmap, arguments) }
}

/// munmap(2).
///
/// # Safety
/// Nobody uses the range any more.
pub unsafe fn unmap(address: usize, length: usize) -> io::Result<()> {
    // SAFETY: the caller's.
    unsafe { call(libc::SYS_munmap, [address, length, 0, 0, 0, 0]) }.map(drop)
}

/// madvise(2).
///
/// # Safety
/// As the advice has it: some of it drops contents.
pub unsafe fn advise(address: usize, length: usize, advice: i32) -> io::Result<()> {
    // SAFETY: the caller's.
    unsafe { call(libc::SYS_madvise, [address, length, advice as usize, 0, 0, 0]) }.map(drop)
}

/// mprotect(2).
///
/// # Safety
/// Nobody uses the range as it will not be allowed any more.
pub unsafe fn protect(address: usize, length: usize, protection: i32) -> io::Result<()> {
    // SAFETY: the caller's.
    unsafe { call(libc::SYS_mprotect, [address, length, protection as usize, 0, 0, 0]) }.map(drop)
}
