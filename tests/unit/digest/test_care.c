// SPDX-License-Identifier: Apache-2.0
// Checkpoints with the log's tail behind them, and the scrub.
#include "tests/unit/digest/model.h"

#include <xxhash.h>

enum { BUF_MAX = 1 << 20, CHECKSUM_AT = 9, BODY_AT = 17 };

static int restore(uint32_t block_size, struct kvs_slice bytes, uint64_t *ret_log_seq,
                   struct kvs_digest **ret_digest)
{
    struct kvs_digest_options options = {.block_size = block_size};
    return kvs_digest_restore(&options, bytes, ret_log_seq, ret_digest);
}

// Makes the checksum right.
static void sign(struct kvs_buf *bytes)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf covered = KVS_BUF_INIT(BUF_MAX);
    kvs_buf_append(&covered, bytes->data, CHECKSUM_AT);
    kvs_buf_append(&covered, bytes->data + BODY_AT, bytes->size - BODY_AT);
    uint64_t sum = XXH3_64bits(covered.data, covered.size);
    for (int i = 0; i < 8; i++)
        bytes->data[CHECKSUM_AT + i] = (char)(uint8_t)(sum >> (56 - 8 * i));
}

static void a_checkpoint_and_the_tail_give_the_index_without_reading_a_key(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 6; seed++) {
        struct model *model = model_new(seed);
        struct kvs_digest *digest = new_digest(4);
        fill(model, digest, 5000, seed * 800);
        char key[MODEL_KEY_MAX];
        if (seed % 2) { // uneven blocks survive, and are put right later
            for (int i = 0; i < 200; i++)
                both_put(model, digest, model_some_key(model, 100, key));
            struct place place;
            tree_place_of_key(&digest->tree, KVS_SLICE_EMPTY, &place);
            for (uint64_t i = 0; i < place.block.count; i++)
                both_remove(model, digest, 0);
        }
        KVS_CLEANUP(kvs_buf_donep) struct kvs_buf bytes = KVS_BUF_INIT(BUF_MAX);
        kvs_digest_checkpoint(digest, 1000 + seed, &bytes);
        assert_int_equal(bytes.err, 0);
        kvs_digest_free(digest);

        model->reads_until = model->reads; // no more
        uint64_t log_seq = 0;
        assert_int_equal(restore(4, kvs_buf_slice(&bytes), &log_seq, &digest), 0);
        assert_int_equal(log_seq, 1000 + seed);
        check_tree(digest);
        check_blocks(model, digest);
        for (int i = 0; i < 500; i++) // the tail
            both_put(model, digest, model_some_key(model, 5000, key));
        check_blocks(model, digest);
        model->reads_until = UINT64_MAX;
        maintain_all(model, digest);
        check_tree(digest);
        assert_false(digest->tree.root->uneven);
        check_blocks(model, digest);
        kvs_digest_free(digest);
        free(model);
    }
}

static void other_block_sizes_grow_out_of_an_old_checkpoint(void **state)
{
    (void)state;
    struct model *model = model_new(1);
    struct kvs_digest *digest = new_digest(8);
    fill(model, digest, 9000, 4000);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf bytes = KVS_BUF_INIT(BUF_MAX);
    kvs_digest_checkpoint(digest, 1, &bytes);
    kvs_digest_free(digest);
    static const uint32_t sizes[] = {2, 100};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(sizes); i++) {
        uint64_t log_seq;
        assert_int_equal(restore(sizes[i], kvs_buf_slice(&bytes), &log_seq, &digest), 0);
        check_tree(digest); // uneven blocks are flagged
        maintain_all(model, digest);
        check_tree(digest);
        check_blocks(model, digest);
        struct kvs_digest_stats stats;
        kvs_digest_stats(digest, &stats);
        assert_true(stats.blocks >= model->count / sizes[i] / 2);
        assert_true(stats.blocks <= model->count / (sizes[i] / 2) + 1);
        kvs_digest_free(digest);
    }
    free(model);
}

