// SPDX-License-Identifier: Apache-2.0
// GET /changes: requests, reading the log, and the two feeds that end by themselves: a page of what
// there is (normal) and a page as soon as there is something (longpoll).
//
//     longpoll:  read --> something, or over --> answer
//                 ^  '--> nothing: subscribe --> told, or over (time, client gone, node stops)
//                 '----------------------------------'
#include "api/changes_internal.h"

#include "codec/json.h"

enum {
    TIMEOUT_DEFAULT_MS = 60 * 1000,
    TIMEOUT_MAX_MS = 60 * 60 * 1000,
    HEARTBEAT_DEFAULT_MS = 15 * 1000,
    HEARTBEAT_MIN_MS = 1000,
    HEARTBEAT_MAX_MS = 5 * 60 * 1000,
    PREFIX_SIZE_MAX = KVS_KEY_SIZE_MAX + 1,
    CHANGE_SIZE_MAX = 6 * KVS_KEY_SIZE_MAX + 256, // every byte of the key escaped
    PAGE_BYTES = 1024 * 1024, // a page ends early behind the change that reaches it
    READY_MAX = KVS_FEED_PIECE + CHANGE_SIZE_MAX,
};

// ---- Reading the log

static void append_change(struct kvs_buf *out, const struct kvs_change *change)
{
    kvs_buf_append_slice(out, KVS_SLICE("{\"seq\":"));
    kvs_buf_append_u64(out, change->seq);
    kvs_buf_append_slice(out, KVS_SLICE(",\"path\":"));
    kvs_json_write_string(out, change->key);
    kvs_buf_append_slice(out, KVS_SLICE(",\"uuid\":\""));
    kvs_api_append_uuid(out, &change->uuid);
    kvs_buf_append_slice(out, KVS_SLICE("\",\"timestamp\":"));
    kvs_buf_append_i64(out, change->timestamp);
    kvs_buf_append_str(out, change->flags & KVS_VERSION_TOMBSTONE ? ",\"deleted\":true"
                                                                  : ",\"deleted\":false");
    if (change->flags & KVS_VERSION_CONFLICT_LOSER)
        kvs_buf_append_slice(out, KVS_SLICE(",\"conflict\":true"));
    kvs_buf_append_char(out, '}');
}

static bool feed_is_full(const struct kvs_feed_reader *reader)
{
    return reader->out->size >= reader->size_max ||
           (reader->found_max > 0 && reader->found == reader->found_max);
}

static bool visit(void *ctx, const struct kvs_change *change)
{
    struct kvs_feed_reader *reader = ctx;
    struct kvs_buf *out = reader->out;
    if (feed_is_full(reader))
        return false;
    if (out->size_max < out->size + CHANGE_SIZE_MAX)
        out->size_max = out->size + CHANGE_SIZE_MAX;
    if (reader->events) {
        kvs_buf_append_slice(out, KVS_SLICE("id: "));
        kvs_buf_append_u64(out, change->seq);
        kvs_buf_append_slice(out, KVS_SLICE("\ndata: "));
    } else if (reader->found > 0) {
        kvs_buf_append_char(out, ',');
    }
    append_change(out, change);
    if (reader->events)
        kvs_buf_append_slice(out, KVS_SLICE("\n\n"));
    reader->found++;
    return true;
}

int kvs_feed_read(struct kvs_feed *feed, enum kvs_read_mode mode, uint32_t walk_max)
{
    struct kvs_feed_reader *reader = &feed->reader;
    struct kvs_api_call *call = feed->call;
    const struct kvs_changes_query query = {.since = reader->since,
                                            .prefix = feed->prefix,
                                            .walk_max = walk_max,
                                            .visit = visit,
                                            .ctx = reader};
    if (!kvs_grant_is_good(call->grant)) // it may have ended while the feed went on
        return kvs_api_fail(call, KVS_ERR_UNAUTHORIZED,
                            "Unauthorized: the token is no longer good");
    int err = kvs_node_changes(call->api->options.node, call->grant, &query, mode, &reader->since,
                               &reader->more);
    if (err == KVS_ERR_GONE)
        return kvs_feed_fail_gone(feed);
    return err ? err : reader->out->err;
}

int kvs_feed_fail_gone(struct kvs_feed *feed)
{
    struct kvs_changes_bounds bounds = kvs_node_changes_bounds(feed->call->api->options.node);
    return kvs_api_fail(feed->call, KVS_ERR_GONE,
                        "This node keeps the changes behind %llu up to %llu. Begin anew: take "
                        "last_seq from /changes?since=now, list the keys, then follow from there.",
                        (unsigned long long)bounds.oldest - 1, (unsigned long long)bounds.newest);
}

// ---- Between threads

