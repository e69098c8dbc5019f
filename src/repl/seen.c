// SPDX-License-Identifier: Apache-2.0
#include "repl/seen.h"

#include "base/assert.h"

#include <stdlib.h>

void kvs_seen_init(struct kvs_seen *seen)
{
    *seen = (struct kvs_seen){0};
}

void kvs_seen_done(struct kvs_seen *seen)
{
    free(seen->entries);
    kvs_seen_init(seen);
}

static int reserve(struct kvs_seen *seen, size_t count)
{
    if (count <= seen->capacity)
        return 0;
    if (count > KVS_SEEN_ENTRIES_MAX)
        return KVS_ERR_TOO_LARGE;
    size_t capacity = seen->capacity ? seen->capacity * 2 : 8;
    while (capacity < count)
        capacity *= 2;
    struct kvs_seen_entry *entries = realloc(seen->entries, capacity * sizeof(*entries));
    if (!entries)
        return KVS_ERR_NOMEM;
    seen->entries = entries;
    seen->capacity = capacity;
    return 0;
}

int kvs_seen_copy(struct kvs_seen *to, const struct kvs_seen *from)
{
    int err = reserve(to, from->count);
    if (err)
        return err;
    if (from->count > 0)
        memcpy(to->entries, from->entries, from->count * sizeof(from->entries[0]));
    to->count = from->count;
    return 0;
}

static int entry_cmp(const struct kvs_seen_entry *entry, const struct kvs_uuid *node, uint32_t life)
{
    int order = kvs_uuid_cmp(&entry->node, node);
    return order != 0 ? order : (entry->life > life) - (entry->life < life);
}

