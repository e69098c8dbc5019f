// SPDX-License-Identifier: Apache-2.0
// Foreign members on a real node whose clock a test moves: how they age, what survives a restart,
// and who may have which name.
#include "tests/unit/node/fixture.h"

#include "node/cluster.h"

enum { SILENT_MS = 1000 };

static void on_send(void *ctx, struct kvs_slice address, struct kvs_slice message)
{
    (void)ctx;
    (void)address;
    (void)message;
}

static void on_stop(void *ctx, const char *reason)
{
    (void)ctx;
    (void)reason;
}

struct alone {
    struct test_clock clock;
    struct tempdir dir;
    struct kvs_cluster_options cluster;
    struct kvs_node_options options;
    struct kvs_node *node;
};

static void up(struct alone *a)
{
    struct kvs_message message = {{0}};
    if (kvs_node_open(&a->options, &a->node, &message) != 0)
        fail_msg("%s", message.text);
}

static void init(struct alone *a)
{
    *a = (struct alone){0};
    a->clock.base = (struct kvs_clock){test_clock_read, test_clock_read, test_clock_mono_ns};
    atomic_store(&a->clock.wall_ms, 1700000000000);
    tempdir_init(&a->dir);
    a->cluster = (struct kvs_cluster_options){.address = "n:1",
                                              .probe_interval_ms = 1000,
                                              .suspect_timeout_ms = 1000,
                                              .gossip_min_ms = SILENT_MS,
                                              .gossip_max_ms = SILENT_MS,
                                              .sync_interval_ms = 1000,
                                              .catchup_interval_ms = 1000,
                                              .status_interval_ms = 1000,
                                              .promise_interval_ms = 1000,
                                              .skew_max_ms = 60000,
                                              .bootstrap_max_age_ms = 1000,
                                              .send = on_send,
                                              .stop = on_stop};
    a->options = (struct kvs_node_options){.data_dir = a->dir.path,
                                           .node_id = "n",
                                           .durability = KVS_DURABILITY_ASYNC,
                                           .revisions = 3,
                                           .tombstone_retention_ms = 1000,
                                           .clock = &a->clock.base,
                                           .random = kvs_random_system(),
                                           .cluster = &a->cluster};
    up(a);
}

static void done(struct alone *a)
{
    kvs_node_close(a->node);
    tempdir_done(&a->dir);
}

static void pass(struct alone *a, int64_t ms)
{
    atomic_fetch_add(&a->clock.wall_ms, ms);
}

static struct kvs_foreign_member member(const char *id, const char *address, int64_t joined,
                                        int64_t last_seen)
{
    return (struct kvs_foreign_member){kvs_slice_from_str(id), kvs_slice_from_str(address), joined,
                                       last_seen};
}

static int join(struct alone *a, const char *id, const char *address, int64_t joined)
{
    struct kvs_foreign_member m = member(id, address, joined, 0);
    return kvs_node_foreign_join(a->node, &m);
}

static void tell(struct alone *a, const char *id, int64_t joined, int64_t last_seen)
{
    struct kvs_foreign_member m = member(id, "t:1", joined, last_seen);
    kvs_node_foreign_told(a->node, &m);
}

struct search {
    const char *id;
    bool found;
    struct kvs_member_info info;
};

static void look(void *ctx, const struct kvs_member_info *info)
{
    struct search *search = ctx;
    if (strcmp(info->name, search->id) != 0)
        return;
    search->found = true;
    search->info = *info;
}

static struct kvs_member_info find(struct alone *a, const char *id)
{
    struct search search = {.id = id};
    assert_int_equal(kvs_node_members(a->node, look, &search), 0);
    assert_true(search.found);
    return search.info;
}

static void they_age_by_their_silence(void **state)
{
    struct alone a;
    (void)state;
    init(&a);
    assert_int_equal(join(&a, "x", "x:1", 1), 0);
    assert_int_equal(find(&a, "x").state, KVS_MEMBER_ALIVE);
    pass(&a, 2 * SILENT_MS);
    assert_int_equal(find(&a, "x").state, KVS_MEMBER_ALIVE);
    pass(&a, 1);
    assert_int_equal(find(&a, "x").state, KVS_MEMBER_SUSPECT);
    pass(&a, 2 * SILENT_MS);
    assert_int_equal(find(&a, "x").state, KVS_MEMBER_DEAD);
    pass(&a, 7000);
    assert_int_equal(find(&a, "x").state_age_ms, 7001);
    kvs_node_foreign_heard(a.node, KVS_SLICE("x"));
    assert_int_equal(find(&a, "x").state, KVS_MEMBER_ALIVE);
    kvs_node_foreign_heard(a.node, KVS_SLICE("nobody"));
    assert_int_equal(kvs_node_alive_count(a.node), 2);
    done(&a);
}

