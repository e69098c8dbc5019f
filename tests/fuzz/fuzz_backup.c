// SPDX-License-Identifier: Apache-2.0
// The backup reader over arbitrary bytes. Input: one byte that chooses, then
//   0 mod 3  a whole file
//   1 mod 3  entries, each behind its size (u32be), which are put into a file whose header and
//            compression are in order: chance would never get past those
//   2 mod 3  one entry: whatever decodes, encodes to the same bytes again
#include <zstd.h>

#include "base/assert.h"
#include "codec/wire.h"
#include "node/backup_internal.h"

enum { MEMORY_MAX = 64 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_memory(void *ctx, char *bytes, size_t size, size_t *ret_size)
{
    struct kvs_slice *rest = ctx;
    size_t got = rest->size < size ? rest->size : size;
    if (got > 0)
        memcpy(bytes, rest->data, got);
    *rest = kvs_slice(rest->data + got, rest->size - got);
    *ret_size = got;
    return 0;
}

// Every end but success needs a reason.
static void read_all(struct kvs_slice bytes)
{
    const struct kvs_backup_source source = {read_memory, &bytes};
    struct kvs_message message = {{0}};
    struct kvs_backup_reader *reader = NULL;
    int err = kvs_backup_reader_open(&source, &reader, &message);
    uint64_t versions = 0;
    struct kvs_backup_entry entry;
    while (!err) {
        err = kvs_backup_reader_next(reader, &entry, &message);
        versions += !err && entry.kind == KVS_BACKUP_VERSION;
    }
    if (err == KVS_ERR_NOT_FOUND)
        kvs_assert(kvs_backup_reader_info(reader)->content.versions == versions);
    else
        kvs_assert(message.text[0] != '\0');
    kvs_backup_reader_free(reader);
}

static void read_entries(struct kvs_slice entries)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf file = KVS_BUF_INIT(MEMORY_MAX);
    const struct kvs_backup_info info = {.format = KVS_BACKUP_FORMAT, .node_id = "fuzz"};
    kvs_backup_header_encode(&file, &info);
    size_t bound = ZSTD_compressBound(entries.size);
    char *room = kvs_buf_reserve(&file, bound);
    if (!room)
        return;
    size_t compressed = ZSTD_compress(room, bound, entries.data, entries.size, 1);
    kvs_assert(!ZSTD_isError(compressed));
    file.size += compressed;
    read_all(kvs_buf_slice(&file));
}

static void read_entry(struct kvs_slice bytes)
{
    struct kvs_backup_entry entry;
    if (kvs_backup_entry_decode(bytes, &entry) != 0)
        return;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf again = KVS_BUF_INIT(MEMORY_MAX);
    kvs_backup_entry_encode(&again, &entry);
    kvs_assert(again.err || kvs_slice_eq(kvs_buf_slice(&again), bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct kvs_slice rest = kvs_slice(data + 1, size - 1);
    if (data[0] % 3 == 0)
        read_all(rest);
    else if (data[0] % 3 == 1)
        read_entries(rest);
    else
        read_entry(rest);
    return 0;
}
