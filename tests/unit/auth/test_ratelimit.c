// SPDX-License-Identifier: Apache-2.0
#include "auth/ratelimit.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "tests/unit/test.h"

enum { WINDOW_MS = 60000, REQUESTS = 5, START_MS = 1000 };

static struct kvs_ratelimit *limit;

static int setup(void **state)
{
    (void)state;
    return kvs_ratelimit_new(1024, kvs_random_system(), &limit);
}

static int teardown(void **state)
{
    (void)state;
    kvs_ratelimit_free(limit);
    return 0;
}

static struct kvs_ratelimit_id id_of(uint32_t number)
{
    struct kvs_ratelimit_id id = {{0}};
    memcpy(id.bytes, &number, sizeof(number));
    return id;
}

static struct kvs_ratelimit_verdict take(uint32_t client, int64_t now_ms)
{
    struct kvs_ratelimit_id id = id_of(client);
    return kvs_ratelimit_take(limit, &id, now_ms, REQUESTS, WINDOW_MS);
}

static void a_burst_passes_and_then_waits_for_the_window(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < REQUESTS; i++) {
        struct kvs_ratelimit_verdict verdict = take(1, START_MS);
        assert_true(verdict.allowed);
        assert_int_equal(verdict.remaining, REQUESTS - 1 - i);
    }
    struct kvs_ratelimit_verdict refused = take(1, START_MS + 1);
    assert_false(refused.allowed);
    assert_int_equal(refused.remaining, 0);
    assert_int_equal(refused.retry_after_ms, WINDOW_MS - 1);
    assert_true(take(2, START_MS + 1).allowed); // others are not concerned
    assert_false(take(1, START_MS + WINDOW_MS - 1).allowed);
    assert_true(take(1, START_MS + WINDOW_MS).allowed);
}

static void the_window_slides(void **state)
{
    (void)state;
    for (int64_t i = 0; i < REQUESTS; i++)
        assert_true(take(1, START_MS + i * 10000).allowed);
    for (int64_t i = 0; i < REQUESTS; i++) {
        int64_t free_ms = START_MS + i * 10000 + WINDOW_MS;
        assert_false(take(1, free_ms - 1).allowed);
        assert_true(take(1, free_ms).allowed);
    }
}

static void retry_after_is_when_it_works(void **state)
{
    (void)state;
    int64_t now_ms = START_MS;
    for (int i = 0; i < 2000; i++) {
        struct kvs_ratelimit_verdict verdict = take(1, now_ms);
        if (!verdict.allowed) {
            assert_true(verdict.retry_after_ms > 0);
            assert_false(take(1, now_ms + verdict.retry_after_ms - 1).allowed);
            now_ms += verdict.retry_after_ms;
            assert_true(take(1, now_ms).allowed);
        }
        now_ms += (int64_t)kvs_random_below(kvs_random_system(), 20000);
    }
}

// Against every request remembered one by one: never more than the limit in any window, and refused
// only while at most 1/32 of a window older requests fill it.
static void random_streams_stay_within_bounds(void **state)
{
    (void)state;
    enum { STEPS = 20000, LIMIT = 100, WINDOW = 3200, LATE = WINDOW / 32 };
    static int64_t allowed_at[STEPS];
    struct kvs_random_seeded random;
    struct kvs_ratelimit_id id = id_of(7);
    kvs_random_seeded_init(&random, 5);
    size_t count = 0, in_window = 0, in_long_window = 0;
    int64_t now_ms = 0;
    size_t refused = 0;
    for (int i = 0; i < STEPS; i++) {
        uint64_t pause = kvs_random_below(&random.base, 100);
        now_ms += pause < 90 ? (int64_t)(pause / 8) : (int64_t)kvs_random_below(&random.base, 400);
        while (in_window < count && allowed_at[in_window] <= now_ms - WINDOW)
            in_window++;
        while (in_long_window < count && allowed_at[in_long_window] <= now_ms - WINDOW - LATE)
            in_long_window++;
        struct kvs_ratelimit_verdict verdict =
            kvs_ratelimit_take(limit, &id, now_ms, LIMIT, WINDOW);
        if (verdict.allowed) {
            assert_true(count - in_window < LIMIT);
            allowed_at[count++] = now_ms;
        } else {
            refused++;
            assert_true(count - in_long_window >= LIMIT);
        }
    }
    assert_true(refused > 100);
    assert_true(count > 1000);
}

static void settings_may_change_while_it_runs(void **state)
{
    (void)state;
    struct kvs_ratelimit_id id = id_of(1);
    for (int64_t i = 0; i < 1000; i++)
        assert_true(kvs_ratelimit_take(limit, &id, i * 10, 1000, 60000).allowed);
    assert_false(kvs_ratelimit_take(limit, &id, 10000, 1000, 60000).allowed);
    assert_true(kvs_ratelimit_take(limit, &id, 10000, 1001, 60000).allowed);
    assert_false(kvs_ratelimit_take(limit, &id, 10001, 10, 5000).allowed);
    assert_true(kvs_ratelimit_take(limit, &id, 10001, 10, 1).allowed);
}

static void memory_is_bounded_and_strangers_push_out_strangers(void **state)
{
    (void)
        state; // 100 000 clients through 1024 places: all served, none of them for ever remembered
    for (uint32_t i = 0; i < 100000; i++)
        assert_true(take(i, START_MS + i).allowed);
    uint32_t remembered = 0;
    for (uint32_t i = 99000; i < 100000; i++)
        remembered += take(i, START_MS + 100000).remaining == REQUESTS - 2;
    assert_true(remembered > 300);
}

static void addresses_are_counted_sensibly(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {
        {"10.0.0.1", "10.0.0.1", true},
        {"10.0.0.1", "10.0.0.2", false},
        {"10.0.0.1", "::ffff:10.0.0.1", true},
        {"2001:db8::1", "2001:db8::ffff:1", true}, // one host's /64
        {"2001:db8::1", "2001:db8:0:1::1", false},
        {"::1", "127.0.0.1", false},
        {"nonsense", "", true},
        {"10.0.0.1", "", false},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++) {
        struct kvs_ratelimit_id a = kvs_ratelimit_address(kvs_slice_from_str(cases[i].a));
        struct kvs_ratelimit_id b = kvs_ratelimit_address(kvs_slice_from_str(cases[i].b));
        assert_int_equal(memcmp(&a, &b, sizeof(a)) == 0, cases[i].same);
    }
}

static void *hammer(void *counter)
{
    for (int i = 0; i < 20000; i++) {
        struct kvs_ratelimit_id id = id_of((uint32_t)i % 3);
        *(size_t *)counter += kvs_ratelimit_take(limit, &id, START_MS, 1000, WINDOW_MS).allowed;
    }
    return NULL;
}

static void threads_together_stay_within_the_limit(void **state)
{
    (void)state;
    pthread_t threads[4];
    size_t counts[4] = {0};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, &counts[i]), 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(counts[0] + counts[1] + counts[2] + counts[3], 3 * 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_burst_passes_and_then_waits_for_the_window, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_window_slides, setup, teardown),
        cmocka_unit_test_setup_teardown(retry_after_is_when_it_works, setup, teardown),
        cmocka_unit_test_setup_teardown(random_streams_stay_within_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(settings_may_change_while_it_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_is_bounded_and_strangers_push_out_strangers, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(addresses_are_counted_sensibly, setup, teardown),
        cmocka_unit_test_setup_teardown(threads_together_stay_within_the_limit, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
