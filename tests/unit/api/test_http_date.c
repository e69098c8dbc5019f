// SPDX-License-Identifier: Apache-2.0
// HTTP-dates: three forms in, nothing else.
#include "tests/unit/test.h"

#include "api/api_internal.h"
#include "base/timefmt.h"

enum { NOW_S = 1790000000 }; // September 2026

static int64_t parse(const char *text)
{
    int64_t unix_s = -1;
    return kvs_api_http_date_parse(kvs_slice_from_str(text), NOW_S, &unix_s) ? unix_s : -1;
}

static void all_three_forms_are_read(void **state)
{
    (void)state;
    assert_int_equal(parse("Sun, 06 Nov 1994 08:49:37 GMT"), 784111777);
    assert_int_equal(parse("Sunday, 06-Nov-94 08:49:37 GMT"), 784111777);
    assert_int_equal(parse("Sun Nov  6 08:49:37 1994"), 784111777);
    assert_int_equal(parse("Wed Nov 16 08:49:37 1994"), 784975777);
    assert_int_equal(parse("Thu, 01 Jan 1970 00:00:00 GMT"), 0);
    assert_int_equal(parse("Thu, 29 Feb 2024 23:59:60 GMT"), 1709251200);
    assert_int_equal(parse("Fri, 31 Dec 9999 23:59:59 GMT"), 253402300799);
}

static void a_two_digit_year_is_at_most_50_years_ahead(void **state)
{
    (void)state;
    assert_int_equal(parse("Tuesday, 01-Sep-76 00:00:00 GMT"), 3366144000); // 2076
    assert_int_equal(parse("Thursday, 01-Sep-77 00:00:00 GMT"), 241920000); // 1977
}

static void what_is_no_date_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "x",
        "Sun",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Son, 06 Nov 1994 08:49:37 GMT",
        "sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Wed, 29 Feb 2023 00:00:00 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 06 Nov -994 08:49:37 GMT",
        "Sun, +6 Nov 1994 08:49:37 GMT",
        "Sun Nov 06 08:49:37 1994",
        "Sun Nov  6 08:49:37 1994 GMT",
        "Wed, 31 Dec 1969 23:59:59 GMT",
        "784111777",
        "Sun, 06 Nov 1994 08:49:37 GMTX",
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(texts); i++)
        if (parse(texts[i]) != -1)
            fail_msg("\"%s\" was read as a date", texts[i]);
}

static void what_last_modified_says_is_read_back(void **state)
{
    (void)state;
    for (int64_t unix_s = 0; unix_s < 4000000000; unix_s += 86400 * 13 + 3671) {
        char text[KVS_HTTP_DATE_SIZE];
        int64_t parsed = -1;
        kvs_time_http_date(unix_s * 1000 + 999, text);
        assert_true(kvs_api_http_date_parse(kvs_slice(text, sizeof(text)), NOW_S, &parsed));
        assert_int_equal(parsed, unix_s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_three_forms_are_read),
        cmocka_unit_test(a_two_digit_year_is_at_most_50_years_ahead),
        cmocka_unit_test(what_is_no_date_is_refused),
        cmocka_unit_test(what_last_modified_says_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
