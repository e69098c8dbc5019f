// SPDX-License-Identifier: Apache-2.0
#include "daemon/textfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"

int kvs_textfile_read(int fd, size_t count, char **ret_lines, char **ret_text)
{
    KVS_CLEANUP(kvs_freep) char *text = malloc(KVS_TEXTFILE_SIZE_MAX + 1);
    if (!text)
        return KVS_ERR_NOMEM;
    ssize_t size = pread(fd, text, KVS_TEXTFILE_SIZE_MAX, 0);
    if (size < 0)
        return kvs_err_from_errno(errno);
    text[size] = 0;
    char *at = text;
    for (size_t i = 0; i < count; i++) {
        char *end = strchr(at, '\n'); // stops at a NUL in the file, too
        if (!end)
            return KVS_ERR_SYNTAX;
        *end = 0;
        ret_lines[i] = at;
        at = end + 1;
    }
    if (at != text + size)
        return KVS_ERR_SYNTAX;
    *ret_text = KVS_TAKE(text);
    return 0;
}

static int write_lines(const char *path, size_t count, const char *const *lines)
{
    KVS_CLEANUP(kvs_closep)
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        if (dprintf(fd, "%s\n", lines[i]) < 0)
            return -1;
    }
    return 0;
}

int kvs_textfile_write(const char *path, const char *temporary, size_t count,
                       const char *const *lines, struct kvs_message *ret_message)
{
    if (write_lines(temporary, count, lines) != 0 || rename(temporary, path) != 0) {
        int errnum = errno;
        (void)unlink(temporary); // it may not even exist
        return kvs_fail(ret_message, kvs_err_from_errno(errnum), "cannot write %s: %s", path,
                        strerror(errnum));
    }
    return 0;
}
