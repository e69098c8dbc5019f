// SPDX-License-Identifier: Apache-2.0
// The lock is flock(2)'s on the directory itself: the kernel drops it with the process, however
// that ends.
#include "store/directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/durable.h"
#include "base/slice.h"

#define FORMAT_FILE "FORMAT"
#define FORMAT_MAGIC "kvs store "

static void closedirp(DIR **dir)
{
    if (*dir)
        (void)closedir(*dir); // read-only
    *dir = NULL;
}

static int make_directories(const char *path)
{
    KVS_CLEANUP(kvs_freep) char *copy = strdup(path);
    if (!copy)
        return KVS_ERR_NOMEM;
    for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(copy, 0700) != 0 && errno != EEXIST)
            return kvs_err_from_errno(errno);
        *slash = '/';
    }
    if (mkdir(copy, 0700) != 0 && errno != EEXIST)
        return kvs_err_from_errno(errno);
    return 0;
}

// Nothing in it but what a fresh file system or our own half-made FORMAT leaves there?
static int is_empty(int dir_fd, bool *ret_empty)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    KVS_CLEANUP(closedirp) DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        int err = kvs_err_from_errno(errno);
        kvs_closep(&fd);
        return err;
    }
    static const char *const harmless[] = {".", "..", "lost+found", FORMAT_FILE ".tmp"};
    *ret_empty = true;
    for (const struct dirent *entry; (entry = readdir(dir));) {
        bool known = false;
        for (size_t i = 0; i < KVS_ARRAY_SIZE(harmless); i++)
            known = known || strcmp(entry->d_name, harmless[i]) == 0;
        *ret_empty = *ret_empty && known;
    }
    return 0;
}

// Durable and all or nothing: a temporary file, synced, renamed, the directory synced.
static int write_format(int dir_fd)
{
    char text[32];
    int size = snprintf(text, sizeof(text), FORMAT_MAGIC "%d\n", KVS_STORE_FORMAT);
    KVS_CLEANUP(kvs_closep)
    int fd = openat(dir_fd, FORMAT_FILE ".tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return kvs_err_from_errno(errno);
    ssize_t written = write(fd, text, (size_t)size);
    if (written != size)
        return written < 0 ? kvs_err_from_errno(errno) : KVS_ERR_NO_SPACE;
    if (fsync(fd) != 0 || renameat(dir_fd, FORMAT_FILE ".tmp", dir_fd, FORMAT_FILE) != 0 ||
        fsync(dir_fd) != 0)
        return kvs_err_from_errno(errno);
    return 0;
}

static int check_format(int fd, const char *path, struct kvs_message *ret_message)
{
    char text[64];
    ssize_t size = pread(fd, text, sizeof(text), 0);
    if (size < 0)
        return kvs_fail(ret_message, kvs_err_from_errno(errno), "read %s/" FORMAT_FILE ": %s", path,
                        strerror(errno));
    struct kvs_slice rest = kvs_slice(text, (size_t)size);
    uint64_t version = 0;
    if (kvs_slice_starts_with(rest, KVS_SLICE(FORMAT_MAGIC)) &&
        kvs_slice_ends_with(rest, KVS_SLICE("\n"))) {
        rest.data += strlen(FORMAT_MAGIC);
        rest.size -= strlen(FORMAT_MAGIC) + 1;
        if (kvs_slice_to_u64(rest, &version) && version > KVS_STORE_FORMAT)
            return kvs_fail(ret_message, KVS_ERR_VERSION,
                            "data directory %s was written by a newer KVS (store format %llu, this "
                            "release knows %d): use that release or another data_dir",
                            path, (unsigned long long)version, KVS_STORE_FORMAT);
    }
    if (version != KVS_STORE_FORMAT)
        return kvs_fail(ret_message, KVS_ERR_CORRUPT,
                        "data directory %s: the file " FORMAT_FILE " is damaged: restore the "
                        "directory from a backup or choose another data_dir",
                        path);
    return 0;
}

// Checks FORMAT; in an empty directory it is written first.
static int ensure_format(int dir_fd, const char *path, struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_closep) int fd = openat(dir_fd, FORMAT_FILE, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        return check_format(fd, path, ret_message);
    if (errno != ENOENT)
        return kvs_fail(ret_message, kvs_err_from_errno(errno), "open %s/" FORMAT_FILE ": %s", path,
                        strerror(errno));
    bool empty = false;
    int err = is_empty(dir_fd, &empty);
    if (!err && !empty)
        return kvs_fail(ret_message, KVS_ERR_CONFLICT,
                        "data directory %s is not empty and holds no KVS store: choose another "
                        "data_dir or an empty directory",
                        path);
    // The file comes last: while it is missing the directories' names may be on no device.
    if (!err && kvs_sync_folders_above(path) != 0)
        err = kvs_err_from_errno(errno);
    if (!err)
        err = write_format(dir_fd);
    if (err)
        return kvs_fail(ret_message, err, "create a store in %s: %s", path, kvs_err_text(err));
    return 0;
}

static int lock_directory(int dir_fd, const char *path, struct kvs_message *ret_message)
{
    if (flock(dir_fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        return kvs_fail(ret_message, KVS_ERR_BUSY,
                        "data directory %s is in use by another process: stop it or choose another "
                        "data_dir",
                        path);
    return kvs_fail(ret_message, kvs_err_from_errno(errno), "lock data directory %s: %s", path,
                    strerror(errno));
}

static int open_directory(const char *path, int *ret_fd, struct kvs_message *ret_message)
{
    int err = make_directories(path);
    if (err)
        return kvs_fail(ret_message, err, "create data directory %s: %s", path, strerror(errno));
    *ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*ret_fd < 0)
        return kvs_fail(ret_message, kvs_err_from_errno(errno), "open data directory %s: %s", path,
                        strerror(errno));
    // Somebody else's directory that we may use stays as its owner wants it.
    struct stat stat;
    if (fstat(*ret_fd, &stat) == 0 && (stat.st_mode & 077) != 0)
        (void)fchmod(*ret_fd, 0700);
    return 0;
}

int kvs_directory_open(const char *path, int *ret_fd, struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_closep) int dir_fd = -1;
    int err = open_directory(path, &dir_fd, ret_message);
    if (!err)
        err = lock_directory(dir_fd, path, ret_message);
    if (!err)
        err = ensure_format(dir_fd, path, ret_message);
    if (err)
        return err;
    *ret_fd = dir_fd;
    dir_fd = -1;
    return 0;
}

int kvs_directory_mark(const char *path)
{
    KVS_CLEANUP(kvs_closep) int dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0 || fchmod(dir_fd, 0700) != 0)
        return kvs_err_from_errno(errno);
    return write_format(dir_fd);
}
