// SPDX-License-Identifier: Apache-2.0
// TTL, tombstones and what housekeeping makes of them.
#include "tests/unit/node/fixture.h"

static void put_with_ttl(struct fixture *f, const char *key, const char *json, int64_t ttl_ms)
{
    struct kvs_write write = make_write(KVS_WRITE_PUT, key, json);
    write.ttl_ms = ttl_ms;
    assert_int_equal(kvs_node_write_wait(f->node, &write), 0);
}

static void advance(struct fixture *f, int64_t ms)
{
    atomic_fetch_add(&f->clock.wall_ms, ms);
}

static uint64_t stored_versions(struct fixture *f)
{
    struct kvs_node_status status;
    assert_int_equal(kvs_node_status(f->node, &status), 0);
    return status.store.keys_estimate[KVS_FAMILY_DATA];
}

static void an_expired_record_is_gone_at_once_and_for_good(void **state)
{
    struct fixture *f = *state;
    put_with_ttl(f, "a", "1", 1000);
    advance(f, 999);
    assert_value(f, "a", "1");
    advance(f, 1);
    assert_int_equal(get_error(f, "a"), KVS_ERR_NOT_FOUND);
    fixture_restart(f);
    assert_int_equal(get_error(f, "a"), KVS_ERR_NOT_FOUND);
    assert_int_equal(kvs_node_housekeep(f->node), 0);
    assert_int_equal(get_error(f, "a"), KVS_ERR_NOT_FOUND);
    assert_history(f, "a", "");
    assert_int_equal(kvs_metrics_counter(f->metrics, KVS_METRIC_EXPIRED_RECORDS), 1);
}

static void an_overwrite_takes_the_ttl_away(void **state)
{
    struct fixture *f = *state;
    put_with_ttl(f, "a", "1", 1000);
    put_with_ttl(f, "a", "2", KVS_TTL_NONE);
    advance(f, 5000);
    assert_int_equal(kvs_node_housekeep(f->node), 0);
    assert_value(f, "a", "2");
}

static void the_default_ttl_applies_unless_the_write_says_otherwise(void **state)
{
    struct fixture *f = *state;
    f->options.default_ttl_ms = 1000;
    fixture_restart(f);
    put(f, "a", "1");
    put_with_ttl(f, "b", "1", KVS_TTL_NONE);
    put_with_ttl(f, "c", "1", 5000);
    advance(f, 1000);
    assert_int_equal(get_error(f, "a"), KVS_ERR_NOT_FOUND);
    assert_value(f, "b", "1");
    assert_value(f, "c", "1");
}

static void an_expired_version_does_not_uncover_the_one_below(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1");
    put_with_ttl(f, "a", "2", 1000);
    advance(f, 1000);
    assert_int_equal(kvs_node_housekeep(f->node), 0);
    assert_int_equal(get_error(f, "a"), KVS_ERR_NOT_FOUND);
    assert_history(f, "a", "x 1"); // the payload is gone, what was below stays restorable
    struct kvs_write restore = make_write(KVS_WRITE_RESTORE, "a", NULL);
    restore.revision = 2;
    assert_int_equal(kvs_node_write_wait(f->node, &restore), 0);
    assert_value(f, "a", "1");
    advance(f, 10 * TEST_RETENTION_MS);
    assert_int_equal(kvs_node_housekeep(f->node), 0);
    assert_value(f, "a", "1");
}

static void history_below_an_expired_version_goes_after_the_retention(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1");
    put_with_ttl(f, "a", "2", 1000);
    advance(f, 1000);
    assert_int_equal(kvs_node_housekeep(f->node), 0);
    assert_history(f, "a", "x 1");
    advance(f, TEST_RETENTION_MS);
    assert_int_equal(kvs_node_housekeep(f->node), 0);
    assert_history(f, "a", "");
    assert_int_equal(get_error(f, "a"), KVS_ERR_NOT_FOUND);
}

