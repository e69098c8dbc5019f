// SPDX-License-Identifier: Apache-2.0
// DELETE /kv/{prefix}/ and /jobs: the deletion of a whole prefix as a job of the node, and what has
// become of it. Everything here runs on a worker: the node's jobs may wait for the disk.
#include "api/api_internal.h"

#include "codec/json.h"
#include "node/jobs.h"

enum {
    JOB_SIZE_MAX = 6 * KVS_JOB_PREFIX_SIZE_MAX + 512, // every byte of the prefix escaped
    COUNT_WALK_MAX = 100000,                          // keys a turn of a dry run on a worker
};

// ---- One job as JSON

static void append_seconds(struct kvs_buf *out, const char *name, int64_t ms)
{
    kvs_buf_append_str(out, name);
    if (ms > 0)
        kvs_buf_append_i64(out, ms / 1000);
    else
        kvs_buf_append_str(out, "null");
}

static void append_job(struct kvs_api_call *call, const struct kvs_job *job)
{
    struct kvs_buf *out = &call->exchange->response.body;
    kvs_api_body_allow(call, out->size + JOB_SIZE_MAX);
    kvs_buf_append_str(out, "{\"id\":\"");
    kvs_api_append_uuid(out, &job->id);
    kvs_buf_append_str(out, "\",\"type\":\"delete_prefix\",\"prefix\":");
    kvs_json_write_string(out, kvs_slice(job->prefix, job->prefix_size));
    kvs_buf_append_str(out, ",\"state\":\"");
    kvs_buf_append_str(out, kvs_job_state_name(job->state));
    kvs_buf_append_str(out, "\",\"deleted\":");
    kvs_buf_append_u64(out, job->deleted);
    append_seconds(out, ",\"created_at\":", job->created_ms);
    append_seconds(out, ",\"finished_at\":", job->finished_ms);
    if (job->err) {
        kvs_buf_append_str(out, ",\"waiting\":");
        kvs_json_write_string(out, kvs_slice_from_str(kvs_err_text(job->err)));
    }
    kvs_buf_append_char(out, '}');
}

static void begin(struct kvs_api_call *call, int status)
{
    struct kvs_http_response *response = &call->exchange->response;
    response->status = status;
    response->content_type = "application/json";
    kvs_buf_append_str(&response->headers, "Cache-Control: no-store\r\n");
}

// ---- DELETE /kv/{prefix}/

static int start_job(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    (void)mode; // on a worker
    struct kvs_http_response *response = &call->exchange->response;
    struct kvs_job job;
    int err = kvs_node_job_start(call->api->options.node, call->grant, call->key, &job);
    if (err == KVS_ERR_BUSY)
        return kvs_api_fail(call, err, "%d jobs are active already: wait for one, or cancel one.",
                            KVS_JOBS_ACTIVE_MAX);
    if (err)
        return err;
    begin(call, 202);
    kvs_buf_append_str(&response->headers, "Location: /jobs/");
    kvs_api_append_uuid(&response->headers, &job.id);
    kvs_buf_append_str(&response->headers, "\r\n");
    append_job(call, &job);
    return 0;
}

// A dry run counts in turns, so that others have their turn on the workers.
struct dry_run {
    struct kvs_api_call *call;
    uint64_t count;
    bool paused;
    bool gone; // nobody waits for it any more
    size_t next_size;
    char next[KVS_KEY_SIZE_MAX];
};

static bool count_key(void *ctx, struct kvs_slice key, const struct kvs_version *version,
                      struct kvs_slice json)
{
    (void)key;
    (void)version;
    (void)json;
    struct dry_run *run = ctx;
    run->count++;
    return true;
}

static void pause_count(void *ctx, struct kvs_slice key)
{
    struct dry_run *run = ctx;
    memcpy(run->next, key.data, key.size);
    run->next_size = key.size;
    run->paused = true;
}

static void count_on_worker(struct kvs_task *task);

static void count_back_on_loop(struct kvs_task *task)
{
    struct kvs_http_exchange *exchange = KVS_CONTAINER_OF(task, struct kvs_http_exchange, task);
    struct kvs_api_call *call = exchange->state;
    struct dry_run *run = call->input;
    if (!call->err && run->paused && !run->gone) {
        exchange->task.run = count_on_worker;
        kvs_executor_post(exchange->workers, &exchange->task);
        return;
    }
    exchange->notice = NULL;
    if (!call->err && run->paused)
        call->err = KVS_ERR_SHUTDOWN;
    if (!call->err) {
        begin(call, 200);
        struct kvs_buf *out = &exchange->response.body;
        kvs_api_body_allow(call, JOB_SIZE_MAX);
        kvs_buf_append_str(out, "{\"prefix\":");
        kvs_json_write_string(out, call->key);
        kvs_buf_append_str(out, ",\"dry_run\":true,\"records\":");
        kvs_buf_append_u64(out, run->count);
        kvs_buf_append_char(out, '}');
    }
    kvs_api_finish(call, call->err);
}

