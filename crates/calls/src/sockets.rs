//! Sockets: transfers with flags, addresses and control messages. These two are copied, since a message whose
//! address could not be delivered is gone.

use std::cell::RefCell;
use std::ffi::{c_int, c_uint, c_void};

use libc::{iovec, msghdr};

use crate::retry::missing;
use crate::touch::{is_managed, is_vector_managed};
use crate::transfer::{Direction, Kind, transfer, with_parts};

/// The longest address, with room to spare.
const ADDRESS_BYTES_MAX: usize = 256;
/// Enough for as many descriptors as can be sent at once.
const CONTROL_BYTES_MAX: usize = 2048;

#[repr(align(16))]
struct Room<const BYTES: usize>([u8; BYTES]);

type Named = unsafe extern "C" fn(c_int, *mut c_void, *mut c_uint) -> c_int;
type NamedWith = unsafe extern "C" fn(c_int, *mut c_void, *mut c_uint, c_int) -> c_int;
type Receive = unsafe extern "C" fn(c_int, *mut c_void, usize, c_int) -> isize;
type ReceiveChecked = unsafe extern "C" fn(c_int, *mut c_void, usize, usize, c_int) -> isize;
type ReceiveFrom = unsafe extern "C" fn(c_int, *mut c_void, usize, c_int, *mut c_void, *mut c_uint) -> isize;
type ReceiveFromChecked =
    unsafe extern "C" fn(c_int, *mut c_void, usize, usize, c_int, *mut c_void, *mut c_uint) -> isize;
type ReceiveMessage = unsafe extern "C" fn(c_int, *mut msghdr, c_int) -> isize;
type Send = unsafe extern "C" fn(c_int, *const c_void, usize, c_int) -> isize;
type SendTo = unsafe extern "C" fn(c_int, *const c_void, usize, c_int, *const c_void, c_uint) -> isize;
type SendMessage = unsafe extern "C" fn(c_int, *const msghdr, c_int) -> isize;

originals! {
    accept: Named;
    accept4: NamedWith;
    getsockname: Named;
    getpeername: Named;
    recv: Receive;
    __recv_chk: ReceiveChecked;
    recvfrom: ReceiveFrom;
    __recvfrom_chk: ReceiveFromChecked;
    recvmsg: ReceiveMessage;
    send: Send;
    __send: Send;
    sendto: SendTo;
    sendmsg: SendMessage;
}

/// Calls with room for an address, and its length.
///
/// # Safety
/// Both are null, or there is as much room for the address as its length says.
unsafe fn with_address<R>(
    address: *mut c_void,
    length: *mut c_uint,
    call: impl FnOnce(*mut c_void, *mut c_uint) -> R,
) -> R {
    if address.is_null()
        || length.is_null()
        || (!is_managed(length.cast(), size_of::<c_uint>()) && !is_managed(address, ADDRESS_BYTES_MAX))
    {
        return call(address, length);
    }
    let mut room = Room([0; ADDRESS_BYTES_MAX]);
    // SAFETY: the caller's.
    let there_is = unsafe { length.read_unaligned() };
    let mut filled = there_is.min(ADDRESS_BYTES_MAX as c_uint);
    let result = call(room.0.as_mut_ptr().cast(), &raw mut filled);
    let copied = filled.min(there_is).min(ADDRESS_BYTES_MAX as c_uint) as usize;
    // SAFETY: the caller's.
    unsafe {
        address.cast::<u8>().copy_from(room.0.as_ptr(), copied);
        length.write_unaligned(filled);
    }
    result
}

macro_rules! named {
    ($($name:ident($($more:ident: $type:ty)?);)*) => {
        $(
            /// As the C library's.
            ///
            /// # Safety
            /// As there.
            pub unsafe extern "C" fn $name(
                socket: c_int,
                address: *mut c_void,
                length: *mut c_uint
                $(, $more: $type)?
            ) -> c_int {
                let Some(original) = original::$name() else { return missing() };
                // SAFETY: the caller's.
                unsafe {
                    with_address(address, length, |address, length| original(socket, address, length $(, $more)?))
                }
            }
        )*
    };
}

named! {
    accept();
    accept4(flags: c_int);
    getsockname();
    getpeername();
}

fn kind_of(socket: c_int, flags: c_int) -> Kind {
    if flags & libc::MSG_ERRQUEUE != 0 { Kind::Message } else { Kind::of(socket) }
}

