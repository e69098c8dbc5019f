// SPDX-License-Identifier: Apache-2.0
// A real node on a real store in a temporary folder, with a clock that the test sets.
#ifndef KVS_TESTS_UNIT_NODE_FIXTURE_H
#define KVS_TESTS_UNIT_NODE_FIXTURE_H

#include "tests/unit/test.h"

#include "node/node.h"
#include "tests/unit/tempdir.h"

#include <sched.h>
#include <stdatomic.h>

struct test_clock {
    struct kvs_clock base;
    _Atomic int64_t wall_ms;
};

struct fixture {
    struct tempdir dir;
    struct test_clock clock;
    struct kvs_metrics *metrics;
    struct kvs_node_options options;
    struct kvs_node *node;
};

enum { TEST_START_MS = 1700000000, TEST_RETENTION_MS = 1000000 };

static inline int64_t test_clock_read(const struct kvs_clock *clock)
{
    return atomic_load(&((struct test_clock *)(uintptr_t)clock)->wall_ms);
}

static inline int64_t test_clock_mono_ns(const struct kvs_clock *clock)
{
    (void)clock;
    return kvs_clock_mono_ns(kvs_clock_system());
}

static inline void fixture_open(struct fixture *f)
{
    struct kvs_message message = {{0}};
    if (kvs_node_open(&f->options, &f->node, &message) != 0)
        fail_msg("%s", message.text);
}

static inline void fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    tempdir_init(&f->dir);
    f->clock.base = (struct kvs_clock){test_clock_read, test_clock_read, test_clock_mono_ns};
    atomic_store(&f->clock.wall_ms, TEST_START_MS);
    assert_int_equal(kvs_metrics_new(&f->metrics), 0);
    f->options = (struct kvs_node_options){
        .data_dir = f->dir.path,
        .node_id = "test",
        .durability = KVS_DURABILITY_ASYNC, // these tests pull no plugs
        .compression = true,
        .compression_level = 3,
        .revisions = 3,
        .tombstone_retention_ms = TEST_RETENTION_MS,
        .clock = &f->clock.base,
        .random = kvs_random_system(),
        .metrics = f->metrics,
    };
}

static inline void fixture_restart(struct fixture *f)
{
    kvs_node_close(f->node);
    f->node = NULL;
    fixture_open(f);
}

static inline void fixture_done(struct fixture *f)
{
    kvs_node_close(f->node);
    kvs_metrics_free(f->metrics);
    tempdir_done(&f->dir);
}

// For cmocka: a new node for each test, in *state.
static inline int fixture_setup(void **state)
{
    struct fixture *f = malloc(sizeof(*f));
    assert_non_null(f);
    fixture_init(f);
    fixture_open(f);
    *state = f;
    return 0;
}

static inline int fixture_teardown(void **state)
{
    fixture_done(*state);
    free(*state);
    return 0;
}

static inline struct kvs_write make_write(enum kvs_write_op op, const char *key, const char *json)
{
    return (struct kvs_write){.op = op,
                              .grant = kvs_auth_open_grant(),
                              .key = kvs_slice_from_str(key),
                              .json = kvs_slice_from_str(json),
                              .ttl_ms = KVS_TTL_DEFAULT};
}

// Returns the new version; fails the test on an error.
static inline struct kvs_version put(struct fixture *f, const char *key, const char *json)
{
    struct kvs_write write = make_write(KVS_WRITE_PUT, key, json);
    assert_int_equal(kvs_node_write_wait(f->node, &write), 0);
    return write.version;
}

// An executor that, on its first task, holds the commit thread up until it is let go: what is
// submitted meanwhile lands in one queue. Later tasks are only counted.
struct stall {
    struct kvs_executor executor;
    _Atomic bool held, let_go;
    _Atomic int posted; // the commit thread looks at nothing here once it has counted the last task
};

static inline void stall_post(struct kvs_executor *executor, struct kvs_task *task)
{
    (void)task;
    struct stall *stall = (struct stall *)executor;
    atomic_store(&stall->held, true);
    while (!atomic_load(&stall->let_go))
        (void)sched_yield();
    atomic_fetch_add(&stall->posted, 1);
}

static inline void submit(struct fixture *f, struct stall *stall, struct kvs_write *write)
{
    write->executor = &stall->executor;
    kvs_node_write(f->node, write);
}

// Returns when the commit thread is held up, by `write`.
static inline void stall_with(struct fixture *f, struct stall *stall, struct kvs_write *write)
{
    *stall = (struct stall){.executor = {.post = stall_post}};
    submit(f, stall, write);
    while (!atomic_load(&stall->held))
        (void)sched_yield();
}

// Returns when all that was submitted has been answered: `stall` may go.
static inline void let_go(struct stall *stall, int submitted)
{
    atomic_store(&stall->let_go, true);
    while (atomic_load(&stall->posted) < submitted)
        (void)sched_yield();
}

static inline int delete_key(struct fixture *f, const char *key)
{
    struct kvs_write write = make_write(KVS_WRITE_DELETE, key, NULL);
    return kvs_node_write_wait(f->node, &write);
}

static inline int get_error(struct fixture *f, const char *key)
{
    struct kvs_record *record = NULL;
    int err = kvs_node_get(f->node, kvs_auth_open_grant(), kvs_slice_from_str(key), KVS_READ_DISK,
                           &record);
    kvs_record_unref(record);
    return err;
}

static inline void assert_value(struct fixture *f, const char *key, const char *json)
{
    struct kvs_record *record = NULL;
    assert_int_equal(kvs_node_get(f->node, kvs_auth_open_grant(), kvs_slice_from_str(key),
                                  KVS_READ_DISK, &record),
                     0);
    assert_true(kvs_slice_eq(kvs_record_key(record), kvs_slice_from_str(key)));
    assert_true(kvs_slice_eq(kvs_record_json(record), kvs_slice_from_str(json)));
    kvs_record_unref(record);
}

// Revisions as one line: "3 2 x" with x for a tombstone or an expired one.
struct history_text {
    struct kvs_buf text;
};

static inline bool append_revision(void *ctx, uint32_t number, const struct kvs_version *version,
                                   struct kvs_slice json)
{
    struct history_text *history = ctx;
    if (number > 1)
        kvs_buf_append_char(&history->text, ' ');
    bool gone = (version->flags & (KVS_VERSION_TOMBSTONE | KVS_VERSION_STUB)) != 0;
    kvs_buf_append_slice(&history->text, gone ? KVS_SLICE("x") : json);
    return true;
}

static inline void assert_history(struct fixture *f, const char *key, const char *expected)
{
    struct history_text history = {KVS_BUF_INIT(1 << 20)};
    uint32_t count = 0;
    assert_int_equal(kvs_node_history(f->node, kvs_auth_open_grant(), kvs_slice_from_str(key),
                                      KVS_READ_DISK, append_revision, &history, &count),
                     0);
    kvs_buf_append_char(&history.text, '\0');
    assert_string_equal(history.text.data, expected);
    kvs_buf_done(&history.text);
}

#endif
