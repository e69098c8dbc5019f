// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "codec/index.h"

#define MAX 4096

static struct kvs_change sample_change(void)
{
    struct kvs_change change = {.seq = 0x0102030405060708,
                                .key = KVS_SLICE("a/b"),
                                .timestamp = 1700000000000,
                                .writer_id = 7,
                                .writer_seq = 300,
                                .flags = KVS_VERSION_TOMBSTONE};
    memset(change.uuid.bytes, 0xAB, sizeof(change.uuid.bytes));
    return change;
}

static void a_change_round_trips_and_refuses_every_truncation(void **state)
{
    (void)state;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf key = KVS_BUF_INIT(MAX);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf value = KVS_BUF_INIT(MAX);
    struct kvs_change in = sample_change();
    kvs_change_encode_key(&key, in.seq);
    kvs_change_encode_value(&value, &in);
    struct kvs_change out;
    assert_int_equal(kvs_change_decode(kvs_buf_slice(&key), kvs_buf_slice(&value), &out), 0);
    assert_int_equal(out.seq, in.seq);
    assert_true(kvs_slice_eq(out.key, in.key));
    assert_int_equal(out.timestamp, in.timestamp);
    assert_int_equal(kvs_uuid_cmp(&out.uuid, &in.uuid), 0);
    assert_int_equal(out.writer_id, 7);
    assert_int_equal(out.writer_seq, 300);
    assert_int_equal(out.flags, KVS_VERSION_TOMBSTONE);
    for (size_t size = 0; size <= value.size - in.key.size; size++)
        assert_int_equal(kvs_change_decode(kvs_buf_slice(&key), kvs_slice(value.data, size), &out),
                         KVS_ERR_CORRUPT);
    assert_int_equal(kvs_change_decode(kvs_slice(key.data, 7), kvs_buf_slice(&value), &out),
                     KVS_ERR_CORRUPT);
    value.data[0] = 2;
    assert_int_equal(kvs_change_decode(kvs_buf_slice(&key), kvs_buf_slice(&value), &out),
                     KVS_ERR_VERSION);
}

static void log_keys_and_time_keys_sort_like_their_numbers(void **state)
{
    (void)state;
    static const int64_t times[] = {0, 1, 255, 256, 65535, 65536, 1700000000000, INT64_MAX};
    for (size_t i = 1; i < KVS_ARRAY_SIZE(times); i++) {
        KVS_CLEANUP(kvs_buf_donep) struct kvs_buf a = KVS_BUF_INIT(MAX);
        KVS_CLEANUP(kvs_buf_donep) struct kvs_buf b = KVS_BUF_INIT(MAX);
        kvs_due_key_encode(&a, times[i - 1], KVS_SLICE("z"));
        kvs_due_key_encode(&b, times[i], KVS_SLICE("a"));
        assert_true(kvs_slice_cmp(kvs_buf_slice(&a), kvs_buf_slice(&b)) < 0);
        int64_t time_ms = -1;
        struct kvs_slice key;
        assert_true(kvs_time_key_decode(kvs_buf_slice(&b), &time_ms, &key));
        assert_int_equal(time_ms, times[i]);
        assert_slice_equal(key, "a");
    }
}

static void system_keys_lie_behind_users_in_time_order(void **state)
{
    (void)state;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf user = KVS_BUF_INIT(MAX);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf system = KVS_BUF_INIT(MAX);
    kvs_by_time_key_encode(&user, INT64_MAX, KVS_SLICE("a"));
    kvs_by_time_key_encode(&system, 7, KVS_SLICE("\x01user/1"));
    assert_true(kvs_slice_cmp(kvs_buf_slice(&user), kvs_buf_slice(&system)) < 0);
    int64_t time_ms = -1;
    struct kvs_slice key;
    assert_true(kvs_time_key_decode(kvs_buf_slice(&system), &time_ms, &key));
    assert_int_equal(time_ms, 7);
    assert_slice_equal(key, "\x01user/1");
    system.data[8] = 'u'; // a user key with the bit is damage
    assert_false(kvs_time_key_decode(kvs_buf_slice(&system), &time_ms, &key));
}

