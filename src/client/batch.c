// SPDX-License-Identifier: Apache-2.0
// POST /kv_batch: operations to one JSON array, and each result to its operation. Any thread.
#include <string.h>

#include "base/uuid.h"
#include "client/client_internal.h"
#include "codec/record.h"

enum { BODY_SIZE_MAX = 1 << 30 };

static const char *const kind_names[] = {
    [KVS_CLIENT_OPERATION_GET] = "get",
    [KVS_CLIENT_OPERATION_PUT] = "put",
    [KVS_CLIENT_OPERATION_DELETE] = "delete",
};

// ---- The request

static bool is_condition(const char *text)
{
    struct kvs_uuid uuid;
    return strcmp(text, "*") == 0 || kvs_uuid_parse(kvs_slice_from_str(text), &uuid);
}

static const char *refusal(const struct kvs_client_operation *operation)
{
    const char *reason = NULL;
    if ((size_t)operation->kind >= KVS_ARRAY_SIZE(kind_names))
        return "of an unknown kind";
    if (!operation->key)
        return "without a key";
    if (!kvs_key_is_valid(kvs_slice_from_str(operation->key), &reason))
        return reason;
    if (operation->kind == KVS_CLIENT_OPERATION_PUT && !operation->json)
        return "a put without a value";
    if (operation->if_match && !is_condition(operation->if_match))
        return "if_match is no version";
    return NULL;
}

static void append_member(struct kvs_buf *body, const char *name, const char *text)
{
    if (!text)
        return;
    kvs_buf_printf(body, ",\"%s\":", name);
    kvs_json_write_string(body, kvs_slice_from_str(text));
}

static void append_operation(struct kvs_buf *body, const struct kvs_client_operation *operation)
{
    kvs_buf_append_str(body, "{\"op\":\"");
    kvs_buf_append_str(body, kind_names[operation->kind]);
    kvs_buf_append_char(body, '"');
    append_member(body, "path", operation->key);
    if (operation->kind == KVS_CLIENT_OPERATION_PUT) {
        kvs_buf_append_str(body, ",\"data\":");
        kvs_buf_append(body, operation->json, operation->json_size);
        append_member(body, "ttl", operation->ttl);
    }
    if (operation->kind != KVS_CLIENT_OPERATION_GET)
        append_member(body, "if_match", operation->if_match);
    kvs_buf_append_char(body, '}');
}

static enum kvs_client_code make_body(struct kvs_buf *body,
                                      const struct kvs_client_operation *operations, size_t count,
                                      struct kvs_client_error *ret_error)
{
    if (count == 0 || count > KVS_CLIENT_BATCH_MAX)
        return kvs_client_fail(ret_error, KVS_CLIENT_INVALID,
                               "a batch holds 1 to %d operations, not %zu", KVS_CLIENT_BATCH_MAX,
                               count);
    kvs_buf_append_char(body, '[');
    for (size_t i = 0; i < count; i++) {
        const char *reason = refusal(&operations[i]);
        if (reason)
            return kvs_client_fail(ret_error, KVS_CLIENT_INVALID, "operation %zu: %s", i + 1,
                                   reason);
        if (i > 0)
            kvs_buf_append_char(body, ',');
        append_operation(body, &operations[i]);
    }
    kvs_buf_append_char(body, ']');
    return body->err ? kvs_client_fail_nomem(ret_error) : KVS_CLIENT_OK;
}

// Reads change nothing; conditions on a version make repeating harmless; anything else does not.
static enum kvs_client_repeat repeat_of(const struct kvs_client_operation *operations, size_t count)
{
    bool pinned = true;
    for (size_t i = 0; i < count; i++)
        pinned =
            pinned && (operations[i].kind == KVS_CLIENT_OPERATION_GET || operations[i].if_match);
    return pinned ? KVS_CLIENT_REPEAT_ALWAYS : KVS_CLIENT_REPEAT_IF_WANTED;
}

// ---- The answer

