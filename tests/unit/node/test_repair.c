// SPDX-License-Identifier: Apache-2.0
// Records that one node of a cluster cannot read, or that none may store: the others mend the first
// and are not held up by the second.
#include "tests/unit/node/nodes.h"

#include "node/replica_internal.h"

// Two nodes that have "a"; the second one reads it from its disk.
static void form_with_nothing_cached(struct cluster *c)
{
    form(c, 2);
    put_at(c, 0, "a", "\"good\"");
    wait_for_equal(c, 0, 1);
    down(c, 1);
    up(c, 1); // nothing cached
    WAIT_FOR(kvs_node_alive_count(c->peers[1].node) == 2);
}

static void a_damaged_record_is_repaired_from_a_peer(void **state)
{
    struct cluster *c = *state;
    form_with_nothing_cached(c);
    damage(c->peers[1].node, "a");
    assert_false(holds(c, 1, "a", "\"good\"")); // found
    WAIT_FOR(holds(c, 1, "a", "\"good\""));     // and mended
    assert_true(kvs_metrics_counter(c->metrics, KVS_METRIC_REPAIRED_RECORDS) >= 1);
    wait_for_equal(c, 0, 1);
}

// Messages of no meaning, so that the queue is never empty, and never full.
struct flood {
    struct kvs_node *node;
    pthread_t thread;
    _Atomic bool on, over;
};

static void *flood(void *opaque)
{
    struct flood *flood = opaque;
    struct kvs_replica *r = flood->node->replica;
    while (!atomic_load(&flood->over)) {
        (void)pthread_mutex_lock(&r->lock);
        bool plenty = r->message_bytes > 32 << 20;
        (void)pthread_mutex_unlock(&r->lock);
        for (int i = 0; !plenty && i < 1000; i++)
            kvs_node_peer_message(flood->node, KVS_SLICE("?"));
        if (plenty)
            atomic_store(&flood->on, true);
    }
    return NULL;
}

static void under_load_damaged_records_are_repaired_too(void **state)
{
    struct cluster *c = *state;
    form_with_nothing_cached(c);
    struct flood f = {.node = c->peers[1].node};
    assert_int_equal(pthread_create(&f.thread, NULL, flood, &f), 0);
    WAIT_FOR(atomic_load(&f.on));
    damage(c->peers[1].node, "a");
    assert_false(holds(c, 1, "a", "\"good\"")); // found
    WAIT_FOR(holds(c, 1, "a", "\"good\""));     // and mended
    atomic_store(&f.over, true);
    assert_int_equal(pthread_join(f.thread, NULL), 0);
}

// The stored value becomes what no node may store; its checksum is right.
static void make_unfit(struct cluster *c, int index, const char *key)
{
    struct kvs_node *node = c->peers[index].node;
    struct kvs_store_iter *iter = iter_at(node, key);
    struct kvs_record_view view;
    assert_int_equal(kvs_record_decode(kvs_store_iter_key(iter), kvs_store_iter_value(iter), &view),
                     0);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf value = KVS_BUF_INIT(1000);
    kvs_record_encode_value(&value, kvs_store_iter_key(iter), &view.version, view.writer_id,
                            KVS_SLICE("{unfit"));
    kvs_store_iter_free(iter);
    overwrite(node, key, kvs_buf_slice(&value));
    kvs_cache_clear(node->cache);
    recount(node); // it counts as it is
}

struct covers {
    struct kvs_version version;
    bool covered;
};

static void look_whether_covered(void *ctx, const struct kvs_repl *core)
{
    struct covers *covers = ctx;
    struct kvs_repl_view view;
    kvs_repl_view(core, &view);
    covers->covered = kvs_seen_covers_version(view.seen, &covers->version);
}

static bool has_seen(struct cluster *c, int index, const struct kvs_version *version)
{
    struct covers covers = {.version = *version};
    covers.version.writer = c->peers[0].node->identity.self; // who wrote it
    kvs_replica_look(c->peers[index].node->replica, look_whether_covered, &covers);
    return covers.covered;
}

// It is left out, and not said to be here; what comes with it and behind it is not held up.
static void a_version_that_cannot_be_stored_holds_up_no_other(void **state)
{
    struct cluster *c = *state;
    form(c, 2);
    put_at(c, 0, "before", "1");
    wait_for_equal(c, 0, 1);
    cut(c, 0, 1, true);
    put_at(c, 0, "with it 1", "1");
    struct kvs_version unfit = put_at(c, 0, "unfit", "1");
    put_at(c, 0, "with it 2", "1");
    struct kvs_version last = put_at(c, 0, "with it 3", "1");
    make_unfit(c, 0, "unfit");
    cut(c, 0, 1, false);
    WAIT_FOR(holds(c, 1, "with it 1", "1") && holds(c, 1, "with it 2", "1"));
    put_at(c, 0, "behind it", "2");
    WAIT_FOR(holds(c, 1, "behind it", "2"));
    WAIT_FOR(has_seen(c, 1, &last));
    assert_true(kvs_metrics_counter(c->metrics, KVS_METRIC_SET_ASIDE) > 0);
    assert_true(holds(c, 1, "unfit", NULL));
    assert_false(has_seen(c, 1, &unfit));
    down(c, 1);
    up(c, 1); // nor is it in what has been kept
    WAIT_FOR(kvs_node_alive_count(c->peers[1].node) == 2);
    assert_false(has_seen(c, 1, &unfit));
    put_at(c, 0, "behind it", "3");
    WAIT_FOR(holds(c, 1, "behind it", "3"));
    // Its key written anew, all is well.
    put_at(c, 0, "unfit", "\"fit\"");
    wait_for_equal(c, 0, 1);
    assert_true(holds(c, 1, "unfit", "\"fit\""));
    WAIT_FOR(has_seen(c, 1, &unfit)); // by comparing: there is nothing newer anywhere
    assert_int_equal(kvs_metrics_counter(c->metrics, KVS_METRIC_DIVERGENCES), 0);
}

static void a_node_that_joins_reads_all_but_what_it_cannot_store(void **state)
{
    struct cluster *c = *state;
    up(c, 0);
    WAIT_FOR(is_normal(c, 0));
    put_at(c, 0, "a", "1");
    struct kvs_version unfit = put_at(c, 0, "unfit", "1");
    put_at(c, 0, "z", "1");
    make_unfit(c, 0, "unfit");
    up(c, 1);
    WAIT_FOR(is_normal(c, 1) && holds(c, 1, "a", "1") && holds(c, 1, "z", "1"));
    put_at(c, 0, "behind it", "2");
    WAIT_FOR(holds(c, 1, "behind it", "2"));
    put_at(c, 1, "back", "3");
    WAIT_FOR(holds(c, 0, "back", "3"));
    assert_false(has_seen(c, 1, &unfit));
    put_at(c, 0, "unfit", "2");
    wait_for_equal(c, 0, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLUSTER_TEST(a_damaged_record_is_repaired_from_a_peer),
        CLUSTER_TEST(a_version_that_cannot_be_stored_holds_up_no_other),
        CLUSTER_TEST(a_node_that_joins_reads_all_but_what_it_cannot_store),
        CLUSTER_TEST(under_load_damaged_records_are_repaired_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
