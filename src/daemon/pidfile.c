// SPDX-License-Identifier: Apache-2.0
#include "daemon/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/slice.h"
#include "daemon/textfile.h"

void kvs_pidfile_done(struct kvs_pidfile *pidfile)
{
    free(pidfile->config_path);
    *pidfile = (struct kvs_pidfile){0};
}

// Does another open file description hold the lock? Only asks: trying to take it would make a node
// that starts at this moment believe that it runs already.
static bool is_locked(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static pid_t parse_pid(const char *text)
{
    uint64_t value;
    if (!kvs_slice_to_u64(kvs_slice_from_str(text), &value) || value == 0 || value > INT32_MAX)
        return 0;
    return (pid_t)value;
}

int kvs_pidfile_read(const char *path, struct kvs_pidfile *ret_pidfile)
{
    *ret_pidfile = (struct kvs_pidfile){0};
    KVS_CLEANUP(kvs_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0)
        return kvs_err_from_errno(errno);
    char *lines[2];
    KVS_CLEANUP(kvs_freep) char *text = NULL;
    int err = kvs_textfile_read(fd, 2, lines, &text);
    if (err == KVS_ERR_NOMEM)
        return err;
    ret_pidfile->locked = is_locked(fd);
    ret_pidfile->pid = err == 0 ? parse_pid(lines[0]) : 0;
    ret_pidfile->config_path = strdup(err == 0 ? lines[1] : "");
    ret_pidfile->started_ms =
        (int64_t)status.st_mtim.tv_sec * 1000 + status.st_mtim.tv_nsec / 1000000;
    return ret_pidfile->config_path ? 0 : KVS_ERR_NOMEM;
}

int kvs_pidfile_take(const char *path, const char *config_path, int *ret_fd,
                     struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return kvs_fail(ret_message, kvs_err_from_errno(errno), "cannot open %s: %s", path,
                        strerror(errno));
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
        if (errno == EAGAIN || errno == EACCES)
            return kvs_fail(ret_message, KVS_ERR_BUSY, "instance is already running");
        return kvs_fail(ret_message, kvs_err_from_errno(errno), "cannot lock %s: %s", path,
                        strerror(errno));
    }
    if (ftruncate(fd, 0) != 0 || dprintf(fd, "%ld\n%s\n", (long)getpid(), config_path) < 0)
        return kvs_fail(ret_message, kvs_err_from_errno(errno), "cannot write %s: %s", path,
                        strerror(errno));
    *ret_fd = fd;
    fd = -1;
    return 0;
}
