// SPDX-License-Identifier: Apache-2.0
// What compaction drops of a key's versions and their times. A compaction is shown entries, not
// what has become of them: those of a removed key as long as their deletions lie in other files.
#include "tests/unit/node/fixture.h"

#include "base/arena.h"
#include "node/node_internal.h"
#include "tests/unit/node/faulty.h"

enum { ENTRIES_MAX = 8 };

struct entries {
    enum kvs_family family;
    struct kvs_arena arena;
    struct kvs_slice keys[ENTRIES_MAX], values[ENTRIES_MAX];
    size_t count;
};

// As a compaction of everything would be shown them.
static void read_family(struct fixture *f, enum kvs_family family, struct entries *entries)
{
    const struct kvs_store_iter_options options = {.mode = KVS_READ_DISK};
    struct kvs_store_iter *iter = kvs_store_iter_new(f->node->store, family, &options);
    assert_non_null(iter);
    entries->family = family;
    entries->count = 0;
    kvs_arena_init(&entries->arena, 1 << 20);
    for (kvs_store_iter_seek(iter, KVS_SLICE_EMPTY); kvs_store_iter_valid(iter);
         kvs_store_iter_next(iter)) {
        size_t i = entries->count++;
        assert_in_range(i, 0, ENTRIES_MAX - 1);
        entries->keys[i] = kvs_arena_copy(&entries->arena, kvs_store_iter_key(iter));
        entries->values[i] = kvs_arena_copy(&entries->arena, kvs_store_iter_value(iter));
    }
    kvs_store_iter_free(iter);
}

static void read_entries(struct fixture *f, struct entries *entries)
{
    read_family(f, KVS_FAMILY_DATA, entries);
}

static int64_t time_of(const struct entries *entries, size_t i)
{
    struct kvs_version version;
    assert_true(kvs_record_decode_key(entries->keys[i], &version));
    return version.timestamp;
}

// As the commit thread does it: the state says up to which time something has been removed.
static void remove_entries(struct fixture *f, const struct entries *entries, size_t from, size_t to)
{
    struct kvs_store_batch *batch = kvs_store_batch_new(f->node->store);
    struct kvs_commit_state commit_state;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf scratch = KVS_BUF_INIT(1000);
    assert_non_null(batch);
    assert_int_equal(kvs_node_load_state(f->node, &commit_state), 0);
    for (size_t i = from; i < to; i++)
        kvs_store_batch_delete(batch, KVS_FAMILY_DATA, entries->keys[i]);
    commit_state.removed = time_of(entries, from); // the newest comes first
    kvs_node_put_state(batch, &scratch, &commit_state);
    atomic_store(&f->node->filter.removed_ms, commit_state.removed);
    assert_int_equal(kvs_store_write(f->node->store, batch, KVS_DURABILITY_ASYNC), 0);
    kvs_store_batch_free(batch);
}

// One letter an entry: what one compaction of all of them decides.
static void compact(struct fixture *f, const struct entries *entries,
                    char ret_text[static ENTRIES_MAX + 1])
{
    struct kvs_store_options options = {0};
    kvs_node_set_filters(&f->node->filter, &options);
    const struct kvs_store_filter *filter = &options.filters[entries->family];
    void *compaction = filter->begin(filter->ctx);
    struct kvs_buf replacement = KVS_BUF_INIT(1 << 20);
    assert_non_null(compaction);
    for (size_t i = 0; i < entries->count; i++) {
        enum kvs_filter_verdict verdict =
            filter->decide(compaction, entries->keys[i], entries->values[i], &replacement);
        ret_text[i] = verdict == KVS_FILTER_DROP ? 'd' : verdict == KVS_FILTER_KEEP ? 'k' : 'r';
    }
    ret_text[entries->count] = '\0';
    kvs_buf_done(&replacement);
    filter->end(compaction);
}

static void assert_verdicts(struct fixture *f, const struct entries *entries, const char *expected)
{
    char verdicts[ENTRIES_MAX + 1];
    compact(f, entries, verdicts);
    assert_string_equal(verdicts, expected);
    fixture_restart(f); // nor does it depend on what this process remembers
    compact(f, entries, verdicts);
    assert_string_equal(verdicts, expected);
}

static void put_versions(struct fixture *f, const char *key, int count)
{
    for (int i = 0; i < count; i++)
        put(f, key, "1");
}

