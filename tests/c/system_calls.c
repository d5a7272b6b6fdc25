/* Hands managed memory to the kernel in as many ways as there are, while a thread of its own sees to it that no page
 * of it stays in RAM for long. `system_calls NAME` runs one of the functions at the end; what is wrong ends it. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define CHECK(what)                                                                    \
    do {                                                                               \
        if (!(what)) {                                                                 \
            fprintf(stderr, "line %d: %s (errno %d)\n", __LINE__, #what, errno);       \
            exit(1);                                                                   \
        }                                                                              \
    } while (0)

enum { PAGE = 4096, PRESSURE_BYTES = 48 << 20, PLACE_BYTES = 1 << 20 };

extern char **environ;
static char *place;
static atomic_int is_over;

static void *press(void *memory)
{
    for (unsigned turn = 1; !is_over; turn++)
        for (size_t at = 0; at < PRESSURE_BYTES && !is_over; at += PAGE)
            *(volatile unsigned *)((char *)memory + at) = turn;
    return NULL;
}

static char *managed(size_t bytes)
{
    char *block = malloc(bytes);
    CHECK(block);
    memset(block, 0, bytes);
    return block;
}

static void fill(char *block, size_t bytes, unsigned seed)
{
    for (size_t at = 0; at + 8 <= bytes; at += 8)
        *(unsigned long *)(block + at) = (at + seed) * 0x9e3779b97f4a7c15ul;
}

static int is_filled(const char *block, size_t bytes, unsigned seed)
{
    for (size_t at = 0; at + 8 <= bytes; at += 8)
        if (*(const unsigned long *)(block + at) != (at + seed) * 0x9e3779b97f4a7c15ul)
            return 0;
    return 1;
}

/* A string at the border of two pages. */
static char *string(const char *text)
{
    static unsigned turn;
    char *at = place + (turn++ % 60 + 1) * 2 * PAGE - strlen(text) / 2;
    strcpy(at, text);
    return at;
}

/* A structure there. */
static void *structure(size_t bytes)
{
    static unsigned turn;
    return place + PLACE_BYTES / 2 + (turn++ % 60 + 1) * 2 * PAGE - bytes / 16 * 8;
}

