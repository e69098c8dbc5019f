// SPDX-License-Identifier: Apache-2.0
#include "repl/wire.h"

static void fail(struct wire_reader *in, int err)
{
    if (!in->err)
        in->err = err;
    in->at = in->end;
}

void wire_put_u8(struct kvs_buf *out, uint8_t value)
{
    kvs_buf_append(out, &value, 1);
}

void wire_put_uint(struct kvs_buf *out, uint64_t value)
{
    uint8_t bytes[10];
    size_t size = 0;
    for (; value >= 0x80; value >>= 7)
        bytes[size++] = (uint8_t)(value | 0x80);
    bytes[size++] = (uint8_t)value;
    kvs_buf_append(out, bytes, size);
}

void wire_put_int(struct kvs_buf *out, int64_t value)
{
    wire_put_uint(out, (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0));
}

void wire_put_bytes(struct kvs_buf *out, struct kvs_slice bytes)
{
    wire_put_uint(out, bytes.size);
    kvs_buf_append_slice(out, bytes);
}

void wire_put_uuid(struct kvs_buf *out, const struct kvs_uuid *uuid)
{
    kvs_buf_append(out, uuid->bytes, sizeof(uuid->bytes));
}

// A node's UUID is written once for all its lives; behind each life its spans, as gap and length.
void wire_put_seen(struct kvs_buf *out, const struct kvs_seen *seen)
{
    size_t span = 0;
    wire_put_uint(out, seen->count);
    for (size_t i = 0; i < seen->count; i++) {
        const struct kvs_seen_entry *entry = &seen->entries[i];
        bool same = i > 0 && kvs_uuid_cmp(&entry->node, &entry[-1].node) == 0;
        size_t end = span;
        while (end < seen->span_count && seen->spans[end].life == entry->life &&
               kvs_uuid_cmp(&seen->spans[end].node, &entry->node) == 0)
            end++;
        wire_put_u8(out, (uint8_t)(entry->settled | same << 1 | (end > span) << 2));
        if (!same)
            wire_put_uuid(out, &entry->node);
        wire_put_uint(out, entry->life);
        wire_put_uint(out, entry->count);
        wire_put_uint(out, entry->ahead);
        wire_put_int(out, entry->newest_ms);
        if (end > span)
            wire_put_uint(out, end - span);
        for (uint32_t at = entry->count; span < end; span++) {
            wire_put_uint(out, seen->spans[span].from - at);
            wire_put_uint(out, seen->spans[span].to - seen->spans[span].from);
            at = seen->spans[span].to;
        }
    }
}

void wire_put_member(struct kvs_buf *out, const struct kvs_member_record *member)
{
    wire_put_u8(out, member->state);
    wire_put_uuid(out, &member->node);
    wire_put_bytes(out, member->name);
    wire_put_bytes(out, member->address);
    wire_put_int(out, member->joined_timestamp);
    wire_put_uint(out, member->incarnation);
    wire_put_uint(out, member->life);
    if (member->state == KVS_MEMBER_SUSPECT || member->state == KVS_MEMBER_DEAD)
        wire_put_uuid(out, &member->accuser);
}

void wire_put_cluster(struct kvs_buf *out, const struct kvs_cluster_id *cluster)
{
    wire_put_uuid(out, &cluster->id);
    wire_put_int(out, cluster->created_ms);
    wire_put_u8(out, cluster->established);
}

uint8_t wire_get_u8(struct wire_reader *in)
{
    if (in->at == in->end) {
        fail(in, KVS_ERR_SYNTAX);
        return 0;
    }
    return *in->at++;
}

bool wire_get_bool(struct wire_reader *in)
{
    uint8_t value = wire_get_u8(in);
    if (value > 1)
        fail(in, KVS_ERR_SYNTAX);
    return value == 1;
}

uint64_t wire_get_uint(struct wire_reader *in)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = wire_get_u8(in);
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            return in->err ? 0 : value;
    }
    fail(in, KVS_ERR_SYNTAX);
    return 0;
}

uint32_t wire_get_u32(struct wire_reader *in)
{
    uint64_t value = wire_get_uint(in);
    if (value > UINT32_MAX) {
        fail(in, KVS_ERR_SYNTAX);
        return 0;
    }
    return (uint32_t)value;
}

int64_t wire_get_int(struct wire_reader *in)
{
    uint64_t value = wire_get_uint(in);
    return (int64_t)(value >> 1 ^ (0 - (value & 1)));
}

int64_t wire_get_time(struct wire_reader *in)
{
    int64_t time_ms = wire_get_int(in);
    if (time_ms < -(INT64_C(1) << 60) || time_ms > INT64_C(1) << 60) {
        fail(in, KVS_ERR_SYNTAX);
        return 0;
    }
    return time_ms;
}

struct kvs_slice wire_get_bytes(struct wire_reader *in, size_t size_max)
{
    uint64_t size = wire_get_uint(in);
    if (size > size_max || size > (size_t)(in->end - in->at)) {
        fail(in, KVS_ERR_SYNTAX);
        return KVS_SLICE_EMPTY;
    }
    struct kvs_slice bytes = kvs_slice(in->at, (size_t)size);
    in->at += size;
    return bytes;
}

