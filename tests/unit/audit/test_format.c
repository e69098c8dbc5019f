// SPDX-License-Identifier: Apache-2.0
// The forms of entries, seals and headers: bytes and JSON say the same, and nothing else is taken
// for them.
#include "tests/unit/test.h"

#include "audit/entry.h"
#include "audit/seal.h"
#include "audit/text.h"

static struct kvs_audit_entry sample(void)
{
    struct kvs_audit_entry entry = {
        .seq = 12345678901234567890ULL,
        .timestamp = INT64_C(1790000000123),
        .has_user = true,
        .action = KVS_SLICE("data_write"),
        .outcome = KVS_SLICE("ok"),
        .request_id = KVS_SLICE("01J-abc.def"),
        .resource = KVS_SLICE("a/\"b\"\\\xc3\xa9\n\x01 \xf0\x9f\x90\x98"),
    };
    for (int i = 0; i < 32; i++) {
        entry.prev.bytes[i] = (uint8_t)i;
        entry.signature.bytes[i] = (uint8_t)(255 - i);
    }
    assert_true(kvs_uuid_parse(KVS_SLICE("6ba7b810-9dad-41d1-80b4-00c04fd430c8"), &entry.user));
    return entry;
}

static void encode(struct kvs_buf *out, const struct kvs_audit_entry *entry)
{
    kvs_audit_entry_encode_signed(out, entry);
    kvs_audit_entry_encode_signature(out, entry);
    assert_int_equal(out->err, 0);
}

static void assert_same(const struct kvs_audit_entry *a, const struct kvs_audit_entry *b)
{
    struct kvs_buf first = KVS_BUF_INIT(KVS_AUDIT_ENTRY_SIZE_MAX);
    struct kvs_buf second = KVS_BUF_INIT(KVS_AUDIT_ENTRY_SIZE_MAX);
    encode(&first, a);
    encode(&second, b);
    assert_true(kvs_slice_eq(kvs_buf_slice(&first), kvs_buf_slice(&second)));
    kvs_buf_done(&first);
    kvs_buf_done(&second);
}

static void an_entry_survives_both_forms(void **state)
{
    (void)state;
    struct kvs_audit_entry entry = sample();
    for (int without_user = 0; without_user <= 1; without_user++) {
        struct kvs_buf bytes = KVS_BUF_INIT(KVS_AUDIT_ENTRY_SIZE_MAX);
        struct kvs_buf json = KVS_BUF_INIT(65536);
        struct kvs_arena arena;
        kvs_arena_init(&arena, 1 << 20);
        struct kvs_audit_entry read;
        encode(&bytes, &entry);
        assert_int_equal(kvs_audit_entry_decode(kvs_buf_slice(&bytes), &read), 0);
        assert_same(&entry, &read);
        kvs_audit_entry_append_json(&json, &entry);
        assert_int_equal(kvs_audit_entry_parse_json(kvs_buf_slice(&json), &arena, &read), 0);
        assert_same(&entry, &read);
        kvs_arena_done(&arena);
        kvs_buf_done(&bytes);
        kvs_buf_done(&json);
        entry.has_user = false;
    }
}

// What is stored today must be readable for ever: this is format 1.
static void the_format_of_an_entry_is_fixed(void **state)
{
    (void)state;
    struct kvs_audit_entry entry = sample();
    entry.seq = 2;
    entry.resource = KVS_SLICE("k");
    entry.request_id = KVS_SLICE("r");
    struct kvs_buf bytes = KVS_BUF_INIT(KVS_AUDIT_ENTRY_SIZE_MAX);
    struct kvs_buf hex = KVS_BUF_INIT(4096);
    encode(&bytes, &entry);
    kvs_audit_hex_append(&hex, bytes.data, bytes.size);
    assert_slice_equal(kvs_buf_slice(&hex),
                       "01"
                       "0000000000000002"
                       "000001a0c4506c7b"
                       "01"
                       "6ba7b8109dad41d180b400c04fd430c8"
                       "0a646174615f7772697465"
                       "026f6b"
                       "0172"
                       "016b"
                       "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
                       "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0efeeedecebeae9e8e7e6e5e4e3e2e1e0");
    kvs_buf_done(&bytes);
    kvs_buf_done(&hex);
}