// {"status":…,"uuid","timestamp","data"} or {"status":…,"title","detail"}.
static bool read_result(const struct kvs_json *object, struct kvs_client_memory *memory,
                        struct kvs_client_result *ret_result)
{
    uint64_t status;
    if (!kvs_client_read_u64(kvs_json_member(object, "status"), &status) || status < 100 ||
        status > 599)
        return false;
    ret_result->http_status = (int)status;
    ret_result->code = kvs_client_code_of_status((int)status);
    ret_result->message = "";
    if (ret_result->code != KVS_CLIENT_OK)
        return kvs_client_read_text(kvs_json_member(object, "detail"), memory,
                                    &ret_result->message) ||
               kvs_client_read_text(kvs_json_member(object, "title"), memory,
                                    &ret_result->message) ||
               (ret_result->message = kvs_client_code_text((int)ret_result->code));
    const struct kvs_json *data = kvs_json_member(object, "data");
    if (kvs_json_member(object, "uuid") &&
        !kvs_client_read_version(object, memory, &ret_result->version))
        return false;
    return !data || kvs_client_read_json(data, &ret_result->json, &ret_result->json_size);
}

static enum kvs_client_code read_results(struct kvs_client_call *call, size_t count,
                                         struct kvs_client_results *ret_results,
                                         struct kvs_client_error *ret_error)
{
    KVS_CLEANUP(kvs_client_memory_freep) struct kvs_client_memory *memory = NULL;
    struct kvs_json *root = NULL;
    enum kvs_client_code code = kvs_client_answer_take(call, &memory, &root, ret_error);
    if (code != KVS_CLIENT_OK)
        return code;
    const struct kvs_json *list = kvs_json_member(root, "results");
    if (!list)
        list = root;
    if (list->type != KVS_JSON_ARRAY || list->child_count != count)
        return kvs_client_fail_unexpected(call, ret_error);
    struct kvs_client_result *results =
        kvs_arena_alloc(&memory->arena, count * sizeof(struct kvs_client_result));
    if (!results)
        return kvs_client_fail_nomem(ret_error);
    memset(results, 0, count * sizeof(*results));
    size_t i = 0;
    for (const struct kvs_json *each = list->child; each; each = each->next)
        if (!read_result(each, memory, &results[i++]))
            return kvs_client_fail_unexpected(call, ret_error);
    *ret_results = (struct kvs_client_results){
        .results = results, .result_count = count, .memory = KVS_TAKE(memory)};
    return KVS_CLIENT_OK;
}

void kvs_client_results_done(struct kvs_client_results *results)
{
    kvs_client_memory_free(results->memory);
    *results = (struct kvs_client_results){0};
}

enum kvs_client_code kvs_client_batch_receipt(struct kvs_client *client,
                                              const struct kvs_client_operation *operations,
                                              size_t count, struct kvs_client_receipt *receipt,
                                              struct kvs_client_results *ret_results,
                                              struct kvs_client_error *ret_error)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf body = KVS_BUF_INIT(BODY_SIZE_MAX);
    KVS_CLEANUP(kvs_client_call_endp) struct kvs_client_call *call = NULL;
    char prefer[KVS_CLIENT_PREFER_SIZE];
    struct kvs_client_request request = {
        .method = "POST", .target = KVS_SLICE("/kv_batch"), .writes = true};
    enum kvs_client_code code = kvs_client_receipt_begin(receipt, &request, prefer, ret_error);
    if (code == KVS_CLIENT_OK)
        code = make_body(&body, operations, count, ret_error);
    if (code != KVS_CLIENT_OK)
        return code;
    request.body = kvs_buf_slice(&body);
    request.repeat = repeat_of(operations, count);
    code = kvs_client_perform(client, &request, &call, ret_error);
    if (code == KVS_CLIENT_OK)
        code = read_results(call, count, ret_results, ret_error);
    if (code == KVS_CLIENT_OK)
        kvs_client_receipt_end(receipt, call);
    return code;
}

enum kvs_client_code kvs_client_batch(struct kvs_client *client,
                                      const struct kvs_client_operation *operations, size_t count,
                                      struct kvs_client_results *ret_results,
                                      struct kvs_client_error *ret_error)
{
    return kvs_client_batch_receipt(client, operations, count, NULL, ret_results, ret_error);
}
