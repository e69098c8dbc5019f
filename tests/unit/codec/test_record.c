// SPDX-License-Identifier: Apache-2.0
// Stored versions: format 1 byte by byte, round trips, order, and damage.
#include "tests/unit/test.h"

#include "base/random.h"
#include "codec/record.h"

enum { BUF_MAX = 1 << 20 };

struct entry {
    struct kvs_buf key, value;
};

static struct entry encode(struct kvs_slice key, const struct kvs_version *version,
                           uint32_t writer_id, struct kvs_slice json)
{
    struct entry entry = {KVS_BUF_INIT(BUF_MAX), KVS_BUF_INIT(BUF_MAX)};
    kvs_record_encode_key(&entry.key, key, version);
    kvs_record_encode_value(&entry.value, kvs_buf_slice(&entry.key), version, writer_id, json);
    assert_int_equal(entry.key.err, 0);
    assert_int_equal(entry.value.err, 0);
    return entry;
}

static void entry_done(struct entry *entry)
{
    kvs_buf_done(&entry->key);
    kvs_buf_done(&entry->value);
}

static int decode(const struct entry *entry, struct kvs_record_view *ret_view)
{
    return kvs_record_decode(kvs_buf_slice(&entry->key), kvs_buf_slice(&entry->value), ret_view);
}

static struct kvs_version sample_version(void)
{
    struct kvs_version version = {
        .timestamp = 1700000000123,
        .writer.joined_timestamp = 1690000000456,
        .writer_seq = 300,
        .expires_at = 1700000001123,
        .flags = KVS_VERSION_CONFLICT_LOSER,
    };
    for (size_t i = 0; i < sizeof(version.uuid.bytes); i++)
        version.uuid.bytes[i] = (uint8_t)(0xA0 + i);
    return version;
}

// Format 1 as it lies on disks. When this fails, the format has changed: it needs a new number,
// and this fixture stays.
static void format_1_is_what_it_was(void **state)
{
    (void)state;
    static const char entry_key[] = "a/b\x00"
                                    "\xff\xff\xfe\x74\x30\x1a\x97\x84"
                                    "\x00\x00\x01\x89\x7b\xd9\x85\xc8"
                                    "\xa0\xa1\xa2\xa3\xa4\xa5\xa6\xa7"
                                    "\xa8\xa9\xaa\xab\xac\xad\xae\xaf";
    static const char entry_value[] = "\x01\x04"
                                      "\xdf\x7c\x53\x60"         // checksum
                                      "\x07"                     // writer 7
                                      "\xac\x02"                 // its 300th
                                      "\xe3\xd8\x95\xff\xbc\x31" // expires
                                      "{\"x\":1.0}";
    struct kvs_version version = sample_version();
    struct entry entry = encode(KVS_SLICE("a/b"), &version, 7, KVS_SLICE("{\"x\":1.0}"));
    assert_slice_equal(kvs_buf_slice(&entry.key), entry_key);
    assert_slice_equal(kvs_buf_slice(&entry.value), entry_value);
    entry_done(&entry);

    struct kvs_record_view view;
    assert_int_equal(kvs_record_decode(kvs_slice(entry_key, sizeof(entry_key) - 1),
                                       kvs_slice(entry_value, sizeof(entry_value) - 1), &view),
                     0);
    assert_slice_equal(view.key, "a/b");
    assert_slice_equal(view.json, "{\"x\":1.0}");
    assert_int_equal(view.version.timestamp, 1700000000123);
    assert_int_equal(view.version.writer.joined_timestamp, 1690000000456);
    assert_int_equal(view.version.writer_seq, 300);
    assert_int_equal(view.version.expires_at, 1700000001123);
    assert_int_equal(view.version.flags, KVS_VERSION_CONFLICT_LOSER);
    assert_memory_equal(view.version.uuid.bytes, version.uuid.bytes, 16);
    assert_int_equal(view.writer_id, 7);
}

// Small numbers often, so that ties and borders are met; the greatest ones too.
static uint64_t random_number(struct kvs_random *random, uint64_t max)
{
    uint64_t value = kvs_random_u64(random) >> kvs_random_below(random, 64);
    if (kvs_random_below(random, 16) == 0)
        value = max;
    return value > max ? max : value;
}

static struct kvs_version random_version(struct kvs_random *random)
{
    struct kvs_version version = {
        .timestamp = (int64_t)random_number(random, INT64_MAX),
        .writer.joined_timestamp = (int64_t)random_number(random, INT64_MAX),
        .writer_seq = random_number(random, UINT64_MAX),
        .expires_at = (int64_t)random_number(random, INT64_MAX),
        .flags = (uint8_t)kvs_random_below(random, 8),
    };
    kvs_random_fill(random, version.uuid.bytes, sizeof(version.uuid.bytes));
    return version;
}

