// SPDX-License-Identifier: Apache-2.0
// Where dots lie in the log: the index answers with a place from which a reader meets the dots that
// it looks for one after another, or not at all.
#include "tests/unit/test.h"

#include "node/dots.h"
#include "repl/seen.h"

enum { WRITER = 7, LIFE = 3 };

static void note(struct kvs_dots *dots, uint32_t count, uint64_t log_seq)
{
    kvs_dots_note(dots, WRITER, kvs_dot_seq(LIFE, count), log_seq);
}

// 0: not found.
static uint64_t find(const struct kvs_dots *dots, uint32_t behind)
{
    uint64_t log_seq = 0;
    return kvs_dots_find(dots, WRITER, kvs_dot_seq(LIFE, behind), &log_seq) ? log_seq : 0;
}

static void a_row_is_found_from_any_of_its_dots(void **state)
{
    (void)state;
    enum { LAST = 1000 };
    struct kvs_dots dots;
    kvs_dots_init(&dots);
    assert_int_equal(find(&dots, 0), 0);
    for (uint32_t count = 1; count <= LAST; count++)
        note(&dots, count, 10 * (uint64_t)count);
    for (uint32_t behind = 0; behind < LAST; behind++) {
        uint64_t wanted = 10 * ((uint64_t)behind + 1);
        uint64_t found = find(&dots, behind);
        assert_true(found > 0 && found <= wanted); // never behind what is looked for …
        assert_true(wanted - found < 10 * (uint64_t)KVS_DOT_STEP); // … nor far before it
    }
    assert_int_equal(find(&dots, LAST), 0); // there is nothing behind the last
    assert_int_equal(find(&dots, UINT32_MAX), 0);
    uint64_t log_seq = 0;
    assert_false(kvs_dots_find(&dots, WRITER, kvs_dot_seq(LIFE + 1, 0), &log_seq));
    assert_false(kvs_dots_find(&dots, WRITER + 1, kvs_dot_seq(LIFE, 0), &log_seq));
    kvs_dots_done(&dots);
}

static void a_gap_begins_a_new_row(void **state)
{
    (void)state;
    struct kvs_dots dots;
    kvs_dots_init(&dots);
    for (uint32_t count = 1; count <= 100; count++)
        note(&dots, count, count);
    note(&dots, 150, 200);
    assert_int_equal(find(&dots, 50), 0); // before the gap
    assert_int_equal(find(&dots, 149), 200);
    assert_int_equal(find(&dots, 150), 0);
    for (uint32_t count = 101; count < 150; count++)
        note(&dots, count, 100 + count); // late
    note(&dots, 151, 300);
    assert_int_equal(find(&dots, 149), 200);
    assert_int_equal(find(&dots, 148), 0);
    note(&dots, 151, 400); // logged anew
    note(&dots, 152, 401);
    assert_int_equal(find(&dots, 150), 200);
    kvs_dots_done(&dots);
}

static void what_is_trimmed_is_not_found(void **state)
{
    (void)state;
    enum { LAST = 640 };
    struct kvs_dots dots;
    kvs_dots_init(&dots);
    for (uint32_t count = 1; count <= LAST; count++)
        note(&dots, count, count);
    kvs_dots_trim(&dots, 300);
    for (uint32_t behind = 0; behind < LAST; behind++) {
        uint64_t found = find(&dots, behind);
        assert_true(found == 0 || (found >= 300 && found <= behind + 1));
        assert_true(found != 0 || behind < 300 + KVS_DOT_STEP);
    }
    kvs_dots_trim(&dots, LAST + 1);
    assert_int_equal(find(&dots, LAST - 1), 0);
    note(&dots, LAST + 1, LAST + 1); // and it goes on
    note(&dots, LAST + 2, LAST + 2);
    assert_int_equal(find(&dots, LAST), LAST + 1);
    kvs_dots_done(&dots);
}

static void too_many_rows_forget_the_idle_one(void **state)
{
    (void)state;
    struct kvs_dots dots;
    uint64_t log_seq = 0;
    kvs_dots_init(&dots);
    for (uint32_t writer = 1; writer <= KVS_DOT_ROWS_MAX + 1; writer++) {
        kvs_dots_note(&dots, writer, kvs_dot_seq(1, 1), 2 * (uint64_t)writer);
        kvs_dots_note(&dots, writer, kvs_dot_seq(1, 2), 2 * (uint64_t)writer + 1);
    }
    assert_false(kvs_dots_find(&dots, 1, kvs_dot_seq(1, 0), &log_seq));
    for (uint32_t writer = 2; writer <= KVS_DOT_ROWS_MAX + 1; writer++) {
        assert_true(kvs_dots_find(&dots, writer, kvs_dot_seq(1, 0), &log_seq));
        assert_int_equal(log_seq, 2 * writer);
    }
    assert_int_equal(dots.count, KVS_DOT_ROWS_MAX);
    kvs_dots_clear(&dots);
    assert_false(kvs_dots_find(&dots, 2, kvs_dot_seq(1, 0), &log_seq));
    kvs_dots_done(&dots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_found_from_any_of_its_dots),
        cmocka_unit_test(a_gap_begins_a_new_row),
        cmocka_unit_test(what_is_trimmed_is_not_found),
        cmocka_unit_test(too_many_rows_forget_the_idle_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
