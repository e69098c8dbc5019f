// SPDX-License-Identifier: Apache-2.0
// What the replication core asks of the commit thread, one operation at a time and mixed in one
// group: what fails half way, what a group must see of itself, and that the digest stays true.
#include "tests/unit/node/merging.h"

// ---- What is deferred

static void a_version_deferred_in_the_group_of_a_due_is_not_forgotten(void **state)
{
    struct fixture *f = *state;
    int64_t ahead_ms = TEST_START_MS + SKEW_MS + 1000;
    struct kvs_repl_item item = item_at(ahead_ms, 1, "\x02k", "1");
    struct kvs_replica_op *ops[] = {apply_op(&item, 1), due_op(TEST_START_MS), promise_op()};
    run_group(f, ops, 3);
    assert_int_equal(ops[0]->write.err, 0);
    assert_true(ops[2]->commit.promise_ms > 0 && ops[2]->commit.promise_ms < ahead_ms);
    for (int i = 0; i < 3; i++)
        kvs_replica_op_free(ops[i]);
    assert_int_equal(get_error(f, "k"), KVS_ERR_NOT_FOUND);
    atomic_fetch_add(&f->clock.wall_ms, 2000);
    WAIT_FOR(get_error(f, "k") == 0);
    assert_digest_is_true(f);
}

static void a_deferred_version_that_cannot_be_merged_stays(void **state)
{
    struct fixture *f = *state;
    int64_t ahead_ms = TEST_START_MS + SKEW_MS + 1000;
    struct kvs_repl_item items[] = {item_at(ahead_ms, 1, "\x02k1", "1"),
                                    item_at(ahead_ms + 1, 2, "\x02k2", "2")};
    assert_int_equal(run_op(f->node, apply_op(items, 2)), 0);
    // Behind the one that reads what is due; for good, since others make iterators, too.
    kvs_fault_set(faulty, KVS_FAULT_ITER_NEW, 1, KVS_FAULT_FOREVER, KVS_ERR_NOMEM);
    assert_int_equal(run_op(f->node, due_op(ahead_ms + 1)), KVS_ERR_NOMEM);
    kvs_fault_clear(faulty);
    assert_int_equal(run_op(f->node, due_op(ahead_ms + 1)), 0);
    assert_value(f, "k1", "1");
    assert_value(f, "k2", "2");
    assert_int_equal(f->node->ledger->deferred_count, 0);
    assert_digest_is_true(f);
}

static void spoil(struct fixture *f, enum kvs_family family, struct kvs_slice key)
{
    struct kvs_store_batch *batch = kvs_store_batch_new(f->node->store);
    kvs_store_batch_put(batch, family, key, KVS_SLICE("damaged"));
    assert_int_equal(kvs_store_write(f->node->store, batch, KVS_DURABILITY_ASYNC), 0);
    kvs_store_batch_free(batch);
}

// An entry under the key that says nothing at all, in front of all others.
static void block_key(struct fixture *f, const char *key)
{
    struct kvs_prefix prefix;
    kvs_prefix_set(&prefix, kvs_slice_from_str(key));
    spoil(f, KVS_FAMILY_DATA, kvs_prefix_slice(&prefix));
}

static void a_deferred_version_that_is_refused_stays_alone(void **state)
{
    struct fixture *f = *state;
    int64_t ahead_ms = TEST_START_MS + SKEW_MS + 1000;
    struct kvs_repl_item items[] = {item_at(ahead_ms, 1, "\x02k1", "1"),
                                    item_at(ahead_ms + 1, 2, "\x02k2", "2"),
                                    item_at(ahead_ms + 9, 3, "\x02k3", "3")};
    assert_int_equal(run_op(f->node, apply_op(items, 3)), 0);
    block_key(f, "k1");
    assert_int_equal(run_op(f->node, due_op(ahead_ms + 1)), KVS_ERR_CORRUPT);
    assert_value(f, "k2", "2");
    assert_int_equal(get_error(f, "k3"), KVS_ERR_NOT_FOUND);
    assert_int_equal(f->node->ledger->deferred_count, 2);
    assert_int_equal(f->node->ledger->deferred_first_ms, ahead_ms);
    assert_int_equal(run_op(f->node, due_op(ahead_ms + 1)), KVS_ERR_CORRUPT);
    assert_int_equal(f->node->ledger->deferred_count, 2);
    assert_int_equal(run_op(f->node, due_op(ahead_ms + 9)), KVS_ERR_CORRUPT);
    assert_value(f, "k3", "3");
    assert_int_equal(f->node->ledger->deferred_count, 1);
}

