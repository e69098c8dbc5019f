// SPDX-License-Identifier: Apache-2.0
// The engine's contract: batches, reads, iterators, filters, checkpoints.
#include "tests/unit/store/fixture.h"

#include <sched.h>
#include <stdatomic.h>

#define DATA KVS_FAMILY_DATA
#define K KVS_SLICE

static struct kvs_store_iter *iterate(struct fixture *f, enum kvs_family family, bool prefix_only)
{
    struct kvs_store_iter_options options = {.mode = KVS_READ_DISK, .prefix_only = prefix_only};
    struct kvs_store_iter *iter = kvs_store_iter_new(f->store, family, &options);
    assert_non_null(iter);
    return iter;
}

#define assert_at(iter, literal)                                                                   \
    do {                                                                                           \
        assert_true(kvs_store_iter_valid(iter));                                                   \
        assert_slice_equal(kvs_store_iter_key(iter), literal);                                     \
    } while (0)

static void assert_at_end(struct kvs_store_iter *iter)
{
    assert_false(kvs_store_iter_valid(iter));
    assert_int_equal(kvs_store_iter_error(iter), 0);
}

// ---- Batches

static void every_family_has_its_own_keys(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < KVS_FAMILY_COUNT; i++) {
        struct kvs_slice name = kvs_slice_from_str(kvs_family_name((enum kvs_family)i));
        put(f, (enum kvs_family)i, K("key"), name);
    }
    fixture_reopen(f);
    for (int i = 0; i < KVS_FAMILY_COUNT; i++) {
        struct kvs_buf value;
        assert_int_equal(get(f, (enum kvs_family)i, K("key"), KVS_READ_DISK, &value), 0);
        assert_string_equal(kvs_family_name((enum kvs_family)i),
                            (kvs_buf_append_char(&value, '\0'), value.data));
        kvs_buf_done(&value);
    }
}

static void a_batch_is_applied_in_order(void **state)
{
    struct fixture *f = *state;
    struct kvs_store_batch *batch = kvs_store_batch_new(f->store);
    kvs_store_batch_put(batch, DATA, K("a"), K("1"));
    kvs_store_batch_put(batch, DATA, K("a"), K("2"));
    kvs_store_batch_put(batch, DATA, K("b"), K("1"));
    kvs_store_batch_delete(batch, DATA, K("b"));
    kvs_store_batch_delete(batch, DATA, K("c"));
    kvs_store_batch_put(batch, DATA, K("c"), K(""));
    assert_not_stored(f, DATA, K("a"));
    assert_int_equal(kvs_store_write(f->store, batch, KVS_DURABILITY_ASYNC), 0);
    kvs_store_batch_free(batch);
    assert_stored(f, DATA, K("a"), "2");
    assert_not_stored(f, DATA, K("b"));
    assert_stored(f, DATA, K("c"), "");
}

// Whatever order the engine takes them in, each key ends with what was said of it last.
static void a_large_batch_keeps_the_order_of_each_key(void **state)
{
    enum { KEYS = 1009, ROUNDS = 3, STEP = 619 }; // a step that visits every key once
    struct fixture *f = *state;
    struct kvs_store_batch *batch = kvs_store_batch_new(f->store);
    char key[32];
    for (int n = 0; n < KEYS * ROUNDS; n++) {
        int number = n * STEP % KEYS;
        struct kvs_slice name =
            kvs_slice(key, (size_t)snprintf(key, sizeof(key), "app/%0*d", number % 7 + 1, number));
        struct kvs_slice value = n < KEYS ? K("first") : n < 2 * KEYS ? K("second") : K("third");
        if (number % 3 == 0 && n >= 2 * KEYS)
            kvs_store_batch_delete(batch, DATA, name);
        else
            kvs_store_batch_put(batch, DATA, name, value);
    }
    assert_int_equal(kvs_store_write(f->store, batch, KVS_DURABILITY_ASYNC), 0);
    kvs_store_batch_free(batch);
    for (int number = 0; number < KEYS; number++) {
        struct kvs_slice name =
            kvs_slice(key, (size_t)snprintf(key, sizeof(key), "app/%0*d", number % 7 + 1, number));
        if (number % 3 == 0)
            assert_not_stored(f, DATA, name);
        else
            assert_stored(f, DATA, name, "third");
    }
}

