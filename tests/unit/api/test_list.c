// SPDX-License-Identifier: Apache-2.0
// Listings and ranges: order, prefixes, delimiter, pages, cursors, limits.
#include "api_test.h"

// Every trap in one tree: neighbours of '/' in byte order, names that begin alike, non-ASCII.
static const char *const tree[] = {
    "a",        "a-b",   "a.b",   "a/b",     "a/b/c",    "a/b/d/e",
    "a/c",      "a0",    "test",  "test-x",  "test/1",   "test/2/x",
    "test/2/y", "test0", "test2", "test2/1", "\xC3\xA4", "\xC3\xA4/\"q\\"};

static void put(struct api_fixture *f, const char *key, const char *value)
{
    char target[4000];
    struct kvs_buf encoded = KVS_BUF_INIT(4096);
    kvs_percent_encode(&encoded, kvs_slice_from_str(key), true);
    (void)snprintf(target, sizeof(target), "/kv/%.*s", KVS_SLICE_FMT(kvs_buf_slice(&encoded)));
    kvs_buf_done(&encoded);
    assert_in_range(api_put(f, target, value), 200, 201);
}

static void plant(struct api_fixture *f)
{
    for (size_t i = 0; i < KVS_ARRAY_SIZE(tree); i++)
        put(f, tree[i], "{\"v\":1.0}");
    put(f, "a/deleted/x", "1");
    assert_int_equal(api_delete(f, "/kv/a/deleted/x"), 204);
    put(f, "zz", "1");
    assert_int_equal(api_delete(f, "/kv/zz"), 204);
}

// Appends the strings of an array (or the "path" members of its objects), each with a space behind.
static void join(struct api_fixture *f, const char *name, char *out, size_t out_size)
{
    const struct kvs_json *list = kvs_json_member(api_json(f), name);
    assert_non_null(list);
    assert_int_equal(list->type, KVS_JSON_ARRAY);
    for (const struct kvs_json *item = list->child; item; item = item->next) {
        const struct kvs_json *text =
            item->type == KVS_JSON_OBJECT ? kvs_json_member(item, "path") : item;
        struct kvs_slice value;
        assert_int_equal(kvs_json_string(text, &f->exchange.arena, &value), 0);
        size_t used = strlen(out);
        (void)snprintf(out + used, out_size - used, "%.*s ", KVS_SLICE_FMT(value));
    }
}

static const char *joined(struct api_fixture *f, const char *name)
{
    static char out[4096];
    out[0] = '\0';
    join(f, name, out, sizeof(out));
    return out;
}

static void a_listing_names_each_version_in_byte_order(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(api_get(f, "/kv/"), 200);
    assert_string_equal(api_body(f), "{\"keys\":[],\"prefixes\":[],\"next\":null}");
    put(f, "b", "1");
    char uuid[40];
    (void)snprintf(uuid, sizeof(uuid), "%.36s", api_header(f, "ETag") + 1);
    char expected[200];
    (void)snprintf(expected, sizeof(expected),
                   "{\"keys\":[{\"path\":\"b\",\"uuid\":\"%s\",\"timestamp\":1790000000123}],"
                   "\"prefixes\":[],\"next\":null}",
                   uuid);
    assert_int_equal(api_get(f, "/kv/"), 200);
    assert_string_equal(api_body(f), expected);
    assert_int_equal(api_delete(f, "/kv/b"), 204);
    plant(f);
    assert_int_equal(api_get(f, "/kv/"), 200);
    assert_string_equal(
        joined(f, "keys"),
        "a a-b a.b a/b a/b/c a/b/d/e a/c a0 test test-x test/1 test/2/x test/2/y test0 "
        "test2 test2/1 \xC3\xA4 \xC3\xA4/\"q\\ ");
}

static void values_adds_the_data(void **state)
{
    struct api_fixture *f = *state;
    put(f, "k", "{\"b\": 1.0, \"a\": 2}");
    assert_int_equal(api_get(f, "/kv/?values=1"), 200);
    assert_contains(api_body(f), "\"timestamp\":1790000000123,\"data\":{\"b\":1.0,\"a\":2}}]");
    assert_int_equal(api_get(f, "/kv/?values=0"), 200);
    assert_null(strstr(api_body(f), "data"));
}