// Many megabytes come due at once: in several operations, and no promise runs ahead of them.
static void much_that_is_due_is_merged_bit_by_bit(void **state)
{
    enum { COUNT = 24, SIZE = 1 << 20 };
    struct fixture *f = *state;
    int64_t ahead_ms = TEST_START_MS + SKEW_MS + 100000;
    char *json = malloc(SIZE + 1);
    char keys[COUNT][8];
    struct kvs_repl_item items[COUNT];
    assert_non_null(json);
    memset(json, '1', SIZE);
    json[SIZE] = '\0';
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), "\x02k%d", i);
        items[i] = item_at(ahead_ms + i, (uint32_t)i + 1, keys[i], json);
    }
    assert_int_equal(run_op(f->node, apply_op(items, COUNT)), 0);
    assert_int_equal(run_op(f->node, due_op(ahead_ms + COUNT)), 0);
    assert_int_equal(f->node->ledger->deferred_count, 8); // 16 MiB have been merged
    assert_int_equal(get_error(f, "k0"), 0);
    assert_int_equal(get_error(f, "k23"), KVS_ERR_NOT_FOUND);
    atomic_fetch_add(&f->clock.wall_ms, 200000);
    WAIT_FOR(get_error(f, "k23") == 0);
    WAIT_FOR(atomic_load(&f->node->ledger->deferred_first_ms) == INT64_MAX);
    free(json);
}

static void what_waits_is_counted(void **state)
{
    struct fixture *f = *state;
    int64_t ahead_ms = TEST_START_MS + SKEW_MS + 1000;
    struct kvs_repl_item items[] = {item_at(ahead_ms, 1, "\x02k1", "1"),
                                    item_at(ahead_ms + 1, 2, "\x02k2", "2"),
                                    item_at(ahead_ms + 2, 3, "\x02k3", "3")};
    struct kvs_cluster_status status;
    assert_int_equal(run_op(f->node, apply_op(items, 2)), 0);
    items[0].version.writer_seq = kvs_dot_seq(1, 9); // came again, as if it had not been seen
    assert_int_equal(run_op(f->node, apply_op(items, 3)), 0);
    kvs_node_cluster_status(f->node, &status);
    assert_int_equal(status.deferred, 3);
    fixture_restart(f);
    kvs_node_cluster_status(f->node, &status);
    assert_int_equal(status.deferred, 3);
    assert_int_equal(run_op(f->node, due_op(ahead_ms + 1)), 0);
    kvs_node_cluster_status(f->node, &status);
    assert_int_equal(status.deferred, 1);
    assert_int_equal(run_op(f->node, due_op(ahead_ms + 2)), 0);
    kvs_node_cluster_status(f->node, &status);
    assert_int_equal(status.deferred, 0);
}

static void spoil_deferred(struct fixture *f, int64_t timestamp, const struct kvs_uuid *uuid)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf key = KVS_BUF_INIT(100);
    kvs_buf_append_str(&key, "deferred/");
    if (uuid) {
        kvs_wire_put_u64be(&key, (uint64_t)timestamp);
        kvs_wire_put_uuid(&key, uuid);
    }
    spoil(f, KVS_FAMILY_META, kvs_buf_slice(&key));
}

