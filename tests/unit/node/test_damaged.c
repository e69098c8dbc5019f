// SPDX-License-Identifier: Apache-2.0
// Records that fail their checksum (docs/decisions/0027): what a write does to them, and what a
// version that comes from a peer does.
#include "tests/unit/node/merging.h"

// Its key is "k", with some history, not cached.
static struct kvs_version a_damaged_record(struct fixture *f)
{
    put(f, "k", "1");
    struct kvs_version newest = put(f, "k", "2");
    put(f, "other", "1");
    fixture_restart(f);
    damage(f->node, "k");
    assert_int_equal(get_error(f, "k"), KVS_ERR_CORRUPT);
    return newest;
}

static uint64_t count(struct fixture *f, enum kvs_metric metric)
{
    return kvs_metrics_counter(f->metrics, metric);
}

static int write_k(struct fixture *f, enum kvs_write_op op, enum kvs_condition condition,
                   struct kvs_version *ret_version)
{
    struct kvs_write write = make_write(op, "k", op == KVS_WRITE_DELETE ? NULL : "3");
    write.condition = condition;
    write.revision = 1;
    int err = kvs_node_write_wait(f->node, &write);
    *ret_version = write.version;
    return err;
}

// ---- Writes

static void check_put(struct fixture *f)
{
    struct kvs_version damaged = a_damaged_record(f);
    struct kvs_version version;
    atomic_store(&f->clock.wall_ms, TEST_START_MS - 100000);
    assert_int_equal(write_k(f, KVS_WRITE_PUT, KVS_CONDITION_NONE, &version), 0);
    assert_true(version.timestamp > damaged.timestamp); // whatever the clock says
    assert_value(f, "k", "3");
    fixture_restart(f);
    assert_value(f, "k", "3");
    assert_history(f, "k", "3 1"); // the damaged one is gone, and hides nothing
    assert_int_equal(count(f, KVS_METRIC_REPLACED_DAMAGED), 1);
}

static void check_delete(struct fixture *f)
{
    struct kvs_version damaged = a_damaged_record(f);
    struct kvs_version version;
    assert_int_equal(write_k(f, KVS_WRITE_DELETE, KVS_CONDITION_NONE, &version), 0);
    assert_true(version.timestamp > damaged.timestamp);
    assert_int_equal(get_error(f, "k"), KVS_ERR_NOT_FOUND);
    fixture_restart(f);
    assert_int_equal(get_error(f, "k"), KVS_ERR_NOT_FOUND);
    assert_history(f, "k", "x 1");
}

static void a_put_replaces_a_damaged_record(void **state)
{
    check_put(*state);
}

static void in_a_cluster_a_put_replaces_it_and_the_digest_follows(void **state)
{
    check_put(*state);
    assert_digest_is_true(*state);
}

static void a_delete_replaces_a_damaged_record(void **state)
{
    check_delete(*state);
}

static void in_a_cluster_a_delete_replaces_it_and_the_digest_follows(void **state)
{
    check_delete(*state);
    assert_digest_is_true(*state);
}

static void who_asks_what_is_there_is_told_that_it_is_damaged(void **state)
{
    struct fixture *f = *state;
    struct kvs_version version;
    a_damaged_record(f);
    for (int condition = KVS_CONDITION_EXISTS; condition <= KVS_CONDITION_NOT_UUIDS; condition++) {
        assert_int_equal(write_k(f, KVS_WRITE_PUT, condition, &version), KVS_ERR_CORRUPT);
        assert_int_equal(write_k(f, KVS_WRITE_DELETE, condition, &version), KVS_ERR_CORRUPT);
    }
    assert_int_equal(write_k(f, KVS_WRITE_RESTORE, KVS_CONDITION_NONE, &version), KVS_ERR_CORRUPT);
    assert_int_equal(get_error(f, "k"), KVS_ERR_CORRUPT);
    assert_int_equal(count(f, KVS_METRIC_REPLACED_DAMAGED), 0);
}

// What comes behind it in its group, and with it, is counted once.
static void a_replacement_in_a_group_keeps_the_digest_true(void **state)
{
    struct fixture *f = *state;
    a_damaged_record(f);
    struct kvs_write chain[] = {make_write(KVS_WRITE_PUT, "k", "3"),
                                make_write(KVS_WRITE_PUT, "other", "3"),
                                make_write(KVS_WRITE_PUT, "k", "4")};
    struct kvs_repl_item item = item_at(TEST_START_MS + 900, 1, "\x02k", "5");
    struct kvs_replica_op *op = apply_op(&item, 1);
    struct stall stall;
    struct kvs_write first = make_write(KVS_WRITE_PUT, "stall", "1");
    stall_with(f, &stall, &first);
    for (int i = 0; i < 3; i++)
        chain[i].executor = &stall.executor;
    kvs_node_write_group(f->node, chain, 3);
    submit_op(f->node, &stall.executor, op);
    let_go(&stall, 5);
    for (int i = 0; i < 3; i++)
        assert_int_equal(chain[i].err, 0);
    assert_int_equal(op->write.err, 0);
    kvs_replica_op_free(op);
    assert_value(f, "k", "5");
    assert_value(f, "other", "3");
    assert_digest_is_true(f);
}

