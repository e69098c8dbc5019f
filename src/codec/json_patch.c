// SPDX-License-Identifier: Apache-2.0
// JSON patches (RFC 6902): first every operation is read, then they are applied, one after another,
// to a tree that is thrown away when one fails. A step budget and the depth of what is added bound
// the work, whatever the patch. Pure.
#include "codec/json_edit_internal.h"

enum op_kind { OP_ADD, OP_REMOVE, OP_REPLACE, OP_MOVE, OP_COPY, OP_TEST };

struct op {
    enum op_kind kind;
    struct kvs_json_pointer path;
    struct kvs_json_pointer from; // MOVE, COPY
    struct kvs_json *value;       // ADD, REPLACE, TEST
};

struct ops {
    struct op *list;
    size_t count;
};

struct patcher {
    struct kvs_json_editor editor;
    struct kvs_json *root;
    struct kvs_json_patch_error *error;
};

static int fail(struct patcher *patcher, int err, const char *reason)
{
    patcher->error->reason = reason;
    return err;
}

static int too_much_work(struct patcher *patcher)
{
    return fail(patcher, KVS_ERR_TOO_LARGE, "the patch takes too many steps");
}

// ---- Reading

static int read_kind(struct patcher *patcher, const struct kvs_json *operation,
                     enum op_kind *ret_kind)
{
    static const char *const names[] = {
        [OP_ADD] = "add",   [OP_REMOVE] = "remove", [OP_REPLACE] = "replace",
        [OP_MOVE] = "move", [OP_COPY] = "copy",     [OP_TEST] = "test",
    };
    const struct kvs_json *op = kvs_json_member(operation, "op");
    if (!op || op->type != KVS_JSON_STRING)
        return fail(patcher, KVS_ERR_INVALID, "it has no member \"op\" that is a string");
    for (size_t i = 0; i < KVS_ARRAY_SIZE(names); i++)
        if (kvs_json_string_eq(op->source, kvs_slice_from_str(names[i]))) {
            *ret_kind = (enum op_kind)i;
            return 0;
        }
    return fail(patcher, KVS_ERR_INVALID,
                "its \"op\" is none of add, remove, replace, move, copy and test");
}

static int read_pointer(struct patcher *patcher, const struct kvs_json *operation, const char *name,
                        const char *reason, struct kvs_json_pointer *ret_pointer)
{
    struct kvs_arena *arena = patcher->editor.arena;
    struct kvs_slice text = KVS_SLICE_EMPTY;
    const struct kvs_json *member = kvs_json_member(operation, name);
    int err = member ? kvs_json_string(member, arena, &text) : KVS_ERR_INVALID;
    if (!err)
        err = kvs_json_pointer_parse(text, arena, ret_pointer);
    return err == KVS_ERR_INVALID ? fail(patcher, err, reason) : err;
}

static int read_op(struct patcher *patcher, struct kvs_json *operation, struct op *ret_op)
{
    *ret_op = (struct op){0};
    if (operation->type != KVS_JSON_OBJECT)
        return fail(patcher, KVS_ERR_INVALID, "it is no object");
    int err = read_kind(patcher, operation, &ret_op->kind);
    if (!err)
        err = read_pointer(patcher, operation, "path", "its \"path\" is missing or no JSON pointer",
                           &ret_op->path);
    if (!err && (ret_op->kind == OP_MOVE || ret_op->kind == OP_COPY))
        err = read_pointer(patcher, operation, "from", "its \"from\" is missing or no JSON pointer",
                           &ret_op->from);
    if (err)
        return err;
    // Ours to change: nobody else sees this tree.
    ret_op->value = (struct kvs_json *)(uintptr_t)kvs_json_member(operation, "value");
    bool needs_value =
        ret_op->kind == OP_ADD || ret_op->kind == OP_REPLACE || ret_op->kind == OP_TEST;
    if (needs_value && !ret_op->value)
        return fail(patcher, KVS_ERR_INVALID, "it has no member \"value\"");
    if (ret_op->kind == OP_REMOVE && ret_op->path.count == 0)
        return fail(patcher, KVS_ERR_INVALID, "the whole document cannot be removed");
    if (ret_op->kind == OP_MOVE && ret_op->from.count < ret_op->path.count &&
        kvs_json_pointer_contains(&ret_op->from, &ret_op->path))
        return fail(patcher, KVS_ERR_INVALID, "nothing can be moved into itself");
    return 0;
}

