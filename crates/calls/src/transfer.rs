//! Reading and writing: any amount, into and out of memory that need not fit into RAM.
//!
//! - Up to a page goes through a buffer on the stack, so that nothing is lost that can be read but once (a
//!   terminal's line, a counter of an `eventfd`).
//! - More is brought in, and read or written, in chunks. A regular file, or a device of blocks, is read to the end
//!   as the kernel does it; from anything else a short read is what a program has to expect. A write goes on until
//!   all is written or the kernel writes less than it could.
//! - A message (a datagram) is one call. One that is received goes through a mapping of its own, since the kernel
//!   drops what it could not deliver.

use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_uint, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use libc::iovec;
use zpager_core::page::PAGE_BYTES;
use zpager_linux::errno::{errno, set_errno};
use zpager_linux::signal_mode::{faults_served, managed_part};
use zpager_linux::system_call;

use crate::retry::{ATTEMPTS, missing, retry_up_to};
use crate::touch::{Pages, is_managed, is_vector_managed};

const CHUNK_BYTES_MAX: usize = 1 << 20;
/// More than any datagram.
const CHUNK_BYTES_MIN: usize = 256 << 10;
/// A chunk is at most so much of the RAM.
const RAM_PER_CHUNK: usize = 8;
const PARTS_MAX: usize = libc::UIO_MAXIOV as usize;

static CHUNK_BYTES: AtomicUsize = AtomicUsize::new(CHUNK_BYTES_MAX);

/// A pager has only so much RAM.
pub fn limit_chunks(ram_bytes: u64) {
    let share = usize::try_from(ram_bytes).unwrap_or(usize::MAX) / RAM_PER_CHUNK;
    CHUNK_BYTES.fetch_min(share.max(CHUNK_BYTES_MIN), Ordering::Relaxed);
}

/// Who fills what.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// The kernel fills the program's memory.
    In,
    /// It reads there.
    Out,
}

/// How a file behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It gives as much as is asked for, but at its end.
    Whole,
    /// It gives what it has.
    Stream,
    /// What it gives may be had but once, and is gone if it cannot be delivered.
    Fragile,
    /// One call is one message.
    Message,
}

impl Kind {
    /// Of a descriptor.
    pub(crate) fn of(file: c_int) -> Kind {
        const MEMORY_DEVICES: c_uint = 1;
        let mut status = MaybeUninit::<libc::stat>::zeroed();
        // SAFETY: zeros are a valid `stat`, which the call fills.
        let status = unsafe {
            libc::fstat(file, status.as_mut_ptr());
            status.assume_init()
        };
        match status.st_mode & libc::S_IFMT {
            libc::S_IFREG | libc::S_IFBLK => Kind::Whole,
            libc::S_IFCHR if libc::major(status.st_rdev) == MEMORY_DEVICES => Kind::Whole,
            libc::S_IFIFO => Kind::Stream,
            libc::S_IFSOCK if socket_type(file) == libc::SOCK_STREAM => Kind::Stream,
            libc::S_IFSOCK => Kind::Message,
            _ => Kind::Fragile,
        }
    }
}

fn socket_type(socket: c_int) -> c_int {
    let mut kind: c_int = 0;
    let mut length = size_of::<c_int>() as c_uint;
    // SAFETY: the option is of that size.
    unsafe {
        libc::getsockopt(socket, libc::SOL_SOCKET, libc::SO_TYPE, (&raw mut kind).cast(), &raw mut length);
    }
    kind
}

/// How often pages are brought in before a copy of them is handed over.
const ATTEMPTS_BEFORE_COPY: usize = 8;

/// A page on the stack, aligned as direct access to a disk wants it.
#[repr(align(4096))]
struct Bounce([MaybeUninit<u8>; PAGE_BYTES]);

