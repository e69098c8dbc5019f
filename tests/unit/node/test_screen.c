// SPDX-License-Identifier: Apache-2.0
// What of a message is given on when some of it cannot be stored.
#include "tests/unit/node/merging.h"

#include "node/screen.h"

enum { PIECES_MAX = 8, MESSAGE_MAX = 1 << 20 };

// One letter a version: its value, "?" where that is no JSON.
struct given {
    char text[256]; // "1-3:ab " for dots (1, 3] of a batch
    struct kvs_buf bytes;
};

static void note(void *ctx, struct kvs_slice bytes, const struct kvs_repl_item *page_end)
{
    struct given *given = ctx;
    struct kvs_arena arena;
    struct kvs_repl_message message;
    kvs_arena_init(&arena, MESSAGE_MAX);
    assert_int_equal(kvs_repl_message_decode(bytes, &arena, &message), 0);
    bool is_page = message.head.type == KVS_MESSAGE_PAGE_ANSWER;
    const struct kvs_repl_item *items = is_page ? message.page_answer.items : message.items.items;
    size_t count = is_page ? message.page_answer.item_count : message.items.item_count;
    size_t at = strlen(given->text);
    if (message.head.type == KVS_MESSAGE_BATCH) {
        items = message.batch.items;
        count = message.batch.item_count;
        at += (size_t)snprintf(given->text + at, sizeof(given->text) - at,
                               "%u-%u:", message.batch.run.from, message.batch.run.to);
    }
    for (size_t i = 0; i < count; i++)
        given->text[at++] = items[i].value.data[0];
    given->text[at++] = ' ';
    if (page_end)
        given->text[at - 1] = page_end->value.data[0];
    given->text[at] = '\0';
    kvs_arena_done(&arena);
}

// Values are "0" to "9"; any other letter is not fit to be stored.
static size_t make_items(const char *values, struct kvs_repl_item items[PIECES_MAX],
                         char json[PIECES_MAX][2])
{
    size_t count = strlen(values);
    for (size_t i = 0; i < count; i++) {
        json[i][0] = values[i];
        json[i][1] = '\0';
        items[i] = item_at(TEST_START_MS, (uint32_t)i + 1, "\x02k", json[i]);
    }
    return count;
}

static void pass(const struct kvs_repl_message *message, const struct kvs_seen *seen,
                 const char *expected)
{
    struct kvs_node node = {0};
    struct kvs_screen screen = {.node = &node};
    struct given given = {.bytes = KVS_BUF_INIT(MESSAGE_MAX)};
    kvs_repl_message_encode(message, &given.bytes);
    assert_int_equal(given.bytes.err, 0);
    kvs_screen_pass(&screen, seen, kvs_buf_slice(&given.bytes), 0, note, &given);
    assert_string_equal(given.text, expected);
    kvs_buf_done(&given.bytes);
}

static void pass_batch(const char *values, bool pulled, uint32_t from, uint32_t to,
                       const struct kvs_seen *seen, const char *expected)
{
    struct kvs_repl_item items[PIECES_MAX];
    char json[PIECES_MAX][2];
    struct kvs_repl_message message = {.head.type = KVS_MESSAGE_BATCH};
    message.batch.pulled = pulled;
    message.batch.item_count = make_items(values, items, json);
    message.batch.items = items;
    message.batch.run = (struct kvs_seen_run){items[0].version.writer.node, 1, from, to};
    pass(&message, seen, expected);
}

static void a_batch_is_cut_around_what_cannot_be_stored(void **state)
{
    (void)state;
    const struct kvs_seen nothing = {0};
    pass_batch("123", false, 4, 7, &nothing, "4-7:123 ");
    pass_batch("1x3", false, 4, 7, &nothing, "4-5:1 6-7:3 ");
    pass_batch("xx3", true, 4, 7, &nothing, "6-7:3 ");
    pass_batch("1x3x5", true, 4, 9, &nothing, "4-5:1 6-7:3 8-9:5 ");
    pass_batch("12", false, 4, 7, &nothing, "4-7:12 "); // no bad one: the core's business
    pass_batch("1x", false, 4, 7, &nothing, "");        // cannot be cut
}

// Else the peer would send it for ever.
static void the_end_of_a_pushed_batch_is_always_acknowledged(void **state)
{
    (void)state;
    const struct kvs_seen nothing = {0};
    pass_batch("12x", false, 4, 7, &nothing, "4-6:12 7-7: ");
    pass_batch("x", false, 4, 5, &nothing, "5-5: ");
}