static int read_ops(struct patcher *patcher, struct kvs_slice patch, struct ops *ret_ops)
{
    struct kvs_json *root = NULL;
    patcher->error->operation = SIZE_MAX;
    int err = kvs_json_parse(patch, KVS_JSON_UNIQUE_KEYS, patcher->editor.arena, &root, NULL);
    if (err)
        return err;
    if (root->type != KVS_JSON_ARRAY)
        return fail(patcher, KVS_ERR_INVALID, "a JSON patch is an array of operations");
    *ret_ops = (struct ops){0};
    if (root->child_count == 0)
        return 0;
    ret_ops->list =
        kvs_arena_alloc(patcher->editor.arena, root->child_count * sizeof(*ret_ops->list));
    if (!ret_ops->list)
        return KVS_ERR_NOMEM;
    struct kvs_json *next = NULL;
    for (struct kvs_json *operation = root->child; operation; operation = next) {
        next = operation->next;
        patcher->error->operation = ret_ops->count;
        err = read_op(patcher, operation, &ret_ops->list[ret_ops->count++]);
        if (err)
            return err;
    }
    return 0;
}

// ---- Finding

static int no_location(struct patcher *patcher)
{
    return fail(patcher, KVS_ERR_CONFLICT, "there is no such location");
}

// The link to the element at `index`, or behind the last one.
static int find_element(struct patcher *patcher, struct kvs_json *array, uint32_t index,
                        struct kvs_json ***ret_link)
{
    if (index > array->child_count)
        return no_location(patcher);
    if (!kvs_json_work(&patcher->editor, index + 1ULL))
        return too_much_work(patcher);
    struct kvs_json **link = &array->child;
    while (index-- > 0)
        link = &(*link)->next;
    *ret_link = link;
    return 0;
}

// The link to the last member of that name; *ret_link NULL: none.
static int find_member(struct patcher *patcher, struct kvs_json *object, struct kvs_slice name,
                       struct kvs_json ***ret_link)
{
    *ret_link = NULL;
    if (!kvs_json_work(&patcher->editor, object->child_count + 1ULL))
        return too_much_work(patcher);
    for (struct kvs_json **link = &object->child; *link; link = &(*link)->next)
        if (kvs_json_string_eq((*link)->key, name))
            *ret_link = link;
    return 0;
}

// The link to what `token` names in `parent`; it must be there.
static int find_child(struct patcher *patcher, struct kvs_json *parent, struct kvs_slice token,
                      struct kvs_json ***ret_link)
{
    uint32_t index = 0;
    *ret_link = NULL;
    int err = 0;
    if (parent->type == KVS_JSON_OBJECT)
        err = find_member(patcher, parent, token, ret_link);
    else if (parent->type == KVS_JSON_ARRAY && kvs_json_pointer_index(token, &index))
        err = find_element(patcher, parent, index, ret_link);
    if (err)
        return err;
    return *ret_link && **ret_link ? 0 : no_location(patcher);
}

// The value at the first `count` tokens of `pointer`.
static int find(struct patcher *patcher, const struct kvs_json_pointer *pointer, size_t count,
                struct kvs_json **ret_value)
{
    *ret_value = patcher->root;
    for (size_t i = 0; i < count; i++) {
        struct kvs_json **link = NULL;
        int err = find_child(patcher, *ret_value, pointer->tokens[i], &link);
        if (err)
            return err;
        *ret_value = *link;
    }
    return 0;
}

// ---- Changing

static struct kvs_slice last_token(const struct kvs_json_pointer *pointer)
{
    return pointer->tokens[pointer->count - 1];
}

static void unlink_child(struct kvs_json *parent, struct kvs_json **link)
{
    *link = (*link)->next;
    parent->child_count--;
}

// All members of that name but `kept` (may be NULL).
static void drop_members(struct kvs_json *object, struct kvs_slice name,
                         const struct kvs_json *kept)
{
    for (struct kvs_json **link = &object->child; *link;) {
        if (*link != kept && kvs_json_string_eq((*link)->key, name))
            unlink_child(object, link);
        else
            link = &(*link)->next;
    }
}

