//! The functions that are wrapped, and what each hands to the kernel.

/// Gives the list to a macro. A line is a function of the C library with its signature (those of variable
/// arguments with as many as the kernel takes) and what to bring in before it is called, by the methods of
/// [`Pages`](crate::touch::Pages).
#[macro_export]
macro_rules! for_each_call {
    ($define:ident) => {
        $define! {
            read(file: c_int, into: *mut c_void, bytes: usize) -> isize, |pages| pages.write(into, bytes);
            write(file: c_int, from: *const c_void, bytes: usize) -> isize, |pages| pages.read(from, bytes);
            pread(file: c_int, into: *mut c_void, bytes: usize, offset: i64) -> isize,
                |pages| pages.write(into, bytes);
            pread64(file: c_int, into: *mut c_void, bytes: usize, offset: i64) -> isize,
                |pages| pages.write(into, bytes);
            pwrite(file: c_int, from: *const c_void, bytes: usize, offset: i64) -> isize,
                |pages| pages.read(from, bytes);
            pwrite64(file: c_int, from: *const c_void, bytes: usize, offset: i64) -> isize,
                |pages| pages.read(from, bytes);
            readv(file: c_int, vector: *const iovec, count: c_int) -> isize,
                |pages| pages.write_vector(vector, count as usize);
            writev(file: c_int, vector: *const iovec, count: c_int) -> isize,
                |pages| pages.read_vector(vector, count as usize);
            preadv(file: c_int, vector: *const iovec, count: c_int, offset: i64) -> isize,
                |pages| pages.write_vector(vector, count as usize);
            preadv64(file: c_int, vector: *const iovec, count: c_int, offset: i64) -> isize,
                |pages| pages.write_vector(vector, count as usize);
            pwritev(file: c_int, vector: *const iovec, count: c_int, offset: i64) -> isize,
                |pages| pages.read_vector(vector, count as usize);
            pwritev64(file: c_int, vector: *const iovec, count: c_int, offset: i64) -> isize,
                |pages| pages.read_vector(vector, count as usize);
            recv(socket: c_int, into: *mut c_void, bytes: usize, flags: c_int) -> isize,
                |pages| pages.write(into, bytes);
            send(socket: c_int, from: *const c_void, bytes: usize, flags: c_int) -> isize,
                |pages| pages.read(from, bytes);
            recvfrom(
                socket: c_int, into: *mut c_void, bytes: usize, flags: c_int,
                address: *mut c_void, length: *mut c_void
            ) -> isize,
                |pages| {
                    pages.write(into, bytes);
                    pages.write_structure(address);
                    pages.write_structure(length);
                };
            sendto(
                socket: c_int, from: *const c_void, bytes: usize, flags: c_int,
                address: *const c_void, length: c_uint
            ) -> isize,
                |pages| {
                    pages.read(from, bytes);
                    pages.read(address, length as usize);
                };
            recvmsg(socket: c_int, message: *mut msghdr, flags: c_int) -> isize,
                |pages| pages.write_message(message);
            sendmsg(socket: c_int, message: *const msghdr, flags: c_int) -> isize,
                |pages| pages.read_message(message);
            getrandom(into: *mut c_void, bytes: usize, flags: c_uint) -> isize, |pages| pages.write(into, bytes);
            ioctl(file: c_int, request: c_ulong, argument: *mut c_void) -> c_int,
                |pages| pages.write_structure(argument);
            connect(socket: c_int, address: *const c_void, length: c_uint) -> c_int,
                |pages| pages.read(address, length as usize);
            bind(socket: c_int, address: *const c_void, length: c_uint) -> c_int,
                |pages| pages.read(address, length as usize);
            open(path: *const c_char, flags: c_int, mode: c_uint) -> c_int, |pages| pages.string(path);
            open64(path: *const c_char, flags: c_int, mode: c_uint) -> c_int, |pages| pages.string(path);
            openat(directory: c_int, path: *const c_char, flags: c_int, mode: c_uint) -> c_int,
                |pages| pages.string(path);
            openat64(directory: c_int, path: *const c_char, flags: c_int, mode: c_uint) -> c_int,
                |pages| pages.string(path);
            stat(path: *const c_char, into: *mut c_void) -> c_int,
                |pages| { pages.string(path); pages.write_structure(into); };
            stat64(path: *const c_char, into: *mut c_void) -> c_int,
                |pages| { pages.string(path); pages.write_structure(into); };
            lstat(path: *const c_char, into: *mut c_void) -> c_int,
                |pages| { pages.string(path); pages.write_structure(into); };
            lstat64(path: *const c_char, into: *mut c_void) -> c_int,
                |pages| { pages.string(path); pages.write_structure(into); };
            fstat(file: c_int, into: *mut c_void) -> c_int, |pages| pages.write_structure(into);
            fstat64(file: c_int, into: *mut c_void) -> c_int, |pages| pages.write_structure(into);
            fstatat(directory: c_int, path: *const c_char, into: *mut c_void, flags: c_int) -> c_int,
                |pages| { pages.string(path); pages.write_structure(into); };
            fstatat64(directory: c_int, path: *const c_char, into: *mut c_void, flags: c_int) -> c_int,
                |pages| { pages.string(path); pages.write_structure(into); };
            access(path: *const c_char, mode: c_int) -> c_int, |pages| pages.string(path);
            faccessat(directory: c_int, path: *const c_char, mode: c_int, flags: c_int) -> c_int,
                |pages| pages.string(path);
            chdir(path: *const c_char) -> c_int, |pages| pages.string(path);
            mkdir(path: *const c_char, mode: c_uint) -> c_int, |pages| pages.string(path);
            rmdir(path: *const c_char) -> c_int, |pages| pages.string(path);
            unlink(path: *const c_char) -> c_int, |pages| pages.string(path);
            unlinkat(directory: c_int, path: *const c_char, flags: c_int) -> c_int, |pages| pages.string(path);
            rename(from: *const c_char, to: *const c_char) -> c_int,
                |pages| { pages.string(from); pages.string(to); };
            symlink(target: *const c_char, path: *const c_char) -> c_int,
                |pages| { pages.string(target); pages.string(path); };
            link(from: *const c_char, to: *const c_char) -> c_int,
                |pages| { pages.string(from); pages.string(to); };
            readlink(path: *const c_char, into: *mut c_char, bytes: usize) -> isize,
                |pages| { pages.string(path); pages.write(into.cast(), bytes); };
            chmod(path: *const c_char, mode: c_uint) -> c_int, |pages| pages.string(path);
            truncate(path: *const c_char, length: i64) -> c_int, |pages| pages.string(path);
            truncate64(path: *const c_char, length: i64) -> c_int, |pages| pages.string(path);
            execve(path: *const c_char, arguments: *const *const c_char, environment: *const *const c_char) -> c_int,
                |pages| {
                    pages.string(path);
                    pages.strings(arguments);
                    pages.strings(environment);
                };
        }
    };
}
