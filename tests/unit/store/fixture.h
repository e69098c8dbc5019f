// SPDX-License-Identifier: Apache-2.0
// A store in a temporary directory of its own, and short names for what tests do with it.
#ifndef KVS_TESTS_UNIT_STORE_FIXTURE_H
#define KVS_TESTS_UNIT_STORE_FIXTURE_H

#include "tests/unit/test.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

#include "store/store.h"

struct fixture {
    char dir[64];  // exists; removed with everything in it
    char path[96]; // dir/store
    struct kvs_store *store;
    struct kvs_store_options options;
};

static inline int fixture_remove_one(const char *path, const struct stat *stat, int type,
                                     struct FTW *ftw)
{
    (void)stat;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void fixture_remove(const char *path)
{
    assert_int_equal(nftw(path, fixture_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static inline void fixture_open(struct fixture *f)
{
    struct kvs_message message = {0};
    if (kvs_store_open(&f->options, &f->store, &message) != 0)
        fail_msg("%s", message.text);
}

static inline void fixture_close(struct fixture *f)
{
    kvs_store_close(f->store);
    f->store = NULL;
}

static inline void fixture_reopen(struct fixture *f)
{
    fixture_close(f);
    fixture_open(f);
}

static inline void fixture_init(struct fixture *f)
{
    *f = (struct fixture){0};
    const char *base = getenv("TMPDIR");
    (void)snprintf(f->dir, sizeof(f->dir), "%.40s/kvs-test-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->path, sizeof(f->path), "%s/store", f->dir);
    f->options =
        (struct kvs_store_options){.path = f->path, .compression = true, .compression_level = 3};
}

static inline int fixture_setup(void **state)
{
    struct fixture *f = malloc(sizeof(*f));
    fixture_init(f);
    fixture_open(f);
    *state = f;
    return 0;
}

static inline int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    fixture_close(f);
    fixture_remove(f->dir);
    free(f);
    return 0;
}

static inline int try_put(struct fixture *f, enum kvs_family family, struct kvs_slice key,
                          struct kvs_slice value)
{
    struct kvs_store_batch *batch = kvs_store_batch_new(f->store);
    kvs_store_batch_put(batch, family, key, value);
    int err = kvs_store_write(f->store, batch, KVS_DURABILITY_SYNC);
    kvs_store_batch_free(batch);
    return err;
}

static inline void put(struct fixture *f, enum kvs_family family, struct kvs_slice key,
                       struct kvs_slice value)
{
    assert_int_equal(try_put(f, family, key, value), 0);
}

// The value is in a buffer of its own: free it with kvs_buf_done.
static inline int get(struct fixture *f, enum kvs_family family, struct kvs_slice key,
                      enum kvs_read_mode mode, struct kvs_buf *ret_value)
{
    *ret_value = KVS_BUF_INIT(8 << 20);
    return kvs_store_get(f->store, family, key, mode, ret_value);
}

#define assert_stored(f, family, key, literal)                                                     \
    do {                                                                                           \
        struct kvs_buf value_;                                                                     \
        assert_int_equal(get((f), (family), (key), KVS_READ_DISK, &value_), 0);                    \
        assert_slice_equal(kvs_buf_slice(&value_), literal);                                       \
        kvs_buf_done(&value_);                                                                     \
    } while (0)

#define assert_not_stored(f, family, key)                                                          \
    do {                                                                                           \
        struct kvs_buf value_;                                                                     \
        assert_int_equal(get((f), (family), (key), KVS_READ_DISK, &value_), KVS_ERR_NOT_FOUND);    \
        kvs_buf_done(&value_);                                                                     \
    } while (0)

#endif
