// SPDX-License-Identifier: Apache-2.0
// Exports: a good one holds, and whatever is done to it is found and the first bad entry named.
#include "log_maker.h"

enum { SEALED = 40, ALL = 55 };

// 40 entries in four sealed epochs, 15 more in the open one, a checkpoint.
static int setup(void **state)
{
    struct log_maker *m = malloc(sizeof(*m));
    assert_non_null(m);
    maker_init(m, 1);
    for (int i = 1; i <= ALL; i++) {
        maker_entry(m);
        if (i % 10 == 0 && i <= SEALED)
            maker_seal(m, KVS_AUDIT_ROOT);
    }
    maker_seal(m, KVS_AUDIT_CHECKPOINT);
    *state = m;
    return 0;
}

static int teardown(void **state)
{
    maker_done(*state);
    free(*state);
    return 0;
}

static void assert_bad(struct log_maker *m, uint64_t seq)
{
    struct kvs_audit_report report = maker_verify(m, NULL);
    if (report.good || report.bad_seq != seq)
        fail_msg("entry %u is bad; verify says: good %d, entry %u: %s", (unsigned)seq, report.good,
                 (unsigned)report.bad_seq, report.message.text);
    assert_true(strlen(report.message.text) > 10);
}

static void a_good_export_holds(void **state)
{
    struct kvs_audit_report report = maker_verify(*state, NULL);
    assert_string_equal(report.message.text, "");
    assert_true(report.good);
    assert_true(report.end_checked);
    assert_int_equal(report.first, 1);
    assert_int_equal(report.last, ALL);
    assert_int_equal(report.sealed, SEALED);
    assert_int_equal(report.roots, SEALED / 10);
    assert_int_equal(report.breaks, 0);
}

static void an_empty_log_holds(void **state)
{
    (void)state;
    struct log_maker *m = malloc(sizeof(*m));
    maker_init(m, 2);
    maker_seal(m, KVS_AUDIT_CHECKPOINT);
    struct kvs_audit_report report = maker_verify(m, NULL);
    assert_true(report.good);
    assert_int_equal(report.last, 0);
    maker_done(m);
    free(m);
}

// ---- Damage

static size_t line_of(const struct log_maker *m, uint64_t seq)
{
    for (size_t i = 0; i < m->line_count; i++)
        if (m->lines[i].seq == seq)
            return i;
    fail_msg("no entry %u", (unsigned)seq);
    return 0;
}

static void drop_line(struct log_maker *m, size_t at)
{
    memmove(&m->lines[at], &m->lines[at + 1], (m->line_count - at - 1) * sizeof(m->lines[0]));
    m->line_count--;
}

static void insert_copy(struct log_maker *m, size_t from, size_t at)
{
    struct log_line line = m->lines[from];
    assert_true(m->line_count < LINES_MAX);
    memmove(&m->lines[at + 1], &m->lines[at], (m->line_count - at) * sizeof(m->lines[0]));
    m->lines[at] = line;
    m->line_count++;
}

static uint64_t random_seq(struct log_maker *m)
{
    return 1 + kvs_random_below(&m->random.base, ALL);
}

// Changes one character of the line; it stays one line.
static void edit_line(struct log_maker *m, size_t at)
{
    struct log_line *line = &m->lines[at];
    char *c = &line->text[kvs_random_below(&m->random.base, line->size)];
    char other;
    do
        other = "0123456789abcdef\"{}:,x"[kvs_random_below(&m->random.base, 22)];
    while (other == *c);
    *c = other;
}

// A change that is well-formed: the entry says something else, signed and chained as before.
static void rewrite_entry(struct log_maker *m, uint64_t seq)
{
    struct log_line *line = &m->lines[line_of(m, seq)];
    char *key = strstr(line->text, "key/");
    assert_non_null(key);
    key[0] = 'K';
}

