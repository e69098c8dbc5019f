// SPDX-License-Identifier: Apache-2.0
// A node of a cluster that is put back to what a backup holds.
#include "tests/unit/node/nodes.h"

#include "node/backup.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLUSTER_TEST(a_restored_node_neither_resurrects_nor_rolls_back),
        CLUSTER_TEST(as_new_writes_the_backup_wins_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
