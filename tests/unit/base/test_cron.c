// SPDX-License-Identifier: Apache-2.0
// robfig/cron's own tables run in go_tables; here are its corners that those leave out, an oracle
// that tries every minute, and what people read when a schedule is wrong.
#include "tests/unit/test.h"

#include "base/cron.h"
#include "base/random.h"
#include "base/zone.h"

#include <stdio.h>

enum { START = 1600000000 }; // Sunday 13 September 2020, 12:26:40 UTC

static struct kvs_cron *parse(const char *text)
{
    struct kvs_cron *cron = NULL;
    struct kvs_message message = {{0}};
    if (kvs_cron_parse(kvs_slice_from_str(text), &cron, &message) < 0)
        fail_msg("%s: %s", text, message.text);
    return cron;
}

static void assert_refused(const char *text, const char *expected)
{
    struct kvs_cron *cron = NULL;
    struct kvs_message message = {{0}};
    if (kvs_cron_parse(kvs_slice_from_str(text), &cron, &message) != KVS_ERR_SYNTAX)
        fail_msg("'%s' is accepted", text);
    if (!strstr(message.text, expected))
        fail_msg("expected '%s' in '%s'", expected, message.text);
}

static int64_t next_of(const char *text)
{
    struct kvs_cron *cron = parse(text);
    int64_t next_s = -1;
    bool found = kvs_cron_next(cron, START, &next_s);
    kvs_cron_free(cron);
    return found ? next_s : -1;
}

static void assert_same(const char *text, const char *other)
{
    int64_t next_s = next_of(text);
    if (next_s != next_of(other))
        fail_msg("'%s' is not '%s'", text, other);
}

static void takes_what_robfig_takes(void **state)
{
    (void)state;
    assert_same("TZ=UTC 1,,2 * * * *", "TZ=UTC 1,2 * * * *");
    assert_same("TZ=UTC +5 * * * *", "TZ=UTC 5 * * * *");
    assert_same("TZ=UTC *-7 * * * *", "TZ=UTC * * * * *");
    assert_same("TZ=UTC 5/99 * * * *", "TZ=UTC 5 * * * *");
    assert_same("TZ=UTC 0 0 * SEP mon-Fri", "TZ=UTC 0 0 * 9 1-5");
    assert_same("TZ= 0 0 * * *", "CRON_TZ=UTC 0 0 * * *");
    assert_same("CRON_TZ=UTC   @daily  ", "CRON_TZ=UTC 0 0 * * ?");
    assert_same("CRON_TZ=UTC \t0\t0  * * *\n", "CRON_TZ=UTC 0 0 * * ?");
}

static void refuses_what_robfig_refuses_and_names_the_field(void **state)
{
    (void)state;
    assert_refused("", "empty");
    assert_refused("* * * *", "5 fields, this one 4");
    assert_refused("* * * * * *", "5 fields, this one 6");
    assert_refused("60 * * * *", "minute, \"60\"");
    assert_refused("* 24 * * *", "hour, \"24\"");
    assert_refused("* * 0 * *", "day of month, \"0\"");
    assert_refused("* * * 13 *", "month, \"13\"");
    assert_refused("* * * * 7", "day of week, \"7\"");
    assert_refused("mon * * * *", "minute");
    assert_refused("* * * mon *", "month");
    assert_refused("5-1 * * * *", "minute");
    assert_refused("1-2-3 * * * *", "minute");
    assert_refused("-5 * * * *", "minute");
    assert_refused("5- * * * *", "minute");
    assert_refused("*/0 * * * *", "minute");
    assert_refused("*/ * * * *", "minute");
    assert_refused("*/2/2 * * * *", "minute");
    assert_refused("99999999999999999999 * * * *", "minute");
    assert_refused("@Daily", "@daily");
    assert_refused("@daily ", "\"@daily \" is not known");
    assert_refused("@every", "not known");
    assert_refused("@every x", "no duration");
    assert_refused("@reboot", "not known");
    assert_refused("TZ=UTC", "a schedule must follow");
    assert_refused("TZ=Nowhere * * * * *", "\"Nowhere\" is not known here");
    assert_refused("TZ=../../etc/passwd * * * * *", "not known here");
}