// Copies of the same log, each damaged once in another way.
static void damage_and_check(struct log_maker *m, int kind)
{
    uint64_t seq = random_seq(m);
    uint64_t other = random_seq(m);
    uint64_t bad = seq;
    switch (kind) {
    case 0:
        edit_line(m, line_of(m, seq));
        break;
    case 1:
        rewrite_entry(m, seq);
        break;
    case 2:
        drop_line(m, line_of(m, seq));
        break;
    case 3: { // swap
        while (other == seq)
            other = random_seq(m);
        struct log_line line = m->lines[line_of(m, seq)];
        size_t a = line_of(m, seq);
        size_t b = line_of(m, other);
        m->lines[a] = m->lines[b];
        m->lines[b] = line;
        bad = seq < other ? seq : other;
        break;
    }
    case 4: // the copy stands where the entry behind `seq` belongs
        insert_copy(m, line_of(m, other), line_of(m, seq) + 1);
        bad = other == seq + 1 ? seq + 2 : seq + 1;
        break;
    default:
        fail();
    }
    assert_bad(m, bad);
}

static void whatever_is_done_to_an_export_is_found(void **state)
{
    struct log_maker *m = *state;
    struct log_maker *copy = malloc(sizeof(*copy));
    for (int i = 0; i < 600; i++) {
        *copy = *m;
        kvs_random_seeded_init(&copy->random, 1000 + (uint64_t)i);
        if (i % 6 == 5) { // truncation
            uint64_t seq = 2 + kvs_random_below(&copy->random.base, ALL - 1);
            copy->lines[line_of(copy, seq)] = copy->lines[copy->line_count - 1];
            copy->line_count = line_of(copy, seq - 1) + 2;
            // A root may stand between the two; then it is the checkpoint's line that is cut.
            if (seq % 10 == 1 && seq - 1 <= SEALED)
                copy->line_count++;
            assert_bad(copy, seq);
        } else {
            damage_and_check(copy, i % 6);
        }
    }
    free(copy);
}

static void a_cut_without_its_checkpoint_is_found(void **state)
{
    struct log_maker *m = *state;
    m->line_count--;
    assert_bad(m, ALL + 1);
    m->line_count -= 5;
    assert_bad(m, ALL - 4);
}

static void a_root_that_is_changed_or_missing_is_found(void **state)
{
    struct log_maker *m = *state;
    struct log_maker *copy = malloc(sizeof(*copy));
    size_t roots = 0;
    for (size_t i = 1; i + 1 < m->line_count; i++) {
        if (m->lines[i].seq != 0)
            continue;
        uint64_t covered = 10 * roots++;
        *copy = *m;
        drop_line(copy, i);
        assert_bad(copy, covered + 1);
        *copy = *m;
        char *root = strstr(copy->lines[i].text, "\"root\":\"");
        root[8] = root[8] == '0' ? '1' : '0';
        assert_bad(copy, covered + 1);
        *copy = *m; // moved one entry up
        copy->lines[i] = m->lines[i - 1];
        copy->lines[i - 1] = m->lines[i];
        assert_bad(copy, covered + 10);
    }
    assert_int_equal(roots, SEALED / 10);
    free(copy);
}

// The last entry has no successor to betray it, but the checkpoint.
static void the_last_entries_of_the_open_epoch_are_told_apart(void **state)
{
    struct log_maker *m = *state;
    struct log_maker *copy = malloc(sizeof(*copy));
    for (uint64_t seq = SEALED + 1; seq <= ALL; seq++) {
        *copy = *m;
        rewrite_entry(copy, seq);
        assert_bad(copy, seq);
        *copy = *m; // its link alone
        char *prev = strstr(copy->lines[line_of(copy, seq)].text, "\"prev\":\"");
        prev[8] = prev[8] == '0' ? '1' : '0';
        assert_bad(copy, seq);
    }
    free(copy);
}

// Somebody without the keys makes a whole log of his own.
static void another_log_is_found_by_its_key(void **state)
{
    struct log_maker *m = *state;
    struct kvs_audit_public other = {{1}};
    struct kvs_audit_verify_options options = {.key = &m->header.genesis.public_key};
    assert_true(maker_verify(m, &options).good);
    options.key = &other;
    assert_false(maker_verify(m, &options).good);
}

