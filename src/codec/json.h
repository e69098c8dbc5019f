// SPDX-License-Identifier: Apache-2.0
// The one JSON parser of KVS: strict RFC 8259, UTF-8 only. Pure.
//
// Level 1, kvs_json_compact: one pass that validates and drops insignificant white space, byte for
// byte otherwise: numbers keep their digits, strings their escapes, objects their order and
// duplicate keys. Level 2, kvs_json_parse: a small tree whose numbers and strings are slices of the
// source, for request bodies, patches and the CLI. Level 3: writing.
#ifndef KVS_CODEC_JSON_H
#define KVS_CODEC_JSON_H

#include "base/arena.h"
#include "base/buf.h"

enum { KVS_JSON_DEPTH_MAX = 128 };

// Where and why a text is no JSON.
struct kvs_json_error {
    size_t offset;      // bytes from the start
    uint32_t line;      // from 1
    uint32_t column;    // from 1, in code points
    const char *reason; // static: "expected ',' or ']'"
};

// Validates `text` and appends it without insignificant white space. KVS_ERR_SYNTAX (with
// *ret_error set), _TOO_LARGE, _NOMEM. Refused: lone surrogates (\ud800), invalid UTF-8, a BOM,
// depth over KVS_JSON_DEPTH_MAX, anything after the value. Allowed: numbers of any size, U+0000 as
// \u0000. On failure nothing is appended. `ret_error` may be NULL, here and below.
KVS_MUST_CHECK int kvs_json_compact(struct kvs_slice text, struct kvs_buf *out,
                                    struct kvs_json_error *ret_error);
KVS_MUST_CHECK int kvs_json_validate(struct kvs_slice text, struct kvs_json_error *ret_error);

enum kvs_json_type {
    KVS_JSON_NULL,
    KVS_JSON_FALSE,
    KVS_JSON_TRUE,
    KVS_JSON_NUMBER,
    KVS_JSON_STRING,
    KVS_JSON_ARRAY,
    KVS_JSON_OBJECT,
};

struct kvs_json {
    enum kvs_json_type type;
    struct kvs_slice source; // the whole value as written (strings with quotes), in the source text
    struct kvs_slice key;    // members: the key as written with quotes; else empty
    uint32_t child_count;    // arrays, objects
    struct kvs_json *child;  // first one, NULL when empty
    struct kvs_json *next;   // sibling
};

enum kvs_json_flag {
    KVS_JSON_UNIQUE_KEYS = 1 << 0, // refuse duplicate keys (compared decoded), at any depth
};

// The tree lives in the arena and borrows `text`. KVS_ERR_SYNTAX, _NOMEM.
KVS_MUST_CHECK int kvs_json_parse(struct kvs_slice text, int flags, struct kvs_arena *arena,
                                  struct kvs_json **ret_root, struct kvs_json_error *ret_error);

// The member whose decoded key equals `name`; with duplicates the last. NULL: none, or no object.
const struct kvs_json *kvs_json_member(const struct kvs_json *object, const char *name);
// Decodes a string value (or a member's key) into the arena; borrows the source when nothing is
// escaped.
KVS_MUST_CHECK int kvs_json_string(const struct kvs_json *value, struct kvs_arena *arena,
                                   struct kvs_slice *ret_string);
KVS_MUST_CHECK int kvs_json_key(const struct kvs_json *member, struct kvs_arena *arena,
                                struct kvs_slice *ret_key);
// Cutting compact, valid JSON apart without a tree. `rest` begins as a whole array or object; each
// call takes the next element or member off it: slices of it, strings and keys with their quotes.
// False: there is none (any more).
bool kvs_json_cut_element(struct kvs_slice *rest, struct kvs_slice *ret_value);
bool kvs_json_cut_member(struct kvs_slice *rest, struct kvs_slice *ret_key,
                         struct kvs_slice *ret_value);

// Exactly an integer in range ("1", "-5", also "1.0" and "1e3"); false otherwise.
bool kvs_json_to_i64(const struct kvs_json *value, int64_t *ret_value);

// Appends `text` quoted and escaped; invalid UTF-8 becomes U+FFFD.
void kvs_json_write_string(struct kvs_buf *out, struct kvs_slice text);

#endif
