// SPDX-License-Identifier: Apache-2.0
// Errors as RFC 9457 problem documents: {"title":"Not Found","status":404,"detail":"…"}. A detail
// says what to do; it never holds stored values or secrets.
#include "api/api_internal.h"

#include "codec/json.h"

#include <stdarg.h>
#include <stdio.h>

enum {
    DETAIL_SIZE_MAX = 1536,                       // a key of 1024 bytes and a sentence
    PROBLEM_SIZE_MAX = 6 * DETAIL_SIZE_MAX + 256, // every character of it escaped
};

const char *kvs_api_default_detail(int err)
{
    switch (err) {
    case KVS_ERR_READ_ONLY:
        return "This node is read-only: write to another node of the cluster.";
    case KVS_ERR_SYNCING:
        return "This node still reads from its peers: try again later or write to another node.";
    case KVS_ERR_SHUTDOWN:
        return "This node is shutting down: try again or use another node.";
    case KVS_ERR_NO_SPACE:
        return "The disk of this node is full: reads go on; writes do when space is freed.";
    case KVS_ERR_IO:
        return "The storage of this node failed: see its log; try again or use another node.";
    case KVS_ERR_CORRUPT:
        return "The stored record is damaged and is not served. A peer's copy repairs it; a PUT or "
               "DELETE without conditions replaces it.";
    case KVS_ERR_BUSY:
    case KVS_ERR_NOMEM:
        return "This node is overloaded: try again in a moment.";
    case KVS_ERR_UNAUTHORIZED:
        return "Unauthorized: give a token in an Authorization: Bearer header";
    case KVS_ERR_FORBIDDEN:
        return "The permissions of this key, or your token's scopes, do not allow it.";
    case KVS_ERR_PRECONDITION:
        return "The record is not in the state that If-Match or If-None-Match asked for: read it "
               "again and decide anew.";
    case KVS_ERR_INTERNAL:
        return "This is a bug in kvs; the node's log has the request's id.";
    default:
        return kvs_err_text(err);
    }
}

int kvs_api_fail(struct kvs_api_call *call, int err, const char *format, ...)
{
    char text[DETAIL_SIZE_MAX];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (size >= (int)sizeof(text))
        size = (int)sizeof(text) - 1;
    if (size > 0) // out of memory leaves the default detail
        call->detail = kvs_arena_copy(&call->exchange->arena, kvs_slice(text, (size_t)size));
    return err;
}

// The seconds after which a client may come back; "" = not a matter of time.
static const char *retry_after(int status)
{
    return status == 503 ? "2" : "";
}

void kvs_api_problem(struct kvs_http_response *response, int status, struct kvs_slice detail)
{
    kvs_buf_clear(&response->headers);
    kvs_buf_clear(&response->body);
    response->status = status;
    response->content_type = "application/problem+json";
    struct kvs_slice retry = kvs_slice_from_str(retry_after(status));
    if (retry.size > 0)
        kvs_http_response_header(response, "Retry-After", retry);
    struct kvs_buf *body = &response->body;
    if (body->size_max < PROBLEM_SIZE_MAX)
        body->size_max = PROBLEM_SIZE_MAX;
    kvs_api_append_problem(body, status, detail);
}

void kvs_api_append_problem(struct kvs_buf *body, int status, struct kvs_slice detail)
{
    kvs_buf_append_str(body, "{\"title\":");
    kvs_json_write_string(body, kvs_slice_from_str(kvs_http_reason(status)));
    kvs_buf_append_str(body, ",\"status\":");
    kvs_buf_append_i64(body, status);
    kvs_buf_append_str(body, ",\"detail\":");
    kvs_json_write_string(body, detail);
    kvs_buf_append_char(body, '}');
}
