// SPDX-License-Identifier: Apache-2.0
#include "codec/frames.h"

#include "base/assert.h"
#include "codec/wire.h"

#include <zstd.h>

enum {
    COMPRESS_MIN = 1024, // below that a packet is a packet
    KEEP_MAX = 1 << 20,  // larger buffers are given back
    HEAD_SIZE = 2,
    SIZE_SIZE = 4,
};

enum encoding { PLAIN, ZSTD };

struct kvs_frames_packer {
    ZSTD_CCtx *context; // NULL: never compress
    struct kvs_buf payload;
};

struct kvs_frames_unpacker {
    ZSTD_DCtx *context;
    struct kvs_buf payload;
};

static void recycle(struct kvs_buf *buf)
{
    if (buf->capacity > KEEP_MAX)
        kvs_buf_done(buf);
    else
        kvs_buf_clear(buf);
}

// ---- Packing

int kvs_frames_packer_new(int level, struct kvs_frames_packer **ret_packer)
{
    KVS_CLEANUP(kvs_frames_packer_freep)
    struct kvs_frames_packer *packer = calloc(1, sizeof(*packer));
    if (!packer)
        return KVS_ERR_NOMEM;
    kvs_buf_init(&packer->payload, KVS_FRAMES_PAYLOAD_MAX);
    if (level != 0) {
        packer->context = ZSTD_createCCtx();
        if (!packer->context)
            return KVS_ERR_NOMEM;
        size_t set = ZSTD_CCtx_setParameter(packer->context, ZSTD_c_compressionLevel, level);
        kvs_assert(!ZSTD_isError(set));
    }
    *ret_packer = KVS_TAKE(packer);
    return 0;
}

void kvs_frames_packer_free(struct kvs_frames_packer *packer)
{
    if (!packer)
        return;
    ZSTD_freeCCtx(packer->context);
    kvs_buf_done(&packer->payload);
    free(packer);
}

void kvs_frames_add(struct kvs_frames_packer *packer, struct kvs_slice message)
{
    kvs_assert(message.size > 0);
    kvs_assert(message.size <= KVS_FRAMES_MESSAGE_MAX);
    kvs_wire_put_bytes(&packer->payload, message);
}

size_t kvs_frames_size(const struct kvs_frames_packer *packer)
{
    return packer->payload.size;
}

// Leaves `body` empty where compression does not make it smaller.
static void pack_compressed(struct kvs_frames_packer *packer, struct kvs_buf *body)
{
    struct kvs_slice payload = kvs_buf_slice(&packer->payload);
    size_t room = payload.size - SIZE_SIZE - 1;
    kvs_wire_put_u8(body, KVS_FRAMES_FORMAT);
    kvs_wire_put_u8(body, ZSTD);
    kvs_wire_put_u32be(body, (uint32_t)payload.size);
    char *to = kvs_buf_reserve(body, room);
    if (!to)
        return;
    size_t size = ZSTD_compress2(packer->context, to, room, payload.data, payload.size);
    if (ZSTD_isError(size)) // among others: it would not be smaller
        kvs_buf_clear(body);
    else
        body->size += size;
}

int kvs_frames_pack(struct kvs_frames_packer *packer, struct kvs_buf *body)
{
    struct kvs_buf *payload = &packer->payload;
    int err = payload->err;
    kvs_buf_clear(body);
    if (err == 0 && packer->context && payload->size >= COMPRESS_MIN)
        pack_compressed(packer, body);
    if (err == 0 && body->err == 0 && body->size == 0) {
        kvs_wire_put_u8(body, KVS_FRAMES_FORMAT);
        kvs_wire_put_u8(body, PLAIN);
        kvs_buf_append_slice(body, kvs_buf_slice(payload));
    }
    recycle(payload);
    return err ? err : body->err;
}

// ---- Unpacking

int kvs_frames_unpacker_new(struct kvs_frames_unpacker **ret_unpacker)
{
    KVS_CLEANUP(kvs_frames_unpacker_freep)
    struct kvs_frames_unpacker *unpacker = calloc(1, sizeof(*unpacker));
    if (!unpacker)
        return KVS_ERR_NOMEM;
    kvs_buf_init(&unpacker->payload, KVS_FRAMES_PAYLOAD_MAX);
    unpacker->context = ZSTD_createDCtx();
    if (!unpacker->context)
        return KVS_ERR_NOMEM;
    *ret_unpacker = KVS_TAKE(unpacker);
    return 0;
}

