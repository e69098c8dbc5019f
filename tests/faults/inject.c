// SPDX-License-Identifier: Apache-2.0
// Which calls fail, as the test says in the shared page. Counting is atomic: with one thread that
// makes such calls the same seed fails the same call.
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct faults_control *control;

void faults_inject_init(const char *control_path)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, control_path, O_RDWR | O_CLOEXEC);
    long page = fd < 0 ? -1
                       : syscall(SYS_mmap, NULL, sizeof(*control), PROT_READ | PROT_WRITE,
                                 MAP_SHARED, fd, 0);
    if (page == -1)
        faults_die("the control page", strerror(errno));
    (void)syscall(SYS_close, fd);
    control = (struct faults_control *)page;
}

// A file that the test means. Never RocksDB's own log: Debian's ends the process over it
// (docs/decisions/0070).
static bool is_chosen(const char *path)
{
    const char *name = strrchr(path, '/');
    return strncmp(name ? name + 1 : path, "LOG", 3) != 0 && strstr(path, control->name);
}

bool faults_fails(enum faults_call call, const char *path)
{
    if (!control || !atomic_load(&control->armed) || !(control->calls & call))
        return false;
    if (!is_chosen(path ? path : ""))
        return false;
    uint64_t number = atomic_fetch_add(&control->seen, 1);
    if (number < control->first || number - control->first >= control->count)
        return false;
    atomic_fetch_add(&control->failed, 1);
    errno = control->errnum;
    return true;
}

// Is the name's the file that `fd` is?
static bool is_meant(int fd, char path[static PATH_MAX])
{
    char link[64];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    path[size > 0 ? size : 0] = '\0';
    return is_chosen(path);
}

bool faults_fails_fd(enum faults_call call, int fd)
{
    char path[PATH_MAX];
    if (!control || !atomic_load(&control->armed) || !(control->calls & call))
        return false;
    return is_meant(fd, path) && faults_fails(call, path);
}

bool faults_partly(void)
{
    return control && control->partly;
}

void faults_count_change(void)
{
    if (!control)
        return;
    uint64_t number = atomic_fetch_add(&control->changes, 1) + 1;
    if (control->kill_at && number >= control->kill_at)
        (void)syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
}

void faults_sync_delay(int fd)
{
    char path[PATH_MAX];
    if (!control || control->sync_us == 0 || !is_meant(fd, path))
        return;
    struct timespec time = {.tv_nsec = control->sync_us * 1000L};
    (void)nanosleep(&time, NULL);
}
