// SPDX-License-Identifier: Apache-2.0
// PATCH /kv/{key}: merge patches (RFC 7396) and JSON patches (RFC 6902). Read, compute, write on
// condition that the version read is still current; when somebody was faster, again from the start.
// So a patch is atomic on this node without a lock, and one of those that meet always gets through.
//
//     loop: read the request --> worker: read the record, judge, compute --> loop: write --> answer
//                                   ^--------------- somebody was faster -------------'
//
// Computing is a worker's business: a patch may take some tenths of a second.
#include "api/api_internal.h"

#include "codec/json_patch.h"

enum {
    ATTEMPTS_MAX = 256, // as many others were faster: the key is too busy to wait on
    // A tree takes up to 32 bytes for each of its text, decoded names and copies as much again.
    ARENA_BASE = 1024 * 1024,
    ARENA_PER_BYTE = 64,
};

static const char media_merge[] = "application/merge-patch+json";
static const char media_patch[] = "application/json-patch+json";

struct patch_input {
    struct kvs_api_call *call;
    bool merge;
    int attempts;
    struct kvs_write asked;   // what the client's headers and parameters say
    struct kvs_write write;   // of this attempt
    struct kvs_uuid expected; // the version it was computed from
    struct kvs_buf patch;     // compact; ours
    struct kvs_audit_event event;
};

static void finish(struct patch_input *input, int err)
{
    kvs_buf_done(&input->patch);
    kvs_api_finish(input->call, err);
}

// ---- The media type

static void refuse_media_type(struct kvs_api_call *call)
{
    struct kvs_http_response *response = &call->exchange->response;
    kvs_api_problem(response, 415,
                    KVS_SLICE("Send a merge patch as application/merge-patch+json or a JSON patch "
                              "as application/json-patch+json."));
    kvs_http_response_header(
        response, "Accept-Patch",
        KVS_SLICE("application/merge-patch+json, application/json-patch+json"));
    kvs_api_finish(call, 0);
}

// Parameters such as charset are not judged: JSON has none.
static bool read_media_type(const struct kvs_http_request *request, bool *ret_merge)
{
    struct kvs_slice type = kvs_http_header_get(request, "Content-Type");
    const char *end = type.size > 0 ? memchr(type.data, ';', type.size) : NULL;
    if (end)
        type.size = (size_t)(end - type.data);
    type = kvs_slice_trim(type);
    *ret_merge = kvs_slice_eq_nocase(type, kvs_slice_from_str(media_merge));
    return *ret_merge || kvs_slice_eq_nocase(type, kvs_slice_from_str(media_patch));
}

// ---- On a worker

static int fail_patch(struct kvs_api_call *call, int err, const struct kvs_json_patch_error *error)
{
    const char *advice =
        err == KVS_ERR_CONFLICT ? " Nothing was changed: read the record and decide anew." : "";
    if (error->operation == SIZE_MAX)
        return kvs_api_fail(call, err, "The JSON patch: %s.%s", error->reason, advice);
    return kvs_api_fail(call, err, "Operation %zu (counted from 0) of the JSON patch: %s.%s",
                        error->operation, error->reason, advice);
}

static int fail_size(struct kvs_api_call *call)
{
    return kvs_api_fail(call, KVS_ERR_TOO_LARGE,
                        "The patched value would be larger than max_json_size allows: %zu bytes.",
                        call->api->options.max_json_size);
}

// The new value into the response's body, which the write borrows.
static int compute(struct patch_input *input, struct kvs_slice value)
{
    struct kvs_api_call *call = input->call;
    struct kvs_buf *out = &call->exchange->response.body;
    struct kvs_slice patch = kvs_buf_slice(&input->patch);
    struct kvs_json_patch_error error = {0};
    struct kvs_arena arena;
    kvs_arena_init(&arena, ARENA_BASE + ARENA_PER_BYTE * (value.size + patch.size) +
                               ARENA_PER_BYTE / 2 * call->api->options.max_json_size);
    kvs_buf_clear(out);
    size_t size_max = out->size_max;
    out->size_max = call->api->options.max_json_size;
    int err = input->merge ? kvs_json_merge_patch(value, patch, &arena, out)
                           : kvs_json_patch(value, patch, &arena, out, &error);
    kvs_arena_done(&arena);
    if (out->err == KVS_ERR_TOO_LARGE)
        err = fail_size(call);
    else if (error.reason && err)
        err = fail_patch(call, err, &error);
    if (out->size_max < size_max)
        out->size_max = size_max;
    if (err)
        kvs_buf_clear(out);
    return err;
}

static int read_and_compute(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    struct patch_input *input = call->input;
    KVS_CLEANUP(kvs_record_unrefp) struct kvs_record *record = NULL;
    int err = kvs_node_get(call->api->options.node, call->grant, call->key, mode, &record);
    if (err && err != KVS_ERR_NOT_FOUND)
        return err;
    if (!kvs_write_condition_holds(&input->asked, record ? &record->version.uuid : NULL))
        return KVS_ERR_PRECONDITION;
    if (!record)
        return kvs_api_fail(call, err, "There is no record at \"%.*s\" to patch: PUT creates one.",
                            KVS_SLICE_FMT(call->key));
    input->expected = record->version.uuid;
    return compute(input, kvs_record_json(record));
}

// ---- On the loop

static void start_attempt(struct patch_input *input);

