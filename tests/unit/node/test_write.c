// SPDX-License-Identifier: Apache-2.0
// Writes and what they leave: versions, conditions, history, order of time, restarts.
#include "tests/unit/node/fixture.h"

// An executor that only counts.
struct counter {
    struct kvs_executor executor;
    _Atomic int posted;
};

static void count_post(struct kvs_executor *executor, struct kvs_task *task)
{
    (void)task;
    atomic_fetch_add(&((struct counter *)executor)->posted, 1);
}

static void a_put_is_read_back_and_survives_a_restart(void **state)
{
    struct fixture *f = *state;
    struct kvs_write write = make_write(KVS_WRITE_PUT, "a", "{\"n\":1.0}");
    assert_int_equal(kvs_node_write_wait(f->node, &write), 0);
    assert_true(write.created);
    assert_int_equal(write.version.timestamp, TEST_START_MS);
    assert_value(f, "a", "{\"n\":1.0}");
    write = make_write(KVS_WRITE_PUT, "a", "2");
    assert_int_equal(kvs_node_write_wait(f->node, &write), 0);
    assert_false(write.created);
    fixture_restart(f);
    assert_value(f, "a", "2");
}

static void a_write_beats_what_it_replaces_whatever_the_clock_says(void **state)
{
    struct fixture *f = *state;
    struct kvs_version first = put(f, "a", "1");
    struct kvs_version second = put(f, "a", "2"); // the same millisecond
    assert_true(second.timestamp > first.timestamp);
    atomic_store(&f->clock.wall_ms, TEST_START_MS - 100000);
    struct kvs_version third = put(f, "a", "3");
    assert_true(third.timestamp > second.timestamp);
    fixture_restart(f);
    struct kvs_version other = put(f, "b", "1");
    assert_true(other.timestamp >= TEST_START_MS); // the node's clock survived the restart
    assert_value(f, "a", "3");
}

static void a_group_sees_its_own_earlier_writes(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 500 };
    struct kvs_write *writes = calloc(COUNT, sizeof(*writes));
    struct counter counter = {{.post = count_post},
                              0}; // submitted without waiting: many land in one group
    for (int i = 0; i < COUNT; i++) {
        writes[i] = make_write(KVS_WRITE_PUT, "same", "0");
        writes[i].condition = KVS_CONDITION_NOT_EXISTS;
        writes[i].executor = &counter.executor;
        kvs_node_write(f->node, &writes[i]);
    }
    while (atomic_load(&counter.posted) < COUNT)
        (void)get_error(f, "same");
    int won = 0;
    for (int i = 0; i < COUNT; i++)
        won += writes[i].err == 0;
    assert_int_equal(won, 1);
    free(writes);
}

// Stands in for an event loop, whose thread is the test's.
struct loop {
    struct kvs_executor executor;
    _Atomic int posted;
    void (*idle)(void *ctx);
    void *idle_ctx;
};

static void loop_post(struct kvs_executor *executor, struct kvs_task *task)
{
    (void)task;
    atomic_fetch_add(&((struct loop *)executor)->posted, 1);
}

static bool loop_call_idle(struct kvs_executor *executor, void (*call)(void *ctx), void *ctx)
{
    struct loop *loop = (struct loop *)executor;
    loop->idle = call;
    loop->idle_ctx = ctx;
    return true;
}

static void loop_await(const struct loop *loop, int posted)
{
    while (atomic_load(&loop->posted) < posted)
        (void)sched_yield();
}

static void writes_of_a_loop_are_committed_when_it_is_idle(void **state)
{
    struct fixture *f = *state;
    enum { ROUNDS = 300, EACH = 3 };
    struct loop loop = {.executor = {.post = loop_post, .call_idle = loop_call_idle}};
    for (int round = 1; round <= ROUNDS; round++) {
        struct kvs_write writes[EACH];
        for (int i = 0; i < EACH; i++) {
            writes[i] = make_write(KVS_WRITE_PUT, "a", i + 1 < EACH ? "1" : "2");
            writes[i].executor = &loop.executor;
            kvs_node_write(f->node, &writes[i]);
        }
        if (loop.idle) // the commit thread slept: nobody but us wakes it
            loop.idle(loop.idle_ctx);
        loop.idle = NULL;
        loop_await(&loop, round * EACH);
        for (int i = 0; i < EACH; i++)
            assert_int_equal(writes[i].err, 0);
        assert_value(f, "a", "2");
    }
}

