//! What a fault costs by itself: delivery and one `UFFDIO_COPY` of a page, without a pager. Prints microseconds
//! for signal mode and for thread mode; `bench/checks` compares zpager's cheapest fault with them.

use std::ptr::{null_mut, read_volatile};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Instant;

const PAGE_BYTES: usize = 4096;
const PAGES: usize = 32_768;
/// Coprime to that: pages are touched in an order without locality, as the faults are that are compared.
const STRIDE: usize = 20_011;
const UFFD_API: u64 = 0xaa;
const UFFD_FEATURE_SIGBUS: u64 = 1 << 7;
const UFFDIO_API: libc::c_ulong = 0xc018_aa3f;
const UFFDIO_REGISTER: libc::c_ulong = 0xc020_aa00;
const UFFDIO_COPY: libc::c_ulong = 0xc028_aa03;
const REGISTER_MISSING: u64 = 1;
const EVENT_PAGEFAULT: u8 = 0x12;

#[repr(C, align(4096))]
struct Page([u8; PAGE_BYTES]);

static SOURCE: Page = Page([7; PAGE_BYTES]);
static DESCRIPTOR: AtomicI32 = AtomicI32::new(-1);

fn main() {
    println!("{{\"signal\": {:.3}, \"thread\": {:.3}}}", measure(true), measure(false));
}

/// Microseconds a fault, of so many pages that are touched once.
fn measure(by_signal: bool) -> f64 {
    let descriptor = open(if by_signal { UFFD_FEATURE_SIGBUS } else { 0 });
    DESCRIPTOR.store(descriptor, Ordering::Relaxed);
    let length = PAGES * PAGE_BYTES;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let memory = unsafe {
        libc::mmap(
            null_mut(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    assert_ne!(memory, libc::MAP_FAILED);
    // SAFETY: it is our mapping; huge pages would be served by one fault for 512 pages.
    assert_eq!(unsafe { libc::madvise(memory, length, libc::MADV_NOHUGEPAGE) }, 0);
    let mut register = [memory as u64, length as u64, REGISTER_MISSING, 0];
    call(descriptor, UFFDIO_REGISTER, register.as_mut_ptr());
    if by_signal {
        install_handler();
    } else {
        std::thread::spawn(move || serve(descriptor));
    }
    let start = Instant::now();
    for page in (0..PAGES).map(|touch| touch * STRIDE % PAGES) {
        // SAFETY: within the mapping; the fault is served by the handler or the thread.
        let byte = unsafe { read_volatile(memory.cast::<u8>().add(page * PAGE_BYTES)) };
        assert_eq!(byte, 7);
    }
    start.elapsed().as_secs_f64() * 1e6 / PAGES as f64
}

fn open(features: u64) -> i32 {
    // SAFETY: a system call without pointers.
    let descriptor = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC) } as i32;
    assert!(descriptor >= 0, "userfaultfd: {}", std::io::Error::last_os_error());
    let mut api = [UFFD_API, features, 0];
    call(descriptor, UFFDIO_API, api.as_mut_ptr());
    descriptor
}

fn install_handler() {
    // SAFETY: a zeroed sigaction is a valid one, and the handler does nothing but a system call.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_sigbus as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
        assert_eq!(libc::sigaction(libc::SIGBUS, &action, null_mut()), 0);
    }
}

extern "C" fn on_sigbus(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel hands a valid siginfo to a handler with SA_SIGINFO.
    let address = unsafe { (*info).si_addr() } as u64;
    copy(DESCRIPTOR.load(Ordering::Relaxed), address);
}

/// Serves faults as a handler thread does, sleeping in `read` between them.
fn serve(descriptor: i32) {
    let mut message = [0_u8; 32];
    loop {
        // SAFETY: the buffer is as large as is said.
        let length = unsafe { libc::read(descriptor, message.as_mut_ptr().cast(), message.len()) };
        if length == 32 && message[0] == EVENT_PAGEFAULT {
            copy(descriptor, u64::from_ne_bytes(message[16..24].try_into().unwrap()));
        }
    }
}

fn copy(descriptor: i32, address: u64) {
    let page = address & !(PAGE_BYTES as u64 - 1);
    let mut argument = [page, SOURCE.0.as_ptr() as u64, PAGE_BYTES as u64, 0, 0];
    call(descriptor, UFFDIO_COPY, argument.as_mut_ptr());
}

fn call(descriptor: i32, request: libc::c_ulong, argument: *mut u64) {
    // SAFETY: `argument` points to the structure that the request wants, in 64-bit words.
    let answer = unsafe { libc::ioctl(descriptor, request, argument) };
    assert_eq!(answer, 0, "ioctl {request:x}: {}", std::io::Error::last_os_error());
}