static void a_deleted_range_spares_what_is_put_after_it(void **state)
{
    struct fixture *f = *state;
    struct kvs_store_batch *batch = kvs_store_batch_new(f->store);
    kvs_store_batch_put(batch, KVS_FAMILY_LOG, K("3"), K("before"));
    kvs_store_batch_put(batch, KVS_FAMILY_LOG, K("1"), K("before"));
    kvs_store_batch_delete_range(batch, KVS_FAMILY_LOG, K("1"), K("9"));
    kvs_store_batch_put(batch, KVS_FAMILY_LOG, K("4"), K("after"));
    kvs_store_batch_put(batch, KVS_FAMILY_LOG, K("1"), K("after"));
    assert_int_equal(kvs_store_write(f->store, batch, KVS_DURABILITY_SYNC), 0);
    kvs_store_batch_clear(batch);
    assert_stored(f, KVS_FAMILY_LOG, K("1"), "after");
    assert_not_stored(f, KVS_FAMILY_LOG, K("3"));
    assert_stored(f, KVS_FAMILY_LOG, K("4"), "after");
    // The next batch knows nothing of the range.
    kvs_store_batch_put(batch, KVS_FAMILY_LOG, K("8"), K("x"));
    kvs_store_batch_put(batch, KVS_FAMILY_LOG, K("2"), K("x"));
    assert_int_equal(kvs_store_write(f->store, batch, KVS_DURABILITY_SYNC), 0);
    kvs_store_batch_free(batch);
    assert_stored(f, KVS_FAMILY_LOG, K("1"), "after");
    assert_stored(f, KVS_FAMILY_LOG, K("2"), "x");
    assert_stored(f, KVS_FAMILY_LOG, K("8"), "x");
}

// Keys that sort by their length, and by what looks like the zeros of a shorter one.
static void keys_that_begin_alike_are_told_apart(void **state)
{
    struct fixture *f = *state;
    const struct kvs_slice keys[] = {K("k\0\0\0\0\0\0\0\0\0"),
                                     K("kab\xff"),
                                     K("k"),
                                     K("k\0"),
                                     K("kab"),
                                     K("k\xff"),
                                     K("k"),
                                     K("ka")};
    struct kvs_store_batch *batch = kvs_store_batch_new(f->store);
    for (size_t i = 0; i < KVS_ARRAY_SIZE(keys); i++)
        kvs_store_batch_put(batch, KVS_FAMILY_META, keys[i], kvs_slice(&"abcdefgh"[i], 1));
    assert_int_equal(kvs_store_write(f->store, batch, KVS_DURABILITY_ASYNC), 0);
    kvs_store_batch_free(batch);
    assert_stored(f, KVS_FAMILY_META, keys[0], "a");
    assert_stored(f, KVS_FAMILY_META, keys[1], "b");
    assert_stored(f, KVS_FAMILY_META, K("k"), "g");
    assert_stored(f, KVS_FAMILY_META, keys[3], "d");
    assert_stored(f, KVS_FAMILY_META, keys[4], "e");
    assert_stored(f, KVS_FAMILY_META, keys[5], "f");
    assert_stored(f, KVS_FAMILY_META, keys[7], "h");
}

static void a_batch_of_many_megabytes_can_be_followed_by_another(void **state)
{
    struct fixture *f = *state;
    struct kvs_store_batch *batch = kvs_store_batch_new(f->store);
    char *large = malloc(6 << 20);
    memset(large, 'x', 6 << 20);
    kvs_store_batch_put(batch, DATA, K("b"), kvs_slice(large, 6 << 20));
    kvs_store_batch_put(batch, DATA, K("a"), K("1"));
    assert_int_equal(kvs_store_write(f->store, batch, KVS_DURABILITY_ASYNC), 0);
    kvs_store_batch_clear(batch);
    kvs_store_batch_put(batch, DATA, K("c"), K("3"));
    assert_int_equal(kvs_store_write(f->store, batch, KVS_DURABILITY_ASYNC), 0);
    kvs_store_batch_free(batch);
    free(large);
    struct kvs_buf value;
    assert_int_equal(get(f, DATA, K("b"), KVS_READ_DISK, &value), 0);
    assert_int_equal(value.size, 6 << 20);
    kvs_buf_done(&value);
    assert_stored(f, DATA, K("a"), "1");
    assert_stored(f, DATA, K("c"), "3");
}