static void files(void)
{
    size_t bytes = 24 << 20;
    char *block = managed(bytes), *other = managed(bytes);
    int file = open(string("data"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(file >= 0);
    fill(block, bytes, 1);
    CHECK(write(file, block, bytes) == (ssize_t)bytes);
    CHECK(pread(file, other, bytes, 0) == (ssize_t)bytes);
    CHECK(is_filled(other, bytes, 1));
    struct iovec *parts = structure(1000 * sizeof *parts);
    for (int part = 0; part < 1000; part++)
        parts[part] = (struct iovec){other + part * 20000, 20000};
    CHECK(preadv(file, parts, 1000, 8) == 20000000);
    CHECK(is_filled(other, 20000000, 9));
    CHECK(lseek(file, 0, SEEK_SET) == 0 && writev(file, parts, 1000) == 20000000);
    CHECK(pread(file, block, 20000000, 0) == 20000000 && is_filled(block, 20000000, 9));
    struct stat *status = structure(sizeof *status);
    for (int turn = 0; turn < 200; turn++) {
        CHECK(fstat(file, status) == 0 && status->st_size == (off_t)bytes);
        CHECK(stat(string("data"), status) == 0);
        CHECK(rename(string("data"), string("moved")) == 0);
        CHECK(readlink(string("none"), structure(100), 100) == -1 && errno == ENOENT);
        CHECK(rename(string("moved"), string("data")) == 0);
        CHECK(getcwd(structure(PAGE), PAGE));
        CHECK(syscall(SYS_access, string("data"), R_OK) == 0);
    }
    CHECK(close(file) == 0 && unlink(string("data")) == 0);
}

static void streams(void)
{
    size_t bytes = 20 << 20;
    char *block = managed(bytes), *other = managed(bytes);
    fill(block, bytes, 2);
    FILE *file = fopen(string("data"), "w+");
    CHECK(file && setvbuf(file, managed(200000), _IOFBF, 200000) == 0);
    CHECK(fwrite(block, 1, bytes, file) == bytes);
    rewind(file);
    CHECK(fread(other, 1, bytes, file) == bytes && is_filled(other, bytes, 2));
    rewind(file);
    memset(block, 'x', bytes - 1);
    block[bytes - 1] = 0;
    CHECK(fprintf(file, "%s\n%s\n", block, "end") == (int)bytes + 4);
    CHECK(fputs(block, file) >= 0 && fflush(file) == 0);
    rewind(file);
    char *line = NULL;
    size_t room = 0;
    CHECK(getline(&line, &room, file) == (ssize_t)bytes && memcmp(line, block, bytes - 1) == 0);
    CHECK(getline(&line, &room, file) == 4 && fclose(file) == 0);
    DIR *directory = opendir(string("."));
    int entries = 0;
    while (readdir(directory))
        entries++;
    CHECK(entries >= 3 && closedir(directory) == 0 && remove(string("data")) == 0);
    CHECK(system(string("exit 7")) == 7 << 8);
    FILE *pipe = popen(string("echo said"), "r");
    CHECK(pipe && fgets(structure(10), 10, pipe) && pclose(pipe) == 0);
}

static void *send_all(void *socket)
{
    size_t bytes = 8 << 20;
    char *block = managed(bytes);
    fill(block, bytes, 3);
    CHECK(send(*(int *)socket, block, bytes, 0) == (ssize_t)bytes);
    free(block);
    return NULL;
}

static void sockets(void)
{
    int *made = structure(sizeof(int[2])), pair[2];
    size_t bytes = 8 << 20;
    char *block = managed(bytes);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, made) == 0);
    memcpy(pair, made, sizeof pair);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, send_all, &pair[1]) == 0);
    CHECK(recv(pair[0], block, bytes, MSG_WAITALL) == (ssize_t)bytes && is_filled(block, bytes, 3));
    pthread_join(thread, NULL);
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, made) == 0);
    memcpy(pair, made, sizeof pair);
    for (int turn = 0; turn < 500; turn++) {
        /* A datagram that could not be delivered is gone. */
        size_t length = turn % 2 ? 1000 : 100000;
        fill(block, length, turn);
        CHECK(send(pair[0], block, length, 0) == (ssize_t)length);
        memset(block, 0, length);
        struct msghdr *message = structure(sizeof *message);
        struct iovec *part = structure(sizeof *part);
        char *name = structure(128);
        socklen_t *size = structure(sizeof *size);
        *size = 110;
        *part = (struct iovec){block, length};
        *message = (struct msghdr){.msg_name = name, .msg_namelen = 110, .msg_iov = part, .msg_iovlen = 1};
        if (turn % 3)
            CHECK(recvmsg(pair[1], message, 0) == (ssize_t)length);
        else
            CHECK(recvfrom(pair[1], block, length, 0, (void *)name, size) == (ssize_t)length);
        CHECK(is_filled(block, length, turn));
    }
    for (int turn = 0; turn < 300; turn++) {
        int *inner = structure(sizeof(int[2]));
        CHECK(pipe(inner) == 0);
        char *control = memset(structure(128), 0, 128);
        struct iovec *part = structure(sizeof *part);
        *part = (struct iovec){"x", 1};
        struct msghdr *message = structure(sizeof *message);
        *message = (struct msghdr){
            .msg_iov = part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(sizeof(int))};
        struct cmsghdr *header = CMSG_FIRSTHDR(message);
        *header = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(header), &inner[0], sizeof(int));
        CHECK(sendmsg(pair[0], message, 0) == 1);
        *part = (struct iovec){structure(1), 1};
        memset(control, 0, 128);
        CHECK(recvmsg(pair[1], message, 0) == 1 && !(message->msg_flags & MSG_CTRUNC));
        int received;
        memcpy(&received, CMSG_DATA(CMSG_FIRSTHDR(message)), sizeof received);
        CHECK(write(inner[1], string("y"), 1) == 1 && read(received, structure(1), 1) == 1);
        close(inner[0]), close(inner[1]), close(received);
    }
}

static void waits(void)
{
    int counter = eventfd(0, 0), poller = epoll_create1(0);
    struct epoll_event *event = structure(sizeof *event);
    *event = (struct epoll_event){EPOLLIN, {.u64 = 42}};
    CHECK(epoll_ctl(poller, EPOLL_CTL_ADD, counter, event) == 0);
    for (int turn = 0; turn < 300; turn++) {
        unsigned long *value = structure(sizeof *value);
        *value = 5;
        CHECK(write(counter, value, 8) == 8);
        struct pollfd *files = structure(2 * sizeof *files);
        files[0] = (struct pollfd){counter, POLLIN, 0};
        files[1] = (struct pollfd){0, 0, 0};
        CHECK(poll(files, 2, -1) == 1 && files[0].revents == POLLIN);
        struct epoll_event *events = structure(8 * sizeof *events);
        CHECK(epoll_wait(poller, events, 8, -1) == 1 && events[0].data.u64 == 42);
        fd_set *set = structure(sizeof *set);
        FD_ZERO(set);
        FD_SET(counter, set);
        struct timeval *timeout = structure(sizeof *timeout);
        *timeout = (struct timeval){10, 0};
        CHECK(select(counter + 1, set, NULL, NULL, timeout) == 1 && FD_ISSET(counter, set));
        value = structure(sizeof *value);
        CHECK(read(counter, value, 8) == 8 && *value == 5);
        struct timespec *time = structure(sizeof *time);
        *time = (struct timespec){0, 1000};
        CHECK(nanosleep(time, NULL) == 0 && clock_gettime(CLOCK_PROCESS_CPUTIME_ID, time) == 0);
    }
}

