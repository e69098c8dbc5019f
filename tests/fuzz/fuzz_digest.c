// SPDX-License-Identifier: Apache-2.0
// Checkpoints of the digest index: whatever is accepted is written as the same bytes again, and is
// an index that can be worked with.
#include "base/assert.h"
#include "digest/digest.h"

#include <xxhash.h>

enum { MEMORY_MAX = 16 << 20, CHECKSUM_AT = 9, BODY_AT = 17 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int scan_nothing(void *ctx, struct kvs_slice first, struct kvs_slice end,
                        kvs_digest_visit_fn *visit, void *visit_ctx)
{
    (void)ctx;
    (void)first;
    (void)end;
    (void)visit;
    (void)visit_ctx;
    return 0;
}

static const struct kvs_digest_source nothing = {NULL, scan_nothing};

struct parts {
    struct kvs_fingerprint sum;
    uint32_t count;
};

static bool add_part(void *ctx, struct kvs_slice first, struct kvs_fingerprint part)
{
    (void)first;
    struct parts *parts = ctx;
    kvs_digest_sum_add(&parts->sum.sum, part.sum);
    parts->sum.count += part.count;
    parts->count++;
    return true;
}

static void check_splitting(const struct kvs_digest *digest)
{
    struct parts parts = {0};
    int err =
        kvs_digest_split(digest, &nothing, KVS_SLICE_EMPTY, KVS_SLICE_EMPTY, 16, add_part, &parts);
    if (err) // a block that must be read, and is not there
        kvs_assert(err == KVS_ERR_CORRUPT || err == KVS_ERR_NOMEM);
    else
        kvs_assert(kvs_fingerprint_eq(parts.sum, kvs_digest_root(digest)));
    kvs_assert(parts.count <= 32);
}

// What a start does with it: the log's tail, maintenance, a scrub that finds it all wrong.
static void use(struct kvs_digest *digest)
{
    struct kvs_digest_sum item = {1, 2};
    int err = kvs_digest_update(digest, KVS_SLICE("k"), NULL, &item);
    kvs_assert(err == 0);
    err = kvs_digest_update(digest, KVS_SLICE("zz"), &item, NULL);
    kvs_assert(err == 0 || err == KVS_ERR_CORRUPT); // a block without records
    bool more = true;
    for (int i = 0; i < 100 && more; i++)
        if (kvs_digest_maintain(digest, &nothing, 100, &more) != 0)
            break;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf cursor = KVS_BUF_INIT(MEMORY_MAX);
    do {
        bool mismatch;
        if (kvs_digest_scrub(digest, &nothing, &cursor, &mismatch) != 0)
            return;
    } while (cursor.size > 0);
    kvs_assert(kvs_digest_root(digest).count == 0);
    while (more && kvs_digest_maintain(digest, &nothing, 100, &more) == 0)
        ;
}

static void check(struct kvs_slice bytes)
{
    struct kvs_digest_options options = {.block_size = 4};
    KVS_CLEANUP(kvs_digest_freep) struct kvs_digest *digest = NULL;
    uint64_t log_seq = 0;
    if (kvs_digest_restore(&options, bytes, &log_seq, &digest) != 0)
        return;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf again = KVS_BUF_INIT(MEMORY_MAX);
    kvs_digest_checkpoint(digest, log_seq, &again);
    kvs_assert(again.err == 0);
    kvs_assert(kvs_slice_eq(kvs_buf_slice(&again), bytes));
    check_splitting(digest);
    use(digest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(kvs_slice(data, size));
    if (size < BODY_AT)
        return 0;
    // Again with the checksum put right, or nothing would get past it.
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf covered = KVS_BUF_INIT(MEMORY_MAX);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf bytes = KVS_BUF_INIT(MEMORY_MAX);
    kvs_buf_append(&covered, data, CHECKSUM_AT);
    kvs_buf_append(&covered, data + BODY_AT, size - BODY_AT);
    kvs_buf_append(&bytes, data, size);
    if (covered.err || bytes.err)
        return 0;
    uint64_t sum = XXH3_64bits(covered.data, covered.size);
    for (int i = 0; i < 8; i++)
        bytes.data[CHECKSUM_AT + i] = (char)(uint8_t)(sum >> (56 - 8 * i));
    check(kvs_buf_slice(&bytes));
    return 0;
}