static struct kvs_slice random_key(struct kvs_random *random, char bytes[static KVS_KEY_SIZE_MAX])
{
    size_t size = 1 + kvs_random_below(random, KVS_KEY_SIZE_MAX);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(uint8_t)(' ' + kvs_random_below(random, 224));
    return kvs_slice(bytes, size);
}

static void what_is_encoded_comes_back(void **state)
{
    (void)state;
    struct kvs_random_seeded seeded;
    kvs_random_seeded_init(&seeded, 1);
    char key_bytes[KVS_KEY_SIZE_MAX], json_bytes[600];
    for (int i = 0; i < 20000; i++) {
        struct kvs_version version = random_version(&seeded.base);
        struct kvs_slice key = random_key(&seeded.base, key_bytes);
        size_t json_size = kvs_random_below(&seeded.base, sizeof(json_bytes));
        kvs_random_fill(&seeded.base, json_bytes, json_size);
        uint32_t writer_id = (uint32_t)random_number(&seeded.base, UINT32_MAX);
        struct entry entry = encode(key, &version, writer_id, kvs_slice(json_bytes, json_size));
        struct kvs_record_view view;
        assert_int_equal(decode(&entry, &view), 0);
        assert_true(kvs_slice_eq(view.key, key));
        assert_true(kvs_slice_eq(view.json, kvs_slice(json_bytes, json_size)));
        assert_int_equal(view.writer_id, writer_id);
        assert_true(view.version.writer_seq == version.writer_seq);
        assert_true(view.version.expires_at == version.expires_at);
        assert_int_equal(view.version.flags, version.flags);
        assert_int_equal(kvs_version_cmp(&view.version, &version, NULL), 0);
        assert_true(kvs_uuid_is_nil(&view.version.writer.node));
        entry_done(&entry);
    }
}

static int sign(int value)
{
    return (value > 0) - (value < 0);
}

static void entries_lie_in_order_of_key_then_winner_first(void **state)
{
    (void)state;
    // Prefixes of one another, and characters on both sides of the separators in use.
    static const struct kvs_slice keys[] = {
        KVS_SLICE("a"),    KVS_SLICE("a "),         KVS_SLICE("a!"), KVS_SLICE("a/b"),
        KVS_SLICE("a/b0"), KVS_SLICE("a\xFE/\xFF"), KVS_SLICE("aa"), KVS_SLICE("b"),
    };
    struct kvs_random_seeded seeded;
    kvs_random_seeded_init(&seeded, 2);
    struct kvs_random *random = &seeded.base;
    for (int i = 0; i < 20000; i++) {
        struct kvs_slice key_a = keys[kvs_random_below(random, KVS_ARRAY_SIZE(keys))];
        struct kvs_slice key_b = keys[kvs_random_below(random, KVS_ARRAY_SIZE(keys))];
        struct kvs_version a = random_version(random), b = random_version(random);
        if (kvs_random_below(random, 2) == 0)
            b.timestamp = a.timestamp;
        if (kvs_random_below(random, 2) == 0)
            b.writer.joined_timestamp = a.writer.joined_timestamp;
        struct entry entry_a = encode(key_a, &a, 1, KVS_SLICE_EMPTY);
        struct entry entry_b = encode(key_b, &b, 1, KVS_SLICE_EMPTY);
        int expected = kvs_slice_cmp(key_a, key_b);
        if (expected == 0)
            expected = kvs_version_cmp(&b, &a, NULL);
        assert_int_equal(
            sign(kvs_slice_cmp(kvs_buf_slice(&entry_a.key), kvs_buf_slice(&entry_b.key))),
            sign(expected));
        entry_done(&entry_a);
        entry_done(&entry_b);
    }
}

static void the_prefix_begins_every_entry_of_its_key_and_no_other(void **state)
{
    (void)state;
    struct kvs_version version = sample_version();
    struct kvs_buf prefix = KVS_BUF_INIT(BUF_MAX);
    kvs_record_prefix(&prefix, KVS_SLICE("a"));
    struct entry own = encode(KVS_SLICE("a"), &version, 1, KVS_SLICE("1"));
    struct entry longer = encode(KVS_SLICE("a/b"), &version, 1, KVS_SLICE("1"));
    assert_true(kvs_slice_starts_with(kvs_buf_slice(&own.key), kvs_buf_slice(&prefix)));
    assert_false(kvs_slice_starts_with(kvs_buf_slice(&longer.key), kvs_buf_slice(&prefix)));
    entry_done(&own);
    entry_done(&longer);
    kvs_buf_done(&prefix);
}

