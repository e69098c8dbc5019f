// SPDX-License-Identifier: Apache-2.0
#include "auth/table.h"

#include <stdlib.h>

enum { BUCKETS_MIN = 64 };

int kvs_table_init(struct kvs_table *table)
{
    *table = (struct kvs_table){.bucket_count = BUCKETS_MIN};
    table->buckets = calloc(BUCKETS_MIN, sizeof(struct kvs_table_link *));
    return table->buckets ? 0 : KVS_ERR_NOMEM;
}

void kvs_table_done(struct kvs_table *table)
{
    free(table->buckets);
    *table = (struct kvs_table){0};
}

static void push(struct kvs_table *table, struct kvs_table_link *link)
{
    struct kvs_table_link **bucket = &table->buckets[link->hash & (table->bucket_count - 1)];
    link->next = *bucket;
    link->back = bucket;
    if (link->next)
        link->next->back = &link->next;
    *bucket = link;
}

static void grow(struct kvs_table *table)
{
    size_t old_count = table->bucket_count;
    struct kvs_table_link **old = table->buckets;
    struct kvs_table_link **fresh = calloc(old_count * 2, sizeof(struct kvs_table_link *));
    if (!fresh)
        return;
    table->buckets = fresh;
    table->bucket_count = old_count * 2;
    for (size_t i = 0; i < old_count; i++) {
        for (struct kvs_table_link *link = old[i], *next; link; link = next) {
            next = link->next;
            push(table, link);
        }
    }
    free(old);
}

void kvs_table_add(struct kvs_table *table, struct kvs_table_link *link, uint64_t hash)
{
    if (table->count >= table->bucket_count)
        grow(table);
    link->hash = hash;
    push(table, link);
    table->count++;
}

void kvs_table_remove(struct kvs_table *table, struct kvs_table_link *link)
{
    if (!link->back)
        return;
    *link->back = link->next;
    if (link->next)
        link->next->back = link->back;
    link->back = NULL;
    table->count--;
}

static struct kvs_table_link *first_of(struct kvs_table_link *link, uint64_t hash)
{
    while (link && link->hash != hash)
        link = link->next;
    return link;
}

struct kvs_table_link *kvs_table_find(const struct kvs_table *table, uint64_t hash)
{
    return first_of(table->buckets[hash & (table->bucket_count - 1)], hash);
}

struct kvs_table_link *kvs_table_next(const struct kvs_table_link *link)
{
    return first_of(link->next, link->hash);
}
