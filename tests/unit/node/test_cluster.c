// SPDX-License-Identifier: Apache-2.0
// What one node writes comes to all, whatever was cut, down, late or new meanwhile: three real
// nodes and the network between them.
#include "tests/unit/node/nodes.h"

#include "node/replica_internal.h"

static void a_write_reaches_every_node(void **state)
{
    struct cluster *c = *state;
    form(c, 3);
    put_at(c, 0, "a", "1");
    put_at(c, 1, "b", "2");
    put_at(c, 2, "\x01user/1", "3");
    for (int i = 0; i < 3; i++)
        WAIT_FOR(holds(c, i, "a", "1") && holds(c, i, "b", "2") && holds(c, i, "\x01user/1", "3"));
    delete_at(c, 2, "a");
    for (int i = 0; i < 3; i++)
        WAIT_FOR(holds(c, i, "a", NULL));
    wait_for_equal(c, 0, 1);
    wait_for_equal(c, 1, 2);
}

// Nobody would find out by himself here.
static void a_pause_that_was_awaited_is_on_its_way(void **state)
{
    struct cluster *c = *state;
    for (int i = 0; i < 2; i++) {
        c->peers[i].cluster_options.probe_interval_ms = 60000;
        c->peers[i].cluster_options.suspect_timeout_ms = 600000;
    }
    form(c, 2);
    kvs_node_await_pause(c->peers[1].node); // of what nobody asked for
    kvs_node_pause(c->peers[1].node);
    kvs_node_await_pause(c->peers[1].node);
    cut(c, 0, 1, true);
    WAIT_FOR(kvs_node_alive_count(c->peers[0].node) == 1);
}

static void an_empty_node_reads_everything_and_then_opens(void **state)
{
    struct cluster *c = *state;
    up(c, 0);
    WAIT_FOR(is_normal(c, 0));
    for (int i = 0; i < 3000; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "k%d", i);
        put_at(c, 0, key, "{\"some\":\"value\"}");
    }
    delete_at(c, 0, "k7");
    up(c, 1);
    struct kvs_write write = make_write(KVS_WRITE_PUT, "early", "1");
    int err = try_write(c, 1, &write); // syncing, unless it was quick
    assert_true(err == KVS_ERR_SYNCING || err == 0);
    WAIT_FOR(is_normal(c, 1));
    wait_for_equal(c, 0, 1);
    assert_true(holds(c, 1, "k2999", "{\"some\":\"value\"}"));
    assert_true(holds(c, 1, "k7", NULL));
}

static void a_node_that_was_down_catches_up(void **state)
{
    struct cluster *c = *state;
    form(c, 2);
    put_at(c, 0, "before", "1");
    wait_for_equal(c, 0, 1);
    down(c, 1);
    for (int i = 0; i < 2000; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "k%d", i % 700);
        put_at(c, 0, key, "2");
    }
    delete_at(c, 0, "before");
    up(c, 1);
    wait_for_equal(c, 0, 1);
    assert_true(holds(c, 1, "before", NULL));
    put_at(c, 1, "after", "3"); // a new life writes on
    WAIT_FOR(holds(c, 0, "after", "3"));
}

static void both_sides_of_a_cut_keep_their_writes(void **state)
{
    struct cluster *c = *state;
    form(c, 3);
    cut(c, 0, 1, true);
    cut(c, 0, 2, true);
    put_at(c, 0, "left", "1");
    put_at(c, 1, "right", "2");
    put_at(c, 0, "both", "\"left\"");
    atomic_fetch_add(&c->clock.wall_ms, 1);
    put_at(c, 2, "both", "\"right\"");
    WAIT_FOR(kvs_node_alive_count(c->peers[0].node) == 1);
    cut(c, 0, 1, false);
    cut(c, 0, 2, false);
    for (int i = 0; i < 3; i++)
        WAIT_FOR(holds(c, i, "left", "1") && holds(c, i, "right", "2") &&
                 holds(c, i, "both", "\"right\""));
    wait_for_equal(c, 0, 1);
    wait_for_equal(c, 0, 2);
}

static bool find_loser(void *ctx, uint32_t number, const struct kvs_version *version,
                       struct kvs_slice json)
{
    (void)number;
    (void)json;
    *(int *)ctx += (version->flags & KVS_VERSION_CONFLICT_LOSER) != 0;
    return true;
}

