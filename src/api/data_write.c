// SPDX-License-Identifier: Apache-2.0
// PUT and DELETE of /kv/{key}, and restoring a revision: everything that goes through
// kvs_node_write. Handlers queue the write; `done` answers on the loop thread.
#include "api/api_internal.h"

#include "codec/json.h"

// In the arena, borrowed by the commit thread until `done` runs.
struct write_input {
    struct kvs_api_call *call;
    struct kvs_write write;
    struct kvs_audit_event event;
};

static struct write_input *input_of(struct kvs_task *task)
{
    return KVS_CONTAINER_OF(task, struct write_input, write.done);
}

void kvs_api_answer_version(struct kvs_api_call *call, const struct kvs_write *write)
{
    struct kvs_http_response *response = &call->exchange->response;
    response->status = write->created ? 201 : 200;
    response->content_type = "application/json";
    if (write->created) {
        kvs_buf_append_slice(&response->headers, KVS_SLICE("Location: /kv/"));
        kvs_percent_encode(&response->headers, call->key, true);
        kvs_buf_append_slice(&response->headers, KVS_SLICE("\r\n"));
    }
    kvs_buf_append_slice(&response->headers, KVS_SLICE("ETag: \""));
    kvs_api_append_uuid(&response->headers, &write->version.uuid);
    kvs_buf_append_slice(&response->headers, KVS_SLICE("\"\r\n"));
    kvs_buf_append_char(&response->body, '{');
    kvs_api_append_version(&response->body, &write->version);
    kvs_buf_append_char(&response->body, '}');
}

static int fail_not_found(struct kvs_api_call *call, const struct kvs_write *write)
{
    if (write->op == KVS_WRITE_RESTORE)
        return kvs_api_fail(
            call, KVS_ERR_NOT_FOUND,
            "Revision %u of \"%.*s\" holds no data to restore: it does not exist, is a "
            "deletion or has expired.",
            write->revision, KVS_SLICE_FMT(call->key));
    return kvs_api_fail(call, KVS_ERR_NOT_FOUND, "There is no record at \"%.*s\".",
                        KVS_SLICE_FMT(call->key));
}

static void write_done(struct kvs_task *task)
{
    struct write_input *input = input_of(task);
    struct kvs_api_call *call = input->call;
    struct kvs_write *write = &input->write;
    call->audited = write->audited;
    kvs_buf_clear(&call->exchange->response.body); // it held the value
    int err = write->err;
    if (err == KVS_ERR_NOT_FOUND)
        err = fail_not_found(call, write);
    else if (!err && write->op == KVS_WRITE_DELETE)
        call->exchange->response.status = 204;
    else if (!err)
        kvs_api_answer_version(call, write);
    kvs_api_finish_write(call, err, write->version.writer_seq);
}

static void submit(struct kvs_api_call *call, struct write_input *input)
{
    struct kvs_write *write = &input->write;
    input->call = call;
    write->grant = call->grant;
    write->key = call->key;
    kvs_api_audit_describe(call, &input->event);
    write->audit = &input->event;
    write->executor = call->exchange->loop;
    write->done.run = write_done;
    kvs_node_write(call->api->options.node, write);
}

// Reads what all writes share and hands `prepare` the rest; answers at once what is wrong.
static void start(struct kvs_api_call *call, enum kvs_write_op op,
                  int (*prepare)(struct kvs_api_call *call, struct kvs_write *write))
{
    struct write_input *input = kvs_api_alloc(call, sizeof(*input));
    int err = input ? 0 : KVS_ERR_NOMEM;
    if (!err) {
        *input = (struct write_input){.write = {.op = op, .ttl_ms = KVS_TTL_DEFAULT}};
        err = prepare(call, &input->write);
    }
    if (!err)
        err = kvs_api_conditions_for_write(call, &input->write);
    if (err)
        kvs_api_finish(call, err);
    else
        submit(call, input);
}

// ---- PUT

// The compact value lies in the response's body until `done`: a buffer that the connection has
// anyway, instead of one more allocation a write.
static int compact_body(struct kvs_api_call *call, struct kvs_slice *ret_json)
{
    struct kvs_slice text = call->exchange->request.body;
    struct kvs_buf *body = &call->exchange->response.body;
    struct kvs_json_error error;
    if (text.size == 0)
        return kvs_api_fail(call, KVS_ERR_SYNTAX,
                            "The body is empty: send the JSON value to store.");
    kvs_api_body_reserve(call, text.size);
    int err = kvs_json_compact(text, body, &error);
    if (err == KVS_ERR_SYNTAX)
        return kvs_api_fail(call, err, "Invalid JSON at line %u, column %u: %s.", error.line,
                            error.column, error.reason);
    *ret_json = kvs_buf_slice(body);
    return err;
}

static int prepare_put(struct kvs_api_call *call, struct kvs_write *write)
{
    size_t size_max = call->api->options.max_json_size;
    struct kvs_api_param params[] = {{.name = "ttl"}};
    int err = kvs_api_query(call, params, KVS_ARRAY_SIZE(params));
    if (!err && params[0].found)
        err = kvs_api_parse_ttl(call, "The parameter ttl", params[0].value, &write->ttl_ms);
    if (!err)
        err = compact_body(call, &write->json);
    if (!err && !params[0].found)
        err = kvs_api_envelope_split(call, write->json, &write->json, &write->ttl_ms);
    if (!err && write->json.size > size_max)
        err = kvs_api_fail(call, KVS_ERR_TOO_LARGE,
                           "The value has %zu bytes; max_json_size allows %zu.", write->json.size,
                           size_max);
    return err;
}

void kvs_api_put(struct kvs_api_call *call)
{
    start(call, KVS_WRITE_PUT, prepare_put);
}

// ---- DELETE

static int prepare_delete(struct kvs_api_call *call, struct kvs_write *write)
{
    (void)write; // a deletion has no parameters
    return kvs_api_query(call, NULL, 0);
}

void kvs_api_delete(struct kvs_api_call *call)
{
    start(call, KVS_WRITE_DELETE, prepare_delete);
}

// ---- Restore

static int prepare_restore(struct kvs_api_call *call, struct kvs_write *write)
{
    struct kvs_api_param params[] = {{.name = "ttl"}};
    int err = kvs_api_query(call, params, KVS_ARRAY_SIZE(params));
    if (!err && params[0].found)
        err = kvs_api_parse_ttl(call, "The parameter ttl", params[0].value, &write->ttl_ms);
    return err ? err : kvs_api_revision_number(call, &write->revision);
}

void kvs_api_restore(struct kvs_api_call *call)
{
    start(call, KVS_WRITE_RESTORE, prepare_restore);
}
