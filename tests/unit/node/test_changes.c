// SPDX-License-Identifier: Apache-2.0
// The change log as readers see it, over restarts and trimming, and being told of what is new.
#include "tests/unit/node/fixture.h"

#include "node/changes.h"
#include "node/node_internal.h"

struct seen {
    char text[4096]; // "seq:key[-] …"
    size_t stop_at;  // so many; 0 = never
    size_t count;
};

static bool see(void *ctx, const struct kvs_change *change)
{
    struct seen *seen = ctx;
    if (seen->stop_at > 0 && seen->count == seen->stop_at)
        return false;
    size_t used = strlen(seen->text);
    (void)snprintf(seen->text + used, sizeof(seen->text) - used, "%llu:%.*s%s ",
                   (unsigned long long)change->seq, KVS_SLICE_FMT(change->key),
                   change->flags & KVS_VERSION_TOMBSTONE ? "-" : "");
    seen->count++;
    return true;
}

static int read_changes(struct fixture *f, struct seen *seen, const char *prefix, uint64_t *since,
                        uint32_t walk_max, bool *ret_more)
{
    const struct kvs_changes_query query = {.since = *since,
                                            .prefix = kvs_slice_from_str(prefix),
                                            .walk_max = walk_max,
                                            .visit = see,
                                            .ctx = seen};
    return kvs_node_changes(f->node, kvs_auth_open_grant(), &query, KVS_READ_DISK, since, ret_more);
}

static void assert_changes(struct fixture *f, const char *prefix, uint64_t since,
                           const char *expected, uint64_t expected_since)
{
    struct seen seen = {0};
    bool more = true;
    assert_int_equal(read_changes(f, &seen, prefix, &since, 0, &more), 0);
    assert_string_equal(seen.text, expected);
    assert_int_equal(since, expected_since);
    assert_false(more);
}

static void changes_come_in_the_nodes_order(void **state)
{
    struct fixture *f = *state;
    assert_changes(f, "", 0, "", 0);
    put(f, "a/1", "1");
    put(f, "b", "1");
    put(f, "\x01user/1", "1"); // nobody's business
    put(f, "a/1", "2");
    assert_int_equal(delete_key(f, "b"), 0);
    assert_changes(f, "", 0, "1:a/1 2:b 4:a/1 5:b- ", 5);
    assert_changes(f, "", 2, "4:a/1 5:b- ", 5);
    assert_changes(f, "", 5, "", 5);
    assert_changes(f, "a/", 0, "1:a/1 4:a/1 ", 5);
    assert_changes(f, "\x01", 0, "", 5);
    fixture_restart(f);
    assert_changes(f, "", 2, "4:a/1 5:b- ", 5);
    put(f, "c", "1");
    assert_changes(f, "", 4, "5:b- 6:c ", 6);
}

static void a_reading_goes_on_where_it_stopped(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 10; i++)
        put(f, i % 3 == 0 ? "x" : "y", "1");
    struct seen seen = {.stop_at = 2};
    uint64_t since = 0;
    bool more = false;
    assert_int_equal(read_changes(f, &seen, "x", &since, 0, &more), 0);
    assert_string_equal(seen.text, "1:x 4:x ");
    assert_int_equal(since, 6); // what is hidden counts as read
    assert_true(more);
    seen.stop_at = 0;
    assert_int_equal(read_changes(f, &seen, "x", &since, 2, &more), 0);
    assert_string_equal(seen.text, "1:x 4:x 7:x ");
    assert_int_equal(since, 8);
    assert_true(more);
    assert_int_equal(read_changes(f, &seen, "x", &since, 2, &more), 0);
    assert_string_equal(seen.text, "1:x 4:x 7:x 10:x ");
    assert_false(more);
}

