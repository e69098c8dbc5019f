// SPDX-License-Identifier: Apache-2.0
// Changing a JSON value: merge patches (RFC 7396), JSON patches (RFC 6902) and the pointers that
// they are made of (RFC 6901). Pure.
//
// What a patch does not touch keeps every byte: digits, escapes, order of members, duplicate names.
// A member that a patch writes or removes stands at most once afterwards: of several with one name
// the last one counts, as for every reader, and the others go.
#ifndef KVS_CODEC_JSON_PATCH_H
#define KVS_CODEC_JSON_PATCH_H

#include "codec/json.h"

// Why a JSON patch is none, or does not apply.
struct kvs_json_patch_error {
    size_t operation;   // from 0; SIZE_MAX: the patch as a whole
    const char *reason; // static: "there is no such location"
};

// Appends `value` with the patch applied. Both are compact and valid; the patch has unique names.
// KVS_ERR_SYNTAX (no unique names), _TOO_LARGE (out's limit), _NOMEM (the arena's, too). On failure
// what was appended is of no use.
KVS_MUST_CHECK int kvs_json_merge_patch(struct kvs_slice value, struct kvs_slice patch,
                                        struct kvs_arena *arena, struct kvs_buf *out);

// The same with a JSON patch. Besides: KVS_ERR_INVALID: this is no JSON patch; KVS_ERR_CONFLICT: it
// does not apply to `value` (a location that is not there, a failed test); KVS_ERR_TOO_LARGE also
// when it would nest too deeply or cost too many steps. All three set *ret_error.
KVS_MUST_CHECK int kvs_json_patch(struct kvs_slice value, struct kvs_slice patch,
                                  struct kvs_arena *arena, struct kvs_buf *out,
                                  struct kvs_json_patch_error *ret_error);

// Is `patch` a JSON patch, whatever value it is for? As kvs_json_patch, but for KVS_ERR_CONFLICT.
KVS_MUST_CHECK int kvs_json_patch_check(struct kvs_slice patch, struct kvs_arena *arena,
                                        struct kvs_json_patch_error *ret_error);

// ---- Pointers

struct kvs_json_pointer {
    struct kvs_slice *tokens; // decoded; they borrow from the text or the arena
    size_t count;             // 0: the whole document
};

// `text` is a decoded string. KVS_ERR_INVALID: it does not begin with '/', or has a '~' that no 0
// or 1 follows. KVS_ERR_NOMEM.
KVS_MUST_CHECK int kvs_json_pointer_parse(struct kvs_slice text, struct kvs_arena *arena,
                                          struct kvs_json_pointer *ret_pointer);
// An array index: digits without a leading zero.
bool kvs_json_pointer_index(struct kvs_slice token, uint32_t *ret_index);
// Does `a` lead to `b`, or is it the same location?
bool kvs_json_pointer_contains(const struct kvs_json_pointer *a, const struct kvs_json_pointer *b);

// Are two values the same JSON? Numbers by value, strings decoded, members in any order (of several
// with one name the last). At most `work_max` steps: then KVS_ERR_TOO_LARGE.
KVS_MUST_CHECK int kvs_json_equal(const struct kvs_json *a, const struct kvs_json *b,
                                  struct kvs_arena *arena, uint64_t work_max, bool *ret_equal);

#endif