// It holds up no other, nor the promises that the watermark needs; and what is missing now is
// looked for at all members.
static void a_deferred_version_that_cannot_be_read_is_looked_for_elsewhere(void **state)
{
    struct fixture *f = *state;
    int64_t ahead_ms = TEST_START_MS + SKEW_MS + 1000;
    struct kvs_repl_item items[] = {item_at(ahead_ms, 1, "\x02k1", "1"),
                                    item_at(ahead_ms + 1, 2, "\x02k2", "2"),
                                    item_at(ahead_ms + 9, 3, "\x02k3", "3")};
    assert_int_equal(run_op(f->node, apply_op(items, 3)), 0);
    spoil_deferred(f, ahead_ms, &items[0].version.uuid);
    spoil_deferred(f, ahead_ms + 9, &items[2].version.uuid);
    spoil_deferred(f, 0, NULL); // not even its time is known
    fixture_restart(f);
    // The one without a time is due at once: the node may have left it out by itself already.
    assert_in_range(f->node->ledger->deferred_count, 3, 4);
    struct kvs_replica_op *ops[] = {due_op(ahead_ms + 1), promise_op()};
    run_group(f, ops, 2);
    assert_int_equal(ops[0]->write.err, 0);
    assert_int_equal(ops[1]->write.err, 0);
    assert_true(ops[0]->commit.revived);
    assert_false(ops[1]->commit.revived);
    assert_true(ops[1]->commit.promise_ms >= TEST_START_MS - 1);
    kvs_replica_op_free(ops[0]);
    kvs_replica_op_free(ops[1]);
    assert_value(f, "k2", "2");
    assert_int_equal(f->node->ledger->deferred_count, 1); // that one is not due yet
    assert_int_equal(kvs_metrics_counter(f->metrics, KVS_METRIC_DEFERRED_DAMAGED), 2);
    assert_digest_is_true(f);
    // It comes back, now that it is of the future no more.
    atomic_fetch_add(&f->clock.wall_ms, SKEW_MS + 2000);
    assert_int_equal(run_op(f->node, apply_op(items, 1)), 0);
    assert_value(f, "k1", "1");
    assert_digest_is_true(f);
}

// ---- The digest

// Nobody knows what the damaged one counted for, so its block is read anew: but not before the rest
// of the group has been counted.
static void a_repair_counts_what_came_with_it_once(void **state)
{
    struct fixture *f = *state;
    put(f, "k1", "1");
    put(f, "k2", "1");
    fixture_restart(f); // nothing cached
    damage(f->node, "k1");
    struct kvs_repl_item items[] = {item_at(TEST_START_MS + 1, 1, "\x02k1", "2"),
                                    item_at(TEST_START_MS + 1, 2, "\x02k2", "2"),
                                    item_at(TEST_START_MS + 1, 3, "\x02k3", "2")};
    struct kvs_repl_item later = item_at(TEST_START_MS + 2, 4, "\x02k4", "2");
    struct kvs_replica_op *ops[] = {apply_op(items, 3), apply_op(&later, 1)};
    run_group(f, ops, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ops[i]->write.err, 0);
        kvs_replica_op_free(ops[i]);
    }
    assert_value(f, "k1", "2");
    assert_value(f, "k4", "2");
    assert_digest_is_true(f);
}

