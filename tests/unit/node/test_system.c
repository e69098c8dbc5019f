// SPDX-License-Identifier: Apache-2.0
// System records beside users' data, the observer that sees them, and groups of writes.
#include "tests/unit/node/fixture.h"

struct seen {
    char text[4096]; // "key=json …", in order of showing
};

static void on_restarted(void *ctx)
{
    (void)ctx;
}

static void on_restart(void *ctx)
{
    struct seen *seen = ctx;
    seen->text[0] = '\0';
}

static void on_record(void *ctx, struct kvs_slice key, const struct kvs_version *version,
                      struct kvs_slice json)
{
    struct seen *seen = ctx;
    assert_true(kvs_key_is_system(key));
    assert_true(json.size > 0 || !kvs_version_is_visible(version, TEST_START_MS));
    size_t used = strlen(seen->text);
    (void)snprintf(seen->text + used, sizeof(seen->text) - used, "%.*s=%.*s ", (int)key.size - 1,
                   key.data + 1, KVS_SLICE_FMT(json));
}

static void system_records_live_beside_users_data(void **state)
{
    struct fixture *f = *state;
    put(f, "user/1", "1");
    put(f, "\x01user/1", "2");
    put(f, "\x01user/1", "3");
    assert_value(f, "user/1", "1");
    assert_value(f, "\x01user/1", "3");
    assert_history(f, "\x01user/1", "3 2");
    fixture_restart(f);
    assert_value(f, "user/1", "1");
    assert_value(f, "\x01user/1", "3");
    assert_int_equal(delete_key(f, "\x01user/1"), 0);
    assert_int_equal(get_error(f, "\x01user/1"), KVS_ERR_NOT_FOUND);
    assert_value(f, "user/1", "1");
}

static bool count_key(void *ctx, struct kvs_slice key, const struct kvs_version *version,
                      struct kvs_slice json)
{
    (void)version;
    (void)json;
    int *counts = ctx;
    counts[kvs_key_is_system(key)]++;
    return true;
}

static void a_scan_sees_one_kind_alone(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1");
    put(f,
        "\x01"
        "a",
        "2");
    put(f,
        "\x01"
        "b",
        "3");
    int counts[2] = {0};
    struct kvs_node_scan scan = {.visit = count_key, .ctx = counts};
    assert_int_equal(kvs_node_scan(f->node, kvs_auth_open_grant(), &scan, KVS_READ_DISK), 0);
    assert_int_equal(counts[0], 1);
    assert_int_equal(counts[1], 0);
    scan.prefix = KVS_SLICE("\x01"); // what a client might try
    assert_int_equal(kvs_node_scan(f->node, kvs_auth_open_grant(), &scan, KVS_READ_DISK), 0);
    assert_int_equal(counts[1], 0);
    scan.prefix = KVS_SLICE_EMPTY;
    scan.system = true;
    assert_int_equal(kvs_node_scan(f->node, kvs_auth_open_grant(), &scan, KVS_READ_DISK), 0);
    assert_int_equal(counts[0], 1);
    assert_int_equal(counts[1], 2);
}

static void the_observer_sees_system_records_alone_and_all_at_open(void **state)
{
    struct fixture *f = *state;
    kvs_node_close(f->node);
    struct seen seen = {{0}};
    const struct kvs_node_observer observer = {&seen, on_restart, on_restarted, on_record};
    f->options.observer = &observer;
    fixture_open(f);
    put(f, "plain", "0");
    put(f,
        "\x01"
        "b",
        "1");
    put(f,
        "\x01"
        "a",
        "2");
    assert_int_equal(delete_key(f, "\x01"
                                   "b"),
                     0);
    assert_string_equal(seen.text, "b=1 a=2 b= ");
    on_restart(&seen);
    fixture_restart(f);
    assert_string_equal(seen.text, "a=2 ");
    kvs_node_close(f->node); // the observer lies on this stack
    f->options.observer = NULL;
    fixture_open(f);
}

// Writes that go together share a group, so a reader sees both or neither.
static void a_group_of_writes_is_committed_together(void **state)
{
    struct fixture *f = *state;
    struct stall stall;
    struct kvs_write first = make_write(KVS_WRITE_PUT, "stall", "0");
    stall_with(f, &stall, &first);
    struct kvs_write writes[3] = {make_write(KVS_WRITE_PUT, "a", "1"),
                                  make_write(KVS_WRITE_DELETE, "absent", NULL),
                                  make_write(KVS_WRITE_PUT, "b", "2")};
    for (int i = 0; i < 3; i++)
        writes[i].executor = &stall.executor;
    kvs_node_write_group(f->node, writes, 3);
    let_go(&stall, 4);
    assert_int_equal(writes[0].err, 0);
    assert_int_equal(writes[1].err, KVS_ERR_NOT_FOUND); // judged alone
    assert_int_equal(writes[2].err, 0);
    assert_int_equal(writes[2].version.timestamp, writes[0].version.timestamp);
    assert_value(f, "a", "1");
    assert_value(f, "b", "2");
    kvs_node_write_group(f->node, writes, 0); // nothing happens
}

static void a_group_is_not_cut_by_its_size(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 40, SIZE = 1 << 20 }; // more bytes than one group takes
    static char json[SIZE];
    memset(json, '1', sizeof(json));
    struct kvs_write writes[COUNT];
    char keys[COUNT][8];
    struct stall stall;
    struct kvs_write first = make_write(KVS_WRITE_PUT, "stall", "0");
    stall_with(f, &stall, &first);
    uint64_t before = kvs_metrics_counter(f->metrics, KVS_METRIC_COMMITS);
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), "k%d", i);
        writes[i] = make_write(KVS_WRITE_PUT, keys[i], NULL);
        writes[i].json = kvs_slice(json, sizeof(json));
        writes[i].executor = &stall.executor;
    }
    kvs_node_write_group(f->node, writes, COUNT);
    let_go(&stall, 1 + COUNT);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(writes[i].err, 0);
    assert_int_equal(kvs_metrics_counter(f->metrics, KVS_METRIC_COMMITS), before + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(system_records_live_beside_users_data, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(a_scan_sees_one_kind_alone, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(the_observer_sees_system_records_alone_and_all_at_open,
                                        fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_group_of_writes_is_committed_together, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(a_group_is_not_cut_by_its_size, fixture_setup,
                                        fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