static void surplus_versions_go(void **state)
{
    struct fixture *f = *state;
    struct entries entries;
    put_versions(f, "a", 2);
    put_versions(f, "b", 5);
    put_versions(f, "c", 1);
    read_entries(f, &entries);
    assert_verdicts(f, &entries, "kkkkkddk");
    kvs_arena_done(&entries.arena);
}

// A node that was away brings an older version of a key that was removed here.
static void a_version_that_came_back_behind_removed_ones_stays(void **state)
{
    struct fixture *f = *state;
    struct entries entries;
    put_versions(f, "a", 4);
    read_entries(f, &entries);
    remove_entries(f, &entries, 0, 3);
    assert_verdicts(f, &entries, "kkkk");
    assert_history(f, "a", "1");
    kvs_arena_done(&entries.arena);
}

static void removed_versions_take_no_history_of_a_rewritten_key(void **state)
{
    struct fixture *f = *state;
    struct entries entries;
    put_versions(f, "a", 6);
    read_entries(f, &entries);
    remove_entries(f, &entries, 1, 4); // the newest one was written afterwards
    assert_verdicts(f, &entries, "kkkkkk");
    kvs_arena_done(&entries.arena);
    put_versions(f, "a", 1);
    read_entries(f, &entries);
    assert_verdicts(f, &entries, "kkkd");
    kvs_arena_done(&entries.arena);
}

// Whether all that is surplus is known to be so when there is no store to ask.
static void assert_known(struct fixture *f, const struct entries *entries, int64_t removed_ms,
                         const char *expected)
{
    char verdicts[ENTRIES_MAX + 1];
    struct kvs_store *store = atomic_exchange(&f->node->filter.store, NULL);
    atomic_store(&f->node->filter.removed_ms, removed_ms);
    compact(f, entries, verdicts);
    atomic_store(&f->node->filter.store, store);
    assert_string_equal(verdicts, expected);
}

static void without_a_store_to_ask_everything_stays(void **state)
{
    struct fixture *f = *state;
    struct entries entries;
    put_versions(f, "a", 5);
    read_entries(f, &entries);
    assert_known(f, &entries, INT64_MAX, "kkkkk"); // as while it opens
    kvs_arena_done(&entries.arena);
}

static void behind_versions_younger_than_all_removed_nothing_is_asked(void **state)
{
    struct fixture *f = *state;
    struct entries entries;
    put_versions(f, "a", 5);
    put_versions(f, "b", 3);
    read_entries(f, &entries);
    assert_known(f, &entries, 0, "kkkddkkk");
    assert_known(f, &entries, time_of(&entries, 3), "kkkddkkk");
    assert_known(f, &entries, time_of(&entries, 2), "kkkkkkkk"); // the third one may be gone
    assert_known(f, &entries, time_of(&entries, 0), "kkkkkkkk");
    kvs_arena_done(&entries.arena);
}

// Without syncs a power failure may take what only the log and the write buffers hold; the version
// that came back is then all that the key has.
static void versions_younger_than_a_compaction_do_not_count(void **state)
{
    struct fixture *f = *state;
    struct entries entries;
    put_versions(f, "a", 4);
    read_entries(f, &entries);
    remove_entries(f, &entries, 0, 3);
    fixture_restart(f); // its state then says so
    atomic_fetch_add(&f->clock.wall_ms, 10);
    put_versions(f, "a", 3);
    assert_verdicts(f, &entries, "kkkk");
    kvs_arena_done(&entries.arena);
    read_entries(f, &entries);
    assert_verdicts(f, &entries, "kkkd");
    kvs_arena_done(&entries.arena);
}

static void assert_removed(struct fixture *f, int64_t expected_ms)
{
    struct kvs_commit_state kept;
    assert_int_equal(kvs_node_load_state(f->node, &kept), 0);
    assert_int_equal(kept.removed, expected_ms);
    assert_int_equal(atomic_load(&f->node->filter.removed_ms), expected_ms);
}

static void a_removal_is_remembered(void **state)
{
    struct fixture *f = *state;
    struct entries entries;
    put_versions(f, "a", 3);
    assert_removed(f, 0);
    assert_int_equal(delete_key(f, "a"), 0);
    assert_removed(f, 0); // a deletion is a version
    read_entries(f, &entries);
    int64_t newest_ms = time_of(&entries, 0);
    kvs_arena_done(&entries.arena);
    atomic_fetch_add(&f->clock.wall_ms, 2 * TEST_RETENTION_MS);
    assert_int_equal(kvs_node_housekeep(f->node), 0);
    assert_int_equal(get_error(f, "a"), KVS_ERR_NOT_FOUND);
    assert_removed(f, newest_ms);
    put_versions(f, "b", 1);
    fixture_restart(f);
    assert_removed(f, newest_ms);
}

