// SPDX-License-Identifier: Apache-2.0
// JSON pointers (RFC 6901). Pure.
#include "codec/json_patch.h"

// Decodes ~0 and ~1; borrows the token when there is none of them.
static int decode_token(struct kvs_slice raw, struct kvs_arena *arena, struct kvs_slice *ret_token)
{
    *ret_token = raw;
    if (raw.size == 0 || !memchr(raw.data, '~', raw.size))
        return 0;
    char *token = kvs_arena_alloc(arena, raw.size);
    if (!token)
        return KVS_ERR_NOMEM;
    size_t size = 0;
    for (size_t i = 0; i < raw.size; i++) {
        char c = raw.data[i];
        if (c == '~') {
            i++;
            if (i == raw.size || (raw.data[i] != '0' && raw.data[i] != '1'))
                return KVS_ERR_INVALID;
            c = raw.data[i] == '0' ? '~' : '/';
        }
        token[size++] = c;
    }
    *ret_token = kvs_slice(token, size);
    return 0;
}

int kvs_json_pointer_parse(struct kvs_slice text, struct kvs_arena *arena,
                           struct kvs_json_pointer *ret_pointer)
{
    *ret_pointer = (struct kvs_json_pointer){0};
    if (text.size == 0)
        return 0;
    if (text.data[0] != '/')
        return KVS_ERR_INVALID;
    size_t count = 0;
    for (size_t i = 0; i < text.size; i++)
        count += text.data[i] == '/';
    ret_pointer->tokens = kvs_arena_alloc(arena, count * sizeof(*ret_pointer->tokens));
    if (!ret_pointer->tokens)
        return KVS_ERR_NOMEM;
    const char *end = text.data + text.size;
    for (const char *p = text.data + 1; ret_pointer->count < count; ret_pointer->count++) {
        const char *slash = p < end ? memchr(p, '/', (size_t)(end - p)) : NULL;
        const char *stop = slash ? slash : end;
        int err = decode_token(kvs_slice(p, (size_t)(stop - p)), arena,
                               &ret_pointer->tokens[ret_pointer->count]);
        if (err)
            return err;
        p = stop + 1;
    }
    return 0;
}

bool kvs_json_pointer_index(struct kvs_slice token, uint32_t *ret_index)
{
    uint64_t index = 0;
    bool leading_zero = token.size > 1 && token.data[0] == '0';
    if (leading_zero || !kvs_slice_to_u64(token, &index) || index > UINT32_MAX)
        return false;
    *ret_index = (uint32_t)index;
    return true;
}

bool kvs_json_pointer_contains(const struct kvs_json_pointer *a, const struct kvs_json_pointer *b)
{
    if (a->count > b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!kvs_slice_eq(a->tokens[i], b->tokens[i]))
            return false;
    return true;
}
