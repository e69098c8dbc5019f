// SPDX-License-Identifier: Apache-2.0
// Reading and writing of binary fields: big-endian integers (their bytes sort like their values),
// uvarints and length-prefixed bytes. Pure. Reading goes through one bounds-checked cursor whose
// error sticks: decoders read straight through and look at `bad` once, at the end.
#ifndef KVS_CODEC_WIRE_H
#define KVS_CODEC_WIRE_H

#include "base/buf.h"
#include "base/uuid.h"

enum { KVS_UVARINT_SIZE_MAX = 10 };

// The bare encoders, for callers that have made room: write at `at`, return what follows.
static inline char *kvs_wire_encode_u64be(char *at, uint64_t value)
{
    for (int shift = 56; shift >= 0; shift -= 8)
        *at++ = (char)(uint8_t)(value >> shift);
    return at;
}

static inline char *kvs_wire_encode_uvarint(char *at, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *at++ = (char)(uint8_t)(value | 0x80);
    *at++ = (char)(uint8_t)value;
    return at;
}

// A number whose place is filled in when what it covers is known: a checksum, a size.
static inline void kvs_wire_set_u32le(char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (char)(uint8_t)(value >> (8 * i));
}

static inline uint32_t kvs_wire_u32le_at(const char *at)
{
    uint32_t value = 0;
    for (int i = 3; i >= 0; i--)
        value = value << 8 | (uint8_t)at[i];
    return value;
}

void kvs_wire_put_u8(struct kvs_buf *out, uint8_t value);
void kvs_wire_put_u32be(struct kvs_buf *out, uint32_t value);
void kvs_wire_put_u64be(struct kvs_buf *out, uint64_t value);
// Seven bits a byte, least significant first; the high bit says that more follow.
void kvs_wire_put_uvarint(struct kvs_buf *out, uint64_t value);
void kvs_wire_put_uuid(struct kvs_buf *out, const struct kvs_uuid *uuid);
// uvarint length, then the bytes.
void kvs_wire_put_bytes(struct kvs_buf *out, struct kvs_slice bytes);

struct kvs_cursor {
    const char *at;
    const char *end;
    bool bad; // something was missing or malformed; every later read yields zero
};

static inline struct kvs_cursor kvs_cursor(struct kvs_slice source)
{
    return (struct kvs_cursor){source.data, source.data + source.size, false};
}

uint8_t kvs_wire_get_u8(struct kvs_cursor *cursor);
uint32_t kvs_wire_get_u32be(struct kvs_cursor *cursor);
uint64_t kvs_wire_get_u64be(struct kvs_cursor *cursor);
// Only the shortest form counts, and only values up to `value_max`.
uint64_t kvs_wire_get_uvarint(struct kvs_cursor *cursor, uint64_t value_max);
struct kvs_uuid kvs_wire_get_uuid(struct kvs_cursor *cursor);
// Both borrow from the source.
struct kvs_slice kvs_wire_get_bytes(struct kvs_cursor *cursor, size_t size_max);
struct kvs_slice kvs_wire_get_rest(struct kvs_cursor *cursor);

// Everything read, nothing left over, nothing bad.
static inline bool kvs_cursor_finished(const struct kvs_cursor *cursor)
{
    return !cursor->bad && cursor->at == cursor->end;
}

#endif
