// SPDX-License-Identifier: Apache-2.0
// What responses are made of: versions, records, validators, cursors. Appends only, no formatted
// printing: a cached GET goes through here.
#include "api/api_internal.h"

#include "base/assert.h"
#include "base/timefmt.h"

void kvs_api_append_uuid(struct kvs_buf *out, const struct kvs_uuid *uuid)
{
    char *text = kvs_buf_reserve(out, KVS_UUID_TEXT_SIZE);
    if (!text)
        return;
    kvs_uuid_format(uuid, text);
    out->size += KVS_UUID_TEXT_SIZE;
}

void kvs_api_append_version(struct kvs_buf *out, const struct kvs_version *version)
{
    kvs_buf_append_slice(out, KVS_SLICE("\"uuid\":\""));
    kvs_api_append_uuid(out, &version->uuid);
    kvs_buf_append_slice(out, KVS_SLICE("\",\"timestamp\":"));
    kvs_buf_append_i64(out, version->timestamp);
}

void kvs_api_append_record(struct kvs_buf *out, const struct kvs_version *version,
                           struct kvs_slice json)
{
    kvs_buf_append_char(out, '{');
    kvs_api_append_version(out, version);
    kvs_buf_append_slice(out, KVS_SLICE(",\"data\":"));
    kvs_buf_append_slice(out, json);
    kvs_buf_append_char(out, '}');
}

void kvs_api_append_validators(struct kvs_buf *headers, const struct kvs_version *version)
{
    kvs_buf_append_slice(headers, KVS_SLICE("ETag: \""));
    kvs_api_append_uuid(headers, &version->uuid);
    kvs_buf_append_slice(headers, KVS_SLICE("\"\r\nLast-Modified: "));
    char *date = kvs_buf_reserve(headers, KVS_HTTP_DATE_SIZE);
    if (date) {
        kvs_time_http_date(version->timestamp, date);
        headers->size += KVS_HTTP_DATE_SIZE;
    }
    // Without it a cache may serve a record unasked for as long as it guesses from Last-Modified.
    kvs_buf_append_slice(headers, KVS_SLICE("\r\nCache-Control: no-cache\r\n"));
}

// ---- Cursors: base64url, without padding, of a format byte and the key to go on with.

enum { CURSOR_FORMAT = 1 };

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void kvs_api_cursor_append(struct kvs_buf *out, struct kvs_slice key)
{
    uint32_t bits = CURSOR_FORMAT;
    int count = 8;
    for (size_t i = 0; i <= key.size; i++) {
        for (; count >= 6; count -= 6)
            kvs_buf_append_char(out, digits[bits >> (count - 6) & 63]);
        if (i == key.size)
            break;
        bits = bits << 8 | (unsigned char)key.data[i];
        count += 8;
    }
    if (count > 0)
        kvs_buf_append_char(out, digits[bits << (6 - count) & 63]);
}

static int digit_value(char c)
{
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

int kvs_api_cursor_parse(struct kvs_arena *arena, struct kvs_slice cursor,
                         struct kvs_slice *ret_key)
{
    if (cursor.size > (KVS_KEY_SIZE_MAX + 2) * 4 / 3 + 1)
        return KVS_ERR_INVALID;
    char *bytes = kvs_arena_alloc(arena, cursor.size + 1);
    if (!bytes)
        return KVS_ERR_NOMEM;
    uint32_t bits = 0;
    int count = 0;
    size_t size = 0;
    for (size_t i = 0; i < cursor.size; i++) {
        int value = digit_value(cursor.data[i]);
        if (value < 0)
            return KVS_ERR_INVALID;
        bits = bits << 6 | (uint32_t)value;
        count += 6;
        if (count >= 8) {
            count -= 8;
            bytes[size++] = (char)(bits >> count & 0xFF);
        }
    }
    bool left_over = count >= 6 || (bits & ((1U << count) - 1)) != 0;
    if (left_over || size < 2 || bytes[0] != CURSOR_FORMAT)
        return KVS_ERR_INVALID;
    *ret_key = kvs_slice(bytes + 1, size - 1);
    return 0;
}
