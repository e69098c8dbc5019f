// SPDX-License-Identifier: Apache-2.0
// Real nodes on real stores in one process, joined by a network that a test can cut: the core, the
// commit thread and everything between them, without a socket.
#include "tests/unit/node/fixture.h"

#include "node/backup.h"
#include "node/cluster.h"
#include "node/ledger.h"
#include "node/receipts.h"
#include "node/replica_internal.h"
#include "node/replica_op.h"

#include <pthread.h>
#include <unistd.h>

enum { NODES = 3, PATIENCE_MS = 120000 };

struct cluster;

struct peer {
    struct cluster *cluster;
    int index;
    struct tempdir dir;
    char address[16];
    char name[8];
    const char *seeds[1];
    struct kvs_cluster_options cluster_options;
    struct kvs_node_options options;
    struct test_clock own_clock; // where it is not the cluster's
    struct kvs_node *node;       // NULL: down; guarded by the cluster's lock
    _Atomic int stops;
};

struct cluster {
    struct test_clock clock;
    struct kvs_metrics *metrics;
    pthread_rwlock_t lock;
    bool cut[NODES][NODES]; // from, to
    struct peer peers[NODES];
};

static void on_send(void *ctx, struct kvs_slice address, struct kvs_slice message)
{
    struct peer *from = ctx;
    struct cluster *c = from->cluster;
    (void)pthread_rwlock_rdlock(&c->lock);
    for (int i = 0; i < NODES; i++) {
        struct peer *to = &c->peers[i];
        if (to->node && !c->cut[from->index][i] &&
            kvs_slice_eq(address, kvs_slice_from_str(to->address)))
            kvs_node_peer_message(to->node, message);
    }
    (void)pthread_rwlock_unlock(&c->lock);
}

static void on_stop(void *ctx, const char *reason)
{
    struct peer *peer = ctx;
    (void)reason;
    atomic_fetch_add(&peer->stops, 1);
}

static void up(struct cluster *c, int index)
{
    struct peer *peer = &c->peers[index];
    struct kvs_message message = {{0}};
    struct kvs_node *node = NULL;
    if (kvs_node_open(&peer->options, &node, &message) != 0)
        fail_msg("%s", message.text);
    (void)pthread_rwlock_wrlock(&c->lock);
    peer->node = node;
    (void)pthread_rwlock_unlock(&c->lock);
}

static void down(struct cluster *c, int index)
{
    struct peer *peer = &c->peers[index];
    (void)pthread_rwlock_wrlock(&c->lock);
    struct kvs_node *node = peer->node;
    peer->node = NULL;
    (void)pthread_rwlock_unlock(&c->lock);
    kvs_node_close(node);
}

static void cut(struct cluster *c, int a, int b, bool is_cut)
{
    (void)pthread_rwlock_wrlock(&c->lock);
    c->cut[a][b] = is_cut;
    c->cut[b][a] = is_cut;
    (void)pthread_rwlock_unlock(&c->lock);
}

static void init_peer(struct cluster *c, int index)
{
    struct peer *peer = &c->peers[index];
    peer->cluster = c;
    peer->index = index;
    tempdir_init(&peer->dir);
    (void)snprintf(peer->address, sizeof(peer->address), "n%d:1", index);
    (void)snprintf(peer->name, sizeof(peer->name), "n%d", index);
    peer->seeds[0] = c->peers[0].address;
    peer->cluster_options = (struct kvs_cluster_options){
        .address = peer->address,
        .seeds = peer->seeds,
        .seed_count = index == 0 ? 0 : 1,
        .push = true,
        .probe_interval_ms = 200,
        .suspect_timeout_ms = 1000,
        .gossip_min_ms = 500,
        .gossip_max_ms = 1000,
        .sync_interval_ms = 1000,
        .catchup_interval_ms = 500,
        .status_interval_ms = 100,
        .promise_interval_ms = 200,
        .skew_max_ms = 60000,
        .bootstrap_max_age_ms = INT64_C(1) << 40,
        .send = on_send,
        .stop = on_stop,
        .ctx = peer,
    };
    peer->options = (struct kvs_node_options){
        .data_dir = peer->dir.path,
        .node_id = peer->name,
        .durability = KVS_DURABILITY_ASYNC,
        .revisions = 3,
        .tombstone_retention_ms = TEST_RETENTION_MS,
        .clock = &c->clock.base,
        .random = kvs_random_system(),
        .metrics = c->metrics,
        .cluster = &peer->cluster_options,
    };
}