static void a_path_covers_whole_segments_and_prefix_bytes(void **state)
{
    struct api_fixture *f = *state;
    plant(f);
    static const char *const cases[][2] = {
        {"/kv/test/", "test/1 test/2/x test/2/y "},
        {"/kv/test%2F2/", "test/2/x test/2/y "},
        {"/kv/a/b/", "a/b/c a/b/d/e "},
        {"/kv/a%2Fb/", "a/b/c a/b/d/e "},
        {"/kv/%C3%A4/", "\xC3\xA4/\"q\\ "},
        {"/kv/nope/", ""},
        {"/kv/?prefix=test", "test test-x test/1 test/2/x test/2/y test0 test2 test2/1 "},
        {"/kv/?prefix=test/2", "test/2/x test/2/y "},
        {"/kv/?prefix=a%2F", "a/b a/b/c a/b/d/e a/c "},
        {"/kv/?prefix=%C3", "\xC3\xA4 \xC3\xA4/\"q\\ "}, // half a character is a byte prefix
        {"/kv/?prefix=T", ""},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++) {
        assert_int_equal(api_get(f, cases[i][0]), 200);
        assert_string_equal(joined(f, "keys"), cases[i][1]);
    }
}

// Follows the cursors; appends all keys and prefixes.
static size_t walk(struct api_fixture *f, const char *target, char *keys, char *prefixes,
                   size_t size)
{
    char next[2000] = "";
    size_t pages = 0;
    keys[0] = prefixes[0] = '\0';
    do {
        char url[3000];
        (void)snprintf(url, sizeof(url), "%s%s%s", target, next[0] ? "&cursor=" : "", next);
        assert_int_equal(api_get(f, url), 200);
        join(f, "keys", keys, size);
        join(f, "prefixes", prefixes, size);
        (void)snprintf(next, sizeof(next), "%s", api_string(f, "next"));
        for (const char *p = next; *p; p++)
            assert_non_null(
                strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", *p));
        assert_true(++pages < 100);
    } while (next[0]);
    return pages;
}

static void pages_neither_repeat_nor_skip(void **state)
{
    struct api_fixture *f = *state;
    plant(f);
    static const struct {
        const char *target;
        const char *keys;
        const char *prefixes;
        size_t count;
    } cases[] = {
        {"/kv/?delimiter=/", "a a-b a.b a0 test test-x test0 test2 \xC3\xA4 ",
         "a/ test/ test2/ \xC3\xA4/ ", 13},
        {"/kv/a/?delimiter=/", "a/b a/c ", "a/b/ ", 3},
        {"/kv/?delimiter=%2F&prefix=test", "test test-x test0 test2 ", "test/ test2/ ", 6},
        {"/kv/?prefix=a/", "a/b a/b/c a/b/d/e a/c ", "", 4},
        {"/kv/nope/?delimiter=/", "", "", 0},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++) {
        for (size_t limit = 1; limit <= 14; limit++) {
            char target[200];
            char keys[2000];
            char prefixes[2000];
            (void)snprintf(target, sizeof(target), "%s%climit=%zu", cases[i].target,
                           strchr(cases[i].target, '?') ? '&' : '?', limit);
            size_t pages = walk(f, target, keys, prefixes, sizeof(keys));
            assert_string_equal(keys, cases[i].keys);
            assert_string_equal(prefixes, cases[i].prefixes);
            size_t expected = (cases[i].count + limit - 1) / limit;
            assert_int_equal(pages, expected > 0 ? expected : 1);
        }
    }
}

static void the_cursor_goes_on_where_its_key_is_gone(void **state)
{
    struct api_fixture *f = *state;
    put(f, "p/1", "1");
    put(f, "p/2", "1");
    put(f, "p/3", "1");
    assert_int_equal(api_get(f, "/kv/p/?limit=1"), 200);
    char url[200];
    (void)snprintf(url, sizeof(url), "/kv/p/?limit=1&cursor=%s", api_string(f, "next"));
    assert_int_equal(api_delete(f, "/kv/p/2"), 204);
    assert_int_equal(api_get(f, url), 200);
    assert_string_equal(joined(f, "keys"), "p/3 ");
}

static void the_limit_is_100_unless_given_and_1000_at_most(void **state)
{
    struct api_fixture *f = *state;
    for (int i = 0; i < 101; i++) {
        char key[20];
        (void)snprintf(key, sizeof(key), "k/%03d", i);
        put(f, key, "1");
    }
    assert_int_equal(api_get(f, "/kv/k/"), 200);
    assert_int_equal(kvs_json_member(api_json(f), "keys")->child_count, 100);
    assert_string_not_equal(api_string(f, "next"), "");
    assert_int_equal(api_get(f, "/kv/_range"), 200);
    assert_int_equal(kvs_json_member(api_json(f), "pairs")->child_count, 100);
    assert_int_equal(api_get(f, "/kv/k/?limit=1000"), 200);
    assert_int_equal(kvs_json_member(api_json(f), "keys")->child_count, 101);
}

#ifndef KVS_TEST_REAL_NODE

static void a_page_ends_where_many_deleted_keys_were_walked_over(void **state)
{
    struct api_fixture *f = *state;
    static const char *const keys[] = {"p/a", "p/b/c", "p/b/d", "p/e"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(keys); i++)
        put(f, keys[i], "1");
    f->node->walk = 60000;
    char found[400];
    char prefixes[400];
    assert_int_equal(walk(f, "/kv/p/?limit=100", found, prefixes, sizeof(found)), 2);
    assert_string_equal(found, "p/a p/b/c p/b/d p/e ");
}

#endif

static void a_page_of_values_ends_at_its_bytes(void **state)
{
    struct api_fixture *f = *state;
    enum { SIZE = 1500000, COUNT = 7 };
    f->options.max_json_size = SIZE;
    api_renew(f);
    char *value = malloc(SIZE + 1);
    memset(value, '7', SIZE);
    value[SIZE] = '\0';
    for (int i = 0; i < COUNT; i++) {
        char key[20];
        (void)snprintf(key, sizeof(key), "big/%d", i);
        put(f, key, value);
    }
    free(value);
    char keys[500];
    char prefixes[10];
    assert_int_equal(walk(f, "/kv/big/?values=1", keys, prefixes, sizeof(prefixes)), 3);
    assert_int_equal(api_get(f, "/kv/_range"), 200);
    assert_int_equal(kvs_json_member(api_json(f), "pairs")->child_count, 3);
    assert_int_equal(api_get(f, "/kv/big/?limit=1&values=1"), 200);
    assert_int_equal(kvs_json_member(api_json(f), "keys")->child_count, 1);
}

static void bad_parameters_are_400_and_named(void **state)
{
    struct api_fixture *f = *state;
    static const char *const targets[][2] = {
        {"/kv/?limit=0", "1 to 1000"},
        {"/kv/?limit=1001", "1 to 1000"},
        {"/kv/?limit=-1", "1 to 1000"},
        {"/kv/?limit=", "1 to 1000"},
        {"/kv/?limit=1.5", "1 to 1000"},
        {"/kv/?limit=99999999999999999999", "1 to 1000"},
        {"/kv/?limit=1&limit=2", "twice"},
        {"/kv/?delimiter=", "delimiter"},
        {"/kv/?delimiter=x", "delimiter"},
        {"/kv/?delimiter=//", "delimiter"},
        {"/kv/?values=maybe", "values must be"},
        {"/kv/?cursor=", "cursor"},
        {"/kv/?cursor=nonsense!", "cursor"},
        {"/kv/?cursor=AQ", "cursor"},    // the format byte alone
        {"/kv/?cursor=AmE", "cursor"},   // another format
        {"/kv/?cursor=AWF", "cursor"},   // bits left over
        {"/kv/?cursor=AWFhA", "cursor"}, // a digit too many
        {"/kv/?cursor=AWE%3D", "cursor"},
        {"/kv/?prefix=b&cursor=AWE", "cursor"}, // "a" lies outside
        {"/kv/_range?start_key=b&cursor=AWE", "cursor"},
        {"/kv/_range?end_key=Z&cursor=AWE", "cursor"},
        {"/kv/a/?prefix=a", "twice"},
        {"/kv/a/?prefix=", "twice"},
        {"/kv/a//", "Invalid prefix"},
        {"/kv//", "Invalid prefix"},
        {"/kv/a%2F/", "Invalid prefix"},
        {"/kv/../", "Invalid prefix"},
        {"/kv/_range/", "_range"},
        {"/kv/%FF/", "UTF-8"},
        {"/kv/%zz/", "percent-escape"},
        {"/kv/?prefx=a", "\"prefx\""},
        {"/kv/_range?prefix=a", "start_key"},
        {"/kv/_range?limit=1001", "1 to 1000"},
        {"/kv/_range?start_key=%zz", "percent-escape"},
        {"/kv/_range?start_key=a&start_key=b", "twice"},
        {"/kv/_range?values=1", "\"values\""},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(targets); i++) {
        if (api_get(f, targets[i][0]) != 400)
            fail_msg("%s: %s", targets[i][0], api_body(f));
        assert_contains(api_detail(f), targets[i][1]);
    }
    assert_int_equal(api_get(f, "/kv/?cursor=AWE"), 200); // the good one, for comparison
    static const char *const names[] = {
        "/kv/?prefix=", "/kv/_range?start_key=", "/kv/_range?end_key="};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(names); i++) {
        char target[1200];
        (void)snprintf(target, sizeof(target), "%s%01025d", names[i], 1);
        assert_int_equal(api_get(f, target), 200);
        (void)snprintf(target, sizeof(target), "%s%01026d", names[i], 1);
        assert_int_equal(api_get(f, target), 400);
        assert_contains(api_detail(f), "longer than 1025 bytes");
    }
}