static int count_losers(struct cluster *c, int index, const char *key)
{
    int losers = 0;
    uint32_t count = 0;
    assert_int_equal(kvs_node_history(c->peers[index].node, kvs_auth_open_grant(),
                                      kvs_slice_from_str(key), KVS_READ_DISK, find_loser, &losers,
                                      &count),
                     0);
    return losers;
}

static void a_tie_is_decided_alike_and_its_loser_is_kept(void **state)
{
    struct cluster *c = *state;
    form(c, 2);
    cut(c, 0, 1, true);
    put_at(c, 0, "tie", "\"elder\""); // the clock stands still: one timestamp
    put_at(c, 1, "tie", "\"younger\"");
    cut(c, 0, 1, false);
    struct kvs_writer elder = c->peers[0].node->identity.self;
    struct kvs_writer younger = c->peers[1].node->identity.self;
    if (elder.joined_timestamp < younger.joined_timestamp)
        WAIT_FOR(holds(c, 0, "tie", "\"elder\"") && holds(c, 1, "tie", "\"elder\""));
    wait_for_equal(c, 0, 1);
    WAIT_FOR(count_losers(c, 0, "tie") == 1 && count_losers(c, 1, "tie") == 1);
    assert_true(kvs_metrics_counter(c->metrics, KVS_METRIC_CONFLICTS) >= 1);
}

static void two_nodes_with_data_that_meet_lose_nothing(void **state)
{
    struct cluster *c = *state;
    up(c, 0);
    c->peers[1].cluster_options.seed_count = 0;
    up(c, 1);
    WAIT_FOR(is_normal(c, 0) && is_normal(c, 1));
    put_at(c, 0, "a", "1");
    put_at(c, 1, "b", "2");
    down(c, 1);
    c->peers[1].cluster_options.seed_count = 1;
    up(c, 1);
    wait_for_equal(c, 0, 1);
    assert_true(holds(c, 0, "b", "2"));
    assert_true(holds(c, 1, "a", "1"));
}

static bool count_one(void *ctx, const struct kvs_current *current)
{
    (void)current;
    ++*(size_t *)ctx;
    return true;
}

static size_t count_records(struct cluster *c, int index)
{
    size_t count = 0;
    assert_int_equal(kvs_node_each_current(c->peers[index].node, KVS_SLICE_EMPTY, KVS_SLICE_EMPTY,
                                           count_one, &count),
                     0);
    return count;
}

// All that was written up to about now is everywhere, as far as this node knows.
static bool has_followed(struct cluster *c, int index)
{
    struct kvs_cluster_status status;
    kvs_node_cluster_status(c->peers[index].node, &status);
    return status.watermark_ms + TEST_RETENTION_MS + TEST_RETENTION_MS / 8 >=
           atomic_load(&c->clock.wall_ms);
}

// Past the retention of two nodes, in steps that a cluster would see: each is well below it.
static void let_retention_pass(struct cluster *c)
{
    for (int i = 0; i < 8; i++) {
        atomic_fetch_add(&c->clock.wall_ms, TEST_RETENTION_MS / 4);
        WAIT_FOR(has_followed(c, 0) && has_followed(c, 1));
    }
}

static void deletions_are_forgotten_when_all_have_them(void **state)
{
    struct cluster *c = *state;
    form(c, 2);
    put_at(c, 0, "gone", "1");
    put_at(c, 0, "stays", "1");
    struct kvs_write expiring = make_write(KVS_WRITE_PUT, "expires", "1");
    expiring.ttl_ms = 1000;
    assert_int_equal(try_write(c, 0, &expiring), 0);
    delete_at(c, 0, "gone");
    wait_for_equal(c, 0, 1);
    assert_int_equal(count_records(c, 1), 3);
    down(c, 1); // one is away: nothing may go
    atomic_fetch_add(&c->clock.wall_ms, TEST_RETENTION_MS / 2);
    assert_int_equal(kvs_node_housekeep(c->peers[0].node), 0);
    assert_int_equal(count_records(c, 0), 3);
    up(c, 1);
    WAIT_FOR(is_normal(c, 1));
    let_retention_pass(c);
    WAIT_FOR(count_records(c, 0) == 1 && count_records(c, 1) == 1);
    assert_true(holds(c, 0, "stays", "1"));
    wait_for_equal(c, 0, 1);
}

