// SPDX-License-Identifier: Apache-2.0
#include "repl/seen.h"

#include "base/assert.h"
#include "repl/wire.h"

#include <stdlib.h>

void kvs_seen_init(struct kvs_seen *seen)
{
    *seen = (struct kvs_seen){0};
}

void kvs_seen_done(struct kvs_seen *seen)
{
    free(seen->entries);
    free(seen->spans);
    kvs_seen_init(seen);
}

static int reserve(void **list, size_t *capacity, size_t count, size_t count_max, size_t size)
{
    if (count <= *capacity)
        return 0;
    if (count > count_max)
        return KVS_ERR_TOO_LARGE;
    size_t grown = *capacity ? *capacity * 2 : 8;
    while (grown < count)
        grown *= 2;
    void *memory = realloc(*list, grown * size);
    if (!memory)
        return KVS_ERR_NOMEM;
    *list = memory;
    *capacity = grown;
    return 0;
}

static int reserve_entries(struct kvs_seen *seen, size_t count)
{
    void *list = seen->entries;
    int err = reserve(&list, &seen->capacity, count, KVS_SEEN_ENTRIES_MAX, sizeof(*seen->entries));
    seen->entries = list;
    return err;
}

static int reserve_spans(struct kvs_seen *seen, size_t count)
{
    void *list = seen->spans;
    int err = reserve(&list, &seen->span_capacity, count, KVS_SEEN_SPANS_MAX, sizeof(*seen->spans));
    seen->spans = list;
    return err;
}

int kvs_seen_copy(struct kvs_seen *to, const struct kvs_seen *from)
{
    int err = reserve_entries(to, from->count);
    err = err ? err : reserve_spans(to, from->span_count);
    if (err)
        return err;
    if (from->count > 0)
        memcpy(to->entries, from->entries, from->count * sizeof(from->entries[0]));
    if (from->span_count > 0)
        memcpy(to->spans, from->spans, from->span_count * sizeof(from->spans[0]));
    to->count = from->count;
    to->span_count = from->span_count;
    return 0;
}

// ---- Finding

static int compare(const struct kvs_uuid *node_a, uint32_t life_a, const struct kvs_uuid *node_b,
                   uint32_t life_b)
{
    int order = kvs_uuid_cmp(node_a, node_b);
    return order != 0 ? order : (life_a > life_b) - (life_a < life_b);
}

