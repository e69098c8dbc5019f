// SPDX-License-Identifier: Apache-2.0
// Reading a backup from anywhere, believing nothing: any bytes may come. Whoever reads to the end
// knows that nothing is missing, nothing was changed, and all fingerprints are as they were. What
// was read before the end proves nothing yet.
#include "node/backup_internal.h"

#include "base/assert.h"
#include "codec/wire.h"

#include <openssl/evp.h>
#include <zstd.h>

enum { IN_SIZE = 128 << 10, STEP_SIZE = 128 << 10 };

struct kvs_backup_reader {
    struct kvs_backup_source source;
    struct kvs_backup_info info;
    struct kvs_backup_tally tally;
    EVP_MD_CTX *sha256;
    ZSTD_DCtx *zstd;
    uint64_t body_size; // bytes taken so far, without the trailer
    uint64_t content_size;
    char *in; // of IN_SIZE
    size_t in_at;
    size_t in_end;
    bool frame_done;
    struct kvs_buf content; // decompressed, not taken yet
    size_t content_at;
};

// ---- Raw bytes

static int fail_incomplete(const struct kvs_backup_reader *reader, struct kvs_message *ret_message)
{
    return kvs_fail(ret_message, KVS_ERR_CORRUPT,
                    "the backup is incomplete: it ends after %llu bytes: use another one",
                    (unsigned long long)reader->body_size + (reader->in_end - reader->in_at));
}

static int fail_damaged(const struct kvs_backup_reader *reader, const char *what,
                        struct kvs_message *ret_message)
{
    return kvs_fail(ret_message, KVS_ERR_CORRUPT,
                    "the backup is damaged: %s, at about byte %llu: use another one", what,
                    (unsigned long long)reader->body_size);
}

static int fail_nomem(struct kvs_message *ret_message)
{
    return kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
}

// Makes some bytes available, unless the source is at its end.
static int fill(struct kvs_backup_reader *reader, struct kvs_message *ret_message)
{
    if (reader->in_at < reader->in_end)
        return 0;
    reader->in_at = 0;
    reader->in_end = 0;
    int err = reader->source.read(reader->source.ctx, reader->in, IN_SIZE, &reader->in_end);
    return err ? kvs_fail(ret_message, err, "read the backup: %s", kvs_err_text(err)) : 0;
}

// Takes bytes out of the input; those of the body count into the checksum.
static int take_body(struct kvs_backup_reader *reader, size_t size, struct kvs_message *ret_message)
{
    kvs_assert(size <= reader->in_end - reader->in_at);
    if (EVP_DigestUpdate(reader->sha256, reader->in + reader->in_at, size) != 1)
        return fail_nomem(ret_message);
    reader->in_at += size;
    reader->body_size += size;
    return 0;
}

// Reads `size` bytes, or as many as there are.
static int read_raw(struct kvs_backup_reader *reader, struct kvs_buf *out, size_t size,
                    bool is_body, struct kvs_message *ret_message)
{
    while (out->size < size) {
        int err = fill(reader, ret_message);
        size_t available = reader->in_end - reader->in_at;
        if (err || available == 0)
            return err;
        size_t wanted = size - out->size < available ? size - out->size : available;
        kvs_buf_append(out, reader->in + reader->in_at, wanted);
        if (out->err)
            return fail_nomem(ret_message);
        if (is_body)
            err = take_body(reader, wanted, ret_message);
        else
            reader->in_at += wanted;
        if (err)
            return err;
    }
    return 0;
}

// ---- The header

static int read_header(struct kvs_backup_reader *reader, struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_buf_donep)
    struct kvs_buf header = KVS_BUF_INIT(KVS_BACKUP_HEADER_SIZE_MAX);
    int err = read_raw(reader, &header, KVS_BACKUP_FRAME_HEAD_SIZE, true, ret_message);
    if (err)
        return err;
    size_t size = kvs_backup_header_size(kvs_buf_slice(&header));
    if (size == 0)
        return kvs_fail(ret_message, KVS_ERR_CORRUPT,
                        header.size == 0 ? "the file is empty"
                                         : "this is no backup of KVS, or its beginning is damaged");
    err = read_raw(reader, &header, size, true, ret_message);
    if (!err && header.size < size)
        err = fail_incomplete(reader, ret_message);
    if (err)
        return err;
    err = kvs_backup_header_decode(kvs_buf_slice(&header), &reader->info);
    if (err == KVS_ERR_VERSION)
        return kvs_fail(ret_message, err,
                        "the backup was written by a newer KVS (backup format %u, this release "
                        "knows %d): use that release",
                        reader->info.format, KVS_BACKUP_FORMAT);
    return err ? fail_damaged(reader, "its header fails its checksum", ret_message) : 0;
}

int kvs_backup_reader_open(const struct kvs_backup_source *source,
                           struct kvs_backup_reader **ret_reader, struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_backup_reader_freep)
    struct kvs_backup_reader *reader = calloc(1, sizeof(*reader));
    if (!reader)
        return fail_nomem(ret_message);
    reader->source = *source;
    kvs_buf_init(&reader->content, KVS_BACKUP_ENTRY_SIZE_MAX + 2 * STEP_SIZE);
    reader->in = malloc(IN_SIZE);
    reader->zstd = ZSTD_createDCtx();
    reader->sha256 = EVP_MD_CTX_new();
    if (!reader->in || !reader->zstd || !reader->sha256 ||
        EVP_DigestInit_ex2(reader->sha256, EVP_sha256(), NULL) != 1)
        return fail_nomem(ret_message);
    int err = read_header(reader, ret_message);
    if (err)
        return err;
    kvs_backup_tally_init(&reader->tally, &reader->info.prf, reader->info.created_at_ms);
    *ret_reader = KVS_TAKE(reader);
    return 0;
}

