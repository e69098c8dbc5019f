// SPDX-License-Identifier: Apache-2.0
// The failing store fails exactly when it was told to.
#include "tests/unit/store/fixture.h"

#include "store/fault.h"

#define DATA KVS_FAMILY_DATA
#define K KVS_SLICE

static int fault_setup(void **state)
{
    if (fixture_setup(state) != 0)
        return -1;
    struct fixture *f = *state;
    return kvs_fault_new(f->store, &f->store);
}

static void without_a_fault_everything_passes_through(void **state)
{
    struct fixture *f = *state;
    put(f, DATA, K("a"), K("1"));
    assert_stored(f, DATA, K("a"), "1");
    assert_int_equal(kvs_store_flush(f->store), 0);
    assert_int_equal(kvs_store_compact(f->store, DATA), 0);
    assert_int_equal(kvs_store_resume(f->store), 0);
    struct kvs_store_stats stats;
    assert_int_equal(kvs_store_stats(f->store, &stats), 0);
    assert_int_equal(stats.keys_estimate[DATA], 1);
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/copy", f->dir);
    assert_int_equal(kvs_store_checkpoint(f->store, path), 0);
    assert_int_equal(kvs_fault_calls(f->store, KVS_FAULT_GET), 1);
    assert_int_equal(kvs_fault_calls(f->store, KVS_FAULT_WRITE), 1);
}

static void skipped_calls_pass_and_counted_ones_fail(void **state)
{
    struct fixture *f = *state;
    put(f, DATA, K("a"), K("1"));
    kvs_fault_set(f->store, KVS_FAULT_GET, 1, 2, KVS_ERR_CORRUPT);
    struct kvs_buf value;
    assert_stored(f, DATA, K("a"), "1");
    assert_int_equal(get(f, DATA, K("a"), KVS_READ_DISK, &value), KVS_ERR_CORRUPT);
    assert_int_equal(get(f, DATA, K("a"), KVS_READ_DISK, &value), KVS_ERR_CORRUPT);
    assert_stored(f, DATA, K("a"), "1");
    kvs_fault_set(f->store, KVS_FAULT_GET, 0, KVS_FAULT_FOREVER, KVS_ERR_IO);
    for (int i = 0; i < 10; i++)
        assert_int_equal(get(f, DATA, K("a"), KVS_READ_DISK, &value), KVS_ERR_IO);
    kvs_fault_clear(f->store);
    assert_stored(f, DATA, K("a"), "1");
}

static void again_meets_cached_reads_only(void **state)
{
    struct fixture *f = *state;
    put(f, DATA, K("a"), K("1"));
    kvs_fault_set(f->store, KVS_FAULT_GET, 0, 1, KVS_ERR_AGAIN);
    assert_stored(f, DATA, K("a"), "1");
    struct kvs_buf value;
    assert_int_equal(get(f, DATA, K("a"), KVS_READ_CACHED, &value), KVS_ERR_AGAIN);
}

static void a_failed_write_leaves_nothing_and_refuses_others_until_resume(void **state)
{
    struct fixture *f = *state;
    kvs_fault_set(f->store, KVS_FAULT_WRITE, 1, 1, KVS_ERR_NO_SPACE);
    put(f, DATA, K("a"), K("1"));
    assert_int_equal(try_put(f, DATA, K("b"), K("1")), KVS_ERR_NO_SPACE);
    assert_int_equal(try_put(f, DATA, K("c"), K("1")), KVS_ERR_NO_SPACE);
    kvs_fault_set(f->store, KVS_FAULT_RESUME, 0, 1, KVS_ERR_NO_SPACE);
    assert_int_equal(kvs_store_resume(f->store), KVS_ERR_NO_SPACE);
    assert_int_equal(try_put(f, DATA, K("c"), K("1")), KVS_ERR_NO_SPACE);
    assert_int_equal(kvs_store_resume(f->store), 0);
    put(f, DATA, K("d"), K("1"));
    assert_not_stored(f, DATA, K("b"));
    assert_not_stored(f, DATA, K("c"));
}

static void a_failed_sync_leaves_the_batch_behind(void **state)
{
    struct fixture *f = *state;
    kvs_fault_set(f->store, KVS_FAULT_SYNC, 0, 1, KVS_ERR_IO);
    assert_int_equal(try_put(f, DATA, K("a"), K("1")), KVS_ERR_IO);
    assert_int_equal(try_put(f, DATA, K("b"), K("1")), KVS_ERR_IO);
    assert_stored(f, DATA, K("a"), "1");
    assert_not_stored(f, DATA, K("b"));
}

static void an_iterator_fails_at_the_move_and_recovers_with_a_seek(void **state)
{
    struct fixture *f = *state;
    put(f, DATA, K("a"), K("1"));
    put(f, DATA, K("b"), K("2"));
    struct kvs_store_iter_options options = {.mode = KVS_READ_DISK};
    kvs_fault_set(f->store, KVS_FAULT_ITER_NEW, 0, 1, KVS_ERR_NOMEM);
    assert_null(kvs_store_iter_new(f->store, DATA, &options));
    struct kvs_store_iter *iter = kvs_store_iter_new(f->store, DATA, &options);
    kvs_fault_set(f->store, KVS_FAULT_ITER_MOVE, 1, 1, KVS_ERR_CORRUPT);
    kvs_store_iter_seek(iter, K("a"));
    assert_true(kvs_store_iter_valid(iter));
    kvs_store_iter_next(iter);
    assert_false(kvs_store_iter_valid(iter));
    assert_int_equal(kvs_store_iter_error(iter), KVS_ERR_CORRUPT);
    kvs_store_iter_seek_last(iter);
    assert_slice_equal(kvs_store_iter_value(iter), "2");
    kvs_store_iter_prev(iter);
    assert_slice_equal(kvs_store_iter_key(iter), "a");
    kvs_store_iter_seek_before(iter, K("bb"));
    assert_slice_equal(kvs_store_iter_key(iter), "b");
    assert_int_equal(kvs_store_iter_error(iter), 0);
    kvs_store_iter_free(iter);
}

static void the_other_calls_fail_too(void **state)
{
    struct fixture *f = *state;
    static const enum kvs_fault_point points[] = {KVS_FAULT_CHECKPOINT, KVS_FAULT_FLUSH,
                                                  KVS_FAULT_COMPACT, KVS_FAULT_STATS};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(points); i++)
        kvs_fault_set(f->store, points[i], 0, 1, KVS_ERR_IO);
    struct kvs_store_stats stats;
    assert_int_equal(kvs_store_checkpoint(f->store, "unused"), KVS_ERR_IO);
    assert_int_equal(kvs_store_flush(f->store), KVS_ERR_IO);
    assert_int_equal(kvs_store_compact(f->store, DATA), KVS_ERR_IO);
    assert_int_equal(kvs_store_stats(f->store, &stats), KVS_ERR_IO);
}

#define test_with_fault(name) cmocka_unit_test_setup_teardown(name, fault_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_with_fault(without_a_fault_everything_passes_through),
        test_with_fault(skipped_calls_pass_and_counted_ones_fail),
        test_with_fault(again_meets_cached_reads_only),
        test_with_fault(a_failed_write_leaves_nothing_and_refuses_others_until_resume),
        test_with_fault(a_failed_sync_leaves_the_batch_behind),
        test_with_fault(an_iterator_fails_at_the_move_and_recovers_with_a_seek),
        test_with_fault(the_other_calls_fail_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