// The first entry at or behind (node, life).
static size_t lower_bound(const struct kvs_seen *seen, const struct kvs_uuid *node, uint32_t life)
{
    size_t low = 0;
    size_t high = seen->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct kvs_seen_entry *entry = &seen->entries[middle];
        if (compare(&entry->node, entry->life, node, life) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// The first span at or behind (node, life, from).
static size_t span_bound(const struct kvs_seen *seen, const struct kvs_uuid *node, uint32_t life,
                         uint32_t from)
{
    size_t low = 0;
    size_t high = seen->span_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct kvs_seen_span *span = &seen->spans[middle];
        int order = compare(&span->node, span->life, node, life);
        if (order < 0 || (order == 0 && span->from < from))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool span_is_of(const struct kvs_seen *seen, size_t at, const struct kvs_uuid *node,
                       uint32_t life)
{
    return at < seen->span_count && seen->spans[at].life == life &&
           kvs_uuid_cmp(&seen->spans[at].node, node) == 0;
}

const struct kvs_seen_entry *kvs_seen_find(const struct kvs_seen *seen, const struct kvs_uuid *node,
                                           uint32_t life)
{
    size_t at = lower_bound(seen, node, life);
    if (at == seen->count || seen->entries[at].life != life ||
        kvs_uuid_cmp(&seen->entries[at].node, node) != 0)
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

uint32_t kvs_seen_reach(const struct kvs_seen *seen, const struct kvs_uuid *node, uint32_t life,
                        uint32_t from)
{
    const struct kvs_seen_entry *entry = kvs_seen_find(seen, node, life);
    if (!entry || entry->settled)
        return is_settled(seen, node, life) ? UINT32_MAX : from;
    if (entry->count > from)
        return entry->count;
    size_t at = span_bound(seen, node, life, from + 1); // behind all that begin at or before it
    if (at > 0 && span_is_of(seen, at - 1, node, life) && seen->spans[at - 1].to > from)
        return seen->spans[at - 1].to;
    return from;
}

uint32_t kvs_seen_last(const struct kvs_seen *seen, const struct kvs_uuid *node, uint32_t life)
{
    const struct kvs_seen_entry *entry = kvs_seen_find(seen, node, life);
    if (!entry || entry->settled)
        return 0;
    size_t at = span_bound(seen, node, life, UINT32_MAX);
    uint32_t last = entry->ahead > entry->count ? entry->ahead : entry->count;
    if (at > 0 && span_is_of(seen, at - 1, node, life) && seen->spans[at - 1].to > last)
        last = seen->spans[at - 1].to;
    return last;
}

bool kvs_seen_covers(const struct kvs_seen *seen, const struct kvs_uuid *node, uint32_t life,
                     uint32_t count)
{
    return count == 0 || kvs_seen_reach(seen, node, life, count - 1) >= count;
}

// The first dots of (from, to] that `seen` has not.
static bool is_missing(const struct kvs_seen *seen, const struct kvs_seen_span *wanted,
                       struct kvs_seen_run *ret_missing)
{
    const struct kvs_seen_entry *entry = kvs_seen_find(seen, &wanted->node, wanted->life);
    uint32_t from = kvs_seen_reach(seen, &wanted->node, wanted->life, wanted->from);
    if (from >= wanted->to)
        return false;
    if (wanted->from > 0 && entry && entry->ahead >= wanted->to)
        return false; // perhaps here; there is no room to say so
    size_t at = span_bound(seen, &wanted->node, wanted->life, from);
    bool bounded = span_is_of(seen, at, &wanted->node, wanted->life);
    uint32_t to = bounded && seen->spans[at].from < wanted->to ? seen->spans[at].from : wanted->to;
    *ret_missing = (struct kvs_seen_run){wanted->node, wanted->life, from, to};
    return true;
}

bool kvs_seen_missing(const struct kvs_seen *seen, const struct kvs_seen *other, size_t *at,
                      struct kvs_seen_run *ret_missing)
{
    for (; *at < other->count + other->span_count; ++*at) {
        struct kvs_seen_span wanted;
        if (*at < other->count) {
            const struct kvs_seen_entry *entry = &other->entries[*at];
            if (entry->settled)
                continue;
            wanted = (struct kvs_seen_span){entry->node, entry->life, 0, entry->count};
        } else {
            wanted = other->spans[*at - other->count];
        }
        if (is_missing(seen, &wanted, ret_missing)) {
            ++*at;
            return true;
        }
    }
    return false;
}

bool kvs_seen_covers_all(const struct kvs_seen *seen, const struct kvs_seen *other)
{
    size_t at = 0;
    struct kvs_seen_run missing;
    return !kvs_seen_missing(seen, other, &at, &missing);
}

bool kvs_seen_knows_settled(const struct kvs_seen *seen, const struct kvs_seen *other)
{
    for (size_t i = 0; i < other->count; i++) {
        const struct kvs_seen_entry *entry = &other->entries[i];
        if (entry->settled && !is_settled(seen, &entry->node, entry->life) &&
            !kvs_seen_find(seen, &entry->node, entry->life))
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

// ---- Changing

// The entry of (node, life), made if it is missing; NULL with *ret_err = 0 if that life is settled.
static struct kvs_seen_entry *obtain(struct kvs_seen *seen, const struct kvs_uuid *node,
                                     uint32_t life, int *ret_err)
{
    *ret_err = 0;
    if (is_settled(seen, node, life))
        return NULL;
    size_t at = lower_bound(seen, node, life);
    if (at < seen->count &&
        compare(&seen->entries[at].node, seen->entries[at].life, node, life) == 0)
        return &seen->entries[at];
    *ret_err = reserve_entries(seen, seen->count + 1);
    if (*ret_err)
        return NULL;
    memmove(&seen->entries[at + 1], &seen->entries[at],
            (seen->count - at) * sizeof(seen->entries[0]));
    seen->entries[at] = (struct kvs_seen_entry){.node = *node, .life = life};
    seen->count++;
    return &seen->entries[at];
}

static void remove_spans(struct kvs_seen *seen, size_t from, size_t to)
{
    kvs_assert(from <= to);
    kvs_assert(to <= seen->span_count);
    if (from == to)
        return;
    memmove(&seen->spans[from], &seen->spans[to], (seen->span_count - to) * sizeof(seen->spans[0]));
    seen->span_count -= to - from;
}

// A span that touches no other: if there is no room for it, the entry remembers that it is not
// listed.
static int insert_span(struct kvs_seen *seen, struct kvs_seen_entry *entry, size_t at,
                       const struct kvs_seen_span *span)
{
    size_t first = span_bound(seen, &span->node, span->life, 0);
    size_t last = span_bound(seen, &span->node, span->life, UINT32_MAX);
    bool full = last - first >= KVS_SEEN_SPANS_A_LIFE || seen->span_count >= KVS_SEEN_SPANS_MAX;
    if (full) {
        if (span->to > entry->ahead)
            entry->ahead = span->to;
        return 0;
    }
    int err = reserve_spans(seen, seen->span_count + 1);
    if (err)
        return err;
    memmove(&seen->spans[at + 1], &seen->spans[at],
            (seen->span_count - at) * sizeof(seen->spans[0]));
    seen->spans[at] = *span;
    seen->span_count++;
    return 0;
}

// Dots (from, to] of the entry.
static int add(struct kvs_seen *seen, struct kvs_seen_entry *entry, uint32_t from, uint32_t to)
{
    if (to <= from || to <= entry->count)
        return 0;
    struct kvs_seen_span span = {entry->node, entry->life, from, to};
    // What it touches becomes one with it.
    size_t first = span_bound(seen, &span.node, span.life, from);
    if (first > 0 && span_is_of(seen, first - 1, &span.node, span.life) &&
        seen->spans[first - 1].to >= from)
        first--;
    size_t last = first;
    for (; span_is_of(seen, last, &span.node, span.life) && seen->spans[last].from <= to; last++) {
        if (seen->spans[last].from < span.from)
            span.from = seen->spans[last].from;
        if (seen->spans[last].to > span.to)
            span.to = seen->spans[last].to;
    }
    if (span.from <= entry->count) {
        entry->count = span.to;
        remove_spans(seen, first, last);
        return 0;
    }
    if (last == first)
        return insert_span(seen, entry, first, &span);
    seen->spans[first] = span;
    remove_spans(seen, first + 1, last);
    return 0;
}

int kvs_seen_note(struct kvs_seen *seen, const struct kvs_version *version)
{
    int err = 0;
    uint32_t count = kvs_dot_count(version->writer_seq);
    struct kvs_seen_entry *entry =
        obtain(seen, &version->writer.node, kvs_dot_life(version->writer_seq), &err);
    if (!entry)
        return err;
    if (version->timestamp > entry->newest_ms)
        entry->newest_ms = version->timestamp;
    return count > 0 ? add(seen, entry, count - 1, count) : 0;
}

int kvs_seen_advance(struct kvs_seen *seen, const struct kvs_seen_run *run)
{
    if (run->to == 0)
        return 0;
    int err = 0;
    struct kvs_seen_entry *entry = obtain(seen, &run->node, run->life, &err);
    return entry ? add(seen, entry, run->from, run->to) : err;
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
    memmove(&seen->entries[first], &seen->entries[last],
            (seen->count - last) * sizeof(seen->entries[0]));
    seen->count -= last - first;
    seen->entries[first] = (struct kvs_seen_entry){
        .node = *node, .life = life, .settled = true, .newest_ms = newest_ms};
    remove_spans(seen, span_bound(seen, node, 0, 0), span_bound(seen, node, life, UINT32_MAX));
    return 0;
}

int kvs_seen_adopt(struct kvs_seen *seen, const struct kvs_seen *other)
{
    int err = 0;
    for (size_t i = 0; i < other->count && !err; i++) {
        const struct kvs_seen_entry *from = &other->entries[i];
        if (from->settled) {
            err = settle_node(seen, &from->node, from->life);
            continue;
        }
        struct kvs_seen_entry *entry = obtain(seen, &from->node, from->life, &err);
        if (!entry)
            continue;
        if (from->newest_ms > entry->newest_ms)
            entry->newest_ms = from->newest_ms;
        if (from->ahead > entry->ahead)
            entry->ahead = from->ahead;
        err = add(seen, entry, 0, from->count);
    }
    for (size_t i = 0; i < other->span_count && !err; i++) {
        const struct kvs_seen_span *span = &other->spans[i];
        struct kvs_seen_entry *entry = obtain(seen, &span->node, span->life, &err);
        if (entry)
            err = add(seen, entry, span->from, span->to);
    }
    return err;
}

// ---- Keeping it

enum { SEEN_FORMAT = 1, SEEN_ARENA_MAX = 4 << 20 };

void kvs_seen_encode(const struct kvs_seen *seen, struct kvs_buf *out)
{
    wire_put_u8(out, SEEN_FORMAT);
    wire_put_seen(out, seen);
}

int kvs_seen_decode(struct kvs_slice bytes, struct kvs_seen *ret_seen)
{
    struct kvs_arena arena;
    kvs_arena_init(&arena, SEEN_ARENA_MAX);
    const uint8_t *data = (const uint8_t *)bytes.data;
    struct wire_reader in = {data, data + bytes.size, &arena, 0};
    uint8_t format = wire_get_u8(&in);
    struct kvs_seen borrowed = wire_get_seen(&in);
    kvs_seen_init(ret_seen);
    int err = in.err == KVS_ERR_NOMEM ? in.err : 0;
    if (!in.err && format != SEEN_FORMAT)
        err = KVS_ERR_VERSION;
    else if (!err && (in.err || in.at != in.end))
        err = KVS_ERR_CORRUPT;
    err = err ? err : kvs_seen_copy(ret_seen, &borrowed);
    kvs_arena_done(&arena);
    return err;
}