static void schedules_that_never_fire_have_no_next(void **state)
{
    (void)state;
    assert_int_equal(next_of("TZ=UTC 0 0 30 2 *"), -1);
    assert_int_equal(next_of("TZ=UTC , * * * *"), -1);
    assert_int_equal(next_of("TZ=UTC 0 0 , , *"), -1);
    struct kvs_cron *cron = parse("@hourly");
    int64_t next_s = 0;
    assert_false(kvs_cron_next(cron, INT64_MAX, &next_s));
    assert_false(kvs_cron_next(cron, INT64_MIN, &next_s));
    kvs_cron_free(cron);
}

static void every_counts_from_the_given_time(void **state)
{
    (void)state;
    assert_int_equal(next_of("@every 90s"), START + 90);
    assert_int_equal(next_of("@every 1.9s"), START + 1);
    assert_int_equal(next_of("@every 1ms"), START + 1);
    assert_int_equal(next_of("@every -5m"), START + 1);
    assert_int_equal(next_of("TZ=Asia/Tokyo @every 1h"), START + 3600);
}

static void uses_the_local_zone_unless_one_is_named(void **state)
{
    (void)state;
    assert_int_equal(setenv("TZ", "Asia/Tokyo", 1), 0); // this program has one thread
    assert_same("0 0 * * *", "CRON_TZ=Asia/Tokyo 0 0 * * *");
    assert_int_not_equal(next_of("0 0 * * *"), next_of("CRON_TZ=UTC 0 0 * * *"));
    assert_int_equal(unsetenv("TZ"), 0);
}

static void leap_days_are_found_years_ahead(void **state)
{
    (void)state;
    assert_int_equal(next_of("TZ=UTC 0 0 29 2 *"), 1709164800); // 2024
}

// One random range of [min, max], and the set that it means.
static uint64_t random_range(struct kvs_random *random, int min, int max, char *text, size_t size)
{
    int low = min + (int)kvs_random_below(random, (uint64_t)(max - min + 1));
    int high = low + (int)kvs_random_below(random, (uint64_t)(max - low + 1));
    int step = 1 + (int)kvs_random_below(random, 4);
    uint64_t bits = 0;
    for (int i = low; i <= high; i += step)
        bits |= UINT64_C(1) << i;
    (void)snprintf(text, size, "%d-%d/%d", low, high, step);
    return bits;
}

// Tries every minute; unrestricted days, so that only the plain rule counts.
static int64_t try_minutes(const struct kvs_zone *zone, const uint64_t bits[static 3])
{
    for (int64_t t = START - START % 60 + 60; t < START + 70 * 86400; t += 60) {
        struct kvs_civil civil = kvs_zone_civil(zone, t);
        if (bits[0] >> civil.minute & bits[1] >> civil.hour & bits[2] >> civil.day & 1)
            return t;
    }
    return -1;
}

static void agrees_with_trying_every_minute(void **state)
{
    (void)state;
    const char *const names[] = {"UTC", "Asia/Kolkata", "America/New_York", "Europe/Berlin"};
    struct kvs_random_seeded random;
    kvs_random_seeded_init(&random, 7);
    for (int round = 0; round < 400; round++) {
        const char *name = names[round % 4];
        struct kvs_zone *zone = NULL;
        assert_int_equal(kvs_zone_load(kvs_slice_from_str(name), &zone), 0);
        char minute[16];
        char hour[16];
        char day[16];
        char text[100];
        uint64_t bits[3];
        bits[0] = random_range(&random.base, 0, 59, minute, sizeof(minute));
        bits[1] = random_range(&random.base, 0, 23, hour, sizeof(hour));
        bits[2] = random_range(&random.base, 1, 31, day, sizeof(day));
        (void)snprintf(text, sizeof(text), "TZ=%s %s %s %s * *", name, minute, hour, day);
        int64_t expected = try_minutes(zone, bits);
        kvs_zone_free(zone);
        if (expected >= 0 && next_of(text) != expected)
            fail_msg("%s: %lld, not %lld", text, (long long)next_of(text), (long long)expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_what_robfig_takes),
        cmocka_unit_test(refuses_what_robfig_refuses_and_names_the_field),
        cmocka_unit_test(schedules_that_never_fire_have_no_next),
        cmocka_unit_test(every_counts_from_the_given_time),
        cmocka_unit_test(uses_the_local_zone_unless_one_is_named),
        cmocka_unit_test(leap_days_are_found_years_ahead),
        cmocka_unit_test(agrees_with_trying_every_minute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