// The first entry at or behind (node, life).
static size_t lower_bound(const struct kvs_seen *seen, const struct kvs_uuid *node, uint32_t life)
{
    size_t low = 0;
    size_t high = seen->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (entry_cmp(&seen->entries[middle], node, life) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct kvs_seen_entry *kvs_seen_find(const struct kvs_seen *seen, const struct kvs_uuid *node,
                                           uint32_t life)
{
    size_t at = lower_bound(seen, node, life);
    if (at == seen->count || entry_cmp(&seen->entries[at], node, life) != 0)
        return NULL;
    return &seen->entries[at];
}

// A node's settled entry is its first.
static bool is_settled(const struct kvs_seen *seen, const struct kvs_uuid *node, uint32_t life)
{
    size_t at = lower_bound(seen, node, 0);
    return at < seen->count && kvs_uuid_cmp(&seen->entries[at].node, node) == 0 &&
           seen->entries[at].settled && seen->entries[at].life >= life;
}

bool kvs_seen_covers(const struct kvs_seen *seen, const struct kvs_uuid *node, uint32_t life,
                     uint32_t count)
{
    if (count == 0)
        return true;
    const struct kvs_seen_entry *entry = kvs_seen_find(seen, node, life);
    if (entry && !entry->settled)
        return entry->count >= count;
    return is_settled(seen, node, life);
}

bool kvs_seen_covers_all(const struct kvs_seen *seen, const struct kvs_seen *other)
{
    for (size_t i = 0; i < other->count; i++) {
        const struct kvs_seen_entry *entry = &other->entries[i];
        if (!entry->settled && !kvs_seen_covers(seen, &entry->node, entry->life, entry->count))
            return false;
    }
    return true;
}

bool kvs_seen_is_exact(const struct kvs_seen *seen)
{
    for (size_t i = 0; i < seen->count; i++)
        if (!seen->entries[i].settled && seen->entries[i].ahead > seen->entries[i].count)
            return false;
    return true;
}

// The entry of (node, life), made if it is missing; NULL with *ret_err = 0 if that life is settled.
static struct kvs_seen_entry *obtain(struct kvs_seen *seen, const struct kvs_uuid *node,
                                     uint32_t life, int *ret_err)
{
    *ret_err = 0;
    if (is_settled(seen, node, life))
        return NULL;
    size_t at = lower_bound(seen, node, life);
    if (at < seen->count && entry_cmp(&seen->entries[at], node, life) == 0)
        return &seen->entries[at];
    *ret_err = reserve(seen, seen->count + 1);
    if (*ret_err)
        return NULL;
    memmove(&seen->entries[at + 1], &seen->entries[at],
            (seen->count - at) * sizeof(seen->entries[0]));
    seen->entries[at] = (struct kvs_seen_entry){.node = *node, .life = life};
    seen->count++;
    return &seen->entries[at];
}

static int note(struct kvs_seen *seen, const struct kvs_uuid *node, uint32_t life, uint32_t ahead,
                int64_t newest_ms)
{
    int err = 0;
    struct kvs_seen_entry *entry = obtain(seen, node, life, &err);
    if (!entry)
        return err;
    if (ahead > entry->ahead)
        entry->ahead = ahead;
    if (newest_ms > entry->newest_ms)
        entry->newest_ms = newest_ms;
    return 0;
}

int kvs_seen_note(struct kvs_seen *seen, const struct kvs_version *version)
{
    return note(seen, &version->writer.node, kvs_dot_life(version->writer_seq),
                kvs_dot_count(version->writer_seq), version->timestamp);
}

int kvs_seen_note_all(struct kvs_seen *seen, const struct kvs_seen *other)
{
    for (size_t i = 0; i < other->count; i++) {
        const struct kvs_seen_entry *entry = &other->entries[i];
        int err = note(seen, &entry->node, entry->life, entry->ahead, entry->newest_ms);
        if (err)
            return err;
    }
    return 0;
}

int kvs_seen_advance(struct kvs_seen *seen, const struct kvs_seen_run *run)
{
    if (run->to == 0)
        return 0;
    int err = 0;
    struct kvs_seen_entry *entry = obtain(seen, &run->node, run->life, &err);
    if (!entry)
        return err;
    if (run->from <= entry->count && run->to > entry->count)
        entry->count = run->to;
    return 0;
}

static void remove_range(struct kvs_seen *seen, size_t from, size_t to)
{
    kvs_assert(from <= to);
    kvs_assert(to <= seen->count);
    memmove(&seen->entries[from], &seen->entries[to],
            (seen->count - to) * sizeof(seen->entries[0]));
    seen->count -= to - from;
}

// Lives of `node` up to `life` are complete: one settled entry stands for them.
static int settle_node(struct kvs_seen *seen, const struct kvs_uuid *node, uint32_t life)
{
    if (is_settled(seen, node, life))
        return 0;
    int err = 0;
    if (!obtain(seen, node, life, &err))
        return err;
    size_t first = lower_bound(seen, node, 0);
    size_t last = lower_bound(seen, node, life);
    int64_t newest_ms = 0;
    for (size_t i = first; i <= last; i++)
        if (seen->entries[i].newest_ms > newest_ms)
            newest_ms = seen->entries[i].newest_ms;
    remove_range(seen, first, last);
    seen->entries[first].settled = true;
    seen->entries[first].count = 0;
    seen->entries[first].ahead = 0;
    seen->entries[first].newest_ms = newest_ms;
    return 0;
}

int kvs_seen_adopt(struct kvs_seen *seen, const struct kvs_seen *other)
{
    for (size_t i = 0; i < other->count; i++) {
        const struct kvs_seen_entry *from = &other->entries[i];
        int err = 0;
        if (from->settled) {
            err = settle_node(seen, &from->node, from->life);
        } else {
            struct kvs_seen_entry *entry = obtain(seen, &from->node, from->life, &err);
            if (entry && from->count > entry->count)
                entry->count = from->count;
            if (entry && from->newest_ms > entry->newest_ms)
                entry->newest_ms = from->newest_ms;
        }
        if (err)
            return err;
    }
    return 0;
}
