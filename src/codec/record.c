// SPDX-License-Identifier: Apache-2.0
// Encoding and decoding of stored versions; see record.h for the layout. Pure.
//
// Decoding trusts nothing: the checksum is looked at before anything else, so a damaged entry is
// KVS_ERR_CORRUPT whichever field was hit. For that to hold across formats, every format keeps
// `format | flags | checksum` as the first six bytes and computes the checksum in the same way.
#include "codec/record.h"

#define XXH_STATIC_LINKING_ONLY // the streaming state lives on the stack
#include <xxhash.h>

#include "base/assert.h"
#include "codec/wire.h"

enum {
    HEAD_SIZE = 2,     // format, flags
    CHECKSUM_SIZE = 4, // u32le
    FLAGS_KNOWN = KVS_VERSION_TOMBSTONE | KVS_VERSION_STUB | KVS_VERSION_CONFLICT_LOSER,
};

// ---- Keys

void kvs_record_prefix(struct kvs_buf *out, struct kvs_slice key)
{
    kvs_buf_append_slice(out, key);
    kvs_buf_append_char(out, '\0');
}

void kvs_record_encode_key(struct kvs_buf *out, struct kvs_slice key,
                           const struct kvs_version *version)
{
    kvs_assert(version->timestamp >= 0);
    kvs_assert(version->writer.joined_timestamp >= 0);
    char *at = kvs_buf_reserve(out, key.size + KVS_RECORD_SUFFIX_SIZE);
    if (!at)
        return;
    if (key.size > 0)
        memcpy(at, key.data, key.size);
    at += key.size;
    *at++ = '\0';
    at = kvs_wire_encode_u64be(at, ~(uint64_t)version->timestamp);
    at = kvs_wire_encode_u64be(at, (uint64_t)version->writer.joined_timestamp);
    memcpy(at, version->uuid.bytes, sizeof(version->uuid.bytes));
    out->size += key.size + KVS_RECORD_SUFFIX_SIZE;
}

bool kvs_record_split_key(struct kvs_slice entry_key, struct kvs_slice *ret_key)
{
    if (entry_key.size <= KVS_RECORD_SUFFIX_SIZE)
        return false;
    // The first NUL must be the separator: a key that holds one would end early for the engine's
    // prefix filters.
    size_t key_size = entry_key.size - KVS_RECORD_SUFFIX_SIZE;
    if (memchr(entry_key.data, '\0', key_size + 1) != entry_key.data + key_size)
        return false;
    *ret_key = kvs_slice(entry_key.data, key_size);
    return true;
}

bool kvs_record_decode_key(struct kvs_slice entry_key, struct kvs_version *ret_version)
{
    struct kvs_slice key;
    if (!kvs_record_split_key(entry_key, &key))
        return false;
    struct kvs_cursor suffix =
        kvs_cursor(kvs_slice(key.data + key.size + 1, KVS_RECORD_SUFFIX_SIZE - 1));
    uint64_t timestamp = ~kvs_wire_get_u64be(&suffix);
    uint64_t joined_timestamp = kvs_wire_get_u64be(&suffix);
    *ret_version = (struct kvs_version){.uuid = kvs_wire_get_uuid(&suffix)};
    if (timestamp > INT64_MAX || joined_timestamp > INT64_MAX)
        return false;
    ret_version->timestamp = (int64_t)timestamp;
    ret_version->writer.joined_timestamp = (int64_t)joined_timestamp;
    return true;
}

// ---- Values

static uint32_t checksum(struct kvs_slice entry_key, struct kvs_slice head, struct kvs_slice body)
{
    XXH3_state_t state;
    // None of these fails: they only refuse NULL, and that not even with a size of 0.
    (void)XXH3_64bits_reset(&state);
    (void)XXH3_64bits_update(&state, entry_key.data, entry_key.size);
    (void)XXH3_64bits_update(&state, head.data, head.size);
    (void)XXH3_64bits_update(&state, body.data, body.size);
    return (uint32_t)XXH3_64bits_digest(&state);
}

void kvs_record_encode_value(struct kvs_buf *out, struct kvs_slice entry_key,
                             const struct kvs_version *version, uint32_t writer_id,
                             struct kvs_slice json)
{
    kvs_assert(version->expires_at >= 0);
    kvs_assert((version->flags & ~FLAGS_KNOWN) == 0);
    enum { PREFIX_MAX = HEAD_SIZE + CHECKSUM_SIZE + 3 * KVS_UVARINT_SIZE_MAX };
    if (json.size > SIZE_MAX - PREFIX_MAX) {
        out->err = KVS_ERR_TOO_LARGE;
        return;
    }
    char *start = kvs_buf_reserve(out, PREFIX_MAX + json.size);
    if (!start)
        return;
    start[0] = KVS_RECORD_FORMAT;
    start[1] = (char)version->flags;
    char *body = start + HEAD_SIZE + CHECKSUM_SIZE;
    char *at = kvs_wire_encode_uvarint(body, writer_id);
    at = kvs_wire_encode_uvarint(at, version->writer_seq);
    at = kvs_wire_encode_uvarint(at, (uint64_t)version->expires_at);
    if (json.size > 0)
        memcpy(at, json.data, json.size);
    at += json.size;
    kvs_wire_set_u32le(start + HEAD_SIZE, checksum(entry_key, kvs_slice(start, HEAD_SIZE),
                                                   kvs_slice(body, (size_t)(at - body))));
    out->size += (size_t)(at - start);
}

static int decode_value(struct kvs_slice entry_key, struct kvs_slice value,
                        struct kvs_record_view *view)
{
    if (value.size < HEAD_SIZE + CHECKSUM_SIZE)
        return KVS_ERR_CORRUPT;
    const char *body = value.data + HEAD_SIZE + CHECKSUM_SIZE;
    const char *end = value.data + value.size;
    uint32_t expected = checksum(entry_key, kvs_slice(value.data, HEAD_SIZE),
                                 kvs_slice(body, (size_t)(end - body)));
    if (kvs_wire_u32le_at(value.data + HEAD_SIZE) != expected)
        return KVS_ERR_CORRUPT;
    uint8_t format = (uint8_t)value.data[0];
    if (format > KVS_RECORD_FORMAT)
        return KVS_ERR_VERSION;
    uint8_t flags = (uint8_t)value.data[1];
    if (format != KVS_RECORD_FORMAT || (flags & ~FLAGS_KNOWN) != 0)
        return KVS_ERR_CORRUPT;
    struct kvs_cursor cursor = kvs_cursor(kvs_slice(body, (size_t)(end - body)));
    view->writer_id = (uint32_t)kvs_wire_get_uvarint(&cursor, UINT32_MAX);
    view->version.writer_seq = kvs_wire_get_uvarint(&cursor, UINT64_MAX);
    view->version.expires_at = (int64_t)kvs_wire_get_uvarint(&cursor, INT64_MAX);
    view->version.flags = flags;
    view->json = kvs_wire_get_rest(&cursor);
    return cursor.bad ? KVS_ERR_CORRUPT : 0;
}

int kvs_record_decode(struct kvs_slice entry_key, struct kvs_slice entry_value,
                      struct kvs_record_view *ret_view)
{
    struct kvs_record_view view = {0};
    if (!kvs_record_split_key(entry_key, &view.key) ||
        !kvs_record_decode_key(entry_key, &view.version))
        return KVS_ERR_CORRUPT;
    int err = decode_value(entry_key, entry_value, &view);
    if (err)
        return err;
    *ret_view = view;
    return 0;
}