static void nobody_else_waits_for_a_loop_that_is_not_idle(void **state)
{
    struct fixture *f = *state;
    enum { ROUNDS = 300 };
    struct loop loop = {.executor = {.post = loop_post, .call_idle = loop_call_idle}};
    for (int round = 1; round <= ROUNDS; round++) {
        struct kvs_write write = make_write(KVS_WRITE_PUT, "a", "1");
        write.executor = &loop.executor;
        kvs_node_write(f->node, &write);
        put(f, "b", "2");         // returns, although the loop never says that it is idle
        loop_await(&loop, round); // and its write was before that in the queue
        assert_int_equal(write.err, 0);
    }
}

static void many_writes_of_a_loop_do_not_wait_until_it_is_idle(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 1000 };
    struct loop loop = {.executor = {.post = loop_post, .call_idle = loop_call_idle}};
    struct kvs_write *writes = calloc(COUNT, sizeof(*writes));
    assert_non_null(writes);
    for (int i = 0; i < COUNT; i++) {
        writes[i] = make_write(KVS_WRITE_PUT, "a", "1");
        writes[i].executor = &loop.executor;
    }
    kvs_node_write_group(f->node, writes, COUNT);
    loop_await(&loop, COUNT);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(writes[i].err, 0);
    free(writes);
}

static void a_flood_of_restores_is_committed_in_groups_of_bounded_size(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 40, VALUE_SIZE = 1 << 20 }; // nothing in such a write says how large it becomes
    char *json = malloc(VALUE_SIZE + 1);
    memset(json, '1', VALUE_SIZE);
    json[VALUE_SIZE] = '\0';
    put(f, "a", json);
    struct kvs_write writes[COUNT];
    struct kvs_write first = make_write(KVS_WRITE_PUT, "b", "1");
    struct stall stall;
    stall_with(f, &stall, &first);
    uint64_t before = kvs_metrics_counter(f->metrics, KVS_METRIC_COMMITS);
    for (int i = 0; i < COUNT; i++) {
        writes[i] = make_write(KVS_WRITE_RESTORE, "a", NULL);
        writes[i].revision = 1;
        submit(f, &stall, &writes[i]);
    }
    let_go(&stall, COUNT + 1);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(writes[i].err, 0);
    assert_int_equal(kvs_metrics_counter(f->metrics, KVS_METRIC_COMMITS) - before, 3);
    assert_value(f, "a", json);
    free(json);
}

static void conditions_hold_or_refuse(void **state)
{
    struct fixture *f = *state;
    const struct {
        const char *key;
        enum kvs_condition condition;
        size_t uuid_count; // of {no version's, the current one's}
        int err;
    } cases[] = {
        {"a", KVS_CONDITION_EXISTS, 0, 0},
        {"b", KVS_CONDITION_EXISTS, 0, KVS_ERR_PRECONDITION},
        {"a", KVS_CONDITION_NOT_EXISTS, 0, KVS_ERR_PRECONDITION},
        {"a", KVS_CONDITION_UUIDS, 1, KVS_ERR_PRECONDITION},
        {"b", KVS_CONDITION_UUIDS, 2, KVS_ERR_PRECONDITION},
        {"a", KVS_CONDITION_NOT_UUIDS, 2, KVS_ERR_PRECONDITION},
        {"a", KVS_CONDITION_NOT_UUIDS, 1, 0},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++) {
        const struct kvs_uuid uuids[2] = {{{1}}, put(f, "a", "1").uuid};
        struct kvs_write write = make_write(KVS_WRITE_DELETE, cases[i].key, NULL);
        write.condition = cases[i].condition;
        write.condition_uuids = uuids;
        write.condition_uuid_count = cases[i].uuid_count;
        assert_int_equal(kvs_node_write_wait(f->node, &write), cases[i].err);
    }
    struct kvs_write write = make_write(KVS_WRITE_PUT, "c", "1");
    const struct kvs_uuid matching = put(f, "c", "0").uuid;
    write.condition = KVS_CONDITION_UUIDS;
    write.condition_uuids = &matching;
    write.condition_uuid_count = 1;
    assert_int_equal(kvs_node_write_wait(f->node, &write), 0);
    assert_int_equal(kvs_node_write_wait(f->node, &write), KVS_ERR_PRECONDITION);
}

