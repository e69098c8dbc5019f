// SPDX-License-Identifier: Apache-2.0
// Differences: shown as `diff -U3` would, and right for random texts, since applying them to the
// one text gives the other.
#include "tests/unit/test.h"

#include "cmd/diff.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"

static void diff_of(struct kvs_buf *out, const char *before, const char *after)
{
    assert_true(kvs_diff_append(out, false, kvs_slice_from_str(before), kvs_slice_from_str(after)));
    kvs_buf_append_char(out, 0);
    assert_int_equal(out->err, 0);
}

#define assert_diff(before, after, expected)                                                       \
    do {                                                                                           \
        KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(1 << 20);                     \
        diff_of(&out, before, after);                                                              \
        assert_string_equal(out.data, expected);                                                   \
    } while (0)

static void hunks_have_three_lines_of_context(void **state)
{
    (void)state;
    assert_diff("", "", "");
    assert_diff("a\nb", "a\nb", "");
    assert_diff("", "a\nb", "@@ -0,0 +1,2 @@\n+a\n+b\n");
    assert_diff("a", "", "@@ -1,1 +0,0 @@\n-a\n");
    assert_diff("1\n2\n3\n4\n5\n6\n7\n8\n9", "1\n2\n3\n4\nx\n6\n7\n8\n9",
                "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+x\n 6\n 7\n 8\n");
    assert_diff("a\n1\n2\n3\n4\n5\n6\n7\nb", "A\n1\n2\n3\n4\n5\n6\n7\nB",
                "@@ -1,4 +1,4 @@\n-a\n+A\n 1\n 2\n 3\n@@ -6,4 +6,4 @@\n 5\n 6\n 7\n-b\n+B\n");
    assert_diff("a\n1\n2\n3\n4\n5\n6\nb", "A\n1\n2\n3\n4\n5\n6\nB",
                "@@ -1,8 +1,8 @@\n-a\n+A\n 1\n 2\n 3\n 4\n 5\n 6\n-b\n+B\n");
}

static void colours_are_whole_lines(void **state)
{
    (void)state;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(1 << 20);
    assert_true(kvs_diff_append(&out, true, KVS_SLICE("a"), KVS_SLICE("b")));
    kvs_buf_append_char(&out, 0);
    assert_non_null(strstr(out.data, "\x1b[31m-a\x1b[0m\n\x1b[32m+b\x1b[0m\n"));
}

// The next line of *text, without its '\n'.
static struct kvs_slice next_line(struct kvs_slice *text)
{
    const char *end = memchr(text->data, '\n', text->size);
    size_t size = end ? (size_t)(end - text->data) : text->size;
    struct kvs_slice line = kvs_slice(text->data, size);
    size_t used = size + (end != NULL);
    *text = kvs_slice(text->data + used, text->size - used);
    return line;
}

static void append_line(struct kvs_buf *out, struct kvs_slice line)
{
    kvs_buf_append_slice(out, line);
    kvs_buf_append_char(out, '\n');
}

// What `patch` does; asserts that the hunks fit.
static void apply(struct kvs_slice before, struct kvs_slice hunks, struct kvs_buf *after)
{
    int line = 1;
    while (hunks.size > 0) {
        struct kvs_slice head = next_line(&hunks);
        int from;
        int count;
        int to;
        int to_count;
        char numbers[64]; // sscanf wants a string, a line of a buffer ends with none
        assert_in_range(snprintf(numbers, sizeof(numbers), "%.*s", (int)head.size, head.data), 1,
                        sizeof(numbers) - 1);
        assert_int_equal(sscanf(numbers, "@@ -%d,%d +%d,%d @@", &from, &count, &to, &to_count), 4);
        for (int first = count > 0 ? from : from + 1; line < first; line++)
            append_line(after, next_line(&before));
        while (count > 0 || to_count > 0) {
            struct kvs_slice edit = next_line(&hunks);
            struct kvs_slice text = kvs_slice(edit.data + 1, edit.size - 1);
            if (edit.data[0] != '+') {
                assert_true(kvs_slice_eq(next_line(&before), text));
                line++;
                count--;
            }
            if (edit.data[0] != '-') {
                append_line(after, text);
                to_count--;
            }
        }
        assert_int_equal(count, 0);
        assert_int_equal(to_count, 0);
    }
    while (before.size > 0)
        append_line(after, next_line(&before));
}

static void random_lines(struct kvs_random *random, struct kvs_buf *out)
{
    size_t count = kvs_random_below(random, 40);
    for (size_t i = 0; i < count; i++)
        kvs_buf_printf(out, "%d\n", (int)kvs_random_below(random, 6));
}

static void applying_a_difference_gives_the_other_text(void **state)
{
    (void)state;
    struct kvs_random_seeded random;
    kvs_random_seeded_init(&random, 7);
    for (int i = 0; i < 3000; i++) {
        KVS_CLEANUP(kvs_buf_donep) struct kvs_buf before = KVS_BUF_INIT(1 << 16);
        KVS_CLEANUP(kvs_buf_donep) struct kvs_buf after = KVS_BUF_INIT(1 << 16);
        KVS_CLEANUP(kvs_buf_donep) struct kvs_buf hunks = KVS_BUF_INIT(1 << 20);
        KVS_CLEANUP(kvs_buf_donep) struct kvs_buf made = KVS_BUF_INIT(1 << 16);
        random_lines(&random.base, &before);
        random_lines(&random.base, &after);
        assert_true(kvs_diff_append(&hunks, false, kvs_buf_slice(&before), kvs_buf_slice(&after)));
        apply(kvs_buf_slice(&before), kvs_buf_slice(&hunks), &made);
        assert_true(kvs_slice_eq(kvs_buf_slice(&made), kvs_buf_slice(&after)));
    }
}

static void texts_that_have_nothing_in_common_are_replaced_as_a_whole(void **state)
{
    (void)state;
    enum { LINES = 3000 };
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf before = KVS_BUF_INIT(1 << 20);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf after = KVS_BUF_INIT(1 << 20);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf hunks = KVS_BUF_INIT(1 << 20);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf made = KVS_BUF_INIT(1 << 20);
    for (int i = 0; i < LINES; i++) {
        kvs_buf_printf(&before, "a%d\n", i);
        kvs_buf_printf(&after, "b%d\n", i);
    }
    assert_true(kvs_diff_append(&hunks, false, kvs_buf_slice(&before), kvs_buf_slice(&after)));
    apply(kvs_buf_slice(&before), kvs_buf_slice(&hunks), &made);
    assert_true(kvs_slice_eq(kvs_buf_slice(&made), kvs_buf_slice(&after)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hunks_have_three_lines_of_context),
        cmocka_unit_test(colours_are_whole_lines),
        cmocka_unit_test(applying_a_difference_gives_the_other_text),
        cmocka_unit_test(texts_that_have_nothing_in_common_are_replaced_as_a_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