/// Reads or writes by calls with a few parts each, of which not all are in the first. `of_file`: how it behaves.
/// `wants_all`: a stream is to be read until all is there. `call` gets the parts, and how many bytes are done.
pub(crate) fn transfer(
    direction: Direction,
    of_file: impl FnOnce() -> Kind,
    wants_all: bool,
    parts: &mut [iovec],
    mut call: impl FnMut(&mut [iovec], usize) -> isize,
) -> isize {
    let total = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.iov_len));
    if total <= PAGE_BYTES {
        return through_stack(direction, parts, total, call);
    }
    let kind = of_file();
    match (kind, direction) {
        (Kind::Message, Direction::In) => return through_mapping(direction, parts, total, call),
        (Kind::Fragile, Direction::In) => return through_stack(direction, parts, PAGE_BYTES, call),
        (Kind::Message, Direction::Out) => {
            return brought_in(ATTEMPTS, direction, parts, |parts| call(parts, 0));
        }
        _ => {}
    }
    let goes_on = direction == Direction::Out || kind == Kind::Whole || wants_all;
    let chunk_bytes = CHUNK_BYTES.load(Ordering::Relaxed);
    let errno_before = errno();
    let mut rest = parts;
    let mut done = 0;
    loop {
        let before = Cell::new(0);
        let (result, asked) = with_chunk(rest, chunk_bytes, |chunk, asked| {
            // Where somebody takes pages as fast as they come, so many at once may never be there together. What
            // is not all managed cannot be copied, since it may not be there at all.
            let can_copy = chunk.iter().all(is_all_managed);
            let attempts = if can_copy { ATTEMPTS_BEFORE_COPY } else { ATTEMPTS };
            let mut result = brought_in(attempts, direction, chunk, |chunk| {
                before.set(faults_served());
                call(chunk, done)
            });
            if can_copy && result < 0 && errno() == libc::EFAULT {
                set_errno(errno_before);
                result = through_mapping(direction, chunk, asked, |whole, _| call(whole, done));
            }
            (result, asked)
        });
        if result <= 0 {
            if done == 0 {
                return result;
            }
            set_errno(errno_before);
            return done as isize;
        }
        done += result as usize;
        rest = advance(rest, result as usize);
        if done == total || !goes_on {
            return done as isize;
        }
        // The kernel stops early also where a page is missing. A file tells at the next call what it was; but
        // a write to a stream that a signal has interrupted is not to go on.
        let is_short = (result as usize) < asked;
        if is_short && kind != Kind::Whole && !wants_all && !was_missing(direction, rest, before.get()) {
            return done as isize;
        }
    }
}

fn is_all_managed(part: &iovec) -> bool {
    let start = part.iov_base as usize;
    managed_part(&(start..start + part.iov_len)).is_some_and(|managed| managed.len() == part.iov_len)
}

/// Whether the next page is missing, or one has been since `before` faults were served.
fn was_missing(direction: Direction, rest: &[iovec], before: u64) -> bool {
    let next = [iovec { iov_len: rest[0].iov_len.min(1), ..rest[0] }];
    Pages::default().vector(&next, direction == Direction::In);
    faults_served() != before
}

/// Calls with pages in place, as often as that takes.
fn brought_in(
    attempts: usize,
    direction: Direction,
    parts: &mut [iovec],
    mut call: impl FnMut(&mut [iovec]) -> isize,
) -> isize {
    let parts = RefCell::new(parts);
    let bring_in = |pages: &mut Pages| pages.vector(&parts.borrow(), direction == Direction::In);
    retry_up_to(attempts, bring_in, || call(&mut parts.borrow_mut()))
}

/// Calls with the first parts, of so many bytes at most, and with how many that are.
fn with_chunk<R>(parts: &mut [iovec], bytes_max: usize, call: impl FnOnce(&mut [iovec], usize) -> R) -> R {
    let mut bytes = 0;
    for index in 0..parts.len() {
        let length = parts[index].iov_len;
        if bytes + length >= bytes_max {
            parts[index].iov_len = bytes_max - bytes;
            let result = call(&mut parts[..=index], bytes_max);
            parts[index].iov_len = length;
            return result;
        }
        bytes += length;
    }
    call(parts, bytes)
}

/// What is left behind so many bytes.
fn advance(mut parts: &mut [iovec], mut bytes: usize) -> &mut [iovec] {
    while let Some(first) = parts.first_mut() {
        if bytes < first.iov_len {
            first.iov_base = first.iov_base.wrapping_byte_add(bytes);
            first.iov_len -= bytes;
            break;
        }
        bytes -= first.iov_len;
        parts = &mut parts[1..];
    }
    parts
}