static void deleting_hides_and_deleting_twice_is_not_found(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(delete_key(f, "a"), KVS_ERR_NOT_FOUND);
    put(f, "a", "1");
    assert_int_equal(delete_key(f, "a"), 0);
    assert_int_equal(get_error(f, "a"), KVS_ERR_NOT_FOUND);
    assert_int_equal(delete_key(f, "a"), KVS_ERR_NOT_FOUND);
    fixture_restart(f);
    assert_int_equal(get_error(f, "a"), KVS_ERR_NOT_FOUND);
    struct kvs_write write = make_write(KVS_WRITE_PUT, "a", "2");
    assert_int_equal(kvs_node_write_wait(f->node, &write), 0);
    assert_true(write.created);
    assert_history(f, "a", "2 x 1");
}

static void history_is_newest_first_bounded_and_restorable(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1");
    put(f, "a/b", "9"); // a neighbour whose versions must not leak in
    put(f, "a", "2");
    put(f, "a", "3");
    put(f, "a", "4");
    assert_history(f, "a", "4 3 2");
    assert_history(f, "a/b", "9");
    assert_history(f, "none", "");
    struct kvs_write restore = make_write(KVS_WRITE_RESTORE, "a", NULL);
    restore.revision = 3;
    assert_int_equal(kvs_node_write_wait(f->node, &restore), 0);
    assert_value(f, "a", "2");
    assert_history(f, "a", "2 4 3");
    restore.revision = 4;
    assert_int_equal(kvs_node_write_wait(f->node, &restore), KVS_ERR_NOT_FOUND);
    assert_int_equal(delete_key(f, "a"), 0);
    restore.revision = 1; // the tombstone
    assert_int_equal(kvs_node_write_wait(f->node, &restore), KVS_ERR_NOT_FOUND);
    restore.revision = 2;
    assert_int_equal(kvs_node_write_wait(f->node, &restore), 0);
    assert_value(f, "a", "2");
    assert_history(f, "a", "2 x 2");
}

static void a_read_only_node_refuses_writes(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1");
    f->options.read_only = true;
    fixture_restart(f);
    struct kvs_write write = make_write(KVS_WRITE_PUT, "a", "2");
    struct counter counter = {{.post = count_post}, 0};
    write.executor = &counter.executor;
    kvs_node_write(f->node, &write);
    assert_int_equal(counter.posted, 1);
    assert_int_equal(write.err, KVS_ERR_READ_ONLY);
    assert_value(f, "a", "1");
}

static void the_identity_stays_and_the_log_counts_on(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1");
    put(f, "b", "1");
    struct kvs_node_status before;
    struct kvs_node_status after;
    assert_int_equal(kvs_node_status(f->node, &before), 0);
    assert_int_equal(before.log_seq, 2);
    assert_true(before.writable);
    assert_int_equal(before.self.joined_timestamp, TEST_START_MS);
    atomic_fetch_add(&f->clock.wall_ms, 1000);
    fixture_restart(f);
    struct kvs_version version = put(f, "a", "2");
    assert_int_equal(version.writer_seq, 3);
    assert_int_equal(kvs_node_status(f->node, &after), 0);
    assert_int_equal(after.log_seq, 3);
    assert_memory_equal(&before.self, &after.self, sizeof(before.self));
}

static void a_second_node_on_the_directory_is_refused(void **state)
{
    struct fixture *f = *state;
    struct kvs_node *second = NULL;
    struct kvs_message message = {{0}};
    assert_int_equal(kvs_node_open(&f->options, &second, &message), KVS_ERR_BUSY);
    assert_non_null(strstr(message.text, "in use"));
    put(f, "a", "1"); // the first goes on unharmed
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(a_put_is_read_back_and_survives_a_restart),
        TEST(a_write_beats_what_it_replaces_whatever_the_clock_says),
        TEST(a_group_sees_its_own_earlier_writes),
        TEST(writes_of_a_loop_are_committed_when_it_is_idle),
        TEST(nobody_else_waits_for_a_loop_that_is_not_idle),
        TEST(many_writes_of_a_loop_do_not_wait_until_it_is_idle),
        TEST(a_flood_of_restores_is_committed_in_groups_of_bounded_size),
        TEST(conditions_hold_or_refuse),
        TEST(deleting_hides_and_deleting_twice_is_not_found),
        TEST(history_is_newest_first_bounded_and_restorable),
        TEST(a_read_only_node_refuses_writes),
        TEST(the_identity_stays_and_the_log_counts_on),
        TEST(a_second_node_on_the_directory_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