static void a_group_of_everything_keeps_the_digest_true(void **state)
{
    struct fixture *f = *state;
    put(f, "mine", "1");
    put(f, "theirs", "1");
    put(f, "gone", "1");
    int64_t now_ms = TEST_START_MS;
    struct kvs_repl_item first[] = {
        item_at(now_ms + 5, 1, "\x02mine", "2"),     item_at(now_ms + 3, 2, "\x02mine", "3"),
        item_at(now_ms + 9, 3, "\x02mine", NULL),    item_at(now_ms - 9, 4, "\x02theirs", "4"),
        item_at(now_ms + 9, 5, "\x02new", "5"),      item_at(now_ms + 8, 6, "\x02new", "6"),
        item_at(now_ms + 9, 7, "\x01user/1", "7"),   item_at(now_ms + 2, 8, "\x02gone", NULL),
        item_at(now_ms + 90000, 9, "\x02late", "8"),
    };
    // Wins, and is due for removal at once.
    struct kvs_repl_item second[] = {item_at(now_ms + 4, 10, "\x02gone", NULL),
                                     item_at(now_ms + 20, 11, "\x02gone", "9")};
    struct kvs_replica_op *ops[] = {apply_op(first, 9), apply_op(second, 2), due_op(now_ms),
                                    promise_op()};
    ops[1]->watermark_ms = now_ms + 4;
    run_group(f, ops, 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(ops[i]->write.err, 0);
        kvs_replica_op_free(ops[i]);
    }
    assert_int_equal(get_error(f, "mine"), KVS_ERR_NOT_FOUND);
    assert_value(f, "theirs", "1");
    assert_value(f, "new", "5");
    assert_value(f, "gone", "9");
    assert_history(f, "gone", "9"); // the removed ones are gone, those of the same group too
    assert_digest_is_true(f);
}

// ---- A store that fails

static void apply_again(struct fixture *f, enum kvs_fault_point point)
{
    struct kvs_repl_item items[] = {item_at(TEST_START_MS + 1, 1, "\x02k1", "1"),
                                    item_at(TEST_START_MS + 1, 2, "\x02k2", "2")};
    put(f, "before", "1");
    kvs_fault_set(faulty, point, 0, 1, KVS_ERR_NO_SPACE);
    struct kvs_replica_op *op = apply_op(items, 2);
    op->run = (struct kvs_seen_run){items[0].version.writer.node, 1, 0, 2};
    assert_int_equal(run_op(f->node, op), KVS_ERR_NO_SPACE);
    kvs_fault_clear(faulty);
    WAIT_FOR(atomic_load(&f->node->writable) || kvs_node_housekeep(f->node) == 0);
    assert_digest_is_true(f);
    // What is seen is what the store has.
    bool seen = kvs_seen_covers(&f->node->ledger->seen, &items[0].version.writer.node, 1, 2);
    assert_true(seen == (get_error(f, "k2") == 0));
    op = apply_op(items, 2);
    op->run = (struct kvs_seen_run){items[0].version.writer.node, 1, 0, 2};
    assert_int_equal(run_op(f->node, op), 0);
    assert_true(kvs_seen_covers(&f->node->ledger->seen, &items[0].version.writer.node, 1, 2));
    assert_value(f, "k2", "2");
    assert_history(f, "k2", "2");
    assert_digest_is_true(f);
    fixture_restart(f);
    assert_true(kvs_seen_covers(&f->node->ledger->seen, &items[0].version.writer.node, 1, 2));
    assert_value(f, "k2", "2");
    assert_digest_is_true(f);
}

static void an_apply_that_was_not_written_is_done_again(void **state)
{
    apply_again(*state, KVS_FAULT_WRITE);
}

static void an_apply_whose_sync_failed_is_done_again(void **state)
{
    apply_again(*state, KVS_FAULT_SYNC);
}

static void read_state(struct fixture *f, struct kvs_buf *out)
{
    kvs_buf_clear(out);
    int err =
        kvs_store_get(f->node->store, KVS_FAMILY_META, KVS_SLICE("replica"), KVS_READ_DISK, out);
    assert_true(err == 0 || err == KVS_ERR_NOT_FOUND);
}

static bool state_is(struct fixture *f, const struct kvs_buf *expected)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf state = KVS_BUF_INIT(1 << 20);
    read_state(f, &state);
    return kvs_slice_eq(kvs_buf_slice(&state), kvs_buf_slice(expected));
}