static void programs(void)
{
    for (int turn = 0; turn < 60; turn++) {
        char **arguments = structure(4 * sizeof *arguments), **environment = structure(2 * sizeof *environment);
        arguments[0] = string("sh"), arguments[1] = string("-c");
        arguments[2] = string("test \"$HERE\" = there && exit 3"), arguments[3] = NULL;
        environment[0] = string("HERE=there"), environment[1] = NULL;
        pid_t *child = structure(sizeof *child);
        int *status = structure(sizeof *status);
        switch (turn % 4) {
        case 0:
            CHECK(posix_spawn(child, string("/bin/sh"), NULL, NULL, arguments, environment) == 0);
            break;
        case 1:
            CHECK(posix_spawnp(child, string("sh"), NULL, NULL, arguments, environment) == 0);
            break;
        case 2:
            if ((*child = vfork()) == 0) {
                execve(string("/bin/sh"), arguments, environment);
                _exit(9);
            }
            break;
        default:
            if ((*child = fork()) == 0) {
                setenv(string("HERE"), string("there"), 1);
                execvp(string("sh"), arguments);
                _exit(9);
            }
        }
        CHECK(waitpid(*child, status, 0) == *child);
        CHECK(WIFEXITED(*status) && WEXITSTATUS(*status) == 3);
    }
}

static volatile sig_atomic_t bus_errors, alarms;

static void on_bus(int signal, siginfo_t *information, void *context)
{
    (void)signal, (void)context;
    bus_errors++;
    /* Managed memory, from inside of the handler. */
    for (size_t at = 0; at < PLACE_BYTES; at += PAGE)
        place[at + 1]++;
    munmap((void *)((size_t)information->si_addr & -PAGE), PAGE);
    CHECK(mmap((void *)((size_t)information->si_addr & -PAGE), PAGE, PROT_READ, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS,
               -1, 0) != MAP_FAILED);
}

static void on_alarm(int signal)
{
    (void)signal;
    alarms++;
    for (size_t at = 0; at < PLACE_BYTES; at += PAGE)
        place[at + 2]++;
}

static void touch_all(void)
{
    for (size_t at = 0; at < PLACE_BYTES; at += PAGE)
        place[at]++;
}