static int quoted(struct patcher *patcher, struct kvs_slice name, struct kvs_slice *ret_key)
{
    enum { ESCAPED = 6 };
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf key = KVS_BUF_INIT(name.size * ESCAPED + 2);
    kvs_json_write_string(&key, name);
    if (key.err)
        return key.err;
    *ret_key = kvs_arena_copy(patcher->editor.arena, kvs_buf_slice(&key));
    return ret_key->data ? 0 : KVS_ERR_NOMEM;
}

static int set_member(struct patcher *patcher, struct kvs_json *object, struct kvs_slice name,
                      struct kvs_json *value)
{
    struct kvs_json **link = NULL;
    int err = find_member(patcher, object, name, &link);
    if (err)
        return err;
    if (link) { // in its place, under its name as it was written
        value->key = (*link)->key;
        value->next = (*link)->next;
        *link = value;
        drop_members(object, name, value);
        return 0;
    }
    err = quoted(patcher, name, &value->key);
    if (err)
        return err;
    struct kvs_json **last = &object->child;
    while (*last)
        last = &(*last)->next;
    value->next = NULL;
    *last = value;
    object->child_count++;
    return 0;
}

static int insert_element(struct patcher *patcher, struct kvs_json *array, struct kvs_slice token,
                          struct kvs_json *value)
{
    uint32_t index = array->child_count;
    if (!kvs_slice_eq(token, KVS_SLICE("-")) && !kvs_json_pointer_index(token, &index))
        return no_location(patcher);
    struct kvs_json **link = NULL;
    int err = find_element(patcher, array, index, &link);
    if (err)
        return err;
    value->next = *link;
    *link = value;
    array->child_count++;
    return 0;
}

static unsigned depth_of(struct kvs_json_editor *editor, const struct kvs_json *value)
{
    (void)kvs_json_work(editor, 1); // whoever asked looks at what is left
    if (value->type != KVS_JSON_ARRAY && value->type != KVS_JSON_OBJECT)
        return 0;
    unsigned depth = 0;
    for (const struct kvs_json *child = value->child; child && editor->work_left > 0;
         child = child->next) {
        unsigned below = depth_of(editor, child);
        depth = below > depth ? below : depth;
    }
    return depth + 1;
}

static int check_depth(struct patcher *patcher, const struct kvs_json_pointer *path,
                       const struct kvs_json *value)
{
    unsigned depth = depth_of(&patcher->editor, value);
    if (patcher->editor.work_left == 0)
        return too_much_work(patcher);
    if (path->count + depth > KVS_JSON_DEPTH_MAX)
        return fail(patcher, KVS_ERR_TOO_LARGE, "the result would be nested too deeply");
    return 0;
}

// `value` is in no tree (any more).
static int add(struct patcher *patcher, const struct kvs_json_pointer *path, struct kvs_json *value)
{
    struct kvs_json *parent = NULL;
    int err = check_depth(patcher, path, value);
    if (err)
        return err;
    if (path->count == 0) {
        patcher->root = value;
        return 0;
    }
    err = find(patcher, path, path->count - 1, &parent);
    if (err)
        return err;
    if (parent->type == KVS_JSON_OBJECT)
        return set_member(patcher, parent, last_token(path), value);
    if (parent->type == KVS_JSON_ARRAY)
        return insert_element(patcher, parent, last_token(path), value);
    return no_location(patcher);
}

// Takes the value at `path` (not the root) out of the tree.
static int take(struct patcher *patcher, const struct kvs_json_pointer *path,
                struct kvs_json **ret_value)
{
    struct kvs_json *parent = NULL;
    struct kvs_json **link = NULL;
    int err = find(patcher, path, path->count - 1, &parent);
    if (!err)
        err = find_child(patcher, parent, last_token(path), &link);
    if (err)
        return err;
    *ret_value = *link;
    unlink_child(parent, link);
    if (parent->type == KVS_JSON_OBJECT)
        drop_members(parent, last_token(path), NULL);
    return 0;
}