static void a_tombstone_keeps_history_until_it_is_old(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1");
    assert_int_equal(delete_key(f, "a"), 0);
    advance(f, TEST_RETENTION_MS - 1);
    assert_int_equal(kvs_node_housekeep(f->node), 0);
    assert_history(f, "a", "x 1");
    advance(f, 2);
    assert_int_equal(kvs_node_housekeep(f->node), 0);
    assert_history(f, "a", "");
    put(f, "a", "2");
    advance(f, 2 * TEST_RETENTION_MS); // the old due entry must not touch the new record
    assert_int_equal(kvs_node_housekeep(f->node), 0);
    assert_value(f, "a", "2");
}

static void housekeeping_reclaims_many_and_then_writes_nothing(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 600 };
    for (int i = 0; i < COUNT; i++) {
        char key[32];
        (void)snprintf(key, sizeof(key), "k%d", i);
        put_with_ttl(f, key, "1", 1000);
    }
    put(f, "stays", "1");
    advance(f, 1000);
    assert_int_equal(kvs_node_housekeep(f->node), 0);
    assert_int_equal(kvs_metrics_counter(f->metrics, KVS_METRIC_EXPIRED_RECORDS), COUNT);
    uint64_t commits = kvs_metrics_counter(f->metrics, KVS_METRIC_COMMITS);
    assert_int_equal(kvs_node_housekeep(f->node), 0);
    assert_int_equal(kvs_metrics_counter(f->metrics, KVS_METRIC_COMMITS), commits);
    fixture_restart(f);
    assert_value(f, "stays", "1");
    assert_in_range(stored_versions(f), 0, COUNT); // an estimate, but not all of them
}

static void a_purge_ahead_of_the_clock_is_done_later(void **state)
{
    struct fixture *f = *state;
    put_with_ttl(f, "a", "1", 1000);
    struct kvs_write purge = make_write(KVS_WRITE_PURGE, "a", NULL);
    purge.due_ms = TEST_START_MS + 1000; // housekeeping saw it due; then the clock was set back
    assert_int_equal(kvs_node_write_wait(f->node, &purge), 0);
    assert_value(f, "a", "1");
    advance(f, 1001);
    assert_int_equal(kvs_node_housekeep(f->node), 0);
    assert_history(f, "a", "");
    assert_int_equal(kvs_metrics_counter(f->metrics, KVS_METRIC_EXPIRED_RECORDS), 1);
}

static void a_key_ahead_of_the_clock_keeps_its_order_beyond_its_expiry(void **state)
{
    struct fixture *f = *state;
    int64_t last = 0;
    for (int i = 0; i < 10; i++) { // within one millisecond
        struct kvs_write write = make_write(KVS_WRITE_PUT, "a", "1");
        write.ttl_ms = 1;
        assert_int_equal(kvs_node_write_wait(f->node, &write), 0);
        last = write.version.timestamp;
    }
    advance(f, 1);
    assert_int_equal(kvs_node_housekeep(f->node), 0);
    assert_int_equal(get_error(f, "a"), KVS_ERR_NOT_FOUND);
    assert_true(put(f, "a", "2").timestamp > last);
    put_with_ttl(f, "a", "3", 1);
    advance(f, 2 * TEST_RETENTION_MS);
    assert_int_equal(kvs_node_housekeep(f->node), 0);
    assert_history(f, "a", "");
}

static void what_was_reclaimed_does_not_come_back_with_the_clock(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1");
    put_with_ttl(f, "a", "2", 1000);
    advance(f, 1000);
    assert_int_equal(kvs_node_housekeep(f->node), 0);
    advance(f, -1000);
    assert_int_equal(get_error(f, "a"), KVS_ERR_NOT_FOUND);
    fixture_restart(f);
    assert_int_equal(get_error(f, "a"), KVS_ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(an_expired_record_is_gone_at_once_and_for_good),
        TEST(an_overwrite_takes_the_ttl_away),
        TEST(the_default_ttl_applies_unless_the_write_says_otherwise),
        TEST(an_expired_version_does_not_uncover_the_one_below),
        TEST(history_below_an_expired_version_goes_after_the_retention),
        TEST(a_tombstone_keeps_history_until_it_is_old),
        TEST(housekeeping_reclaims_many_and_then_writes_nothing),
        TEST(a_purge_ahead_of_the_clock_is_done_later),
        TEST(a_key_ahead_of_the_clock_keeps_its_order_beyond_its_expiry),
        TEST(what_was_reclaimed_does_not_come_back_with_the_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
