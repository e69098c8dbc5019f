// SPDX-License-Identifier: Apache-2.0
// Editing a parsed tree in place: what merging and patching share. The tree's own links are
// changed; a container's `source` is stale afterwards, and writing goes down to the scalars.
// Nothing here frees: the arena does. Trees are at most KVS_JSON_DEPTH_MAX deep, which bounds every
// recursion.
#ifndef KVS_CODEC_JSON_EDIT_INTERNAL_H
#define KVS_CODEC_JSON_EDIT_INTERNAL_H

#include "codec/json_internal.h"
#include "codec/json_patch.h"

// Steps that a patch may take: visited nodes, and compared bytes by the dozen. Some tenths of a
// second, however the patch and the value were made.
enum { KVS_JSON_WORK_MAX = 20 * 1000 * 1000 };

struct kvs_json_editor {
    struct kvs_arena *arena;
    uint64_t work_left;
};

// False when the work is used up.
static inline bool kvs_json_work(struct kvs_json_editor *editor, uint64_t steps)
{
    bool enough = steps <= editor->work_left;
    editor->work_left -= enough ? steps : editor->work_left;
    return enough;
}

// An object's members by decoded name, those of one name in their order.
struct kvs_json_index_entry {
    struct kvs_slice name;
    struct kvs_json *member;
    uint32_t position;
};
struct kvs_json_index {
    struct kvs_json_index_entry *entries;
    size_t count;
};
KVS_MUST_CHECK int kvs_json_index_make(struct kvs_json_editor *editor, struct kvs_json *object,
                                       struct kvs_json_index *ret_index);
// The first entry that is not below `name`.
size_t kvs_json_index_find(const struct kvs_json_index *index, struct kvs_slice name);

KVS_MUST_CHECK int kvs_json_equal_within(struct kvs_json_editor *editor, struct kvs_json *a,
                                         struct kvs_json *b, bool *ret_equal);

// Appends the value, compact; never its own key.
void kvs_json_write(const struct kvs_json *value, struct kvs_buf *out);

// Two numbers' values (json_number.c), exactly.
bool kvs_json_number_equal(struct kvs_slice a, struct kvs_slice b);

#endif