static int replace(struct patcher *patcher, const struct kvs_json_pointer *path,
                   struct kvs_json *value)
{
    struct kvs_json *parent = NULL;
    struct kvs_json **link = NULL;
    int err = check_depth(patcher, path, value);
    if (err)
        return err;
    if (path->count == 0) {
        patcher->root = value;
        return 0;
    }
    err = find(patcher, path, path->count - 1, &parent);
    if (!err)
        err = find_child(patcher, parent, last_token(path), &link);
    if (err)
        return err;
    if (parent->type == KVS_JSON_OBJECT)
        return set_member(patcher, parent, last_token(path), value);
    value->next = (*link)->next;
    *link = value;
    return 0;
}

static int clone(struct patcher *patcher, const struct kvs_json *value, struct kvs_json **ret_clone)
{
    if (!kvs_json_work(&patcher->editor, 1))
        return too_much_work(patcher);
    struct kvs_json *copy = kvs_arena_alloc(patcher->editor.arena, sizeof(*copy));
    if (!copy) // the arena's limit goes with the sizes that are allowed
        return fail(patcher, KVS_ERR_TOO_LARGE, "the patch takes too much memory");
    *copy = *value;
    struct kvs_json **link = &copy->child;
    for (const struct kvs_json *child = value->child; child; child = child->next) {
        int err = clone(patcher, child, link);
        if (err)
            return err;
        link = &(*link)->next;
    }
    copy->next = NULL;
    *ret_clone = copy;
    return 0;
}

static int move(struct patcher *patcher, const struct op *op)
{
    struct kvs_json *value = NULL;
    int err = find(patcher, &op->from, op->from.count, &value);
    bool stays = op->from.count == op->path.count; // and so it is the same location
    if (err || (stays && kvs_json_pointer_contains(&op->from, &op->path)))
        return err;
    err = take(patcher, &op->from, &value);
    return err ? err : add(patcher, &op->path, value);
}

static int copy(struct patcher *patcher, const struct op *op)
{
    struct kvs_json *value = NULL;
    int err = find(patcher, &op->from, op->from.count, &value);
    if (!err)
        err = clone(patcher, value, &value);
    return err ? err : add(patcher, &op->path, value);
}

static int test(struct patcher *patcher, const struct op *op)
{
    struct kvs_json *value = NULL;
    bool equal = false;
    int err = find(patcher, &op->path, op->path.count, &value);
    if (!err)
        err = kvs_json_equal_within(&patcher->editor, value, op->value, &equal);
    if (err == KVS_ERR_TOO_LARGE)
        return too_much_work(patcher);
    return err || equal ? err : fail(patcher, KVS_ERR_CONFLICT, "the test fails");
}

static int apply(struct patcher *patcher, const struct op *op)
{
    struct kvs_json *removed = NULL;
    switch (op->kind) {
    case OP_ADD:
        return add(patcher, &op->path, op->value);
    case OP_REMOVE:
        return take(patcher, &op->path, &removed);
    case OP_REPLACE:
        return replace(patcher, &op->path, op->value);
    case OP_MOVE:
        return move(patcher, op);
    case OP_COPY:
        return copy(patcher, op);
    case OP_TEST:
        return test(patcher, op);
    }
    return KVS_ERR_INTERNAL;
}

int kvs_json_patch(struct kvs_slice value, struct kvs_slice patch, struct kvs_arena *arena,
                   struct kvs_buf *out, struct kvs_json_patch_error *ret_error)
{
    struct patcher patcher = {.editor = {.arena = arena, .work_left = KVS_JSON_WORK_MAX},
                              .error = ret_error};
    struct ops ops;
    int err = read_ops(&patcher, patch, &ops);
    if (!err)
        err = kvs_json_parse(value, 0, arena, &patcher.root, NULL);
    for (size_t i = 0; !err && i < ops.count; i++) {
        ret_error->operation = i;
        err = apply(&patcher, &ops.list[i]);
    }
    if (err)
        return err;
    ret_error->operation = SIZE_MAX;
    kvs_json_write(patcher.root, out);
    return out->err == KVS_ERR_TOO_LARGE ? fail(&patcher, out->err, "the result is too large")
                                         : out->err;
}

int kvs_json_patch_check(struct kvs_slice patch, struct kvs_arena *arena,
                         struct kvs_json_patch_error *ret_error)
{
    struct patcher patcher = {.editor = {.arena = arena}, .error = ret_error};
    struct ops ops;
    return read_ops(&patcher, patch, &ops);
}
