// SPDX-License-Identifier: Apache-2.0
#include "daemon/home.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int make_folder(const char *path, struct kvs_message *ret_message)
{
    struct stat status;
    if (mkdir(path, 0700) == 0)
        return 0;
    if (errno != EEXIST)
        return kvs_fail(ret_message, kvs_err_from_errno(errno), "cannot create %s: %s", path,
                        strerror(errno));
    if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode))
        return kvs_fail(ret_message, KVS_ERR_IO, "%s is no directory: move it away", path);
    return 0;
}

static int make_folders(const struct kvs_home *home, struct kvs_message *ret_message)
{
    static const char *const folders[] = {"pids", "logs", "instances"};
    int err = make_folder(home->root, ret_message);
    for (size_t i = 0; err == 0 && i < KVS_ARRAY_SIZE(folders); i++) {
        KVS_CLEANUP(kvs_freep) char *path = kvs_home_path(home, folders[i], "", "");
        err = path ? make_folder(path, ret_message)
                   : kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    }
    return err;
}

int kvs_home_open(const char *user_home, struct kvs_home **ret_home,
                  struct kvs_message *ret_message)
{
    if (!user_home || user_home[0] != '/')
        return kvs_fail(ret_message, KVS_ERR_INVALID,
                        "HOME is %s: KVS keeps PID and log files in $HOME/.kvs: set HOME to the "
                        "absolute path of a writable directory",
                        user_home && user_home[0] ? "not an absolute path" : "not set");
    KVS_CLEANUP(kvs_home_freep) struct kvs_home *home = calloc(1, sizeof(*home));
    if (!home)
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    home->lock_fd = -1;
    if (asprintf(&home->root, "%s/.kvs", strcmp(user_home, "/") == 0 ? "" : user_home) < 0) {
        home->root = NULL;
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    }
    int err = make_folders(home, ret_message);
    if (err != 0)
        return err;
    KVS_CLEANUP(kvs_freep) char *lock_path = kvs_home_path(home, "lock", NULL, "");
    if (!lock_path)
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    home->lock_fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (home->lock_fd < 0)
        return kvs_fail(ret_message, kvs_err_from_errno(errno), "cannot open %s: %s", lock_path,
                        strerror(errno));
    *ret_home = KVS_TAKE(home);
    return 0;
}

void kvs_home_free(struct kvs_home *home)
{
    if (!home)
        return;
    kvs_closep(&home->lock_fd);
    free(home->root);
    free(home);
}

int kvs_home_lock(struct kvs_home *home, struct kvs_message *ret_message)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    while (fcntl(home->lock_fd, F_OFD_SETLKW, &lock) != 0) {
        if (errno != EINTR)
            return kvs_fail(ret_message, kvs_err_from_errno(errno), "cannot lock %s/lock: %s",
                            home->root, strerror(errno));
    }
    return 0;
}

void kvs_home_unlock(struct kvs_home *home)
{
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    (void)fcntl(home->lock_fd, F_OFD_SETLK, &lock); // unlocking what we hold cannot fail
}

char *kvs_home_path(const struct kvs_home *home, const char *folder, const char *name,
                    const char *suffix)
{
    char *path = NULL;
    if (asprintf(&path, "%s/%s%s%s%s", home->root, folder, name ? "/" : "", name ? name : "",
                 suffix) < 0)
        return NULL;
    return path;
}
