// SPDX-License-Identifier: Apache-2.0
// Real nodes on real stores in one process, joined by a network that a test can cut: the core, the
// commit thread and everything between them, without a socket.
#ifndef KVS_TESTS_UNIT_NODE_NODES_H
#define KVS_TESTS_UNIT_NODE_NODES_H

#include "tests/unit/node/operations.h"

#include "node/replica.h"

#include <pthread.h>

enum { NODES = 3 };

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

static inline void on_send(void *ctx, struct kvs_slice address, struct kvs_slice message)
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

static inline void on_stop(void *ctx, const char *reason)
{
    struct peer *peer = ctx;
    (void)reason;
    atomic_fetch_add(&peer->stops, 1);
}

static inline void up(struct cluster *c, int index)
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

static inline void down(struct cluster *c, int index)
{
    struct peer *peer = &c->peers[index];
    (void)pthread_rwlock_wrlock(&c->lock);
    struct kvs_node *node = peer->node;
    peer->node = NULL;
    (void)pthread_rwlock_unlock(&c->lock);
    kvs_node_close(node);
}

static inline void cut(struct cluster *c, int a, int b, bool is_cut)
{
    (void)pthread_rwlock_wrlock(&c->lock);
    c->cut[a][b] = is_cut;
    c->cut[b][a] = is_cut;
    (void)pthread_rwlock_unlock(&c->lock);
}

static inline void init_peer(struct cluster *c, int index)
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

static inline int cluster_setup(void **state)
{
    struct cluster *c = calloc(1, sizeof(*c));
    assert_non_null(c);
    c->clock.base = (struct kvs_clock){test_clock_read, real_mono_ms, test_clock_mono_ns};
    atomic_store(&c->clock.wall_ms, INT64_C(1700000000000));
    assert_int_equal(kvs_metrics_new(&c->metrics), 0);
    // Three threads that send all the time would keep a writer out for ever.
    pthread_rwlockattr_t fair;
    (void)pthread_rwlockattr_init(&fair);
    (void)pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    (void)pthread_rwlock_init(&c->lock, &fair);
    (void)pthread_rwlockattr_destroy(&fair);
    for (int i = 0; i < NODES; i++)
        init_peer(c, i);
    *state = c;
    return 0;
}

static inline int cluster_teardown(void **state)
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

static inline int try_write(struct cluster *c, int index, struct kvs_write *write)
{
    return kvs_node_write_wait(c->peers[index].node, write);
}

static inline struct kvs_version put_at(struct cluster *c, int index, const char *key,
                                        const char *json)
{
    struct kvs_write write = make_write(KVS_WRITE_PUT, key, json);
    assert_int_equal(try_write(c, index, &write), 0);
    return write.version;
}

static inline void delete_at(struct cluster *c, int index, const char *key)
{
    struct kvs_write write = make_write(KVS_WRITE_DELETE, key, NULL);
    assert_int_equal(try_write(c, index, &write), 0);
}

static inline bool holds(struct cluster *c, int index, const char *key, const char *json)
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
static inline bool dump_one(void *ctx, const struct kvs_current *current)
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

static inline void dump(struct cluster *c, int index, struct kvs_buf *out)
{
    kvs_buf_clear(out);
    assert_int_equal(kvs_node_each_current(c->peers[index].node, KVS_SLICE_EMPTY, KVS_SLICE_EMPTY,
                                           dump_one, out),
                     0);
    assert_int_equal(out->err, 0);
}

static inline bool same_data(struct cluster *c, int a, int b)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf x = KVS_BUF_INIT(256 << 20);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf y = KVS_BUF_INIT(256 << 20);
    dump(c, a, &x);
    dump(c, b, &y);
    return kvs_slice_eq(kvs_buf_slice(&x), kvs_buf_slice(&y));
}

static inline bool same_root(struct cluster *c, int a, int b)
{
    return kvs_fingerprint_eq(kvs_ledger_root(c->peers[a].node->ledger),
                              kvs_ledger_root(c->peers[b].node->ledger));
}

static inline void wait_for_equal(struct cluster *c, int a, int b)
{
    WAIT_FOR(same_root(c, a, b) && same_data(c, a, b));
}

static inline bool is_normal(struct cluster *c, int index)
{
    struct kvs_node_status status;
    assert_int_equal(kvs_node_status(c->peers[index].node, &status), 0);
    return status.mode == KVS_NODE_NORMAL;
}

static inline void form(struct cluster *c, int count)
{
    for (int i = 0; i < count; i++)
        up(c, i);
    for (int i = 0; i < count; i++)
        WAIT_FOR(is_normal(c, i) && kvs_node_alive_count(c->peers[i].node) == (size_t)count);
}

#define CLUSTER_TEST(name) cmocka_unit_test_setup_teardown(name, cluster_setup, cluster_teardown)

#endif
