// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/node/fixture.h"

struct listing {
    struct kvs_buf text; // "key=json key/ …"
    int left;            // how many to accept
};

static bool accept_one(struct listing *listing)
{
    if (listing->left == 0)
        return false;
    listing->left--;
    if (listing->text.size > 0)
        kvs_buf_append_char(&listing->text, ' ');
    return true;
}

static bool visit(void *ctx, struct kvs_slice key, const struct kvs_version *version,
                  struct kvs_slice json)
{
    assert_true(version->timestamp > 0);
    if (!accept_one(ctx))
        return false;
    struct listing *listing = ctx;
    kvs_buf_append_slice(&listing->text, key);
    kvs_buf_append_char(&listing->text, '=');
    kvs_buf_append_slice(&listing->text, json);
    return true;
}

static bool visit_prefix(void *ctx, struct kvs_slice prefix)
{
    if (!accept_one(ctx))
        return false;
    kvs_buf_append_slice(&((struct listing *)ctx)->text, prefix);
    return true;
}

static void assert_listing(struct fixture *f, struct kvs_node_scan scan, int limit,
                           const char *expected)
{
    struct listing listing = {KVS_BUF_INIT(1 << 20), limit};
    scan.visit = visit;
    scan.visit_prefix = visit_prefix;
    scan.ctx = &listing;
    assert_int_equal(kvs_node_scan(f->node, kvs_auth_open_grant(), &scan, KVS_READ_DISK), 0);
    kvs_buf_append_char(&listing.text, '\0');
    assert_string_equal(listing.text.data, expected);
    kvs_buf_done(&listing.text);
}

static void fill(struct fixture *f)
{
    static const char *const keys[] = {"a",   "a!",    "a/b",  "a/b/c", "a/b/d",
                                       "a/e", "a/g/h", "test", "test2", "z\xc3\xa4"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(keys); i++) {
        for (int n = 0; n < 12; n++) // more versions than a scan steps over
            put(f, keys[i], "0");
        put(f, keys[i], "1");
    }
    put(f, "a/gone", "1");
    assert_int_equal(delete_key(f, "a/gone"), 0);
    put(f, "b/gone/x", "1");
    assert_int_equal(delete_key(f, "b/gone/x"), 0);
}

static void lists_current_visible_records_in_byte_order(void **state)
{
    struct fixture *f = *state;
    fill(f);
    assert_listing(f, (struct kvs_node_scan){0}, 100,
                   "a=1 a!=1 a/b=1 a/b/c=1 a/b/d=1 a/e=1 a/g/h=1 test=1 test2=1 z\xc3\xa4=1");
    fixture_restart(f); // the same from the disk
    assert_listing(f, (struct kvs_node_scan){.prefix = KVS_SLICE("test")}, 100, "test=1 test2=1");
}

static void respects_prefix_bounds_and_limit(void **state)
{
    struct fixture *f = *state;
    fill(f);
    assert_listing(f, (struct kvs_node_scan){.prefix = KVS_SLICE("a/b")}, 100,
                   "a/b=1 a/b/c=1 a/b/d=1");
    assert_listing(f, (struct kvs_node_scan){.first = KVS_SLICE("a/b/c"), .end = KVS_SLICE("test")},
                   100, "a/b/c=1 a/b/d=1 a/e=1 a/g/h=1");
    assert_listing(f, (struct kvs_node_scan){.first = KVS_SLICE("a/b0")}, 2, "a/e=1 a/g/h=1");
    assert_listing(f,
                   (struct kvs_node_scan){.prefix = KVS_SLICE("a/"), .first = KVS_SLICE("a/b/d")},
                   2, "a/b/d=1 a/e=1");
    assert_listing(f, (struct kvs_node_scan){.prefix = KVS_SLICE("nothing")}, 100, "");
}

static void a_delimiter_rolls_children_up_once_and_only_where_something_is_visible(void **state)
{
    struct fixture *f = *state;
    fill(f);
    assert_listing(f, (struct kvs_node_scan){.delimiter = KVS_SLICE("/")}, 100,
                   "a=1 a!=1 a/ test=1 test2=1 z\xc3\xa4=1");
    assert_listing(f,
                   (struct kvs_node_scan){.prefix = KVS_SLICE("a/"), .delimiter = KVS_SLICE("/")},
                   100, "a/b=1 a/b/ a/e=1 a/g/");
    assert_listing(
        f, (struct kvs_node_scan){.prefix = KVS_SLICE("b/"), .delimiter = KVS_SLICE("/")}, 100, "");
}

struct paused {
    int visited;
    char at[16];
};

static bool count_visit(void *ctx, struct kvs_slice key, const struct kvs_version *version,
                        struct kvs_slice json)
{
    (void)key;
    (void)version;
    (void)json;
    ((struct paused *)ctx)->visited++;
    return true;
}

static void remember_pause(void *ctx, struct kvs_slice key)
{
    struct paused *paused = ctx;
    (void)snprintf(paused->at, sizeof(paused->at), "%.*s", KVS_SLICE_FMT(key));
}

static void a_scan_pauses_after_so_many_keys_deleted_ones_too(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 10; i++) {
        char key[8];
        (void)snprintf(key, sizeof(key), "k%d", i);
        put(f, key, "1");
        if (i != 1)
            assert_int_equal(delete_key(f, key), 0);
    }
    struct paused paused = {0};
    struct kvs_node_scan scan = {
        .keys_max = 6, .visit = count_visit, .pause = remember_pause, .ctx = &paused};
    assert_int_equal(kvs_node_scan(f->node, kvs_auth_open_grant(), &scan, KVS_READ_DISK), 0);
    assert_int_equal(paused.visited, 1);
    assert_string_equal(paused.at, "k6");
    scan.first = kvs_slice_from_str("k6");
    paused = (struct paused){0};
    assert_int_equal(kvs_node_scan(f->node, kvs_auth_open_grant(), &scan, KVS_READ_DISK), 0);
    assert_int_equal(paused.visited, 0);
    assert_string_equal(paused.at, ""); // the end
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(lists_current_visible_records_in_byte_order),
        TEST(respects_prefix_bounds_and_limit),
        TEST(a_delimiter_rolls_children_up_once_and_only_where_something_is_visible),
        TEST(a_scan_pauses_after_so_many_keys_deleted_ones_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