static void a_cleared_batch_holds_nothing(void **state)
{
    struct fixture *f = *state;
    struct kvs_store_batch *batch = kvs_store_batch_new(f->store);
    kvs_store_batch_put(batch, DATA, K("a"), K("1"));
    kvs_store_batch_clear(batch);
    kvs_store_batch_put(batch, DATA, K("b"), K("1"));
    assert_int_equal(kvs_store_write(f->store, batch, KVS_DURABILITY_SYNC), 0);
    kvs_store_batch_free(batch);
    assert_not_stored(f, DATA, K("a"));
    assert_stored(f, DATA, K("b"), "1");
}

static void a_deleted_range_ends_before_its_end(void **state)
{
    struct fixture *f = *state;
    put(f, KVS_FAMILY_LOG, K("1"), K("x"));
    put(f, KVS_FAMILY_LOG, K("2"), K("x"));
    put(f, KVS_FAMILY_LOG, K("3"), K("x"));
    struct kvs_store_batch *batch = kvs_store_batch_new(f->store);
    kvs_store_batch_delete_range(batch, KVS_FAMILY_LOG, K("1"), K("3"));
    assert_int_equal(kvs_store_write(f->store, batch, KVS_DURABILITY_SYNC), 0);
    kvs_store_batch_free(batch);
    assert_not_stored(f, KVS_FAMILY_LOG, K("1"));
    assert_not_stored(f, KVS_FAMILY_LOG, K("2"));
    assert_stored(f, KVS_FAMILY_LOG, K("3"), "x");
}

static void a_value_is_appended(void **state)
{
    struct fixture *f = *state;
    put(f, DATA, K("a"), K("value"));
    struct kvs_buf buf = KVS_BUF_INIT(10);
    kvs_buf_append_str(&buf, "have ");
    assert_int_equal(kvs_store_get(f->store, DATA, K("a"), KVS_READ_DISK, &buf), 0);
    assert_slice_equal(kvs_buf_slice(&buf), "have value");
    assert_int_equal(kvs_store_get(f->store, DATA, K("a"), KVS_READ_DISK, &buf), KVS_ERR_TOO_LARGE);
    kvs_buf_done(&buf);
}

// ---- Iterators

static void put_letters(struct fixture *f, enum kvs_family family)
{
    put(f, family, K("a"), K("1"));
    put(f, family, K("c"), K("3"));
    put(f, family, K("e"), K("5"));
}

static void an_iterator_finds_what_is_around_a_key(void **state)
{
    struct fixture *f = *state;
    put_letters(f, KVS_FAMILY_BY_TIME);
    KVS_CLEANUP(kvs_store_iter_freep)
    struct kvs_store_iter *iter = iterate(f, KVS_FAMILY_BY_TIME, false);
    kvs_store_iter_seek(iter, K("b"));
    assert_at(iter, "c");
    assert_slice_equal(kvs_store_iter_value(iter), "3");
    kvs_store_iter_seek(iter, K("c"));
    assert_at(iter, "c");
    kvs_store_iter_seek_before(iter, K("d"));
    assert_at(iter, "c");
    kvs_store_iter_seek_before(iter, K("c"));
    assert_at(iter, "c");
    kvs_store_iter_prev(iter);
    assert_at(iter, "a");
    kvs_store_iter_prev(iter);
    assert_at_end(iter);
    kvs_store_iter_seek_last(iter);
    assert_at(iter, "e");
    kvs_store_iter_next(iter);
    assert_at_end(iter);
    kvs_store_iter_seek(iter, K("f"));
    assert_at_end(iter);
    kvs_store_iter_seek_before(iter, K("0"));
    assert_at_end(iter);
    kvs_store_iter_seek(iter, KVS_SLICE_EMPTY);
    assert_at(iter, "a");
}