/// Copies between parts and a buffer that is large enough.
///
/// # Safety
/// The parts are the program's memory, and the buffer holds `bytes` bytes.
unsafe fn copy(direction: Direction, parts: &[iovec], buffer: *mut u8, bytes: usize) {
    let mut at = 0;
    for part in parts {
        let length = part.iov_len.min(bytes - at);
        // SAFETY: the caller's.
        unsafe {
            let (place, program) = (buffer.add(at), part.iov_base.cast::<u8>());
            match direction {
                Direction::In => program.copy_from(place, length),
                Direction::Out => place.copy_from(program, length),
            }
        }
        at += length;
    }
}

fn through(
    direction: Direction,
    parts: &mut [iovec],
    buffer: *mut u8,
    bytes: usize,
    mut call: impl FnMut(&mut [iovec], usize) -> isize,
) -> isize {
    let mut whole = [iovec { iov_base: buffer.cast(), iov_len: bytes }];
    if direction == Direction::Out {
        // SAFETY: the callers' buffers are as large.
        unsafe { copy(direction, parts, buffer, bytes) };
    }
    let result = call(&mut whole, 0);
    // A message may have been longer than there was room.
    if let (Direction::In, Ok(filled)) = (direction, usize::try_from(result)) {
        // SAFETY: as above.
        unsafe { copy(direction, parts, buffer, filled.min(bytes)) };
    }
    result
}

#[inline(never)]
fn through_stack(
    direction: Direction,
    parts: &mut [iovec],
    bytes: usize,
    call: impl FnMut(&mut [iovec], usize) -> isize,
) -> isize {
    let mut bounce = Bounce([MaybeUninit::uninit(); PAGE_BYTES]);
    through(direction, parts, bounce.0.as_mut_ptr().cast(), bytes, call)
}

fn through_mapping(
    direction: Direction,
    parts: &mut [iovec],
    total: usize,
    call: impl FnMut(&mut [iovec], usize) -> isize,
) -> isize {
    let bytes = total.min(CHUNK_BYTES_MAX);
    // SAFETY: a new mapping at an address of the kernel's choice.
    let buffer = match unsafe { system_call::map(0, bytes, libc::PROT_READ | libc::PROT_WRITE, 0) } {
        Ok(buffer) => buffer,
        Err(error) => {
            set_errno(error.raw_os_error().unwrap_or(libc::ENOMEM));
            return -1;
        }
    };
    let result = through(direction, parts, buffer as *mut u8, bytes, call);
    // SAFETY: mapped above, and nobody else's.
    let _ = unsafe { system_call::unmap(buffer, bytes) };
    result
}

/// Reads or writes one buffer of a file.
fn one(
    direction: Direction,
    file: c_int,
    start: *const c_void,
    bytes: usize,
    mut call: impl FnMut(*mut c_void, usize, usize) -> isize,
) -> isize {
    if !is_managed(start, bytes) {
        return call(start.cast_mut(), bytes, 0);
    }
    let mut parts = [iovec { iov_base: start.cast_mut(), iov_len: bytes }];
    transfer(
        direction,
        || Kind::of(file),
        false,
        &mut parts,
        |parts, done| call(parts[0].iov_base, parts[0].iov_len, done),
    )
}

/// Calls with a copy of a vector, if any of what it names is managed.
///
/// # Safety
/// The program says that there are so many parts.
pub(crate) unsafe fn with_parts<R>(
    vector: *const iovec,
    count: usize,
    plain: impl FnOnce() -> R,
    call: impl FnOnce(&mut [iovec]) -> R,
) -> R {
    if vector.is_null() || count == 0 || count > PARTS_MAX {
        return plain();
    }
    // SAFETY: the caller's; and reading brings them in.
    let theirs = unsafe { std::slice::from_raw_parts(vector, count) };
    if !is_managed(vector.cast(), size_of_val(theirs)) && !is_vector_managed(theirs) {
        return plain();
    }
    with_copied_parts(theirs, call)
}

#[inline(never)]
fn with_copied_parts<R>(theirs: &[iovec], call: impl FnOnce(&mut [iovec]) -> R) -> R {
    let mut parts = [iovec { iov_base: ptr::null_mut(), iov_len: 0 }; PARTS_MAX];
    parts[..theirs.len()].copy_from_slice(theirs);
    call(&mut parts[..theirs.len()])
}

