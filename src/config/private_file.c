// SPDX-License-Identifier: Apache-2.0
#include "config/private_file.h"

#include "base/cleanup.h"
#include "base/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static int fail_errno(struct kvs_message *ret_message, const char *path)
{
    int errnum = errno;
    return kvs_fail(ret_message, kvs_err_from_errno(errnum), "%s: cannot be created: %s", path,
                    strerror(errnum));
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
    if (kvs_write_durably(fd, content) != 0 || link(temporary, path) < 0)
        err = errno == EEXIST ? kvs_fail(ret_message, KVS_ERR_CONFLICT, "%s: exists already", path)
                              : fail_errno(ret_message, path);
    (void)unlink(temporary); // a left-over would be harmless
    if (err == 0 && kvs_sync_folder_of(path) != 0)
        return fail_errno(ret_message, path);
    return err;
}