// The core's monotonic time is the real one; the wall clock is the test's.
static int64_t real_mono_ms(const struct kvs_clock *clock)
{
    (void)clock;
    return kvs_clock_mono_ms(kvs_clock_system());
}

static int setup(void **state)
{
    struct cluster *c = calloc(1, sizeof(*c));
    assert_non_null(c);
    c->clock.base = (struct kvs_clock){test_clock_read, real_mono_ms, test_clock_mono_ns};
    atomic_store(&c->clock.wall_ms, INT64_C(1700000000000));
    assert_int_equal(kvs_metrics_new(&c->metrics), 0);
    pthread_rwlockattr_t
        fair; // three threads that send all the time would keep a writer out for ever
    (void)pthread_rwlockattr_init(&fair);
    (void)pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    (void)pthread_rwlock_init(&c->lock, &fair);
    (void)pthread_rwlockattr_destroy(&fair);
    for (int i = 0; i < NODES; i++)
        init_peer(c, i);
    *state = c;
    return 0;
}

static int teardown(void **state)
{
    struct cluster *c = *state;
    for (int i = 0; i < NODES; i++)
        down(c, i);
    for (int i = 0; i < NODES; i++)
        tempdir_done(&c->peers[i].dir);
    kvs_metrics_free(c->metrics);
    (void)pthread_rwlock_destroy(&c->lock);
    free(c);
    return 0;
}

// ---- Acting and looking

static int try_write(struct cluster *c, int index, struct kvs_write *write)
{
    return kvs_node_write_wait(c->peers[index].node, write);
}

static struct kvs_version put_at(struct cluster *c, int index, const char *key, const char *json)
{
    struct kvs_write write = make_write(KVS_WRITE_PUT, key, json);
    assert_int_equal(try_write(c, index, &write), 0);
    return write.version;
}

static void delete_at(struct cluster *c, int index, const char *key)
{
    struct kvs_write write = make_write(KVS_WRITE_DELETE, key, NULL);
    assert_int_equal(try_write(c, index, &write), 0);
}

static bool holds(struct cluster *c, int index, const char *key, const char *json)
{
    struct kvs_record *record = NULL;
    int err = kvs_node_get(c->peers[index].node, kvs_auth_open_grant(), kvs_slice_from_str(key),
                           KVS_READ_DISK, &record);
    bool same = json ? err == 0 && kvs_slice_eq(kvs_record_json(record), kvs_slice_from_str(json))
                     : err == KVS_ERR_NOT_FOUND;
    kvs_record_unref(record);
    return same;
}

// What a node holds, deletions included, as bytes.
static bool dump_one(void *ctx, const struct kvs_current *current)
{
    struct kvs_buf *out = ctx;
    kvs_buf_append_slice(out, current->tagged);
    kvs_buf_append(out, &current->version.timestamp, sizeof(current->version.timestamp));
    kvs_buf_append(out, current->version.uuid.bytes, sizeof(current->version.uuid.bytes));
    kvs_buf_append_char(out, (char)(current->version.flags & KVS_VERSION_TOMBSTONE));
    kvs_buf_append_slice(out, current->json);
    kvs_buf_append_char(out, '\n');
    return true;
}

static void dump(struct cluster *c, int index, struct kvs_buf *out)
{
    kvs_buf_clear(out);
    assert_int_equal(kvs_node_each_current(c->peers[index].node, KVS_SLICE_EMPTY, KVS_SLICE_EMPTY,
                                           dump_one, out),
                     0);
    assert_int_equal(out->err, 0);
}

static bool same_data(struct cluster *c, int a, int b)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf x = KVS_BUF_INIT(256 << 20);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf y = KVS_BUF_INIT(256 << 20);
    dump(c, a, &x);
    dump(c, b, &y);
    return kvs_slice_eq(kvs_buf_slice(&x), kvs_buf_slice(&y));
}

static bool same_root(struct cluster *c, int a, int b)
{
    return kvs_fingerprint_eq(kvs_ledger_root(c->peers[a].node->ledger),
                              kvs_ledger_root(c->peers[b].node->ledger));
}