static void what_others_tell_counts_when_it_has_grown(void **state)
{
    struct alone a;
    (void)state;
    init(&a);
    tell(&a, "x", 1, 500);
    pass(&a, 2 * SILENT_MS + 1);
    tell(&a, "x", 1, 500);
    assert_int_equal(find(&a, "x").state, KVS_MEMBER_SUSPECT);
    tell(&a, "x", 1, 501);
    assert_int_equal(find(&a, "x").state, KVS_MEMBER_ALIVE);
    bool self = true;
    assert_int_equal(kvs_node_leave_member(a.node, KVS_SLICE("x"), &self), 0);
    assert_false(self);
    tell(&a, "x", 1, 502); // has not heard of it
    assert_int_equal(find(&a, "x").state, KVS_MEMBER_LEFT);
    tell(&a, "x", 2, 503); // has come again
    assert_int_equal(find(&a, "x").state, KVS_MEMBER_ALIVE);
    tell(&a, "n", 9, INT64_MAX / 2); // of this node nobody speaks but itself
    assert_true(find(&a, "n").self);
    done(&a);
}

static void they_survive_a_restart(void **state)
{
    struct alone a;
    (void)state;
    init(&a);
    bool self = false;
    assert_int_equal(join(&a, "stays \"\\", "s:1", 1), 0);
    assert_int_equal(join(&a, "goes", "g:1", 2), 0);
    assert_int_equal(kvs_node_leave_member(a.node, KVS_SLICE("goes"), &self), 0);
    kvs_node_close(a.node);
    up(&a);
    struct kvs_member_info stays = find(&a, "stays \"\\");
    assert_int_equal(stays.state, KVS_MEMBER_ALIVE);
    assert_string_equal(stays.address, "s:1");
    assert_int_equal(stays.joined_timestamp, 1);
    assert_true(stays.foreign);
    assert_int_equal(find(&a, "goes").state, KVS_MEMBER_LEFT);
    done(&a);
}

static void a_living_ones_name_is_its_own(void **state)
{
    struct alone a;
    (void)state;
    init(&a);
    assert_int_equal(join(&a, "n", "x:1", 1), KVS_ERR_CONFLICT); // this node's
    assert_int_equal(join(&a, "x", "x:1", 1), 0);
    assert_int_equal(join(&a, "x", "y:1", 2), KVS_ERR_CONFLICT);
    assert_int_equal(join(&a, "x", "y:1", 1), 0); // moved
    assert_int_equal(join(&a, "x", "y:1", 2), 0); // began anew
    pass(&a, 4 * SILENT_MS + 1);
    assert_int_equal(join(&a, "x", "z:1", 3), 0); // after its death
    done(&a);
}

static void the_gone_make_room(void **state)
{
    struct alone a;
    char id[16];
    (void)state;
    init(&a);
    for (int i = 0; i < KVS_FOREIGN_MEMBERS_MAX; i++) {
        (void)snprintf(id, sizeof(id), "m%d", i);
        assert_int_equal(join(&a, id, "m:1", 1), 0);
    }
    assert_int_equal(join(&a, "more", "m:1", 1), KVS_ERR_BUSY);
    pass(&a, 4 * SILENT_MS + 1);
    assert_int_equal(join(&a, "more", "m:1", 1), 0);
    assert_int_equal(find(&a, "more").state, KVS_MEMBER_ALIVE);
    assert_int_equal(find(&a, "m7").state, KVS_MEMBER_DEAD);
    assert_int_equal(kvs_node_alive_count(a.node), 2);
    done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_age_by_their_silence),
        cmocka_unit_test(what_others_tell_counts_when_it_has_grown),
        cmocka_unit_test(they_survive_a_restart),
        cmocka_unit_test(a_living_ones_name_is_its_own),
        cmocka_unit_test(the_gone_make_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