static void an_iterator_sees_the_store_as_it_was(void **state)
{
    struct fixture *f = *state;
    put_letters(f, DATA);
    KVS_CLEANUP(kvs_store_iter_freep) struct kvs_store_iter *iter = iterate(f, DATA, false);
    put(f, DATA, K("b"), K("2"));
    assert_int_equal(kvs_store_flush(f->store), 0);
    kvs_store_iter_seek(iter, K("b"));
    assert_at(iter, "c");
}

static void put_versions(struct fixture *f)
{
    put(f, DATA, K("a\0001"), K("x"));
    put(f, DATA, K("a\0002"), K("x"));
    put(f, DATA, K("a/b\0001"), K("x"));
    put(f, DATA, K("b\0001"), K("x"));
}

static void check_prefix_iterator(struct fixture *f)
{
    KVS_CLEANUP(kvs_store_iter_freep) struct kvs_store_iter *iter = iterate(f, DATA, true);
    kvs_store_iter_seek(iter, K("a\0"));
    assert_at(iter, "a\0001");
    kvs_store_iter_next(iter);
    assert_at(iter, "a\0002");
    kvs_store_iter_next(iter);
    assert_at_end(iter);
    kvs_store_iter_seek(iter, K("a/b\0"));
    assert_at(iter, "a/b\0001");
    kvs_store_iter_seek(iter, K("aa\0"));
    assert_at_end(iter);
    kvs_store_iter_seek_before(iter, K("a\0003"));
    assert_at(iter, "a\0002");
    kvs_store_iter_prev(iter);
    assert_at(iter, "a\0001");
    kvs_store_iter_prev(iter);
    assert_at_end(iter);
}

static void prefix_only_keeps_to_one_keys_versions(void **state)
{
    struct fixture *f = *state;
    put_versions(f);
    check_prefix_iterator(f); // in the write buffer
    assert_int_equal(kvs_store_flush(f->store), 0);
    check_prefix_iterator(f); // in a table
    put_versions(f);
    check_prefix_iterator(f); // in both
    assert_int_equal(kvs_store_compact(f->store, DATA), 0);
    check_prefix_iterator(f);
}

static void without_prefix_only_all_keys_come_in_order(void **state)
{
    struct fixture *f = *state;
    put_versions(f);
    assert_int_equal(kvs_store_flush(f->store), 0);
    put(f, DATA, K("a\0003"), K("x"));
    KVS_CLEANUP(kvs_store_iter_freep) struct kvs_store_iter *iter = iterate(f, DATA, false);
    kvs_store_iter_seek(iter, K("a\0002"));
    assert_at(iter, "a\0002");
    kvs_store_iter_next(iter);
    assert_at(iter, "a\0003");
    kvs_store_iter_next(iter);
    assert_at(iter, "a/b\0001");
    kvs_store_iter_next(iter);
    assert_at(iter, "b\0001");
    kvs_store_iter_seek(iter, K("aa\0")); // a prefix that is nowhere
    assert_at(iter, "b\0001");
}

static void prefix_only_is_no_restriction_where_there_are_no_prefixes(void **state)
{
    struct fixture *f = *state;
    put_letters(f, KVS_FAMILY_LOG);
    KVS_CLEANUP(kvs_store_iter_freep)
    struct kvs_store_iter *iter = iterate(f, KVS_FAMILY_LOG, true);
    kvs_store_iter_seek(iter, K("b"));
    assert_at(iter, "c");
    kvs_store_iter_seek_last(iter);
    assert_at(iter, "e");
}

// ---- Reads that must not touch the disk

