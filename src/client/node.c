// SPDX-License-Identifier: Apache-2.0
// What a node says of itself. Any thread.
#include <string.h>

#include "client/client_internal.h"

void kvs_client_health_done(struct kvs_client_health *health)
{
    kvs_client_memory_free(health->memory);
    *health = (struct kvs_client_health){0};
}

static bool read_health(const struct kvs_json *root, struct kvs_client_memory *memory,
                        struct kvs_client_health *ret_health)
{
    uint64_t members = 0;
    const struct kvs_json *writable = kvs_json_member(root, "writable");
    const struct kvs_json *count = kvs_json_member(root, "member_count");
    if (count && !kvs_client_read_u64(count, &members))
        return false;
    ret_health->member_count = members < UINT32_MAX ? (uint32_t)members : UINT32_MAX;
    if (!kvs_client_read_text(kvs_json_member(root, "status"), memory, &ret_health->status) ||
        !kvs_client_read_text(kvs_json_member(root, "mode"), memory, &ret_health->mode) ||
        !kvs_client_read_text(kvs_json_member(root, "node_id"), memory, &ret_health->node_id))
        return false;
    if (!kvs_client_read_text(kvs_json_member(root, "version"), memory, &ret_health->version))
        ret_health->version = "";
    ret_health->writable =
        writable ? kvs_client_is_true(writable) : strcmp(ret_health->mode, "normal") == 0;
    return true;
}

enum kvs_client_code kvs_client_health(struct kvs_client *client,
                                       struct kvs_client_health *ret_health,
                                       struct kvs_client_error *ret_error)
{
    KVS_CLEANUP(kvs_client_call_endp) struct kvs_client_call *call = NULL;
    KVS_CLEANUP(kvs_client_memory_freep) struct kvs_client_memory *memory = NULL;
    const struct kvs_client_request request = {.method = "GET", .target = KVS_SLICE("/health")};
    struct kvs_client_health health = {0};
    struct kvs_json *root = NULL;
    enum kvs_client_code code = kvs_client_perform(client, &request, &call, ret_error);
    if (code == KVS_CLIENT_OK)
        code = kvs_client_answer_take(call, &memory, &root, ret_error);
    if (code != KVS_CLIENT_OK)
        return code;
    // The whole, before its parts are cut out.
    struct kvs_slice whole = kvs_arena_copy(&memory->arena, root->source);
    struct kvs_slice url = kvs_arena_copy(&memory->arena, kvs_slice_from_str(call->node->url));
    if (!whole.data || !url.data)
        return kvs_client_fail_nomem(ret_error);
    if (!read_health(root, memory, &health))
        return kvs_client_fail_unexpected(call, ret_error);
    health.url = url.data;
    health.json = whole.data;
    health.json_size = whole.size;
    health.memory = KVS_TAKE(memory);
    *ret_health = health;
    return KVS_CLIENT_OK;
}
