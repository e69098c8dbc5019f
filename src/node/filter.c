// SPDX-License-Identifier: Apache-2.0
// What compaction may drop. A filter sees one compaction's part of a family in key order, never the
// whole, so each rule holds for parts:
//   DATA, SYSTEM  an entry behind `revisions` versions of its key that are there may go. Those seen
//                 in this part are only a hint: a version that was removed is shown as long as its
//                 deletion lies elsewhere, and the key may have come back with an older one. So,
//                 unless all of them are younger than whatever was removed, the store is asked,
//                 once a key, behind which version the surplus begins (docs/decisions/0073); an
//                 expired version's payload becomes its hash, the version itself stays
//                 (housekeeping removes it): dropping it would bring the version below it back.
//   BY_TIME       an entry whose key has a newer current version, or none, is of no use. The cache
//                 knows the newer version of a key in use, otherwise the store is asked.
// Called on the engine's threads. Nothing here writes.
#include "node/node_internal.h"

#include <xxhash.h>

enum { ENTRY_KEY_MAX = KVS_KEY_SIZE_MAX + KVS_RECORD_SUFFIX_SIZE };

struct version_state {
    const struct kvs_node_filter *filter;
    struct kvs_store *store;
    struct kvs_store_iter *iter; // opened when first needed; a compaction is of one family
    int64_t now_ms;
    uint32_t seen;  // versions of the key so far, removed ones perhaps included
    uint32_t there; // the first of them that certainly are
    size_t key_size;
    char first[ENTRY_KEY_MAX]; // entry key of its first one here; begins with the key
    bool asked;                // the store, about this key
    size_t last_size;          // of the key's last version that is kept; 0: all are, or not known
    char last[ENTRY_KEY_MAX];
};

static void *versions_begin(void *ctx)
{
    struct version_state *state = malloc(sizeof(*state));
    if (!state)
        return NULL;
    state->filter = ctx;
    state->store = atomic_load(&state->filter->store);
    state->iter = NULL;
    state->now_ms = kvs_clock_wall_ms(state->filter->clock);
    state->seen = 0;
    state->key_size = 0;
    return state;
}

static void versions_end(void *opaque)
{
    struct version_state *state = opaque;
    kvs_store_iter_free(state->iter);
    free(state);
}

void kvs_node_encode_stub(struct kvs_buf *out, struct kvs_slice entry_key,
                          const struct kvs_record_view *view)
{
    struct kvs_version version = view->version;
    version.flags |= KVS_VERSION_STUB;
    XXH64_canonical_t hash;
    XXH64_canonicalFromHash(&hash, XXH3_64bits(view->json.data, view->json.size));
    kvs_record_encode_value(out, entry_key, &version, view->writer_id,
                            kvs_slice(hash.digest, sizeof(hash.digest)));
}

// The view is as old as this compaction's first question and younger than everything compacted: who
// has `revisions` versions before him there is surplus for good. When the key is removed later, he
// is removed with it, and what comes back then is another entry. Versions younger than all that
// this compaction is shown do not count: without syncs a power failure may take them, and these are
// then the key's.
static void ask_store(struct version_state *state, struct kvs_slice key)
{
    const struct kvs_store_iter_options options = {
        .mode = KVS_READ_DISK, .prefix_only = true, .skip_cache_fill = true};
    state->asked = true;
    if (!state->iter && state->store)
        state->iter = kvs_store_iter_new(state->store, kvs_node_family(key), &options);
    if (!state->iter)
        return;
    struct kvs_prefix prefix;
    kvs_prefix_set(&prefix, key);
    uint32_t count = 0;
    size_t first_size = key.size + KVS_RECORD_SUFFIX_SIZE;
    for (kvs_store_iter_seek(state->iter, kvs_slice(state->first, first_size));
         kvs_store_iter_valid(state->iter); kvs_store_iter_next(state->iter)) {
        struct kvs_slice entry_key = kvs_store_iter_key(state->iter);
        if (!kvs_slice_starts_with(entry_key, kvs_prefix_slice(&prefix)) ||
            entry_key.size > sizeof(state->last))
            return;
        if (++count < state->filter->revisions)
            continue;
        memcpy(state->last, entry_key.data, entry_key.size);
        state->last_size = entry_key.size;
        return;
    }
}

// Versions come newest first: those before the first that may have been removed are there. One that
// is removed later goes together with all that lie behind it.
static void count(struct version_state *state, struct kvs_slice entry_key)
{
    struct kvs_version version;
    if (state->there == state->seen && state->there < state->filter->revisions &&
        kvs_record_decode_key(entry_key, &version) &&
        version.timestamp > atomic_load(&state->filter->removed_ms))
        state->there++;
    state->seen++;
}

static bool is_surplus(struct version_state *state, struct kvs_slice key,
                       struct kvs_slice entry_key)
{
    if (state->seen <= state->filter->revisions)
        return false;
    if (state->there == state->filter->revisions)
        return true;
    if (!state->asked)
        ask_store(state, key);
    return state->last_size > 0 &&
           kvs_slice_cmp(entry_key, kvs_slice(state->last, state->last_size)) > 0;
}

