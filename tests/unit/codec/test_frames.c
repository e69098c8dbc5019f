// SPDX-License-Identifier: Apache-2.0
// Messages in frames: format 1 byte by byte, round trips, limits, and damage.
#include "tests/unit/test.h"

#include "base/random.h"
#include "codec/frames.h"

#include <stdio.h>
#include <zstd.h>

static struct kvs_buf pack(int level, const struct kvs_slice *messages, size_t count)
{
    struct kvs_buf body = KVS_BUF_INIT(KVS_FRAMES_BODY_MAX);
    struct kvs_frames_packer *packer = NULL;
    assert_int_equal(kvs_frames_packer_new(level, &packer), 0);
    for (size_t i = 0; i < count; i++)
        kvs_frames_add(packer, messages[i]);
    assert_int_equal(kvs_frames_pack(packer, &body), 0);
    assert_int_equal(kvs_frames_size(packer), 0); // ready for the next
    kvs_frames_packer_free(packer);
    return body;
}

static int unpack(struct kvs_slice body, size_t *ret_count)
{
    struct kvs_frames_unpacker *unpacker = NULL;
    struct kvs_slice payload;
    struct kvs_slice message;
    assert_int_equal(kvs_frames_unpacker_new(&unpacker), 0);
    size_t count = 0;
    int err = kvs_frames_unpack(unpacker, body, &payload, &count);
    size_t seen = 0;
    while (err == 0 && kvs_frames_next(&payload, &message))
        seen++;
    assert_int_equal(seen, err == 0 ? count : 0);
    kvs_frames_unpacker_free(unpacker);
    *ret_count = seen;
    return err;
}

// When this fails, the format has changed: it needs a new number, and this stays.
static void format_1_is_what_it_was(void **state)
{
    (void)state;
    static const char expected[] = "\x01\x00\x03one\x05three";
    const struct kvs_slice messages[] = {KVS_SLICE("one"), KVS_SLICE("three")};
    struct kvs_buf body = pack(3, messages, 2);
    assert_slice_equal(kvs_buf_slice(&body), expected);
    kvs_buf_done(&body);
}

static void what_is_packed_unpacks(void **state)
{
    (void)state;
    enum { COUNT = 500, SIZE_MAX_ = 3000 };
    struct kvs_random_seeded random;
    kvs_random_seeded_init(&random, 3);
    static char text[SIZE_MAX_];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + kvs_random_below(&random.base, 4));
    struct kvs_slice messages[COUNT];
    for (int level = 0; level <= 3; level += 3) {
        for (size_t i = 0; i < COUNT; i++)
            messages[i] = kvs_slice(text, 1 + kvs_random_below(&random.base, SIZE_MAX_));
        struct kvs_buf body = pack(level, messages, COUNT);
        struct kvs_frames_unpacker *unpacker = NULL;
        struct kvs_slice payload;
        struct kvs_slice message;
        size_t count = 0;
        assert_int_equal(body.data[1], level == 0 ? 0 : 1);
        assert_int_equal(kvs_frames_unpacker_new(&unpacker), 0);
        assert_int_equal(kvs_frames_unpack(unpacker, kvs_buf_slice(&body), &payload, &count), 0);
        assert_int_equal(kvs_frames_unpacked_size(kvs_buf_slice(&body)), payload.size);
        assert_int_equal(count, COUNT);
        for (size_t i = 0; i < COUNT; i++) {
            assert_true(kvs_frames_next(&payload, &message));
            assert_true(kvs_slice_eq(message, messages[i]));
        }
        assert_false(kvs_frames_next(&payload, &message));
        kvs_frames_unpacker_free(unpacker);
        kvs_buf_done(&body);
    }
}

static void what_does_not_shrink_is_sent_as_it_is(void **state)
{
    (void)state;
    static char noise[100000];
    kvs_random_fill(kvs_random_system(), noise, sizeof(noise));
    const struct kvs_slice message = kvs_slice(noise, sizeof(noise));
    struct kvs_buf body = pack(3, &message, 1);
    size_t count = 0;
    assert_int_equal(body.data[1], 0);
    assert_int_equal(unpack(kvs_buf_slice(&body), &count), 0);
    assert_int_equal(count, 1);
    kvs_buf_done(&body);
}

static void refuses_what_is_not_whole(void **state)
{
    (void)state;
    static const struct {
        struct kvs_slice body;
        int err;
    } cases[] = {
        {KVS_SLICE(""), KVS_ERR_SYNTAX},
        {KVS_SLICE("\x01"), KVS_ERR_SYNTAX},
        {KVS_SLICE("\x00\x00\x01x"), KVS_ERR_SYNTAX},
        {KVS_SLICE("\x02\x00\x01x"), KVS_ERR_VERSION},
        {KVS_SLICE("\x01\x02\x01x"), KVS_ERR_SYNTAX},
        {KVS_SLICE("\x01\x00"), KVS_ERR_SYNTAX},          // no message
        {KVS_SLICE("\x01\x00\x00"), KVS_ERR_SYNTAX},      // an empty one
        {KVS_SLICE("\x01\x00\x01x\x00"), KVS_ERR_SYNTAX}, // one behind another
        {KVS_SLICE("\x01\x00\x02x"), KVS_ERR_SYNTAX},     // cut off
        {KVS_SLICE("\x01\x00\x01x\x80"), KVS_ERR_SYNTAX}, // in its size
        {KVS_SLICE("\x01\x00\x81\x00x"), KVS_ERR_SYNTAX}, // not the shortest form
        {KVS_SLICE("\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x"), KVS_ERR_SYNTAX},
        {KVS_SLICE("\x01\x01\x00\x00\x00\x04"), KVS_ERR_SYNTAX},
        {KVS_SLICE("\x01\x01\x00\x00\x00\x00"), KVS_ERR_SYNTAX},
        {KVS_SLICE("\x01\x01\xff\xff\xff\xff\x28\xb5\x2f\xfd"), KVS_ERR_TOO_LARGE},
        {KVS_SLICE("\x01\x01\x00\x00\x00\x04nothing of zstd"), KVS_ERR_SYNTAX},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++) {
        size_t count = 0;
        if (unpack(cases[i].body, &count) != cases[i].err)
            fail_msg("case %zu", i);
    }
}

// Whoever says it unpacks to little must not make us unpack much.
static void a_body_unpacks_to_what_it_says(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    static char payload[SIZE];
    static char body[SIZE];
    memset(payload, 1, sizeof(payload)); // messages of one byte each, 0x01
    for (int off = -1; off <= 1; off++) {
        uint32_t said = (uint32_t)(SIZE + off);
        const char head[] = {
            1, 1, (char)(said >> 24), (char)(said >> 16), (char)(said >> 8), (char)said};
        memcpy(body, head, sizeof(head));
        size_t size = ZSTD_compress(body + 6, sizeof(body) - 6, payload, sizeof(payload), 1);
        assert_false(ZSTD_isError(size));
        size_t count = 0;
        int err = unpack(kvs_slice(body, 6 + size), &count);
        assert_int_equal(err, off == 0 ? 0 : KVS_ERR_SYNTAX);
        assert_int_equal(count, off == 0 ? SIZE / 2 : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(format_1_is_what_it_was),
        cmocka_unit_test(what_is_packed_unpacks),
        cmocka_unit_test(what_does_not_shrink_is_sent_as_it_is),
        cmocka_unit_test(refuses_what_is_not_whole),
        cmocka_unit_test(a_body_unpacks_to_what_it_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
