// SPDX-License-Identifier: Apache-2.0
// The numbers that stand for writers: given once, never changed, holes and all.
#include "tests/unit/test.h"

#include "node/writers.h"

static struct kvs_writer writer_of(uint8_t node, int64_t joined_ms)
{
    struct kvs_writer writer = {.joined_timestamp = joined_ms};
    writer.node.bytes[0] = node;
    return writer;
}

static void a_number_keeps_its_writer(void **state)
{
    (void)state;
    struct kvs_writers *writers = NULL;
    struct kvs_writer a = writer_of(1, 0);
    struct kvs_writer b = writer_of(2, 20);
    struct kvs_writer found;
    assert_int_equal(kvs_writers_new(&writers), 0);
    assert_int_equal(kvs_writers_next_id(writers), 1); // 0 is nobody's
    assert_int_equal(kvs_writers_find(writers, &a), 0);
    assert_int_equal(kvs_writers_add(writers, 1, &a), 0);
    assert_int_equal(kvs_writers_add(writers, 40, &b), 0); // leaves holes
    assert_int_equal(kvs_writers_add(writers, 1, &b), 0);
    assert_true(kvs_writers_get(writers, 1, &found));
    assert_int_equal(found.node.bytes[0], 1);
    assert_int_equal(kvs_writers_next_id(writers), 41);
    assert_false(kvs_writers_get(writers, 0, &found));
    assert_false(kvs_writers_get(writers, 20, &found));
    assert_false(kvs_writers_get(writers, 41, &found));
    assert_false(kvs_writers_get(writers, UINT32_MAX, &found));
    assert_int_equal(kvs_writers_find(writers, &b), 40);
    assert_int_equal(kvs_writers_add(writers, 20, &b), 0);
    assert_true(kvs_writers_get(writers, 20, &found));
    kvs_writers_clear(writers);
    assert_int_equal(kvs_writers_find(writers, &b), 0);
    assert_int_equal(kvs_writers_next_id(writers), 1);
    kvs_writers_free(writers);
}

static void a_writer_is_its_node_and_when_it_joined(void **state)
{
    (void)state;
    struct kvs_writers *writers = NULL;
    struct kvs_writer first = writer_of(9, 10);
    struct kvs_writer again = writer_of(9, 30);
    struct kvs_writer never = writer_of(9, 20);
    assert_int_equal(kvs_writers_new(&writers), 0);
    assert_int_equal(kvs_writers_add(writers, 1, &first), 0);
    assert_int_equal(kvs_writers_add(writers, 2, &again), 0);
    assert_int_equal(kvs_writers_find(writers, &first), 1);
    assert_int_equal(kvs_writers_find(writers, &again), 2);
    assert_int_equal(kvs_writers_find(writers, &never), 0);
    assert_int_equal(kvs_writers_find_node(writers, &never.node), 1);
    kvs_writers_free(writers);
}

static void numbers_end_somewhere(void **state)
{
    (void)state;
    struct kvs_writers *writers = NULL;
    struct kvs_writer a = writer_of(1, 1);
    assert_int_equal(kvs_writers_new(&writers), 0);
    assert_int_equal(kvs_writers_add(writers, KVS_WRITERS_MAX, &a), KVS_ERR_TOO_LARGE);
    assert_int_equal(kvs_writers_add(writers, UINT32_MAX, &a), KVS_ERR_TOO_LARGE);
    assert_int_equal(kvs_writers_next_id(writers), 1);
    assert_int_equal(kvs_writers_add(writers, KVS_WRITERS_MAX - 1, &a), 0);
    assert_int_equal(kvs_writers_find(writers, &a), KVS_WRITERS_MAX - 1);
    kvs_writers_free(writers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_keeps_its_writer),
        cmocka_unit_test(a_writer_is_its_node_and_when_it_joined),
        cmocka_unit_test(numbers_end_somewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
