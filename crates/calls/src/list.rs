//! The functions that are wrapped, and what each hands to the kernel.

/// Gives those to a macro that are wrapped as the list says. A line is a function of the C library with its
/// signature (those of variable arguments with as many as the kernel takes), the structures of which the kernel
/// gets copies ([`with_copy`](crate::copies::with_copy)), and what else is to be brought in before the call, by the
/// methods of [`Pages`](crate::touch::Pages).
#[macro_export]
macro_rules! for_each_call {
    ($define:ident) => {
        $define! {
            // Files by their paths.
            open(path: *const c_char, flags: c_int, mode: c_uint) -> c_int,
                [], |pages| { pages.string(path); };
            open64(path: *const c_char, flags: c_int, mode: c_uint) -> c_int,
                [], |pages| { pages.string(path); };
            __open(path: *const c_char, flags: c_int, mode: c_uint) -> c_int,
                [], |pages| { pages.string(path); };
            __open64(path: *const c_char, flags: c_int, mode: c_uint) -> c_int,
                [], |pages| { pages.string(path); };
            __open_2(path: *const c_char, flags: c_int) -> c_int, [], |pages| { pages.string(path); };
            __open64_2(path: *const c_char, flags: c_int) -> c_int, [], |pages| { pages.string(path); };
            openat(directory: c_int, path: *const c_char, flags: c_int, mode: c_uint) -> c_int,
                [], |pages| { pages.string(path); };
            openat64(directory: c_int, path: *const c_char, flags: c_int, mode: c_uint) -> c_int,
                [], |pages| { pages.string(path); };
            __openat_2(directory: c_int, path: *const c_char, flags: c_int) -> c_int,
                [], |pages| { pages.string(path); };
            __openat64_2(directory: c_int, path: *const c_char, flags: c_int) -> c_int,
                [], |pages| { pages.string(path); };
            creat(path: *const c_char, mode: c_uint) -> c_int, [], |pages| { pages.string(path); };
            creat64(path: *const c_char, mode: c_uint) -> c_int, [], |pages| { pages.string(path); };
            fopen(path: *const c_char, mode: *const c_char) -> *mut c_void,
                [], |pages| { pages.string(path); };
            fopen64(path: *const c_char, mode: *const c_char) -> *mut c_void,
                [], |pages| { pages.string(path); };
            freopen(path: *const c_char, mode: *const c_char, stream: *mut c_void) -> *mut c_void,
                [], |pages| { pages.string(path); };
            freopen64(path: *const c_char, mode: *const c_char, stream: *mut c_void) -> *mut c_void,
                [], |pages| { pages.string(path); };
            opendir(path: *const c_char) -> *mut c_void, [], |pages| { pages.string(path); };
            readdir(directory: *mut c_void) -> *mut c_void, [], |pages| { pages.block(directory); };
            readdir64(directory: *mut c_void) -> *mut c_void, [], |pages| { pages.block(directory); };
            stat(path: *const c_char, into: *mut libc::stat) -> c_int,
                [into], |pages| { pages.string(path); };
            stat64(path: *const c_char, into: *mut libc::stat) -> c_int,
                [into], |pages| { pages.string(path); };
            lstat(path: *const c_char, into: *mut libc::stat) -> c_int,
                [into], |pages| { pages.string(path); };
            lstat64(path: *const c_char, into: *mut libc::stat) -> c_int,
                [into], |pages| { pages.string(path); };
            __xstat(version: c_int, path: *const c_char, into: *mut libc::stat) -> c_int,
                [into], |pages| { pages.string(path); };
            __xstat64(version: c_int, path: *const c_char, into: *mut libc::stat) -> c_int,
                [into], |pages| { pages.string(path); };
            __lxstat(version: c_int, path: *const c_char, into: *mut libc::stat) -> c_int,
                [into], |pages| { pages.string(path); };
            __lxstat64(version: c_int, path: *const c_char, into: *mut libc::stat) -> c_int,
                [into], |pages| { pages.string(path); };
            fstat(file: c_int, into: *mut libc::stat) -> c_int, [into], |_pages| {};
            fstat64(file: c_int, into: *mut libc::stat) -> c_int, [into], |_pages| {};
            __fxstat(version: c_int, file: c_int, into: *mut libc::stat) -> c_int, [into], |_pages| {};
            __fxstat64(version: c_int, file: c_int, into: *mut libc::stat) -> c_int, [into], |_pages| {};
            fstatat(directory: c_int, path: *const c_char, into: *mut libc::stat, flags: c_int) -> c_int,
                [into], |pages| { pages.string(path); };
            fstatat64(directory: c_int, path: *const c_char, into: *mut libc::stat, flags: c_int) -> c_int,
                [into], |pages| { pages.string(path); };
            __fxstatat(
                version: c_int, directory: c_int, path: *const c_char, into: *mut libc::stat, flags: c_int
            ) -> c_int,
                [into], |pages| { pages.string(path); };
            __fxstatat64(
                version: c_int, directory: c_int, path: *const c_char, into: *mut libc::stat, flags: c_int
            ) -> c_int,
                [into], |pages| { pages.string(path); };
            statx(
                directory: c_int, path: *const c_char, flags: c_int, mask: c_uint, into: *mut libc::statx
            ) -> c_int,
                [into], |pages| { pages.string(path); };
            statfs(path: *const c_char, into: *mut libc::statfs) -> c_int,
                [into], |pages| { pages.string(path); };
            statfs64(path: *const c_char, into: *mut libc::statfs) -> c_int,
                [into], |pages| { pages.string(path); };
            fstatfs(file: c_int, into: *mut libc::statfs) -> c_int, [into], |_pages| {};
            fstatfs64(file: c_int, into: *mut libc::statfs) -> c_int, [into], |_pages| {};
            statvfs(path: *const c_char, into: *mut c_void) -> c_int, [], |pages| { pages.string(path); };
            statvfs64(path: *const c_char, into: *mut c_void) -> c_int, [], |pages| { pages.string(path); };
            access(path: *const c_char, mode: c_int) -> c_int, [], |pages| { pages.string(path); };
            euidaccess(path: *const c_char, mode: c_int) -> c_int, [], |pages| { pages.string(path); };
            eaccess(path: *const c_char, mode: c_int) -> c_int, [], |pages| { pages.string(path); };
            faccessat(directory: c_int, path: *const c_char, mode: c_int, flags: c_int) -> c_int,
                [], |pages| { pages.string(path); };
            chdir(path: *const c_char) -> c_int, [], |pages| { pages.string(path); };
            chroot(path: *const c_char) -> c_int, [], |pages| { pages.string(path); };
            mkdir(path: *const c_char, mode: c_uint) -> c_int, [], |pages| { pages.string(path); };
            mkdirat(directory: c_int, path: *const c_char, mode: c_uint) -> c_int,
                [], |pages| { pages.string(path); };
            mkfifo(path: *const c_char, mode: c_uint) -> c_int, [], |pages| { pages.string(path); };
            mkfifoat(directory: c_int, path: *const c_char, mode: c_uint) -> c_int,
                [], |pages| { pages.string(path); };
            mknod(path: *const c_char, mode: c_uint, device: u64) -> c_int,
                [], |pages| { pages.string(path); };
            mknodat(directory: c_int, path: *const c_char, mode: c_uint, device: u64) -> c_int,
                [], |pages| { pages.string(path); };
            rmdir(path: *const c_char) -> c_int, [], |pages| { pages.string(path); };
            unlink(path: *const c_char) -> c_int, [], |pages| { pages.string(path); };
            unlinkat(directory: c_int, path: *const c_char, flags: c_int) -> c_int,
                [], |pages| { pages.string(path); };
            remove(path: *const c_char) -> c_int, [], |pages| { pages.string(path); };
            rename(from: *const c_char, to: *const c_char) -> c_int,
                [], |pages| { pages.string(from); pages.string(to); };
            renameat(old: c_int, from: *const c_char, new: c_int, to: *const c_char) -> c_int,
                [], |pages| { pages.string(from); pages.string(to); };
            renameat2(old: c_int, from: *const c_char, new: c_int, to: *const c_char, flags: c_uint) -> c_int,
                [], |pages| { pages.string(from); pages.string(to); };
            symlink(from: *const c_char, to: *const c_char) -> c_int,
                [], |pages| { pages.string(from); pages.string(to); };
            symlinkat(from: *const c_char, directory: c_int, to: *const c_char) -> c_int,
                [], |pages| { pages.string(from); pages.string(to); };
            link(from: *const c_char, to: *const c_char) -> c_int,
                [], |pages| { pages.string(from); pages.string(to); };
            linkat(old: c_int, from: *const c_char, new: c_int, to: *const c_char, flags: c_int) -> c_int,
                [], |pages| { pages.string(from); pages.string(to); };
            readlink(path: *const c_char, into: *mut c_void, bytes: usize) -> isize,
                [], |pages| { pages.string(path); pages.write(into, bytes); };
            readlinkat(directory: c_int, path: *const c_char, into: *mut c_void, bytes: usize) -> isize,
                [], |pages| { pages.string(path); pages.write(into, bytes); };
            __readlink_chk(path: *const c_char, into: *mut c_void, bytes: usize, room: usize) -> isize,
                [], |pages| { pages.string(path); pages.write(into, bytes); };
            realpath(path: *const c_char, into: *mut c_char) -> *mut c_char,
                [], |pages| { pages.string(path); };
            __realpath_chk(path: *const c_char, into: *mut c_char, room: usize) -> *mut c_char,
                [], |pages| { pages.string(path); };
            getcwd(into: *mut c_void, bytes: usize) -> *mut c_char, [], |pages| { pages.write(into, bytes); };
            __getcwd_chk(into: *mut c_void, bytes: usize, room: usize) -> *mut c_char,
                [], |pages| { pages.write(into, bytes); };
            chmod(path: *const c_char, mode: c_uint) -> c_int, [], |pages| { pages.string(path); };
            fchmodat(directory: c_int, path: *const c_char, mode: c_uint, flags: c_int) -> c_int,
                [], |pages| { pages.string(path); };
            chown(path: *const c_char, owner: c_uint, group: c_uint) -> c_int,
                [], |pages| { pages.string(path); };
            lchown(path: *const c_char, owner: c_uint, group: c_uint) -> c_int,
                [], |pages| { pages.string(path); };
            fchownat(
                directory: c_int, path: *const c_char, owner: c_uint, group: c_uint, flags: c_int
            ) -> c_int,
                [], |pages| { pages.string(path); };
            truncate(path: *const c_char, length: i64) -> c_int, [], |pages| { pages.string(path); };
            truncate64(path: *const c_char, length: i64) -> c_int, [], |pages| { pages.string(path); };
            utimensat(
                directory: c_int, path: *const c_char, times: *const [timespec; 2], flags: c_int
            ) -> c_int,
                [times], |pages| { pages.string(path); };
            futimens(file: c_int, times: *const [timespec; 2]) -> c_int, [times], |_pages| {};
            utimes(path: *const c_char, times: *const [timeval; 2]) -> c_int,
                [times], |pages| { pages.string(path); };
            lutimes(path: *const c_char, times: *const [timeval; 2]) -> c_int,
                [times], |pages| { pages.string(path); };
            futimes(file: c_int, times: *const [timeval; 2]) -> c_int, [times], |_pages| {};
            utime(path: *const c_char, times: *const libc::utimbuf) -> c_int,
                [times], |pages| { pages.string(path); };
            getxattr(path: *const c_char, name: *const c_char, into: *mut c_void, bytes: usize) -> isize,
                [], |pages| { pages.string(path); pages.string(name); pages.write(into, bytes); };
            setxattr(
                path: *const c_char, name: *const c_char, from: *const c_void, bytes: usize, flags: c_int
            ) -> c_int,
                [], |pages| { pages.string(path); pages.string(name); pages.read(from, bytes); };
            listxattr(path: *const c_char, into: *mut c_void, bytes: usize) -> isize,
                [], |pages| { pages.string(path); pages.write(into, bytes); };
            removexattr(path: *const c_char, name: *const c_char) -> c_int,
                [], |pages| { pages.string(path); pages.string(name); };
            lgetxattr(path: *const c_char, name: *const c_char, into: *mut c_void, bytes: usize) -> isize,
                [], |pages| { pages.string(path); pages.string(name); pages.write(into, bytes); };
            lsetxattr(
                path: *const c_char, name: *const c_char, from: *const c_void, bytes: usize, flags: c_int
            ) -> c_int,
                [], |pages| { pages.string(path); pages.string(name); pages.read(from, bytes); };
            llistxattr(path: *const c_char, into: *mut c_void, bytes: usize) -> isize,
                [], |pages| { pages.string(path); pages.write(into, bytes); };
            lremovexattr(path: *const c_char, name: *const c_char) -> c_int,
                [], |pages| { pages.string(path); pages.string(name); };
            fgetxattr(file: c_int, name: *const c_char, into: *mut c_void, bytes: usize) -> isize,
                [], |pages| { pages.string(name); pages.write(into, bytes); };
            fsetxattr(
                file: c_int, name: *const c_char, from: *const c_void, bytes: usize, flags: c_int
            ) -> c_int,
                [], |pages| { pages.string(name); pages.read(from, bytes); };
            flistxattr(file: c_int, into: *mut c_void, bytes: usize) -> isize,
                [], |pages| { pages.write(into, bytes); };
            fremovexattr(file: c_int, name: *const c_char) -> c_int, [], |pages| { pages.string(name); };
            mount(
                from: *const c_char, to: *const c_char, kind: *const c_char, flags: c_ulong,
                data: *mut c_void
            ) -> c_int,
                [], |pages| {
                    pages.string(from);
                    pages.string(to);
                    pages.string(kind);
                    pages.structure(data);
                };
            umount(path: *const c_char) -> c_int, [], |pages| { pages.string(path); };
            umount2(path: *const c_char, flags: c_int) -> c_int, [], |pages| { pages.string(path); };
            swapon(path: *const c_char, flags: c_int) -> c_int, [], |pages| { pages.string(path); };
            inotify_add_watch(file: c_int, path: *const c_char, mask: c_uint) -> c_int,
                [], |pages| { pages.string(path); };
            memfd_create(name: *const c_char, flags: c_uint) -> c_int, [], |pages| { pages.string(name); };
            shm_open(path: *const c_char, flags: c_int, mode: c_uint) -> c_int,
                [], |pages| { pages.string(path); };
            shm_unlink(name: *const c_char) -> c_int, [], |pages| { pages.string(name); };
            sethostname(name: *const c_void, bytes: usize) -> c_int, [], |pages| { pages.read(name, bytes); };
            // Open files.
            ioctl(file: c_int, request: c_ulong, argument: *mut c_void) -> c_int,
                [], |pages| { pages.ioctl(request, argument); };
            fcntl(file: c_int, command: c_int, argument: *mut c_void) -> c_int,
                [], |pages| { pages.structure(argument); };
            fcntl64(file: c_int, command: c_int, argument: *mut c_void) -> c_int,
                [], |pages| { pages.structure(argument); };
            getdents64(file: c_int, into: *mut c_void, bytes: usize) -> isize,
                [], |pages| { pages.write(into, bytes); };
            pipe(into: *mut [c_int; 2]) -> c_int, [into], |_pages| {};
            pipe2(into: *mut [c_int; 2], flags: c_int) -> c_int, [into], |_pages| {};
            sendfile(to: c_int, from: c_int, offset: *mut i64, bytes: usize) -> isize, [offset], |_pages| {};
            sendfile64(to: c_int, from: c_int, offset: *mut i64, bytes: usize) -> isize,
                [offset], |_pages| {};
            copy_file_range(
                from: c_int, from_offset: *mut i64, to: c_int, to_offset: *mut i64, bytes: usize,
                flags: c_uint
            ) -> isize,
                [from_offset, to_offset], |_pages| {};
            splice(
                from: c_int, from_offset: *mut i64, to: c_int, to_offset: *mut i64, bytes: usize,
                flags: c_uint
            ) -> isize,
                [from_offset, to_offset], |_pages| {};
            tcgetattr(file: c_int, into: *mut libc::termios) -> c_int, [into], |_pages| {};
            // Waiting for descriptors.
            epoll_ctl(poll: c_int, operation: c_int, file: c_int, event: *mut libc::epoll_event) -> c_int,
                [event], |_pages| {};
            epoll_wait(poll: c_int, into: *mut libc::epoll_event, count: c_int, timeout: c_int) -> c_int,
                [], |pages| {
                    pages.write(into.cast(), count.max(0) as usize * size_of::<libc::epoll_event>());
                };
            timerfd_settime(
                file: c_int, flags: c_int, new: *const libc::itimerspec, old: *mut libc::itimerspec
            ) -> c_int,
                [new, old], |_pages| {};
            timerfd_gettime(file: c_int, into: *mut libc::itimerspec) -> c_int, [into], |_pages| {};
            eventfd_read(file: c_int, into: *mut u64) -> c_int, [into], |_pages| {};
            // Sockets.
            connect(socket: c_int, address: *const c_void, length: c_uint) -> c_int,
                [], |pages| { pages.read(address, length as usize); };
            __connect(socket: c_int, address: *const c_void, length: c_uint) -> c_int,
                [], |pages| { pages.read(address, length as usize); };
            bind(socket: c_int, address: *const c_void, length: c_uint) -> c_int,
                [], |pages| { pages.read(address, length as usize); };
            getsockopt(
                socket: c_int, level: c_int, option: c_int, into: *mut c_void, length: *mut c_uint
            ) -> c_int,
                [length], |pages| { pages.structure(into); };
            setsockopt(
                socket: c_int, level: c_int, option: c_int, from: *const c_void, length: c_uint
            ) -> c_int,
                [], |pages| { pages.read(from, length as usize); };
            socketpair(domain: c_int, kind: c_int, protocol: c_int, into: *mut [c_int; 2]) -> c_int,
                [into], |_pages| {};
            recvmmsg(
                socket: c_int, messages: *mut libc::mmsghdr, count: c_uint, flags: c_int,
                timeout: *mut timespec
            ) -> c_int,
                [timeout], |pages| { pages.messages(messages, count, true); };
            sendmmsg(socket: c_int, messages: *mut libc::mmsghdr, count: c_uint, flags: c_int) -> c_int,
                [], |pages| { pages.messages(messages, count, false); };
            // Processes and threads.
            waitpid(process: c_int, status: *mut c_int, options: c_int) -> c_int, [status], |_pages| {};
            __waitpid(process: c_int, status: *mut c_int, options: c_int) -> c_int, [status], |_pages| {};
            wait(status: *mut c_int) -> c_int, [status], |_pages| {};
            wait3(status: *mut c_int, options: c_int, usage: *mut rusage) -> c_int,
                [status, usage], |_pages| {};
            wait4(process: c_int, status: *mut c_int, options: c_int, usage: *mut rusage) -> c_int,
                [status, usage], |_pages| {};
            waitid(what: c_uint, id: c_uint, into: *mut siginfo_t, options: c_int) -> c_int,
                [into], |_pages| {};
            execve(
                path: *const c_char, arguments: *const *const c_char, environment: *const *const c_char
            ) -> c_int,
                [], |pages| { pages.string(path); pages.strings(arguments); pages.strings(environment); };
            execvpe(
                path: *const c_char, arguments: *const *const c_char, environment: *const *const c_char
            ) -> c_int,
                [], |pages| { pages.string(path); pages.strings(arguments); pages.strings(environment); };
            fexecve(file: c_int, arguments: *const *const c_char, environment: *const *const c_char) -> c_int,
                [], |pages| { pages.strings(arguments); pages.strings(environment); };
            execv(path: *const c_char, arguments: *const *const c_char) -> c_int,
                [], |pages| { pages.string(path); pages.strings(arguments); pages.environment(); };
            execvp(path: *const c_char, arguments: *const *const c_char) -> c_int,
                [], |pages| { pages.string(path); pages.strings(arguments); pages.environment(); };
            getrusage(who: c_int, into: *mut rusage) -> c_int, [into], |_pages| {};
            getrlimit(resource: c_int, into: *mut rlimit) -> c_int, [into], |_pages| {};
            getrlimit64(resource: c_int, into: *mut rlimit) -> c_int, [into], |_pages| {};
            setrlimit(resource: c_int, from: *const rlimit) -> c_int, [from], |_pages| {};
            setrlimit64(resource: c_int, from: *const rlimit) -> c_int, [from], |_pages| {};
            prlimit(process: c_int, resource: c_int, new: *const rlimit, old: *mut rlimit) -> c_int,
                [new, old], |_pages| {};
            prlimit64(process: c_int, resource: c_int, new: *const rlimit, old: *mut rlimit) -> c_int,
                [new, old], |_pages| {};
            getgroups(count: c_int, into: *mut c_uint) -> c_int,
                [], |pages| { pages.write(into.cast(), count.max(0) as usize * size_of::<c_uint>()); };
            setgroups(count: usize, from: *const c_uint) -> c_int,
                [], |pages| { pages.read(from.cast(), count.saturating_mul(size_of::<c_uint>())); };
            getresuid(real: *mut c_uint, effective: *mut c_uint, saved: *mut c_uint) -> c_int,
                [real, effective, saved], |_pages| {};
            getresgid(real: *mut c_uint, effective: *mut c_uint, saved: *mut c_uint) -> c_int,
                [real, effective, saved], |_pages| {};
            sched_getaffinity(process: c_int, bytes: usize, into: *mut c_void) -> c_int,
                [], |pages| { pages.write(into, bytes); };
            sched_setaffinity(process: c_int, bytes: usize, from: *const c_void) -> c_int,
                [], |pages| { pages.read(from, bytes); };
            sched_getparam(process: c_int, into: *mut c_int) -> c_int, [into], |_pages| {};
            sched_setparam(process: c_int, from: *const c_int) -> c_int, [from], |_pages| {};
            sched_setscheduler(process: c_int, policy: c_int, from: *const c_int) -> c_int,
                [from], |_pages| {};
            sched_rr_get_interval(process: c_int, into: *mut timespec) -> c_int, [into], |_pages| {};
            prctl(
                option: c_int, second: *mut c_void, third: c_ulong, fourth: c_ulong, fifth: c_ulong
            ) -> c_int,
                [], |pages| { pages.structure(second); };
            times(into: *mut libc::tms) -> i64, [into], |_pages| {};
            uname(into: *mut libc::utsname) -> c_int, [into], |_pages| {};
            sysinfo(into: *mut libc::sysinfo) -> c_int, [into], |_pages| {};
            // Time.
            clock_gettime(clock: c_int, into: *mut timespec) -> c_int, [into], |_pages| {};
            clock_getres(clock: c_int, into: *mut timespec) -> c_int, [into], |_pages| {};
            clock_settime(clock: c_int, from: *const timespec) -> c_int, [from], |_pages| {};
            nanosleep(from: *const timespec, rest: *mut timespec) -> c_int, [from, rest], |_pages| {};
            getitimer(which: c_int, into: *mut libc::itimerval) -> c_int, [into], |_pages| {};
            setitimer(which: c_int, new: *const libc::itimerval, old: *mut libc::itimerval) -> c_int,
                [new, old], |_pages| {};
            timer_settime(
                timer: *mut c_void, flags: c_int, new: *const libc::itimerspec, old: *mut libc::itimerspec
            ) -> c_int,
                [new, old], |_pages| {};
            timer_gettime(timer: *mut c_void, into: *mut libc::itimerspec) -> c_int, [into], |_pages| {};
            // System V's messages, semaphores and shared memory.
            msgsnd(queue: c_int, from: *const c_void, bytes: usize, flags: c_int) -> c_int,
                [], |pages| { pages.read(from, bytes.saturating_add(size_of::<c_ulong>())); };
            msgrcv(queue: c_int, into: *mut c_void, bytes: usize, kind: i64, flags: c_int) -> isize,
                [], |pages| { pages.write(into, bytes.saturating_add(size_of::<c_ulong>())); };
            semop(semaphores: c_int, operations: *mut c_void, count: usize) -> c_int,
                [], |pages| { pages.read(operations, count.saturating_mul(6)); };
            msgctl(id: c_int, command: c_int, argument: *mut c_void) -> c_int,
                [], |pages| { pages.structure(argument); };
            shmctl(id: c_int, command: c_int, argument: *mut c_void) -> c_int,
                [], |pages| { pages.structure(argument); };
            semctl(id: c_int, number: c_int, command: c_int, argument: *mut c_void) -> c_int,
                [], |pages| { pages.structure(argument); };
        }
    };
}

