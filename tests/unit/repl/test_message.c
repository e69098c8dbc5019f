// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "repl/message.h"

#include <stdio.h>

static void encode_batch(struct kvs_buf *out)
{
    struct kvs_repl_item items[2] = {
        {KVS_SLICE("\002a/b"),
         {.timestamp = 5, .writer_seq = 77, .expires_at = 9},
         KVS_SLICE("{}")},
        {KVS_SLICE("\002c"), {.timestamp = 6, .flags = KVS_VERSION_TOMBSTONE}, KVS_SLICE_EMPTY},
    };
    struct kvs_repl_message m = {.head.type = KVS_MESSAGE_BATCH, .head.sender_life = 3};
    m.batch.run = (struct kvs_seen_run){.life = 3, .from = 1, .to = 2};
    m.batch.items = items;
    m.batch.item_count = 2;
    kvs_repl_message_encode(&m, out);
    assert_int_equal(out->err, 0);
}

static void what_is_encoded_is_decoded(void **state)
{
    (void)state;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf bytes = KVS_BUF_INIT(1 << 20);
    encode_batch(&bytes);
    struct kvs_arena arena;
    kvs_arena_init(&arena, 1 << 20);
    struct kvs_repl_message m;
    assert_int_equal(kvs_repl_message_decode(kvs_buf_slice(&bytes), &arena, &m), 0);
    assert_int_equal(m.head.type, KVS_MESSAGE_BATCH);
    assert_int_equal(m.head.sender_life, 3);
    assert_int_equal(m.batch.run.to, 2);
    assert_int_equal(m.batch.item_count, 2);
    assert_slice_equal(m.batch.items[0].key, "\002a/b");
    assert_slice_equal(m.batch.items[0].value, "{}");
    assert_int_equal(m.batch.items[0].version.writer_seq, 77);
    assert_int_equal(m.batch.items[0].version.expires_at, 9);
    assert_int_equal(m.batch.items[1].version.flags, KVS_VERSION_TOMBSTONE);
    kvs_arena_done(&arena);
}

// What is calculated with must not overflow, whoever sends it.
static void times_beyond_all_clocks_are_refused(void **state)
{
    (void)state;
    const int64_t limit_ms = INT64_C(1) << 60;
    const struct {
        int64_t sent_ms, echo_ms;
        bool good;
    } cases[] = {{limit_ms, 0, true},       {-limit_ms, 0, true},     {limit_ms + 1, 0, false},
                 {-limit_ms - 1, 0, false}, {INT64_MIN, 0, false},    {INT64_MAX, 0, false},
                 {0, limit_ms, true},       {0, limit_ms + 1, false}, {0, INT64_MIN, false}};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++) {
        KVS_CLEANUP(kvs_buf_donep) struct kvs_buf bytes = KVS_BUF_INIT(1 << 20);
        struct kvs_repl_message m = {.head.type = KVS_MESSAGE_PONG};
        m.head.sent_ms = cases[i].sent_ms;
        m.ping.echo_sent_ms = cases[i].echo_ms;
        kvs_repl_message_encode(&m, &bytes);
        struct kvs_arena arena;
        kvs_arena_init(&arena, 1 << 20);
        int err = kvs_repl_message_decode(kvs_buf_slice(&bytes), &arena, &m);
        assert_int_equal(err, cases[i].good ? 0 : KVS_ERR_SYNTAX);
        kvs_arena_done(&arena);
    }
}

static void what_is_cut_short_or_goes_on_is_refused(void **state)
{
    (void)state;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf bytes = KVS_BUF_INIT(1 << 20);
    encode_batch(&bytes);
    struct kvs_repl_message m;
    for (size_t size = 0; size < bytes.size; size++) {
        struct kvs_arena arena;
        kvs_arena_init(&arena, 1 << 20);
        assert_true(kvs_repl_message_decode(kvs_slice(bytes.data, size), &arena, &m) < 0);
        kvs_arena_done(&arena);
    }
    struct kvs_arena arena;
    kvs_arena_init(&arena, 1 << 20);
    kvs_buf_append_char(&bytes, 0);
    assert_int_equal(kvs_repl_message_decode(kvs_buf_slice(&bytes), &arena, &m), KVS_ERR_SYNTAX);
    bytes.data[0] = KVS_MESSAGE_FORMAT + 1;
    assert_int_equal(kvs_repl_message_decode(kvs_buf_slice(&bytes), &arena, &m), KVS_ERR_VERSION);
    kvs_arena_done(&arena);
}

