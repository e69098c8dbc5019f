// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "codec/json.h"

enum { ARENA_MAX = 64 << 20 };

static struct kvs_arena arena;

static struct kvs_json *parse(struct kvs_slice text, int flags)
{
    struct kvs_json *root = NULL;
    struct kvs_json_error error;
    assert_int_equal(kvs_json_parse(text, flags, &arena, &root, &error), 0);
    return root;
}

static void keeps_types_sources_and_order(void **state)
{
    (void)state;
    const struct kvs_json *root =
        parse(KVS_SLICE(" { \"n\" : 1.50 , \"s\":\"\\u0041\", \"a\":[ null ,true, false ] } "), 0);
    assert_int_equal(root->type, KVS_JSON_OBJECT);
    assert_int_equal(root->child_count, 3);
    assert_int_equal(root->key.size, 0);
    assert_slice_equal(root->source,
                       "{ \"n\" : 1.50 , \"s\":\"\\u0041\", \"a\":[ null ,true, false ] }");
    const struct kvs_json *n = root->child;
    assert_int_equal(n->type, KVS_JSON_NUMBER);
    assert_slice_equal(n->key, "\"n\"");
    assert_slice_equal(n->source, "1.50");
    assert_null(n->child);
    const struct kvs_json *s = n->next;
    assert_int_equal(s->type, KVS_JSON_STRING);
    assert_slice_equal(s->source, "\"\\u0041\"");
    const struct kvs_json *a = s->next;
    assert_int_equal(a->type, KVS_JSON_ARRAY);
    assert_int_equal(a->child_count, 3);
    assert_slice_equal(a->source, "[ null ,true, false ]");
    assert_null(a->next);
    assert_int_equal(a->child->type, KVS_JSON_NULL);
    assert_int_equal(a->child->key.size, 0);
    assert_int_equal(a->child->next->type, KVS_JSON_TRUE);
    assert_int_equal(a->child->next->next->type, KVS_JSON_FALSE);
    assert_null(a->child->next->next->next);
}

static void gives_empty_containers_no_children(void **state)
{
    (void)state;
    const struct kvs_json *root = parse(KVS_SLICE("[[],{},[ ]]"), 0);
    assert_int_equal(root->child_count, 3);
    for (const struct kvs_json *child = root->child; child; child = child->next) {
        assert_int_equal(child->child_count, 0);
        assert_null(child->child);
    }
}

static void finds_members_by_decoded_name_the_last_first(void **state)
{
    (void)state;
    const struct kvs_json *root =
        parse(KVS_SLICE("{\"a\":1,\"b\":2,\"\\u0061\":3,\"\":4,\"\xc3\xa9\\n\":5,\"ab\":6,"
                        "\"\\uD83D\\ude00\":7,\"x\\u0000y\":8}"),
              0);
    assert_slice_equal(kvs_json_member(root, "a")->source, "3");
    assert_slice_equal(kvs_json_member(root, "b")->source, "2");
    assert_slice_equal(kvs_json_member(root, "")->source, "4");
    assert_slice_equal(kvs_json_member(root, "\xc3\xa9\n")->source, "5");
    assert_slice_equal(kvs_json_member(root, "\xf0\x9f\x98\x80")->source, "7");
    assert_null(kvs_json_member(root, "x"));
    assert_null(kvs_json_member(root, "A"));
    assert_null(kvs_json_member(root->child, "a"));
    assert_null(kvs_json_member(NULL, "a"));
    assert_null(kvs_json_member(parse(KVS_SLICE("[{\"a\":1}]"), 0), "a"));
}

static void refuses_duplicate_names_only_when_asked(void **state)
{
    (void)state;
    static const struct {
        struct kvs_slice text;
        size_t offset; // of the repetition
    } cases[] = {
        {KVS_SLICE("{\"a\":1,\"a\":1}"), 7},
        {KVS_SLICE("{\"a\":1,\"\\u0061\":1}"), 7},
        {KVS_SLICE("{\"\\/\":1,\"b\":0,\"/\":1}"), 14},
        {KVS_SLICE("{\"\xc3\xa9\":1,\"\\u00e9\":1}"), 8},
        {KVS_SLICE("[{\"x\":{\"b\":1,\"a\":1,\"b\":2,\"a\":2}}]"), 19},
        {KVS_SLICE("{\"a\":1,\"b\":1,\"a\":2,\"b\":2}"), 13},
        {KVS_SLICE("{\"\":1,\"\":1}"), 6},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++) {
        struct kvs_json *root = NULL;
        struct kvs_json_error error = {0};
        assert_int_equal(kvs_json_parse(cases[i].text, 0, &arena, &root, &error), 0);
        root = NULL;
        assert_int_equal(kvs_json_parse(cases[i].text, KVS_JSON_UNIQUE_KEYS, &arena, &root, &error),
                         KVS_ERR_SYNTAX);
        assert_null(root);
        assert_string_equal(error.reason, "duplicate member name");
        assert_int_equal(error.offset, cases[i].offset);
    }
}

