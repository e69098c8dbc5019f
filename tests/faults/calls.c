// SPDX-License-Identifier: Apache-2.0
// The C library's functions that change files, in our version. Those on other files than the
// tracked ones go straight to the kernel; so do ours, behind the journal.
#include "faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

// Not in headers: they are called by what the compiler makes of open() and fread() with checks.
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dir_fd, const char *path, int flags);
int __openat64_2(int dir_fd, const char *path, int flags);

// ---- Opening and closing

static bool is_new(int dir_fd, const char *path, int flags)
{
    struct stat status;
    if ((flags & O_TMPFILE) == O_TMPFILE)
        return true;
    return (flags & O_CREAT) && fstatat(dir_fd, path, &status, 0) != 0 && errno == ENOENT;
}

static int open_inside(int dir_fd, const char *path, int flags, mode_t mode,
                       const struct faults_path *where)
{
    bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT);
    if (writes && faults_fails(FAULTS_CALL_OPEN, where->text))
        return -1;
    faults_lock();
    bool created = is_new(dir_fd, path, flags);
    struct stat status;
    uint64_t seq = 0;
    if (created) {
        const char *name = (flags & O_TMPFILE) == O_TMPFILE ? "" : where->text;
        seq = faults_intend(FAULTS_CREATE, 0, 0, name, strlen(name) + 1);
    } else if ((flags & O_TRUNC) && fstatat(dir_fd, path, &status, 0) == 0) {
        seq = faults_intend(FAULTS_TRUNCATE, status.st_ino, 0, NULL, 0);
    }
    int fd = (int)syscall(SYS_openat, dir_fd, path, flags, mode);
    faults_track(fd);
    if (created)
        faults_outcome(seq, fd < 0 ? -1 : (int64_t)faults_inode(fd));
    else if (seq)
        faults_outcome(seq, fd < 0 ? -1 : 0);
    faults_unlock();
    return fd;
}

static int open_any(int dir_fd, const char *path, int flags, mode_t mode)
{
    struct faults_path where;
    faults_resolve(dir_fd, path, &where);
    if (where.inside)
        return open_inside(dir_fd, path, flags | O_LARGEFILE, mode, &where);
    int fd = (int)syscall(SYS_openat, dir_fd, path, flags | O_LARGEFILE, mode);
    faults_forget(fd);
    return fd;
}

static mode_t mode_of(int flags, va_list arguments)
{
    return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(arguments, mode_t) : 0;
}

#define DEFINE_OPEN(name)                                                                          \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        va_list arguments;                                                                         \
        va_start(arguments, flags);                                                                \
        mode_t mode = mode_of(flags, arguments);                                                   \
        va_end(arguments);                                                                         \
        return open_any(AT_FDCWD, path, flags, mode);                                              \
    }
#define DEFINE_OPENAT(name)                                                                        \
    int name(int dir_fd, const char *path, int flags, ...)                                         \
    {                                                                                              \
        va_list arguments;                                                                         \
        va_start(arguments, flags);                                                                \
        mode_t mode = mode_of(flags, arguments);                                                   \
        va_end(arguments);                                                                         \
        return open_any(dir_fd, path, flags, mode);                                                \
    }
DEFINE_OPEN(open)
DEFINE_OPEN(open64)
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

int __open_2(const char *path, int flags)
{
    return open_any(AT_FDCWD, path, flags, 0);
}

int __open64_2(const char *path, int flags)
{
    return open_any(AT_FDCWD, path, flags, 0);
}

int __openat_2(int dir_fd, const char *path, int flags)
{
    return open_any(dir_fd, path, flags, 0);
}

int __openat64_2(int dir_fd, const char *path, int flags)
{
    return open_any(dir_fd, path, flags, 0);
}

