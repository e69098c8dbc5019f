// SPDX-License-Identifier: Apache-2.0
// An intrusive hash table that may hold several entries of one hash. The caller compares keys and
// locks.
#ifndef KVS_AUTH_TABLE_H
#define KVS_AUTH_TABLE_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct kvs_table_link {
    uint64_t hash;
    struct kvs_table_link *next;
    struct kvs_table_link **back; // what points here; NULL: in no table
};

struct kvs_table {
    struct kvs_table_link **buckets;
    size_t bucket_count; // a power of two
    size_t count;
};

KVS_MUST_CHECK int kvs_table_init(struct kvs_table *table);
void kvs_table_done(struct kvs_table *table); // the entries are the caller's

// Never fails: a table that cannot grow gets longer chains.
void kvs_table_add(struct kvs_table *table, struct kvs_table_link *link, uint64_t hash);
// NULL-safe for links that are in no table.
void kvs_table_remove(struct kvs_table *table, struct kvs_table_link *link);

// The first entry of that hash, and the next one after `link`; NULL: no more.
struct kvs_table_link *kvs_table_find(const struct kvs_table *table, uint64_t hash);
struct kvs_table_link *kvs_table_next(const struct kvs_table_link *link);

#endif
