// SPDX-License-Identifier: Apache-2.0
// Go's own tables run in test_go_tables; here is what those leave out.
#include "tests/unit/test.h"

#include "base/duration.h"

static int64_t parsed(const char *text)
{
    int64_t ns = -1;
    assert_int_equal(kvs_duration_parse(kvs_slice_from_str(text), &ns), 0);
    return ns;
}

static void assert_refused(const char *text)
{
    int64_t ns = 42;
    assert_int_equal(kvs_duration_parse(kvs_slice_from_str(text), &ns), KVS_ERR_SYNTAX);
    assert_int_equal(ns, 42);
}

static void adds_up_groups_in_any_order(void **state)
{
    (void)state;
    assert_int_equal(parsed("1h30m"), INT64_C(5400) * 1000000000);
    assert_int_equal(parsed("30m1h"), INT64_C(5400) * 1000000000);
    assert_int_equal(parsed("-1.5s"), -1500000000);
    assert_int_equal(parsed("250ms"), 250000000);
    assert_int_equal(parsed("1m1m"), INT64_C(120) * 1000000000);
}

static void accepts_a_lone_zero_without_unit_and_nothing_else(void **state)
{
    (void)state;
    assert_int_equal(parsed("0"), 0);
    assert_int_equal(parsed("-0"), 0);
    assert_refused("00");
    assert_refused("0 ");
    assert_refused(" 0");
    assert_refused("1");
    assert_refused("");
}

static void refuses_units_that_only_begin_right(void **state)
{
    (void)state;
    assert_refused("1hour");
    assert_refused("1sec");
    assert_refused("1H");
    assert_refused("1 s");
    assert_refused("1d");
    assert_refused("1h-1m");
    assert_refused("1..5s");
    assert_refused("--1s");
    assert_refused("1s\n");
}

static void refuses_overflow_from_every_side(void **state)
{
    (void)state;
    assert_refused("9223372036854775808ns");
    assert_refused("2562047h47m16.854775808s");
    assert_refused("99999999999999999999h");
    assert_refused("2562047h2562047h");
    assert_refused("-2562047h47m16.854775809s");
    assert_int_equal(parsed("-2562047h47m16.854775808s"), INT64_MIN);
}

static void formats_what_it_parses_back(void **state)
{
    (void)state;
    const int64_t values[] = {0,
                              1,
                              -1,
                              999,
                              1000,
                              1500,
                              999999,
                              1000000,
                              999999999,
                              1000000000,
                              60000000000,
                              INT64_C(3600000000000),
                              INT64_C(5400000000001),
                              INT64_MAX,
                              INT64_MIN};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char text[KVS_DURATION_TEXT_MAX];
        size_t size = kvs_duration_format(values[i], text);
        assert_int_equal(size, strlen(text));
        assert_int_equal(parsed(text), values[i]);
    }
    char text[KVS_DURATION_TEXT_MAX];
    (void)kvs_duration_format(INT64_C(5400000000000), text);
    assert_string_equal(text, "1h30m0s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adds_up_groups_in_any_order),
        cmocka_unit_test(accepts_a_lone_zero_without_unit_and_nothing_else),
        cmocka_unit_test(refuses_units_that_only_begin_right),
        cmocka_unit_test(refuses_overflow_from_every_side),
        cmocka_unit_test(formats_what_it_parses_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