// Else it would be asked for without a pause.
static void of_a_pulled_batch_only_news_are_given_on(void **state)
{
    (void)state;
    struct kvs_seen seen = {0};
    struct kvs_repl_item item = item_at(TEST_START_MS, 1, "\x02k", "1");
    const struct kvs_seen_run run = {item.version.writer.node, 1, 5, 7};
    assert_int_equal(kvs_seen_advance(&seen, &run), 0); // (5, 7]
    pass_batch("x23", true, 4, 7, &seen, "");
    pass_batch("x234", true, 4, 8, &seen, "5-8:234 ");
    pass_batch("12x", true, 4, 7, &seen, "4-6:12 ");
    pass_batch("x", true, 4, 5, &seen, "");
    kvs_seen_done(&seen);
}

static void what_was_asked_for_is_given_without_it(void **state)
{
    (void)state;
    const struct kvs_seen nothing = {0};
    struct kvs_repl_item items[PIECES_MAX];
    char json[PIECES_MAX][2];
    struct kvs_repl_message message = {.head.type = KVS_MESSAGE_ITEMS};
    message.items.session = 5;
    message.items.answered = 3;
    message.items.item_count = make_items("1x3", items, json);
    message.items.items = items;
    pass(&message, &nothing, "13 ");
    message.items.item_count = make_items("x", items, json);
    pass(&message, &nothing, " ");
}

// Else a page of nothing else would look like the last one.
static void a_page_is_given_with_where_it_ended(void **state)
{
    (void)state;
    const struct kvs_seen nothing = {0};
    struct kvs_repl_item items[PIECES_MAX];
    char json[PIECES_MAX][2];
    struct kvs_repl_message message = {.head.type = KVS_MESSAGE_PAGE_ANSWER};
    message.page_answer.session = 5;
    message.page_answer.item_count = make_items("12", items, json);
    message.page_answer.items = items;
    pass(&message, &nothing, "12 ");
    message.page_answer.item_count = make_items("1xy", items, json);
    pass(&message, &nothing, "1y");
    message.page_answer.item_count = make_items("x2", items, json);
    pass(&message, &nothing, "22");
    message.page_answer.item_count = make_items("x", items, json);
    pass(&message, &nothing, "x");
}

static void what_this_node_refused_is_left_out_for_a_while(void **state)
{
    (void)state;
    struct kvs_node node = {0};
    struct kvs_screen screen = {.node = &node};
    struct kvs_repl_item items[PIECES_MAX];
    char json[PIECES_MAX][2];
    struct kvs_repl_message message = {.head.type = KVS_MESSAGE_ITEMS};
    struct given given = {.bytes = KVS_BUF_INIT(MESSAGE_MAX)};
    const struct kvs_seen nothing = {0};
    message.items.item_count = make_items("12", items, json);
    message.items.items = items;
    kvs_repl_message_encode(&message, &given.bytes);
    assert_false(kvs_screen_is_on(&screen, 1000));
    kvs_screen_begin(&screen, &items[1], 1000);
    assert_true(kvs_screen_is_on(&screen, 1000));
    kvs_screen_pass(&screen, &nothing, kvs_buf_slice(&given.bytes), 1000, note, &given);
    assert_string_equal(given.text, "1 ");
    // It comes again and again; that does not keep it from being tried.
    kvs_screen_pass(&screen, &nothing, kvs_buf_slice(&given.bytes), 31000, note, &given);
    assert_string_equal(given.text, "1 1 ");
    assert_true(kvs_screen_is_on(&screen, 61000));
    kvs_screen_pass(&screen, &nothing, kvs_buf_slice(&given.bytes), 61000, note, &given);
    assert_string_equal(given.text, "1 1 12 ");
    assert_false(kvs_screen_is_on(&screen, 1000000));
    kvs_screen_begin(&screen, NULL, 1000000);
    kvs_screen_pass(&screen, &nothing, kvs_buf_slice(&given.bytes), 1000000, note, &given);
    assert_string_equal(given.text, "1 1 12 12 ");
    kvs_buf_done(&given.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_is_cut_around_what_cannot_be_stored),
        cmocka_unit_test(the_end_of_a_pushed_batch_is_always_acknowledged),
        cmocka_unit_test(of_a_pulled_batch_only_news_are_given_on),
        cmocka_unit_test(what_was_asked_for_is_given_without_it),
        cmocka_unit_test(a_page_is_given_with_where_it_ended),
        cmocka_unit_test(what_this_node_refused_is_left_out_for_a_while),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
