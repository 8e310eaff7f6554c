/* Stands between a process and the C library, and fails one call of those that lqtui cannot do without.

   LQTUI_FAILS      "IN CALL ERRNO LASTING": IN is app or child, CALL the number of the call that fails, from
                    1, ERRNO what it fails with, LASTING 1 where all later ones fail too. Counted is what
                    changes files under LQTUI_FAILS_UNDER.
   LQTUI_ALLOCATES  "CALL": in the child, the aligned allocation of this number fails, and all after it.
   LQTUI_LIMITS     "BYTES": the child may have so much address space.
   LQTUI_ROOM       Set where each disk is to say that it has much room left.
   LQTUI_CLOCK      "SECONDS JUMP": from SECONDS since 1970 on, the clock shows JUMP seconds more.
   LQTUI_COUNTS     A file to which each process adds "app N" or "child N" at its end: how many calls it made. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static long at, made, lasting, allocation, allocated;
static int number, is_child, knows;
static char under[PATH_MAX];
static double from, jump;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void learn(void) {
    if (knows) return;
    knows = 1;
    char line[4096];
    int file = REAL(open)("/proc/self/cmdline", O_RDONLY);
    ssize_t n = file < 0 ? 0 : read(file, line, sizeof line - 1);
    if (file >= 0) close(file);
    for (ssize_t i = 0; i < n; i++)
        if (!line[i]) line[i] = ' ';
    line[n > 0 ? n : 0] = 0;
    is_child = strstr(line, "lqtui.worker.child") != NULL;
    char in[16] = "";
    const char *told = getenv("LQTUI_FAILS");
    if (told && sscanf(told, "%15s %ld %d %ld", in, &at, &number, &lasting) == 4 &&
        strcmp(in, is_child ? "child" : "app"))
        at = 0;
    if ((told = getenv("LQTUI_FAILS_UNDER"))) snprintf(under, sizeof under, "%s", told);
    if (is_child && (told = getenv("LQTUI_ALLOCATES"))) allocation = atol(told);
    if ((told = getenv("LQTUI_CLOCK"))) sscanf(told, "%lf %lf", &from, &jump);
}

__attribute__((constructor)) static void limit(void) {
    learn();
    const char *told = getenv("LQTUI_LIMITS");
    if (!is_child || !told) return;
    struct rlimit limits = {(rlim_t)atol(told), (rlim_t)atol(told)};
    setrlimit(RLIMIT_AS, &limits);
}

static int fails(const char *path) {
    learn();
    if (!*under || !path || strncmp(path, under, strlen(under))) return 0;
    long call = __atomic_add_fetch(&made, 1, __ATOMIC_SEQ_CST);
    if (!at || call < at || (call > at && !lasting)) return 0;
    errno = number;
    return 1;
}

static int fails_at(int file) {
    learn();
    if (!*under) return 0;
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return fails(path);
}

__attribute__((destructor)) static void tell(void) {
    const char *name = getenv("LQTUI_COUNTS");
    if (!name || !made) return;
    char line[64];
    int n = snprintf(line, sizeof line, "%s %ld\n", is_child ? "child" : "app", made);
    int file = REAL(open)(name, O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (file >= 0) {
        if (REAL(write)(file, line, n) < 0) return;
        close(file);
    }
}

/* The child ends by _exit, which runs no destructor. */
void _exit(int status) {
    tell();
    REAL(_exit)(status);
    __builtin_unreachable();
}

#define OPENING(name)                                                        \
    int name(const char *path, int flags, ...) {                             \
        va_list rest;                                                        \
        va_start(rest, flags);                                               \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                                        \
        if (flags & (O_CREAT | O_WRONLY | O_RDWR) && fails(path)) return -1; \
        return REAL(name)(path, flags, mode);                                \
    }
OPENING(open)
OPENING(open64)

int mkdir(const char *path, mode_t mode) { return fails(path) ? -1 : REAL(mkdir)(path, mode); }
int rename(const char *old, const char *new) { return fails(new) ? -1 : REAL(rename)(old, new); }
int fsync(int file) { return fails_at(file) ? -1 : REAL(fsync)(file); }
int fdatasync(int file) { return fails_at(file) ? -1 : REAL(fdatasync)(file); }
int ftruncate(int file, off_t size) { return fails_at(file) ? -1 : REAL(ftruncate)(file, size); }
int ftruncate64(int file, off64_t size) { return fails_at(file) ? -1 : REAL(ftruncate64)(file, size); }
ssize_t write(int file, const void *from, size_t n) { return fails_at(file) ? -1 : REAL(write)(file, from, n); }
ssize_t writev(int file, const struct iovec *from, int n) {
    return fails_at(file) ? -1 : REAL(writev)(file, from, n);
}
ssize_t pwrite(int file, const void *from, size_t n, off_t at) {
    return fails_at(file) ? -1 : REAL(pwrite)(file, from, n, at);
}
ssize_t pwrite64(int file, const void *from, size_t n, off64_t at) {
    return fails_at(file) ? -1 : REAL(pwrite64)(file, from, n, at);
}
int fallocate(int file, int mode, off_t from, off_t n) {
    return fails_at(file) ? -1 : REAL(fallocate)(file, mode, from, n);
}

int statvfs(const char *path, struct statvfs *told) {
    int failed = REAL(statvfs)(path, told);
    if (!failed && getenv("LQTUI_ROOM")) told->f_bavail = told->f_bfree = told->f_blocks = 1L << 30;
    return failed;
}

int posix_memalign(void **at, size_t alignment, size_t size) {
    learn();
    if (allocation && size >= 65536 && __atomic_add_fetch(&allocated, 1, __ATOMIC_SEQ_CST) >= allocation)
        return ENOMEM;
    return REAL(posix_memalign)(at, alignment, size);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = REAL(clock_gettime)(clock, now);
    learn();
    if (!failed && clock == CLOCK_REALTIME && jump && now->tv_sec >= from) now->tv_sec += (time_t)jump;
    return failed;
}
time_t time(time_t *told) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (told) *told = now.tv_sec;
    return now.tv_sec;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec told;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &told);
    now->tv_sec = told.tv_sec;
    now->tv_usec = told.tv_nsec / 1000;
    return 0;
}