static void a_changed_byte_never_crashes_the_decoder(void **state)
{
    (void)state;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf bytes = KVS_BUF_INIT(1 << 20);
    encode_batch(&bytes);
    for (size_t at = 0; at < bytes.size; at++) {
        char kept = bytes.data[at];
        for (int value = 0; value < 256; value += 5) {
            struct kvs_arena arena;
            kvs_arena_init(&arena, 1 << 20);
            struct kvs_repl_message m;
            bytes.data[at] = (char)value;
            int err = kvs_repl_message_decode(kvs_buf_slice(&bytes), &arena, &m);
            assert_true(err <= 0);
            kvs_arena_done(&arena);
        }
        bytes.data[at] = kept;
    }
}

enum { STUBS = 300, WRITERS = 100 }; // more writers than a packer numbers

static void make_stub(int i, char key[static 16], struct kvs_repl_stub *ret_stub)
{
    int size = snprintf(key, 16, "\002%s/%d", i % 7 ? "user" : "u", i * 37);
    *ret_stub = (struct kvs_repl_stub){.key = kvs_slice(key, (size_t)size)};
    struct kvs_version *v = &ret_stub->version;
    v->timestamp = 1700000000000 + (i % 5) * 1000 - i;
    v->expires_at = i % 3 == 0 ? v->timestamp + (i % 2 ? 1000 : -1000) : 0;
    v->flags = i % 11 == 0 ? KVS_VERSION_TOMBSTONE : 0;
    v->uuid.bytes[0] = (uint8_t)i;
    v->writer.node.bytes[3] = (uint8_t)(i % WRITERS);
    v->writer.joined_timestamp = 1600000000000 + i % WRITERS;
    v->writer_seq = kvs_dot_seq((uint32_t)(5 + i % 2), (uint32_t)(1000 - i));
}

static void lists_are_packed_and_come_back_as_they_were(void **state)
{
    (void)state;
    struct kvs_repl_stub stubs[STUBS];
    char keys[STUBS][16];
    for (int i = 0; i < STUBS; i++)
        make_stub(i, keys[i], &stubs[i]);
    struct kvs_repl_range parts[2] = {{KVS_SLICE_EMPTY, stubs[3].key, {{1, 2}, 3}, false},
                                      {stubs[3].key, stubs[9].key, {{4, 5}, 6}, false}};
    struct kvs_repl_compared answers[] = {
        {.kind = KVS_COMPARED_LISTED, .stubs = stubs, .stub_count = STUBS},
        {.kind = KVS_COMPARED_EQUAL},
        {.kind = KVS_COMPARED_SPLIT, .parts = parts, .part_count = 2},
    };
    struct kvs_repl_message m = {.head.type = KVS_MESSAGE_COMPARED};
    m.compared.answers = answers;
    m.compared.answer_count = 3;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf bytes = KVS_BUF_INIT(1 << 20);
    kvs_repl_message_encode(&m, &bytes);
    assert_true(bytes.size < STUBS * 45);
    struct kvs_arena arena;
    kvs_arena_init(&arena, 1 << 20);
    struct kvs_repl_message back;
    assert_int_equal(kvs_repl_message_decode(kvs_buf_slice(&bytes), &arena, &back), 0);
    assert_int_equal(back.compared.answer_count, 3);
    const struct kvs_repl_compared *listed = &back.compared.answers[0];
    assert_int_equal(listed->stub_count, STUBS);
    for (int i = 0; i < STUBS; i++) {
        assert_true(kvs_slice_eq(listed->stubs[i].key, stubs[i].key));
        assert_int_equal(kvs_version_cmp(&listed->stubs[i].version, &stubs[i].version, NULL), 0);
        assert_int_equal(listed->stubs[i].version.writer_seq, stubs[i].version.writer_seq);
        assert_int_equal(listed->stubs[i].version.expires_at, stubs[i].version.expires_at);
        assert_int_equal(listed->stubs[i].version.flags, stubs[i].version.flags);
    }
    const struct kvs_repl_range *range = &back.compared.answers[2].parts[1];
    assert_true(kvs_slice_eq(range->first, stubs[3].key));
    assert_true(kvs_slice_eq(range->end, stubs[9].key));
    assert_int_equal(range->fingerprint.count, 6);
    kvs_arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_packed_and_come_back_as_they_were),
        cmocka_unit_test(what_is_encoded_is_decoded),
        cmocka_unit_test(times_beyond_all_clocks_are_refused),
        cmocka_unit_test(what_is_cut_short_or_goes_on_is_refused),
        cmocka_unit_test(a_changed_byte_never_crashes_the_decoder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
