// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "codec/http.h"

enum { ARENA_MAX = 1 << 20 };

static void decodes_escapes_in_either_case_once(void **state)
{
    struct kvs_slice decoded;
    assert_int_equal(kvs_percent_decode(*state, KVS_SLICE("a%2Fb%c3%A4%00%2525+"), &decoded), 0);
    assert_slice_equal(decoded, "a/b\xc3\xa4\0%25+");
}

static void returns_a_text_without_escapes_uncopied(void **state)
{
    struct kvs_slice raw = KVS_SLICE("plain/text");
    struct kvs_slice decoded;
    assert_int_equal(kvs_percent_decode(*state, raw, &decoded), 0);
    assert_ptr_equal(decoded.data, raw.data);
    assert_int_equal(decoded.size, raw.size);
    assert_int_equal(kvs_percent_decode(*state, KVS_SLICE_EMPTY, &decoded), 0);
    assert_int_equal(decoded.size, 0);
}

static void refuses_broken_escapes(void **state)
{
    static const char *const broken[] = {"%",   "a%",   "%2",  "a%2", "%g0",
                                         "%0g", "%%20", "% 1", "%-1"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(broken); i++) {
        struct kvs_slice decoded;
        assert_int_equal(kvs_percent_decode(*state, kvs_slice_from_str(broken[i]), &decoded),
                         KVS_ERR_INVALID);
    }
    struct kvs_slice decoded;
    assert_int_equal(kvs_percent_decode(*state, kvs_slice("%20", 2), &decoded), KVS_ERR_INVALID);
}

static void reports_a_full_arena(void **state)
{
    (void)state;
    struct kvs_arena none;
    kvs_arena_init(&none, 0);
    struct kvs_slice decoded;
    assert_int_equal(kvs_percent_decode(&none, KVS_SLICE("%20"), &decoded), KVS_ERR_NOMEM);
}

static void encodes_all_but_unreserved_characters(void **state)
{
    (void)state;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(1000);
    kvs_percent_encode(&out, KVS_SLICE("azAZ09-._~ /%?\xff\0"), false);
    assert_slice_equal(kvs_buf_slice(&out), "azAZ09-._~%20%2F%25%3F%FF%00");
    kvs_buf_clear(&out);
    kvs_percent_encode(&out, KVS_SLICE("a b/c"), true);
    assert_slice_equal(kvs_buf_slice(&out), "a%20b/c");
}

static void decoding_undoes_encoding_for_every_byte(void **state)
{
    char all[256];
    for (size_t i = 0; i < sizeof(all); i++)
        all[i] = (char)i;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(1000);
    kvs_percent_encode(&out, kvs_slice(all, sizeof(all)), false);
    struct kvs_slice decoded;
    assert_int_equal(kvs_percent_decode(*state, kvs_buf_slice(&out), &decoded), 0);
    assert_int_equal(decoded.size, sizeof(all));
    assert_memory_equal(decoded.data, all, sizeof(all));
}

static struct kvs_arena arena;

static int make_arena(void **state)
{
    kvs_arena_init(&arena, ARENA_MAX);
    *state = &arena;
    return 0;
}

static int drop_arena(void **state)
{
    kvs_arena_done(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_escapes_in_either_case_once),
        cmocka_unit_test(returns_a_text_without_escapes_uncopied),
        cmocka_unit_test(refuses_broken_escapes),
        cmocka_unit_test(reports_a_full_arena),
        cmocka_unit_test(encodes_all_but_unreserved_characters),
        cmocka_unit_test(decoding_undoes_encoding_for_every_byte),
    };
    return cmocka_run_group_tests(tests, make_arena, drop_arena);
}
