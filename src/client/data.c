// SPDX-License-Identifier: Apache-2.0
// One record: get, put, patch, delete, restore. Values are passed on byte for byte, never parsed
// and written again. Any thread.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/uuid.h"
#include "client/client_internal.h"

// ---- Reading

static enum kvs_client_code read_record(struct kvs_client_call *call,
                                        struct kvs_client_record *ret_record,
                                        struct kvs_client_error *ret_error)
{
    KVS_CLEANUP(kvs_client_memory_freep) struct kvs_client_memory *memory = NULL;
    struct kvs_json *root = NULL;
    struct kvs_client_record record = {0};
    enum kvs_client_code code = kvs_client_answer_take(call, &memory, &root, ret_error);
    if (code != KVS_CLIENT_OK)
        return code;
    if (kvs_client_is_true(kvs_json_member(root, "deleted")) ||
        kvs_client_is_true(kvs_json_member(root, "expired")))
        return kvs_client_fail(ret_error, KVS_CLIENT_NOT_FOUND,
                               "that revision holds no value: it is a deletion or has expired");
    if (!kvs_client_read_version(root, memory, &record.version) ||
        !kvs_client_read_json(kvs_json_member(root, "data"), &record.json, &record.json_size))
        return kvs_client_fail_unexpected(call, ret_error);
    record.memory = KVS_TAKE(memory);
    *ret_record = record;
    return KVS_CLIENT_OK;
}

void kvs_client_record_done(struct kvs_client_record *record)
{
    kvs_client_memory_free(record->memory);
    *record = (struct kvs_client_record){0};
}

static enum kvs_client_code get(struct kvs_client *client, const struct kvs_buf *target,
                                const char *condition, struct kvs_client_record *ret_record,
                                struct kvs_client_error *ret_error)
{
    KVS_CLEANUP(kvs_client_call_endp) struct kvs_client_call *call = NULL;
    const struct kvs_client_request request = {
        .method = "GET", .target = kvs_buf_slice(target), .condition = condition};
    if (target->err)
        return kvs_client_fail_nomem(ret_error);
    enum kvs_client_code code = kvs_client_perform(client, &request, &call, ret_error);
    return code == KVS_CLIENT_OK ? read_record(call, ret_record, ret_error) : code;
}

enum kvs_client_code kvs_client_get(struct kvs_client *client, const char *key,
                                    struct kvs_client_record *ret_record,
                                    struct kvs_client_error *ret_error)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf target = KVS_BUF_INIT(KVS_CLIENT_TARGET_SIZE_MAX);
    enum kvs_client_code code = kvs_client_target_begin(&target, "/kv/", key, ret_error);
    return code == KVS_CLIENT_OK ? get(client, &target, NULL, ret_record, ret_error) : code;
}

enum kvs_client_code kvs_client_get_if_changed(struct kvs_client *client, const char *key,
                                               const char *uuid,
                                               struct kvs_client_record *ret_record,
                                               struct kvs_client_error *ret_error)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf target = KVS_BUF_INIT(KVS_CLIENT_TARGET_SIZE_MAX);
    char condition[KVS_CLIENT_CONDITION_SIZE];
    struct kvs_uuid parsed;
    if (!uuid || !kvs_uuid_parse(kvs_slice_from_str(uuid), &parsed))
        return kvs_client_fail(ret_error, KVS_CLIENT_INVALID, "'%s' is no version",
                               uuid ? uuid : "");
    (void)snprintf(condition, sizeof(condition), "If-None-Match: \"%s\"", uuid);
    enum kvs_client_code code = kvs_client_target_begin(&target, "/kv/", key, ret_error);
    return code == KVS_CLIENT_OK ? get(client, &target, condition, ret_record, ret_error) : code;
}

enum kvs_client_code kvs_client_get_revision(struct kvs_client *client, const char *key,
                                             uint32_t revision,
                                             struct kvs_client_record *ret_record,
                                             struct kvs_client_error *ret_error)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf target = KVS_BUF_INIT(KVS_CLIENT_TARGET_SIZE_MAX);
    enum kvs_client_code code = kvs_client_target_begin(&target, "/api/data/", key, ret_error);
    kvs_buf_printf(&target, "/history/%" PRIu32, revision);
    return code == KVS_CLIENT_OK ? get(client, &target, NULL, ret_record, ret_error) : code;
}