static void count_on_worker(struct kvs_task *task)
{
    struct kvs_http_exchange *exchange = KVS_CONTAINER_OF(task, struct kvs_http_exchange, task);
    struct kvs_api_call *call = exchange->state;
    struct dry_run *run = call->input;
    run->paused = false;
    const struct kvs_node_scan scan = {.first = kvs_slice(run->next, run->next_size),
                                       .prefix = call->key,
                                       .visit = count_key,
                                       .keys_max = COUNT_WALK_MAX,
                                       .pause = pause_count,
                                       .ctx = run};
    call->err = kvs_node_scan(call->api->options.node, call->grant, &scan, KVS_READ_DISK);
    exchange->task.run = count_back_on_loop;
    kvs_executor_post(exchange->loop, &exchange->task);
}

static void stop_counting(struct kvs_http_exchange *exchange, enum kvs_http_notice notice)
{
    (void)notice; // the client has gone or the node stops: either way
    ((struct dry_run *)((struct kvs_api_call *)exchange->state)->input)->gone = true;
}

static void start_dry_run(struct kvs_api_call *call)
{
    struct dry_run *run = kvs_api_alloc(call, sizeof(*run));
    if (!run) {
        kvs_api_finish(call, KVS_ERR_NOMEM);
        return;
    }
    *run = (struct dry_run){.call = call};
    call->input = run;
    struct kvs_http_exchange *exchange = call->exchange;
    exchange->state = call;
    exchange->notice = stop_counting;
    exchange->task.run = count_on_worker;
    kvs_executor_post(exchange->workers, &exchange->task);
}

static int read_tree_request(struct kvs_api_call *call, bool *ret_dry_run)
{
    struct kvs_api_param params[] = {{.name = "recursive"}, {.name = "dry_run"}};
    bool recursive = false;
    int err = kvs_api_query(call, params, KVS_ARRAY_SIZE(params));
    if (!err)
        err = kvs_api_param_bool(call, &params[0], &recursive);
    if (!err)
        err = kvs_api_param_bool(call, &params[1], ret_dry_run);
    if (err)
        return err;
    if (!recursive)
        return kvs_api_fail(call, KVS_ERR_INVALID,
                            "A path that ends in '/' is a prefix, not a record: nothing was "
                            "deleted. With ?recursive=1 everything below it is; dry_run=1 beside "
                            "it only counts.");
    if (call->key.size == 0)
        return kvs_api_fail(call, KVS_ERR_INVALID,
                            "The whole key space is not deleted at once: name a prefix.");
    const char *reason = NULL;
    if (!kvs_key_is_valid(kvs_slice(call->key.data, call->key.size - 1), &reason))
        return kvs_api_fail(call, KVS_ERR_INVALID, "Invalid prefix: %s.", reason);
    return 0;
}

void kvs_api_delete_tree(struct kvs_api_call *call)
{
    bool dry_run = false;
    int err = read_tree_request(call, &dry_run);
    if (err)
        kvs_api_finish(call, err);
    else if (dry_run)
        start_dry_run(call);
    else
        kvs_api_read_on_worker(call, start_job);
}

// ---- /jobs

static int list_jobs(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    (void)mode;
    struct kvs_job *jobs = kvs_api_alloc(call, KVS_JOBS_KEPT_MAX * sizeof(*jobs));
    if (!jobs)
        return KVS_ERR_NOMEM;
    struct kvs_buf *out = &call->exchange->response.body;
    size_t count = kvs_node_job_list(call->api->options.node, call->grant, jobs);
    begin(call, 200);
    kvs_buf_append_str(out, "{\"jobs\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            kvs_buf_append_char(out, ',');
        append_job(call, &jobs[i]);
    }
    kvs_api_body_allow(call, out->size + 2);
    kvs_buf_append_str(out, "]}");
    return 0;
}

static int read_id(struct kvs_api_call *call, struct kvs_uuid *ret_id)
{
    if (kvs_uuid_parse(call->id, ret_id))
        return 0;
    return kvs_api_fail(call, KVS_ERR_NOT_FOUND, "There is no such job.");
}

static int get_job(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    (void)mode;
    struct kvs_uuid id;
    struct kvs_job job;
    int err = read_id(call, &id);
    if (err)
        return err;
    err = kvs_node_job_get(call->api->options.node, call->grant, &id, &job);
    if (err == KVS_ERR_NOT_FOUND)
        return kvs_api_fail(call, err, "There is no such job (any more).");
    if (err)
        return err;
    begin(call, 200);
    append_job(call, &job);
    return 0;
}

static int cancel_job(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    (void)mode;
    struct kvs_uuid id;
    struct kvs_job job;
    bool forgotten = false;
    int err = read_id(call, &id);
    if (err)
        return err;
    err = kvs_node_job_cancel(call->api->options.node, call->grant, &id, &job, &forgotten);
    if (err == KVS_ERR_NOT_FOUND)
        return kvs_api_fail(call, err, "There is no such job (any more).");
    if (err)
        return err;
    if (forgotten) {
        call->exchange->response.status = 204;
        return 0;
    }
    begin(call, 200);
    append_job(call, &job);
    return 0;
}

static void without_parameters(struct kvs_api_call *call, kvs_api_read_fn *read)
{
    int err = kvs_api_query(call, NULL, 0);
    if (err)
        kvs_api_finish(call, err);
    else
        kvs_api_read_on_worker(call, read);
}

void kvs_api_job_list(struct kvs_api_call *call)
{
    without_parameters(call, list_jobs);
}

void kvs_api_job_get(struct kvs_api_call *call)
{
    without_parameters(call, get_job);
}

void kvs_api_job_cancel(struct kvs_api_call *call)
{
    without_parameters(call, cancel_job);
}