static void a_state_that_was_not_kept_is_kept_when_the_store_is_back(void **state)
{
    struct fixture *f = *state;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf before = KVS_BUF_INIT(1 << 20);
    put(f, "a", "1");
    WAIT_FOR(!state_is(f, &before)); // it has begun
    read_state(f, &before);
    kvs_fault_set(faulty, KVS_FAULT_RESUME, 0, KVS_FAULT_FOREVER, KVS_ERR_NO_SPACE);
    kvs_fault_set(faulty, KVS_FAULT_WRITE, 0, KVS_FAULT_FOREVER, KVS_ERR_NO_SPACE);
    kvs_node_set_address(f->node, "elsewhere:2"); // a new incarnation
    WAIT_FOR(!atomic_load(&f->node->writable));
    assert_true(state_is(f, &before));
    kvs_fault_clear(faulty);
    WAIT_FOR(!state_is(f, &before));
}

// The core says it once. The group may fail, or the reading of the records behind it.
static void a_digest_key_that_failed_is_taken_when_the_store_is_back(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1");
    for (int round = 0; round < 2; round++) {
        struct kvs_replica_op *op = kvs_replica_op_new(KVS_OP_REKEY, 0);
        assert_non_null(op);
        op->key = kvs_ledger_key(f->node->ledger);
        op->key.bytes[0] ^= 1;
        const struct kvs_digest_key key = op->key;
        kvs_fault_set(faulty, KVS_FAULT_RESUME, 0, KVS_FAULT_FOREVER, KVS_ERR_IO);
        if (round == 0)
            kvs_fault_set(faulty, KVS_FAULT_ITER_MOVE, 0, KVS_FAULT_FOREVER, KVS_ERR_IO);
        kvs_fault_set(faulty, KVS_FAULT_WRITE, round == 0, KVS_FAULT_FOREVER, KVS_ERR_IO);
        assert_int_equal(run_op(f->node, op), KVS_ERR_IO);
        kvs_node_set_address(f->node, round == 0 ? "elsewhere:2" : "elsewhere:3"); // a write
        WAIT_FOR(!atomic_load(&f->node->writable));
        kvs_fault_clear(faulty);
        WAIT_FOR(atomic_load(&f->node->writable));
        struct kvs_digest_key now = kvs_ledger_key(f->node->ledger);
        assert_memory_equal(&now, &key, sizeof(key));
    }
}

static void a_node_whose_store_fails_closes(void **state)
{
    struct fixture *f = *state;
    kvs_fault_set(faulty, KVS_FAULT_RESUME, 0, KVS_FAULT_FOREVER, KVS_ERR_NO_SPACE);
    kvs_fault_set(faulty, KVS_FAULT_WRITE, 0, KVS_FAULT_FOREVER, KVS_ERR_NO_SPACE);
    kvs_node_set_address(f->node, "elsewhere:2");
    WAIT_FOR(!atomic_load(&f->node->writable));
    kvs_node_close(KVS_TAKE(f->node)); // and does not wait for a disk
}

// ---- Lives, leaving, being alone

static void a_life_that_is_full_takes_no_more(void **state)
{
    struct fixture *f = *state;
    uint32_t life = f->node->ledger->life;
    struct stall stall;
    struct kvs_write first = make_write(KVS_WRITE_PUT, "a", "1");
    stall_with(f, &stall, &first); // the state is not in use meanwhile
    f->node->state.writer_seq = kvs_dot_seq(life, UINT32_MAX - 2);
    let_go(&stall, 1);
    put(f, "b", "1");
    for (int i = 0; i < 3; i++) {
        struct kvs_write write = make_write(KVS_WRITE_PUT, "c", "1");
        assert_int_equal(kvs_node_write_wait(f->node, &write), KVS_ERR_BUSY);
        assert_int_equal(kvs_dot_life(f->node->state.writer_seq), life);
    }
    fixture_restart(f);
    first = make_write(KVS_WRITE_PUT, "c", "1");
    stall_with(f, &stall, &first);
    assert_int_equal(kvs_dot_count(f->node->state.writer_seq), 1);
    let_go(&stall, 1);
}

