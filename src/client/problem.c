// SPDX-License-Identifier: Apache-2.0
// From failures and problem documents (RFC 9457) to struct kvs_client_error. Pure.
#include "client/client_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "codec/http.h"

const char *kvs_client_code_text(int code)
{
    static const char *const texts[] = {
        [KVS_CLIENT_OK] = "done",
        [KVS_CLIENT_INVALID] = "bad argument",
        [KVS_CLIENT_NOMEM] = "out of memory",
        [KVS_CLIENT_UNREACHABLE] = "no node can be reached",
        [KVS_CLIENT_BROKEN] = "the connection broke",
        [KVS_CLIENT_NOT_FOUND] = "not found",
        [KVS_CLIENT_PRECONDITION] = "the condition did not hold",
        [KVS_CLIENT_UNAUTHORIZED] = "a token is missing or no good",
        [KVS_CLIENT_FORBIDDEN] = "not permitted",
        [KVS_CLIENT_TOO_LARGE] = "too large",
        [KVS_CLIENT_RATE_LIMITED] = "rate limit exceeded",
        [KVS_CLIENT_UNAVAILABLE] = "not available now",
        [KVS_CLIENT_UNEXPECTED] = "an answer that is none of KVS's",
        [KVS_CLIENT_CONFLICT] = "conflicts with the current state",
        [KVS_CLIENT_GONE] = "no longer kept",
        [KVS_CLIENT_NOT_MODIFIED] = "not modified",
        [KVS_CLIENT_TIMEOUT] = "nothing in that time",
        [KVS_CLIENT_END] = "that was all",
    };
    if (code < 0 || (size_t)code >= KVS_ARRAY_SIZE(texts))
        return "unknown";
    return texts[code];
}

enum kvs_client_code kvs_client_fail(struct kvs_client_error *ret_error, enum kvs_client_code code,
                                     const char *format, ...)
{
    if (!ret_error)
        return code;
    *ret_error = (struct kvs_client_error){.code = code};
    va_list args;
    va_start(args, format);
    (void)vsnprintf(ret_error->message, sizeof(ret_error->message), format, args); // may truncate
    va_end(args);
    return code;
}

enum kvs_client_code kvs_client_fail_nomem(struct kvs_client_error *ret_error)
{
    return kvs_client_fail(ret_error, KVS_CLIENT_NOMEM, "out of memory");
}

enum kvs_client_code kvs_client_fail_unexpected(const struct kvs_client_call *call,
                                                struct kvs_client_error *ret_error)
{
    enum kvs_client_code code = kvs_client_fail(
        ret_error, KVS_CLIENT_UNEXPECTED, "%s gave an answer that is not KVS's", call->node->url);
    if (ret_error)
        ret_error->http_status = call->status;
    return code;
}

enum kvs_client_code kvs_client_code_of_status(int status)
{
    switch (status) {
    case 304:
        return KVS_CLIENT_NOT_MODIFIED;
    case 400:
    case 415:
    case 422:
        return KVS_CLIENT_INVALID;
    case 401:
        return KVS_CLIENT_UNAUTHORIZED;
    case 403:
        return KVS_CLIENT_FORBIDDEN;
    case 404:
        return KVS_CLIENT_NOT_FOUND;
    case 409:
        return KVS_CLIENT_CONFLICT;
    case 410:
        return KVS_CLIENT_GONE;
    case 412:
        return KVS_CLIENT_PRECONDITION;
    case 413:
        return KVS_CLIENT_TOO_LARGE;
    case 429:
        return KVS_CLIENT_RATE_LIMITED;
    case 503:
    case 507:
        return KVS_CLIENT_UNAVAILABLE;
    default:
        return status / 100 == 2 ? KVS_CLIENT_OK : KVS_CLIENT_UNEXPECTED;
    }
}

// The problem's detail, else its title; empty where the answer is none of KVS's.
static struct kvs_slice problem_text(struct kvs_slice body, struct kvs_arena *arena)
{
    static const char *const members[] = {"detail", "title"};
    struct kvs_json *problem = NULL;
    struct kvs_json_error error;
    if (kvs_json_parse(body, KVS_JSON_UNIQUE_KEYS, arena, &problem, &error) < 0)
        return KVS_SLICE_EMPTY;
    for (size_t i = 0; i < KVS_ARRAY_SIZE(members); i++) {
        const struct kvs_json *member = kvs_json_member(problem, members[i]);
        struct kvs_slice text;
        if (member && member->type == KVS_JSON_STRING && kvs_json_string(member, arena, &text) == 0)
            return text;
    }
    return KVS_SLICE_EMPTY;
}

// Messages go to terminals and logs.
static void make_safe(char *text)
{
    for (char *p = text; *p; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = ' ';
    }
}

// What only a node can know. Of a proxy or another server that happens to listen there, such a
// status must not be taken for "there is no such record" or "nothing was written".
static bool speaks_of_records(enum kvs_client_code code)
{
    return code == KVS_CLIENT_NOT_FOUND || code == KVS_CLIENT_CONFLICT || code == KVS_CLIENT_GONE ||
           code == KVS_CLIENT_PRECONDITION;
}

enum kvs_client_code kvs_client_fail_answer(const struct kvs_client_call *call,
                                            struct kvs_client_error *ret_error)
{
    enum kvs_client_code code = kvs_client_code_of_status(call->status);
    struct kvs_arena arena;
    kvs_arena_init(&arena, 1 << 20);
    struct kvs_slice body = kvs_buf_slice(&call->answer);
    struct kvs_slice text = problem_text(body, &arena);
    bool bare = body.size == 0 && call->is_problem; // to a HEAD
    if (text.size == 0 && !bare && speaks_of_records(code))
        code = KVS_CLIENT_UNEXPECTED;
    if (!ret_error) {
        kvs_arena_done(&arena);
        return code;
    }
    if (code == KVS_CLIENT_NOT_MODIFIED)
        kvs_client_fail(ret_error, code, "not modified");
    else if (text.size > 0)
        kvs_client_fail(ret_error, code, "%.*s", KVS_SLICE_FMT(text));
    else
        kvs_client_fail(ret_error, code, "%s answered %d %s%s", call->node->url, call->status,
                        kvs_http_reason(call->status), bare ? "" : ", which is no answer of KVS");
    kvs_arena_done(&arena);
    make_safe(ret_error->message);
    ret_error->http_status = call->status;
    ret_error->retry_after_ms = call->retry_after_ms;
    (void)snprintf(ret_error->request_id, sizeof(ret_error->request_id), "%s", call->request_id);
    if (text.size > 0 && body.size < sizeof(ret_error->problem)) {
        memcpy(ret_error->problem, body.data, body.size);
        ret_error->problem[body.size] = 0;
    }
    return code;
}
