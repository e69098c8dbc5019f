// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/codec/arena_fixture.h"

#include "codec/json.h"

static bool to_i64(const char *text, int64_t *ret_value)
{
    struct kvs_json *root = NULL;
    assert_int_equal(kvs_json_parse(kvs_slice_from_str(text), 0, &arena, &root, NULL), 0);
    return kvs_json_to_i64(root, ret_value);
}

static void reads_integers_however_they_are_written(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } cases[] = {
        {"0", 0},
        {"-0", 0},
        {"0.000e+99999999999999999999999", 0},
        {"0e-99999999999999999999999", 0},
        {"1", 1},
        {"-5", -5},
        {"1.0", 1},
        {"1e3", 1000},
        {"1E+3", 1000},
        {"10e-1", 1},
        {"0.001e3", 1},
        {"-12.50e1", -125},
        {"100.00e-2", 1},
        {"1000000000000000000000e-21", 1},
        {"1020304000", 1020304000},
        {"9223372036854775807", INT64_MAX},
        {"9223372036854775807.000", INT64_MAX},
        {"-9223372036854775808", INT64_MIN},
        {"-9.223372036854775808e18", INT64_MIN},
        {"9000000000000000000", 9000000000000000000},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++) {
        int64_t value = 42;
        if (!to_i64(cases[i].text, &value) || value != cases[i].value)
            fail_msg("%s", cases[i].text);
    }
}

static void refuses_whatever_is_no_integer_in_range(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "1.5",
        "1e-1",
        "-0.1",
        "12345e-6",
        "1.00000000000000000000000000001",
        "9223372036854775808",
        "-9223372036854775809",
        "9223372036854775807.5",
        "18446744073709551616",
        "18446744073709551617",
        "1e19",
        "1e400",
        "1e18446744073709551616",
        "1e99999999999999999999999",
        "1e-99999999999999999999999",
        "100000000000000000000000000000000000000",
        "\"1\"",
        "true",
        "null",
        "[1]",
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++) {
        int64_t value = 42;
        if (to_i64(cases[i], &value) || value != 42)
            fail_msg("%s", cases[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_integers_however_they_are_written),
        cmocka_unit_test(refuses_whatever_is_no_integer_in_range),
    };
    return cmocka_run_group_tests(tests, make_arena, drop_arena);
}
