// SPDX-License-Identifier: Apache-2.0
// Stored versions from arbitrary bytes: whatever decodes, encodes to the same bytes again.
// Input: size of the entry key (u16le), entry key, entry value.
#include <xxhash.h>

#include "base/assert.h"
#include "codec/record.h"

enum { MEMORY_MAX = 16 << 20, CHECKSUM_AT = 2, BODY_AT = 6 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_decode(struct kvs_slice entry_key, struct kvs_slice value)
{
    struct kvs_record_view view;
    if (kvs_record_decode(entry_key, value, &view) != 0)
        return;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf key_again = KVS_BUF_INIT(MEMORY_MAX);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf value_again = KVS_BUF_INIT(MEMORY_MAX);
    kvs_record_encode_key(&key_again, view.key, &view.version);
    kvs_record_encode_value(&value_again, entry_key, &view.version, view.writer_id, view.json);
    kvs_assert(kvs_slice_eq(kvs_buf_slice(&key_again), entry_key));
    kvs_assert(kvs_slice_eq(kvs_buf_slice(&value_again), value));
}

// With the checksum put right: chance would never get past it.
static void check_behind_the_checksum(struct kvs_slice entry_key, struct kvs_slice value)
{
    if (value.size < BODY_AT)
        return;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf summed = KVS_BUF_INIT(MEMORY_MAX);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf fixed = KVS_BUF_INIT(MEMORY_MAX);
    kvs_buf_append_slice(&summed, entry_key);
    kvs_buf_append(&summed, value.data, CHECKSUM_AT);
    kvs_buf_append(&summed, value.data + BODY_AT, value.size - BODY_AT);
    kvs_buf_append_slice(&fixed, value);
    if (summed.err || fixed.err)
        return;
    uint64_t sum = XXH3_64bits(summed.data, summed.size);
    for (int i = 0; i < BODY_AT - CHECKSUM_AT; i++)
        fixed.data[CHECKSUM_AT + i] = (char)(uint8_t)(sum >> (8 * i));
    check_decode(entry_key, kvs_buf_slice(&fixed));
}

static void check_key(struct kvs_slice key)
{
    const char *reason = NULL;
    bool valid = kvs_key_is_valid(key, &reason);
    kvs_assert(valid == (reason == NULL));
    kvs_assert(!valid || key.size <= KVS_KEY_SIZE_MAX);
    kvs_assert(!valid || memchr(key.data, '\0', key.size) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct kvs_slice rest = kvs_slice(data + 2, size - 2);
    size_t key_size = (size_t)data[0] | (size_t)data[1] << 8;
    if (key_size > rest.size)
        key_size = rest.size;
    struct kvs_slice entry_key = kvs_slice(rest.data, key_size);
    struct kvs_slice value = kvs_slice(rest.data + key_size, rest.size - key_size);
    check_decode(entry_key, value);
    check_behind_the_checksum(entry_key, value);
    check_key(entry_key);
    return 0;
}