#define WAIT_FOR(condition)                                                                        \
    do {                                                                                           \
        int64_t until_ = kvs_clock_mono_ms(kvs_clock_system()) + PATIENCE_MS;                      \
        while (!(condition)) {                                                                     \
            if (kvs_clock_mono_ms(kvs_clock_system()) > until_)                                    \
                fail_msg("never came true: %s", #condition);                                       \
            (void)usleep(1000);                                                                    \
        }                                                                                          \
    } while (0)

static void wait_for_equal(struct cluster *c, int a, int b)
{
    WAIT_FOR(same_root(c, a, b) && same_data(c, a, b));
}

static bool is_normal(struct cluster *c, int index)
{
    struct kvs_node_status status;
    assert_int_equal(kvs_node_status(c->peers[index].node, &status), 0);
    return status.mode == KVS_NODE_NORMAL;
}

static void form(struct cluster *c, int count)
{
    for (int i = 0; i < count; i++)
        up(c, i);
    for (int i = 0; i < count; i++)
        WAIT_FOR(is_normal(c, i) && kvs_node_alive_count(c->peers[i].node) == (size_t)count);
}

// ---- Tests

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
    // Past the retention in steps that a cluster would see: each is well below it.
    for (int i = 0; i < 8; i++) {
        atomic_fetch_add(&c->clock.wall_ms, TEST_RETENTION_MS / 4);
        WAIT_FOR(has_followed(c, 0) && has_followed(c, 1));
    }
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
    for (int i = 0; i < 6; i++) {
        atomic_fetch_add(&c->clock.wall_ms, TEST_RETENTION_MS / 4);
        WAIT_FOR(has_followed(c, 0) && has_followed(c, 1));
    }
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

static void damage(struct cluster *c, int index, const char *key)
{
    struct kvs_node *node = c->peers[index].node;
    const struct kvs_store_iter_options options = {.mode = KVS_READ_DISK};
    struct kvs_store_iter *iter = kvs_store_iter_new(node->store, KVS_FAMILY_DATA, &options);
    kvs_store_iter_seek(iter, kvs_slice_from_str(key));
    assert_true(kvs_store_iter_valid(iter));
    struct kvs_store_batch *batch = kvs_store_batch_new(node->store);
    kvs_store_batch_put(batch, KVS_FAMILY_DATA, kvs_store_iter_key(iter), KVS_SLICE("damaged"));
    kvs_store_iter_free(iter);
    assert_int_equal(kvs_store_write(node->store, batch, KVS_DURABILITY_ASYNC), 0);
    kvs_store_batch_free(batch);
}

static void a_damaged_record_is_repaired_from_a_peer(void **state)
{
    struct cluster *c = *state;
    form(c, 2);
    put_at(c, 0, "a", "\"good\"");
    wait_for_equal(c, 0, 1);
    down(c, 1);
    up(c, 1); // nothing cached
    WAIT_FOR(kvs_node_alive_count(c->peers[1].node) == 2);
    damage(c, 1, "a");
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
    form(c, 2);
    put_at(c, 0, "a", "\"good\"");
    wait_for_equal(c, 0, 1);
    down(c, 1);
    up(c, 1); // nothing cached
    WAIT_FOR(kvs_node_alive_count(c->peers[1].node) == 2);
    struct flood f = {.node = c->peers[1].node};
    assert_int_equal(pthread_create(&f.thread, NULL, flood, &f), 0);
    WAIT_FOR(atomic_load(&f.on));
    damage(c, 1, "a");
    assert_false(holds(c, 1, "a", "\"good\"")); // found
    WAIT_FOR(holds(c, 1, "a", "\"good\""));     // and mended
    atomic_store(&f.over, true);
    assert_int_equal(pthread_join(f.thread, NULL), 0);
}

// The stored value becomes what no node may store; its checksum is right.
static void make_unfit(struct cluster *c, int index, const char *key)
{
    struct kvs_node *node = c->peers[index].node;
    const struct kvs_store_iter_options options = {.mode = KVS_READ_DISK};
    struct kvs_store_iter *iter = kvs_store_iter_new(node->store, KVS_FAMILY_DATA, &options);
    kvs_store_iter_seek(iter, kvs_slice_from_str(key));
    assert_true(kvs_store_iter_valid(iter));
    struct kvs_record_view view;
    assert_int_equal(kvs_record_decode(kvs_store_iter_key(iter), kvs_store_iter_value(iter), &view),
                     0);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf value = KVS_BUF_INIT(1000);
    kvs_record_encode_value(&value, kvs_store_iter_key(iter), &view.version, view.writer_id,
                            KVS_SLICE("{unfit"));
    struct kvs_store_batch *batch = kvs_store_batch_new(node->store);
    kvs_store_batch_put(batch, KVS_FAMILY_DATA, kvs_store_iter_key(iter), kvs_buf_slice(&value));
    kvs_store_iter_free(iter);
    assert_int_equal(kvs_store_write(node->store, batch, KVS_DURABILITY_ASYNC), 0);
    kvs_store_batch_free(batch);
    kvs_cache_clear(node->cache);
    const struct kvs_digest_key digest_key = node->ledger->key;
    assert_int_equal(kvs_ledger_rekey(node->ledger, &digest_key), 0); // it counts as it is
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

struct counting {
    struct kvs_executor base;
    _Atomic int done;
};

static void count_done(struct kvs_executor *executor, struct kvs_task *task)
{
    (void)task;
    atomic_fetch_add(&KVS_CONTAINER_OF(executor, struct counting, base)->done, 1);
}

// Commits a put and, in the same group, what the core would have made durable.
static void put_beside_a_persist(struct cluster *c, int index, const char *key)
{
    struct kvs_node *node = c->peers[index].node;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf bytes = KVS_BUF_INIT(1 << 20);
    assert_int_equal(
        kvs_store_get(node->store, KVS_FAMILY_META, KVS_SLICE("replica"), KVS_READ_DISK, &bytes),
        0);
    struct counting counting = {.base.post = count_done};
    struct kvs_replica_op *op = kvs_replica_op_new(KVS_OP_PERSIST, 0);
    assert_non_null(op);
    op->bytes = kvs_buf_slice(&bytes);
    op->write.executor = &counting.base;
    struct kvs_write write = make_write(KVS_WRITE_PUT, key, "1");
    write.executor = &counting.base;
    write.next = &op->write;
    kvs_committer_submit(node->committer, &write, &op->write, 2);
    WAIT_FOR(atomic_load(&counting.done) == 2);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

// ---- Backups

// Takes one of a running node; its path, to be freed.
static char *back_up(struct cluster *c, int index)
{
    struct peer *peer = &c->peers[index];
    char folder[80];
    (void)snprintf(folder, sizeof(folder), "%s/backups", peer->dir.path);
    struct kvs_backup_view view = {0};
    struct kvs_write write = {.op = KVS_WRITE_VIEW, .view = &view};
    assert_int_equal(try_write(c, index, &write), 0);
    const struct kvs_backup_options options = {.folder = folder,
                                               .compression_level = 1,
                                               .clock = &c->clock.base,
                                               .random = kvs_random_system()};
    struct kvs_backup_info info;
    struct kvs_message message = {{0}};
    char *path = NULL;
    if (kvs_backup_create(&options, &view, &info, &path, &message) != 0)
        fail_msg("%s", message.text);
    return path;
}

// Puts a node that is down on what the backup holds.
static void put_back(struct cluster *c, int index, const char *file, bool as_new_writes,
                     char ret_folder[static 80])
{
    struct peer *peer = &c->peers[index];
    (void)snprintf(ret_folder, 80, "%s/restored", peer->dir.path);
    const struct kvs_backup_restore_options options = {.file = file,
                                                       .data_dir = ret_folder,
                                                       .as_new_writes = as_new_writes,
                                                       .clock = &c->clock.base,
                                                       .random = kvs_random_system()};
    struct kvs_backup_info info;
    struct kvs_message message = {{0}};
    uint64_t rewritten = 0;
    if (kvs_backup_restore(&options, &info, &rewritten, &message) != 0)
        fail_msg("%s", message.text);
    peer->options.data_dir = ret_folder;
}

// Writes before a backup of node 1 and, by both, behind it; then node 1 goes down.
static char *a_backup_and_what_came_after(struct cluster *c)
{
    form(c, 2);
    put_at(c, 1, "changed", "\"old\"");
    put_at(c, 0, "deleted", "\"old\"");
    put_at(c, 1, "deleted by itself", "\"old\"");
    put_at(c, 1, "\x01user/1", "\"old\"");
    wait_for_equal(c, 0, 1);
    char *path = back_up(c, 1);
    atomic_fetch_add(&c->clock.wall_ms, 1000);
    put_at(c, 0, "changed", "\"new\"");
    put_at(c, 1, "its own", "\"new\""); // in the life that the backup saw the beginning of
    delete_at(c, 0, "deleted");
    delete_at(c, 1, "deleted by itself");
    delete_at(c, 0, "\x01user/1");
    wait_for_equal(c, 0, 1);
    down(c, 1);
    put_at(c, 0, "later", "\"new\"");
    return path;
}

static void a_restored_node_neither_resurrects_nor_rolls_back(void **state)
{
    struct cluster *c = *state;
    char folder[80];
    KVS_CLEANUP(kvs_freep) char *path = a_backup_and_what_came_after(c);
    put_back(c, 1, path, false, folder);
    up(c, 1);
    wait_for_equal(c, 0, 1);
    for (int i = 0; i < 2; i++) {
        assert_true(holds(c, i, "changed", "\"new\""));
        assert_true(holds(c, i, "its own", "\"new\""));
        assert_true(holds(c, i, "later", "\"new\""));
        assert_true(holds(c, i, "deleted", NULL));
        assert_true(holds(c, i, "deleted by itself", NULL));
        assert_true(holds(c, i, "\x01user/1", NULL));
    }
    put_at(c, 1, "behind it", "1"); // no number is used twice
    WAIT_FOR(holds(c, 0, "behind it", "1"));
    wait_for_equal(c, 0, 1);
    down(c, 1);
}

static void as_new_writes_the_backup_wins_everywhere(void **state)
{
    struct cluster *c = *state;
    char folder[80];
    KVS_CLEANUP(kvs_freep) char *path = a_backup_and_what_came_after(c);
    atomic_fetch_add(&c->clock.wall_ms, 1000); // after what it must beat
    put_back(c, 1, path, true, folder);
    up(c, 1);
    WAIT_FOR(holds(c, 0, "changed", "\"old\""));
    wait_for_equal(c, 0, 1);
    for (int i = 0; i < 2; i++) {
        assert_true(holds(c, i, "changed", "\"old\""));
        assert_true(holds(c, i, "deleted", "\"old\""));
        assert_true(holds(c, i, "deleted by itself", "\"old\""));
        assert_true(holds(c, i, "its own", "\"new\""));
        assert_true(holds(c, i, "later", "\"new\""));
        assert_true(holds(c, i, "\x01user/1", NULL)); // accounts stay as the cluster has them
    }
    put_at(c, 1, "changed", "\"newest\"");
    WAIT_FOR(holds(c, 0, "changed", "\"newest\""));
    down(c, 1);
}

// ---- Receipts

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
        TEST(a_write_reaches_every_node),
        TEST(a_pause_that_was_awaited_is_on_its_way),
        TEST(an_empty_node_reads_everything_and_then_opens),
        TEST(a_node_that_was_down_catches_up),
        TEST(both_sides_of_a_cut_keep_their_writes),
        TEST(a_tie_is_decided_alike_and_its_loser_is_kept),
        TEST(two_nodes_with_data_that_meet_lose_nothing),
        TEST(deletions_are_forgotten_when_all_have_them),
        TEST(a_node_that_was_alone_brings_its_deletions_along),
        TEST(a_version_from_the_future_waits),
        TEST(a_clock_that_was_ahead_holds_nobody_there),
        TEST(a_damaged_record_is_repaired_from_a_peer),
        TEST(a_version_that_cannot_be_stored_holds_up_no_other),
        TEST(a_node_that_joins_reads_all_but_what_it_cannot_store),
        TEST(under_load_damaged_records_are_repaired_too),
        TEST(a_copied_directory_is_told_to_stop),
        TEST(a_leaving_node_says_so),
        TEST(a_write_beside_a_persist_is_pushed),
        TEST(many_writers_end_with_one_state),
        TEST(a_restored_node_neither_resurrects_nor_rolls_back),
        TEST(as_new_writes_the_backup_wins_everywhere),
        TEST(a_receipt_comes_when_enough_nodes_have_the_write),
        TEST(a_receipt_that_is_taken_back_never_comes),
        TEST(a_restarted_peer_is_believed_only_what_it_says_anew),
        TEST(every_node_learns_who_has_a_version),
        TEST(staleness_grows_while_a_peer_is_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