// ---- Writing

// {"uuid","timestamp"}; 201 says that there was nothing before.
static enum kvs_client_code read_written(struct kvs_client_call *call,
                                         struct kvs_client_version *ret_version, bool *ret_created,
                                         struct kvs_client_error *ret_error)
{
    KVS_CLEANUP(kvs_client_memory_freep) struct kvs_client_memory *memory = NULL;
    struct kvs_json *root = NULL;
    struct kvs_client_version version;
    enum kvs_client_code code = kvs_client_answer_take(call, &memory, &root, ret_error);
    if (code != KVS_CLIENT_OK)
        return code;
    if (!kvs_client_read_version(root, memory, &version))
        return kvs_client_fail_unexpected(call, ret_error);
    if (ret_version)
        *ret_version = version;
    if (ret_created)
        *ret_created = call->status == 201;
    return KVS_CLIENT_OK;
}

static enum kvs_client_code write_record(struct kvs_client *client,
                                         struct kvs_client_request *request,
                                         const struct kvs_buf *target,
                                         struct kvs_client_receipt *receipt,
                                         struct kvs_client_version *ret_version, bool *ret_created,
                                         struct kvs_client_error *ret_error)
{
    char prefer[KVS_CLIENT_PREFER_SIZE];
    KVS_CLEANUP(kvs_client_call_endp) struct kvs_client_call *call = NULL;
    if (target->err)
        return kvs_client_fail_nomem(ret_error);
    request->target = kvs_buf_slice(target);
    request->writes = true;
    enum kvs_client_code code = kvs_client_receipt_begin(receipt, request, prefer, ret_error);
    if (code == KVS_CLIENT_OK)
        code = kvs_client_perform(client, request, &call, ret_error);
    if (code == KVS_CLIENT_OK)
        code = read_written(call, ret_version, ret_created, ret_error);
    if (code == KVS_CLIENT_OK)
        kvs_client_receipt_end(receipt, call);
    return code;
}

static const struct kvs_client_put_options no_options;

// "*" holds after the first try as well as before it.
static bool is_pinned(const struct kvs_client_put_options *options)
{
    return options->if_none_match || (options->if_match && strcmp(options->if_match, "*") != 0);
}

static enum kvs_client_repeat repeat_of(const char *condition)
{
    return condition[0] ? KVS_CLIENT_REPEAT_ALWAYS : KVS_CLIENT_REPEAT_IF_WANTED;
}

static enum kvs_client_code begin_write(struct kvs_buf *target, const char *route, const char *key,
                                        const struct kvs_client_put_options *options,
                                        char ret_condition[static KVS_CLIENT_CONDITION_SIZE],
                                        struct kvs_client_error *ret_error)
{
    enum kvs_client_code code = kvs_client_target_begin(target, route, key, ret_error);
    if (code != KVS_CLIENT_OK)
        return code;
    return kvs_client_condition(options->if_match, options->if_none_match, ret_condition,
                                ret_error);
}

enum kvs_client_code kvs_client_put(struct kvs_client *client, const char *key, const char *json,
                                    size_t json_size, const struct kvs_client_put_options *options,
                                    struct kvs_client_version *ret_version, bool *ret_created,
                                    struct kvs_client_error *ret_error)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf target = KVS_BUF_INIT(KVS_CLIENT_TARGET_SIZE_MAX);
    char condition[KVS_CLIENT_CONDITION_SIZE];
    if (!options)
        options = &no_options;
    enum kvs_client_code code = begin_write(&target, "/kv/", key, options, condition, ret_error);
    if (code != KVS_CLIENT_OK)
        return code;
    kvs_client_target_add(&target, "ttl", options->ttl);
    struct kvs_client_request request = {.method = "PUT",
                                         .body = kvs_slice(json ? json : "", json_size),
                                         .condition = condition,
                                         .repeat = repeat_of(condition)};
    return write_record(client, &request, &target, options->receipt, ret_version, ret_created,
                        ret_error);
}

