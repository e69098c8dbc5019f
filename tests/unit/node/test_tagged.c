// SPDX-License-Identifier: Apache-2.0
// Keys with their tags, and the walk over current versions of both families in one order.
#include "tests/unit/node/fixture.h"

#include "node/tagged.h"

static bool is_key(const char *bytes, size_t size)
{
    struct kvs_slice key;
    return kvs_tagged_key(kvs_slice(bytes, size), &key);
}

static void only_what_could_be_a_key_is_one(void **state)
{
    (void)state;
    char longest[KVS_KEY_SIZE_MAX + 2];
    memset(longest, 'a', sizeof(longest));
    longest[0] = KVS_REPL_TAG_DATA;
    struct kvs_slice key;
    assert_true(kvs_tagged_key(KVS_SLICE("\x02"
                                         "k/1"),
                               &key));
    assert_true(kvs_slice_eq(key, KVS_SLICE("k/1")));
    assert_true(kvs_tagged_key(KVS_SLICE("\x01user/1"), &key)); // its tag is its own first byte
    assert_true(kvs_slice_eq(key, KVS_SLICE("\x01user/1")));
    assert_true(is_key(longest, KVS_KEY_SIZE_MAX + 1));
    assert_false(is_key(longest, KVS_KEY_SIZE_MAX + 2));
    longest[0] = KVS_REPL_TAG_SYSTEM;
    assert_true(is_key(longest, KVS_KEY_SIZE_MAX));
    assert_false(is_key(longest, KVS_KEY_SIZE_MAX + 1));
    assert_false(is_key("", 0));
    assert_false(is_key("\x01", 1));
    assert_false(is_key("\x02", 1));
    assert_false(is_key("\x03k", 2));
    assert_false(is_key("k", 1));
    assert_false(is_key("\x02/k", 3));
    assert_false(is_key("\x02k\0x", 4)); // would end the key in its entries
    assert_false(is_key("\x01k\0x", 4));
    assert_false(is_key("\x02\x01k", 3)); // a user's key is never a system one
    assert_false(is_key("\x02k/../l", 7));
}

static bool append(void *ctx, const struct kvs_current *current)
{
    struct kvs_buf *out = ctx;
    kvs_buf_append_char(out, (char)('0' + current->tagged.data[0]));
    kvs_buf_append_slice(out, kvs_slice(current->tagged.data + 1, current->tagged.size - 1));
    kvs_buf_append_char(out, '=');
    kvs_buf_append_slice(out, current->json);
    kvs_buf_append_char(out, ' ');
    return true;
}

static void assert_range(struct fixture *f, struct kvs_slice first, struct kvs_slice end,
                         const char *expected)
{
    struct kvs_buf out = KVS_BUF_INIT(4096);
    assert_int_equal(kvs_node_each_current(f->node, first, end, append, &out), 0);
    kvs_buf_append_char(&out, '\0');
    assert_string_equal(out.data, expected);
    kvs_buf_done(&out);
}

static void a_walk_shows_each_key_once_in_order(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 20; i++) // more versions than a walk passes step by step
        put(f, "b", i % 2 ? "1" : "2");
    put(f, "a", "1");
    put(f, "b/c", "3"); // a key that begins like another
    put(f, "bb", "4");
    put(f, "\x01u", "5");
    put(f,
        "\x01"
        "a",
        "6");
    assert_int_equal(delete_key(f, "a"), 0);
    const struct kvs_slice none = KVS_SLICE_EMPTY;
    assert_range(f, none, none, "1a=6 1u=5 2a= 2b=1 2b/c=3 2bb=4 ");
    assert_range(f, KVS_SLICE("\x02"), none, "2a= 2b=1 2b/c=3 2bb=4 ");
    assert_range(f, none, KVS_SLICE("\x02"), "1a=6 1u=5 ");
    assert_range(f,
                 KVS_SLICE("\x01"
                           "b"),
                 KVS_SLICE("\x02"
                           "b"),
                 "1u=5 2a= ");
    assert_range(f,
                 KVS_SLICE("\x02"
                           "b"),
                 KVS_SLICE("\x02"
                           "bb"),
                 "2b=1 2b/c=3 ");
    assert_range(f,
                 KVS_SLICE("\x02"
                           "b"),
                 KVS_SLICE("\x02"
                           "b"),
                 "");
    assert_range(f, KVS_SLICE("\x01"),
                 KVS_SLICE("\x01"
                           "u"),
                 "1a=6 ");
    assert_range(f, KVS_SLICE("\x03"), none, "");
    assert_range(f, none, KVS_SLICE("\x01"), "");
}

static bool stop_at_second(void *ctx, const struct kvs_current *current)
{
    (void)current;
    return ++*(int *)ctx < 2;
}

static void a_walk_stops_when_it_is_told(void **state)
{
    struct fixture *f = *state;
    int seen = 0;
    put(f, "\x01u", "1");
    put(f, "a", "1");
    put(f, "b", "1");
    assert_int_equal(
        kvs_node_each_current(f->node, KVS_SLICE_EMPTY, KVS_SLICE_EMPTY, stop_at_second, &seen), 0);
    assert_int_equal(seen, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_could_be_a_key_is_one),
        TEST(a_walk_shows_each_key_once_in_order),
        TEST(a_walk_stops_when_it_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
