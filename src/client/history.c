// SPDX-License-Identifier: Apache-2.0
// The earlier versions of a key. Any thread.
#include <string.h>

#include "client/client_internal.h"

static bool read_revision(const struct kvs_json *object, struct kvs_client_memory *memory,
                          struct kvs_client_revision *ret_revision)
{
    uint64_t number;
    if (!kvs_client_read_u64(kvs_json_member(object, "revision"), &number) || number == 0 ||
        number > UINT32_MAX)
        return false;
    ret_revision->revision = (uint32_t)number;
    ret_revision->deleted = kvs_client_is_true(kvs_json_member(object, "deleted"));
    ret_revision->expired = kvs_client_is_true(kvs_json_member(object, "expired"));
    ret_revision->conflict_loser = kvs_client_is_true(kvs_json_member(object, "conflict"));
    return kvs_client_read_version(object, memory, &ret_revision->version) &&
           kvs_client_read_json(kvs_json_member(object, "data"), &ret_revision->json,
                                &ret_revision->json_size);
}

static enum kvs_client_code read_history(struct kvs_client_call *call,
                                         struct kvs_client_history *ret_history,
                                         struct kvs_client_error *ret_error)
{
    KVS_CLEANUP(kvs_client_memory_freep) struct kvs_client_memory *memory = NULL;
    struct kvs_json *root = NULL;
    enum kvs_client_code code = kvs_client_answer_take(call, &memory, &root, ret_error);
    if (code != KVS_CLIENT_OK)
        return code;
    if (root->type != KVS_JSON_ARRAY)
        return kvs_client_fail_unexpected(call, ret_error);
    size_t size = ((size_t)root->child_count + 1) * sizeof(struct kvs_client_revision);
    struct kvs_client_revision *revisions = kvs_arena_alloc(&memory->arena, size);
    if (!revisions)
        return kvs_client_fail_nomem(ret_error);
    memset(revisions, 0, size);
    size_t count = 0;
    for (const struct kvs_json *each = root->child; each; each = each->next)
        if (!read_revision(each, memory, &revisions[count++]))
            return kvs_client_fail_unexpected(call, ret_error);
    *ret_history = (struct kvs_client_history){
        .revisions = revisions, .revision_count = count, .memory = KVS_TAKE(memory)};
    return KVS_CLIENT_OK;
}

void kvs_client_history_done(struct kvs_client_history *history)
{
    kvs_client_memory_free(history->memory);
    *history = (struct kvs_client_history){0};
}

enum kvs_client_code kvs_client_history(struct kvs_client *client, const char *key,
                                        struct kvs_client_history *ret_history,
                                        struct kvs_client_error *ret_error)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf target = KVS_BUF_INIT(KVS_CLIENT_TARGET_SIZE_MAX);
    KVS_CLEANUP(kvs_client_call_endp) struct kvs_client_call *call = NULL;
    enum kvs_client_code code = kvs_client_target_begin(&target, "/api/data/", key, ret_error);
    if (code != KVS_CLIENT_OK)
        return code;
    kvs_buf_append_str(&target, "/history");
    if (target.err)
        return kvs_client_fail_nomem(ret_error);
    const struct kvs_client_request request = {.method = "GET", .target = kvs_buf_slice(&target)};
    code = kvs_client_perform(client, &request, &call, ret_error);
    return code == KVS_CLIENT_OK ? read_history(call, ret_history, ret_error) : code;
}
