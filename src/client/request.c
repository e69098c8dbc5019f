// SPDX-License-Identifier: Apache-2.0
// A request that has no function of its own: the answer as it came.
#include "client/client_internal.h"

#include <string.h>

enum kvs_client_code kvs_client_request(struct kvs_client *client, const char *method,
                                        const char *target, const char *content_type,
                                        const char *body, size_t body_size,
                                        struct kvs_client_response *ret_response,
                                        struct kvs_client_error *ret_error)
{
    const struct kvs_client_request request = {
        .method = method,
        .target = kvs_slice_from_str(target),
        .body = kvs_slice(body, body_size),
        .content_type = content_type,
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
    *ret_response = (struct kvs_client_response){.http_status = client->status,
                                                 .body = copy,
                                                 .body_size = client->answer.size,
                                                 .memory = copy};
    return KVS_CLIENT_OK;
}

void kvs_client_response_done(struct kvs_client_response *response)
{
    free(response->memory);
    *response = (struct kvs_client_response){0};
}
