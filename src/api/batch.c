// SPDX-License-Identifier: Apache-2.0
// POST /kv_batch: up to 1000 operations. All writes are committed together, in their order; then
// the gets are read, so that they see what the batch has done. Each entry has its own result, in
// its place.
//
//     worker: read the body --> loop: commit the writes --> worker: read the gets, answer
#include "api/batch_internal.h"

enum {
    // Of the whole answer, about: what the gets return has no bound of its own.
    ANSWER_BYTES_MAX = 16 * 1024 * 1024,
    RESULT_SIZE_MAX = 16 * 1024, // but for data: every byte of a long detail escaped
};

// Each write has its entry; what a batch reads is one entry of the request. So is a batch that was
// refused as a whole.
static void note_audited(struct kvs_batch *batch)
{
    struct kvs_api_call *call = batch->call;
    for (size_t i = 0; i < batch->write_count; i++)
        call->audited |= batch->writes[i].audited;
    if (batch->get_count > 0) {
        call->action = KVS_AUDIT_data_read;
        call->audited = false;
    }
}

// The dot of the newest version that the batch made; 0: none.
static uint64_t last_written(const struct kvs_batch *batch)
{
    uint64_t last = 0;
    for (size_t i = 0; i < batch->write_count; i++)
        if (!batch->writes[i].err && batch->writes[i].version.writer_seq > last)
            last = batch->writes[i].version.writer_seq;
    return last;
}

static void finish(struct kvs_batch *batch, int err)
{
    note_audited(batch);
    kvs_buf_done(&batch->json);
    kvs_api_finish_write(batch->call, err, last_written(batch));
}

static struct kvs_batch *batch_of(struct kvs_task *task)
{
    struct kvs_api_call *call = KVS_CONTAINER_OF(task, struct kvs_http_exchange, task)->state;
    return call->input;
}

static void post(struct kvs_batch *batch, struct kvs_executor *executor,
                 void (*run)(struct kvs_task *task))
{
    struct kvs_http_exchange *exchange = batch->call->exchange;
    exchange->task.run = run;
    kvs_executor_post(executor, &exchange->task);
}

// ---- Results

static void append_error(struct kvs_batch *batch, int err, struct kvs_slice detail)
{
    if (detail.size == 0)
        detail = kvs_slice_from_str(kvs_api_default_detail(err));
    kvs_api_append_problem(&batch->call->exchange->response.body, kvs_err_http_status(err), detail);
}

static void append_not_found(struct kvs_batch *batch, struct kvs_slice key)
{
    struct kvs_api_call *call = batch->call;
    int err = kvs_api_fail(call, KVS_ERR_NOT_FOUND, "There is no record at \"%.*s\".",
                           KVS_SLICE_FMT(key));
    append_error(batch, err, call->detail);
    call->detail = KVS_SLICE_EMPTY;
}

static void append_write(struct kvs_batch *batch, const struct kvs_write *write)
{
    struct kvs_buf *out = &batch->call->exchange->response.body;
    if (write->err == KVS_ERR_NOT_FOUND) {
        append_not_found(batch, write->key);
    } else if (write->err == KVS_ERR_PRECONDITION) {
        append_error(batch, write->err,
                     KVS_SLICE("The record is not the version that if_match names."));
    } else if (write->err) {
        append_error(batch, write->err, KVS_SLICE_EMPTY);
    } else {
        kvs_buf_append_str(out, write->op == KVS_WRITE_DELETE ? "{\"status\":204,"
                                : write->created              ? "{\"status\":201,"
                                                              : "{\"status\":200,");
        kvs_api_append_version(out, &write->version);
        kvs_buf_append_char(out, '}');
    }
}

static void append_get(struct kvs_batch *batch, struct kvs_slice key)
{
    struct kvs_api_call *call = batch->call;
    struct kvs_buf *out = &call->exchange->response.body;
    KVS_CLEANUP(kvs_record_unrefp) struct kvs_record *record = NULL;
    int err = kvs_node_get(call->api->options.node, call->grant, key, KVS_READ_DISK, &record);
    if (err == KVS_ERR_NOT_FOUND) {
        append_not_found(batch, key);
        return;
    }
    struct kvs_slice json = err ? KVS_SLICE_EMPTY : kvs_record_json(record);
    if (!err && out->size + json.size > ANSWER_BYTES_MAX) {
        append_error(batch, KVS_ERR_TOO_LARGE,
                     KVS_SLICE("The answer to this batch would be too large: read this record on "
                               "its own."));
        return;
    }
    if (err) {
        append_error(batch, err, KVS_SLICE_EMPTY);
        return;
    }
    kvs_api_body_allow(call, out->size + json.size + RESULT_SIZE_MAX);
    kvs_buf_append_str(out, "{\"status\":200,");
    kvs_api_append_version(out, &record->version);
    kvs_buf_append_str(out, ",\"data\":");
    kvs_buf_append_slice(out, json);
    kvs_buf_append_char(out, '}');
}

