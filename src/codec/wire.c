// SPDX-License-Identifier: Apache-2.0
#include "codec/wire.h"

void kvs_wire_put_u8(struct kvs_buf *out, uint8_t value)
{
    kvs_buf_append(out, &value, 1);
}

void kvs_wire_put_u32be(struct kvs_buf *out, uint32_t value)
{
    const char bytes[4] = {(char)(uint8_t)(value >> 24), (char)(uint8_t)(value >> 16),
                           (char)(uint8_t)(value >> 8), (char)(uint8_t)value};
    kvs_buf_append(out, bytes, sizeof(bytes));
}

void kvs_wire_put_u64be(struct kvs_buf *out, uint64_t value)
{
    char bytes[8];
    (void)kvs_wire_encode_u64be(bytes, value); // all eight
    kvs_buf_append(out, bytes, sizeof(bytes));
}

void kvs_wire_put_uvarint(struct kvs_buf *out, uint64_t value)
{
    char bytes[KVS_UVARINT_SIZE_MAX];
    kvs_buf_append(out, bytes, (size_t)(kvs_wire_encode_uvarint(bytes, value) - bytes));
}

void kvs_wire_put_uuid(struct kvs_buf *out, const struct kvs_uuid *uuid)
{
    kvs_buf_append(out, uuid->bytes, sizeof(uuid->bytes));
}

void kvs_wire_put_bytes(struct kvs_buf *out, struct kvs_slice bytes)
{
    kvs_wire_put_uvarint(out, bytes.size);
    kvs_buf_append_slice(out, bytes);
}

// The next `size` bytes, or NULL and `bad`.
static const char *take(struct kvs_cursor *cursor, size_t size)
{
    if (cursor->bad || (size_t)(cursor->end - cursor->at) < size) {
        cursor->bad = true;
        return NULL;
    }
    const char *bytes = cursor->at;
    cursor->at += size;
    return bytes;
}

static uint64_t get_be(struct kvs_cursor *cursor, size_t size)
{
    const char *bytes = take(cursor, size);
    uint64_t value = 0;
    for (size_t i = 0; bytes && i < size; i++)
        value = value << 8 | (uint8_t)bytes[i];
    return value;
}

uint8_t kvs_wire_get_u8(struct kvs_cursor *cursor)
{
    return (uint8_t)get_be(cursor, 1);
}

uint32_t kvs_wire_get_u32be(struct kvs_cursor *cursor)
{
    return (uint32_t)get_be(cursor, 4);
}

uint64_t kvs_wire_get_u64be(struct kvs_cursor *cursor)
{
    return get_be(cursor, 8);
}

uint64_t kvs_wire_get_uvarint(struct kvs_cursor *cursor, uint64_t value_max)
{
    uint64_t value = 0;
    for (int shift = 0; !cursor->bad && cursor->at < cursor->end && shift < 64; shift += 7) {
        uint64_t byte = (uint8_t)*cursor->at++;
        uint64_t bits = byte & 0x7F;
        if (bits << shift >> shift != bits || (byte == 0 && shift > 0))
            break;
        value |= bits << shift;
        if (byte < 0x80) {
            cursor->bad = value > value_max;
            return cursor->bad ? 0 : value;
        }
    }
    cursor->bad = true;
    return 0;
}

struct kvs_uuid kvs_wire_get_uuid(struct kvs_cursor *cursor)
{
    struct kvs_uuid uuid = {{0}};
    const char *bytes = take(cursor, sizeof(uuid.bytes));
    if (bytes)
        memcpy(uuid.bytes, bytes, sizeof(uuid.bytes));
    return uuid;
}

struct kvs_slice kvs_wire_get_bytes(struct kvs_cursor *cursor, size_t size_max)
{
    size_t size = kvs_wire_get_uvarint(cursor, size_max);
    const char *bytes = take(cursor, size);
    return bytes ? kvs_slice(bytes, size) : KVS_SLICE_EMPTY;
}

struct kvs_slice kvs_wire_get_rest(struct kvs_cursor *cursor)
{
    if (cursor->bad)
        return KVS_SLICE_EMPTY;
    struct kvs_slice rest = kvs_slice(cursor->at, (size_t)(cursor->end - cursor->at));
    cursor->at = cursor->end;
    return rest;
}