static void every_cut_and_longer_entry_is_refused(void **state)
{
    (void)state;
    struct kvs_audit_entry entry = sample();
    struct kvs_audit_entry read;
    struct kvs_buf bytes = KVS_BUF_INIT(KVS_AUDIT_ENTRY_SIZE_MAX);
    encode(&bytes, &entry);
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_equal(kvs_audit_entry_decode(kvs_slice(bytes.data, size), &read),
                         KVS_ERR_CORRUPT);
    kvs_buf_append_char(&bytes, 'x');
    assert_int_equal(kvs_audit_entry_decode(kvs_buf_slice(&bytes), &read), KVS_ERR_CORRUPT);
    bytes.size--;
    bytes.data[0] = 2;
    assert_int_equal(kvs_audit_entry_decode(kvs_buf_slice(&bytes), &read), KVS_ERR_VERSION);
    kvs_buf_done(&bytes);
}

// An edit that means the same must not go unnoticed either.
static void only_the_very_text_is_an_entry(void **state)
{
    (void)state;
    struct kvs_audit_entry entry = sample();
    entry.seq = 7;
    struct kvs_buf json = KVS_BUF_INIT(65536);
    kvs_audit_entry_append_json(&json, &entry);
    for (size_t i = 0; i < json.size; i++) {
        for (int bit = 0; bit < 8; bit++) {
            struct kvs_arena arena;
            kvs_arena_init(&arena, 1 << 20);
            struct kvs_audit_entry read;
            json.data[i] ^= (char)(1 << bit);
            if (kvs_audit_entry_parse_json(kvs_buf_slice(&json), &arena, &read) == 0) {
                struct kvs_buf first = KVS_BUF_INIT(KVS_AUDIT_ENTRY_SIZE_MAX);
                struct kvs_buf second = KVS_BUF_INIT(KVS_AUDIT_ENTRY_SIZE_MAX);
                encode(&first, &entry);
                encode(&second, &read);
                assert_false(kvs_slice_eq(kvs_buf_slice(&first), kvs_buf_slice(&second)));
                kvs_buf_done(&first);
                kvs_buf_done(&second);
            }
            json.data[i] ^= (char)(1 << bit);
            kvs_arena_done(&arena);
        }
    }
    kvs_buf_done(&json);
}

static void a_text_is_cut_and_made_utf8(void **state)
{
    (void)state;
    char scratch[16];
    assert_slice_equal(kvs_audit_text(KVS_SLICE("abc"), 16, scratch), "abc");
    assert_slice_equal(kvs_audit_text(KVS_SLICE("abc"), 2, scratch), "ab");
    assert_slice_equal(kvs_audit_text(KVS_SLICE("a\xc3\xa9"), 2, scratch), "a"); // not half of it
    assert_slice_equal(kvs_audit_text(KVS_SLICE("a\xff\xc3\xa9"), 16, scratch), "a?\xc3\xa9");
    assert_int_equal(kvs_audit_text(KVS_SLICE_EMPTY, 16, scratch).size, 0);
}

static void times_are_read_in_one_form_only(void **state)
{
    (void)state;
    int64_t ms = 0;
    assert_true(kvs_audit_time_parse(KVS_SLICE("2026-11-23T03:35:47.123Z"), &ms));
    assert_true(ms == INT64_C(1795404947123));
    assert_false(kvs_audit_time_parse(KVS_SLICE("2026-11-31T03:35:47.123Z"), &ms));
    assert_false(kvs_audit_time_parse(KVS_SLICE("2026-11-23T24:35:47.123Z"), &ms));
    assert_false(kvs_audit_time_parse(KVS_SLICE("2026-11-23t03:35:47.123Z"), &ms));
    assert_false(kvs_audit_time_parse(KVS_SLICE("2026-11-23T03:35:47Z"), &ms));
    assert_false(kvs_audit_time_parse(KVS_SLICE_EMPTY, &ms));
}

static struct kvs_audit_seal sample_seal(enum kvs_audit_seal_kind kind)
{
    struct kvs_audit_seal seal = {.kind = kind, .epoch = 3, .size = 99, .timestamp = 5};
    memset(seal.root.bytes, 1, sizeof(seal.root.bytes));
    memset(seal.signature.bytes, 4, sizeof(seal.signature.bytes));
    if (kind != KVS_AUDIT_CHECKPOINT)
        memset(seal.next_key.bytes, 2, sizeof(seal.next_key.bytes));
    if (kind == KVS_AUDIT_ROOT)
        memset(seal.mac_key.bytes, 3, sizeof(seal.mac_key.bytes));
    return seal;
}