static void the_longest_keys_fit_into_pages_and_cursors(void **state)
{
    struct api_fixture *f = *state;
    char key[1025];
    memset(key, '"', 1024); // the kind that grows when written
    key[1024] = '\0';
    put(f, key, "1");
    key[0] = '!';
    put(f, key, "1");
    key[1000] = '/';
    put(f, key, "1");
    key[0] = '"';
    put(f, key, "1");
    char keys[8000];
    char prefixes[8000];
    assert_int_equal(walk(f, "/kv/?limit=1", keys, prefixes, sizeof(keys)), 4);
    assert_int_equal(strlen(keys), 4 * 1025);
    assert_int_equal(walk(f, "/kv/?delimiter=/&limit=1", keys, prefixes, sizeof(keys)), 4);
    assert_int_equal(strlen(keys), 2 * 1025);
    assert_int_equal(strlen(prefixes), 2 * 1002);
}

// ---- _range

static void a_range_holds_both_its_bounds(void **state)
{
    struct api_fixture *f = *state;
    plant(f);
    static const char *const cases[][2] = {
        {"start_key=a/b&end_key=a/c", "a/b a/b/c a/b/d/e a/c "},
        {"start_key=a/b&end_key=a/b", "a/b "},
        {"start_key=a/bb&end_key=a/bc", ""},
        {"start_key=&end_key=a.", "a a-b "},
        {"start_key=test2&end_key=", "test2 test2/1 \xC3\xA4 \xC3\xA4/\"q\\ "},
        {"start_key=test2", "test2 test2/1 \xC3\xA4 \xC3\xA4/\"q\\ "},
        {"start_key=%C3%A4", "\xC3\xA4 \xC3\xA4/\"q\\ "},
        {"end_key=a-b", "a a-b "},
        {"start_key=b&end_key=a", ""},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++) {
        char target[200];
        (void)snprintf(target, sizeof(target), "/kv/_range?%s", cases[i][0]);
        assert_int_equal(api_get(f, target), 200);
        assert_string_equal(joined(f, "pairs"), cases[i][1]);
        assert_string_equal(api_string(f, "next"), "");
    }
}

