// SPDX-License-Identifier: Apache-2.0
// A folder of its own for each test: DIR/home is the user's home, configs go where tests like.
#ifndef KVS_TESTS_UNIT_DAEMON_TEMP_HOME_H
#define KVS_TESTS_UNIT_DAEMON_TEMP_HOME_H

#include "tests/unit/test.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/home.h"

struct temp_home {
    char dir[PATH_MAX]; // canonical
    struct kvs_home *home;
};

static inline int temp_home_setup(void **state)
{
    struct temp_home *temp = calloc(1, sizeof(*temp));
    assert_non_null(temp);
    char pattern[] = "/tmp/kvs-test-XXXXXX";
    assert_non_null(mkdtemp(pattern));
    assert_non_null(realpath(pattern, temp->dir));
    char home[PATH_MAX + 8];
    (void)snprintf(home, sizeof(home), "%s/home", temp->dir);
    assert_int_equal(mkdir(home, 0755), 0);
    assert_int_equal(kvs_home_open(home, &temp->home, NULL), 0);
    *state = temp;
    return 0;
}

static inline int temp_home_remove(const char *path, const struct stat *status, int type,
                                   struct FTW *ftw)
{
    (void)status;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline int temp_home_teardown(void **state)
{
    struct temp_home *temp = *state;
    kvs_home_free(temp->home);
    assert_int_equal(nftw(temp->dir, temp_home_remove, 16, FTW_DEPTH | FTW_PHYS), 0);
    free(temp);
    return 0;
}

// Creates DIR/`folder`/`file` with `text`; the returned path is static.
static inline const char *temp_file(const struct temp_home *temp, const char *folder,
                                    const char *file, const char *text)
{
    static char path[2 * PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/%s", temp->dir, folder);
    (void)mkdir(path, 0755);
    (void)snprintf(path, sizeof(path), "%s/%s/%s", temp->dir, folder, file);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
    return path;
}

#endif
