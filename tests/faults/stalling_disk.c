/* A disk that stalls at will, for some paths: loaded into a process before the C library.

While the file STALL_FLAG exists, calls that reach for a path that begins with STALL_BELOW wait, as they do for a frozen
filesystem or a lost volume. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static int is_below(const char *path) {
    const char *below = getenv("STALL_BELOW");
    return below != NULL && path != NULL && strncmp(path, below, strlen(below)) == 0;
}

static int is_stalled(void) {
    const char *flag = getenv("STALL_FLAG");
    return flag != NULL && syscall(SYS_faccessat, AT_FDCWD, flag, F_OK) == 0;
}

static void wait_for_path(const char *path) {
    const struct timespec pause = {0, 5000000};
    while (is_stalled() && is_below(path))
        nanosleep(&pause, NULL);
}

static void wait_for_fd(int fd) {
    char link[64], path[PATH_MAX];
    if (!is_stalled())
        return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0)
        return;
    path[length] = '\0';
    wait_for_path(path);
}

#define NEXT(name) \
    static __typeof__(&name) next; \
    if (next == NULL) \
        next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define BY_FD(type, name, parameters, ...) \
    type name parameters { NEXT(name); wait_for_fd(fd); return next(__VA_ARGS__); }
#define BY_PATH(type, name, parameters, ...) \
    type name parameters { NEXT(name); wait_for_path(path); return next(__VA_ARGS__); }

BY_FD(ssize_t, write, (int fd, const void *data, size_t size), fd, data, size)
BY_FD(ssize_t, writev, (int fd, const struct iovec *parts, int count), fd, parts, count)
BY_FD(int, fsync, (int fd), fd)
BY_FD(int, fdatasync, (int fd), fd)
BY_FD(int, ftruncate64, (int fd, off64_t size), fd, size)
BY_PATH(int, rename, (const char *path, const char *to), path, to)
BY_PATH(int, unlink, (const char *path), path)
BY_PATH(int, mkdir, (const char *path, mode_t mode), path, mode)
BY_PATH(int, rmdir, (const char *path), path)
BY_PATH(DIR *, opendir, (const char *path), path)
BY_PATH(int, statvfs64, (const char *path, struct statvfs64 *found), path, found)

static mode_t mode_of(int flags, va_list more) {
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
}

int open64(const char *path, int flags, ...) {
    NEXT(open64);
    va_list more;
    va_start(more, flags);
    mode_t mode = mode_of(flags, more);
    va_end(more);
    wait_for_path(path);
    return next(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = mode_of(flags, more);
    va_end(more);
    return open64(path, flags, mode);
}