static void an_index_has_one_encoding(void **state)
{
    (void)state;
    struct model *model = model_new(2);
    struct kvs_digest *digest = new_digest(4);
    fill(model, digest, 5000, 2000);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf bytes = KVS_BUF_INIT(BUF_MAX);
    kvs_buf_append_str(&bytes, "before"); // appends, as every writer
    kvs_digest_checkpoint(digest, 7, &bytes);
    kvs_buf_consume(&bytes, 6);
    kvs_digest_free(digest);
    uint64_t log_seq;
    assert_int_equal(restore(4, kvs_buf_slice(&bytes), &log_seq, &digest), 0);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf again = KVS_BUF_INIT(BUF_MAX);
    kvs_digest_checkpoint(digest, 7, &again);
    assert_true(kvs_slice_eq(kvs_buf_slice(&bytes), kvs_buf_slice(&again)));
    kvs_digest_free(digest);
    free(model);
}

// Format 1, byte by byte: two blocks. A later release must still read it.
static const char fixture[] = "KVSDGST\n"
                              "\x01"
                              "\x9E\xB7\x1E\xA6\x7E\xE9\x73\xE4"
                              "\x00\x00\x00\x00\x00\x00\x01\x02"
                              "\x02"
                              "\x00\x00\x02"
                              "\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x06"
                              "\x00\x02"
                              "ac"
                              "\x03"
                              "\x00\x00\x00\x00\x00\x00\x00\x0C\x00\x00\x00\x00\x00\x00\x00\x0F";

static void put_fixture(struct model *model, struct kvs_digest *digest)
{
    static const char *const keys[] = {"aa", "ab", "ac/1", "ac/2", "b"};
    for (uint64_t i = 0; i < KVS_ARRAY_SIZE(keys); i++) {
        struct kvs_digest_sum item = {i < 2 ? 3 : 5, i < 2 ? 2 : 4};
        struct kvs_slice key = kvs_slice_from_str(keys[i]);
        assert_int_equal(kvs_digest_update(digest, key, NULL, &item), 0);
        model_put(model, key, item);
    }
}

static void format_1_stays_readable(void **state)
{
    (void)state;
    struct model *model = model_new(3);
    struct kvs_digest *digest = new_digest(2);
    put_fixture(model, digest);
    maintain_all(model, digest);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf bytes = KVS_BUF_INIT(BUF_MAX);
    kvs_digest_checkpoint(digest, 0x102, &bytes);
    assert_int_equal(bytes.size, sizeof(fixture) - 1);
    assert_memory_equal(bytes.data, fixture, sizeof(fixture) - 1);
    kvs_digest_free(digest);
    uint64_t log_seq;
    assert_int_equal(restore(2, kvs_slice(fixture, sizeof(fixture) - 1), &log_seq, &digest), 0);
    assert_int_equal(log_seq, 0x102);
    check_blocks(model, digest);
    kvs_digest_free(digest);
    free(model);
}

static void damage_is_found_and_a_newer_format_named(void **state)
{
    (void)state;
    struct kvs_digest *digest = NULL;
    uint64_t log_seq;
    size_t size = sizeof(fixture) - 1;
    char bytes[sizeof(fixture)];
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(restore(2, kvs_slice(fixture, i), &log_seq, &digest), KVS_ERR_CORRUPT);
        for (int bit = 0; bit < 8; bit++) {
            memcpy(bytes, fixture, size);
            bytes[i] = (char)(bytes[i] ^ (1 << bit));
            assert_int_equal(restore(2, kvs_slice(bytes, size), &log_seq, &digest),
                             KVS_ERR_CORRUPT);
        }
    }
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf newer = KVS_BUF_INIT(BUF_MAX);
    kvs_buf_append(&newer, fixture, size);
    newer.data[8] = 2;
    sign(&newer);
    assert_int_equal(restore(2, kvs_buf_slice(&newer), &log_seq, &digest), KVS_ERR_VERSION);
    newer.data[8] = 0;
    sign(&newer);
    assert_int_equal(restore(2, kvs_buf_slice(&newer), &log_seq, &digest), KVS_ERR_CORRUPT);
    assert_null(digest);
}