static void state_and_identity_round_trip_and_refuse_damage(void **state)
{
    (void)state;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf buf = KVS_BUF_INIT(MAX);
    struct kvs_commit_state in = {5, 4, 1700000000000, 1600000000000, 1800000000000, 1500000000000};
    struct kvs_commit_state out = {0};
    kvs_commit_state_encode(&buf, &in);
    assert_int_equal(kvs_commit_state_decode(kvs_buf_slice(&buf), &out), 0);
    assert_memory_equal(&in, &out, sizeof(in));
    kvs_wire_put_u8(&buf, 0); // one byte too many
    assert_int_equal(kvs_commit_state_decode(kvs_buf_slice(&buf), &out), KVS_ERR_CORRUPT);

    // As earlier releases wrote it: without a floor, and without what was removed.
    static const char format_1[] = "\1\0\0\0\0\0\0\0\5\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0\7";
    assert_int_equal(kvs_commit_state_decode(kvs_slice(format_1, sizeof(format_1) - 1), &out), 0);
    assert_int_equal(out.log_seq, 5);
    assert_int_equal(out.writer_seq, 4);
    assert_int_equal(out.clock, 7);
    assert_int_equal(out.clock_floor, 0);
    assert_int_equal(out.newest, 7);
    assert_int_equal(out.removed, INT64_MAX);
    static const char format_2[] = "\2\0\0\0\0\0\0\0\5\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0\7"
                                   "\0\0\0\0\0\0\0\6\0\0\0\0\0\0\0\t";
    assert_int_equal(kvs_commit_state_decode(kvs_slice(format_2, sizeof(format_2) - 1), &out), 0);
    assert_int_equal(out.clock_floor, 6);
    assert_int_equal(out.newest, 9);
    assert_int_equal(out.removed, INT64_MAX);
    buf.data[0] = 4;
    assert_int_equal(kvs_commit_state_decode(kvs_buf_slice(&buf), &out), KVS_ERR_VERSION);

    kvs_buf_clear(&buf);
    struct kvs_identity identity = {.self.joined_timestamp = 42, .incarnation = 3};
    identity.self.node.bytes[0] = 1;
    struct kvs_identity decoded;
    kvs_identity_encode(&buf, &identity);
    assert_int_equal(kvs_identity_decode(kvs_buf_slice(&buf), &decoded), 0);
    assert_int_equal(decoded.self.joined_timestamp, 42);
    assert_int_equal(decoded.incarnation, 3);
    assert_int_equal(decoded.self.node.bytes[0], 1);
    assert_int_equal(kvs_identity_decode(kvs_slice(buf.data, buf.size - 1), &decoded),
                     KVS_ERR_CORRUPT);
}

static void uvarints_accept_only_the_shortest_form_within_bounds(void **state)
{
    (void)state;
    static const uint64_t values[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(values); i++) {
        KVS_CLEANUP(kvs_buf_donep) struct kvs_buf buf = KVS_BUF_INIT(MAX);
        kvs_wire_put_uvarint(&buf, values[i]);
        struct kvs_cursor cursor = kvs_cursor(kvs_buf_slice(&buf));
        assert_true(kvs_wire_get_uvarint(&cursor, UINT64_MAX) == values[i]);
        assert_true(kvs_cursor_finished(&cursor));
        if (values[i] > 0) {
            cursor = kvs_cursor(kvs_buf_slice(&buf));
            (void)kvs_wire_get_uvarint(&cursor, values[i] - 1); // the value is looked at below
            assert_true(cursor.bad);
        }
    }
    static const char *const bad[] = {"\x80\x00", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(bad); i++) {
        struct kvs_cursor cursor = kvs_cursor(kvs_slice(bad[i], i == 0 ? 2 : 10));
        assert_int_equal(kvs_wire_get_uvarint(&cursor, UINT64_MAX), 0);
        assert_true(cursor.bad);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_round_trips_and_refuses_every_truncation),
        cmocka_unit_test(log_keys_and_time_keys_sort_like_their_numbers),
        cmocka_unit_test(system_keys_lie_behind_users_in_time_order),
        cmocka_unit_test(state_and_identity_round_trip_and_refuse_damage),
        cmocka_unit_test(uvarints_accept_only_the_shortest_form_within_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