static void back_on_loop(struct kvs_task *task)
{
    struct kvs_api_call *call = KVS_CONTAINER_OF(task, struct kvs_http_exchange, task)->state;
    struct kvs_feed *feed = call->input;
    feed->reading = false;
    feed->back(feed);
}

static void read_on_worker(struct kvs_task *task)
{
    struct kvs_http_exchange *exchange = KVS_CONTAINER_OF(task, struct kvs_http_exchange, task);
    struct kvs_api_call *call = exchange->state;
    call->err = kvs_feed_read(call->input, KVS_READ_DISK, KVS_FEED_WORKER_WALK);
    exchange->task.run = back_on_loop;
    kvs_executor_post(exchange->loop, &exchange->task);
}

void kvs_feed_read_on_worker(struct kvs_feed *feed, void (*back)(struct kvs_feed *feed))
{
    struct kvs_http_exchange *exchange = feed->call->exchange;
    feed->reading = true;
    feed->back = back;
    exchange->state = feed->call;
    exchange->task.run = read_on_worker;
    kvs_executor_post(exchange->workers, &exchange->task);
}

static void on_told(struct kvs_task *task)
{
    struct kvs_feed *feed = KVS_CONTAINER_OF(task, struct kvs_feed, wait.task);
    feed->waiting = false;
    feed->told(feed);
}

void kvs_feed_wait(struct kvs_feed *feed, void (*told)(struct kvs_feed *feed))
{
    feed->waiting = true;
    feed->told = told;
    feed->wait.executor = feed->call->exchange->loop;
    feed->wait.task.run = on_told;
    kvs_node_changes_wait(feed->call->api->options.node, &feed->wait, feed->reader.since);
}

bool kvs_feed_is_free(struct kvs_feed *feed)
{
    if (feed->waiting && kvs_node_changes_unwait(feed->call->api->options.node, &feed->wait))
        feed->waiting = false;
    return !feed->waiting && !feed->reading;
}

// ---- A page

static void begin_page(struct kvs_feed *feed)
{
    struct kvs_http_response *response = &feed->call->exchange->response;
    response->status = 200;
    response->content_type = "application/json";
    kvs_buf_append_slice(&response->headers, KVS_SLICE("Cache-Control: no-store\r\n"));
    feed->reader.out = &response->body;
    feed->reader.size_max = PAGE_BYTES;
    kvs_buf_append_slice(&response->body, KVS_SLICE("{\"changes\":["));
}

static void end_page(struct kvs_feed *feed)
{
    struct kvs_buf *body = &feed->call->exchange->response.body;
    kvs_api_body_allow(feed->call, body->size + CHANGE_SIZE_MAX);
    kvs_buf_append_slice(body, KVS_SLICE("],\"last_seq\":"));
    kvs_buf_append_u64(body, feed->reader.since);
    kvs_buf_append_str(body, feed->reader.more ? ",\"more\":true}" : ",\"more\":false}");
}

static void answer(struct kvs_feed *feed, int err)
{
    feed->call->exchange->notice = NULL;
    if (!err)
        end_page(feed);
    kvs_api_finish(feed->call, err);
}

static void back_from_worker(struct kvs_feed *feed);
static void read_a_little(struct kvs_feed *feed);

// What the loop did not have at hand, or has not looked at, a worker reads, once: a normal feed
// then answers with what there is. A long poll goes on until there is something, or it is over.
static void go_on(struct kvs_feed *feed, int err, bool by_worker)
{
    const struct kvs_feed_reader *reader = &feed->reader;
    bool again = err == KVS_ERR_AGAIN;
    bool wants_more = reader->more && !feed_is_full(reader) &&
                      (!by_worker || (feed->kind == KVS_FEED_LONGPOLL && reader->found == 0));
    if ((err && !again) || feed->over)
        answer(feed, again ? 0 : err);
    else if (again || wants_more)
        kvs_feed_read_on_worker(feed, back_from_worker);
    else if (feed->kind == KVS_FEED_NORMAL || reader->found > 0)
        answer(feed, 0);
    else
        kvs_feed_wait(feed, read_a_little);
}

static void back_from_worker(struct kvs_feed *feed)
{
    go_on(feed, feed->call->err, true);
}

static void read_a_little(struct kvs_feed *feed)
{
    go_on(feed, kvs_feed_read(feed, KVS_READ_CACHED, KVS_FEED_LOOP_WALK), false);
}

static void on_notice(struct kvs_http_exchange *exchange, enum kvs_http_notice notice)
{
    (void)notice; // whatever it is: answer with what there is
    struct kvs_feed *feed = ((struct kvs_api_call *)exchange->state)->input;
    feed->over = true;
    if (kvs_feed_is_free(feed))
        answer(feed, 0);
}

