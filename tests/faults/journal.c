// SPDX-License-Identifier: Apache-2.0
// What the disk was told, in order. A record is written before its call is made, the call's outcome
// behind it; when the process is killed in between, nobody has been told of the call's success.
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FDS_MAX = 1 << 16 };

bool faults_active;
int faults_journal_fd = -1;

static char root[PATH_MAX];
static size_t root_size;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t next_seq = 1;
static _Atomic uint64_t inodes[FDS_MAX]; // by descriptor; 0: not below the root

void faults_die(const char *call, const char *why)
{
    char text[256];
    int size = snprintf(text, sizeof(text), "faults: %s: %s\n", call, why);
    (void)syscall(SYS_write, STDERR_FILENO, text, (size_t)size);
    abort();
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("KVS_FAULTS_ROOT");
    if (!path || strlen(path) >= sizeof(root))
        return;
    strcpy(root, path);
    root_size = strlen(root);
    const char *journal = getenv("KVS_FAULTS_JOURNAL");
    if (journal) {
        long fd =
            syscall(SYS_openat, AT_FDCWD, journal, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        faults_journal_fd = fcntl((int)fd, F_DUPFD_CLOEXEC, 500); // out of the program's way
        if (faults_journal_fd < 0)
            faults_die("journal", strerror(errno));
        (void)syscall(SYS_close, fd);
    }
    const char *control = getenv("KVS_FAULTS_CONTROL");
    if (control)
        faults_inject_init(control);
    faults_active = true;
}

void faults_lock(void)
{
    (void)pthread_mutex_lock(&lock);
}

void faults_unlock(void)
{
    int errnum = errno;
    (void)pthread_mutex_unlock(&lock);
    errno = errnum;
}

// ---- Records

static void put(const struct faults_record *record, const void *payload)
{
    struct iovec parts[2] = {{(void *)record, sizeof(*record)}, {(void *)payload, record->size}};
    ssize_t size = (ssize_t)(sizeof(*record) + record->size);
    if (syscall(SYS_writev, faults_journal_fd, parts, record->size > 0 ? 2 : 1) != size)
        faults_die("journal", "cannot be written");
}

uint64_t faults_intend(enum faults_op op, uint64_t inode, int64_t a, const void *payload,
                       size_t size)
{
    faults_count_change();
    if (faults_journal_fd < 0)
        return 0;
    if (size > UINT32_MAX)
        faults_die("write", "too large for a record");
    struct faults_record record = {
        .size = (uint32_t)size, .op = op, .seq = next_seq++, .inode = inode, .a = a};
    put(&record, payload);
    return record.seq;
}

void faults_outcome(uint64_t seq, int64_t result)
{
    if (faults_journal_fd < 0)
        return;
    int errnum = errno;
    struct faults_record record = {
        .op = FAULTS_OUTCOME, .seq = seq, .a = result < 0 ? -errnum : result};
    put(&record, NULL);
    errno = errnum;
}

// ---- Paths

static bool has_part(const char *path, const char *part)
{
    size_t size = strlen(part);
    for (const char *at = strstr(path, part); at; at = strstr(at + 1, part))
        if ((at == path || at[-1] == '/') && (at[size] == '\0' || at[size] == '/'))
            return true;
    return false;
}

// "a//b/./c/" becomes "a/b/c".
static void tidy(char *path)
{
    char *to = path;
    for (const char *from = path; *from;) {
        bool at_start = to == path || to[-1] == '/';
        if (at_start && *from == '/' && to != path)
            from++;
        else if (at_start && from[0] == '.' && (from[1] == '/' || from[1] == '\0'))
            from += from[1] ? 2 : 1;
        else
            *to++ = *from++;
    }
    while (to > path + 1 && to[-1] == '/')
        to--;
    *to = '\0';
}

static bool join(int dir_fd, const char *path, char full[static PATH_MAX])
{
    size_t size = 0;
    if (path[0] != '/') {
        char link[64];
        (void)snprintf(link, sizeof(link),
                       dir_fd == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", dir_fd);
        ssize_t length = readlink(link, full, PATH_MAX - 1);
        if (length < 0 || full[0] != '/')
            return false;
        size = (size_t)length;
        full[size++] = '/';
    }
    if (size + strlen(path) >= PATH_MAX)
        return false;
    strcpy(full + size, path);
    return true;
}

void faults_resolve(int dir_fd, const char *path, struct faults_path *ret_path)
{
    ret_path->inside = false;
    int errnum = errno;
    char full[PATH_MAX];
    if (faults_active && path && join(dir_fd, path, full)) {
        tidy(full);
        if (strncmp(full, root, root_size) == 0 &&
            (full[root_size] == '/' || full[root_size] == '\0')) {
            if (has_part(full, ".."))
                faults_die("a path", "has \"..\" in it, which is not modelled");
            ret_path->inside = true;
            strcpy(ret_path->text, full[root_size] ? full + root_size + 1 : "");
        }
    }
    errno = errnum;
}

// ---- Descriptors

void faults_track(int fd)
{
    struct stat status;
    if (fd < 0 || fd >= FDS_MAX)
        return;
    int errnum = errno;
    atomic_store(&inodes[fd], fstat(fd, &status) == 0 ? status.st_ino : 0);
    errno = errnum;
}

void faults_forget(int fd)
{
    if (fd >= 0 && fd < FDS_MAX)
        atomic_store(&inodes[fd], 0);
}

// The C library closes some descriptors without calling close(), and what has their number then is
// something else.
uint64_t faults_inode(int fd)
{
    if (fd < 0 || fd >= FDS_MAX)
        return 0;
    uint64_t inode = atomic_load(&inodes[fd]);
    if (inode == 0)
        return 0;
    struct stat status;
    int errnum = errno;
    bool same = fstat(fd, &status) == 0 && status.st_ino == inode &&
                (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode));
    errno = errnum;
    if (!same)
        faults_forget(fd);
    return same ? inode : 0;
}

bool faults_is_folder(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
}