/// Reads or writes the buffers of a vector.
///
/// # Safety
/// The program says that there are so many parts.
unsafe fn many(
    direction: Direction,
    file: c_int,
    vector: *const iovec,
    count: c_int,
    call: impl Fn(*const iovec, c_int, usize) -> isize,
) -> isize {
    // SAFETY: the caller's.
    unsafe {
        with_parts(
            vector,
            usize::try_from(count).unwrap_or(0),
            || call(vector, count, 0),
            |parts| {
                transfer(
                    direction,
                    || Kind::of(file),
                    false,
                    parts,
                    |parts, done| call(parts.as_ptr(), parts.len() as c_int, done),
                )
            },
        )
    }
}

type Read = unsafe extern "C" fn(c_int, *mut c_void, usize) -> isize;
type ReadChecked = unsafe extern "C" fn(c_int, *mut c_void, usize, usize) -> isize;
type ReadAt = unsafe extern "C" fn(c_int, *mut c_void, usize, i64) -> isize;
type ReadAtChecked = unsafe extern "C" fn(c_int, *mut c_void, usize, i64, usize) -> isize;
type Write = unsafe extern "C" fn(c_int, *const c_void, usize) -> isize;
type WriteAt = unsafe extern "C" fn(c_int, *const c_void, usize, i64) -> isize;
type Many = unsafe extern "C" fn(c_int, *const iovec, c_int) -> isize;
type ManyAt = unsafe extern "C" fn(c_int, *const iovec, c_int, i64) -> isize;
type ManyAtWith = unsafe extern "C" fn(c_int, *const iovec, c_int, i64, c_int) -> isize;
type Random = unsafe extern "C" fn(*mut c_void, usize, c_uint) -> isize;

originals! {
    read: Read;
    __read: Read;
    __read_chk: ReadChecked;
    pread: ReadAt;
    pread64: ReadAt;
    __pread64: ReadAt;
    __pread_chk: ReadAtChecked;
    __pread64_chk: ReadAtChecked;
    write: Write;
    __write: Write;
    pwrite: WriteAt;
    pwrite64: WriteAt;
    __pwrite64: WriteAt;
    readv: Many;
    writev: Many;
    preadv: ManyAt;
    preadv64: ManyAt;
    pwritev: ManyAt;
    pwritev64: ManyAt;
    preadv2: ManyAtWith;
    preadv64v2: ManyAtWith;
    pwritev2: ManyAtWith;
    pwritev64v2: ManyAtWith;
    getrandom: Random;
}

macro_rules! define {
    ($(
        $shape:ident $direction:ident:
        $name:ident($($argument:ident: $type:ty),*), |$start:ident, $length:ident, $done:ident| ($($passed:expr),*);
    )*) => {
        $(
            /// As the C library's.
            ///
            /// # Safety
            /// As there.
            pub unsafe extern "C" fn $name($($argument: $type),*) -> isize {
                let Some(original) = original::$name() else { return missing() };
                define!(@$shape $direction, original, ($($argument),*), |$start, $length, $done| ($($passed),*))
            }
        )*
    };
    (@one $direction:ident, $original:ident, ($file:ident, $at:ident, $bytes:ident $(, $more:ident)*),
        |$start:ident, $length:ident, $done:ident| ($($passed:expr),*)) => {
        // SAFETY: the caller's.
        one(Direction::$direction, $file, $at, $bytes, |$start, $length, $done| unsafe {
            let _ = $done;
            $original($($passed),*)
        })
    };
    (@many $direction:ident, $original:ident, ($file:ident, $vector:ident, $count:ident $(, $more:ident)*),
        |$start:ident, $length:ident, $done:ident| ($($passed:expr),*)) => {
        // SAFETY: the caller's.
        unsafe {
            many(Direction::$direction, $file, $vector, $count, |$start, $length, $done| {
                let _ = $done;
                $original($($passed),*)
            })
        }
    };
}

/// The place in a file behind so many bytes; -1 is its own place.
fn behind(offset: i64, done: usize) -> i64 {
    if offset == -1 { -1 } else { offset + done as i64 }
}

