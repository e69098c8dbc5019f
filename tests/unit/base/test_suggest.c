// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "base/cleanup.h"
#include "base/suggest.h"

static const char *nearest(const char *word)
{
    static const char *const names[] = {"start",   "stop", "status",
                                        "restart", "get",  "bind_address"};
    struct kvs_suggest suggest;
    kvs_suggest_init(&suggest, kvs_slice_from_str(word));
    for (size_t i = 0; i < KVS_ARRAY_SIZE(names); i++)
        kvs_suggest_offer(&suggest, names[i]);
    return suggest.nearest;
}

static void finds_the_name_behind_a_slip(void **state)
{
    (void)state;
    assert_string_equal(nearest("strat"), "start");
    assert_string_equal(nearest("stpo"), "stop");
    assert_string_equal(nearest("sttop"), "stop");
    assert_string_equal(nearest("gt"), "get");
    assert_string_equal(nearest("bind_adress"), "bind_address");
    assert_string_equal(nearest("bindaddress"), "bind_address");
}

static void finds_the_name_that_was_shortened(void **state)
{
    (void)state;
    assert_string_equal(nearest("bind"), "bind_address");
}

static void prefers_the_exact_name(void **state)
{
    (void)state;
    assert_string_equal(nearest("start"), "start");
    assert_string_equal(nearest("restart"), "restart");
}

static void stays_silent_when_nothing_is_near(void **state)
{
    (void)state;
    assert_null(nearest("frobnicate"));
    assert_null(nearest(""));
    assert_null(nearest("x"));
    char giant[5000];
    memset(giant, 's', sizeof(giant) - 1);
    giant[sizeof(giant) - 1] = 0;
    assert_null(nearest(giant));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_name_behind_a_slip),
        cmocka_unit_test(finds_the_name_that_was_shortened),
        cmocka_unit_test(prefers_the_exact_name),
        cmocka_unit_test(stays_silent_when_nothing_is_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
