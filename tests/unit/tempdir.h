// SPDX-License-Identifier: Apache-2.0
// A temporary folder of a test's own, removed with everything in it.
#ifndef KVS_TESTS_UNIT_TEMPDIR_H
#define KVS_TESTS_UNIT_TEMPDIR_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

struct tempdir {
    char path[64];
};

static inline void tempdir_init(struct tempdir *dir)
{
    (void)snprintf(dir->path, sizeof(dir->path), "/tmp/kvs-unit-XXXXXX");
    assert_non_null(mkdtemp(dir->path));
}

static inline int tempdir_remove_one(const char *path, const struct stat *status, int kind,
                                     struct FTW *ftw)
{
    (void)status;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static inline void tempdir_done(struct tempdir *dir)
{
    assert_int_equal(nftw(dir->path, tempdir_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

#endif