static void answer_page(struct kvs_feed *feed)
{
    struct kvs_http_exchange *exchange = feed->call->exchange;
    exchange->state = feed->call;
    if (feed->kind == KVS_FEED_LONGPOLL) {
        exchange->notice = on_notice;
        exchange->due_ns =
            kvs_clock_mono_ns(feed->call->api->options.clock) + feed->timeout_ms * 1000 * 1000;
    }
    begin_page(feed);
    read_a_little(feed);
}

// ---- Requests

static int read_since(struct kvs_feed *feed, const char *name, struct kvs_slice text)
{
    struct kvs_changes_bounds bounds = kvs_node_changes_bounds(feed->call->api->options.node);
    if (kvs_slice_eq(text, KVS_SLICE("now")))
        feed->reader.since = bounds.newest;
    else if (!kvs_slice_to_u64(text, &feed->reader.since))
        return kvs_api_fail(feed->call, KVS_ERR_INVALID,
                            "%s must be the seq of a change, 0 or \"now\".", name);
    return 0;
}

static int read_kind(struct kvs_feed *feed, const struct kvs_api_param *param)
{
    static const char *const names[] = {"normal", "longpoll", "sse"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(names); i++)
        if (!param->found || kvs_slice_eq(param->value, kvs_slice_from_str(names[i]))) {
            feed->kind = (enum kvs_feed_kind)i;
            return 0;
        }
    return kvs_api_fail(feed->call, KVS_ERR_INVALID, "feed must be normal, longpoll or sse.");
}

static int read_duration(struct kvs_feed *feed, const struct kvs_api_param *param,
                         enum kvs_feed_kind kind, int64_t min_ms, int64_t max_ms, int64_t *ret_ms)
{
    if (!param->found)
        return 0;
    if (feed->kind != kind)
        return kvs_api_fail(feed->call, KVS_ERR_INVALID, "%s goes with feed=%s alone.", param->name,
                            kind == KVS_FEED_SSE ? "sse" : "longpoll");
    int err = kvs_api_parse_ttl(feed->call, param->name, param->value, ret_ms);
    if (!err && (*ret_ms < min_ms || *ret_ms > max_ms))
        err = kvs_api_fail(feed->call, KVS_ERR_INVALID, "%s must be from %llds to %llds.",
                           param->name, (long long)min_ms / 1000, (long long)max_ms / 1000);
    return err;
}

static int read_request(struct kvs_feed *feed)
{
    enum { SINCE, PREFIX, FEED, LIMIT, TIMEOUT, HEARTBEAT };
    struct kvs_api_call *call = feed->call;
    struct kvs_api_param params[] = {{.name = "since"}, {.name = "prefix"},  {.name = "feed"},
                                     {.name = "limit"}, {.name = "timeout"}, {.name = "heartbeat"}};
    int err = kvs_api_query(call, params, KVS_ARRAY_SIZE(params));
    if (!err)
        err = read_kind(feed, &params[FEED]);
    if (!err && params[SINCE].found)
        err = read_since(feed, "since", params[SINCE].value);
    // A browser that connects again sends what it got last, beside the address it began with.
    struct kvs_slice last_id = kvs_http_header_get(&call->exchange->request, "Last-Event-ID");
    if (!err && feed->kind == KVS_FEED_SSE && last_id.size > 0)
        err = read_since(feed, "Last-Event-ID", last_id);
    feed->prefix = params[PREFIX].value;
    if (!err && feed->prefix.size > PREFIX_SIZE_MAX)
        err =
            kvs_api_fail(call, KVS_ERR_INVALID, "prefix is longer than %d bytes.", PREFIX_SIZE_MAX);
    if (!err && (params[LIMIT].found || feed->kind != KVS_FEED_SSE))
        err = kvs_api_param_limit(call, &params[LIMIT], &feed->reader.found_max);
    if (!err)
        err = read_duration(feed, &params[TIMEOUT], KVS_FEED_LONGPOLL, 0, TIMEOUT_MAX_MS,
                            &feed->timeout_ms);
    if (!err)
        err = read_duration(feed, &params[HEARTBEAT], KVS_FEED_SSE, HEARTBEAT_MIN_MS,
                            HEARTBEAT_MAX_MS, &feed->heartbeat_ms);
    return err;
}

void kvs_api_changes(struct kvs_api_call *call)
{
    struct kvs_feed *feed = kvs_api_alloc(call, sizeof(*feed));
    if (!feed) {
        kvs_api_finish(call, KVS_ERR_NOMEM);
        return;
    }
    *feed = (struct kvs_feed){.call = call,
                              .timeout_ms = TIMEOUT_DEFAULT_MS,
                              .heartbeat_ms = HEARTBEAT_DEFAULT_MS,
                              .ready = KVS_BUF_INIT(READY_MAX)};
    call->input = feed;
    int err = read_request(feed);
    if (err)
        kvs_api_finish(call, err);
    else if (feed->kind == KVS_FEED_SSE)
        kvs_feed_stream(feed);
    else
        answer_page(feed);
}
