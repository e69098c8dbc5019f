// SPDX-License-Identifier: Apache-2.0
// Who has a write: receipts, the holders of a version, and how far behind a node may be.
#include "tests/unit/node/nodes.h"

#include "node/receipts.h"

struct receipt {
    struct kvs_receipt_wait wait;
    struct kvs_executor executor;
    _Atomic int told;
};

static void on_receipt(struct kvs_executor *executor, struct kvs_task *task)
{
    (void)task;
    atomic_fetch_add(&KVS_CONTAINER_OF(executor, struct receipt, executor)->told, 1);
}

static bool wait_for_receipt(struct cluster *c, int index, struct receipt *receipt,
                             const struct kvs_version *version, uint32_t nodes)
{
    *receipt = (struct receipt){.executor.post = on_receipt};
    receipt->wait.executor = &receipt->executor;
    receipt->wait.writer_seq = version->writer_seq;
    receipt->wait.nodes = nodes;
    return kvs_node_receipt_wait(c->peers[index].node, &receipt->wait);
}

static void a_receipt_comes_when_enough_nodes_have_the_write(void **state)
{
    struct cluster *c = *state;
    struct receipt two, three, late;
    form(c, 3);
    cut(c, 0, 2, true);
    cut(c, 1, 2, true);
    struct kvs_version version = put_at(c, 0, "a", "1");
    assert_true(wait_for_receipt(c, 0, &two, &version, 2));
    assert_true(wait_for_receipt(c, 0, &three, &version, 3));
    WAIT_FOR(atomic_load(&two.told) == 1);
    assert_int_equal(kvs_node_receipt_count(c->peers[0].node, version.writer_seq), 2);
    assert_int_equal(atomic_load(&three.told), 0);
    cut(c, 0, 2, false);
    WAIT_FOR(atomic_load(&three.told) == 1);
    assert_true(holds(c, 2, "a", "1"));
    assert_int_equal(kvs_node_receipt_count(c->peers[0].node, version.writer_seq), 3);
    assert_true(wait_for_receipt(c, 0, &late, &version, 3)); // at once
    assert_int_equal(atomic_load(&late.told), 1);
    assert_false(kvs_node_receipt_unwait(c->peers[0].node, &late.wait));
}

static void a_receipt_that_is_taken_back_never_comes(void **state)
{
    struct cluster *c = *state;
    struct receipt receipt;
    form(c, 2);
    struct kvs_version version = put_at(c, 0, "a", "1");
    assert_true(wait_for_receipt(c, 0, &receipt, &version, 3));
    assert_true(kvs_node_receipt_unwait(c->peers[0].node, &receipt.wait));
    up(c, 2);
    WAIT_FOR(kvs_node_receipt_count(c->peers[0].node, version.writer_seq) == 3);
    assert_int_equal(atomic_load(&receipt.told), 0);
}

static void a_restarted_peer_is_believed_only_what_it_says_anew(void **state)
{
    struct cluster *c = *state;
    form(c, 2);
    struct kvs_version version = put_at(c, 0, "a", "1");
    WAIT_FOR(kvs_node_receipt_count(c->peers[0].node, version.writer_seq) == 2);
    down(c, 1);
    struct kvs_version unseen = put_at(c, 0, "b", "2");
    up(c, 1);
    WAIT_FOR(kvs_node_receipt_count(c->peers[0].node, unseen.writer_seq) == 2);
    assert_true(holds(c, 1, "b", "2"));
}

static void count_holders(void *ctx, const struct kvs_holder *holder)
{
    int *counts = ctx;
    counts[holder->has]++;
}

static int holders(struct cluster *c, int index, const struct kvs_version *version,
                   enum kvs_repl_has has)
{
    int counts[3] = {0};
    kvs_node_holders(c->peers[index].node, version, count_holders, counts);
    return counts[has];
}

static void every_node_learns_who_has_a_version(void **state)
{
    struct cluster *c = *state;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf key = KVS_BUF_INIT(KVS_KEY_SIZE_MAX);
    struct kvs_version found;
    form(c, 3);
    struct kvs_version version = put_at(c, 0, "a", "1");
    for (int i = 0; i < 3; i++)
        WAIT_FOR(holders(c, i, &version, KVS_REPL_HAS_YES) == 3);
    put_at(c, 0, "a", "2");
    WAIT_FOR(holds(c, 1, "a", "2"));
    for (int by_key = 0; by_key < 2; by_key++) { // found on another node, replaced as it is
        kvs_buf_clear(&key);
        assert_int_equal(
            kvs_node_find_version(c->peers[1].node, kvs_auth_open_grant(), &version.uuid,
                                  by_key ? KVS_SLICE("a") : KVS_SLICE_EMPTY, &key, &found),
            0);
        assert_true(kvs_slice_eq(kvs_buf_slice(&key), KVS_SLICE("a")));
        assert_int_equal(found.writer_seq, version.writer_seq);
        assert_int_equal(kvs_uuid_cmp(&found.writer.node, &version.writer.node), 0);
    }
    down(c, 2);
    struct kvs_version newer = put_at(c, 0, "a", "3");
    WAIT_FOR(holders(c, 0, &newer, KVS_REPL_HAS_YES) == 2 &&
             holders(c, 0, &newer, KVS_REPL_HAS_UNKNOWN) == 1);
    assert_int_equal(holders(c, 0, &version, KVS_REPL_HAS_YES), 3);
}

static void note_oldest(void *ctx, struct kvs_slice name, int64_t age_ms)
{
    int64_t *oldest = ctx;
    (void)name;
    if (age_ms < 0)
        *oldest = INT64_MAX;
    else if (age_ms > *oldest)
        *oldest = age_ms;
}

static int64_t oldest_age(struct cluster *c, int index)
{
    int64_t oldest = 0;
    kvs_node_staleness(c->peers[index].node, note_oldest, &oldest);
    return oldest;
}

static void staleness_grows_while_a_peer_is_cut_off(void **state)
{
    struct cluster *c = *state;
    form(c, 2);
    WAIT_FOR(oldest_age(c, 0) < INT64_MAX && oldest_age(c, 1) < INT64_MAX);
    cut(c, 0, 1, true);
    WAIT_FOR(oldest_age(c, 0) > 1000); // ten times the interval of the exchange
    cut(c, 0, 1, false);
    WAIT_FOR(oldest_age(c, 0) < 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLUSTER_TEST(a_receipt_comes_when_enough_nodes_have_the_write),
        CLUSTER_TEST(a_receipt_that_is_taken_back_never_comes),
        CLUSTER_TEST(a_restarted_peer_is_believed_only_what_it_says_anew),
        CLUSTER_TEST(every_node_learns_who_has_a_version),
        CLUSTER_TEST(staleness_grows_while_a_peer_is_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
