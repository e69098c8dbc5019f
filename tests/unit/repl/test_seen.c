// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "base/random.h"
#include "repl/seen.h"

static const struct kvs_uuid x = {{1}};

static struct kvs_version dot(uint32_t life, uint32_t count, int64_t timestamp)
{
    return (struct kvs_version){
        .timestamp = timestamp, .writer.node = x, .writer_seq = kvs_dot_seq(life, count)};
}

static void a_run_from_beyond_a_gap_is_known_dot_by_dot(void **state)
{
    (void)state;
    struct kvs_seen seen = {0};
    struct kvs_seen_run late = {x, 7, 3, 5};
    struct kvs_seen_run early = {x, 7, 0, 3};
    assert_int_equal(kvs_seen_advance(&seen, &late), 0);
    assert_false(kvs_seen_covers(&seen, &x, 7, 1));
    assert_false(kvs_seen_covers(&seen, &x, 7, 3));
    assert_true(kvs_seen_covers(&seen, &x, 7, 4));
    assert_true(kvs_seen_covers(&seen, &x, 7, 5));
    assert_false(kvs_seen_covers(&seen, &x, 7, 6));
    assert_int_equal(kvs_seen_reach(&seen, &x, 7, 0), 0);
    assert_int_equal(kvs_seen_reach(&seen, &x, 7, 3), 5);
    assert_int_equal(kvs_seen_last(&seen, &x, 7), 5);
    assert_int_equal(kvs_seen_advance(&seen, &early), 0);
    assert_int_equal(kvs_seen_find(&seen, &x, 7)->count, 5);
    assert_int_equal(seen.span_count, 0);
    kvs_seen_done(&seen);
}

static void another_life_of_the_same_node_is_another_writer(void **state)
{
    (void)state;
    struct kvs_seen seen = {0};
    struct kvs_seen_run run = {x, 7, 0, 3};
    assert_int_equal(kvs_seen_advance(&seen, &run), 0);
    assert_false(kvs_seen_covers(&seen, &x, 8, 1));
    assert_false(kvs_seen_covers(&seen, &x, 6, 1));
    kvs_seen_done(&seen);
}

static void agrees_with_a_set_of_dots_whatever_comes_in_whatever_order(void **state)
{
    (void)state;
    enum { DOTS = 40 };
    struct kvs_random_seeded random;
    kvs_random_seeded_init(&random, 5);
    for (int round = 0; round < 2000; round++) {
        struct kvs_seen seen[2] = {{0}, {0}};
        bool set[2][DOTS + 1] = {{false}};
        for (int step = 0; step < 30; step++) {
            int side = (int)kvs_random_below(&random.base, 2);
            uint32_t from = (uint32_t)kvs_random_below(&random.base, DOTS);
            uint32_t to = from + 1 + (uint32_t)kvs_random_below(&random.base, 3);
            to = to > DOTS ? DOTS : to;
            struct kvs_version one = dot(7, to, 1);
            struct kvs_seen_run run = {x, 7, from, to};
            bool single = kvs_random_below(&random.base, 2) == 0;
            assert_int_equal(
                single ? kvs_seen_note(&seen[side], &one) : kvs_seen_advance(&seen[side], &run), 0);
            for (uint32_t i = single ? to : from + 1; i <= to; i++)
                set[side][i] = true;
        }
        struct kvs_seen_run missing;
        bool lacks = false;
        for (uint32_t i = 1; i <= DOTS; i++) {
            assert_int_equal(kvs_seen_covers(&seen[0], &x, 7, i), set[0][i]);
            lacks = lacks || (set[1][i] && !set[0][i]);
        }
        assert_int_equal(kvs_seen_covers_all(&seen[0], &seen[1]), !lacks);
        for (size_t at = 0; kvs_seen_missing(&seen[0], &seen[1], &at, &missing);)
            for (uint32_t i = missing.from + 1; i <= missing.to; i++)
                assert_true(set[1][i] && !set[0][i]);
        assert_true(kvs_seen_is_exact(&seen[0]));
        assert_int_equal(kvs_seen_adopt(&seen[0], &seen[1]), 0);
        for (uint32_t i = 1; i <= DOTS; i++)
            assert_int_equal(kvs_seen_covers(&seen[0], &x, 7, i), set[0][i] || set[1][i]);
        kvs_seen_done(&seen[0]);
        kvs_seen_done(&seen[1]);
    }
}

static void more_spans_than_there_is_room_for_make_it_inexact_until_the_gap_closes(void **state)
{
    (void)state;
    struct kvs_seen seen = {0};
    struct kvs_seen full = {0};
    for (uint32_t i = 0; i <= KVS_SEEN_SPANS_A_LIFE; i++) {
        struct kvs_version ahead = dot(7, 2 * i + 2, 5);
        assert_true(kvs_seen_is_exact(&seen));
        assert_int_equal(kvs_seen_note(&seen, &ahead), 0);
    }
    uint32_t last = 2 * KVS_SEEN_SPANS_A_LIFE + 2;
    assert_int_equal(seen.span_count, KVS_SEEN_SPANS_A_LIFE);
    assert_false(kvs_seen_is_exact(&seen));
    assert_false(kvs_seen_covers(&seen, &x, 7, last));
    assert_int_equal(kvs_seen_last(&seen, &x, 7), last);
    struct kvs_version other = dot(7, last - 1, 5);
    assert_int_equal(kvs_seen_note(&full, &other), 0);
    assert_true(kvs_seen_covers_all(&seen, &full)); // may be here: nobody waits for it
    struct kvs_seen_run run = {x, 7, 0, last};
    assert_int_equal(kvs_seen_advance(&seen, &run), 0);
    assert_true(kvs_seen_is_exact(&seen));
    assert_int_equal(seen.span_count, 0);
    kvs_seen_done(&seen);
    kvs_seen_done(&full);
}

