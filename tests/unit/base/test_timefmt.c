// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "base/civil.h"
#include "base/timefmt.h"

#include <time.h>

static void assert_rfc3339(int64_t unix_ms, const char *expected)
{
    char text[KVS_RFC3339_SIZE + 1] = {0};
    kvs_time_rfc3339(unix_ms, text);
    assert_string_equal(text, expected);
}

static void writes_rfc3339_with_milliseconds(void **state)
{
    (void)state;
    assert_rfc3339(0, "1970-01-01T00:00:00.000Z");
    assert_rfc3339(951782399999, "2000-02-28T23:59:59.999Z");
    assert_rfc3339(951782400000, "2000-02-29T00:00:00.000Z");
    assert_rfc3339(-1, "1969-12-31T23:59:59.999Z");
    assert_rfc3339(-2203891200000, "1900-03-01T00:00:00.000Z");
}

static void clamps_years_that_four_digits_cannot_say(void **state)
{
    (void)state;
    assert_rfc3339(INT64_MAX, "9999-12-31T23:59:59.999Z");
    assert_rfc3339(253402300800000, "9999-12-31T23:59:59.999Z");
    assert_rfc3339(INT64_MIN, "0000-01-01T00:00:00.000Z");
}

static void writes_the_http_date_of_rfc_9110(void **state)
{
    (void)state;
    char text[KVS_HTTP_DATE_SIZE + 1] = {0};
    kvs_time_http_date(784111777000, text);
    assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
    kvs_time_http_date(-1, text);
    assert_string_equal(text, "Wed, 31 Dec 1969 23:59:59 GMT");
}

static void agrees_with_the_c_library_over_eight_centuries(void **state)
{
    (void)state;
    for (int64_t unix_s = -12000000000; unix_s < 14000000000; unix_s += 86399 * 11) {
        struct tm tm;
        time_t t = (time_t)unix_s;
        assert_non_null(gmtime_r(&t, &tm));
        struct kvs_civil civil = kvs_civil_from_unix(unix_s);
        assert_int_equal(civil.year, tm.tm_year + 1900);
        assert_int_equal(civil.month, tm.tm_mon + 1);
        assert_int_equal(civil.day, tm.tm_mday);
        assert_int_equal(civil.hour, tm.tm_hour);
        assert_int_equal(civil.minute, tm.tm_min);
        assert_int_equal(civil.second, tm.tm_sec);
        assert_int_equal(civil.weekday, tm.tm_wday);
        int64_t days = kvs_civil_days(civil.year, civil.month, civil.day);
        assert_int_equal(days * 86400 + civil.hour * 3600 + civil.minute * 60 + civil.second,
                         unix_s);
    }
}

static void carries_months_and_days_over(void **state)
{
    (void)state;
    assert_int_equal(kvs_civil_days(2023, 13, 1), kvs_civil_days(2024, 1, 1));
    assert_int_equal(kvs_civil_days(2024, 0, 1), kvs_civil_days(2023, 12, 1));
    assert_int_equal(kvs_civil_days(2024, 3, 0), kvs_civil_days(2024, 2, 29));
    assert_int_equal(kvs_civil_days(2024, -23, 1), kvs_civil_days(2022, 1, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_rfc3339_with_milliseconds),
        cmocka_unit_test(clamps_years_that_four_digits_cannot_say),
        cmocka_unit_test(writes_the_http_date_of_rfc_9110),
        cmocka_unit_test(agrees_with_the_c_library_over_eight_centuries),
        cmocka_unit_test(carries_months_and_days_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