static void a_write_behind_the_leave_is_refused(void **state)
{
    struct fixture *f = *state;
    struct stall stall;
    struct kvs_write first = make_write(KVS_WRITE_PUT, "stall", "1");
    struct kvs_write late = make_write(KVS_WRITE_PUT, "late", "1");
    struct kvs_replica_op *leave = kvs_replica_op_new(KVS_OP_LEAVE, 0);
    stall_with(f, &stall, &first);
    submit_op(f->node, &stall.executor, leave);
    submit(f, &stall, &late);
    let_go(&stall, 3);
    kvs_replica_op_free(leave);
    assert_int_equal(late.err, KVS_ERR_SHUTDOWN);
    assert_int_equal(get_error(f, "late"), KVS_ERR_NOT_FOUND);
}

static void restart_as(struct fixture *f, const struct kvs_cluster_options *cluster)
{
    f->options.cluster = cluster;
    fixture_restart(f);
}

static void a_time_alone_spoils_no_digest(void **state)
{
    struct fixture *f = *state;
    put(f, "gone", "1");
    put(f, "stays", "1");
    assert_int_equal(delete_key(f, "gone"), 0);
    restart_as(f, NULL); // there is a checkpoint
    atomic_fetch_add(&f->clock.wall_ms, 2 * TEST_RETENTION_MS);
    assert_int_equal(kvs_node_housekeep(f->node), 0); // removes it, for good
    restart_as(f, &cluster_options);
    assert_digest_is_true(f);
    assert_value(f, "stays", "1");
}

// In a cluster a deletion is due at its own time: the watermark decides when it goes, whenever and
// as what the node has made it.
static void a_deletion_of_a_time_alone_is_due_like_any(void **state)
{
    struct fixture *f = *state;
    restart_as(f, NULL);
    put(f, "gone", "1");
    assert_int_equal(delete_key(f, "gone"), 0);
    restart_as(f, &cluster_options);
    restart_as(f, NULL);
    put(f, "gone too", "1");
    assert_int_equal(delete_key(f, "gone too"), 0);
    restart_as(f, &cluster_options);
    const struct kvs_store_iter_options options = {.mode = KVS_READ_DISK};
    struct kvs_store_iter *iter = kvs_store_iter_new(f->node->store, KVS_FAMILY_DUE, &options);
    int count = 0;
    for (kvs_store_iter_seek(iter, KVS_SLICE_EMPTY); kvs_store_iter_valid(iter);
         kvs_store_iter_next(iter), count++) {
        int64_t due_ms = 0;
        struct kvs_slice key;
        assert_true(kvs_time_key_decode(kvs_store_iter_key(iter), &due_ms, &key));
        assert_in_range(due_ms, TEST_START_MS, TEST_START_MS + 100);
    }
    kvs_store_iter_free(iter);
    assert_int_equal(count, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, merging_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_version_deferred_in_the_group_of_a_due_is_not_forgotten),
        TEST(a_deferred_version_that_cannot_be_merged_stays),
        TEST(a_deferred_version_that_is_refused_stays_alone),
        TEST(much_that_is_due_is_merged_bit_by_bit),
        TEST(what_waits_is_counted),
        TEST(a_deferred_version_that_cannot_be_read_is_looked_for_elsewhere),
        TEST(a_repair_counts_what_came_with_it_once),
        TEST(a_group_of_everything_keeps_the_digest_true),
        TEST(an_apply_that_was_not_written_is_done_again),
        TEST(an_apply_whose_sync_failed_is_done_again),
        TEST(a_state_that_was_not_kept_is_kept_when_the_store_is_back),
        TEST(a_digest_key_that_failed_is_taken_when_the_store_is_back),
        TEST(a_node_whose_store_fails_closes),
        TEST(a_life_that_is_full_takes_no_more),
        TEST(a_write_behind_the_leave_is_refused),
        TEST(a_time_alone_spoils_no_digest),
        TEST(a_deletion_of_a_time_alone_is_due_like_any),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
