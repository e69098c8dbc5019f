// SPDX-License-Identifier: Apache-2.0
// What merging and patching share: an index of an object's members, equality, writing a tree. Pure.
#include "codec/json_edit_internal.h"

enum { BYTES_A_STEP = 16 };

static int compare_entries(const void *a, const void *b)
{
    const struct kvs_json_index_entry *left = a;
    const struct kvs_json_index_entry *right = b;
    int order = kvs_slice_cmp(left->name, right->name);
    return order != 0 ? order
                      : (left->position > right->position) - (left->position < right->position);
}

// Sorts rather than hashes: n log n whatever names a stranger chooses.
int kvs_json_index_make(struct kvs_json_editor *editor, struct kvs_json *object,
                        struct kvs_json_index *ret_index)
{
    *ret_index = (struct kvs_json_index){0};
    if (!kvs_json_work(editor, object->child_count))
        return KVS_ERR_TOO_LARGE;
    if (object->child_count == 0)
        return 0;
    struct kvs_json_index_entry *entries =
        kvs_arena_alloc(editor->arena, object->child_count * sizeof(*entries));
    if (!entries)
        return KVS_ERR_NOMEM;
    uint32_t count = 0;
    for (struct kvs_json *member = object->child; member; member = member->next) {
        entries[count] = (struct kvs_json_index_entry){.member = member, .position = count};
        int err = kvs_json_key(member, editor->arena, &entries[count].name);
        if (err)
            return err;
        count++;
    }
    qsort(entries, count, sizeof(*entries), compare_entries);
    *ret_index = (struct kvs_json_index){entries, count};
    return 0;
}

size_t kvs_json_index_find(const struct kvs_json_index *index, struct kvs_slice name)
{
    size_t low = 0;
    size_t high = index->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (kvs_slice_cmp(index->entries[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// Keeps of each name the last member alone: the one that counts.
static void keep_last(struct kvs_json_index *index)
{
    size_t kept = 0;
    for (size_t i = 0; i < index->count; i++) {
        bool last = i + 1 == index->count ||
                    !kvs_slice_eq(index->entries[i].name, index->entries[i + 1].name);
        if (last)
            index->entries[kept++] = index->entries[i];
    }
    index->count = kept;
}

static int objects_equal(struct kvs_json_editor *editor, struct kvs_json *a, struct kvs_json *b,
                         bool *ret_equal)
{
    struct kvs_json_index left;
    struct kvs_json_index right;
    int err = kvs_json_index_make(editor, a, &left);
    if (!err)
        err = kvs_json_index_make(editor, b, &right);
    if (err)
        return err;
    keep_last(&left);
    keep_last(&right);
    *ret_equal = left.count == right.count;
    for (size_t i = 0; !err && *ret_equal && i < left.count; i++) {
        *ret_equal = kvs_slice_eq(left.entries[i].name, right.entries[i].name);
        if (*ret_equal)
            err = kvs_json_equal_within(editor, left.entries[i].member, right.entries[i].member,
                                        ret_equal);
    }
    return err;
}

static int arrays_equal(struct kvs_json_editor *editor, struct kvs_json *a, struct kvs_json *b,
                        bool *ret_equal)
{
    *ret_equal = a->child_count == b->child_count;
    struct kvs_json *right = b->child;
    for (struct kvs_json *left = a->child; *ret_equal && left; left = left->next) {
        int err = kvs_json_equal_within(editor, left, right, ret_equal);
        if (err)
            return err;
        right = right->next;
    }
    return 0;
}

static int strings_equal(struct kvs_json_editor *editor, const struct kvs_json *a,
                         const struct kvs_json *b, bool *ret_equal)
{
    struct kvs_slice left = KVS_SLICE_EMPTY;
    struct kvs_slice right = KVS_SLICE_EMPTY;
    int err = kvs_json_string(a, editor->arena, &left);
    if (!err)
        err = kvs_json_string(b, editor->arena, &right);
    *ret_equal = !err && kvs_slice_eq(left, right);
    return err;
}

int kvs_json_equal_within(struct kvs_json_editor *editor, struct kvs_json *a, struct kvs_json *b,
                          bool *ret_equal)
{
    bool scalar = a->type != KVS_JSON_ARRAY && a->type != KVS_JSON_OBJECT;
    if (!kvs_json_work(editor, 1 + (scalar ? a->source.size / BYTES_A_STEP : 0)))
        return KVS_ERR_TOO_LARGE;
    *ret_equal = a->type == b->type;
    if (!*ret_equal)
        return 0;
    switch (a->type) {
    case KVS_JSON_NUMBER:
        *ret_equal = kvs_json_number_equal(a->source, b->source);
        return 0;
    case KVS_JSON_STRING:
        return strings_equal(editor, a, b, ret_equal);
    case KVS_JSON_ARRAY:
        return arrays_equal(editor, a, b, ret_equal);
    case KVS_JSON_OBJECT:
        return objects_equal(editor, a, b, ret_equal);
    default:
        return 0; // null, false, true
    }
}

int kvs_json_equal(const struct kvs_json *a, const struct kvs_json *b, struct kvs_arena *arena,
                   uint64_t work_max, bool *ret_equal)
{
    struct kvs_json_editor editor = {.arena = arena, .work_left = work_max};
    // Comparing changes nothing: the index only holds pointers that others may write through.
    return kvs_json_equal_within(&editor, (struct kvs_json *)(uintptr_t)a,
                                 (struct kvs_json *)(uintptr_t)b, ret_equal);
}

void kvs_json_write(const struct kvs_json *value, struct kvs_buf *out)
{
    bool object = value->type == KVS_JSON_OBJECT;
    if (!object && value->type != KVS_JSON_ARRAY) {
        kvs_buf_append_slice(out, value->source);
        return;
    }
    kvs_buf_append_char(out, object ? '{' : '[');
    for (const struct kvs_json *child = value->child; child; child = child->next) {
        if (object) {
            kvs_buf_append_slice(out, child->key);
            kvs_buf_append_char(out, ':');
        }
        kvs_json_write(child, out);
        if (child->next)
            kvs_buf_append_char(out, ',');
    }
    kvs_buf_append_char(out, object ? '}' : ']');
}
