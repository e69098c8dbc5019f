// SPDX-License-Identifier: Apache-2.0
// The tree over a scanned text: its nodes live in the caller's arena, its numbers and strings are
// slices of the source. Never parses on its own: the scanner decides what is JSON. Pure; a finished
// tree may be read from several threads.
#include "codec/json_internal.h"

#include "base/assert.h"

struct builder {
    struct kvs_slice text;
    struct kvs_arena *arena;
    int flags;
    struct kvs_json_error *ret_error;
    struct kvs_slice key;   // of the value that comes next; empty outside objects
    struct kvs_json **link; // where the next value is hung
    unsigned depth;
    struct kvs_json *open[KVS_JSON_DEPTH_MAX]; // outermost first
};

static int add_value(struct builder *builder, enum kvs_json_type type, struct kvs_slice source)
{
    struct kvs_json *value = kvs_arena_alloc(builder->arena, sizeof(*value));
    if (!value)
        return KVS_ERR_NOMEM;
    *value = (struct kvs_json){.type = type, .source = source, .key = builder->key};
    *builder->link = value;
    builder->link = &value->next;
    builder->key = KVS_SLICE_EMPTY;
    if (builder->depth > 0)
        builder->open[builder->depth - 1]->child_count++;
    return 0;
}

static int on_key(void *context, struct kvs_slice key)
{
    struct builder *builder = context;
    builder->key = key;
    return 0;
}

static int on_scalar(void *context, enum kvs_json_type type, struct kvs_slice source)
{
    return add_value(context, type, source);
}

static int on_open(void *context, enum kvs_json_type type, const char *at)
{
    struct builder *builder = context;
    struct kvs_json **link = builder->link;
    int err = add_value(builder, type, kvs_slice(at, 0));
    if (err)
        return err;
    kvs_assert(builder->depth < KVS_JSON_DEPTH_MAX);
    builder->open[builder->depth++] = *link;
    builder->link = &(*link)->child;
    return 0;
}

struct name {
    struct kvs_slice decoded;
    const char *at; // in the source
};

static int compare_names(const void *a, const void *b)
{
    const struct name *left = a;
    const struct name *right = b;
    int order = kvs_slice_cmp(left->decoded, right->decoded);
    return order != 0 ? order : (left->at > right->at) - (left->at < right->at);
}

// Sorts rather than hashes: n log n whatever names a stranger chooses. Reports the earliest
// repetition.
static int check_unique_keys(struct builder *builder, const struct kvs_json *object)
{
    if (object->child_count < 2)
        return 0;
    struct name *names = kvs_arena_alloc(builder->arena, object->child_count * sizeof(*names));
    if (!names)
        return KVS_ERR_NOMEM;
    size_t count = 0;
    for (const struct kvs_json *member = object->child; member; member = member->next) {
        int err = kvs_json_key(member, builder->arena, &names[count].decoded);
        if (err)
            return err;
        names[count++].at = member->key.data;
    }
    qsort(names, count, sizeof(*names), compare_names);
    const char *repeated = NULL;
    for (size_t i = 1; i < count; i++)
        if (kvs_slice_eq(names[i - 1].decoded, names[i].decoded) &&
            (!repeated || names[i].at < repeated))
            repeated = names[i].at;
    if (!repeated)
        return 0;
    return kvs_json_fail(builder->text, (size_t)(repeated - builder->text.data),
                         "duplicate member name", builder->ret_error);
}

static int on_close(void *context, const char *at)
{
    struct builder *builder = context;
    struct kvs_json *value = builder->open[--builder->depth];
    value->source.size = (size_t)(at - value->source.data);
    builder->link = &value->next;
    if (value->type == KVS_JSON_OBJECT && (builder->flags & KVS_JSON_UNIQUE_KEYS))
        return check_unique_keys(builder, value);
    return 0;
}

int kvs_json_parse(struct kvs_slice text, int flags, struct kvs_arena *arena,
                   struct kvs_json **ret_root, struct kvs_json_error *ret_error)
{
    static const struct kvs_json_events events = {
        .key = on_key, .scalar = on_scalar, .open = on_open, .close = on_close};
    struct kvs_json *root = NULL;
    struct builder builder;
    builder.text = text;
    builder.arena = arena;
    builder.flags = flags;
    builder.ret_error = ret_error;
    builder.key = KVS_SLICE_EMPTY;
    builder.link = &root;
    builder.depth = 0;
    int err = kvs_json_scan(text, &events, &builder, ret_error);
    if (!err)
        *ret_root = root;
    return err;
}

const struct kvs_json *kvs_json_member(const struct kvs_json *object, const char *name)
{
    if (!object || object->type != KVS_JSON_OBJECT)
        return NULL;
    struct kvs_slice wanted = kvs_slice_from_str(name);
    const struct kvs_json *found = NULL;
    for (const struct kvs_json *member = object->child; member; member = member->next)
        if (kvs_json_string_eq(member->key, wanted))
            found = member;
    return found;
}
