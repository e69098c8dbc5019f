// SPDX-License-Identifier: Apache-2.0
// Replay windows: against a model that remembers every counter, and what happens when the table is
// full.
#include "tests/unit/test.h"

#include "auth/peer_window.h"

struct fixture {
    struct kvs_random_seeded random;
    struct kvs_peer_windows windows;
};

static void begin(struct fixture *f, size_t stream_max)
{
    kvs_random_seeded_init(&f->random, 7);
    kvs_peer_windows_init(&f->windows, &f->random.base, stream_max);
}

static enum kvs_peer_admission admit(struct fixture *f, uint64_t stream, uint64_t counter)
{
    unsigned char id[KVS_PEER_STREAM_SIZE] = {0};
    memcpy(id + 3, &stream, sizeof(stream)); // so that several streams share a hash
    unsigned char challenge[KVS_PEER_CHALLENGE_SIZE];
    memcpy(challenge, f->windows.challenge, sizeof(challenge));
    return kvs_peer_windows_admit(&f->windows, challenge, id, counter);
}

static void each_counter_counts_once(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 0);
    for (uint64_t i = 1; i < 1000; i++) {
        assert_int_equal(admit(&f, 1, i), KVS_PEER_FRESH);
        assert_int_equal(admit(&f, 1, i), KVS_PEER_REPLAYED);
        assert_int_equal(admit(&f, 1, 1), KVS_PEER_REPLAYED);
    }
    assert_int_equal(admit(&f, 2, 1), KVS_PEER_FRESH);
    assert_int_equal(admit(&f, 1, 0), KVS_PEER_REPLAYED);
    assert_int_equal(admit(&f, 3, 0), KVS_PEER_REPLAYED);
    kvs_peer_windows_done(&f.windows);
}

static void agrees_with_a_model_that_remembers_everything(void **state)
{
    (void)state;
    enum { COUNTERS = 4096 };
    struct fixture f;
    begin(&f, 0);
    static bool seen[COUNTERS];
    memset(seen, 0, sizeof(seen));
    struct kvs_random_seeded random;
    kvs_random_seeded_init(&random, 42);
    uint64_t highest = 0;
    for (int i = 0; i < 200000; i++) {
        uint64_t base = highest > 400 ? highest - 400 : 0;
        uint64_t counter = 1 + base + kvs_random_below(&random.base, i % 64 == 0 ? 700 : 402);
        if (counter >= COUNTERS)
            break;
        bool in_window = counter > highest || highest - counter < KVS_PEER_WINDOW_BITS;
        bool fresh = in_window && !seen[counter];
        assert_int_equal(admit(&f, 5, counter), fresh ? KVS_PEER_FRESH : KVS_PEER_REPLAYED);
        seen[counter] = seen[counter] || fresh;
        highest = counter > highest ? counter : highest;
    }
    assert_true(highest > COUNTERS - 800);
    kvs_peer_windows_done(&f.windows);
}

static void counters_may_jump_to_the_end(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 0);
    assert_int_equal(admit(&f, 1, 5), KVS_PEER_FRESH);
    assert_int_equal(admit(&f, 1, UINT64_MAX), KVS_PEER_FRESH);
    assert_int_equal(admit(&f, 1, 6), KVS_PEER_REPLAYED);
    assert_int_equal(admit(&f, 1, UINT64_MAX - 255), KVS_PEER_FRESH);
    assert_int_equal(admit(&f, 1, UINT64_MAX - 256), KVS_PEER_REPLAYED);
    kvs_peer_windows_done(&f.windows);
}

static void another_challenge_is_stale_and_notes_nothing(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 0);
    unsigned char challenge[KVS_PEER_CHALLENGE_SIZE];
    static const unsigned char stream[KVS_PEER_STREAM_SIZE] = {1};
    for (size_t i = 0; i < 8 * sizeof(challenge); i++) {
        memcpy(challenge, f.windows.challenge, sizeof(challenge));
        challenge[i / 8] ^= (unsigned char)(1U << i % 8);
        assert_int_equal(kvs_peer_windows_admit(&f.windows, challenge, stream, 1), KVS_PEER_STALE);
    }
    assert_int_equal(f.windows.stream_count, 0);
    kvs_peer_windows_done(&f.windows);
}

static void a_full_table_changes_the_challenge_and_forgets(void **state)
{
    (void)state;
    enum { STREAMS = 300 };
    struct fixture f;
    begin(&f, STREAMS);
    unsigned char before[KVS_PEER_CHALLENGE_SIZE];
    memcpy(before, f.windows.challenge, sizeof(before));
    for (uint64_t i = 1; i <= STREAMS; i++)
        assert_int_equal(admit(&f, i, 1), KVS_PEER_FRESH);
    for (uint64_t i = 1; i <= STREAMS; i++)
        assert_int_equal(admit(&f, i, 1), KVS_PEER_REPLAYED);
    assert_memory_equal(before, f.windows.challenge, sizeof(before));
    assert_int_equal(admit(&f, STREAMS + 1, 1), KVS_PEER_STALE);
    assert_memory_not_equal(before, f.windows.challenge, sizeof(before));
    assert_int_equal(admit(&f, 1, 1), KVS_PEER_FRESH); // signed for the new one
    static const unsigned char stream[KVS_PEER_STREAM_SIZE] = {9};
    assert_int_equal(kvs_peer_windows_admit(&f.windows, before, stream, 1), KVS_PEER_STALE);
    kvs_peer_windows_done(&f.windows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_counter_counts_once),
        cmocka_unit_test(agrees_with_a_model_that_remembers_everything),
        cmocka_unit_test(counters_may_jump_to_the_end),
        cmocka_unit_test(another_challenge_is_stale_and_notes_nothing),
        cmocka_unit_test(a_full_table_changes_the_challenge_and_forgets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
