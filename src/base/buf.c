// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"

#include "base/assert.h"

#include <stdarg.h>
#include <stdio.h>

enum { CAPACITY_MIN = 256 };

void kvs_buf_init(struct kvs_buf *buf, size_t size_max)
{
    *buf = KVS_BUF_INIT(size_max);
}

void kvs_buf_done(struct kvs_buf *buf)
{
    if (!buf)
        return;
    free(buf->data);
    *buf = KVS_BUF_INIT(buf->size_max);
}

void kvs_buf_clear(struct kvs_buf *buf)
{
    buf->size = 0;
    buf->err = 0;
}

char *kvs_buf_reserve(struct kvs_buf *buf, size_t size)
{
    if (buf->err)
        return NULL;
    size_t needed = 0;
    if (__builtin_add_overflow(buf->size, size, &needed) || needed > buf->size_max) {
        buf->err = KVS_ERR_TOO_LARGE;
        return NULL;
    }
    if (needed > buf->capacity) {
        size_t capacity = buf->capacity > buf->size_max / 2 ? buf->size_max : buf->capacity * 2;
        if (capacity < CAPACITY_MIN)
            capacity = CAPACITY_MIN;
        if (capacity < needed)
            capacity = needed;
        char *data = realloc(buf->data, capacity);
        if (!data) {
            buf->err = KVS_ERR_NOMEM;
            return NULL;
        }
        buf->data = data;
        buf->capacity = capacity;
    }
    return buf->data + buf->size;
}

void kvs_buf_append(struct kvs_buf *buf, const void *data, size_t size)
{
    // Nothing, into a buffer without memory, must not become arithmetic on a null pointer.
    char *room = size > 0 ? kvs_buf_reserve(buf, size) : NULL;
    if (!room)
        return;
    memcpy(room, data, size);
    buf->size += size;
}

void kvs_buf_append_slice(struct kvs_buf *buf, struct kvs_slice slice)
{
    kvs_buf_append(buf, slice.data, slice.size);
}

void kvs_buf_append_str(struct kvs_buf *buf, const char *str)
{
    kvs_buf_append(buf, str, strlen(str));
}

void kvs_buf_append_char(struct kvs_buf *buf, char c)
{
    kvs_buf_append(buf, &c, 1);
}

void kvs_buf_append_u64(struct kvs_buf *buf, uint64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    kvs_buf_append(buf, digits + at, sizeof(digits) - at);
}

void kvs_buf_append_i64(struct kvs_buf *buf, int64_t value)
{
    if (value < 0)
        kvs_buf_append_char(buf, '-');
    kvs_buf_append_u64(buf, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void kvs_buf_printf(struct kvs_buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    kvs_assert(size >= 0);
    char *room = kvs_buf_reserve(buf, (size_t)size + 1);
    if (room) {
        (void)vsnprintf(room, (size_t)size + 1, format, again); // measured just above
        buf->size += (size_t)size;
    }
    va_end(again);
}

void kvs_buf_consume(struct kvs_buf *buf, size_t size)
{
    kvs_assert(size <= buf->size);
    if (size > 0 && size < buf->size)
        memmove(buf->data, buf->data + size, buf->size - size);
    buf->size -= size;
}
