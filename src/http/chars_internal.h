// SPDX-License-Identifier: Apache-2.0
// Character classes of RFC 9110 §5 and RFC 3986, independent of the locale.
#ifndef KVS_HTTP_CHARS_INTERNAL_H
#define KVS_HTTP_CHARS_INTERNAL_H

#include "base/slice.h"

enum {
    HTTP_CHAR_TOKEN = 1,  // tchar
    HTTP_CHAR_TARGET = 2, // pchar, "/" and "?"; '%' must start an escape
    HTTP_CHAR_VALUE = 4,  // field-vchar, obs-text, space, tab
    HTTP_CHAR_HOST = 8,   // what we take in a host name
    HTTP_CHAR_HEX = 16,
    HTTP_CHAR_VISIBLE = 32, // ASCII, no space
};

extern const uint8_t http_chars[256];

static inline bool http_char_is(char c, unsigned classes)
{
    return (http_chars[(unsigned char)c] & classes) != 0;
}

static inline bool http_chars_are(struct kvs_slice text, unsigned classes)
{
    unsigned all = classes;
    for (size_t i = 0; i < text.size; i++)
        all &= http_chars[(unsigned char)text.data[i]];
    return all == classes;
}

#endif