static void write_done(struct kvs_task *task)
{
    struct patch_input *input = KVS_CONTAINER_OF(task, struct patch_input, write.done);
    struct kvs_api_call *call = input->call;
    int err = input->write.err;
    call->audited = input->write.audited;
    if (err == KVS_ERR_PRECONDITION && input->attempts < ATTEMPTS_MAX) {
        start_attempt(input);
        return;
    }
    kvs_buf_clear(&call->exchange->response.body); // it held the value
    if (err == KVS_ERR_PRECONDITION)
        err =
            kvs_api_fail(call, KVS_ERR_BUSY, "%d other writes of \"%.*s\" were faster: try again.",
                         ATTEMPTS_MAX, KVS_SLICE_FMT(call->key));
    if (!err)
        kvs_api_answer_version(call, &input->write);
    kvs_buf_done(&input->patch);
    kvs_api_finish_write(call, err, input->write.version.writer_seq);
}

static void run_back_on_loop(struct kvs_task *task)
{
    struct kvs_api_call *call = KVS_CONTAINER_OF(task, struct kvs_http_exchange, task)->state;
    struct patch_input *input = call->input;
    if (call->err) {
        finish(input, call->err);
        return;
    }
    input->write = input->asked;
    input->write.json = kvs_buf_slice(&call->exchange->response.body);
    input->write.condition = KVS_CONDITION_UUIDS;
    input->write.condition_uuids = &input->expected;
    input->write.condition_uuid_count = 1;
    input->write.grant = call->grant;
    input->write.key = call->key;
    kvs_api_audit_describe(call, &input->event);
    input->event.retried = true;
    input->write.audit = &input->event;
    input->write.executor = call->exchange->loop;
    input->write.done.run = write_done;
    kvs_node_write(call->api->options.node, &input->write);
}

static void run_on_worker(struct kvs_task *task)
{
    struct kvs_http_exchange *exchange = KVS_CONTAINER_OF(task, struct kvs_http_exchange, task);
    struct kvs_api_call *call = exchange->state;
    call->err = read_and_compute(call, KVS_READ_DISK);
    exchange->task.run = run_back_on_loop;
    kvs_executor_post(exchange->loop, &exchange->task);
}

static void start_attempt(struct patch_input *input)
{
    struct kvs_http_exchange *exchange = input->call->exchange;
    input->attempts++;
    exchange->state = input->call;
    exchange->task.run = run_on_worker;
    kvs_executor_post(exchange->workers, &exchange->task);
}

// ---- Reading the request

static int fail_syntax(struct kvs_api_call *call, const struct kvs_json_error *error)
{
    return kvs_api_fail(call, KVS_ERR_SYNTAX, "Invalid JSON at line %u, column %u: %s.",
                        error->line, error->column, error->reason);
}

// Everything that can be said of the patch without the record.
static int check_patch(struct patch_input *input, struct kvs_slice text)
{
    struct kvs_api_call *call = input->call;
    struct kvs_json_patch_error error = {0};
    struct kvs_json_error syntax = {0};
    struct kvs_json *root = NULL;
    struct kvs_arena arena;
    kvs_arena_init(&arena, ARENA_BASE + ARENA_PER_BYTE * text.size);
    int err = input->merge ? kvs_json_parse(text, KVS_JSON_UNIQUE_KEYS, &arena, &root, &syntax)
                           : kvs_json_patch_check(kvs_buf_slice(&input->patch), &arena, &error);
    if (err == KVS_ERR_SYNTAX && !input->merge) // where in the client's own text?
        err = kvs_json_parse(text, KVS_JSON_UNIQUE_KEYS, &arena, &root, &syntax);
    kvs_arena_done(&arena);
    if (err == KVS_ERR_SYNTAX)
        return fail_syntax(call, &syntax);
    return err && error.reason ? fail_patch(call, err, &error) : err;
}

static int read_patch(struct patch_input *input)
{
    struct kvs_api_call *call = input->call;
    struct kvs_slice text = call->exchange->request.body;
    struct kvs_json_error syntax;
    if (text.size == 0)
        return kvs_api_fail(call, KVS_ERR_SYNTAX, "The body is empty: send the patch.");
    kvs_buf_init(&input->patch, text.size);
    int err = kvs_json_compact(text, &input->patch, &syntax);
    if (err == KVS_ERR_SYNTAX)
        return fail_syntax(call, &syntax);
    return err ? err : check_patch(input, text);
}

static int read_request(struct patch_input *input)
{
    struct kvs_api_call *call = input->call;
    struct kvs_api_param params[] = {{.name = "ttl"}};
    int err = kvs_api_query(call, params, KVS_ARRAY_SIZE(params));
    if (!err && params[0].found)
        err = kvs_api_parse_ttl(call, "The parameter ttl", params[0].value, &input->asked.ttl_ms);
    if (!err)
        err = kvs_api_conditions_for_write(call, &input->asked);
    return err ? err : read_patch(input);
}

void kvs_api_patch(struct kvs_api_call *call)
{
    bool merge = false;
    if (!read_media_type(&call->exchange->request, &merge)) {
        refuse_media_type(call);
        return;
    }
    struct patch_input *input = kvs_api_alloc(call, sizeof(*input));
    if (!input) {
        kvs_api_finish(call, KVS_ERR_NOMEM);
        return;
    }
    *input = (struct patch_input){
        .call = call, .merge = merge, .asked = {.op = KVS_WRITE_PUT, .ttl_ms = KVS_TTL_KEEP}};
    call->input = input;
    int err = read_request(input);
    if (err)
        finish(input, err);
    else
        start_attempt(input);
}