fn wants_all(flags: c_int) -> bool {
    flags & libc::MSG_WAITALL != 0 && flags & (libc::MSG_PEEK | libc::MSG_DONTWAIT) == 0
}

fn receive(
    socket: c_int,
    into: *mut c_void,
    bytes: usize,
    flags: c_int,
    mut call: impl FnMut(*mut c_void, usize) -> isize,
) -> isize {
    if !is_managed(into, bytes) {
        return call(into, bytes);
    }
    let mut parts = [iovec { iov_base: into, iov_len: bytes }];
    transfer(
        Direction::In,
        || kind_of(socket, flags),
        wants_all(flags),
        &mut parts,
        |parts, _| call(parts[0].iov_base, parts[0].iov_len),
    )
}

fn send_all(
    socket: c_int,
    from: *const c_void,
    bytes: usize,
    mut call: impl FnMut(*const c_void, usize) -> isize,
) -> isize {
    if !is_managed(from, bytes) {
        return call(from, bytes);
    }
    let mut parts = [iovec { iov_base: from.cast_mut(), iov_len: bytes }];
    transfer(
        Direction::Out,
        || Kind::of(socket),
        false,
        &mut parts,
        |parts, _| call(parts[0].iov_base, parts[0].iov_len),
    )
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn recv(socket: c_int, into: *mut c_void, bytes: usize, flags: c_int) -> isize {
    let Some(original) = original::recv() else { return missing() };
    // SAFETY: the caller's.
    receive(socket, into, bytes, flags, |at, length| unsafe { original(socket, at, length, flags) })
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn __recv_chk(
    socket: c_int,
    into: *mut c_void,
    bytes: usize,
    room: usize,
    flags: c_int,
) -> isize {
    let Some(original) = original::__recv_chk() else { return missing() };
    // SAFETY: the caller's; what is left of the room is at least what is left to be read.
    receive(socket, into, bytes, flags, |at, length| unsafe {
        original(socket, at, length, if room < bytes { room } else { length }, flags)
    })
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn recvfrom(
    socket: c_int,
    into: *mut c_void,
    bytes: usize,
    flags: c_int,
    address: *mut c_void,
    length: *mut c_uint,
) -> isize {
    let Some(original) = original::recvfrom() else { return missing() };
    // SAFETY: the caller's.
    unsafe {
        with_address(address, length, |address, address_length| {
            receive(socket, into, bytes, flags, |at, length| {
                original(socket, at, length, flags, address, address_length)
            })
        })
    }
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn __recvfrom_chk(
    socket: c_int,
    into: *mut c_void,
    bytes: usize,
    room: usize,
    flags: c_int,
    address: *mut c_void,
    length: *mut c_uint,
) -> isize {
    let Some(original) = original::__recvfrom_chk() else { return missing() };
    // SAFETY: the caller's; as in `__recv_chk`.
    unsafe {
        with_address(address, length, |address, address_length| {
            receive(socket, into, bytes, flags, |at, length| {
                let room = if room < bytes { room } else { length };
                original(socket, at, length, room, flags, address, address_length)
            })
        })
    }
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn send(socket: c_int, from: *const c_void, bytes: usize, flags: c_int) -> isize {
    let Some(original) = original::send() else { return missing() };
    // SAFETY: the caller's.
    send_all(socket, from, bytes, |at, length| unsafe { original(socket, at, length, flags) })
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn __send(socket: c_int, from: *const c_void, bytes: usize, flags: c_int) -> isize {
    let Some(original) = original::__send() else { return missing() };
    // SAFETY: the caller's.
    send_all(socket, from, bytes, |at, length| unsafe { original(socket, at, length, flags) })
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn sendto(
    socket: c_int,
    from: *const c_void,
    bytes: usize,
    flags: c_int,
    address: *const c_void,
    length: c_uint,
) -> isize {
    let Some(original) = original::sendto() else { return missing() };
    let mut room = Room([0; ADDRESS_BYTES_MAX]);
    let mut address = address;
    if is_managed(address, length as usize) && length as usize <= ADDRESS_BYTES_MAX {
        // SAFETY: the caller's; there is room.
        unsafe { room.0.as_mut_ptr().copy_from(address.cast(), length as usize) };
        address = room.0.as_ptr().cast();
    }
    // SAFETY: the caller's.
    send_all(socket, from, bytes, |at, part| unsafe { original(socket, at, part, flags, address, length) })
}

/// Whether a message, or anything that it names, is managed.
///
/// # Safety
/// It is a message.
unsafe fn is_message_managed(message: *const msghdr) -> bool {
    if message.is_null() {
        return false;
    }
    if is_managed(message.cast(), size_of::<msghdr>()) {
        return true;
    }
    // SAFETY: the caller's.
    unsafe {
        let message = &*message;
        let count = message.msg_iovlen.min(libc::UIO_MAXIOV as usize);
        is_managed(message.msg_name, message.msg_namelen as usize)
            || is_managed(message.msg_control, message.msg_controllen)
            || (!message.msg_iov.is_null()
                && (is_managed(message.msg_iov.cast(), count * size_of::<iovec>())
                    || is_vector_managed(std::slice::from_raw_parts(message.msg_iov, count))))
    }
}

/// Sends or receives with copies of a message's name and control part.
///
/// # Safety
/// `theirs` is a message.
#[inline(never)]
unsafe fn with_copied_message(
    direction: Direction,
    socket: c_int,
    theirs: &mut msghdr,
    flags: c_int,
    call: impl Fn(&mut msghdr) -> isize,
) -> isize {
    let mut name = Room([0; ADDRESS_BYTES_MAX]);
    let mut control = Room([0; CONTROL_BYTES_MAX]);
    let mut ours = *theirs;
    if !ours.msg_name.is_null() {
        ours.msg_namelen = ours.msg_namelen.min(ADDRESS_BYTES_MAX as c_uint);
        ours.msg_name = name.0.as_mut_ptr().cast();
    }
    // More than that is brought in by the loop below, and may be cut off.
    let is_control_copied = !ours.msg_control.is_null() && ours.msg_controllen <= CONTROL_BYTES_MAX;
    if is_control_copied {
        ours.msg_control = control.0.as_mut_ptr().cast();
    }
    if direction == Direction::Out {
        // SAFETY: the caller's; there is room.
        unsafe {
            if !ours.msg_name.is_null() {
                name.0.as_mut_ptr().copy_from(theirs.msg_name.cast(), ours.msg_namelen as usize);
            }
            if is_control_copied {
                control.0.as_mut_ptr().copy_from(theirs.msg_control.cast(), ours.msg_controllen);
            }
        }
    }
    let shared = RefCell::new(&mut ours);
    // SAFETY: the caller's.
    let result = unsafe {
        with_parts(
            theirs.msg_iov,
            theirs.msg_iovlen,
            || call(&mut shared.borrow_mut()),
            |parts| {
                let kind = || kind_of(socket, flags);
                transfer(direction, kind, wants_all(flags), parts, |parts, done| {
                    let mut ours = shared.borrow_mut();
                    ours.msg_iov = parts.as_mut_ptr();
                    ours.msg_iovlen = parts.len();
                    if done > 0 {
                        (ours.msg_control, ours.msg_controllen) = (std::ptr::null_mut(), 0);
                    }
                    call(&mut ours)
                })
            },
        )
    };
    if direction == Direction::In && result >= 0 {
        // SAFETY: the caller's; the kernel fills no more than there was room for.
        unsafe {
            if !theirs.msg_name.is_null() {
                let filled = ours.msg_namelen.min(theirs.msg_namelen) as usize;
                theirs.msg_name.cast::<u8>().copy_from(name.0.as_ptr(), filled.min(ADDRESS_BYTES_MAX));
            }
            if is_control_copied && !ours.msg_control.is_null() {
                theirs.msg_control.cast::<u8>().copy_from(control.0.as_ptr(), ours.msg_controllen);
            }
        }
        theirs.msg_namelen = ours.msg_namelen;
        theirs.msg_controllen = ours.msg_controllen;
        theirs.msg_flags = ours.msg_flags;
    }
    result
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn recvmsg(socket: c_int, message: *mut msghdr, flags: c_int) -> isize {
    let Some(original) = original::recvmsg() else { return missing() };
    // SAFETY: the caller's.
    unsafe {
        if !is_message_managed(message) {
            return original(socket, message, flags);
        }
        with_copied_message(Direction::In, socket, &mut *message, flags, |message| {
            original(socket, message, flags)
        })
    }
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn sendmsg(socket: c_int, message: *const msghdr, flags: c_int) -> isize {
    let Some(original) = original::sendmsg() else { return missing() };
    // SAFETY: the caller's; a message that is sent is not changed.
    unsafe {
        if !is_message_managed(message) {
            return original(socket, message, flags);
        }
        with_copied_message(Direction::Out, socket, &mut { *message }, flags, |message| {
            original(socket, message, flags)
        })
    }
}
