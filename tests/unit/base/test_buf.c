// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "base/buf.h"

static void appends_and_formats(void **state)
{
    (void)state;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf buf = KVS_BUF_INIT(1000);
    kvs_buf_append_str(&buf, "a");
    kvs_buf_append_u64(&buf, UINT64_MAX);
    kvs_buf_append_i64(&buf, INT64_MIN);
    kvs_buf_printf(&buf, "%s", "z");
    assert_int_equal(buf.err, 0);
    assert_slice_equal(kvs_buf_slice(&buf), "a18446744073709551615-9223372036854775808z");
}

static void refuses_to_grow_beyond_its_maximum_and_stays_refused(void **state)
{
    (void)state;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf buf = KVS_BUF_INIT(4);
    kvs_buf_append_str(&buf, "abcd");
    assert_int_equal(buf.err, 0);
    kvs_buf_append_str(&buf, "e");
    assert_int_equal(buf.err, KVS_ERR_TOO_LARGE);
    kvs_buf_append_str(&buf, "");
    assert_slice_equal(kvs_buf_slice(&buf), "abcd");
    kvs_buf_clear(&buf);
    assert_int_equal(buf.err, 0);
}

static void consumes_from_the_front(void **state)
{
    (void)state;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf buf = KVS_BUF_INIT(100);
    kvs_buf_append_str(&buf, "hello");
    kvs_buf_consume(&buf, 2);
    assert_slice_equal(kvs_buf_slice(&buf), "llo");
    kvs_buf_consume(&buf, 3);
    assert_int_equal(buf.size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_and_formats),
        cmocka_unit_test(refuses_to_grow_beyond_its_maximum_and_stays_refused),
        cmocka_unit_test(consumes_from_the_front),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
