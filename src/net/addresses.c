// SPDX-License-Identifier: Apache-2.0
// A hash table with chains; its size is bounded by the number of connections.
#include "net/addresses.h"

#include "base/assert.h"

#include <pthread.h>
#include <stdlib.h>

enum { BUCKETS = 4096 };

struct entry {
    struct entry *next;
    struct kvs_http_address address;
    unsigned count;
};

struct net_addresses {
    pthread_mutex_t lock;
    uint64_t seed; // so that nobody can choose addresses that share a chain
    struct entry *buckets[BUCKETS];
};

int net_addresses_new(uint64_t seed, struct net_addresses **ret_addresses)
{
    struct net_addresses *addresses = calloc(1, sizeof(*addresses));
    if (!addresses)
        return KVS_ERR_NOMEM;
    addresses->seed = seed;
    pthread_mutex_init(&addresses->lock, NULL);
    *ret_addresses = addresses;
    return 0;
}

void net_addresses_free(struct net_addresses *addresses)
{
    if (!addresses)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        while (addresses->buckets[i]) {
            struct entry *entry = addresses->buckets[i];
            addresses->buckets[i] = entry->next;
            free(entry);
        }
    }
    pthread_mutex_destroy(&addresses->lock);
    free(addresses);
}

static struct kvs_http_address group_of(const struct kvs_http_address *address)
{
    static const struct kvs_http_network v4 = {
        .address.bytes = {[10] = 0xff, [11] = 0xff},
        .prefix = 96,
    };
    struct kvs_http_address group = *address;
    if (!kvs_http_network_contains(&v4, address))
        memset(group.bytes + 8, 0, 8);
    return group;
}

// Where the entry is linked, or would be.
static struct entry **find(struct net_addresses *addresses, const struct kvs_http_address *group)
{
    uint64_t hash = addresses->seed;
    for (size_t i = 0; i < sizeof(group->bytes); i++) {
        hash = (hash ^ group->bytes[i]) * 0x9e3779b97f4a7c15;
        hash ^= hash >> 29;
    }
    struct entry **link = &addresses->buckets[hash % BUCKETS];
    while (*link && memcmp((*link)->address.bytes, group->bytes, sizeof(group->bytes)) != 0)
        link = &(*link)->next;
    return link;
}

bool net_addresses_add(struct net_addresses *addresses, const struct kvs_http_address *address,
                       unsigned max)
{
    struct kvs_http_address group = group_of(address);
    pthread_mutex_lock(&addresses->lock);
    struct entry **link = find(addresses, &group);
    if (!*link) {
        *link = calloc(1, sizeof(**link));
        if (*link)
            (*link)->address = group;
    }
    bool added = *link && (max == 0 || (*link)->count < max);
    if (added)
        (*link)->count++;
    pthread_mutex_unlock(&addresses->lock);
    return added;
}

void net_addresses_remove(struct net_addresses *addresses, const struct kvs_http_address *address)
{
    struct kvs_http_address group = group_of(address);
    pthread_mutex_lock(&addresses->lock);
    struct entry **link = find(addresses, &group);
    struct entry *entry = *link;
    kvs_assert(entry != NULL);
    if (--entry->count == 0) {
        *link = entry->next;
        free(entry);
    }
    pthread_mutex_unlock(&addresses->lock);
}