static void every_flipped_bit_is_found(void **state)
{
    (void)state;
    struct kvs_version version = sample_version();
    struct entry entry = encode(KVS_SLICE("some/key"), &version, 70000,
                                KVS_SLICE("{\"name\":\"value\",\"n\":[1,2,3.50]}"));
    struct kvs_buf *halves[] = {&entry.key, &entry.value};
    for (size_t h = 0; h < KVS_ARRAY_SIZE(halves); h++)
        for (size_t bit = 0; bit < halves[h]->size * 8; bit++) {
            struct kvs_record_view view;
            halves[h]->data[bit / 8] ^= (char)(1 << bit % 8);
            assert_int_equal(decode(&entry, &view), KVS_ERR_CORRUPT);
            halves[h]->data[bit / 8] ^= (char)(1 << bit % 8);
        }
    entry_done(&entry);
}

static void every_truncation_is_found(void **state)
{
    (void)state;
    struct kvs_version version = sample_version();
    struct entry entry = encode(KVS_SLICE("k"), &version, 1, KVS_SLICE("[true]"));
    struct kvs_slice key = kvs_buf_slice(&entry.key), value = kvs_buf_slice(&entry.value);
    struct kvs_record_view view;
    for (size_t size = 0; size < key.size; size++)
        assert_int_equal(kvs_record_decode(kvs_slice(key.data, size), value, &view),
                         KVS_ERR_CORRUPT);
    for (size_t size = 0; size < value.size; size++)
        assert_int_equal(kvs_record_decode(key, kvs_slice(value.data, size), &view),
                         KVS_ERR_CORRUPT);
    entry_done(&entry);
}

static void a_newer_format_is_not_mistaken_for_damage(void **state)
{
    (void)state;
    static const char entry_key[] = "k\x00"
                                    "\xff\xff\xff\xff\xff\xff\xff\xfe"
                                    "\x00\x00\x00\x00\x00\x00\x00\x01"
                                    "0123456789abcdef";
    static const char newer[] = "\x02\x80\x8a\xf4\x4a\xf5whatever format 2 holds";
    struct kvs_record_view view;
    assert_int_equal(kvs_record_decode(kvs_slice(entry_key, sizeof(entry_key) - 1),
                                       kvs_slice(newer, sizeof(newer) - 1), &view),
                     KVS_ERR_VERSION);
}

static void a_key_without_room_for_a_version_is_no_entry_key(void **state)
{
    (void)state;
    char bytes[KVS_RECORD_SUFFIX_SIZE + 3] = "ab";
    memset(bytes + 3, 'x', sizeof(bytes) - 3);
    struct kvs_slice key;
    assert_true(kvs_record_split_key(kvs_slice(bytes, KVS_RECORD_SUFFIX_SIZE + 2), &key));
    assert_slice_equal(key, "ab");
    // The separator in the wrong place, an earlier NUL, an empty user key.
    assert_false(kvs_record_split_key(kvs_slice(bytes, KVS_RECORD_SUFFIX_SIZE + 3), &key));
    bytes[0] = '\0';
    assert_false(kvs_record_split_key(kvs_slice(bytes, KVS_RECORD_SUFFIX_SIZE + 2), &key));
    assert_false(kvs_record_split_key(kvs_slice(bytes, KVS_RECORD_SUFFIX_SIZE), &key));
    assert_false(kvs_record_split_key(KVS_SLICE_EMPTY, &key));
}

static void a_full_buffer_sets_its_error(void **state)
{
    (void)state;
    struct kvs_version version = sample_version();
    struct kvs_buf small = KVS_BUF_INIT(10);
    kvs_record_encode_key(&small, KVS_SLICE("key"), &version);
    assert_int_equal(small.err, KVS_ERR_TOO_LARGE);
    kvs_buf_clear(&small);
    kvs_record_encode_value(&small, KVS_SLICE("key"), &version, 1, KVS_SLICE("[1,2,3,4,5]"));
    assert_int_equal(small.err, KVS_ERR_TOO_LARGE);
    assert_int_equal(small.size, 0);
    kvs_buf_done(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(format_1_is_what_it_was),
        cmocka_unit_test(what_is_encoded_comes_back),
        cmocka_unit_test(entries_lie_in_order_of_key_then_winner_first),
        cmocka_unit_test(the_prefix_begins_every_entry_of_its_key_and_no_other),
        cmocka_unit_test(every_flipped_bit_is_found),
        cmocka_unit_test(every_truncation_is_found),
        cmocka_unit_test(a_newer_format_is_not_mistaken_for_damage),
        cmocka_unit_test(a_key_without_room_for_a_version_is_no_entry_key),
        cmocka_unit_test(a_full_buffer_sets_its_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
