// SPDX-License-Identifier: Apache-2.0
// Merge patches (RFC 7396): members of the patch replace, null removes, everything else stays as it
// stands, where it stands. New members come last, in the patch's order. Pure.
#include "codec/json_edit_internal.h"

static bool is_object(const struct kvs_json *value)
{
    return value->type == KVS_JSON_OBJECT;
}

// The patch becomes the value where there was no object: its objects lose their nulls. Arrays are
// values and keep theirs.
static void strip_nulls(struct kvs_json *value)
{
    if (!is_object(value))
        return;
    for (struct kvs_json **link = &value->child; *link;) {
        if ((*link)->type == KVS_JSON_NULL) {
            *link = (*link)->next;
            value->child_count--;
        } else {
            strip_nulls(*link);
            link = &(*link)->next;
        }
    }
}

// Puts another value where `place` stands among its siblings, under its name.
static void replace(struct kvs_json *place, const struct kvs_json *value)
{
    place->type = value->type;
    place->source = value->source;
    place->child = value->child;
    place->child_count = value->child_count;
}

static void mark_removed(struct kvs_json *member)
{
    member->source.data = NULL; // no value has that
}

static void drop_removed(struct kvs_json *object)
{
    for (struct kvs_json **link = &object->child; *link;) {
        if ((*link)->source.data) {
            link = &(*link)->next;
        } else {
            *link = (*link)->next;
            object->child_count--;
        }
    }
}

static int merge_objects(struct kvs_json_editor *editor, struct kvs_json *target,
                         struct kvs_json *patch);

// `member` of the patch meets those of its name in the target: entries from `first` to before
// `end`.
static int merge_member(struct kvs_json_editor *editor, const struct kvs_json_index *index,
                        size_t first, size_t end, struct kvs_json *member)
{
    bool removes = member->type == KVS_JSON_NULL;
    for (size_t i = first; i < end; i++)
        if (removes || i + 1 < end)
            mark_removed(index->entries[i].member);
    if (removes)
        return 0;
    struct kvs_json *current = index->entries[end - 1].member; // the last one counts
    if (is_object(member) && is_object(current))
        return merge_objects(editor, current, member);
    strip_nulls(member);
    replace(current, member);
    return 0;
}

static int merge_objects(struct kvs_json_editor *editor, struct kvs_json *target,
                         struct kvs_json *patch)
{
    struct kvs_json_index index;
    int err = kvs_json_index_make(editor, target, &index);
    struct kvs_json *added = NULL; // in the patch's order
    struct kvs_json **last = &added;
    struct kvs_json *next = NULL;
    for (struct kvs_json *member = patch->child; !err && member; member = next) {
        next = member->next;
        struct kvs_slice name = KVS_SLICE_EMPTY;
        err = kvs_json_key(member, editor->arena, &name);
        if (err)
            return err;
        size_t first = kvs_json_index_find(&index, name);
        size_t end = first;
        while (end < index.count && kvs_slice_eq(index.entries[end].name, name))
            end++;
        if (first < end) {
            err = merge_member(editor, &index, first, end, member);
        } else if (member->type != KVS_JSON_NULL) {
            strip_nulls(member);
            member->next = NULL;
            *last = member;
            last = &member->next;
            target->child_count++;
        }
    }
    struct kvs_json **tail = &target->child;
    while (*tail)
        tail = &(*tail)->next;
    *tail = added;
    drop_removed(target);
    return err;
}

int kvs_json_merge_patch(struct kvs_slice value, struct kvs_slice patch, struct kvs_arena *arena,
                         struct kvs_buf *out)
{
    struct kvs_json_editor editor = {.arena = arena, .work_left = UINT64_MAX}; // n log n
    struct kvs_json *target = NULL;
    struct kvs_json *change = NULL;
    int err = kvs_json_parse(patch, KVS_JSON_UNIQUE_KEYS, arena, &change, NULL);
    if (!err)
        err = kvs_json_parse(value, 0, arena, &target, NULL);
    if (err)
        return err;
    if (is_object(target) && is_object(change)) {
        err = merge_objects(&editor, target, change);
    } else {
        strip_nulls(change);
        target = change;
    }
    if (err)
        return err;
    kvs_json_write(target, out);
    return out->err;
}