static void cached_reads_say_again_until_the_disk_was_read(void **state)
{
    struct fixture *f = *state;
    put(f, DATA, K("a\0001"), K("x"));
    struct kvs_buf value;
    assert_int_equal(get(f, DATA, K("a\0001"), KVS_READ_CACHED, &value), 0);
    kvs_buf_done(&value);
    fixture_reopen(f);

    struct kvs_store_iter_options options = {.mode = KVS_READ_CACHED, .prefix_only = true};
    assert_int_equal(get(f, DATA, K("a\0001"), KVS_READ_CACHED, &value), KVS_ERR_AGAIN);
    struct kvs_store_iter *iter = kvs_store_iter_new(f->store, DATA, &options);
    kvs_store_iter_seek(iter, K("a\0"));
    assert_false(kvs_store_iter_valid(iter));
    assert_int_equal(kvs_store_iter_error(iter), KVS_ERR_AGAIN);
    kvs_store_iter_free(iter);

    assert_stored(f, DATA, K("a\0001"), "x");
    assert_int_equal(get(f, DATA, K("a\0001"), KVS_READ_CACHED, &value), 0);
    kvs_buf_done(&value);
    iter = kvs_store_iter_new(f->store, DATA, &options);
    kvs_store_iter_seek(iter, K("a\0"));
    assert_at(iter, "a\0001");
    kvs_store_iter_free(iter);
}

// ---- Filters

struct filter_log {
    int begun, ended;
};

struct filter_state {
    struct filter_log *log;
    char last_key[16]; // keys must arrive in order
};

static void *filter_begin(void *ctx)
{
    struct filter_state *state = calloc(1, sizeof(*state));
    state->log = ctx;
    state->log->begun++;
    return state;
}

static enum kvs_filter_verdict filter_decide(void *ctx, struct kvs_slice key,
                                             struct kvs_slice value, struct kvs_buf *replacement)
{
    struct filter_state *state = ctx;
    assert_true(kvs_slice_cmp(kvs_slice_from_str(state->last_key), key) < 0);
    assert_true(key.size < sizeof(state->last_key));
    memcpy(state->last_key, key.data, key.size);
    state->last_key[key.size] = '\0';
    if (kvs_slice_eq(value, K("drop")))
        return KVS_FILTER_DROP;
    if (!kvs_slice_eq(value, K("replace")))
        return KVS_FILTER_KEEP;
    kvs_buf_append_str(replacement, "replacement of ");
    kvs_buf_append_slice(replacement, key);
    return KVS_FILTER_REPLACE;
}

static void filter_end(void *ctx)
{
    struct filter_state *state = ctx;
    state->log->ended++;
    free(state);
}

static void a_compaction_asks_the_filter_about_every_entry(void **state)
{
    struct fixture *f = *state;
    struct filter_log log = {0};
    fixture_close(f);
    f->options.filters[DATA] =
        (struct kvs_store_filter){&log, filter_begin, filter_decide, filter_end};
    fixture_open(f);
    put(f, DATA, K("a"), K("drop"));
    put(f, DATA, K("b"), K("replace"));
    put(f, DATA, K("c"), K("keep"));
    put(f, DATA, K("d"), K("replace"));
    put(f, KVS_FAMILY_SYSTEM, K("a"), K("drop"));
    assert_int_equal(kvs_store_flush(f->store), 0);
    assert_stored(f, DATA, K("a"), "drop");
    assert_int_equal(log.begun, 0);
    assert_int_equal(kvs_store_compact(f->store, DATA), 0);
    assert_int_equal(kvs_store_compact(f->store, KVS_FAMILY_SYSTEM), 0);
    assert_true(log.begun > 0);
    assert_int_equal(log.ended, log.begun);
    assert_not_stored(f, DATA, K("a"));
    assert_stored(f, DATA, K("b"), "replacement of b");
    assert_stored(f, DATA, K("c"), "keep");
    assert_stored(f, DATA, K("d"), "replacement of d");
    assert_stored(f, KVS_FAMILY_SYSTEM, K("a"), "drop");
    // What has reached the bottom is asked about again by the next one.
    put(f, DATA, K("c"), K("drop"));
    assert_int_equal(kvs_store_compact(f->store, DATA), 0);
    assert_not_stored(f, DATA, K("c"));
    assert_int_equal(log.ended, log.begun);
    fixture_close(f); // `log` is gone after this test
}