static void what_is_kept_comes_back_and_anything_else_is_refused(void **state)
{
    (void)state;
    struct kvs_seen seen = {0};
    struct kvs_seen back = {0};
    struct kvs_seen_run runs[] = {{x, 7, 0, 3}, {x, 7, 5, 9}, {x, 9, 2, 4}, {{{2}}, 1, 0, 1}};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(kvs_seen_advance(&seen, &runs[i]), 0);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf bytes = KVS_BUF_INIT(1 << 16);
    kvs_seen_encode(&seen, &bytes);
    assert_int_equal(kvs_seen_decode(kvs_buf_slice(&bytes), &back), 0);
    assert_int_equal(back.count, seen.count);
    assert_int_equal(back.span_count, 2);
    assert_memory_equal(back.spans, seen.spans, 2 * sizeof(seen.spans[0]));
    assert_true(kvs_seen_covers_all(&back, &seen) && kvs_seen_covers_all(&seen, &back));
    kvs_seen_done(&back);
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_equal(kvs_seen_decode(kvs_slice(bytes.data, size), &back), KVS_ERR_CORRUPT);
    bytes.data[0]++;
    assert_int_equal(kvs_seen_decode(kvs_buf_slice(&bytes), &back), KVS_ERR_VERSION);
    kvs_seen_done(&seen);
}

// A list of lives says nothing of those that somebody else has settled in another cluster.
static void a_settled_life_is_known_by_its_entry_or_by_having_settled_it(void **state)
{
    (void)state;
    struct kvs_seen seen = {0};
    struct kvs_seen_entry settled = {.node = x, .life = 6, .settled = true};
    struct kvs_seen other = {.entries = &settled, .count = 1, .capacity = 1};
    assert_true(kvs_seen_covers_all(&seen, &other));
    assert_false(kvs_seen_knows_settled(&seen, &other));
    assert_true(kvs_seen_knows_settled(&other, &seen));
    assert_int_equal(kvs_seen_advance(&seen, &(struct kvs_seen_run){x, 7, 0, 3}), 0);
    assert_false(kvs_seen_knows_settled(&seen, &other));
    assert_int_equal(kvs_seen_advance(&seen, &(struct kvs_seen_run){x, 6, 0, 2}), 0);
    assert_true(kvs_seen_knows_settled(&seen, &other));
    settled.life = 8;
    assert_false(kvs_seen_knows_settled(&seen, &other));
    assert_int_equal(kvs_seen_adopt(&seen, &other), 0);
    settled.life = 6;
    assert_true(kvs_seen_knows_settled(&seen, &other));
    kvs_seen_done(&seen);
}

static void adopting_takes_the_greater_and_folds_settled_lives(void **state)
{
    (void)state;
    struct kvs_seen seen = {0};
    struct kvs_seen other = {0};
    struct kvs_seen_run mine[] = {{x, 5, 0, 9}, {x, 6, 0, 2}, {x, 9, 0, 4}};
    struct kvs_seen_run theirs = {x, 9, 0, 3};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(kvs_seen_advance(&seen, &mine[i]), 0);
    assert_int_equal(kvs_seen_advance(&other, &theirs), 0);
    assert_true(kvs_seen_covers_all(&seen, &other));
    assert_false(kvs_seen_covers_all(&other, &seen));
    struct kvs_seen_entry settled = {.node = x, .life = 6, .settled = true};
    struct kvs_seen fold = {.entries = &settled, .count = 1, .capacity = 1};
    assert_int_equal(kvs_seen_adopt(&seen, &fold), 0);
    assert_int_equal(seen.count, 2);
    assert_true(kvs_seen_covers(&seen, &x, 5, 1000));
    assert_true(kvs_seen_covers(&seen, &x, 9, 4));
    assert_false(kvs_seen_covers(&seen, &x, 7, 1));
    assert_int_equal(kvs_seen_adopt(&other, &seen), 0);
    assert_true(kvs_seen_covers(&other, &x, 9, 4));
    kvs_seen_done(&seen);
    kvs_seen_done(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_from_beyond_a_gap_is_known_dot_by_dot),
        cmocka_unit_test(another_life_of_the_same_node_is_another_writer),
        cmocka_unit_test(agrees_with_a_set_of_dots_whatever_comes_in_whatever_order),
        cmocka_unit_test(more_spans_than_there_is_room_for_make_it_inexact_until_the_gap_closes),
        cmocka_unit_test(what_is_kept_comes_back_and_anything_else_is_refused),
        cmocka_unit_test(a_settled_life_is_known_by_its_entry_or_by_having_settled_it),
        cmocka_unit_test(adopting_takes_the_greater_and_folds_settled_lives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
