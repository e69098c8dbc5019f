// SPDX-License-Identifier: Apache-2.0
// GET /kv/{key}. The hot path: for a cached record nothing is allocated beyond the connection's own
// arena and response buffers.
#include "api/api_internal.h"

enum { RECORD_OVERHEAD = 128 }; // what append_record adds around the data

struct get_input {
    bool raw;
    struct kvs_api_conditions conditions;
};

static void write_record(struct kvs_api_call *call, const struct kvs_record *record)
{
    const struct get_input *input = call->input;
    struct kvs_http_response *response = &call->exchange->response;
    struct kvs_slice json = kvs_record_json(record);
    response->status = 200;
    response->content_type = "application/json";
    kvs_api_body_reserve(call, json.size + RECORD_OVERHEAD);
    if (input->raw)
        kvs_buf_append_slice(&response->body, json);
    else
        kvs_api_append_record(&response->body, &record->version, json);
}

static int read_record(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    const struct get_input *input = call->input;
    KVS_CLEANUP(kvs_record_unrefp) struct kvs_record *record = NULL;
    int err = kvs_node_get(call->api->options.node, call->grant, call->key, mode, &record);
    if (err == KVS_ERR_NOT_FOUND)
        return kvs_api_fail(call, err, "There is no record at \"%.*s\".", KVS_SLICE_FMT(call->key));
    if (err)
        return err;
    enum kvs_api_verdict verdict = kvs_api_conditions_judge(&input->conditions, &record->version);
    if (verdict == KVS_VERDICT_FAILED)
        return KVS_ERR_PRECONDITION;
    kvs_api_append_validators(&call->exchange->response.headers, &record->version);
    if (verdict == KVS_VERDICT_NOT_MODIFIED)
        call->exchange->response.status = 304;
    else
        write_record(call, record);
    return 0;
}

static int read_input(struct kvs_api_call *call)
{
    struct get_input *input = kvs_api_alloc(call, sizeof(*input));
    if (!input)
        return KVS_ERR_NOMEM;
    struct kvs_api_param params[] = {{.name = "raw"}};
    int err = kvs_api_query(call, params, KVS_ARRAY_SIZE(params));
    if (!err)
        err = kvs_api_param_bool(call, &params[0], &input->raw);
    if (!err)
        err = kvs_api_conditions_read(call, &input->conditions);
    call->input = input;
    return err;
}

void kvs_api_get(struct kvs_api_call *call)
{
    int err = read_input(call);
    if (err)
        kvs_api_finish(call, err);
    else
        kvs_api_read(call, read_record);
}