static void signals(void)
{
    sigset_t *all = structure(sizeof *all), *old = structure(sizeof *old);
    sigfillset(all);
    CHECK(pthread_sigmask(SIG_BLOCK, all, NULL) == 0);
    touch_all();
    CHECK(sigprocmask(SIG_BLOCK, NULL, old) == 0 && sigismember(old, SIGBUS) && sigismember(old, SIGUSR1));
    sigemptyset(all);
    CHECK(sigprocmask(SIG_SETMASK, all, old) == 0 && sigismember(old, SIGBUS));
    CHECK(sigprocmask(SIG_SETMASK, NULL, old) == 0 && !sigismember(old, SIGBUS));
    struct sigaction *action = structure(sizeof *action), *before = structure(sizeof *before);
    *action = (struct sigaction){.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigfillset(&action->sa_mask);
    CHECK(sigaction(SIGBUS, action, before) == 0 && before->sa_handler == SIG_DFL);
    CHECK(sigaction(SIGBUS, NULL, before) == 0 && before->sa_sigaction == on_bus && before->sa_flags & SA_SIGINFO);
    *action = (struct sigaction){.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    sigfillset(&action->sa_mask);
    CHECK(sigaction(SIGALRM, action, NULL) == 0);
    CHECK(sigaction(SIGALRM, NULL, before) == 0 && sigismember(&before->sa_mask, SIGBUS));
    FILE *file = tmpfile();
    CHECK(ftruncate(fileno(file), PAGE) == 0);
    for (int turn = 1; turn <= 20; turn++) {
        CHECK(ftruncate(fileno(file), PAGE) == 0);
        char *mapped = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fileno(file), 0);
        CHECK(((volatile char *)mapped)[PAGE] == 0 && bus_errors == turn);
        CHECK(raise(SIGALRM) == 0 && alarms == turn);
        touch_all();
    }
    CHECK(signal(SIGBUS, SIG_IGN) == (void *)on_bus && raise(SIGBUS) == 0);
    CHECK(signal(SIGBUS, SIG_DFL) == SIG_IGN);
}

static atomic_int entered;

static void *on_managed_stack(void *depth)
{
    char room[2000];
    memset(room, (size_t)depth, sizeof room);
    if ((size_t)depth > 0)
        on_managed_stack((void *)((size_t)depth - 1));
    else
        usleep(100);
    for (size_t at = 0; at < sizeof room; at++)
        CHECK(room[at] == (char)(size_t)depth);
    entered++;
    return NULL;
}

static ucontext_t from_outside, coroutine;

static void in_coroutine(void)
{
    for (;;) {
        on_managed_stack((void *)40);
        /* The pager is at work while it runs on that stack. */
        for (int turn = 0; turn < 5; turn++)
            free(memset(malloc(2 << 20), turn, 1 << 20));
        swapcontext(&coroutine, &from_outside);
    }
}

static void stacks(void)
{
    enum { STACK_BYTES = 256 << 10 };
    stack_t own = {.ss_sp = malloc(SIGSTKSZ), .ss_size = SIGSTKSZ}, told;
    CHECK(sigaltstack(&own, &told) == 0 && told.ss_flags == SS_DISABLE);
    CHECK(sigaltstack(NULL, &told) == 0 && told.ss_sp == own.ss_sp && told.ss_size == own.ss_size);
    for (int turn = 0; turn < 50; turn++) {
        pthread_attr_t attributes;
        pthread_t thread;
        char *stack = aligned_alloc(PAGE, STACK_BYTES);
        pthread_attr_init(&attributes);
        CHECK(pthread_attr_setstack(&attributes, stack, STACK_BYTES) == 0);
        CHECK(pthread_create(&thread, &attributes, on_managed_stack, (void *)60) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
        free(stack);
    }
    getcontext(&coroutine);
    coroutine.uc_stack = (stack_t){.ss_sp = managed(STACK_BYTES), .ss_size = STACK_BYTES};
    makecontext(&coroutine, in_coroutine, 0);
    for (int turn = 0; turn < 200; turn++) {
        swapcontext(&from_outside, &coroutine);
        usleep(100);
    }
    CHECK(entered == 50 * 61 + 200 * 41);
}

struct shared {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    sem_t semaphore;
    pthread_rwlock_t lock;
    long turn, posted;
};

enum { TURNS = 20000 };

static void *take_turns(void *argument)
{
    struct shared *shared = argument;
    for (int turn = 0; turn < TURNS; turn++) {
        CHECK(pthread_mutex_lock(&shared->mutex) == 0);
        shared->turn++;
        CHECK(pthread_cond_broadcast(&shared->changed) == 0);
        if (turn < TURNS / 2) {
            struct timespec soon;
            clock_gettime(CLOCK_REALTIME, &soon);
            soon.tv_nsec += 20000;
            if (soon.tv_nsec < 1000000000) {
                int error = pthread_cond_timedwait(&shared->changed, &shared->mutex, &soon);
                CHECK(error == 0 || error == ETIMEDOUT);
            }
        }
        CHECK(pthread_mutex_unlock(&shared->mutex) == 0);
        CHECK(sem_post(&shared->semaphore) == 0 && sem_wait(&shared->semaphore) == 0);
        CHECK((turn % 8 ? pthread_rwlock_rdlock : pthread_rwlock_wrlock)(&shared->lock) == 0);
        CHECK(pthread_rwlock_unlock(&shared->lock) == 0);
    }
    return NULL;
}

static void locks(void)
{
    enum { THREADS = 4 };
    struct shared *shared = structure(sizeof *shared);
    pthread_t threads[THREADS];
    pthread_mutex_init(&shared->mutex, NULL);
    pthread_cond_init(&shared->changed, NULL);
    pthread_rwlock_init(&shared->lock, NULL);
    sem_init(&shared->semaphore, 0, 0);
    for (int number = 0; number < THREADS; number++)
        CHECK(pthread_create(&threads[number], NULL, take_turns, shared) == 0);
    for (int number = 0; number < THREADS; number++)
        pthread_join(threads[number], NULL);
    CHECK(shared->turn == THREADS * TURNS);
}

int main(int count, char **names)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } all[] = {{"files", files},     {"streams", streams},   {"sockets", sockets}, {"waits", waits},
               {"programs", programs}, {"signals", signals}, {"stacks", stacks},   {"locks", locks}};
    CHECK(count == 2);
    place = managed(PLACE_BYTES);
    pthread_t presser;
    CHECK(pthread_create(&presser, NULL, press, managed(PRESSURE_BYTES)) == 0);
    for (size_t index = 0; index < sizeof all / sizeof *all; index++)
        if (strcmp(all[index].name, names[1]) == 0) {
            all[index].run();
            is_over = 1;
            pthread_join(presser, NULL);
            puts("ok");
            return 0;
        }
    return 2;
}