struct kvs_uuid wire_get_uuid(struct wire_reader *in)
{
    struct kvs_uuid uuid = {{0}};
    if ((size_t)(in->end - in->at) < sizeof(uuid.bytes)) {
        fail(in, KVS_ERR_SYNTAX);
        return uuid;
    }
    memcpy(uuid.bytes, in->at, sizeof(uuid.bytes));
    in->at += sizeof(uuid.bytes);
    return uuid;
}

// Gap and length are at least 1: spans touch neither each other nor the entry's count.
static uint32_t get_step(struct wire_reader *in, uint32_t from)
{
    uint32_t step = wire_get_u32(in);
    if (step == 0 || step > UINT32_MAX - from) {
        fail(in, KVS_ERR_SYNTAX);
        return from;
    }
    return from + step;
}

// Grows the list in the arena: how many there are is known at the end.
static void get_spans(struct wire_reader *in, const struct kvs_seen_entry *entry,
                      struct kvs_seen *seen)
{
    size_t count = wire_get_count(in, 2);
    if (count == 0 || entry->settled || count > KVS_SEEN_SPANS_MAX - seen->span_count) {
        fail(in, KVS_ERR_SYNTAX);
        return;
    }
    if (seen->span_count + count > seen->span_capacity) {
        size_t capacity = 2 * (seen->span_count + count);
        struct kvs_seen_span *spans = wire_alloc(in, capacity, sizeof(*spans));
        if (!spans)
            return;
        if (seen->span_count > 0)
            memcpy(spans, seen->spans, seen->span_count * sizeof(*spans));
        seen->spans = spans;
        seen->span_capacity = capacity;
    }
    uint32_t at = entry->count;
    for (size_t i = 0; i < count; i++) {
        struct kvs_seen_span *span = &seen->spans[seen->span_count++];
        *span = (struct kvs_seen_span){.node = entry->node, .life = entry->life};
        span->from = get_step(in, at);
        span->to = at = get_step(in, span->from);
    }
}

static void get_entry(struct wire_reader *in, size_t index, struct kvs_seen *seen)
{
    struct kvs_seen_entry *entry = &seen->entries[index];
    uint8_t bits = wire_get_u8(in);
    if (bits > 7 || ((bits & 2) && index == 0)) {
        fail(in, KVS_ERR_SYNTAX);
        return;
    }
    entry->settled = bits & 1;
    entry->node = bits & 2 ? entry[-1].node : wire_get_uuid(in);
    entry->life = wire_get_u32(in);
    entry->count = wire_get_u32(in);
    entry->ahead = wire_get_u32(in);
    entry->newest_ms = wire_get_int(in);
    if (index > 0) { // lookups rely on the order
        int order = kvs_uuid_cmp(&entry->node, &entry[-1].node);
        if (order < 0 || (order == 0 && (entry->life <= entry[-1].life || entry->settled)))
            fail(in, KVS_ERR_SYNTAX);
    }
    if (bits & 4)
        get_spans(in, entry, seen);
}

struct kvs_seen wire_get_seen(struct wire_reader *in)
{
    size_t count = wire_get_count(in, 5);
    struct kvs_seen seen = {.entries = wire_alloc(in, count, sizeof(struct kvs_seen_entry))};
    if (!seen.entries)
        return seen;
    for (size_t i = 0; i < count && !in->err; i++)
        get_entry(in, i, &seen);
    seen.count = count;
    seen.capacity = count;
    return in->err ? (struct kvs_seen){0} : seen;
}

struct kvs_member_record wire_get_member(struct wire_reader *in)
{
    struct kvs_member_record member = {.state = wire_get_u8(in)};
    if (member.state > KVS_MEMBER_REMOVED)
        fail(in, KVS_ERR_SYNTAX);
    member.node = wire_get_uuid(in);
    member.name = wire_get_bytes(in, KVS_REPL_NAME_MAX);
    member.address = wire_get_bytes(in, KVS_REPL_ADDRESS_MAX);
    member.joined_timestamp = wire_get_int(in);
    member.incarnation = wire_get_u32(in);
    member.life = wire_get_u32(in);
    if (member.state == KVS_MEMBER_SUSPECT || member.state == KVS_MEMBER_DEAD)
        member.accuser = wire_get_uuid(in);
    return member;
}

struct kvs_cluster_id wire_get_cluster(struct wire_reader *in)
{
    struct kvs_cluster_id cluster = {.id = wire_get_uuid(in)};
    cluster.created_ms = wire_get_int(in);
    cluster.established = wire_get_bool(in);
    return cluster;
}

size_t wire_get_count(struct wire_reader *in, size_t element_min)
{
    uint64_t count = wire_get_uint(in);
    if (count > KVS_MESSAGE_LIST_MAX || count * element_min > (size_t)(in->end - in->at)) {
        fail(in, KVS_ERR_SYNTAX);
        return 0;
    }
    return (size_t)count;
}

void *wire_alloc(struct wire_reader *in, size_t count, size_t element_size)
{
    if (in->err || count == 0)
        return NULL;
    void *memory = kvs_arena_alloc(in->arena, count * element_size);
    if (!memory) {
        fail(in, KVS_ERR_NOMEM);
        return NULL;
    }
    memset(memory, 0, count * element_size);
    return memory;
}