define! {
    one In: read(file: c_int, into: *mut c_void, bytes: usize), |at, length, done| (file, at, length);
    one In: __read(file: c_int, into: *mut c_void, bytes: usize), |at, length, done| (file, at, length);
    one In: __read_chk(file: c_int, into: *mut c_void, bytes: usize, room: usize),
        |at, length, done| (file, at, length, room.saturating_sub(done));
    one In: pread(file: c_int, into: *mut c_void, bytes: usize, offset: i64),
        |at, length, done| (file, at, length, offset + done as i64);
    one In: pread64(file: c_int, into: *mut c_void, bytes: usize, offset: i64),
        |at, length, done| (file, at, length, offset + done as i64);
    one In: __pread64(file: c_int, into: *mut c_void, bytes: usize, offset: i64),
        |at, length, done| (file, at, length, offset + done as i64);
    one In: __pread_chk(file: c_int, into: *mut c_void, bytes: usize, offset: i64, room: usize),
        |at, length, done| (file, at, length, offset + done as i64, room.saturating_sub(done));
    one In: __pread64_chk(file: c_int, into: *mut c_void, bytes: usize, offset: i64, room: usize),
        |at, length, done| (file, at, length, offset + done as i64, room.saturating_sub(done));
    one Out: write(file: c_int, from: *const c_void, bytes: usize), |at, length, done| (file, at, length);
    one Out: __write(file: c_int, from: *const c_void, bytes: usize), |at, length, done| (file, at, length);
    one Out: pwrite(file: c_int, from: *const c_void, bytes: usize, offset: i64),
        |at, length, done| (file, at, length, offset + done as i64);
    one Out: pwrite64(file: c_int, from: *const c_void, bytes: usize, offset: i64),
        |at, length, done| (file, at, length, offset + done as i64);
    one Out: __pwrite64(file: c_int, from: *const c_void, bytes: usize, offset: i64),
        |at, length, done| (file, at, length, offset + done as i64);
    many In: readv(file: c_int, vector: *const iovec, count: c_int), |at, length, done| (file, at, length);
    many Out: writev(file: c_int, vector: *const iovec, count: c_int), |at, length, done| (file, at, length);
    many In: preadv(file: c_int, vector: *const iovec, count: c_int, offset: i64),
        |at, length, done| (file, at, length, offset + done as i64);
    many In: preadv64(file: c_int, vector: *const iovec, count: c_int, offset: i64),
        |at, length, done| (file, at, length, offset + done as i64);
    many Out: pwritev(file: c_int, vector: *const iovec, count: c_int, offset: i64),
        |at, length, done| (file, at, length, offset + done as i64);
    many Out: pwritev64(file: c_int, vector: *const iovec, count: c_int, offset: i64),
        |at, length, done| (file, at, length, offset + done as i64);
    many In: preadv2(file: c_int, vector: *const iovec, count: c_int, offset: i64, flags: c_int),
        |at, length, done| (file, at, length, behind(offset, done), flags);
    many In: preadv64v2(file: c_int, vector: *const iovec, count: c_int, offset: i64, flags: c_int),
        |at, length, done| (file, at, length, behind(offset, done), flags);
    many Out: pwritev2(file: c_int, vector: *const iovec, count: c_int, offset: i64, flags: c_int),
        |at, length, done| (file, at, length, behind(offset, done), flags);
    many Out: pwritev64v2(file: c_int, vector: *const iovec, count: c_int, offset: i64, flags: c_int),
        |at, length, done| (file, at, length, behind(offset, done), flags);
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn getrandom(into: *mut c_void, bytes: usize, flags: c_uint) -> isize {
    let Some(original) = original::getrandom() else { return missing() };
    if !is_managed(into, bytes) {
        // SAFETY: the caller's.
        return unsafe { original(into, bytes, flags) };
    }
    let mut parts = [iovec { iov_base: into, iov_len: bytes }];
    transfer(
        Direction::In,
        || Kind::Whole,
        false,
        &mut parts,
        |parts, _| {
            // SAFETY: the caller's.
            unsafe { original(parts[0].iov_base, parts[0].iov_len, flags) }
        },
    )
}
