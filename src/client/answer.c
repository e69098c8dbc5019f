// SPDX-License-Identifier: Apache-2.0
// From the body of an answer to what a result owns. Values stay where they came: a result takes the
// body over, and its texts are slices of it, ended by a NUL that replaces a quote, a comma or a
// bracket of the JSON around them. Pure but for memory.
#include <string.h>

#include "base/assert.h"
#include "client/client_internal.h"

enum { ARENA_PER_TEXT = 48, ARENA_SIZE_MIN = 1 << 20 }; // "[[[[" is a tree 48 times its size

void kvs_client_memory_free(struct kvs_client_memory *memory)
{
    if (!memory)
        return;
    kvs_arena_done(&memory->arena);
    kvs_buf_done(&memory->text);
    free(memory);
}

enum kvs_client_code kvs_client_answer_take(struct kvs_client_call *call,
                                            struct kvs_client_memory **ret_memory,
                                            struct kvs_json **ret_root,
                                            struct kvs_client_error *ret_error)
{
    struct kvs_client_memory *memory = malloc(sizeof(*memory));
    if (!memory)
        return kvs_client_fail_nomem(ret_error);
    struct kvs_slice body = kvs_buf_slice(&call->answer);
    call->answer.size_max = call->client->answer_size_max + 1;
    kvs_buf_append_char(&call->answer, 0);
    bool terminated = !call->answer.err;
    memory->text = call->answer;
    kvs_buf_init(&call->answer, call->client->answer_size_max);
    body.data = memory->text.data; // the NUL may have moved it
    kvs_arena_init(&memory->arena, ARENA_SIZE_MIN + ARENA_PER_TEXT * body.size);
    struct kvs_json_error error;
    int err =
        terminated ? kvs_json_parse(body, 0, &memory->arena, ret_root, &error) : KVS_ERR_NOMEM;
    if (!err) {
        *ret_memory = memory;
        return KVS_CLIENT_OK;
    }
    kvs_client_memory_free(memory);
    return err == KVS_ERR_NOMEM ? kvs_client_fail_nomem(ret_error)
                                : kvs_client_fail_unexpected(call, ret_error);
}

// The byte behind the slice is part of the body, or its NUL.
static const char *terminate(struct kvs_slice slice)
{
    kvs_assert(slice.data);
    char *text = (char *)slice.data; // lies in memory->text, which is ours
    text[slice.size] = 0;
    return text;
}

bool kvs_client_read_text(const struct kvs_json *value, struct kvs_client_memory *memory,
                          const char **ret_text)
{
    struct kvs_slice text;
    if (!value || value->type != KVS_JSON_STRING ||
        kvs_json_string(value, &memory->arena, &text) < 0)
        return false;
    bool borrowed =
        text.data >= value->source.data && text.data < value->source.data + value->source.size;
    *ret_text = borrowed ? terminate(text) : kvs_arena_copy(&memory->arena, text).data;
    return *ret_text != NULL;
}

bool kvs_client_read_json(const struct kvs_json *value, const char **ret_json, size_t *ret_size)
{
    if (!value)
        return false;
    *ret_json = terminate(value->source);
    *ret_size = value->source.size;
    return true;
}

bool kvs_client_read_version(const struct kvs_json *object, struct kvs_client_memory *memory,
                             struct kvs_client_version *ret_version)
{
    const struct kvs_json *timestamp = kvs_json_member(object, "timestamp");
    const char *uuid;
    if (!timestamp || !kvs_json_to_i64(timestamp, &ret_version->timestamp_ms) ||
        !kvs_client_read_text(kvs_json_member(object, "uuid"), memory, &uuid) ||
        strlen(uuid) != KVS_CLIENT_UUID_SIZE - 1)
        return false;
    memcpy(ret_version->uuid, uuid, KVS_CLIENT_UUID_SIZE);
    return true;
}

bool kvs_client_read_u64(const struct kvs_json *value, uint64_t *ret_number)
{
    int64_t number;
    if (!value || !kvs_json_to_i64(value, &number) || number < 0)
        return false;
    *ret_number = (uint64_t)number;
    return true;
}

bool kvs_client_is_true(const struct kvs_json *value)
{
    return value && value->type == KVS_JSON_TRUE;
}