void kvs_backup_reader_free(struct kvs_backup_reader *reader)
{
    if (!reader)
        return;
    kvs_backup_tally_done(&reader->tally);
    kvs_buf_done(&reader->content);
    EVP_MD_CTX_free(reader->sha256);
    (void)ZSTD_freeDCtx(reader->zstd); // accepts NULL, cannot fail
    free(reader->in);
    free(reader);
}

const struct kvs_backup_info *kvs_backup_reader_info(const struct kvs_backup_reader *reader)
{
    return &reader->info;
}

// ---- The content

static int decompress_some(struct kvs_backup_reader *reader, struct kvs_message *ret_message)
{
    int err = fill(reader, ret_message);
    if (err)
        return err;
    char *room = kvs_buf_reserve(&reader->content, STEP_SIZE);
    if (!room)
        return fail_nomem(ret_message);
    ZSTD_inBuffer in = {reader->in + reader->in_at, reader->in_end - reader->in_at, 0};
    ZSTD_outBuffer out = {room, STEP_SIZE, 0};
    size_t left = ZSTD_decompressStream(reader->zstd, &out, &in);
    if (ZSTD_isError(left))
        return fail_damaged(reader, ZSTD_getErrorName(left), ret_message);
    bool stuck = in.pos == 0 && out.pos == 0;
    reader->content.size += out.pos;
    reader->content_size += out.pos;
    reader->frame_done = left == 0;
    err = take_body(reader, in.pos, ret_message);
    if (!err && stuck && !reader->frame_done)
        err = fail_incomplete(reader, ret_message);
    return err;
}

// Makes `size` bytes of content available.
static int need(struct kvs_backup_reader *reader, size_t size, struct kvs_message *ret_message)
{
    while (reader->content.size - reader->content_at < size) {
        if (reader->frame_done)
            return fail_damaged(reader, "its content ends early", ret_message);
        kvs_buf_consume(&reader->content, reader->content_at);
        reader->content_at = 0;
        int err = decompress_some(reader, ret_message);
        if (err)
            return err;
    }
    return 0;
}

static struct kvs_slice take_content(struct kvs_backup_reader *reader, size_t size)
{
    struct kvs_slice bytes = kvs_slice(reader->content.data + reader->content_at, size);
    reader->content_at += size;
    return bytes;
}

// ---- The end

// Behind the last entry: the frame's end, its checksum, nothing else.
static int finish_content(struct kvs_backup_reader *reader, struct kvs_message *ret_message)
{
    while (!reader->frame_done && reader->content.size == reader->content_at) {
        int err = decompress_some(reader, ret_message);
        if (err)
            return err;
    }
    if (reader->content.size != reader->content_at)
        return fail_damaged(reader, "something stands behind its last record", ret_message);
    return 0;
}

static int check_trailer(struct kvs_backup_reader *reader, struct kvs_slice trailer,
                         struct kvs_message *ret_message)
{
    uint64_t body_size = 0;
    uint8_t sha256[KVS_BACKUP_SHA256_SIZE];
    if (trailer.size < KVS_BACKUP_TRAILER_SIZE)
        return fail_incomplete(reader, ret_message);
    if (kvs_backup_trailer_decode(trailer, &reader->info, &body_size) != 0)
        return fail_damaged(reader, "its trailer fails its checksum", ret_message);
    if (EVP_DigestFinal_ex(reader->sha256, sha256, NULL) != 1)
        return fail_nomem(ret_message);
    if (body_size != reader->body_size || memcmp(sha256, reader->info.sha256, sizeof(sha256)) != 0)
        return fail_damaged(reader, "its SHA-256 is another one", ret_message);
    if (reader->info.content_size != reader->content_size ||
        !kvs_backup_content_eq(&reader->tally.content, &reader->info.content))
        return fail_damaged(reader, "its fingerprint is another one", ret_message);
    return 0;
}

static int finish(struct kvs_backup_reader *reader, struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf trailer = KVS_BUF_INIT(KVS_BACKUP_TRAILER_SIZE);
    int err = finish_content(reader, ret_message);
    if (!err)
        err = read_raw(reader, &trailer, KVS_BACKUP_TRAILER_SIZE, false, ret_message);
    if (!err)
        err = check_trailer(reader, kvs_buf_slice(&trailer), ret_message);
    if (!err)
        err = fill(reader, ret_message);
    if (!err && reader->in_at != reader->in_end)
        err = fail_damaged(reader, "something stands behind its end", ret_message);
    return err ? err : KVS_ERR_NOT_FOUND;
}

int kvs_backup_reader_next(struct kvs_backup_reader *reader, struct kvs_backup_entry *ret_entry,
                           struct kvs_message *ret_message)
{
    int err = need(reader, 4, ret_message);
    if (err)
        return err;
    struct kvs_cursor cursor = kvs_cursor(take_content(reader, 4));
    size_t size = kvs_wire_get_u32be(&cursor);
    if (size == 0)
        return finish(reader, ret_message);
    if (size > KVS_BACKUP_ENTRY_SIZE_MAX)
        return fail_damaged(reader, "a record is too large", ret_message);
    err = need(reader, size, ret_message);
    if (err)
        return err;
    err = kvs_backup_entry_decode(take_content(reader, size), ret_entry);
    if (!err)
        err = kvs_backup_tally_add(&reader->tally, ret_entry);
    if (err == KVS_ERR_NOMEM)
        return fail_nomem(ret_message);
    return err ? fail_damaged(reader, "a record makes no sense", ret_message) : 0;
}
