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

enum {
    CURSOR_PLAIN = 1,
    CURSOR_SEALED = 2, // the key is encrypted
    CURSOR_KEY_SIZE_MAX = KVS_KEY_SIZE_MAX + 1,
    CURSOR_BYTES_MAX = 1 + CURSOR_KEY_SIZE_MAX + KVS_SEAL_OVERHEAD,
};

void kvs_api_cursor_append(struct kvs_buf *out, struct kvs_slice key)
{
    char bytes[1 + CURSOR_KEY_SIZE_MAX];
    kvs_assert(key.size <= CURSOR_KEY_SIZE_MAX);
    bytes[0] = CURSOR_PLAIN;
    memcpy(bytes + 1, key.data, key.size);
    kvs_base64url_append(out, kvs_slice(bytes, 1 + key.size));
}

void kvs_api_cursor_append_sealed(struct kvs_api_call *call, struct kvs_buf *out,
                                  struct kvs_slice key)
{
    char bytes[CURSOR_BYTES_MAX];
    if (!call->api->options.auth) {
        kvs_api_cursor_append(out, key);
        return;
    }
    kvs_assert(key.size <= CURSOR_KEY_SIZE_MAX);
    bytes[0] = CURSOR_SEALED;
    kvs_auth_seal(call->api->cursor_key, key, bytes + 1);
    kvs_base64url_append(out, kvs_slice(bytes, 1 + key.size + KVS_SEAL_OVERHEAD));
}

static int unseal(struct kvs_api_call *call, struct kvs_slice sealed, struct kvs_slice *ret_key)
{
    if (!call->api->options.auth || sealed.size <= KVS_SEAL_OVERHEAD)
        return KVS_ERR_INVALID;
    char *key = kvs_api_alloc(call, sealed.size);
    if (!key)
        return KVS_ERR_NOMEM;
    *ret_key = kvs_slice(key, sealed.size - KVS_SEAL_OVERHEAD);
    return kvs_auth_unseal(call->api->cursor_key, sealed, key) ? 0 : KVS_ERR_INVALID;
}

int kvs_api_cursor_parse(struct kvs_api_call *call, struct kvs_slice cursor,
                         struct kvs_slice *ret_key)
{
    size_t size = 0;
    if (cursor.size > CURSOR_BYTES_MAX * 4 / 3 + 1)
        return KVS_ERR_INVALID;
    char *bytes = kvs_api_alloc(call, cursor.size + 1);
    if (!bytes)
        return KVS_ERR_NOMEM;
    if (!kvs_base64url_decode(cursor, bytes, &size) || size < 2)
        return KVS_ERR_INVALID;
    *ret_key = kvs_slice(bytes + 1, size - 1);
    if (bytes[0] == CURSOR_SEALED)
        return unseal(call, *ret_key, ret_key);
    return bytes[0] == CURSOR_PLAIN && ret_key->size <= CURSOR_KEY_SIZE_MAX ? 0 : KVS_ERR_INVALID;
}