static void a_root_from_outside_finds_a_cut_log(void **state)
{
    struct log_maker *m = *state;
    struct kvs_audit_pin pin = {.size = m->tree.size,
                                .root = kvs_audit_tree_root(&m->tree, m->hasher)};
    struct kvs_audit_verify_options options = {.pins = &pin, .pin_count = 1};
    assert_true(maker_verify(m, &options).good);
    // The same node, its log cut to 50 entries and closed by a checkpoint that it signed itself.
    struct log_maker *cut = malloc(sizeof(*cut));
    maker_init(cut, 1);
    for (int i = 1; i <= 50; i++) {
        maker_entry(cut);
        if (i % 10 == 0 && i <= SEALED)
            maker_seal(cut, KVS_AUDIT_ROOT);
    }
    maker_seal(cut, KVS_AUDIT_CHECKPOINT);
    assert_true(maker_verify(cut, NULL).good); // by itself nothing is wrong with it
    struct kvs_audit_report report = maker_verify(cut, &options);
    assert_false(report.good);
    assert_int_equal(report.bad_seq, 51);
    pin.size = 30;
    report = maker_verify(m, &options);
    assert_false(report.good); // that many entries never had this root
    maker_done(cut);
    free(cut);
}

static void a_break_is_told_and_the_rest_still_checked(void **state)
{
    (void)state;
    struct log_maker *m = malloc(sizeof(*m));
    struct log_maker *copy = malloc(sizeof(*copy));
    maker_init(m, 3);
    for (int i = 0; i < 10; i++)
        maker_entry(m);
    maker_seal(m, KVS_AUDIT_ROOT);
    for (int i = 0; i < 7; i++)
        maker_entry(m);
    maker_seal(m, KVS_AUDIT_BREAK);
    for (int i = 0; i < 7; i++)
        maker_entry(m);
    maker_seal(m, KVS_AUDIT_ROOT);
    maker_seal(m, KVS_AUDIT_CHECKPOINT);
    struct kvs_audit_report report = maker_verify(m, NULL);
    assert_string_equal(report.message.text, "");
    assert_true(report.good);
    assert_int_equal(report.breaks, 1);
    assert_int_equal(report.break_size, 17);
    for (uint64_t seq = 1; seq <= 24; seq++) {
        *copy = *m;
        rewrite_entry(copy, seq);
        assert_bad(copy, seq);
        *copy = *m;
        drop_line(copy, line_of(copy, seq));
        assert_bad(copy, seq);
    }
    maker_done(m);
    free(m);
    free(copy);
}

static void what_is_no_export_is_said_to_be_none(void **state)
{
    struct log_maker *m = *state;
    struct kvs_audit_lines lines = {maker_next_line, maker_rewind, m};
    struct kvs_audit_verify_options options = {0};
    struct kvs_audit_report report;
    struct kvs_message message = {{0}};
    m->lines[0] = m->lines[1];
    assert_int_equal(kvs_audit_verify_export(&lines, &options, &report, &message), KVS_ERR_SYNTAX);
    assert_non_null(strstr(message.text, "no export"));
    m->line_count = 0;
    assert_int_equal(kvs_audit_verify_export(&lines, &options, &report, &message), KVS_ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_good_export_holds, setup, teardown),
        cmocka_unit_test(an_empty_log_holds),
        cmocka_unit_test_setup_teardown(whatever_is_done_to_an_export_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cut_without_its_checkpoint_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(a_root_that_is_changed_or_missing_is_found, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_last_entries_of_the_open_epoch_are_told_apart, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(another_log_is_found_by_its_key, setup, teardown),
        cmocka_unit_test_setup_teardown(a_root_from_outside_finds_a_cut_log, setup, teardown),
        cmocka_unit_test(a_break_is_told_and_the_rest_still_checked),
        cmocka_unit_test_setup_teardown(what_is_no_export_is_said_to_be_none, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
