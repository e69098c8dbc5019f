// SPDX-License-Identifier: Apache-2.0
// The record cache: the current version of recently used keys, tombstones and expired ones
// included.
//
// It serves reads without touching the store and tells the commit thread which version a write
// replaces, which is the larger part of a write's cost otherwise. Written through by the commit
// thread after each commit; filled by readers on a miss. Thread-safe; each shard has its own lock,
// held for a few dozen instructions. Eviction is CLOCK, by bytes.
//
// A reader that fills must not put back what a commit has replaced meanwhile: it takes a ticket
// before it reads the store, and its fill is dropped when the shard changed since.
#ifndef KVS_NODE_CACHE_H
#define KVS_NODE_CACHE_H

#include "node/node.h"

struct kvs_cache;

// `bytes_max` bounds the records held, their bookkeeping included.
KVS_MUST_CHECK int kvs_cache_new(size_t bytes_max, struct kvs_metrics *metrics,
                                 struct kvs_cache **ret_cache);
void kvs_cache_free(struct kvs_cache *cache);

// A new reference, or NULL.
struct kvs_record *kvs_cache_get(struct kvs_cache *cache, struct kvs_slice key);
// The same for whoever copies everything once: it does not count as use.
struct kvs_record *kvs_cache_peek(struct kvs_cache *cache, struct kvs_slice key);

// Before a run of the functions above and below: makes the processor fetch what a call for each of
// these keys will look at. Changes nothing but their speed.
enum { KVS_CACHE_PREFETCH_MAX = 64 };
void kvs_cache_prefetch(struct kvs_cache *cache, const struct kvs_slice *keys, size_t count);

// After a commit: `record` replaces whatever is held under its key. Takes its own reference. A key
// that is `created` is held only while there is room: loading new data pushes out nothing that is
// in use.
void kvs_cache_publish(struct kvs_cache *cache, struct kvs_record *record, bool created);
// After a commit that removed every version of the key.
void kvs_cache_remove(struct kvs_cache *cache, struct kvs_slice key);
// After the store was reopened: what is held may not be what is stored.
void kvs_cache_clear(struct kvs_cache *cache);

uint64_t kvs_cache_ticket(struct kvs_cache *cache, struct kvs_slice key);
void kvs_cache_fill(struct kvs_cache *cache, struct kvs_record *record, uint64_t ticket);

// One reference, owned by the caller; NULL when out of memory.
struct kvs_record *kvs_record_new(struct kvs_slice key, const struct kvs_version *version,
                                  uint32_t writer_id, struct kvs_slice json);
struct kvs_record *kvs_record_ref(struct kvs_record *record);

#endif
