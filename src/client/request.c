// SPDX-License-Identifier: Apache-2.0
// Requests as they are, for routes that have no call of their own.
#include <string.h>

#include "client/client_internal.h"

enum kvs_client_code kvs_client_request(struct kvs_client *client, const char *method,
                                        const char *target, const char *body, size_t body_size,
                                        struct kvs_client_answer *ret_answer,
                                        struct kvs_client_error *ret_error)
{
    *ret_answer = (struct kvs_client_answer){0};
    const struct kvs_client_request request = {
        .method = method,
        .target = kvs_slice_from_str(target),
        .body = body ? kvs_slice(body, body_size) : KVS_SLICE_EMPTY,
    };
    enum kvs_client_code code = kvs_client_perform(client, &request, ret_error);
    if (code != KVS_CLIENT_OK)
        return code;
    char *copy = malloc(client->answer.size + 1);
    if (!copy)
        return kvs_client_fail(ret_error, KVS_CLIENT_NOMEM, "out of memory");
    if (client->answer.size > 0)
        memcpy(copy, client->answer.data, client->answer.size);
    copy[client->answer.size] = '\0';
    *ret_answer = (struct kvs_client_answer){client->status, copy, client->answer.size, copy};
    return KVS_CLIENT_OK;
}

void kvs_client_answer_done(struct kvs_client_answer *answer)
{
    free(answer->memory);
    *answer = (struct kvs_client_answer){0};
}