static void a_node_that_was_alone_brings_its_deletions_along(void **state)
{
    struct cluster *c = *state;
    c->peers[0].options.cluster = NULL;
    up(c, 0);
    put_at(c, 0, "gone", "1");
    delete_at(c, 0, "gone");
    down(c, 0);
    c->peers[0].options.cluster = &c->peers[0].cluster_options;
    form(c, 2);
    wait_for_equal(c, 0, 1);
    assert_int_equal(count_records(c, 1), 1);
    let_retention_pass(c);
    WAIT_FOR(count_records(c, 0) == 0 && count_records(c, 1) == 0);
    assert_int_equal(kvs_metrics_counter(c->metrics, KVS_METRIC_DIVERGENCES), 0);
}

static void a_version_from_the_future_waits(void **state)
{
    struct cluster *c = *state;
    c->peers[0].cluster_options.promise_interval_ms = 3600000; // no promise by the wrong clock
    form(c, 2);
    // The writer's clock is ten minutes ahead for one write.
    cut(c, 0, 1, true);
    atomic_fetch_add(&c->clock.wall_ms, 600000);
    put_at(c, 0, "ahead", "1");
    atomic_fetch_sub(&c->clock.wall_ms, 600000);
    cut(c, 0, 1, false);
    put_at(c, 0, "marker", "1");
    WAIT_FOR(holds(c, 1, "marker", "1"));
    assert_true(holds(c, 1, "ahead", NULL));
    down(c, 1); // it is on the disk
    up(c, 1);
    atomic_fetch_add(&c->clock.wall_ms, 600000);
    WAIT_FOR(holds(c, 1, "ahead", "1"));
    wait_for_equal(c, 0, 1);
}

static void look_at_promise(void *ctx, const struct kvs_repl *core)
{
    struct kvs_repl_view view;
    kvs_repl_view(core, &view);
    *(int64_t *)ctx = view.promise_ms;
}

static bool has_promised(struct cluster *c, int index)
{
    int64_t promise_ms = 0;
    kvs_replica_look(c->peers[index].node->replica, look_at_promise, &promise_ms);
    return promise_ms > 0;
}

static void a_clock_that_was_ahead_holds_nobody_there(void **state)
{
    struct cluster *c = *state;
    struct test_clock *ahead = &c->peers[1].own_clock;
    ahead->base = c->clock.base;
    atomic_store(&ahead->wall_ms, atomic_load(&c->clock.wall_ms) + 2 * INT64_C(86400000));
    c->peers[1].options.clock = &ahead->base;
    c->peers[1].cluster_options.promise_interval_ms = 3000; // many probes later
    form(c, 2);
    WAIT_FOR(has_promised(c, 1));
    atomic_store(&ahead->wall_ms, atomic_load(&c->clock.wall_ms));
    put_at(c, 1, "right again", "1");
    WAIT_FOR(holds(c, 0, "right again", "1"));
}

static void a_copied_directory_is_told_to_stop(void **state)
{
    struct cluster *c = *state;
    form(c, 2);
    put_at(c, 1, "a", "1");
    wait_for_equal(c, 0, 1);
    down(c, 1);
    char command[256];
    (void)snprintf(command, sizeof(command), "cp -r %s/. %s/", c->peers[1].dir.path,
                   c->peers[2].dir.path);
    assert_int_equal(system(command), 0);
    up(c, 1);
    WAIT_FOR(kvs_node_alive_count(c->peers[0].node) == 2);
    up(c, 2);
    WAIT_FOR(atomic_load(&c->peers[2].stops) == 1);
    assert_int_equal(atomic_load(&c->peers[1].stops), 0);
}

static void a_leaving_node_says_so(void **state)
{
    struct cluster *c = *state;
    form(c, 2);
    put_at(c, 1, "a", "1");
    kvs_node_leave(c->peers[1].node);
    WAIT_FOR(atomic_load(&c->peers[1].stops) == 1);
    WAIT_FOR(kvs_node_alive_count(c->peers[0].node) == 1);
    assert_true(holds(c, 0, "a", "1"));
    struct kvs_write late = make_write(KVS_WRITE_PUT, "late", "1");
    assert_int_equal(try_write(c, 1, &late), KVS_ERR_SHUTDOWN); // nobody would ever get it
    down(c, 1);
    up(c, 1); // whoever starts it again wants it back
    WAIT_FOR(kvs_node_alive_count(c->peers[0].node) == 2);
    wait_for_equal(c, 0, 1);
}

