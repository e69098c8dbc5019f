// SPDX-License-Identifier: Apache-2.0
// The C library is the oracle: it reads the same files with code of its own.
#include "tests/unit/test.h"

#include "base/zone.h"

#include <stdio.h>
#include <time.h>

static struct kvs_zone *load(const char *name)
{
    struct kvs_zone *zone = NULL;
    if (kvs_zone_load(kvs_slice_from_str(name), &zone) < 0)
        fail_msg("%s cannot be loaded", name);
    return zone;
}

static void set_tz(const char *tz)
{
    assert_int_equal(tz ? setenv("TZ", tz, 1) : unsetenv("TZ"), 0);
    tzset();
}

static void assert_same_as_libc(const struct kvs_zone *zone, const char *name)
{
    for (int64_t unix_s = 0; unix_s < 4000000000; unix_s += 25201) {
        time_t t = (time_t)unix_s;
        struct tm tm;
        assert_non_null(localtime_r(&t, &tm));
        if (kvs_zone_offset_s(zone, unix_s) != tm.tm_gmtoff)
            fail_msg("%s at %lld: %lld, not %ld", name, (long long)unix_s,
                     (long long)kvs_zone_offset_s(zone, unix_s), tm.tm_gmtoff);
        struct kvs_civil civil = kvs_zone_civil(zone, unix_s);
        assert_int_equal(civil.year, tm.tm_year + 1900);
        assert_int_equal(civil.hour, tm.tm_hour);
        assert_int_equal(civil.weekday, tm.tm_wday);
    }
}

static void offsets_agree_with_the_c_library(void **state)
{
    (void)state;
    const char *const names[] = {"Europe/Berlin",
                                 "Europe/Dublin",
                                 "Europe/London",
                                 "America/New_York",
                                 "America/Sao_Paulo",
                                 "America/St_Johns",
                                 "Australia/Sydney",
                                 "Australia/Lord_Howe",
                                 "Asia/Kolkata",
                                 "Asia/Tokyo",
                                 "Asia/Gaza",
                                 "Africa/Casablanca",
                                 "Pacific/Apia",
                                 "Pacific/Chatham",
                                 "America/Santiago",
                                 "Antarctica/Troll",
                                 "UTC",
                                 "Etc/GMT-14"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(names); i++) {
        struct kvs_zone *zone = load(names[i]);
        set_tz(names[i]);
        assert_same_as_libc(zone, names[i]);
        kvs_zone_free(zone);
    }
    set_tz(NULL);
}

static void posix_strings_agree_with_the_c_library(void **state)
{
    (void)state;
    const char *const strings[] = {"UTC0",
                                   "<+0530>-5:30",
                                   "CET-1CEST,M3.5.0,M10.5.0/3",
                                   "EST5EDT,M3.2.0,M11.1.0",
                                   "AEST-10AEDT,M10.1.0,M4.1.0/3",
                                   "<-03>3<-02>,M3.5.0/-2,M10.5.0/-1",
                                   "IST-1GMT0,M10.5.0,M3.5.0/1",
                                   "XXX3YYY2:30:15,J60/4,J300",
                                   "XXX3YYY,59,299/1:02:03"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(strings); i++) {
        struct kvs_zone *zone = NULL;
        assert_int_equal(kvs_zone_from_posix(kvs_slice_from_str(strings[i]), &zone), 0);
        set_tz(strings[i]);
        assert_same_as_libc(zone, strings[i]);
        kvs_zone_free(zone);
    }
    set_tz(NULL);
}

static void the_local_zone_is_what_tz_says(void **state)
{
    (void)state;
    const struct {
        const char *tz;
        int64_t offset_s; // on 1 July 2020
    } cases[] = {{"Europe/Berlin", 7200},
                 {":Europe/Berlin", 7200},
                 {"/usr/share/zoneinfo/Asia/Tokyo", 32400},
                 {"<+01>-1", 3600},
                 {"", 0},
                 {"No/Such_Zone", 0},
                 {"../../etc/passwd", 0}};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++) {
        struct kvs_zone *zone = NULL;
        set_tz(cases[i].tz);
        assert_int_equal(kvs_zone_local(&zone), 0);
        assert_int_equal(kvs_zone_offset_s(zone, 1593561600), cases[i].offset_s);
        kvs_zone_free(zone);
    }
    set_tz(NULL);
}