static void *filter_out_of_memory(void *ctx)
{
    (void)ctx;
    return NULL;
}

static void without_memory_for_a_filter_everything_is_kept(void **state)
{
    struct fixture *f = *state;
    fixture_close(f);
    f->options.filters[DATA] =
        (struct kvs_store_filter){NULL, filter_out_of_memory, filter_decide, filter_end};
    fixture_open(f);
    put(f, DATA, K("a"), K("drop"));
    assert_int_equal(kvs_store_compact(f->store, DATA), 0);
    assert_stored(f, DATA, K("a"), "drop");
}

// A filter that reads the store it filters for, and does so while the store is being closed.
struct reading_filter {
    struct kvs_store *_Atomic store; // known only after opening
    _Atomic bool reading, closing;
    _Atomic uint32_t found;
};

struct reading_state {
    struct reading_filter *filter;
    struct kvs_store_iter *iter; // open throughout the compaction
};

static void *reading_begin(void *ctx)
{
    struct reading_state *state = calloc(1, sizeof(*state));
    state->filter = ctx;
    return state;
}

static enum kvs_filter_verdict reading_decide(void *ctx, struct kvs_slice key,
                                              struct kvs_slice value, struct kvs_buf *replacement)
{
    (void)value;
    (void)replacement;
    struct reading_state *state = ctx;
    struct reading_filter *filter = state->filter;
    struct kvs_store *store = atomic_load(&filter->store);
    const struct kvs_store_iter_options options = {.mode = KVS_READ_DISK};
    if (!state->iter)
        state->iter = kvs_store_iter_new(store, KVS_FAMILY_LOG, &options);
    atomic_store(&filter->reading, true);
    while (!atomic_load(&filter->closing))
        (void)sched_yield();
    struct kvs_store_iter *iter = kvs_store_iter_new(store, DATA, &options);
    kvs_store_iter_seek(iter, key);
    if (kvs_store_iter_valid(iter))
        atomic_fetch_add(&filter->found, 1);
    kvs_store_iter_free(iter);
    return KVS_FILTER_KEEP;
}

static void reading_end(void *ctx)
{
    struct reading_state *state = ctx;
    kvs_store_iter_free(state->iter);
    free(state);
}

static void a_filter_may_read_the_store_until_it_is_closed(void **state)
{
    struct fixture *f = *state;
    struct reading_filter filter = {.store = NULL};
    fixture_close(f);
    f->options.filters[DATA] =
        (struct kvs_store_filter){&filter, reading_begin, reading_decide, reading_end};
    fixture_open(f);
    atomic_store(&filter.store, f->store);
    for (int table = 0; table < 8; table++) { // as many as start a compaction
        for (int i = 0; i < 50; i++) {
            char key[16];
            int size = snprintf(key, sizeof(key), "%04d", i);
            put(f, DATA, kvs_slice(key, (size_t)size), K("value"));
        }
        assert_int_equal(kvs_store_flush(f->store), 0);
    }
    while (!atomic_load(&filter.reading))
        (void)sched_yield();
    atomic_store(&filter.closing, true);
    fixture_close(f);
    assert_true(atomic_load(&filter.found) > 0);
}

// Flushes for several reasons meet: full buffers, copies, closing.
static void a_store_closes_and_copies_in_the_middle_of_flushes(void **state)
{
    struct fixture *f = *state;
    enum { ROUNDS = 30, VALUE_SIZE = 20000 };
    static char noise[VALUE_SIZE]; // must not compress to nothing
    for (uint32_t i = 0; i < VALUE_SIZE; i++)
        noise[i] = (char)(i * 2654435761U >> 13);
    f->options.write_buffer_size = 64 << 10;
    for (int round = 0; round < ROUNDS; round++) {
        fixture_reopen(f);
        for (int i = 0; i < 3 + round % 13; i++) {
            struct kvs_store_batch *batch = kvs_store_batch_new(f->store);
            for (enum kvs_family family = KVS_FAMILY_META; family < KVS_FAMILY_COUNT; family++)
                kvs_store_batch_put(batch, family, kvs_slice((const char *)&i, sizeof(i)),
                                    kvs_slice(noise, i % (int)(family + 1) ? 20 : VALUE_SIZE));
            assert_int_equal(kvs_store_write(f->store, batch, KVS_DURABILITY_ASYNC), 0);
            kvs_store_batch_free(batch);
        }
        if (round % 5 == 0) {
            char path[128];
            (void)snprintf(path, sizeof(path), "%s/copy%d", f->dir, round);
            assert_int_equal(kvs_store_checkpoint(f->store, path), 0);
        }
    }
}

