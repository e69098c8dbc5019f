// SPDX-License-Identifier: Apache-2.0
// Requests that have no function of their own. Any thread.
#include <string.h>

#include "client/client_internal.h"

void kvs_client_response_done(struct kvs_client_response *response)
{
    free(response->memory);
    *response = (struct kvs_client_response){0};
}

static bool is_token(const char *text)
{
    size_t size = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    return size > 0 && text[size] == 0;
}

// What stands in a request line or a header line cannot end it.
static bool is_line(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return false;
    return true;
}

enum kvs_client_code kvs_client_request(struct kvs_client *client, const char *method,
                                        const char *target, const char *content_type,
                                        const char *body, size_t body_size,
                                        struct kvs_client_response *ret_response,
                                        struct kvs_client_error *ret_error)
{
    KVS_CLEANUP(kvs_client_call_endp) struct kvs_client_call *call = NULL;
    if (!is_token(method) || target[0] != '/' || !is_line(target) || strchr(target, ' ') ||
        (content_type && !is_line(content_type)))
        return kvs_client_fail(ret_error, KVS_CLIENT_INVALID,
                               "bad method, target or content type of a request");
    bool reads = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    const struct kvs_client_request request = {
        .method = method,
        .target = kvs_slice_from_str(target),
        .body = kvs_slice(body, body_size),
        .content_type = content_type,
        .repeat = reads                          ? KVS_CLIENT_REPEAT_ALWAYS
                  : strcmp(method, "PATCH") == 0 ? KVS_CLIENT_REPEAT_NEVER
                                                 : KVS_CLIENT_REPEAT_IF_WANTED,
        .writes = !reads,
    };
    enum kvs_client_code code = kvs_client_perform(client, &request, &call, ret_error);
    if (code != KVS_CLIENT_OK)
        return code;
    char *copy = malloc(call->answer.size + 1);
    if (!copy)
        return kvs_client_fail_nomem(ret_error);
    if (call->answer.size > 0)
        memcpy(copy, call->answer.data, call->answer.size);
    copy[call->answer.size] = 0;
    *ret_response = (struct kvs_client_response){
        .http_status = call->status, .body = copy, .body_size = call->answer.size, .memory = copy};
    return KVS_CLIENT_OK;
}
