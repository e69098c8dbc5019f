// SPDX-License-Identifier: Apache-2.0
#include "node/writers.h"

#include "base/assert.h"

#include <pthread.h>
#include <stdlib.h>

struct kvs_writers {
    pthread_rwlock_t lock;
    struct kvs_writer *list; // by id; joined_timestamp -1: a hole
    uint32_t count;          // greatest id + 1
    uint32_t capacity;
};

int kvs_writers_new(struct kvs_writers **ret_writers)
{
    struct kvs_writers *writers = calloc(1, sizeof(*writers));
    if (!writers)
        return KVS_ERR_NOMEM;
    (void)pthread_rwlock_init(&writers->lock, NULL); // cannot fail with default attributes
    *ret_writers = writers;
    return 0;
}

void kvs_writers_free(struct kvs_writers *writers)
{
    if (!writers)
        return;
    (void)pthread_rwlock_destroy(&writers->lock); // nobody holds it
    free(writers->list);
    free(writers);
}

void kvs_writers_clear(struct kvs_writers *writers)
{
    (void)pthread_rwlock_wrlock(&writers->lock);
    writers->count = 0;
    (void)pthread_rwlock_unlock(&writers->lock);
}

static int reserve(struct kvs_writers *writers, uint32_t id)
{
    if (id >= KVS_WRITERS_MAX)
        return KVS_ERR_TOO_LARGE;
    if (id < writers->capacity)
        return 0;
    uint32_t capacity = writers->capacity ? writers->capacity : 16;
    while (capacity <= id)
        capacity *= 2;
    struct kvs_writer *list = realloc(writers->list, capacity * sizeof(*list));
    if (!list)
        return KVS_ERR_NOMEM;
    writers->list = list;
    writers->capacity = capacity;
    return 0;
}

int kvs_writers_add(struct kvs_writers *writers, uint32_t id, const struct kvs_writer *writer)
{
    kvs_assert(writer->joined_timestamp >= 0);
    (void)pthread_rwlock_wrlock(&writers->lock);
    int err = reserve(writers, id);
    while (!err && writers->count <= id)
        writers->list[writers->count++] = (struct kvs_writer){.joined_timestamp = -1};
    if (!err && writers->list[id].joined_timestamp < 0)
        writers->list[id] = *writer;
    (void)pthread_rwlock_unlock(&writers->lock);
    return err;
}

bool kvs_writers_get(struct kvs_writers *writers, uint32_t id, struct kvs_writer *ret_writer)
{
    (void)pthread_rwlock_rdlock(&writers->lock);
    bool found = id < writers->count && writers->list[id].joined_timestamp >= 0;
    if (found)
        *ret_writer = writers->list[id];
    (void)pthread_rwlock_unlock(&writers->lock);
    return found;
}

// joined_ms -1: whichever.
static uint32_t find(struct kvs_writers *writers, const struct kvs_uuid *node, int64_t joined_ms)
{
    uint32_t found = 0;
    (void)pthread_rwlock_rdlock(&writers->lock);
    for (uint32_t id = 1; id < writers->count && found == 0; id++) {
        const struct kvs_writer *writer = &writers->list[id];
        if (writer->joined_timestamp >= 0 && kvs_uuid_cmp(&writer->node, node) == 0 &&
            (joined_ms < 0 || writer->joined_timestamp == joined_ms))
            found = id;
    }
    (void)pthread_rwlock_unlock(&writers->lock);
    return found;
}

uint32_t kvs_writers_find(struct kvs_writers *writers, const struct kvs_writer *writer)
{
    return find(writers, &writer->node, writer->joined_timestamp);
}

uint32_t kvs_writers_find_node(struct kvs_writers *writers, const struct kvs_uuid *node)
{
    return find(writers, node, -1);
}

uint32_t kvs_writers_next_id(struct kvs_writers *writers)
{
    (void)pthread_rwlock_rdlock(&writers->lock);
    uint32_t id = writers->count > 0 ? writers->count : 1;
    (void)pthread_rwlock_unlock(&writers->lock);
    return id;
}