/// Gives those to a macro for which that does not do: [`transfer`](crate::transfer), [`signals`](crate::signals),
/// [`sockets`](crate::sockets), [`spawn`](crate::spawn), [`waiting`](crate::waiting) and so on.
#[macro_export]
macro_rules! for_each_own_call {
    ($define:ident) => {
        $define! {
            transfer {
                read(file: c_int, into: *mut c_void, bytes: usize) -> isize;
                __read(file: c_int, into: *mut c_void, bytes: usize) -> isize;
                __read_chk(file: c_int, into: *mut c_void, bytes: usize, room: usize) -> isize;
                pread(file: c_int, into: *mut c_void, bytes: usize, offset: i64) -> isize;
                pread64(file: c_int, into: *mut c_void, bytes: usize, offset: i64) -> isize;
                __pread64(file: c_int, into: *mut c_void, bytes: usize, offset: i64) -> isize;
                __pread_chk(file: c_int, into: *mut c_void, bytes: usize, offset: i64, room: usize) -> isize;
                __pread64_chk(file: c_int, into: *mut c_void, bytes: usize, offset: i64, room: usize) -> isize;
                write(file: c_int, from: *const c_void, bytes: usize) -> isize;
                __write(file: c_int, from: *const c_void, bytes: usize) -> isize;
                pwrite(file: c_int, from: *const c_void, bytes: usize, offset: i64) -> isize;
                pwrite64(file: c_int, from: *const c_void, bytes: usize, offset: i64) -> isize;
                __pwrite64(file: c_int, from: *const c_void, bytes: usize, offset: i64) -> isize;
                readv(file: c_int, vector: *const iovec, count: c_int) -> isize;
                writev(file: c_int, vector: *const iovec, count: c_int) -> isize;
                preadv(file: c_int, vector: *const iovec, count: c_int, offset: i64) -> isize;
                preadv64(file: c_int, vector: *const iovec, count: c_int, offset: i64) -> isize;
                pwritev(file: c_int, vector: *const iovec, count: c_int, offset: i64) -> isize;
                pwritev64(file: c_int, vector: *const iovec, count: c_int, offset: i64) -> isize;
                preadv2(file: c_int, vector: *const iovec, count: c_int, offset: i64, flags: c_int) -> isize;
                preadv64v2(file: c_int, vector: *const iovec, count: c_int, offset: i64, flags: c_int) -> isize;
                pwritev2(file: c_int, vector: *const iovec, count: c_int, offset: i64, flags: c_int) -> isize;
                pwritev64v2(file: c_int, vector: *const iovec, count: c_int, offset: i64, flags: c_int) -> isize;
                getrandom(into: *mut c_void, bytes: usize, flags: c_uint) -> isize;
            }
            sockets {
                accept(socket: c_int, address: *mut c_void, length: *mut c_uint) -> c_int;
                accept4(socket: c_int, address: *mut c_void, length: *mut c_uint, flags: c_int) -> c_int;
                getsockname(socket: c_int, address: *mut c_void, length: *mut c_uint) -> c_int;
                getpeername(socket: c_int, address: *mut c_void, length: *mut c_uint) -> c_int;
                recv(socket: c_int, into: *mut c_void, bytes: usize, flags: c_int) -> isize;
                __recv_chk(socket: c_int, into: *mut c_void, bytes: usize, room: usize, flags: c_int) -> isize;
                recvfrom(
                    socket: c_int, into: *mut c_void, bytes: usize, flags: c_int,
                    address: *mut c_void, length: *mut c_uint
                ) -> isize;
                __recvfrom_chk(
                    socket: c_int, into: *mut c_void, bytes: usize, room: usize, flags: c_int,
                    address: *mut c_void, length: *mut c_uint
                ) -> isize;
                recvmsg(socket: c_int, message: *mut msghdr, flags: c_int) -> isize;
                send(socket: c_int, from: *const c_void, bytes: usize, flags: c_int) -> isize;
                __send(socket: c_int, from: *const c_void, bytes: usize, flags: c_int) -> isize;
                sendto(
                    socket: c_int, from: *const c_void, bytes: usize, flags: c_int,
                    address: *const c_void, length: c_uint
                ) -> isize;
                sendmsg(socket: c_int, message: *const msghdr, flags: c_int) -> isize;
            }
            spawn {
                posix_spawn(
                    process: *mut c_int, path: *const c_char, actions: *const c_void, attributes: *const c_void,
                    arguments: *const *const c_char, environment: *const *const c_char
                ) -> c_int;
                posix_spawnp(
                    process: *mut c_int, path: *const c_char, actions: *const c_void, attributes: *const c_void,
                    arguments: *const *const c_char, environment: *const *const c_char
                ) -> c_int;
                system(command: *const c_char) -> c_int;
                popen(command: *const c_char, kind: *const c_char) -> *mut c_void;
            }
            system_call {
                syscall(
                    number: c_long, first: c_long, second: c_long, third: c_long, fourth: c_long, fifth: c_long,
                    sixth: c_long
                ) -> c_long;
            }
            stacks {
                sigaltstack(new: *const stack_t, old: *mut stack_t) -> c_int;
                pthread_create(
                    thread: *mut pthread_t, attributes: *const pthread_attr_t, body: Body, argument: *mut c_void
                ) -> c_int;
            }
            waiting {
                poll(files: *mut pollfd, count: c_ulong, timeout: c_int) -> c_int;
                __poll(files: *mut pollfd, count: c_ulong, timeout: c_int) -> c_int;
                __poll_chk(files: *mut pollfd, count: c_ulong, timeout: c_int, room: usize) -> c_int;
                ppoll(files: *mut pollfd, count: c_ulong, timeout: *const timespec, mask: *const u64) -> c_int;
                __ppoll_chk(
                    files: *mut pollfd, count: c_ulong, timeout: *const timespec, mask: *const u64, room: usize
                ) -> c_int;
                select(
                    count: c_int, reading: *mut u64, writing: *mut u64, failing: *mut u64, timeout: *mut timeval
                ) -> c_int;
                pselect(
                    count: c_int, reading: *mut u64, writing: *mut u64, failing: *mut u64,
                    timeout: *const timespec, mask: *const u64
                ) -> c_int;
                epoll_pwait(
                    poll: c_int, into: *mut epoll_event, count: c_int, timeout: c_int, mask: *const u64
                ) -> c_int;
                epoll_pwait2(
                    poll: c_int, into: *mut epoll_event, count: c_int, timeout: *const timespec, mask: *const u64
                ) -> c_int;
                clock_nanosleep(clock: c_int, flags: c_int, from: *const timespec, rest: *mut timespec) -> c_int;
            }
            signals {
                sigaction(signal: c_int, new: *const action, old: *mut action) -> c_int;
                __sigaction(signal: c_int, new: *const action, old: *mut action) -> c_int;
                signal(signal: c_int, handler: usize) -> usize;
                bsd_signal(signal: c_int, handler: usize) -> usize;
                __sysv_signal(signal: c_int, handler: usize) -> usize;
                sigprocmask(how: c_int, new: *const u64, old: *mut u64) -> c_int;
                pthread_sigmask(how: c_int, new: *const u64, old: *mut u64) -> c_int;
                sigsuspend(mask: *const u64) -> c_int;
                sigwait(set: *const u64, into: *mut c_int) -> c_int;
                sigwaitinfo(set: *const u64, into: *mut siginfo_t) -> c_int;
                sigtimedwait(set: *const u64, into: *mut siginfo_t, timeout: *const timespec) -> c_int;
            }
        }
    };
}