static void times_of_replaced_versions_go(void **state)
{
    struct fixture *f = *state;
    struct entries times;
    put_versions(f, "a", 3);
    atomic_fetch_add(&f->clock.wall_ms, 10);
    put_versions(f, "b", 1);
    read_family(f, KVS_FAMILY_BY_TIME, &times);
    assert_verdicts(f, &times, "ddkk");
    kvs_arena_done(&times.arena);
}

// An older one may have come back behind it, of which the cache will hear in a moment.
static void a_cached_version_that_was_removed_says_nothing(void **state)
{
    struct fixture *f = *state;
    struct entries entries;
    struct entries times;
    char verdicts[ENTRIES_MAX + 1];
    put_versions(f, "a", 2);
    read_entries(f, &entries);
    read_family(f, KVS_FAMILY_BY_TIME, &times);
    compact(f, &times, verdicts);
    assert_string_equal(verdicts, "dk");
    remove_entries(f, &entries, 0, 1);
    compact(f, &times, verdicts);
    assert_string_equal(verdicts, "kk");
    atomic_store(&f->node->filter.removed_ms, 0);
    compact(f, &times, verdicts);
    assert_string_equal(verdicts, "dk"); // it was the cache that knew, and is to be asked
    kvs_arena_done(&entries.arena);
    kvs_arena_done(&times.arena);
}

static int resume(struct fixture *f)
{
    struct kvs_write write = {.op = KVS_WRITE_RESUME};
    return kvs_node_write_wait(f->node, &write);
}

// Without syncs, reopening a store may lose versions that were acknowledged, and so cached.
static void what_a_resumed_store_has_lost_is_not_believed(void **state)
{
    struct fixture *f = *state;
    struct entries entries;
    struct entries times;
    struct kvs_store_batch *batch = NULL;
    char verdicts[ENTRIES_MAX + 1];
    f->options.wrap_store = wrap;
    fixture_restart(f);
    put_versions(f, "a", 2);
    read_entries(f, &entries);
    read_family(f, KVS_FAMILY_BY_TIME, &times);
    kvs_fault_set(faulty, KVS_FAULT_GET, 0, KVS_FAULT_FOREVER, KVS_ERR_IO);
    kvs_fault_set(faulty, KVS_FAULT_WRITE, 0, 1, KVS_ERR_IO);
    struct kvs_write write = make_write(KVS_WRITE_PUT, "b", "1");
    assert_int_equal(kvs_node_write_wait(f->node, &write), KVS_ERR_IO);
    assert_int_equal(resume(f), KVS_ERR_IO); // the store takes writes, but the state was not read
    batch = kvs_store_batch_new(f->node->store);
    assert_non_null(batch);
    kvs_store_batch_delete(batch, KVS_FAMILY_DATA, entries.keys[0]);
    assert_int_equal(kvs_store_write(f->node->store, batch, KVS_DURABILITY_ASYNC), 0);
    kvs_store_batch_free(batch);
    compact(f, &times, verdicts);
    assert_string_equal(verdicts, "kk");
    kvs_fault_clear(faulty);
    assert_int_equal(resume(f), 0);
    compact(f, &times, verdicts);
    assert_string_equal(verdicts, "kk");
    assert_ptr_equal(atomic_load(&f->node->filter.cache), f->node->cache); // it is asked again
    kvs_arena_done(&entries.arena);
    kvs_arena_done(&times.arena);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(surplus_versions_go),
        TEST(a_version_that_came_back_behind_removed_ones_stays),
        TEST(removed_versions_take_no_history_of_a_rewritten_key),
        TEST(without_a_store_to_ask_everything_stays),
        TEST(behind_versions_younger_than_all_removed_nothing_is_asked),
        TEST(versions_younger_than_a_compaction_do_not_count),
        TEST(a_removal_is_remembered),
        TEST(times_of_replaced_versions_go),
        TEST(a_cached_version_that_was_removed_says_nothing),
        TEST(what_a_resumed_store_has_lost_is_not_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
