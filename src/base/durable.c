// SPDX-License-Identifier: Apache-2.0
#include "base/durable.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

int kvs_write_durably(int fd, struct kvs_slice content)
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

int kvs_sync_folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    KVS_CLEANUP(kvs_freep)
    char *folder = slash ? strndup(path, slash > path ? (size_t)(slash - path) : 1) : strdup(".");
    if (!folder)
        return -1;
    KVS_CLEANUP(kvs_closep) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -1 : fsync(fd);
}

int kvs_sync_folders_above(const char *path)
{
    KVS_CLEANUP(kvs_freep) char *copy = strdup(path);
    if (!copy)
        return -1;
    for (size_t size = strlen(copy); size > 1; size = strlen(copy)) {
        if (copy[size - 1] != '/' && kvs_sync_folder_of(copy) != 0 && errno != EACCES &&
            errno != EPERM && errno != EINVAL && errno != EROFS)
            return -1;
        char *slash = strrchr(copy, '/');
        if (!slash)
            return 0;
        *slash = '\0';
    }
    return 0;
}
