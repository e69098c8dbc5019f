// SPDX-License-Identifier: Apache-2.0
// Deleting a subtree: DELETE /kv/{prefix}/?recursive=1 starts a job on the node, whose URL says how
// far it has come. A job belongs to one node, so its URL names that node. Any thread.
#include <stdio.h>
#include <string.h>

#include "client/client_internal.h"
#include "codec/http.h"

// The first member of these names that is a number.
static uint64_t read_count(const struct kvs_json *root, const char *const *names)
{
    uint64_t number;
    for (; *names; names++)
        if (kvs_client_read_u64(kvs_json_member(root, *names), &number))
            return number;
    return 0;
}

static void read_progress(const struct kvs_json *root, struct kvs_client_memory *memory,
                          struct kvs_client_job *job)
{
    static const char *const done_names[] = {"deleted", "records", NULL};
    static const char *const total_names[] = {"total", "records", NULL};
    const char *state = "";
    const char *detail = "";
    job->done = read_count(root, done_names);
    job->total = read_count(root, total_names);
    (void)kvs_client_read_text(kvs_json_member(root, "state"), memory, &state);
    if (!kvs_client_read_text(kvs_json_member(root, "error"), memory, &detail))
        (void)kvs_client_read_text(kvs_json_member(root, "detail"), memory, &detail); // or stays ""
    if (strcmp(state, "cancelled") == 0)
        detail = "it was cancelled";
    if (strcmp(state, "done") == 0)
        job->state = KVS_CLIENT_JOB_DONE;
    else if (strcmp(state, "failed") == 0 || strcmp(state, "cancelled") == 0)
        job->state = KVS_CLIENT_JOB_FAILED;
    else
        job->state = KVS_CLIENT_JOB_RUNNING;
    (void)snprintf(job->message, sizeof(job->message), "%s", detail);
}

// From Location, or from the body where a proxy dropped it. A path belongs to the node that
// answered.
static bool read_url(const struct kvs_client_call *call, const struct kvs_json *root,
                     struct kvs_client_memory *memory, struct kvs_client_job *job)
{
    const char *url = call->location;
    if (!*url && !kvs_client_read_text(kvs_json_member(root, "url"), memory, &url) &&
        !kvs_client_read_text(kvs_json_member(root, "job"), memory, &url))
        return false;
    size_t size = url[0] == '/' ? strlen(call->node->url) : 0;
    int written = snprintf(job->url, sizeof(job->url), "%.*s%s", (int)size, call->node->url, url);
    return written > 0 && (size_t)written < sizeof(job->url);
}

static enum kvs_client_code make_target(struct kvs_buf *target, const char *prefix, bool dry_run,
                                        struct kvs_client_error *ret_error)
{
    KVS_CLEANUP(kvs_freep) char *key = prefix ? strdup(prefix) : NULL;
    size_t size = key ? strlen(key) : 0;
    if (prefix && !key)
        return kvs_client_fail_nomem(ret_error);
    if (size > 0 && key[size - 1] == '/')
        key[size - 1] = 0;
    enum kvs_client_code code = kvs_client_target_begin(target, "/kv/", key, ret_error);
    if (code != KVS_CLIENT_OK)
        return code;
    kvs_buf_append_str(target, "/?recursive=1");
    if (dry_run)
        kvs_buf_append_str(target, "&dry_run=1");
    return target->err ? kvs_client_fail_nomem(ret_error) : KVS_CLIENT_OK;
}

enum kvs_client_code kvs_client_delete_tree(struct kvs_client *client, const char *prefix,
                                            bool dry_run, struct kvs_client_job *ret_job,
                                            struct kvs_client_error *ret_error)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf target = KVS_BUF_INIT(KVS_CLIENT_TARGET_SIZE_MAX);
    KVS_CLEANUP(kvs_client_call_endp) struct kvs_client_call *call = NULL;
    KVS_CLEANUP(kvs_client_memory_freep) struct kvs_client_memory *memory = NULL;
    struct kvs_json *root = NULL;
    enum kvs_client_code code = make_target(&target, prefix, dry_run, ret_error);
    if (code != KVS_CLIENT_OK)
        return code;
    const struct kvs_client_request request = {
        .method = "DELETE",
        .target = kvs_buf_slice(&target),
        .repeat = dry_run ? KVS_CLIENT_REPEAT_ALWAYS : KVS_CLIENT_REPEAT_IF_WANTED,
        .writes = !dry_run,
    };
    code = kvs_client_perform(client, &request, &call, ret_error);
    if (code == KVS_CLIENT_OK)
        code = kvs_client_answer_take(call, &memory, &root, ret_error);
    if (code != KVS_CLIENT_OK)
        return code;
    struct kvs_client_job job = {.state = KVS_CLIENT_JOB_RUNNING};
    read_progress(root, memory, &job);
    if (dry_run)
        job.state = KVS_CLIENT_JOB_DONE;
    else if (!read_url(call, root, memory, &job))
        return kvs_client_fail_unexpected(call, ret_error);
    *ret_job = job;
    return KVS_CLIENT_OK;
}

// The node of ours that the URL begins with.
static const struct kvs_client_node *node_of(const struct kvs_client *client, const char *url)
{
    for (size_t i = 0; i < client->node_count; i++) {
        size_t size = strlen(client->nodes[i].url);
        if (strncmp(url, client->nodes[i].url, size) == 0 && url[size] == '/')
            return &client->nodes[i];
    }
    return NULL;
}

enum kvs_client_code kvs_client_job_refresh(struct kvs_client *client, struct kvs_client_job *job,
                                            struct kvs_client_error *ret_error)
{
    const struct kvs_client_node *node = node_of(client, job->url);
    if (!node)
        return kvs_client_fail(ret_error, KVS_CLIENT_INVALID,
                               "'%s' is no job of one of this client's nodes", job->url);
    KVS_CLEANUP(kvs_client_call_endp)
    struct kvs_client_call *call = kvs_client_call_begin(client);
    KVS_CLEANUP(kvs_client_memory_freep) struct kvs_client_memory *memory = NULL;
    struct kvs_json *root = NULL;
    if (!call)
        return kvs_client_fail_nomem(ret_error);
    const struct kvs_client_request request = {
        .method = "GET", .target = kvs_slice_from_str(job->url + strlen(node->url))};
    call->node = node;
    enum kvs_client_code code = kvs_client_send_once(call, &request, client->timeout_ms, ret_error);
    if (code == KVS_CLIENT_OK)
        code = kvs_client_answer_take(call, &memory, &root, ret_error);
    if (code != KVS_CLIENT_OK)
        return code;
    read_progress(root, memory, job);
    return KVS_CLIENT_OK;
}