// ---- Copies and figures

static void a_checkpoint_opens_elsewhere_as_it_was(void **state)
{
    struct fixture *f = *state;
    put(f, DATA, K("a"), K("1"));
    assert_int_equal(kvs_store_flush(f->store), 0);
    put(f, DATA, K("b"), K("1"));
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/copy", f->dir);
    assert_int_equal(kvs_store_checkpoint(f->store, path), 0);
    put(f, DATA, K("a"), K("2"));
    put(f, DATA, K("c"), K("1"));
    assert_int_equal(kvs_store_compact(f->store, DATA), 0);

    struct fixture copy = *f;
    copy.options.path = path;
    fixture_open(&copy);
    assert_stored(&copy, DATA, K("a"), "1");
    assert_stored(&copy, DATA, K("b"), "1");
    assert_not_stored(&copy, DATA, K("c"));
    put(&copy, DATA, K("a"), K("3"));
    assert_stored(f, DATA, K("a"), "2");
    fixture_close(&copy);

    struct stat stat_copy;
    assert_int_equal(stat(path, &stat_copy), 0);
    assert_int_equal(stat_copy.st_mode & 0777, 0700);
    assert_int_equal(kvs_store_checkpoint(f->store, path), KVS_ERR_INVALID); // exists
}

static void figures_follow_the_data(void **state)
{
    struct fixture *f = *state;
    struct kvs_store_stats before, after;
    assert_int_equal(kvs_store_stats(f->store, &before), 0);
    assert_int_equal(before.keys_estimate[DATA], 0);
    char key[16];
    for (int i = 0; i < 100; i++) {
        (void)snprintf(key, sizeof(key), "%03d", i);
        put(f, DATA, kvs_slice_from_str(key), K("some value"));
    }
    assert_int_equal(kvs_store_flush(f->store), 0);
    assert_int_equal(kvs_store_stats(f->store, &after), 0);
    assert_int_equal(after.keys_estimate[DATA], 100);
    assert_int_equal(after.keys_estimate[KVS_FAMILY_LOG], 0);
    assert_true(after.table_bytes > before.table_bytes);
    assert_true(after.memory_bytes > 0);
}

#define test_with_store(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_with_store(every_family_has_its_own_keys),
        test_with_store(a_batch_is_applied_in_order),
        test_with_store(a_large_batch_keeps_the_order_of_each_key),
        test_with_store(a_deleted_range_spares_what_is_put_after_it),
        test_with_store(keys_that_begin_alike_are_told_apart),
        test_with_store(a_batch_of_many_megabytes_can_be_followed_by_another),
        test_with_store(a_cleared_batch_holds_nothing),
        test_with_store(a_deleted_range_ends_before_its_end),
        test_with_store(a_value_is_appended),
        test_with_store(an_iterator_finds_what_is_around_a_key),
        test_with_store(an_iterator_sees_the_store_as_it_was),
        test_with_store(prefix_only_keeps_to_one_keys_versions),
        test_with_store(without_prefix_only_all_keys_come_in_order),
        test_with_store(prefix_only_is_no_restriction_where_there_are_no_prefixes),
        test_with_store(cached_reads_say_again_until_the_disk_was_read),
        test_with_store(a_compaction_asks_the_filter_about_every_entry),
        test_with_store(without_memory_for_a_filter_everything_is_kept),
        test_with_store(a_filter_may_read_the_store_until_it_is_closed),
        test_with_store(a_store_closes_and_copies_in_the_middle_of_flushes),
        test_with_store(a_checkpoint_opens_elsewhere_as_it_was),
        test_with_store(figures_follow_the_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