static void what_is_not_kept_is_gone(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 10; i++)
        put(f, "k", "1");
    struct kvs_write write = {.op = KVS_WRITE_TRIM_LOG, .log_floor = 6};
    assert_int_equal(kvs_node_write_wait(f->node, &write), 0);
    struct kvs_changes_bounds bounds = kvs_node_changes_bounds(f->node);
    assert_int_equal(bounds.oldest, 6);
    assert_int_equal(bounds.newest, 10);
    for (int round = 0; round < 2; round++) {
        struct seen seen = {0};
        bool more = false;
        for (uint64_t since = 0; since < 5; since++) {
            uint64_t at = since;
            assert_int_equal(read_changes(f, &seen, "", &at, 0, &more), KVS_ERR_GONE);
        }
        uint64_t future = 11;
        assert_int_equal(read_changes(f, &seen, "", &future, 0, &more), KVS_ERR_GONE);
        future = UINT64_MAX;
        assert_int_equal(read_changes(f, &seen, "", &future, 0, &more), KVS_ERR_GONE);
        assert_changes(f, "", 5, "6:k 7:k 8:k 9:k 10:k ", 10);
        fixture_restart(f);
    }
    // Trimmed between the look at the bounds and the reading.
    atomic_store(&f->node->log_floor, 1);
    struct seen seen = {0};
    uint64_t since = 2;
    bool more = false;
    assert_int_equal(read_changes(f, &seen, "", &since, 0, &more), KVS_ERR_GONE);
    assert_string_equal(seen.text, "");
}

// ---- Being told

struct teller {
    struct kvs_executor executor;
    _Atomic int posted;
};

static void teller_post(struct kvs_executor *executor, struct kvs_task *task)
{
    (void)task;
    atomic_fetch_add(&((struct teller *)executor)->posted, 1);
}

static void who_waits_is_told_once(void **state)
{
    struct fixture *f = *state;
    struct teller teller = {{.post = teller_post}, 0};
    struct kvs_changes_wait waits[3];
    put(f, "a", "1");
    for (size_t i = 0; i < KVS_ARRAY_SIZE(waits); i++) {
        waits[i] = (struct kvs_changes_wait){.executor = &teller.executor};
        kvs_node_changes_wait(f->node, &waits[i], 1);
    }
    assert_int_equal(teller.posted, 0);
    assert_true(kvs_node_changes_unwait(f->node, &waits[1]));
    assert_false(kvs_node_changes_unwait(f->node, &waits[1]));
    put(f, "b", "1");
    while (atomic_load(&teller.posted) < 2)
        (void)sched_yield();
    assert_false(kvs_node_changes_unwait(f->node, &waits[0]));
    put(f, "c", "1");
    assert_int_equal(teller.posted, 2);
    kvs_node_changes_wait(f->node, &waits[0], 2); // there is more already
    assert_int_equal(teller.posted, 3);
    assert_false(kvs_node_changes_unwait(f->node, &waits[0]));
}

static void nobody_is_told_of_what_is_no_change(void **state)
{
    struct fixture *f = *state;
    struct teller teller = {{.post = teller_post}, 0};
    struct kvs_changes_wait wait = {.executor = &teller.executor};
    kvs_node_changes_wait(f->node, &wait, 0);
    assert_int_equal(delete_key(f, "none"), KVS_ERR_NOT_FOUND);
    assert_true(kvs_node_changes_unwait(f->node, &wait));
    assert_int_equal(teller.posted, 0);
}

// Readers that always wait for the next change, while others write: nothing is missed.
static void no_change_is_missed_under_load(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 2000 };
    struct stall stall = {.executor = {.post = stall_post}, .let_go = true};
    struct kvs_write *writes = calloc(COUNT, sizeof(*writes));
    for (int i = 0; i < COUNT; i++) {
        writes[i] = make_write(KVS_WRITE_PUT, "k", "1");
        submit(f, &stall, &writes[i]);
    }
    uint64_t since = 0;
    size_t total = 0;
    while (total < COUNT) {
        struct teller teller = {{.post = teller_post}, 0};
        struct kvs_changes_wait wait = {.executor = &teller.executor};
        kvs_node_changes_wait(f->node, &wait, since);
        while (atomic_load(&teller.posted) == 0)
            (void)sched_yield();
        assert_false(kvs_node_changes_unwait(f->node, &wait));
        uint64_t before = since;
        bool more = false;
        struct seen seen = {.stop_at = 50};
        assert_int_equal(read_changes(f, &seen, "", &since, 0, &more), 0);
        assert_int_equal(since - before, seen.count);
        total += seen.count;
    }
    while (atomic_load(&stall.posted) < COUNT)
        (void)sched_yield();
    assert_int_equal(total, COUNT);
    free(writes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(changes_come_in_the_nodes_order, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(a_reading_goes_on_where_it_stopped, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(what_is_not_kept_is_gone, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(who_waits_is_told_once, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(nobody_is_told_of_what_is_no_change, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(no_change_is_missed_under_load, fixture_setup,
                                        fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