static void append_results(struct kvs_batch *batch)
{
    struct kvs_http_response *response = &batch->call->exchange->response;
    struct kvs_buf *out = &response->body;
    response->status = 200;
    response->content_type = "application/json";
    kvs_buf_append_char(out, '[');
    for (size_t i = 0; i < batch->count; i++) {
        const struct kvs_batch_entry *entry = &batch->entries[i];
        kvs_api_body_allow(batch->call, out->size + RESULT_SIZE_MAX);
        if (i > 0)
            kvs_buf_append_char(out, ',');
        if (entry->err)
            append_error(batch, entry->err, entry->detail);
        else if (entry->op == KVS_BATCH_GET)
            append_get(batch, entry->key);
        else
            append_write(batch, entry->write);
    }
    kvs_buf_append_char(out, ']');
}

// ---- Steps

static void answer_on_loop(struct kvs_task *task)
{
    finish(batch_of(task), 0);
}

static void answer_on_worker(struct kvs_task *task)
{
    struct kvs_batch *batch = batch_of(task);
    append_results(batch);
    post(batch, batch->call->exchange->loop, answer_on_loop);
}

// What concerns the node and not an entry: when it befell all writes, nothing of the batch was
// applied.
static int common_error(const struct kvs_batch *batch)
{
    for (size_t i = 0; i < batch->write_count; i++) {
        int err = batch->writes[i].err;
        bool of_the_node = err == KVS_ERR_READ_ONLY || err == KVS_ERR_SYNCING ||
                           err == KVS_ERR_SHUTDOWN || err == KVS_ERR_IO || err == KVS_ERR_NO_SPACE;
        if (!of_the_node)
            return 0;
    }
    return batch->write_count > 0 ? batch->writes[0].err : 0;
}

static void written(struct kvs_batch *batch)
{
    int err = common_error(batch);
    if (err) {
        finish(batch, err);
    } else if (batch->get_count > 0) {
        post(batch, batch->call->exchange->workers, answer_on_worker);
    } else {
        append_results(batch);
        finish(batch, 0);
    }
}

static void write_done(struct kvs_task *task)
{
    struct kvs_write *write = KVS_CONTAINER_OF(task, struct kvs_write, done);
    struct kvs_batch *batch = write->owner;
    if (--batch->outstanding == 0)
        written(batch);
}

static void submit(struct kvs_batch *batch)
{
    struct kvs_api_call *call = batch->call;
    batch->outstanding = batch->write_count;
    batch->events = kvs_api_alloc(call, (batch->write_count + 1) * sizeof(*batch->events));
    if (!batch->events) {
        finish(batch, KVS_ERR_NOMEM);
        return;
    }
    for (size_t i = 0; i < batch->write_count; i++) {
        struct kvs_write *write = &batch->writes[i];
        write->owner = batch;
        kvs_api_audit_describe(call, &batch->events[i]);
        batch->events[i].action =
            write->op == KVS_WRITE_DELETE ? KVS_AUDIT_data_delete : KVS_AUDIT_data_write;
        batch->events[i].resource = write->key;
        write->audit = &batch->events[i];
        write->grant = call->grant;
        write->executor = call->exchange->loop;
        write->done.run = write_done;
    }
    if (batch->write_count == 0)
        written(batch);
    else
        kvs_node_write_group(call->api->options.node, batch->writes, batch->write_count);
}

static void read_back_on_loop(struct kvs_task *task)
{
    struct kvs_batch *batch = batch_of(task);
    if (batch->call->err)
        finish(batch, batch->call->err);
    else
        submit(batch);
}

static void read_on_worker(struct kvs_task *task)
{
    struct kvs_batch *batch = batch_of(task);
    batch->call->err = kvs_batch_read(batch);
    post(batch, batch->call->exchange->loop, read_back_on_loop);
}

void kvs_api_batch(struct kvs_api_call *call)
{
    struct kvs_batch *batch = kvs_api_alloc(call, sizeof(*batch));
    int err = batch ? kvs_api_query(call, NULL, 0) : KVS_ERR_NOMEM;
    if (err) {
        kvs_api_finish(call, err);
        return;
    }
    *batch = (struct kvs_batch){.call = call};
    call->input = batch;
    call->exchange->state = call;
    post(batch, call->exchange->workers, read_on_worker);
}