int creat(const char *path, mode_t mode)
{
    return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int creat64(const char *path, mode_t mode)
{
    return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int close(int fd)
{
    faults_forget(fd);
    return (int)syscall(SYS_close, fd);
}

// ---- Writing

enum { AT_POSITION = -1 };

static ssize_t write_inside(int fd, uint64_t inode, const void *data, size_t size, off_t offset)
{
    faults_lock();
    bool bad = faults_fails_fd(FAULTS_CALL_WRITE, fd);
    int errnum = errno;
    size_t done = !bad ? size : faults_partly() ? size / 2 : 0;
    ssize_t written = -1;
    if (!bad || done > 0) {
        off_t at = offset;
        if (offset == AT_POSITION)
            at = (off_t)syscall(SYS_lseek, fd, 0,
                                fcntl(fd, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR);
        uint64_t seq = faults_intend(FAULTS_WRITE, inode, at, data, done);
        written = offset == AT_POSITION ? syscall(SYS_write, fd, data, done)
                                        : syscall(SYS_pwrite64, fd, data, done, offset);
        faults_outcome(seq, written);
    }
    if (bad) {
        errno = errnum;
        written = -1;
    }
    faults_unlock();
    return written;
}

static ssize_t write_parts(int fd, uint64_t inode, const struct iovec *parts, int count,
                           off_t offset)
{
    size_t size = 0;
    for (int i = 0; i < count; i++)
        size += parts[i].iov_len;
    char *all = malloc(size + 1);
    if (!all)
        faults_die("writev", "out of memory");
    size_t at = 0;
    for (int i = 0; i < count; at += parts[i++].iov_len)
        memcpy(all + at, parts[i].iov_base, parts[i].iov_len);
    ssize_t written = write_inside(fd, inode, all, size, offset);
    free(all);
    return written;
}

ssize_t write(int fd, const void *data, size_t size)
{
    uint64_t inode = faults_inode(fd);
    return inode ? write_inside(fd, inode, data, size, AT_POSITION)
                 : syscall(SYS_write, fd, data, size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    uint64_t inode = faults_inode(fd);
    return inode ? write_inside(fd, inode, data, size, offset)
                 : syscall(SYS_pwrite64, fd, data, size, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    return pwrite(fd, data, size, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    uint64_t inode = faults_inode(fd);
    return inode ? write_parts(fd, inode, parts, count, AT_POSITION)
                 : syscall(SYS_writev, fd, parts, count);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    uint64_t inode = faults_inode(fd);
    return inode ? write_parts(fd, inode, parts, count, offset)
                 : syscall(SYS_pwritev, fd, parts, count, offset, 0);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
    return pwritev(fd, parts, count, offset);
}

// ---- Sizes

int ftruncate(int fd, off_t size)
{
    uint64_t inode = faults_inode(fd);
    if (!inode)
        return (int)syscall(SYS_ftruncate, fd, size);
    if (faults_fails_fd(FAULTS_CALL_ALLOCATE, fd))
        return -1;
    faults_lock();
    uint64_t seq = faults_intend(FAULTS_TRUNCATE, inode, size, NULL, 0);
    int result = (int)syscall(SYS_ftruncate, fd, size);
    faults_outcome(seq, result);
    faults_unlock();
    return result;
}

int ftruncate64(int fd, off64_t size)
{
    return ftruncate(fd, size);
}

// Zeros over what the file has there, as if they were written; its size stays.
static int punch_hole(int fd, uint64_t inode, int mode, off_t offset, off_t size)
{
    faults_lock();
    struct stat status;
    int result = fstat(fd, &status);
    off_t end = result == 0 && offset + size < status.st_size ? offset + size : status.st_size;
    size_t zeros = result == 0 && end > offset ? (size_t)(end - offset) : 0;
    char *data = calloc(1, zeros + 1);
    if (!data)
        faults_die("fallocate", "out of memory");
    uint64_t seq = faults_intend(FAULTS_WRITE, inode, offset, data, zeros);
    free(data);
    result = (int)syscall(SYS_fallocate, fd, mode, offset, size);
    faults_outcome(seq, result == 0 ? (int64_t)zeros : -1);
    faults_unlock();
    return result;
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
    uint64_t inode = faults_inode(fd);
    if (!inode)
        return (int)syscall(SYS_fallocate, fd, mode, offset, size);
    if (faults_fails_fd(FAULTS_CALL_ALLOCATE, fd))
        return -1;
    if (mode == (FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE))
        return punch_hole(fd, inode, mode, offset, size);
    if (mode == FALLOC_FL_KEEP_SIZE) // no content, no size: nothing to lose
        return (int)syscall(SYS_fallocate, fd, mode, offset, size);
    if (mode != 0)
        faults_die("fallocate", "this mode is not modelled");
    faults_lock();
    uint64_t seq = faults_intend(FAULTS_ALLOCATE, inode, offset + size, NULL, 0);
    int result = (int)syscall(SYS_fallocate, fd, mode, offset, size);
    faults_outcome(seq, result);
    faults_unlock();
    return result;
}

int fallocate64(int fd, int mode, off64_t offset, off64_t size)
{
    return fallocate(fd, mode, offset, size);
}

int posix_fallocate(int fd, off_t offset, off_t size)
{
    int before = errno;
    int result = fallocate(fd, 0, offset, size) == 0 ? 0 : errno;
    errno = before;
    return result;
}

int posix_fallocate64(int fd, off64_t offset, off64_t size)
{
    return posix_fallocate(fd, offset, size);
}

// ---- Syncs

// Nothing here outlives the machine's power, so the device is spared. What is written meanwhile is
// not covered.
static int sync_inside(int fd, uint64_t inode)
{
    faults_lock();
    bool bad = faults_fails_fd(FAULTS_CALL_SYNC, fd);
    int errnum = errno;
    uint64_t seq = faults_intend(FAULTS_SYNC, inode, 0, NULL, 0);
    faults_unlock();
    faults_sync_delay(fd);
    faults_lock();
    errno = errnum;
    faults_outcome(seq, bad ? -1 : 0);
    faults_unlock();
    return bad ? -1 : 0;
}

int fsync(int fd)
{
    uint64_t inode = faults_inode(fd);
    return inode ? sync_inside(fd, inode) : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    uint64_t inode = faults_inode(fd);
    return inode ? sync_inside(fd, inode) : (int)syscall(SYS_fdatasync, fd);
}

// Promises nothing: neither that the device has it, nor the size that is needed to read it.
int sync_file_range(int fd, off64_t offset, off64_t size, unsigned flags)
{
    return faults_inode(fd) ? 0 : (int)syscall(SYS_sync_file_range, fd, offset, size, flags);
}

// ---- Names

// Both names, for the journal; false when neither is below the root.
static bool resolve_two(int from_fd, const char *from, int to_fd, const char *to,
                        char both[static 2 * PATH_MAX], size_t *ret_size, const char *call)
{
    struct faults_path a, b;
    faults_resolve(from_fd, from, &a);
    faults_resolve(to_fd, to, &b);
    if (!a.inside && !b.inside)
        return false;
    if (!a.inside || !b.inside)
        faults_die(call, "into or out of the tracked folder is not modelled");
    size_t size = strlen(a.text) + 1;
    memcpy(both, a.text, size);
    memcpy(both + size, b.text, strlen(b.text) + 1);
    *ret_size = size + strlen(b.text) + 1;
    return true;
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    char both[2 * PATH_MAX];
    size_t size = 0;
    if (!resolve_two(from_fd, from, to_fd, to, both, &size, "rename"))
        return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
    if (flags & ~(unsigned)RENAME_NOREPLACE)
        faults_die("renameat2", "these flags are not modelled");
    if (faults_fails(FAULTS_CALL_RENAME, both + strlen(both) + 1))
        return -1;
    faults_lock();
    uint64_t seq = faults_intend(FAULTS_RENAME, 0, 0, both, size);
    int result = (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
    faults_outcome(seq, result);
    faults_unlock();
    return result;
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    return renameat2(from_fd, from, to_fd, to, 0);
}

int rename(const char *from, const char *to)
{
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    char both[2 * PATH_MAX];
    size_t size = 0;
    if (!resolve_two(from_fd, from, to_fd, to, both, &size, "link"))
        return (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
    if (flags)
        faults_die("linkat", "flags are not modelled");
    if (faults_fails(FAULTS_CALL_RENAME, both + strlen(both) + 1))
        return -1;
    faults_lock();
    uint64_t seq = faults_intend(FAULTS_LINK, 0, 0, both, size);
    int result = (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
    faults_outcome(seq, result);
    faults_unlock();
    return result;
}

int link(const char *from, const char *to)
{
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlinkat(int dir_fd, const char *path, int flags)
{
    struct faults_path where;
    faults_resolve(dir_fd, path, &where);
    if (!where.inside)
        return (int)syscall(SYS_unlinkat, dir_fd, path, flags);
    if (faults_fails(FAULTS_CALL_UNLINK, where.text))
        return -1;
    faults_lock();
    uint64_t seq = faults_intend(flags & AT_REMOVEDIR ? FAULTS_RMDIR : FAULTS_UNLINK, 0, 0,
                                 where.text, strlen(where.text) + 1);
    int result = (int)syscall(SYS_unlinkat, dir_fd, path, flags);
    faults_outcome(seq, result);
    faults_unlock();
    return result;
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int remove(const char *path)
{
    int result = unlinkat(AT_FDCWD, path, 0);
    return result != 0 && errno == EISDIR ? rmdir(path) : result;
}

int mkdirat(int dir_fd, const char *path, mode_t mode)
{
    struct faults_path where;
    faults_resolve(dir_fd, path, &where);
    if (!where.inside || !where.text[0])
        return (int)syscall(SYS_mkdirat, dir_fd, path, mode);
    if (faults_fails(FAULTS_CALL_MKDIR, where.text))
        return -1;
    faults_lock();
    uint64_t seq = faults_intend(FAULTS_MKDIR, 0, 0, where.text, strlen(where.text) + 1);
    int result = (int)syscall(SYS_mkdirat, dir_fd, path, mode);
    struct stat status = {0};
    if (result == 0)
        (void)fstatat(dir_fd, path, &status, 0);
    faults_outcome(seq, result == 0 ? (int64_t)status.st_ino : -1);
    faults_unlock();
    return result;
}

int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

// ---- What would go unseen

static void must_not_write(int fd, const char *call)
{
    if (faults_active && faults_inode(fd))
        faults_die(call, "a file below the root is changed, and this call is not modelled");
}

static bool writes(const char *mode)
{
    return strpbrk(mode, "wa+") != NULL;
}

#define NEXT(name)                                                                                 \
    ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name)) // NOLINT(bugprone-macro-parentheses)

static void must_not_open(const char *path, const char *mode)
{
    struct faults_path where;
    faults_resolve(AT_FDCWD, path, &where);
    if (where.inside && writes(mode))
        faults_die("fopen", "writing below the root by stdio is not modelled");
}

FILE *fopen(const char *path, const char *mode)
{
    must_not_open(path, mode);
    return NEXT(fopen)(path, mode);
}

FILE *fopen64(const char *path, const char *mode)
{
    must_not_open(path, mode);
    return NEXT(fopen64)(path, mode);
}

FILE *fdopen(int fd, const char *mode)
{
    if (writes(mode))
        must_not_write(fd, "fdopen");
    return NEXT(fdopen)(fd, mode);
}

void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    if ((protection & PROT_WRITE) && (flags & MAP_SHARED) && fd >= 0)
        must_not_write(fd, "mmap");
    return (void *)syscall(SYS_mmap, address, size, protection, flags, fd, offset);
}

void *mmap64(void *address, size_t size, int protection, int flags, int fd, off64_t offset)
{
    return mmap(address, size, protection, flags, fd, offset);
}

ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
    must_not_write(fd, "pwritev2");
    return syscall(SYS_pwritev2, fd, parts, count, offset, 0, flags);
}

ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t size,
                        unsigned flags)
{
    must_not_write(out, "copy_file_range");
    return syscall(SYS_copy_file_range, in, in_at, out, out_at, size, flags);
}

ssize_t sendfile(int out, int in, off_t *offset, size_t size)
{
    must_not_write(out, "sendfile");
    return syscall(SYS_sendfile, out, in, offset, size);
}

int truncate(const char *path, off_t size)
{
    must_not_open(path, "w");
    return (int)syscall(SYS_truncate, path, size);
}

int symlinkat(const char *target, int dir_fd, const char *path)
{
    struct faults_path where;
    faults_resolve(dir_fd, path, &where);
    if (where.inside)
        faults_die("symlink", "not modelled");
    return (int)syscall(SYS_symlinkat, target, dir_fd, path);
}

int symlink(const char *target, const char *path)
{
    return symlinkat(target, AT_FDCWD, path);
}