static void a_range_pairs_paths_with_records(void **state)
{
    struct api_fixture *f = *state;
    put(f, "k", "[ 1.0 ]");
    char expected[300];
    (void)snprintf(expected, sizeof(expected),
                   "{\"pairs\":[{\"path\":\"k\",\"stored_value\":{\"uuid\":\"%.36s\",\"timestamp\":"
                   "1790000000123,\"data\":[1.0]}}],\"next\":null}",
                   api_header(f, "ETag") + 1);
    assert_int_equal(api_get(f, "/kv/_range"), 200);
    assert_string_equal(api_body(f), expected);
}

static void a_range_goes_on_at_its_cursor(void **state)
{
    struct api_fixture *f = *state;
    plant(f);
    char url[300] = "/kv/_range?start_key=a/b&end_key=a0&limit=2";
    assert_int_equal(api_get(f, url), 200);
    assert_string_equal(joined(f, "pairs"), "a/b a/b/c ");
    size_t used = strlen(url);
    (void)snprintf(url + used, sizeof(url) - used, "&cursor=%s", api_string(f, "next"));
    assert_int_equal(api_get(f, url), 200);
    assert_string_equal(joined(f, "pairs"), "a/b/d/e a/c ");
    (void)snprintf(url + used, sizeof(url) - used, "&cursor=%s", api_string(f, "next"));
    assert_int_equal(api_get(f, url), 200);
    assert_string_equal(joined(f, "pairs"), "a0 ");
    assert_string_equal(api_string(f, "next"), "");
}

static void scans_run_on_a_worker(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(api_get(f, "/kv/"), 200);
    assert_int_equal(f->worker_runs, 1);
    assert_int_equal(api_get(f, "/kv/_range"), 200);
    assert_int_equal(f->worker_runs, 1);
    assert_int_equal(api_send(f, "HEAD", "/kv/", ""), 200);
    assert_int_equal(api_get(f, "/kv/?limit=x"), 400); // a mistake is told at once
    assert_int_equal(f->worker_runs, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        api_test(a_listing_names_each_version_in_byte_order),
        api_test(values_adds_the_data),
        api_test(a_path_covers_whole_segments_and_prefix_bytes),
        api_test(pages_neither_repeat_nor_skip),
        api_test(the_cursor_goes_on_where_its_key_is_gone),
        api_test(the_limit_is_100_unless_given_and_1000_at_most),
        api_test(a_page_of_values_ends_at_its_bytes),
#ifndef KVS_TEST_REAL_NODE
        api_test(a_page_ends_where_many_deleted_keys_were_walked_over),
#endif
        api_test(bad_parameters_are_400_and_named),
        api_test(the_longest_keys_fit_into_pages_and_cursors),
        api_test(a_range_holds_both_its_bounds),
        api_test(a_range_pairs_paths_with_records),
        api_test(a_range_goes_on_at_its_cursor),
        api_test(scans_run_on_a_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
