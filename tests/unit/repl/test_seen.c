// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "repl/seen.h"

static const struct kvs_uuid x = {{1}};

static struct kvs_version dot(uint32_t life, uint32_t count, int64_t timestamp)
{
    return (struct kvs_version){
        .timestamp = timestamp, .writer.node = x, .writer_seq = kvs_dot_seq(life, count)};
}

static void a_run_counts_only_without_a_gap_before_it(void **state)
{
    (void)state;
    struct kvs_seen seen = {0};
    struct kvs_seen_run late = {x, 7, 3, 5};
    struct kvs_seen_run early = {x, 7, 0, 3};
    assert_int_equal(kvs_seen_advance(&seen, &late), 0);
    assert_false(kvs_seen_covers(&seen, &x, 7, 1));
    assert_int_equal(kvs_seen_advance(&seen, &early), 0);
    assert_true(kvs_seen_covers(&seen, &x, 7, 3));
    assert_false(kvs_seen_covers(&seen, &x, 7, 4));
    assert_int_equal(kvs_seen_advance(&seen, &late), 0);
    assert_true(kvs_seen_covers(&seen, &x, 7, 5));
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

static void what_came_from_beyond_a_gap_makes_it_inexact_until_the_gap_closes(void **state)
{
    (void)state;
    struct kvs_seen seen = {0};
    struct kvs_version ahead = dot(7, 2, 5);
    assert_int_equal(kvs_seen_note(&seen, &ahead), 0);
    assert_false(kvs_seen_is_exact(&seen));
    struct kvs_seen_run run = {x, 7, 0, 2};
    assert_int_equal(kvs_seen_advance(&seen, &run), 0);
    assert_true(kvs_seen_is_exact(&seen));
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
    struct kvs_seen fold = {&settled, 1, 1};
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
        cmocka_unit_test(a_run_counts_only_without_a_gap_before_it),
        cmocka_unit_test(another_life_of_the_same_node_is_another_writer),
        cmocka_unit_test(what_came_from_beyond_a_gap_makes_it_inexact_until_the_gap_closes),
        cmocka_unit_test(adopting_takes_the_greater_and_folds_settled_lives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
