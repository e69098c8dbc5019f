// SPDX-License-Identifier: Apache-2.0
#include "repl/pack.h"

enum { PACK_EXPIRES = 0x80, PACK_FLAGS = 0x7f };

static void fail(struct wire_reader *in)
{
    if (!in->err)
        in->err = KVS_ERR_SYNTAX;
    in->at = in->end;
}

// ---- Keys

void pack_key(struct packer *packer, struct kvs_buf *out, struct kvs_slice key)
{
    size_t shared = 0;
    size_t limit = key.size < packer->key.size ? key.size : packer->key.size;
    while (shared < limit && key.data[shared] == packer->key.data[shared])
        shared++;
    wire_put_uint(out, shared);
    wire_put_bytes(out, kvs_slice(key.data + shared, key.size - shared));
    packer->key = key;
}

struct kvs_slice unpack_key(struct packer *packer, struct wire_reader *in)
{
    uint64_t shared = wire_get_uint(in);
    struct kvs_slice rest = wire_get_bytes(in, KVS_REPL_KEY_MAX);
    if (in->err || shared > packer->key.size || shared + rest.size > KVS_REPL_KEY_MAX) {
        fail(in);
        return KVS_SLICE_EMPTY;
    }
    if (rest.size == 0 || shared == 0) {
        packer->key = shared == 0 ? rest : kvs_slice(packer->key.data, (size_t)shared);
        return packer->key;
    }
    size_t size = (size_t)shared + rest.size;
    char *bytes = kvs_arena_alloc(in->arena, size);
    if (!bytes) {
        in->err = KVS_ERR_NOMEM;
        return KVS_SLICE_EMPTY;
    }
    memcpy(bytes, packer->key.data, (size_t)shared);
    memcpy(bytes + shared, rest.data, rest.size);
    packer->key = kvs_slice(bytes, size);
    return packer->key;
}

// ---- Versions

static size_t find_writer(const struct packer *packer, const struct kvs_writer *writer)
{
    for (size_t i = 0; i < packer->writer_count; i++)
        if (packer->writers[i].joined_timestamp == writer->joined_timestamp &&
            kvs_uuid_cmp(&packer->writers[i].node, &writer->node) == 0)
            return i;
    return packer->writer_count;
}

// The writer just met gets a number, as long as there are some.
static void learn_writer(struct packer *packer, const struct kvs_writer *writer)
{
    if (packer->writer_count == PACK_WRITERS_MAX)
        return;
    packer->writers[packer->writer_count] = *writer;
    packer->seqs[packer->writer_count++] = 0;
}

void pack_version(struct packer *packer, struct kvs_buf *out, const struct kvs_version *version)
{
    size_t writer = find_writer(packer, &version->writer);
    wire_put_u8(out, (uint8_t)(version->flags | (version->expires_at ? PACK_EXPIRES : 0)));
    wire_put_int(out, (int64_t)((uint64_t)version->timestamp - (uint64_t)packer->timestamp));
    wire_put_uuid(out, &version->uuid);
    wire_put_uint(out, writer);
    uint64_t last = 0;
    if (writer == packer->writer_count) {
        wire_put_uuid(out, &version->writer.node);
        wire_put_int(out, version->writer.joined_timestamp);
        learn_writer(packer, &version->writer);
    } else {
        last = packer->seqs[writer];
    }
    wire_put_int(out, (int64_t)(version->writer_seq - last));
    if (writer < packer->writer_count)
        packer->seqs[writer] = version->writer_seq;
    if (version->expires_at)
        wire_put_int(out, (int64_t)((uint64_t)version->expires_at - (uint64_t)version->timestamp));
    packer->timestamp = version->timestamp;
}

struct kvs_version unpack_version(struct packer *packer, struct wire_reader *in)
{
    uint8_t flags = wire_get_u8(in);
    struct kvs_version version = {.flags = flags & PACK_FLAGS};
    version.timestamp = (int64_t)((uint64_t)packer->timestamp + (uint64_t)wire_get_int(in));
    version.uuid = wire_get_uuid(in);
    uint64_t writer = wire_get_uint(in);
    uint64_t last = 0;
    if (writer > packer->writer_count) {
        fail(in);
    } else if (writer == packer->writer_count) {
        version.writer.node = wire_get_uuid(in);
        version.writer.joined_timestamp = wire_get_int(in);
        learn_writer(packer, &version.writer);
    } else {
        version.writer = packer->writers[writer];
        last = packer->seqs[writer];
    }
    version.writer_seq = last + (uint64_t)wire_get_int(in);
    if (writer < packer->writer_count)
        packer->seqs[writer] = version.writer_seq;
    if (flags & PACK_EXPIRES)
        version.expires_at = (int64_t)((uint64_t)version.timestamp + (uint64_t)wire_get_int(in));
    packer->timestamp = version.timestamp;
    if (version.timestamp <= 0 || version.expires_at < 0 ||
        ((flags & PACK_EXPIRES) && version.expires_at == 0) ||
        version.flags > (KVS_VERSION_TOMBSTONE | KVS_VERSION_STUB | KVS_VERSION_CONFLICT_LOSER))
        fail(in);
    return version;
}
