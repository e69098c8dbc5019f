// SPDX-License-Identifier: Apache-2.0
// What the files of the JSON module share: the scanner's events, and the smallest pieces of text
// (strings, \u escapes). Not for other modules.
#ifndef KVS_CODEC_JSON_INTERNAL_H
#define KVS_CODEC_JSON_INTERNAL_H

#include "codec/json.h"

// What a scan reports, in document order. Any may be NULL; a result other than 0 ends the scan,
// which returns it.
struct kvs_json_events {
    // Insignificant white space stands from `from` up to `to`.
    void (*gap)(void *context, const char *from, const char *to);
    // The key of the member whose value comes next, with its quotes.
    int (*key)(void *context, struct kvs_slice key);
    // A null, false, true, number or string, whole.
    int (*scalar)(void *context, enum kvs_json_type type, struct kvs_slice source);
    // An array or object opens at, or has closed before, `at`.
    int (*open)(void *context, enum kvs_json_type type, const char *at);
    int (*close)(void *context, const char *at);
};

// The grammar, in one place: every text that KVS takes for JSON has passed here.
KVS_MUST_CHECK int kvs_json_scan(struct kvs_slice text, const struct kvs_json_events *events,
                                 void *context, struct kvs_json_error *ret_error);

// Fills *ret_error (may be NULL) for the byte at `offset`. Returns KVS_ERR_SYNTAX.
int kvs_json_fail(struct kvs_slice text, size_t offset, const char *reason,
                  struct kvs_json_error *ret_error);

// The four hexadecimal digits at `p` as a number, -1 when they are none.
static inline int kvs_json_hex4(const char *p)
{
    int value = 0;
    for (size_t i = 0; i < 4; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

static inline bool kvs_json_is_high_surrogate(int unit)
{
    return unit >= 0xd800 && unit <= 0xdbff;
}

static inline bool kvs_json_is_low_surrogate(int unit)
{
    return unit >= 0xdc00 && unit <= 0xdfff;
}

// The bytes of a string's source between its quotes.
static inline struct kvs_slice kvs_json_body(struct kvs_slice source)
{
    return kvs_slice(source.data + 1, source.size - 2);
}

// Is the string with this source, once decoded, equal to `name`?
bool kvs_json_string_eq(struct kvs_slice source, struct kvs_slice name);

#endif