// ---- Versions from peers

static struct kvs_repl_item item_of(const struct kvs_version *version, const char *json)
{
    struct kvs_repl_item item = item_at(version->timestamp, 1, "\x02k", json);
    uint8_t flags = item.version.flags;
    item.version = *version;
    item.version.flags |= flags;
    return item;
}

static int apply_one(struct fixture *f, struct kvs_repl_item *item, int64_t watermark_ms)
{
    struct kvs_replica_op *op = apply_op(item, 1);
    op->watermark_ms = watermark_ms;
    return run_op(f->node, op);
}

static void the_same_version_takes_its_place(void **state)
{
    struct fixture *f = *state;
    struct kvs_version version = a_damaged_record(f);
    struct kvs_repl_item item = item_of(&version, "2");
    assert_int_equal(apply_one(f, &item, 0), 0);
    assert_value(f, "k", "2");
    assert_history(f, "k", "2 1");
    assert_int_equal(count(f, KVS_METRIC_REPAIRED_RECORDS), 1);
    assert_digest_is_true(f);
}

// Had it been readable, the watermark would have taken it away.
static void a_deletion_that_would_have_gone_by_now_goes(void **state)
{
    struct fixture *f = *state;
    put(f, "k", "1");
    struct kvs_write write = make_write(KVS_WRITE_DELETE, "k", NULL);
    assert_int_equal(kvs_node_write_wait(f->node, &write), 0);
    fixture_restart(f);
    damage(f->node, "k");
    struct kvs_repl_item item = item_of(&write.version, NULL);
    assert_int_equal(apply_one(f, &item, write.version.timestamp), 0);
    assert_history(f, "k", "");
    assert_digest_is_true(f);
}

static void a_newer_version_replaces_it_and_hides_no_history(void **state)
{
    struct fixture *f = *state;
    struct kvs_version version = a_damaged_record(f);
    struct kvs_repl_item item = item_at(version.timestamp + 1, 1, "\x02k", "3");
    assert_int_equal(apply_one(f, &item, 0), 0);
    assert_value(f, "k", "3");
    assert_history(f, "k", "3 1");
    assert_digest_is_true(f);
}

static void a_version_of_the_future_waits_as_ever(void **state)
{
    struct fixture *f = *state;
    a_damaged_record(f);
    struct kvs_repl_item item = item_at(TEST_START_MS + SKEW_MS + 1000, 1, "\x02k", "3");
    assert_int_equal(apply_one(f, &item, 0), 0);
    assert_int_equal(get_error(f, "k"), KVS_ERR_CORRUPT);
    assert_true(f->node->ledger->deferred_count > 0);
    atomic_fetch_add(&f->clock.wall_ms, 2000);
    WAIT_FOR(get_error(f, "k") == 0);
    assert_value(f, "k", "3");
    assert_digest_is_true(f);
}

// It was here, and was deleted together with what deleted it.
static void a_dead_version_stays_dead(void **state)
{
    struct fixture *f = *state;
    struct kvs_version version = a_damaged_record(f);
    struct kvs_repl_item dead = item_at(version.timestamp + 5, 1, "\x02gone", "1");
    assert_int_equal(apply_one(f, &dead, 0), 0); // its dot has been seen
    dead.key = KVS_SLICE("\x02k");
    assert_int_equal(apply_one(f, &dead, version.timestamp + 5), 0);
    assert_int_equal(get_error(f, "k"), KVS_ERR_CORRUPT);
}

static void a_newer_deletion_below_the_watermark_removes_it(void **state)
{
    struct fixture *f = *state;
    struct kvs_version version = a_damaged_record(f);
    struct kvs_repl_item item = item_at(version.timestamp + 1, 1, "\x02k", NULL);
    assert_int_equal(apply_one(f, &item, version.timestamp + 1), 0);
    assert_history(f, "k", "");
    assert_int_equal(get_error(f, "k"), KVS_ERR_NOT_FOUND);
    assert_digest_is_true(f);
}

#define ALONE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
#define TEST(name) cmocka_unit_test_setup_teardown(name, merging_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALONE(a_put_replaces_a_damaged_record),
        ALONE(a_delete_replaces_a_damaged_record),
        ALONE(who_asks_what_is_there_is_told_that_it_is_damaged),
        TEST(in_a_cluster_a_put_replaces_it_and_the_digest_follows),
        TEST(in_a_cluster_a_delete_replaces_it_and_the_digest_follows),
        TEST(a_replacement_in_a_group_keeps_the_digest_true),
        TEST(the_same_version_takes_its_place),
        TEST(a_deletion_that_would_have_gone_by_now_goes),
        TEST(a_newer_version_replaces_it_and_hides_no_history),
        TEST(a_version_of_the_future_waits_as_ever),
        TEST(a_dead_version_stays_dead),
        TEST(a_newer_deletion_below_the_watermark_removes_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
