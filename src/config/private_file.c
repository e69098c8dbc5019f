// SPDX-License-Identifier: Apache-2.0
#include "config/private_file.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int fail_errno(struct kvs_message *ret_message, const char *path)
{
    int errnum = errno;
    return kvs_fail(ret_message, kvs_err_from_errno(errnum), "%s: cannot be created: %s", path,
                    strerror(errnum));
}

static int write_all(int fd, struct kvs_slice content)
{
    while (content.size > 0) {
        ssize_t written = write(fd, content.data, content.size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -1;
        content = kvs_slice(content.data + written, content.size - (size_t)written);
    }
    return fsync(fd);
}

static int sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    KVS_CLEANUP(kvs_freep)
    char *folder = slash ? strndup(path, slash > path ? (size_t)(slash - path) : 1) : strdup(".");
    if (!folder)
        return -1;
    KVS_CLEANUP(kvs_closep) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -1 : fsync(fd);
}

// link(2) is what makes it appear whole and only once: rename would replace another's file.
int kvs_private_file_create(const char *path, struct kvs_slice content,
                            struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_freep) char *temporary = NULL;
    if (asprintf(&temporary, "%s.XXXXXX", path) < 0) {
        temporary = NULL;
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "%s: out of memory", path);
    }
    KVS_CLEANUP(kvs_closep) int fd = mkostemp(temporary, O_CLOEXEC); // mode 0600
    if (fd < 0)
        return fail_errno(ret_message, path);
    int err = 0;
    if (write_all(fd, content) < 0 || link(temporary, path) < 0)
        err = errno == EEXIST ? kvs_fail(ret_message, KVS_ERR_CONFLICT, "%s: exists already", path)
                              : fail_errno(ret_message, path);
    (void)unlink(temporary); // a left-over would be harmless
    if (err == 0 && sync_folder(path) < 0)
        return fail_errno(ret_message, path);
    return err;
}