// Commits a put and, in the same group, what the core would have made durable.
static void put_beside_a_persist(struct cluster *c, int index, const char *key)
{
    struct kvs_node *node = c->peers[index].node;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf bytes = KVS_BUF_INIT(1 << 20);
    assert_int_equal(
        kvs_store_get(node->store, KVS_FAMILY_META, KVS_SLICE("replica"), KVS_READ_DISK, &bytes),
        0);
    struct counter counter = {.executor = {.post = count_post}};
    struct kvs_replica_op *op = kvs_replica_op_new(KVS_OP_PERSIST, 0);
    assert_non_null(op);
    op->bytes = kvs_buf_slice(&bytes);
    op->write.executor = &counter.executor;
    struct kvs_write write = make_write(KVS_WRITE_PUT, key, "1");
    write.executor = &counter.executor;
    write.next = &op->write;
    kvs_committer_submit(node->committer, &write, &op->write, 2);
    WAIT_FOR(atomic_load(&counter.count) == 2);
    kvs_replica_op_free(op);
}

// The core waits for a PERSIST and takes no news from it: others must bring them.
static void a_write_beside_a_persist_is_pushed(void **state)
{
    static const char *const keys[] = {"a", "b", "c", "d",
                                       "e"}; // a late operation may save the first
    struct cluster *c = *state;
    for (int i = 0; i < 2; i++) { // nothing but the push brings it in time
        c->peers[i].cluster_options.sync_interval_ms = 3600000;
        c->peers[i].cluster_options.catchup_interval_ms = 3600000;
        c->peers[i].cluster_options.promise_interval_ms = 3600000;
    }
    form(c, 2);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        put_beside_a_persist(c, 0, keys[i]);
        WAIT_FOR(holds(c, 1, keys[i], "1"));
    }
}

static void many_writers_end_with_one_state(void **state)
{
    struct cluster *c = *state;
    form(c, 3);
    struct kvs_random_seeded random;
    kvs_random_seeded_init(&random, 42);
    for (int i = 0; i < 6000; i++) {
        char key[16];
        char json[16];
        int at = (int)kvs_random_below(&random.base, 3);
        (void)snprintf(key, sizeof(key), "k%d", (int)kvs_random_below(&random.base, 400));
        (void)snprintf(json, sizeof(json), "%d", i);
        if (i % 1000 == 500)
            cut(c, 1, 2, true);
        if (i % 1000 == 999)
            cut(c, 1, 2, false);
        if (i % 7 == 0)
            atomic_fetch_add(&c->clock.wall_ms, 1);
        if (kvs_random_below(&random.base, 5) == 0) {
            struct kvs_write write = make_write(KVS_WRITE_DELETE, key, NULL);
            int err = try_write(c, at, &write);
            assert_true(err == 0 || err == KVS_ERR_NOT_FOUND);
        } else {
            put_at(c, at, key, json);
        }
    }
    wait_for_equal(c, 0, 1);
    wait_for_equal(c, 1, 2);
    assert_int_equal(kvs_metrics_counter(c->metrics, KVS_METRIC_DIVERGENCES), 0);
    assert_int_equal(kvs_metrics_counter(c->metrics, KVS_METRIC_DIGEST_MISMATCHES), 0);
    for (int i = 0; i < 3; i++) { // the checkpoint, and the log behind it, give the same digest
        down(c, i);
        up(c, i);
    }
    wait_for_equal(c, 0, 1);
    wait_for_equal(c, 1, 2);
    assert_int_equal(kvs_metrics_counter(c->metrics, KVS_METRIC_DIVERGENCES), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLUSTER_TEST(a_write_reaches_every_node),
        CLUSTER_TEST(a_pause_that_was_awaited_is_on_its_way),
        CLUSTER_TEST(an_empty_node_reads_everything_and_then_opens),
        CLUSTER_TEST(a_node_that_was_down_catches_up),
        CLUSTER_TEST(both_sides_of_a_cut_keep_their_writes),
        CLUSTER_TEST(a_tie_is_decided_alike_and_its_loser_is_kept),
        CLUSTER_TEST(two_nodes_with_data_that_meet_lose_nothing),
        CLUSTER_TEST(deletions_are_forgotten_when_all_have_them),
        CLUSTER_TEST(a_node_that_was_alone_brings_its_deletions_along),
        CLUSTER_TEST(a_version_from_the_future_waits),
        CLUSTER_TEST(a_clock_that_was_ahead_holds_nobody_there),
        CLUSTER_TEST(a_copied_directory_is_told_to_stop),
        CLUSTER_TEST(a_leaving_node_says_so),
        CLUSTER_TEST(a_write_beside_a_persist_is_pushed),
        CLUSTER_TEST(many_writers_end_with_one_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