static void seals_survive_their_forms(void **state)
{
    (void)state;
    for (int kind = KVS_AUDIT_ROOT; kind <= KVS_AUDIT_CHECKPOINT; kind++) {
        struct kvs_audit_seal seal = sample_seal((enum kvs_audit_seal_kind)kind);
        struct kvs_audit_seal read;
        struct kvs_buf out = KVS_BUF_INIT(65536);
        struct kvs_arena arena;
        kvs_arena_init(&arena, 1 << 20);
        kvs_audit_seal_append_json(&out, &seal);
        assert_int_equal(kvs_audit_seal_parse_json(kvs_buf_slice(&out), &arena, &read), 0);
        assert_memory_equal(&read, &seal, sizeof(seal));
        out.data[out.size - 3] ^= 1; // a digit of the signature: another seal or none
        if (kvs_audit_seal_parse_json(kvs_buf_slice(&out), &arena, &read) == 0)
            assert_memory_not_equal(&read, &seal, sizeof(seal));
        kvs_buf_clear(&out);
        kvs_audit_seal_encode(&out, &seal);
        int err = kvs_audit_seal_decode(kvs_buf_slice(&out), &read);
        assert_int_equal(err, kind == KVS_AUDIT_CHECKPOINT ? KVS_ERR_CORRUPT : 0); // never stored
        if (!err)
            assert_memory_equal(&read, &seal, sizeof(seal));
        out.size--;
        assert_int_equal(kvs_audit_seal_decode(kvs_buf_slice(&out), &read), KVS_ERR_CORRUPT);
        kvs_arena_done(&arena);
        kvs_buf_done(&out);
    }
}

static void a_header_survives_with_what_came_before(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0, 1, 6, 255, 1ULL << 40};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(sizes); i++) {
        struct kvs_audit_header header = {.before.size = sizes[i], .genesis.created = 77};
        for (unsigned level = 0; level < KVS_AUDIT_TREE_HEIGHT; level++)
            if (sizes[i] >> level & 1)
                memset(header.before.peaks[level].bytes, (int)level + 1, KVS_AUDIT_HASH_SIZE);
        struct kvs_audit_header read;
        struct kvs_buf out = KVS_BUF_INIT(65536);
        struct kvs_arena arena;
        kvs_arena_init(&arena, 1 << 20);
        kvs_audit_header_append_json(&out, &header);
        assert_int_equal(kvs_audit_header_parse_json(kvs_buf_slice(&out), &arena, &read), 0);
        assert_memory_equal(&read, &header, sizeof(header));
        kvs_arena_done(&arena);
        kvs_buf_done(&out);
    }
}

static void a_head_survives_and_shows_its_mac(void **state)
{
    (void)state;
    struct kvs_audit_head head = {.epoch = 4, .tree.size = 5};
    memset(head.leaf.bytes, 9, sizeof(head.leaf.bytes));
    memset(head.tree.peaks[0].bytes, 1, KVS_AUDIT_HASH_SIZE);
    memset(head.tree.peaks[2].bytes, 3, KVS_AUDIT_HASH_SIZE);
    struct kvs_buf out = KVS_BUF_INIT(4096);
    kvs_audit_head_encode(&out, &head);
    size_t signed_size = out.size;
    for (int i = 0; i < KVS_AUDIT_HASH_SIZE; i++)
        kvs_buf_append_char(&out, 'm');
    struct kvs_audit_head read = {0};
    struct kvs_slice head_signed;
    struct kvs_audit_hash mac;
    assert_int_equal(kvs_audit_head_decode(kvs_buf_slice(&out), &read, &head_signed, &mac), 0);
    assert_memory_equal(&read, &head, sizeof(head));
    assert_int_equal(head_signed.size, signed_size);
    assert_int_equal(mac.bytes[31], 'm');
    out.size--;
    assert_int_equal(kvs_audit_head_decode(kvs_buf_slice(&out), &read, &head_signed, &mac),
                     KVS_ERR_CORRUPT);
    kvs_buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_survives_both_forms),
        cmocka_unit_test(the_format_of_an_entry_is_fixed),
        cmocka_unit_test(every_cut_and_longer_entry_is_refused),
        cmocka_unit_test(only_the_very_text_is_an_entry),
        cmocka_unit_test(a_text_is_cut_and_made_utf8),
        cmocka_unit_test(times_are_read_in_one_form_only),
        cmocka_unit_test(seals_survive_their_forms),
        cmocka_unit_test(a_header_survives_with_what_came_before),
        cmocka_unit_test(a_head_survives_and_shows_its_mac),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
