// SPDX-License-Identifier: Apache-2.0
#include "codec/index.h"

#include "base/assert.h"
#include "codec/record.h"

enum { FORMAT = 1, STATE_FORMAT = 3, TIME_SIZE = 8 };

#define SYSTEM_BIT (UINT64_C(1) << 63) // of a BY_TIME entry's time

// A first byte that says how the rest is to be read.
static int check_format(struct kvs_cursor *cursor)
{
    uint8_t format = kvs_wire_get_u8(cursor);
    if (cursor->bad || format == 0)
        return KVS_ERR_CORRUPT;
    return format > FORMAT ? KVS_ERR_VERSION : 0;
}

static int finish(const struct kvs_cursor *cursor)
{
    return kvs_cursor_finished(cursor) ? 0 : KVS_ERR_CORRUPT;
}

void kvs_change_encode_key(struct kvs_buf *out, uint64_t seq)
{
    kvs_wire_put_u64be(out, seq);
}

void kvs_change_encode_value(struct kvs_buf *out, const struct kvs_change *change)
{
    kvs_assert(change->timestamp >= 0);
    kvs_wire_put_u8(out, FORMAT);
    kvs_wire_put_u8(out, change->flags);
    kvs_wire_put_uvarint(out, (uint64_t)change->timestamp);
    kvs_wire_put_uuid(out, &change->uuid);
    kvs_wire_put_uvarint(out, change->writer_id);
    kvs_wire_put_uvarint(out, change->writer_seq);
    kvs_buf_append_slice(out, change->key);
}

int kvs_change_decode(struct kvs_slice entry_key, struct kvs_slice entry_value,
                      struct kvs_change *ret_change)
{
    struct kvs_change change = {0};
    struct kvs_cursor key = kvs_cursor(entry_key);
    change.seq = kvs_wire_get_u64be(&key);
    struct kvs_cursor value = kvs_cursor(entry_value);
    int err = check_format(&value);
    if (err)
        return err;
    change.flags = kvs_wire_get_u8(&value);
    change.timestamp = (int64_t)kvs_wire_get_uvarint(&value, INT64_MAX);
    change.uuid = kvs_wire_get_uuid(&value);
    change.writer_id = (uint32_t)kvs_wire_get_uvarint(&value, UINT32_MAX);
    change.writer_seq = kvs_wire_get_uvarint(&value, UINT64_MAX);
    change.key = kvs_wire_get_rest(&value);
    if (!kvs_cursor_finished(&key) || value.bad || change.key.size == 0)
        return KVS_ERR_CORRUPT;
    *ret_change = change;
    return 0;
}

void kvs_due_key_encode(struct kvs_buf *out, int64_t due_ms, struct kvs_slice key)
{
    kvs_assert(due_ms >= 0);
    kvs_wire_put_u64be(out, (uint64_t)due_ms);
    kvs_buf_append_slice(out, key);
}

void kvs_by_time_key_encode(struct kvs_buf *out, int64_t timestamp, struct kvs_slice key)
{
    kvs_assert(timestamp >= 0);
    kvs_wire_put_u64be(out, (uint64_t)timestamp | (kvs_key_is_system(key) ? SYSTEM_BIT : 0));
    kvs_buf_append_slice(out, key);
}

bool kvs_time_key_decode(struct kvs_slice entry_key, int64_t *ret_time_ms,
                         struct kvs_slice *ret_key)
{
    struct kvs_cursor cursor = kvs_cursor(entry_key);
    uint64_t time_ms = kvs_wire_get_u64be(&cursor);
    struct kvs_slice key = kvs_wire_get_rest(&cursor);
    if (kvs_key_is_system(key))
        time_ms &= ~SYSTEM_BIT;
    if (cursor.bad || key.size == 0 || time_ms > INT64_MAX)
        return false;
    *ret_time_ms = (int64_t)time_ms;
    *ret_key = key;
    return true;
}

void kvs_writer_encode(struct kvs_buf *out, const struct kvs_writer *writer)
{
    kvs_wire_put_uuid(out, &writer->node);
    kvs_wire_put_u64be(out, (uint64_t)writer->joined_timestamp);
}

static struct kvs_writer get_writer(struct kvs_cursor *cursor)
{
    struct kvs_writer writer;
    writer.node = kvs_wire_get_uuid(cursor);
    writer.joined_timestamp = (int64_t)kvs_wire_get_u64be(cursor);
    if (writer.joined_timestamp < 0)
        cursor->bad = true;
    return writer;
}

int kvs_writer_decode(struct kvs_slice value, struct kvs_writer *ret_writer)
{
    struct kvs_cursor cursor = kvs_cursor(value);
    *ret_writer = get_writer(&cursor);
    return finish(&cursor);
}

void kvs_identity_encode(struct kvs_buf *out, const struct kvs_identity *identity)
{
    kvs_wire_put_u8(out, FORMAT);
    kvs_writer_encode(out, &identity->self);
    kvs_wire_put_u64be(out, identity->incarnation);
}

int kvs_identity_decode(struct kvs_slice value, struct kvs_identity *ret_identity)
{
    struct kvs_cursor cursor = kvs_cursor(value);
    int err = check_format(&cursor);
    if (err)
        return err;
    ret_identity->self = get_writer(&cursor);
    ret_identity->incarnation = kvs_wire_get_u64be(&cursor);
    return finish(&cursor);
}

void kvs_commit_state_encode(struct kvs_buf *out, const struct kvs_commit_state *state)
{
    kvs_wire_put_u8(out, STATE_FORMAT);
    kvs_wire_put_u64be(out, state->log_seq);
    kvs_wire_put_u64be(out, state->writer_seq);
    kvs_wire_put_u64be(out, (uint64_t)state->clock);
    kvs_wire_put_u64be(out, (uint64_t)state->clock_floor);
    kvs_wire_put_u64be(out, (uint64_t)state->newest);
    kvs_wire_put_u64be(out, (uint64_t)state->removed);
}

int kvs_commit_state_decode(struct kvs_slice value, struct kvs_commit_state *ret_state)
{
    struct kvs_cursor cursor = kvs_cursor(value);
    uint8_t format = kvs_wire_get_u8(&cursor);
    if (cursor.bad || format == 0)
        return KVS_ERR_CORRUPT;
    if (format > STATE_FORMAT)
        return KVS_ERR_VERSION;
    ret_state->log_seq = kvs_wire_get_u64be(&cursor);
    ret_state->writer_seq = kvs_wire_get_u64be(&cursor);
    uint64_t clock = kvs_wire_get_u64be(&cursor);
    uint64_t clock_floor = format >= 2 ? kvs_wire_get_u64be(&cursor) : 0;
    ret_state->clock = (int64_t)clock;
    ret_state->clock_floor = (int64_t)clock_floor;
    uint64_t newest = format >= 2 ? kvs_wire_get_u64be(&cursor) : clock;
    ret_state->newest = (int64_t)newest;
    uint64_t removed = format >= 3 ? kvs_wire_get_u64be(&cursor) : INT64_MAX;
    ret_state->removed = (int64_t)removed;
    bool sane = clock <= INT64_MAX && clock_floor <= INT64_MAX && newest <= INT64_MAX &&
                removed <= INT64_MAX;
    return sane ? finish(&cursor) : KVS_ERR_CORRUPT;
}
