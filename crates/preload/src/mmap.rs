//! `mmap` and its family, as the program calls them: large anonymous private mappings that can be read
//! and written are the pager's, all others the kernel's.
//!
//! Protections are the kernel's everywhere: the pager moves and fills protected pages as well.

use std::ffi::{c_int, c_long, c_void};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use zpager_core::page::PAGE_BYTES;
use zpager_linux::errno::{errno, set_errno};

use crate::blocks;
use crate::fork;
use crate::mappings;
use crate::mlock;
use crate::start::{in_window, is_managed_size, is_ready, pager};

const READ_WRITE: c_int = libc::PROT_READ | libc::PROT_WRITE;

/// Mappings with any of these are the kernel's.
const FLAGS_LEFT_ALONE: c_int = libc::MAP_FIXED
    | libc::MAP_FIXED_NOREPLACE
    | libc::MAP_GROWSDOWN
    | libc::MAP_STACK
    | libc::MAP_HUGETLB
    | libc::MAP_LOCKED
    | libc::MAP_32BIT;

const MREMAP_FLAGS: c_int = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED | libc::MREMAP_DONTUNMAP;

/// Some managed memory may have another protection than what is new should have.
static IS_ANY_PROTECTED: AtomicBool = AtomicBool::new(false);

/// Whether it may.
pub fn is_any_protected() -> bool {
    IS_ANY_PROTECTED.load(Ordering::Relaxed)
}

fn fail(error: c_int) -> *mut c_void {
    set_errno(error);
    libc::MAP_FAILED
}

/// What a call returns that cannot be done.
pub fn refuse(error: c_int) -> c_int {
    fail(error);
    -1
}

/// The pages of a range as a call has it.
pub fn pages_of(address: *const c_void, bytes: usize) -> Range<usize> {
    let start = address as usize;
    start..start.saturating_add(bytes).checked_next_multiple_of(PAGE_BYTES).unwrap_or(usize::MAX)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mmap(
    address: *mut c_void,
    bytes: usize,
    protection: c_int,
    flags: c_int,
    file: c_int,
    offset: i64,
) -> *mut c_void {
    let range = pages_of(address, bytes);
    if flags & libc::MAP_FIXED != 0 && in_window(&range).is_some() {
        // SAFETY: the caller's.
        return unsafe { map_in_place(&range, bytes, protection, flags, file, offset) };
    }
    let is_ours = is_anonymous(flags) && protection == READ_WRITE && flags & FLAGS_LEFT_ALONE == 0;
    if is_ours && is_managed_size(bytes) && is_ready() && !fork::is_under_way_here() {
        let Some(rounded) = bytes.checked_next_multiple_of(PAGE_BYTES) else { return fail(libc::ENOMEM) };
        if let Some(start) = mappings::map(rounded) {
            if flags & libc::MAP_POPULATE != 0 {
                mappings::fault_in(&(start..start + rounded));
            }
            return start as *mut c_void;
        }
        // Addresses that are only reserved may be more than there is memory.
        if flags & libc::MAP_NORESERVE == 0 {
            return fail(libc::ENOMEM);
        }
    }
    // SAFETY: the caller's.
    unsafe { libc::syscall(libc::SYS_mmap, address, bytes, protection, flags, file, offset) as *mut c_void }
}

fn is_anonymous(flags: c_int) -> bool {
    flags & libc::MAP_ANONYMOUS != 0 && flags & libc::MAP_TYPE == libc::MAP_PRIVATE
}

/// Maps over managed memory. The addresses stay the pager's, so that what is shared with others cannot be
/// there; a private mapping of a file is a copy of it.
///
/// # Safety
/// As of `mmap` with MAP_FIXED.
unsafe fn map_in_place(
    range: &Range<usize>,
    bytes: usize,
    protection: c_int,
    flags: c_int,
    file: c_int,
    offset: i64,
) -> *mut c_void {
    if !range.start.is_multiple_of(PAGE_BYTES) || range.is_empty() {
        return fail(libc::EINVAL);
    }
    let is_private = flags & libc::MAP_TYPE == libc::MAP_PRIVATE;
    if !is_private || in_window(range).as_ref() != Some(range) || !mappings::map_at(range) {
        return fail(libc::ENOMEM);
    }
    let address = range.start as *mut c_void;
    // SAFETY: memory of the program's, which it wants to be so.
    unsafe {
        if !is_anonymous(flags) {
            protect(range, READ_WRITE);
            if let Err(error) = read_file(address.cast(), bytes, file, offset) {
                return fail(error);
            }
        }
        protect(range, protection);
    }
    address
}

/// Reads a file's contents to the program's memory, as far as there are any.
///
/// # Safety
/// `into` is the program's, and so long.
unsafe fn read_file(into: *mut u8, bytes: usize, file: c_int, offset: i64) -> Result<(), c_int> {
    let mut done = 0;
    while done < bytes {
        // SAFETY: the caller's.
        let read = unsafe { libc::pread(file, into.add(done).cast(), bytes - done, offset + done as i64) };
        match usize::try_from(read) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(_) => match errno() {
                libc::EINTR => {}
                error => return Err(error),
            },
        }
    }
    Ok(())
}

