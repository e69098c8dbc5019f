// SPDX-License-Identifier: Apache-2.0
// A view of a store into a backup file: entries through one zstd stream, every byte through one
// SHA-256. Memory: one entry and a few hundred KiB.
#include "node/backup_internal.h"

#include "codec/wire.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

struct writer {
    int fd;
    const char *path;
    struct kvs_message *message;
    EVP_MD_CTX *sha256;
    ZSTD_CCtx *zstd;
    struct kvs_buf entry;
    char *out; // of out_size bytes
    size_t out_size;
    uint64_t body_size; // bytes in the file so far
    uint64_t content_size;
};

static int fail_write(const struct writer *writer, int errnum)
{
    const char *advice = errnum == ENOSPC || errnum == EDQUOT
                             ? ": free some space there, or set backup_path to another device"
                             : "";
    return kvs_fail(writer->message, kvs_err_from_errno(errnum), "write %s: %s%s", writer->path,
                    strerror(errnum), advice);
}

static int write_bytes(struct writer *writer, struct kvs_slice bytes)
{
    if (EVP_DigestUpdate(writer->sha256, bytes.data, bytes.size) != 1)
        return kvs_fail(writer->message, KVS_ERR_NOMEM, "out of memory");
    writer->body_size += bytes.size;
    while (bytes.size > 0) {
        ssize_t written = write(writer->fd, bytes.data, bytes.size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return fail_write(writer, errno);
        bytes = kvs_slice(bytes.data + written, bytes.size - (size_t)written);
    }
    return 0;
}

static int compress(struct writer *writer, struct kvs_slice bytes, ZSTD_EndDirective end)
{
    ZSTD_inBuffer in = {bytes.data, bytes.size, 0};
    size_t left = 0;
    writer->content_size += bytes.size;
    do {
        ZSTD_outBuffer out = {writer->out, writer->out_size, 0};
        left = ZSTD_compressStream2(writer->zstd, &out, &in, end);
        if (ZSTD_isError(left))
            return kvs_fail(writer->message, KVS_ERR_NOMEM, "compress: %s",
                            ZSTD_getErrorName(left));
        int err = out.pos > 0 ? write_bytes(writer, kvs_slice(writer->out, out.pos)) : 0;
        if (err)
            return err;
    } while (in.pos < in.size || (end == ZSTD_e_end && left > 0));
    return 0;
}

static int write_size(struct writer *writer, size_t size, ZSTD_EndDirective end)
{
    char bytes[4];
    for (int i = 0; i < 4; i++)
        bytes[i] = (char)(uint8_t)((uint32_t)size >> (24 - 8 * i));
    return compress(writer, kvs_slice(bytes, sizeof(bytes)), end);
}

static int write_entry(void *ctx, const struct kvs_backup_entry *entry)
{
    struct writer *writer = ctx;
    kvs_buf_clear(&writer->entry);
    kvs_backup_entry_encode(&writer->entry, entry);
    if (writer->entry.err)
        return kvs_fail(writer->message, writer->entry.err, "record of %zu bytes: %s",
                        entry->value.size, kvs_err_text(writer->entry.err));
    int err = write_size(writer, writer->entry.size, ZSTD_e_continue);
    return err ? err : compress(writer, kvs_buf_slice(&writer->entry), ZSTD_e_continue);
}

static int write_header(struct writer *writer, const struct kvs_backup_info *info)
{
    KVS_CLEANUP(kvs_buf_donep)
    struct kvs_buf header = KVS_BUF_INIT(KVS_BACKUP_HEADER_SIZE_MAX);
    kvs_backup_header_encode(&header, info);
    if (header.err)
        return kvs_fail(writer->message, header.err, "%s", kvs_err_text(header.err));
    return write_bytes(writer, kvs_buf_slice(&header));
}

static int write_trailer(struct writer *writer, struct kvs_backup_info *info)
{
    uint64_t body_size = writer->body_size;
    if (EVP_DigestFinal_ex(writer->sha256, info->sha256, NULL) != 1 ||
        EVP_DigestInit_ex2(writer->sha256, NULL, NULL) != 1) // of no use from here on
        return kvs_fail(writer->message, KVS_ERR_NOMEM, "out of memory");
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf trailer = KVS_BUF_INIT(KVS_BACKUP_TRAILER_SIZE);
    kvs_backup_trailer_encode(&trailer, info, body_size);
    if (trailer.err)
        return kvs_fail(writer->message, trailer.err, "%s", kvs_err_text(trailer.err));
    int err = write_bytes(writer, kvs_buf_slice(&trailer));
    if (!err && fsync(writer->fd) != 0)
        err = fail_write(writer, errno);
    info->file_size = writer->body_size;
    return err;
}

static int write_all(struct writer *writer, struct kvs_backup_view *view,
                     const struct kvs_backup_watch *watch, struct kvs_backup_info *info)
{
    struct kvs_backup_tally tally;
    kvs_backup_tally_init(&tally, &info->prf, info->created_at_ms);
    struct kvs_backup_walk walk = {.view = view,
                                   .tally = &tally,
                                   .sink = write_entry,
                                   .ctx = writer,
                                   .watch = watch,
                                   .phase = KVS_BACKUP_WRITING,
                                   .total = view->versions_estimate};
    int err = write_header(writer, info);
    if (!err)
        err = kvs_backup_walk(&walk, writer->message);
    kvs_backup_view_done(view); // nothing is pinned any more
    if (!err)
        err = write_size(writer, 0, ZSTD_e_end);
    info->content = tally.content;
    info->content_size = writer->content_size;
    kvs_backup_tally_done(&tally);
    return err ? err : write_trailer(writer, info);
}

static bool begin(struct writer *writer, int compression_level)
{
    writer->out_size = ZSTD_CStreamOutSize();
    writer->out = malloc(writer->out_size);
    writer->zstd = ZSTD_createCCtx();
    writer->sha256 = EVP_MD_CTX_new();
    return writer->out && writer->zstd && writer->sha256 &&
           EVP_DigestInit_ex2(writer->sha256, EVP_sha256(), NULL) == 1 &&
           !ZSTD_isError(
               ZSTD_CCtx_setParameter(writer->zstd, ZSTD_c_compressionLevel, compression_level)) &&
           !ZSTD_isError(ZSTD_CCtx_setParameter(writer->zstd, ZSTD_c_checksumFlag, 1));
}

int kvs_backup_write_file(int fd, const char *path, int compression_level,
                          struct kvs_backup_view *view, const struct kvs_backup_watch *watch,
                          struct kvs_backup_info *info, struct kvs_message *ret_message)
{
    struct writer writer = {.fd = fd,
                            .path = path,
                            .message = ret_message,
                            .entry = KVS_BUF_INIT(KVS_BACKUP_ENTRY_SIZE_MAX)};
    int err = begin(&writer, compression_level)
                  ? write_all(&writer, view, watch, info)
                  : kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    kvs_backup_view_done(view);
    kvs_buf_done(&writer.entry);
    EVP_MD_CTX_free(writer.sha256);
    (void)ZSTD_freeCCtx(writer.zstd); // accepts NULL, cannot fail
    free(writer.out);
    return err;
}
