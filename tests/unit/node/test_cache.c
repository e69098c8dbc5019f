// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "node/cache.h"

#include <pthread.h>
#include <stdio.h>

static struct kvs_record *record_of(const char *key, int64_t timestamp, const char *json)
{
    const struct kvs_version version = {.timestamp = timestamp};
    struct kvs_record *record =
        kvs_record_new(kvs_slice_from_str(key), &version, 1, kvs_slice_from_str(json));
    assert_non_null(record);
    return record;
}

static void publish_as(struct kvs_cache *cache, const char *key, int64_t timestamp, bool created)
{
    struct kvs_record *record = record_of(key, timestamp, "\"value\"");
    kvs_cache_publish(cache, record, created);
    kvs_record_unref(record);
}

static void publish(struct kvs_cache *cache, const char *key, int64_t timestamp)
{
    publish_as(cache, key, timestamp, false);
}

// 0 when the key is not held.
static int64_t held_timestamp(struct kvs_cache *cache, const char *key)
{
    KVS_CLEANUP(kvs_record_unrefp)
    struct kvs_record *record = kvs_cache_get(cache, kvs_slice_from_str(key));
    return record ? record->version.timestamp : 0;
}

static struct kvs_cache *new_cache(size_t bytes)
{
    struct kvs_cache *cache = NULL;
    assert_int_equal(kvs_cache_new(bytes, NULL, &cache), 0);
    return cache;
}

static void holds_the_last_published_version(void **state)
{
    (void)state;
    struct kvs_cache *cache = new_cache(1 << 20);
    assert_int_equal(held_timestamp(cache, "a"), 0);
    publish(cache, "a", 1);
    publish(cache, "b", 5);
    publish(cache, "a", 2);
    assert_int_equal(held_timestamp(cache, "a"), 2);
    assert_int_equal(held_timestamp(cache, "b"), 5);
    kvs_cache_remove(cache, KVS_SLICE("a"));
    assert_int_equal(held_timestamp(cache, "a"), 0);
    kvs_cache_clear(cache);
    assert_int_equal(held_timestamp(cache, "b"), 0);
    publish(cache, "b", 6);
    assert_int_equal(held_timestamp(cache, "b"), 6);
    kvs_cache_free(cache);
}

static void a_fill_that_was_overtaken_by_a_commit_is_dropped(void **state)
{
    (void)state;
    struct kvs_cache *cache = new_cache(1 << 20);
    struct kvs_record *old = record_of("a", 1, "1");
    uint64_t ticket = kvs_cache_ticket(cache, KVS_SLICE("a"));
    publish(cache, "a", 2);
    kvs_cache_fill(cache, old, ticket);
    assert_int_equal(held_timestamp(cache, "a"), 2);
    // … even when the committed version is gone again by then.
    ticket = kvs_cache_ticket(cache, KVS_SLICE("a"));
    kvs_cache_remove(cache, KVS_SLICE("a"));
    kvs_cache_fill(cache, old, ticket);
    assert_int_equal(held_timestamp(cache, "a"), 0);
    ticket = kvs_cache_ticket(cache, KVS_SLICE("a"));
    kvs_cache_fill(cache, old, ticket);
    assert_int_equal(held_timestamp(cache, "a"), 1);
    kvs_record_unref(old);
    kvs_cache_free(cache);
}

static void stays_within_its_bytes_and_keeps_what_is_used(void **state)
{
    (void)state;
    enum { BYTES = 256 * 1024, KEYS = 20000 };
    struct kvs_metrics *metrics = NULL;
    assert_int_equal(kvs_metrics_new(&metrics), 0);
    struct kvs_cache *cache = NULL;
    assert_int_equal(kvs_cache_new(BYTES, metrics, &cache), 0);
    publish(cache, "hot", 1);
    int held = 0;
    for (int i = 0; i < KEYS; i++) {
        char key[32];
        (void)snprintf(key, sizeof(key), "key%d", i);
        publish(cache, key, i + 1);
        assert_int_equal(held_timestamp(cache, "hot"), 1); // the look marks it as used
    }
    for (int i = 0; i < KEYS; i++) {
        char key[32];
        (void)snprintf(key, sizeof(key), "key%d", i);
        held += held_timestamp(cache, key) == i + 1;
    }
    assert_in_range(held, 500, BYTES / 64);
    kvs_cache_free(cache);
    kvs_metrics_free(metrics);
}

static void what_is_written_again_outlives_what_is_written_once(void **state)
{
    (void)state;
    struct kvs_cache *cache = new_cache(256 * 1024);
    publish(cache, "counter", 1);
    for (int i = 0; i < 20000; i++) {
        char key[32];
        (void)snprintf(key, sizeof(key), "key%d", i);
        publish(cache, key, 1);
        publish(cache, "counter", i + 2);
    }
    assert_int_equal(held_timestamp(cache, "counter"), 20001);
    // … although nobody looked: the last of a stream of new keys pushes out its first, not the
    // counter.
    for (int i = 0; i < 40; i++) {
        char key[32];
        (void)snprintf(key, sizeof(key), "new%d", i);
        publish(cache, key, 1);
    }
    assert_int_equal(held_timestamp(cache, "counter"), 20001);
    kvs_cache_free(cache);
}