static void refuses_names_that_lead_out_of_the_folder_of_zones(void **state)
{
    (void)state;
    const char *const names[] = {"../../../etc/passwd",
                                 "/etc/localtime",
                                 "Europe/../Asia/Tokyo",
                                 "\\x",
                                 "Europe",
                                 "No/Where",
                                 "zone.tab"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(names); i++) {
        struct kvs_zone *zone = NULL;
        assert_int_equal(kvs_zone_load(kvs_slice_from_str(names[i]), &zone), KVS_ERR_NOT_FOUND);
    }
}

static void refuses_malformed_posix_strings(void **state)
{
    (void)state;
    const char *const strings[] = {"",
                                   "X",
                                   "XY1",
                                   "XYZ",
                                   "XYZ25",
                                   "XYZ1x",
                                   "<XYZ1",
                                   "XYZ1ABC,",
                                   "XYZ1ABC,M3.2.0",
                                   "XYZ1ABC,M13.2.0,M11.1.0",
                                   "XYZ1ABC,M3.6.0,M11.1.0",
                                   "XYZ1ABC,M3.2.7,M11.1.0",
                                   "XYZ1ABC,J0,J1",
                                   "XYZ1ABC,366,1",
                                   "XYZ1ABC,M3.2.0/168,M11.1.0",
                                   "XYZ1ABC,M3.2.0,M11.1.0x",
                                   "XYZ1:60"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(strings); i++) {
        struct kvs_zone *zone = NULL;
        if (kvs_zone_from_posix(kvs_slice_from_str(strings[i]), &zone) != KVS_ERR_SYNTAX)
            fail_msg("'%s' is accepted", strings[i]);
    }
}

static void survives_every_truncation_of_a_file(void **state)
{
    (void)state;
    static char bytes[65536];
    FILE *file = fopen("/usr/share/zoneinfo/Europe/Berlin", "r");
    assert_non_null(file);
    size_t size = fread(bytes, 1, sizeof(bytes), file);
    assert_int_equal(fclose(file), 0);
    assert_in_range(size, 100, sizeof(bytes) - 1);
    struct kvs_zone *zone = NULL;
    assert_int_equal(kvs_zone_from_tzif(kvs_slice(bytes, size), &zone), 0);
    kvs_zone_free(zone);
    for (size_t i = 0; i < size; i++) {
        KVS_CLEANUP(kvs_freep) char *copy = malloc(i + 1); // so that a sanitizer sees its end
        assert_non_null(copy);
        memcpy(copy, bytes, i);
        assert_int_equal(kvs_zone_from_tzif(kvs_slice(copy, i), &zone), KVS_ERR_CORRUPT);
    }
}

static void skipped_and_repeated_times_are_those_of_go(void **state)
{
    (void)state;
    struct kvs_zone *zone = load("America/New_York");
    // 2012-03-11 02:30 does not exist and becomes 01:30 EST.
    assert_int_equal(kvs_zone_unix_s(zone, 2012, 3, 11, 2, 30, 0), 1331447400);
    // 2012-11-04 01:30 happens twice: the first, EDT.
    assert_int_equal(kvs_zone_unix_s(zone, 2012, 11, 4, 1, 30, 0), 1352007000);
    assert_int_equal(kvs_zone_unix_s(zone, 2012, 13, 1, 0, 0, 0),
                     kvs_zone_unix_s(zone, 2013, 1, 1, 0, 0, 0));
    kvs_zone_free(zone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offsets_agree_with_the_c_library),
        cmocka_unit_test(posix_strings_agree_with_the_c_library),
        cmocka_unit_test(the_local_zone_is_what_tz_says),
        cmocka_unit_test(refuses_names_that_lead_out_of_the_folder_of_zones),
        cmocka_unit_test(refuses_malformed_posix_strings),
        cmocka_unit_test(survives_every_truncation_of_a_file),
        cmocka_unit_test(skipped_and_repeated_times_are_those_of_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