enum kvs_client_code
kvs_client_patch(struct kvs_client *client, const char *key, enum kvs_client_patch kind,
                 const char *json, size_t json_size, const struct kvs_client_put_options *options,
                 struct kvs_client_version *ret_version, struct kvs_client_error *ret_error)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf target = KVS_BUF_INIT(KVS_CLIENT_TARGET_SIZE_MAX);
    char condition[KVS_CLIENT_CONDITION_SIZE];
    if (!options)
        options = &no_options;
    enum kvs_client_code code = begin_write(&target, "/kv/", key, options, condition, ret_error);
    if (code != KVS_CLIENT_OK)
        return code;
    kvs_client_target_add(&target, "ttl", options->ttl);
    struct kvs_client_request request = {
        .method = "PATCH",
        .body = kvs_slice(json ? json : "", json_size),
        .content_type = kind == KVS_CLIENT_JSON_PATCH ? "application/json-patch+json"
                                                      : "application/merge-patch+json",
        .condition = condition,
        .repeat = is_pinned(options) ? KVS_CLIENT_REPEAT_ALWAYS : KVS_CLIENT_REPEAT_NEVER};
    return write_record(client, &request, &target, options->receipt, ret_version, NULL, ret_error);
}

enum kvs_client_code kvs_client_delete_receipt(struct kvs_client *client, const char *key,
                                               const char *if_match,
                                               struct kvs_client_receipt *receipt,
                                               struct kvs_client_error *ret_error)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf target = KVS_BUF_INIT(KVS_CLIENT_TARGET_SIZE_MAX);
    KVS_CLEANUP(kvs_client_call_endp) struct kvs_client_call *call = NULL;
    char condition[KVS_CLIENT_CONDITION_SIZE];
    char prefer[KVS_CLIENT_PREFER_SIZE];
    struct kvs_client_request request = {
        .method = "DELETE", .condition = condition, .writes = true};
    enum kvs_client_code code = kvs_client_target_begin(&target, "/kv/", key, ret_error);
    if (code == KVS_CLIENT_OK)
        code = kvs_client_condition(if_match, false, condition, ret_error);
    if (code == KVS_CLIENT_OK)
        code = kvs_client_receipt_begin(receipt, &request, prefer, ret_error);
    if (code != KVS_CLIENT_OK)
        return code;
    if (target.err)
        return kvs_client_fail_nomem(ret_error);
    request.target = kvs_buf_slice(&target);
    request.repeat = repeat_of(condition);
    code = kvs_client_perform(client, &request, &call, ret_error);
    if (code == KVS_CLIENT_OK)
        kvs_client_receipt_end(receipt, call);
    return code;
}

enum kvs_client_code kvs_client_delete(struct kvs_client *client, const char *key,
                                       const char *if_match, struct kvs_client_error *ret_error)
{
    return kvs_client_delete_receipt(client, key, if_match, NULL, ret_error);
}

enum kvs_client_code kvs_client_restore(struct kvs_client *client, const char *key,
                                        uint32_t revision,
                                        const struct kvs_client_put_options *options,
                                        struct kvs_client_version *ret_version,
                                        struct kvs_client_error *ret_error)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf target = KVS_BUF_INIT(KVS_CLIENT_TARGET_SIZE_MAX);
    char condition[KVS_CLIENT_CONDITION_SIZE];
    if (!options)
        options = &no_options;
    enum kvs_client_code code =
        begin_write(&target, "/api/data/", key, options, condition, ret_error);
    if (code != KVS_CLIENT_OK)
        return code;
    kvs_buf_printf(&target, "/history/%" PRIu32 "/restore", revision);
    kvs_client_target_add(&target, "ttl", options->ttl);
    // Once it is done, the number means another revision.
    struct kvs_client_request request = {.method = "POST",
                                         .body = KVS_SLICE(""),
                                         .condition = condition,
                                         .repeat = is_pinned(options) ? KVS_CLIENT_REPEAT_ALWAYS
                                                                      : KVS_CLIENT_REPEAT_NEVER};
    return write_record(client, &request, &target, options->receipt, ret_version, NULL, ret_error);
}
