//! Words on stderr that do without what the program may hold just now: the lock of `std`'s stderr,
//! the allocator.

use std::fmt;
use std::io::Write;

const LINE_BYTES_MAX: usize = 256;

/// Writes a line, cut where it is too long.
pub fn say(words: fmt::Arguments<'_>) {
    let mut line = [0_u8; LINE_BYTES_MAX];
    let mut rest = &mut line[..LINE_BYTES_MAX - 1];
    let _ = write!(rest, "zpager: {words}");
    let length = LINE_BYTES_MAX - 1 - rest.len();
    line[length] = b'\n';
    // SAFETY: writes the bytes that were just formatted.
    unsafe {
        libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), length + 1);
    }
}

/// Writes a line and ends the process.
pub fn abort(words: fmt::Arguments<'_>) -> ! {
    say(words);
    std::process::abort()
}