static void a_peek_is_no_use(void **state)
{
    (void)state;
    struct kvs_cache *cache = new_cache(256 * 1024);
    publish(cache, "copied", 1);
    bool held = true;
    for (int i = 0; i < 20000 && held; i++) {
        char key[32];
        (void)snprintf(key, sizeof(key), "key%d", i);
        publish(cache, key, 1);
        KVS_CLEANUP(kvs_record_unrefp)
        struct kvs_record *record = kvs_cache_peek(cache, KVS_SLICE("copied"));
        assert_true(!record || record->version.timestamp == 1);
        held = record != NULL;
    }
    assert_false(held);
    kvs_cache_free(cache);
}

static void new_keys_push_nothing_out(void **state)
{
    (void)state;
    struct kvs_cache *cache = new_cache(256 * 1024);
    enum { COUNT = 500 };
    char key[32];
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(key, sizeof(key), "old%d", i);
        publish_as(cache, key, 1, true);
    }
    for (int i = 0; i < 20000; i++) {
        (void)snprintf(key, sizeof(key), "new%d", i);
        publish_as(cache, key, 1, true);
    }
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(key, sizeof(key), "old%d", i);
        assert_int_equal(held_timestamp(cache, key), 1);
    }
    assert_int_equal(held_timestamp(cache, "new19999"), 0);
    publish_as(cache, "new19999", 2, false); // overwritten: now it is worth a place
    assert_int_equal(held_timestamp(cache, "new19999"), 2);
    kvs_cache_free(cache);
}

static void a_record_that_is_too_large_is_not_held_but_replaces_the_old_one(void **state)
{
    (void)state;
    struct kvs_cache *cache = new_cache(16 << 20);
    publish(cache, "a", 1);
    char *json = calloc(1, 200 * 1024);
    assert_non_null(json);
    memset(json, '1', 200 * 1024 - 1);
    struct kvs_record *large = record_of("a", 2, json);
    kvs_cache_publish(cache, large, false);
    kvs_record_unref(large);
    free(json);
    assert_int_equal(held_timestamp(cache, "a"), 0);
    kvs_cache_free(cache);
}

static void *publish_many(void *cache)
{
    for (int i = 1; i <= 20000; i++)
        publish(cache, i % 2 ? "a" : "b", i);
    return NULL;
}

static void a_prefetch_changes_nothing(void **state)
{
    (void)state;
    struct kvs_cache *cache = new_cache(1 << 20);
    const struct kvs_slice keys[] = {KVS_SLICE("a"), KVS_SLICE("missing"), KVS_SLICE("a"),
                                     KVS_SLICE("b")};
    kvs_cache_prefetch(cache, keys, KVS_ARRAY_SIZE(keys)); // nothing is there yet
    publish(cache, "a", 1);
    publish(cache, "b", 2);
    kvs_cache_prefetch(cache, keys, 0);
    kvs_cache_prefetch(cache, keys, KVS_ARRAY_SIZE(keys));
    assert_int_equal(held_timestamp(cache, "a"), 1);
    assert_int_equal(held_timestamp(cache, "b"), 2);
    kvs_cache_clear(cache);
    kvs_cache_prefetch(cache, keys, KVS_ARRAY_SIZE(keys));
    kvs_cache_free(cache);
}

static void readers_and_a_publisher_run_side_by_side(void **state)
{
    (void)state;
    struct kvs_cache *cache = new_cache(1 << 20);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, publish_many, cache), 0);
    int64_t last = 0;
    const struct kvs_slice keys[] = {KVS_SLICE("a"), KVS_SLICE("b")};
    while (last < 19999) {
        kvs_cache_prefetch(cache, keys, KVS_ARRAY_SIZE(keys));
        int64_t timestamp = held_timestamp(cache, "a");
        assert_true(timestamp >= last);
        last = timestamp;
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    kvs_cache_free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_the_last_published_version),
        cmocka_unit_test(a_fill_that_was_overtaken_by_a_commit_is_dropped),
        cmocka_unit_test(stays_within_its_bytes_and_keeps_what_is_used),
        cmocka_unit_test(a_peek_is_no_use),
        cmocka_unit_test(what_is_written_again_outlives_what_is_written_once),
        cmocka_unit_test(new_keys_push_nothing_out),
        cmocka_unit_test(a_record_that_is_too_large_is_not_held_but_replaces_the_old_one),
        cmocka_unit_test(a_prefetch_changes_nothing),
        cmocka_unit_test(readers_and_a_publisher_run_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
