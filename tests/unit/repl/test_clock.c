// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "repl/clock.h"

static void a_write_is_later_than_what_it_replaces(void **state)
{
    (void)state;
    struct kvs_stamp_clock clock;
    kvs_stamp_clock_init(&clock, 0, 1000);
    assert_int_equal(kvs_stamp_clock_next(&clock, 100, 0), 100);
    assert_int_equal(kvs_stamp_clock_next(&clock, 100, 5000), 5001);
    assert_int_equal(kvs_stamp_clock_next(&clock, 90, 0), 100); // it never goes back, and one key
                                                                // from the future drags no other
}

static void a_peer_pushes_the_clock_no_further_than_the_skew(void **state)
{
    (void)state;
    struct kvs_stamp_clock clock;
    kvs_stamp_clock_init(&clock, 0, 1000);
    kvs_stamp_clock_observe(&clock, 100, 1100);
    assert_int_equal(kvs_stamp_clock_next(&clock, 100, 0), 1100);
    kvs_stamp_clock_observe(&clock, 100, 1101);
    assert_int_equal(kvs_stamp_clock_next(&clock, 100, 0), 1100);
}

static void a_promise_is_kept_when_the_wall_clock_goes_back(void **state)
{
    (void)state;
    struct kvs_stamp_clock clock;
    kvs_stamp_clock_init(&clock, 0, 1000);
    int64_t promise_ms = kvs_stamp_clock_promise(&clock, 5000);
    assert_int_equal(promise_ms, 4999);
    assert_true(kvs_stamp_clock_next(&clock, 10, 0) > promise_ms);
    struct kvs_stamp_clock restarted;
    kvs_stamp_clock_init(&restarted, promise_ms, 1000);
    assert_true(kvs_stamp_clock_next(&restarted, 10, 0) > promise_ms);
    kvs_stamp_clock_raise(&restarted, 9000);
    assert_int_equal(kvs_stamp_clock_next(&restarted, 10, 0), 9001);
}

static void the_offset_comes_from_the_quickest_exchange(void **state)
{
    (void)state;
    struct kvs_clock_offset offset = {0};
    assert_int_equal(kvs_clock_offset_ms(&offset), 0);
    assert_int_equal(kvs_clock_round_trip_ms(&offset), 0);
    struct kvs_offset_sample slow = {1000, 1900, 1800};
    struct kvs_offset_sample quick = {2000, 2305, 2010};
    struct kvs_offset_sample broken = {3000, 3000, 2000};
    kvs_clock_offset_add(&offset, &slow);
    assert_int_equal(kvs_clock_offset_ms(&offset), 500);
    assert_int_equal(kvs_clock_round_trip_ms(&offset), 800);
    kvs_clock_offset_add(&offset, &quick);
    kvs_clock_offset_add(&offset, &broken);
    assert_int_equal(kvs_clock_offset_ms(&offset), 300);
    assert_int_equal(kvs_clock_round_trip_ms(&offset), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_is_later_than_what_it_replaces),
        cmocka_unit_test(a_peer_pushes_the_clock_no_further_than_the_skew),
        cmocka_unit_test(a_promise_is_kept_when_the_wall_clock_goes_back),
        cmocka_unit_test(the_offset_comes_from_the_quickest_exchange),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
