// SPDX-License-Identifier: Apache-2.0
// Percent-encoding (RFC 3986 §2.1), decoded exactly once. Declared in codec/http.h. Pure; works on
// bytes, so whoever needs UTF-8 checks it after decoding.
#include "codec/http.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

int kvs_percent_decode(struct kvs_arena *arena, struct kvs_slice encoded,
                       struct kvs_slice *ret_decoded)
{
    if (encoded.size == 0 || !memchr(encoded.data, '%', encoded.size)) {
        *ret_decoded = encoded;
        return 0;
    }
    char *decoded = kvs_arena_alloc(arena, encoded.size);
    if (!decoded)
        return KVS_ERR_NOMEM;
    size_t size = 0;
    for (size_t i = 0; i < encoded.size; i++) {
        char c = encoded.data[i];
        if (c == '%') {
            if (encoded.size - i < 3)
                return KVS_ERR_INVALID;
            int high = hex_value(encoded.data[i + 1]);
            int low = hex_value(encoded.data[i + 2]);
            if (high < 0 || low < 0)
                return KVS_ERR_INVALID;
            c = (char)(high << 4 | low);
            i += 2;
        }
        decoded[size++] = c;
    }
    *ret_decoded = kvs_slice(decoded, size);
    return 0;
}

// RFC 3986 §2.3.
static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void kvs_percent_encode(struct kvs_buf *out, struct kvs_slice raw, bool keep_slash)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < raw.size; i++) {
        char c = raw.data[i];
        if (is_unreserved(c) || (keep_slash && c == '/')) {
            kvs_buf_append_char(out, c);
        } else {
            unsigned char byte = (unsigned char)c;
            kvs_buf_append(out, (char[]){'%', hex[byte >> 4], hex[byte & 15]}, 3);
        }
    }
}