static enum kvs_filter_verdict versions_decide(void *opaque, struct kvs_slice entry_key,
                                               struct kvs_slice value, struct kvs_buf *replacement)
{
    struct version_state *state = opaque;
    struct kvs_slice key;
    if (!kvs_record_split_key(entry_key, &key) || key.size > KVS_KEY_SIZE_MAX)
        return KVS_FILTER_KEEP; // not ours to judge: reading it will report the damage
    if (!kvs_slice_eq(key, kvs_slice(state->first, state->key_size))) {
        memcpy(state->first, entry_key.data, entry_key.size);
        state->key_size = key.size;
        state->seen = 0;
        state->there = 0;
        state->asked = false;
        state->last_size = 0;
    }
    count(state, entry_key);
    if (is_surplus(state, key, entry_key))
        return KVS_FILTER_DROP;
    struct kvs_record_view view;
    if (kvs_record_decode(entry_key, value, &view) != 0)
        return KVS_FILTER_KEEP;
    bool expired = view.version.expires_at != 0 && view.version.expires_at <= state->now_ms;
    if (!expired || (view.version.flags & (KVS_VERSION_STUB | KVS_VERSION_TOMBSTONE)) != 0)
        return KVS_FILTER_KEEP;
    kvs_node_encode_stub(replacement, entry_key, &view);
    return replacement->err ? KVS_FILTER_KEEP : KVS_FILTER_REPLACE;
}

struct time_state {
    const struct kvs_node_filter *filter;
    struct kvs_store *store;
    struct kvs_cache *cache;                        // NULL: not there yet
    struct kvs_store_iter *data_iter, *system_iter; // opened when first needed
};

static void *times_begin(void *ctx)
{
    struct kvs_node_filter *filter = ctx;
    struct time_state *state = calloc(1, sizeof(*state));
    if (!state)
        return NULL;
    state->filter = filter;
    state->store = atomic_load(&filter->store);
    state->cache = atomic_load(&filter->cache);
    return state;
}

// Whether the cache can tell, as it can of a key in use. What it holds has been committed, but it
// follows a little behind the store: a version that was removed meanwhile says nothing, for an
// older one may have come back in its place. None that is younger than all removed was.
static bool ask_cache(const struct time_state *state, int64_t time_ms, struct kvs_slice key,
                      bool *ret_stale)
{
    KVS_CLEANUP(kvs_record_unrefp) struct kvs_record *record = NULL;
    if (state->cache)
        record = kvs_cache_peek(state->cache, key);
    if (!record || record->version.timestamp < time_ms ||
        record->version.timestamp <= atomic_load(&state->filter->removed_ms))
        return false;
    *ret_stale = record->version.timestamp > time_ms;
    return true;
}

// The view may be older than the newest commits, never older than the entry: entry and version were
// committed in one batch before this compaction began. "A newer version is there" and "the key has
// none any more" stay true for good as far as this entry goes.
static bool is_stale(struct time_state *state, int64_t time_ms, struct kvs_slice key)
{
    bool stale = false;
    if (!state->store || key.size > KVS_KEY_SIZE_MAX)
        return false;
    if (ask_cache(state, time_ms, key, &stale))
        return stale;
    struct kvs_store_iter **iter = kvs_key_is_system(key) ? &state->system_iter : &state->data_iter;
    const struct kvs_store_iter_options options = {
        .mode = KVS_READ_DISK, .prefix_only = true, .skip_cache_fill = true};
    if (!*iter)
        *iter = kvs_store_iter_new(state->store, kvs_node_family(key), &options);
    if (!*iter)
        return false;
    struct kvs_prefix prefix;
    kvs_prefix_set(&prefix, key);
    kvs_store_iter_seek(*iter, kvs_prefix_slice(&prefix));
    if (!kvs_store_iter_valid(*iter))
        return kvs_store_iter_error(*iter) == 0;
    struct kvs_slice found = kvs_store_iter_key(*iter);
    if (!kvs_slice_starts_with(found, kvs_prefix_slice(&prefix)))
        return true;
    struct kvs_record_view view;
    return kvs_record_decode(found, kvs_store_iter_value(*iter), &view) == 0 &&
           view.version.timestamp > time_ms;
}

static enum kvs_filter_verdict times_decide(void *opaque, struct kvs_slice entry_key,
                                            struct kvs_slice value, struct kvs_buf *replacement)
{
    (void)value;
    (void)replacement;
    struct kvs_slice key;
    int64_t time_ms = 0;
    if (!kvs_time_key_decode(entry_key, &time_ms, &key))
        return KVS_FILTER_KEEP;
    return is_stale(opaque, time_ms, key) ? KVS_FILTER_DROP : KVS_FILTER_KEEP;
}

static void times_end(void *opaque)
{
    struct time_state *state = opaque;
    kvs_store_iter_free(state->data_iter);
    kvs_store_iter_free(state->system_iter);
    free(state);
}

void kvs_node_set_filters(struct kvs_node_filter *filter, struct kvs_store_options *options)
{
    const struct kvs_store_filter versions = {filter, versions_begin, versions_decide,
                                              versions_end};
    options->filters[KVS_FAMILY_DATA] = versions;
    options->filters[KVS_FAMILY_SYSTEM] = versions;
    options->filters[KVS_FAMILY_BY_TIME] =
        (struct kvs_store_filter){filter, times_begin, times_decide, times_end};
}