void kvs_frames_unpacker_free(struct kvs_frames_unpacker *unpacker)
{
    if (!unpacker)
        return;
    ZSTD_freeDCtx(unpacker->context);
    kvs_buf_done(&unpacker->payload);
    free(unpacker);
}

// What it says of its size is an upper bound for the memory, and must be true.
static int decompress(struct kvs_frames_unpacker *unpacker, struct kvs_cursor *cursor,
                      struct kvs_slice *ret_payload)
{
    size_t size = kvs_wire_get_u32be(cursor);
    struct kvs_slice packed = kvs_wire_get_rest(cursor);
    if (cursor->bad || size == 0)
        return KVS_ERR_SYNTAX;
    if (size > KVS_FRAMES_PAYLOAD_MAX)
        return KVS_ERR_TOO_LARGE;
    char *to = kvs_buf_reserve(&unpacker->payload, size);
    if (!to)
        return unpacker->payload.err;
    size_t real = ZSTD_decompressDCtx(unpacker->context, to, size, packed.data, packed.size);
    if (ZSTD_isError(real) || real != size)
        return KVS_ERR_SYNTAX;
    unpacker->payload.size = size;
    *ret_payload = kvs_buf_slice(&unpacker->payload);
    return 0;
}

static int open_payload(struct kvs_frames_unpacker *unpacker, struct kvs_slice body,
                        struct kvs_slice *ret_payload)
{
    struct kvs_cursor cursor = kvs_cursor(body);
    uint8_t format = kvs_wire_get_u8(&cursor);
    uint8_t encoding = kvs_wire_get_u8(&cursor);
    if (cursor.bad || format == 0)
        return KVS_ERR_SYNTAX;
    if (format > KVS_FRAMES_FORMAT)
        return KVS_ERR_VERSION;
    if (encoding == ZSTD)
        return decompress(unpacker, &cursor, ret_payload);
    if (encoding != PLAIN)
        return KVS_ERR_SYNTAX;
    *ret_payload = kvs_wire_get_rest(&cursor);
    return ret_payload->size > KVS_FRAMES_PAYLOAD_MAX ? KVS_ERR_TOO_LARGE : 0;
}

int kvs_frames_unpack(struct kvs_frames_unpacker *unpacker, struct kvs_slice body,
                      struct kvs_slice *ret_payload, size_t *ret_count)
{
    recycle(&unpacker->payload);
    int err = open_payload(unpacker, body, ret_payload);
    if (err)
        return err;
    struct kvs_cursor cursor = kvs_cursor(*ret_payload);
    size_t count = 0;
    do {
        struct kvs_slice message = kvs_wire_get_bytes(&cursor, KVS_FRAMES_MESSAGE_MAX);
        if (message.size == 0)
            return KVS_ERR_SYNTAX;
        count++;
    } while (!kvs_cursor_finished(&cursor));
    *ret_count = count;
    return 0;
}

void kvs_frames_release(struct kvs_frames_unpacker *unpacker)
{
    recycle(&unpacker->payload);
}

size_t kvs_frames_unpacked_size(struct kvs_slice body)
{
    struct kvs_cursor cursor = kvs_cursor(body);
    (void)kvs_wire_get_u8(&cursor); // the format
    if (kvs_wire_get_u8(&cursor) == ZSTD)
        return kvs_wire_get_u32be(&cursor);
    return kvs_wire_get_rest(&cursor).size;
}

bool kvs_frames_next(struct kvs_slice *payload, struct kvs_slice *ret_message)
{
    struct kvs_cursor cursor = kvs_cursor(*payload);
    if (payload->size == 0)
        return false;
    *ret_message = kvs_wire_get_bytes(&cursor, KVS_FRAMES_MESSAGE_MAX);
    *payload = kvs_slice(cursor.at, (size_t)(cursor.end - cursor.at));
    return !cursor.bad;
}