static void nonsense_with_a_right_checksum_is_refused(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        char was, is;
        const char *what;
    } changes[] = {
        {25, 2, 0, "no blocks"},
        {25, 2, 1, "something behind the last block"},
        {25, 2, 3, "fewer blocks than said"},
        {26, 0, 1, "the first separator shares with none"},
        {27, 0, 1, "the first separator is not empty"},
        {45, 0, 1, "a shared part longer than the separator before"},
        {46, 2, 0, "a separator that does not ascend"},
        {46, 2, 0x7F, "a separator beyond the end"},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(changes); i++) {
        KVS_CLEANUP(kvs_buf_donep) struct kvs_buf bytes = KVS_BUF_INIT(BUF_MAX);
        kvs_buf_append(&bytes, fixture, sizeof(fixture) - 1);
        assert_int_equal(bytes.data[changes[i].at], changes[i].was);
        bytes.data[changes[i].at] = changes[i].is;
        sign(&bytes);
        struct kvs_digest *digest = NULL;
        uint64_t log_seq;
        int err = restore(2, kvs_buf_slice(&bytes), &log_seq, &digest);
        if (err != KVS_ERR_CORRUPT)
            print_message("accepted: %s\n", changes[i].what);
        assert_int_equal(err, KVS_ERR_CORRUPT);
    }
}

static void put_block(struct kvs_buf *out, char common, const char *rest)
{
    static const char count_and_sum[17] = {1};
    kvs_buf_append_char(out, common);
    kvs_buf_append_char(out, (char)strlen(rest));
    kvs_buf_append_str(out, rest);
    kvs_buf_append(out, count_and_sum, sizeof(count_and_sum));
}

static void separators_have_one_form_and_ascend(void **state)
{
    (void)state;
    static const struct {
        char common;
        const char *rest;
        int err;
    } thirds[] = {
        {1, "d", 0},                // ac, ad
        {2, "d", 0},                // ac, acd
        {0, "b", 0},                // ac, b
        {0, "ad", KVS_ERR_CORRUPT}, // shares a byte and does not say so
        {0, "ab", KVS_ERR_CORRUPT},
        {1, "b", KVS_ERR_CORRUPT},
        {1, "c", KVS_ERR_CORRUPT},
        {2, "", KVS_ERR_CORRUPT},
        {0, "", KVS_ERR_CORRUPT},
        {3, "d", KVS_ERR_CORRUPT},
    };
    uint64_t log_seq;
    for (size_t i = 0; i < KVS_ARRAY_SIZE(thirds); i++) {
        KVS_CLEANUP(kvs_buf_donep) struct kvs_buf bytes = KVS_BUF_INIT(BUF_MAX);
        KVS_CLEANUP(kvs_digest_freep) struct kvs_digest *digest = NULL;
        kvs_buf_append(&bytes, fixture, BODY_AT + 8);
        kvs_buf_append_char(&bytes, 3);
        put_block(&bytes, 0, "");
        put_block(&bytes, 0, "ac");
        put_block(&bytes, thirds[i].common, thirds[i].rest);
        sign(&bytes);
        assert_int_equal(restore(2, kvs_buf_slice(&bytes), &log_seq, &digest), thirds[i].err);
        assert_true(thirds[i].err || kvs_digest_root(digest).count == 3);
    }
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf none = KVS_BUF_INIT(BUF_MAX);
    struct kvs_digest *digest = NULL;
    kvs_buf_append(&none, fixture, BODY_AT + 8);
    kvs_buf_append_char(&none, 0); // no block at all
    sign(&none);
    assert_int_equal(restore(2, kvs_buf_slice(&none), &log_seq, &digest), KVS_ERR_CORRUPT);
}

static void absurd_counts_are_refused(void **state)
{
    (void)state;
    struct kvs_digest *digest = new_digest(2);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf bytes = KVS_BUF_INIT(BUF_MAX);
    kvs_digest_checkpoint(digest, 1, &bytes);
    kvs_digest_free(digest);
    digest = NULL;
    // The only block's count, 0, becomes 2^49.
    static const char count[] = {'\x80', '\x80', '\x80', '\x80', '\x80', '\x80', '\x80', '\x01'};
    char sum[16] = {0};
    bytes.size -= sizeof(sum) + 1;
    kvs_buf_append(&bytes, count, sizeof(count));
    kvs_buf_append(&bytes, sum, sizeof(sum));
    sign(&bytes);
    uint64_t log_seq;
    assert_int_equal(restore(2, kvs_buf_slice(&bytes), &log_seq, &digest), KVS_ERR_CORRUPT);
    bytes.data[bytes.size - sizeof(sum) - 2] = '\x00'; // 2^42, but not in its shortest form
    sign(&bytes);
    assert_int_equal(restore(2, kvs_buf_slice(&bytes), &log_seq, &digest), KVS_ERR_CORRUPT);
    memmove(bytes.data + bytes.size - sizeof(sum) - 2, bytes.data + bytes.size - sizeof(sum) - 1,
            sizeof(sum) + 1);
    bytes.size--;
    bytes.data[bytes.size - sizeof(sum) - 1] = '\x01'; // 2^42 as it should be
    sign(&bytes);
    assert_int_equal(restore(2, kvs_buf_slice(&bytes), &log_seq, &digest), 0);
    assert_int_equal(kvs_digest_root(digest).count, UINT64_C(1) << 42);
    kvs_digest_free(digest);
}