/// Protects managed memory, or lifts that.
///
/// # Safety
/// The program wants it to be so.
unsafe fn protect(range: &Range<usize>, protection: c_int) {
    if protection != READ_WRITE {
        IS_ANY_PROTECTED.store(true, Ordering::Relaxed);
    }
    if is_any_protected() {
        // SAFETY: the caller's.
        unsafe { libc::syscall(libc::SYS_mprotect, range.start, range.len(), protection) };
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mmap64(
    address: *mut c_void,
    bytes: usize,
    protection: c_int,
    flags: c_int,
    file: c_int,
    offset: i64,
) -> *mut c_void {
    // SAFETY: the caller's.
    unsafe { mmap(address, bytes, protection, flags, file, offset) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mprotect(address: *mut c_void, bytes: usize, protection: c_int) -> c_int {
    if protection != READ_WRITE && in_window(&pages_of(address, bytes)).is_some() {
        IS_ANY_PROTECTED.store(true, Ordering::Relaxed);
    }
    // SAFETY: the caller's.
    unsafe { libc::syscall(libc::SYS_mprotect, address, bytes, protection) as c_int }
}

/// Does something to the parts of a range that are not in the window, in one call each; the first error.
pub fn outside(range: &Range<usize>, call: impl Fn(usize, usize) -> c_long) -> c_int {
    let inside = in_window(range).unwrap_or(range.end..range.end);
    let parts = [range.start..inside.start, inside.end..range.end];
    let results = parts.iter().filter(|part| !part.is_empty()).map(|part| call(part.start, part.len()));
    results.fold(0, |first, result| if first == 0 { result as c_int } else { first })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn munmap(address: *mut c_void, bytes: usize) -> c_int {
    let range = pages_of(address, bytes);
    let Some(inside) = in_window(&range) else {
        // SAFETY: the caller's.
        return unsafe { libc::syscall(libc::SYS_munmap, address, bytes) as c_int };
    };
    if !range.start.is_multiple_of(PAGE_BYTES) || bytes == 0 {
        return refuse(libc::EINVAL);
    }
    // The thread has the lock then. Nobody else gets the addresses.
    if !fork::is_under_way_here() {
        unmap(&inside);
    }
    // SAFETY: the caller's.
    outside(&range, |start, length| unsafe { libc::syscall(libc::SYS_munmap, start, length) })
}

/// Unmaps managed memory, which is as any other when it is mapped again.
fn unmap(range: &Range<usize>) {
    // SAFETY: nobody uses it any more.
    unsafe { protect(range, READ_WRITE) };
    mlock::forget(range);
    mappings::unmap(range);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn madvise(address: *mut c_void, bytes: usize, advice: c_int) -> c_int {
    let range = pages_of(address, bytes);
    let Some(inside) = in_window(&range) else {
        // SAFETY: the caller's.
        return unsafe { libc::syscall(libc::SYS_madvise, address, bytes, advice) as c_int };
    };
    if !range.start.is_multiple_of(PAGE_BYTES) {
        return refuse(libc::EINVAL);
    }
    match advice {
        // MADV_FREE allows zeros at any time.
        libc::MADV_DONTNEED | libc::MADV_FREE => {
            mappings::discard(&inside);
            blocks::discard(&inside);
        }
        libc::MADV_WILLNEED | libc::MADV_POPULATE_READ | libc::MADV_POPULATE_WRITE => {
            mappings::fault_in(&inside);
        }
        libc::MADV_HUGEPAGE | libc::MADV_NOHUGEPAGE => {
            if let Some(pager) = pager().filter(|_| !fork::is_under_way_here()) {
                pager.advise_huge_pages(&inside, advice == libc::MADV_HUGEPAGE);
            }
        }
        // About dumps, children, the order of accesses: the pager has its own ideas.
        libc::MADV_NORMAL
        | libc::MADV_RANDOM
        | libc::MADV_SEQUENTIAL
        | libc::MADV_DONTFORK
        | libc::MADV_DOFORK
        | libc::MADV_MERGEABLE
        | libc::MADV_UNMERGEABLE
        | libc::MADV_COLLAPSE
        | libc::MADV_DONTDUMP
        | libc::MADV_DODUMP
        | libc::MADV_COLD
        | libc::MADV_PAGEOUT => {}
        // What the kernel refuses for such memory, too, or what an older one does not know.
        _ => return refuse(libc::EINVAL),
    }
    // SAFETY: the caller's.
    outside(&range, |start, length| unsafe { libc::syscall(libc::SYS_madvise, start, length, advice) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mremap(
    address: *mut c_void,
    old_bytes: usize,
    new_bytes: usize,
    flags: c_int,
    new_address: *mut c_void,
) -> *mut c_void {
    let old = pages_of(address, old_bytes);
    let is_fixed = flags & libc::MREMAP_FIXED != 0;
    let target = pages_of(new_address, new_bytes);
    if in_window(&old).is_none() && !(is_fixed && in_window(&target).is_some()) {
        // SAFETY: the caller's.
        return unsafe {
            libc::syscall(libc::SYS_mremap, address, old_bytes, new_bytes, flags, new_address) as *mut c_void
        };
    }
    let Some(bytes) = new_bytes.checked_next_multiple_of(PAGE_BYTES) else { return fail(libc::ENOMEM) };
    let may_move = flags & libc::MREMAP_MAYMOVE != 0;
    let keeps = flags & libc::MREMAP_DONTUNMAP != 0;
    let is_aligned = |range: &Range<usize>| range.start.is_multiple_of(PAGE_BYTES);
    let can_be = flags & !MREMAP_FLAGS == 0
        && (bytes > 0 && !old.is_empty() && is_aligned(&old))
        && (!is_fixed || (may_move && is_aligned(&target)))
        && (!keeps || (may_move && bytes == old.len()));
    if !can_be {
        return fail(libc::EINVAL);
    }
    if in_window(&old).is_some() && !mappings::is_mapped(&old) {
        return fail(libc::EFAULT);
    }
    if is_fixed {
        if old.start < target.end && target.start < old.end {
            return fail(libc::EINVAL);
        }
        // SAFETY: the caller's.
        let mapped = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
            mmap(new_address, bytes, READ_WRITE, flags, -1, 0)
        };
        if mapped != libc::MAP_FAILED {
            // SAFETY: the caller's; both are mapped.
            unsafe { move_contents(&old, &target, keeps) };
        }
        return mapped;
    }
    if bytes <= old.len() && !keeps {
        unmap(&(old.start + bytes..old.end));
        return address;
    }
    if !keeps && mappings::extend(&old, bytes) {
        return address;
    }
    if !may_move {
        return fail(libc::ENOMEM);
    }
    let Some(start) = mappings::map(bytes) else { return fail(libc::ENOMEM) };
    // SAFETY: the caller's; both are mapped.
    unsafe { move_contents(&old, &(start..start + bytes), keeps) };
    start as *mut c_void
}

/// Moves what is mapped somewhere to other addresses, as much as there is room for; where it was, it is
/// unmapped, or zeros if the mapping is kept.
///
/// # Safety
/// Both are mapped, the new one can be written, and the program gives up the old one.
unsafe fn move_contents(from: &Range<usize>, to: &Range<usize>, keeps: bool) {
    // What was copied goes at once, so that a large mapping does not have to be in RAM twice.
    const STEP_BYTES: usize = 4 << 20;
    let moved = from.len().min(to.len());
    for offset in (0..moved).step_by(STEP_BYTES) {
        let part = from.start + offset..from.start + moved.min(offset + STEP_BYTES);
        // SAFETY: the caller's.
        unsafe {
            let target = (to.start + offset) as *mut u8;
            target.copy_from_nonoverlapping(part.start as *const u8, part.len());
            if keeps {
                madvise(part.start as *mut c_void, part.len(), libc::MADV_DONTNEED);
            } else {
                munmap(part.start as *mut c_void, part.len());
            }
        }
    }
    if moved < from.len() {
        // SAFETY: the caller's.
        unsafe { munmap((from.start + moved) as *mut c_void, from.len() - moved) };
    }
}