static void same_names_in_different_objects_are_no_duplicates(void **state)
{
    (void)state;
    (void)parse(KVS_SLICE("{\"a\":{\"a\":[{\"a\":1},{\"a\":1}]},\"A\":1,\"a\\u0000\":1}"),
                KVS_JSON_UNIQUE_KEYS);
}

// Quadratic work on this many members would take minutes.
static void checks_very_many_names(void **state)
{
    (void)state;
    enum { MEMBERS = 100000 };
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf text = KVS_BUF_INIT(16 << 20);
    for (unsigned i = 0; i < MEMBERS; i++)
        kvs_buf_printf(&text, "%s\"k%u\":%u", i == 0 ? "{" : ",", i, i);
    kvs_buf_append_char(&text, '}');
    assert_int_equal(parse(kvs_buf_slice(&text), KVS_JSON_UNIQUE_KEYS)->child_count, MEMBERS);
    text.size--;
    size_t offset = text.size + 1;
    kvs_buf_append_str(&text, ",\"k0\":0}");
    struct kvs_json *root = NULL;
    struct kvs_json_error error;
    assert_int_equal(
        kvs_json_parse(kvs_buf_slice(&text), KVS_JSON_UNIQUE_KEYS, &arena, &root, &error),
        KVS_ERR_SYNTAX);
    assert_int_equal(error.offset, offset);
}

static void refuses_what_the_scanner_refuses(void **state)
{
    (void)state;
    struct kvs_json *root = NULL;
    struct kvs_json_error error;
    assert_int_equal(kvs_json_parse(KVS_SLICE("[1,\n[2,]]"), 0, &arena, &root, &error),
                     KVS_ERR_SYNTAX);
    assert_int_equal(error.line, 2);
    assert_int_equal(error.column, 4);
    assert_null(root);
}

static void reports_a_full_arena(void **state)
{
    (void)state;
    static const struct kvs_slice texts[] = {KVS_SLICE("1"), KVS_SLICE("[]"), KVS_SLICE("{}")};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(texts); i++) {
        struct kvs_arena none;
        kvs_arena_init(&none, 0);
        struct kvs_json *root = NULL;
        assert_int_equal(kvs_json_parse(texts[i], 0, &none, &root, NULL), KVS_ERR_NOMEM);
        assert_null(root);
    }
}

static void parses_to_the_full_depth(void **state)
{
    (void)state;
    char text[2 * KVS_JSON_DEPTH_MAX];
    memset(text, '[', KVS_JSON_DEPTH_MAX);
    memset(text + KVS_JSON_DEPTH_MAX, ']', KVS_JSON_DEPTH_MAX);
    const struct kvs_json *value = parse(kvs_slice(text, sizeof(text)), 0);
    for (size_t i = 0; i < KVS_JSON_DEPTH_MAX; i++) {
        assert_int_equal(value->source.size, sizeof(text) - 2 * i);
        value = value->child;
    }
    assert_null(value);
}

static int make_arena(void **state)
{
    (void)state;
    kvs_arena_init(&arena, ARENA_MAX);
    return 0;
}

static int drop_arena(void **state)
{
    (void)state;
    kvs_arena_done(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_types_sources_and_order),
        cmocka_unit_test(gives_empty_containers_no_children),
        cmocka_unit_test(finds_members_by_decoded_name_the_last_first),
        cmocka_unit_test(refuses_duplicate_names_only_when_asked),
        cmocka_unit_test(same_names_in_different_objects_are_no_duplicates),
        cmocka_unit_test(checks_very_many_names),
        cmocka_unit_test(refuses_what_the_scanner_refuses),
        cmocka_unit_test(reports_a_full_arena),
        cmocka_unit_test(parses_to_the_full_depth),
    };
    return cmocka_run_group_tests(tests, make_arena, drop_arena);
}
