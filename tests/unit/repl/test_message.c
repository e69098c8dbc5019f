// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "repl/message.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_encoded_is_decoded),
        cmocka_unit_test(what_is_cut_short_or_goes_on_is_refused),
        cmocka_unit_test(a_changed_byte_never_crashes_the_decoder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
