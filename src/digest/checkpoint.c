// SPDX-License-Identifier: Apache-2.0
// The index as bytes (docs/formats/digest-checkpoint.md), so that a start reads no record. Pure;
// decoding trusts nothing: whatever the bytes, the result is an error or a valid index. There is
// one encoding of an index: what decodes is what was encoded.
#include "digest/digest_internal.h"

#include "codec/wire.h"

#define XXH_STATIC_LINKING_ONLY // the streaming state lives on the stack
#include <xxhash.h>

enum {
    FORMAT = 1,
    MAGIC_SIZE = 8,
    HEAD_SIZE = MAGIC_SIZE + 1, // and the format
    CHECKSUM_SIZE = 8,
    BLOCK_SIZE_MIN = 3 + 16, // encoded
};

// More than any store holds; sums of it never overflow.
#define RECORDS_MAX (UINT64_C(1) << 48)

static const char magic[MAGIC_SIZE] = {'K', 'V', 'S', 'D', 'G', 'S', 'T', '\n'};

static uint64_t checksum(struct kvs_slice head, struct kvs_slice body)
{
    XXH3_state_t state;
    // None of these fails: they only refuse NULL.
    (void)XXH3_64bits_reset(&state);
    (void)XXH3_64bits_update(&state, head.data, head.size);
    (void)XXH3_64bits_update(&state, body.data, body.size);
    return XXH3_64bits_digest(&state);
}

// ---- Writing

static size_t common_size(struct kvs_slice a, struct kvs_slice b)
{
    size_t common = 0;
    while (common < a.size && common < b.size && a.data[common] == b.data[common])
        common++;
    return common;
}

// `previous`: the separator before, which lives in the tree.
static void put_node(const struct node *node, struct kvs_slice *previous, struct kvs_buf *out)
{
    for (uint32_t i = 0; i < node->size; i++) {
        if (!node->leaf) {
            put_node(node->children[i], previous, out);
            continue;
        }
        struct kvs_slice key = node_key(node, i);
        size_t common = common_size(*previous, key);
        kvs_wire_put_uvarint(out, common);
        kvs_wire_put_bytes(out, kvs_slice(key.data + common, key.size - common));
        kvs_wire_put_uvarint(out, node->prints[i].count);
        kvs_wire_put_u64be(out, node->prints[i].sum.hi);
        kvs_wire_put_u64be(out, node->prints[i].sum.lo);
        *previous = key;
    }
}

void kvs_digest_checkpoint(const struct kvs_digest *digest, uint64_t log_seq, struct kvs_buf *out)
{
    struct kvs_digest_stats stats;
    kvs_digest_stats(digest, &stats);
    size_t start = out->size;
    kvs_buf_append(out, magic, sizeof(magic));
    kvs_wire_put_u8(out, FORMAT);
    kvs_wire_put_u64be(out, 0); // the checksum's place
    kvs_wire_put_u64be(out, log_seq);
    kvs_wire_put_uvarint(out, stats.blocks);
    struct kvs_slice previous = KVS_SLICE_EMPTY;
    put_node(digest->tree.root, &previous, out);
    if (out->err)
        return;
    size_t end = out->size;
    size_t body = start + HEAD_SIZE + CHECKSUM_SIZE;
    uint64_t sum =
        checksum(kvs_slice(out->data + start, HEAD_SIZE), kvs_slice(out->data + body, end - body));
    out->size = start + HEAD_SIZE;
    kvs_wire_put_u64be(out, sum); // there is room
    out->size = end;
}

// ---- Reading

// Turns `key`, the separator before, into the next one. Strictly ascending, and the shared part as
// long as it can be.
static void get_separator(struct kvs_cursor *cursor, struct kvs_buf *key)
{
    size_t common = kvs_wire_get_uvarint(cursor, key->size);
    struct kvs_slice rest = kvs_wire_get_bytes(cursor, key->size_max - common);
    if (rest.size == 0 ||
        (common < key->size && (uint8_t)rest.data[0] <= (uint8_t)key->data[common]))
        cursor->bad = true;
    if (cursor->bad)
        return;
    key->size = common;
    kvs_buf_append_slice(key, rest);
}

static int get_blocks(struct kvs_cursor *cursor, struct kvs_buf *key, struct kvs_digest *digest)
{
    size_t left = (size_t)(cursor->end - cursor->at);
    uint64_t blocks = kvs_wire_get_uvarint(cursor, left / BLOCK_SIZE_MIN);
    if (blocks == 0)
        return KVS_ERR_CORRUPT;
    for (uint64_t i = 0; i < blocks; i++) {
        if (i > 0)
            get_separator(cursor, key);
        else if (kvs_wire_get_uvarint(cursor, 0) != 0 || kvs_wire_get_bytes(cursor, 0).size != 0)
            return KVS_ERR_CORRUPT;
        struct kvs_fingerprint block;
        block.count = kvs_wire_get_uvarint(cursor, RECORDS_MAX - digest->tree.total.count);
        block.sum.hi = kvs_wire_get_u64be(cursor);
        block.sum.lo = kvs_wire_get_u64be(cursor);
        if (cursor->bad)
            return KVS_ERR_CORRUPT;
        int err = key->err ? key->err : digest_append(digest, kvs_buf_slice(key), &block);
        if (err)
            return err;
    }
    return kvs_cursor_finished(cursor) ? 0 : KVS_ERR_CORRUPT;
}

static int check_head(struct kvs_slice bytes, struct kvs_cursor *ret_cursor)
{
    if (bytes.size < HEAD_SIZE + CHECKSUM_SIZE || memcmp(bytes.data, magic, sizeof(magic)) != 0)
        return KVS_ERR_CORRUPT;
    struct kvs_slice head = kvs_slice(bytes.data, HEAD_SIZE);
    *ret_cursor = kvs_cursor(kvs_slice(bytes.data + HEAD_SIZE, bytes.size - HEAD_SIZE));
    uint64_t expected = kvs_wire_get_u64be(ret_cursor);
    if (checksum(head, kvs_slice(ret_cursor->at, (size_t)(ret_cursor->end - ret_cursor->at))) !=
        expected)
        return KVS_ERR_CORRUPT;
    uint8_t format = (uint8_t)bytes.data[MAGIC_SIZE];
    if (format > FORMAT)
        return KVS_ERR_VERSION;
    return format == FORMAT ? 0 : KVS_ERR_CORRUPT;
}

int kvs_digest_restore(const struct kvs_digest_options *options, struct kvs_slice bytes,
                       uint64_t *ret_log_seq, struct kvs_digest **ret_digest)
{
    struct kvs_cursor cursor;
    int err = check_head(bytes, &cursor);
    if (err)
        return err;
    KVS_CLEANUP(kvs_digest_freep) struct kvs_digest *digest = NULL;
    err = kvs_digest_new(options, &digest);
    if (err)
        return err;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf key = KVS_BUF_INIT(KVS_DIGEST_RECORD_KEY_MAX);
    uint64_t log_seq = kvs_wire_get_u64be(&cursor);
    err = get_blocks(&cursor, &key, digest);
    if (err)
        return err;
    *ret_log_seq = log_seq;
    *ret_digest = KVS_TAKE(digest);
    return 0;
}