static void a_scrub_finds_each_wrong_block_and_puts_it_right(void **state)
{
    (void)state;
    struct model *model = model_new(4);
    struct kvs_digest *digest = new_digest(4);
    fill(model, digest, 5000, 3000);
    // Three records that the index was never told of, in blocks of their own.
    model->records[5].item.lo++;
    model->records[model->count / 2].item.hi ^= 1;
    model_remove(model, model->count - 1);
    struct kvs_digest_source source = model_source(model);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf cursor = KVS_BUF_INIT(BUF_MAX);
    for (uint64_t expected = 3;; expected = 0) {
        uint64_t mismatches = 0;
        uint64_t steps = 0;
        uint64_t before = model->reads;
        do {
            bool mismatch = false;
            assert_int_equal(kvs_digest_scrub(digest, &source, &cursor, &mismatch), 0);
            mismatches += mismatch;
            steps++;
        } while (cursor.size > 0);
        struct kvs_digest_stats stats;
        kvs_digest_stats(digest, &stats);
        assert_int_equal(mismatches, expected);
        assert_int_equal(steps, stats.blocks);
        assert_int_equal(model->reads - before, model->count); // each record once
        check_tree(digest);
        check_blocks(model, digest);
        if (expected == 0)
            break;
    }
    kvs_digest_free(digest);
    free(model);
}

static void a_scrub_survives_changes_and_errors_between_its_steps(void **state)
{
    (void)state;
    struct model *model = model_new(5);
    struct kvs_digest *digest = new_digest(4);
    fill(model, digest, 3000, 1000);
    struct kvs_digest_source source = model_source(model);
    model->err = KVS_ERR_IO;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf cursor = KVS_BUF_INIT(BUF_MAX);
    char key[MODEL_KEY_MAX];
    uint64_t steps = 0;
    do {
        bool mismatch = true;
        model->reads_until = model->reads; // fails, and does not move
        size_t size = cursor.size;
        assert_int_equal(kvs_digest_scrub(digest, &source, &cursor, &mismatch), KVS_ERR_IO);
        assert_int_equal(cursor.size, size);
        model->reads_until = UINT64_MAX;
        assert_int_equal(kvs_digest_scrub(digest, &source, &cursor, &mismatch), 0);
        assert_false(mismatch);
        for (int i = 0; i < 10; i++) {
            both_remove(model, digest, model_random(model, model->count));
            both_put(model, digest, model_some_key(model, 3000, key));
        }
        maintain_all(model, digest);
        assert_true(++steps < 1000);
    } while (cursor.size > 0);
    assert_true(steps > 50);
    kvs_digest_free(digest);
    free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_checkpoint_and_the_tail_give_the_index_without_reading_a_key),
        cmocka_unit_test(other_block_sizes_grow_out_of_an_old_checkpoint),
        cmocka_unit_test(an_index_has_one_encoding),
        cmocka_unit_test(format_1_stays_readable),
        cmocka_unit_test(damage_is_found_and_a_newer_format_named),
        cmocka_unit_test(nonsense_with_a_right_checksum_is_refused),
        cmocka_unit_test(separators_have_one_form_and_ascend),
        cmocka_unit_test(absurd_counts_are_refused),
        cmocka_unit_test(a_scrub_finds_each_wrong_block_and_puts_it_right),
        cmocka_unit_test(a_scrub_survives_changes_and_errors_between_its_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
