// SPDX-License-Identifier: Apache-2.0
// A growing byte buffer whose maximum is given at init. Appends after a failure do nothing: the
// error sticks and is checked once at the end, so writers read as straight lines.
#ifndef KVS_BASE_BUF_H
#define KVS_BASE_BUF_H

#include "base/cleanup.h"
#include "base/err.h"
#include "base/slice.h"

struct kvs_buf {
    char *data;
    size_t size;
    size_t capacity;
    size_t size_max; // appends beyond it fail with KVS_ERR_TOO_LARGE
    int err;         // sticky: 0, KVS_ERR_NOMEM or KVS_ERR_TOO_LARGE
};

#define KVS_BUF_INIT(max) ((struct kvs_buf){.size_max = (max)})

void kvs_buf_init(struct kvs_buf *buf, size_t size_max);
void kvs_buf_done(struct kvs_buf *buf);

// Empties it and clears the error; keeps the memory.
void kvs_buf_clear(struct kvs_buf *buf);

// Room for `size` more bytes at data + size, or NULL (error set). The caller then advances size.
char *kvs_buf_reserve(struct kvs_buf *buf, size_t size);

void kvs_buf_append(struct kvs_buf *buf, const void *data, size_t size);
void kvs_buf_append_slice(struct kvs_buf *buf, struct kvs_slice slice);
void kvs_buf_append_str(struct kvs_buf *buf, const char *str);
void kvs_buf_append_char(struct kvs_buf *buf, char c);
void kvs_buf_append_u64(struct kvs_buf *buf, uint64_t value); // decimal
void kvs_buf_append_i64(struct kvs_buf *buf, int64_t value);  // decimal
void kvs_buf_printf(struct kvs_buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// Drops `size` bytes from the front (size <= buf->size); moves the rest down.
void kvs_buf_consume(struct kvs_buf *buf, size_t size);

// Valid until the next append or done.
static inline struct kvs_slice kvs_buf_slice(const struct kvs_buf *buf)
{
    return kvs_slice(buf->data, buf->size);
}

static inline void kvs_buf_donep(struct kvs_buf *buf)
{
    kvs_buf_done(buf);
}

#endif
