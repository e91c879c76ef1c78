/* Preloaded into the processes of a node: a wall clock that is wrong, a disk that is slow to say that it has written.
 *
 * What is wrong just now stands in a file that is mapped once, at the start, by its name in CAXTON_BROKEN_HOST:
 * afterwards no file is opened. libfaketime opens files later, which a process under a system call filter is killed for.
 * Workers and compilers are started without an environment, so they keep the real clock. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct broken {
    volatile int64_t clock_seconds;
    volatile int64_t sync_milliseconds;
};

static struct broken nothing;
static struct broken *broken = &nothing;
static int (*real_clock)(clockid_t, struct timespec *);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CAXTON_BROKEN_HOST");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof(struct broken), PROT_READ, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED) broken = mapped;
    close(file);
}

int clock_gettime(clockid_t which, struct timespec *at) {
    if (!real_clock) real_clock = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real_clock(which, at);
    if (result == 0 && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) at->tv_sec += broken->clock_seconds;
    return result;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}

static void wait_for_disk(void) {
    int64_t left = broken->sync_milliseconds;
    if (left <= 0) return;
    struct timespec pause = {left / 1000, left % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

int fsync(int file) {
    if (!real_fsync) real_fsync = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    wait_for_disk();
    return real_fsync(file);
}

int fdatasync(int file) {
    if (!real_fdatasync) real_fdatasync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    wait_for_disk();
    return real_fdatasync(file);
}
