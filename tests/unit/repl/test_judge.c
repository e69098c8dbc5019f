// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "repl/judge.h"

static struct kvs_judgement with(const struct kvs_version *current,
                                 const struct kvs_version *incoming)
{
    return (struct kvs_judgement){.current = current,
                                  .incoming = incoming,
                                  .watermark_ms = 100,
                                  .wall_ms = 1000,
                                  .skew_max_ms = 50};
}

static void a_deleted_version_does_not_come_back(void **state)
{
    (void)state;
    struct kvs_version old = {.timestamp = 100};
    struct kvs_judgement j = with(NULL, &old);
    j.seen = true;
    assert_int_equal(kvs_judge(&j), KVS_VERDICT_IGNORE);
    old.timestamp = 101; // the watermark has not passed it: nothing was forgotten
    assert_int_equal(kvs_judge(&j), KVS_VERDICT_APPLY);
}

static void a_deleted_version_does_not_win_over_an_older_one_that_was_taken_since(void **state)
{
    (void)state;
    struct kvs_version revived = {.timestamp = 40};
    struct kvs_version dead = {.timestamp = 60};
    struct kvs_judgement j = with(&revived, &dead);
    j.seen = true;
    assert_int_equal(kvs_judge(&j), KVS_VERDICT_IGNORE);
    assert_false(j.conflict);
    j.due = true; // counted as seen when it was put aside
    assert_int_equal(kvs_judge(&j), KVS_VERDICT_APPLY);
    j.due = false;
    dead.flags = KVS_VERSION_TOMBSTONE; // a deletion may always come back
    assert_int_equal(kvs_judge(&j), KVS_VERDICT_REMOVE);
}

static void a_write_that_nobody_saw_is_kept(void **state)
{
    (void)state;
    struct kvs_version old = {.timestamp = 50};
    struct kvs_judgement j = with(NULL, &old);
    assert_int_equal(kvs_judge(&j), KVS_VERDICT_APPLY);
    assert_true(j.revived);
    old.flags = KVS_VERSION_TOMBSTONE; // but a deletion of nothing is nothing
    assert_int_equal(kvs_judge(&j), KVS_VERDICT_IGNORE);
}

static void a_late_deletion_takes_effect_and_goes_at_once(void **state)
{
    (void)state;
    struct kvs_version current = {.timestamp = 40};
    struct kvs_version deletion = {.timestamp = 60, .flags = KVS_VERSION_TOMBSTONE};
    struct kvs_judgement j = with(&current, &deletion);
    assert_int_equal(kvs_judge(&j), KVS_VERDICT_REMOVE);
}

static void the_future_waits(void **state)
{
    (void)state;
    struct kvs_version soon = {.timestamp = 1051};
    struct kvs_version far = {.timestamp = 1001 + KVS_QUARANTINE_MS};
    struct kvs_judgement j = with(NULL, &soon);
    assert_int_equal(kvs_judge(&j), KVS_VERDICT_DEFER);
    j.due = true;
    assert_int_equal(kvs_judge(&j), KVS_VERDICT_APPLY);
    j = with(NULL, &far);
    assert_int_equal(kvs_judge(&j), KVS_VERDICT_QUARANTINE);
    j.seen = true; // it waits already, or was here before our clock went back
    assert_int_equal(kvs_judge(&j), KVS_VERDICT_IGNORE);
}

static void a_deletion_that_others_forgot_is_not_of_the_future(void **state)
{
    (void)state;
    struct kvs_version current = {.timestamp = 40};
    struct kvs_version deletion = {.timestamp = 60, .flags = KVS_VERSION_TOMBSTONE};
    struct kvs_judgement j = with(&current, &deletion);
    j.wall_ms = 0; // this clock is far behind
    assert_int_equal(kvs_judge(&j), KVS_VERDICT_REMOVE);
    j.seen = true;
    assert_int_equal(kvs_judge(&j), KVS_VERDICT_REMOVE);
    deletion.timestamp = 101; // above the watermark it waits
    assert_int_equal(kvs_judge(&j), KVS_VERDICT_IGNORE);
}

static void a_tie_is_a_conflict_and_order_decides_it(void **state)
{
    (void)state;
    struct kvs_version a = {.timestamp = 500, .uuid = {{1}}};
    struct kvs_version b = {.timestamp = 500, .uuid = {{2}}};
    struct kvs_judgement j = with(&a, &b);
    assert_int_equal(kvs_judge(&j), KVS_VERDICT_LOSE);
    assert_int_equal(j.rule, KVS_VERSION_BY_UUID);
    assert_true(j.conflict);
    j = with(&b, &a);
    assert_int_equal(kvs_judge(&j), KVS_VERDICT_APPLY);
    assert_true(j.conflict);
    j = with(&a, &a);
    assert_int_equal(kvs_judge(&j), KVS_VERDICT_DUPLICATE);
    assert_false(j.conflict);
}

static void a_loser_that_comes_after_our_own_write_was_concurrent(void **state)
{
    (void)state;
    struct kvs_version ours = {.timestamp = 500, .writer.node = {{7}}};
    struct kvs_version theirs = {.timestamp = 400};
    struct kvs_judgement j = with(&ours, &theirs);
    j.self = (struct kvs_uuid){{7}};
    assert_int_equal(kvs_judge(&j), KVS_VERDICT_LOSE);
    assert_true(j.conflict);
    j.seen = true; // it was here before: our write knew of it
    assert_int_equal(kvs_judge(&j), KVS_VERDICT_LOSE);
    assert_false(j.conflict);
}

static void what_a_former_cluster_forgot_stays_deleted(void **state)
{
    (void)state;
    struct kvs_version dead = {.timestamp = 300};
    struct kvs_judgement j = with(NULL, &dead);
    j.forgotten_ms = 300;
    assert_int_equal(kvs_judge(&j), KVS_VERDICT_APPLY); // never seen: alive
    assert_false(j.revived);
    j.seen = true;
    assert_int_equal(kvs_judge(&j), KVS_VERDICT_IGNORE);
    struct kvs_version older = {.timestamp = 200};
    j.current = &older;
    assert_int_equal(kvs_judge(&j), KVS_VERDICT_IGNORE);
    dead.flags = KVS_VERSION_TOMBSTONE; // the elder cluster still keeps deletions of that time
    assert_int_equal(kvs_judge(&j), KVS_VERDICT_APPLY);
    j.current = NULL;
    assert_int_equal(kvs_judge(&j), KVS_VERDICT_APPLY);
    dead = (struct kvs_version){.timestamp = 300, .expires_at = 290}; // and what expires by itself
    assert_int_equal(kvs_judge(&j), KVS_VERDICT_APPLY);
    dead = (struct kvs_version){.timestamp = 301};
    assert_int_equal(kvs_judge(&j), KVS_VERDICT_APPLY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_deleted_version_does_not_come_back),
        cmocka_unit_test(a_deleted_version_does_not_win_over_an_older_one_that_was_taken_since),
        cmocka_unit_test(a_write_that_nobody_saw_is_kept),
        cmocka_unit_test(what_a_former_cluster_forgot_stays_deleted),
        cmocka_unit_test(a_late_deletion_takes_effect_and_goes_at_once),
        cmocka_unit_test(the_future_waits),
        cmocka_unit_test(a_deletion_that_others_forgot_is_not_of_the_future),
        cmocka_unit_test(a_tie_is_a_conflict_and_order_decides_it),
        cmocka_unit_test(a_loser_that_comes_after_our_own_write_was_concurrent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
