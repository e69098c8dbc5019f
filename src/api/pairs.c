// SPDX-License-Identifier: Apache-2.0
// What a foreign peer reads: POST /members/pairs_by_time (keys and versions of a time) and POST
// /kv_range (whole records, streamed). Both see user data alone, and what a reader sees of it.
//
// A range is read piece by piece, each when the client has taken the one before, every piece with a
// view of the store of its own: what is written meanwhile may be in it or not.
//
//     worker: first piece --> loop: begin, or answer with an error
//     pull --> give the piece --> worker: the next one --> wake --> pull
#include "api/peer_body.h"

#include "base/assert.h"
#include "node/exchange.h"

#include <limits.h>

enum {
    TIMES_DEFAULT = 15,
    TIMES_MAX = 10000,
    TIMES_BYTES_MAX = 64 << 20, // above what 10000 pairs can be, every byte of their keys escaped
    PIECE_BYTES = 256 * 1024,
    PIECE_KEYS = 20000, // walked over, shown or not
    ESCAPED = 6,
    MEMBERS = 256,
};

// ---- POST /members/pairs_by_time

struct times {
    struct kvs_api_call *call;
    struct kvs_node_times query;
    int64_t limit;
    int64_t count;
};

static bool visit_time(void *ctx, struct kvs_slice key, const struct kvs_version *version)
{
    struct times *times = ctx;
    struct kvs_buf *out = &times->call->exchange->response.body;
    kvs_buf_append_str(out, times->count++ > 0 ? ",{\"path\":" : "[{\"path\":");
    kvs_json_write_string(out, key);
    kvs_buf_append_char(out, ',');
    kvs_api_append_version(out, version);
    kvs_buf_append_char(out, '}');
    return times->count < times->limit && !out->err;
}

static bool go_on(void *ctx)
{
    const struct times *times = ctx;
    const struct kvs_api_options *options = &times->call->api->options;
    return !options->accepting || options->accepting(options->accepting_ctx);
}

static int read_times(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    (void)mode; // on a worker
    struct times *times = call->input;
    struct kvs_http_response *response = &call->exchange->response;
    kvs_api_body_allow(call, TIMES_BYTES_MAX);
    response->status = 204;
    int err = kvs_node_times(call->api->options.node, call->grant, &times->query);
    if (!err && times->count > 0) {
        response->status = 200;
        response->content_type = "application/json";
        kvs_buf_append_char(&response->body, ']');
    }
    return err;
}

static int read_times_input(struct times *times)
{
    struct kvs_api_call *call = times->call;
    const struct kvs_json *root = NULL;
    struct kvs_node_times *query = &times->query;
    int err = kvs_api_query(call, NULL, 0);
    if (!err)
        err = kvs_peer_body_parse(call, KVS_JSON_OBJECT, &root);
    if (!err)
        err =
            kvs_peer_body_number(call, root, "start_timestamp", false, INT64_MAX, &query->start_ms);
    if (!err)
        err = kvs_peer_body_number(call, root, "end_timestamp", false, INT64_MAX, &query->end_ms);
    if (!err)
        err = kvs_peer_body_number(call, root, "limit", false, TIMES_MAX, &times->limit);
    if (!err)
        err = kvs_peer_body_bound(call, root, "prefix", &query->prefix);
    if (query->end_ms == 0)
        query->end_ms = INT64_MAX;
    if (times->limit == 0)
        times->limit = TIMES_DEFAULT;
    return err;
}

void kvs_api_pairs_by_time(struct kvs_api_call *call)
{
    struct times *times = kvs_api_alloc(call, sizeof(*times));
    int err = times ? 0 : KVS_ERR_NOMEM;
    if (!err) {
        *times = (struct times){.call = call, .query = {.visit = visit_time, .go_on = go_on}};
        times->query.ctx = times;
        call->input = times;
        err = read_times_input(times);
    }
    if (err)
        kvs_api_finish(call, err);
    else
        kvs_api_read_on_worker(call, read_times);
}

// ---- POST /kv_range

struct range {
    struct kvs_api_call *call;
    struct kvs_slice end;   // exclusive; empty = open
    struct kvs_slice first; // where the next piece begins, in `next`
    char next[KVS_KEY_SIZE_MAX + 1];
    int64_t left; // records still wanted
    bool some;    // a pair has been written
    bool whole;   // nothing is left to read
    bool reading; // a worker has the piece
    bool over;    // nobody reads it any more
    bool streaming;
    int err;
    struct kvs_buf piece;
};

static void end_range(struct range *range)
{
    struct kvs_http_exchange *exchange = range->call->exchange;
    kvs_buf_done(&range->piece);
    exchange->notice = NULL;
    kvs_http_finish(exchange);
}

static void go_on_at(struct range *range, struct kvs_slice key)
{
    kvs_assert(key.size < sizeof(range->next));
    memcpy(range->next, key.data, key.size);
    range->first = kvs_slice(range->next, key.size);
    range->whole = false;
}

static void pause_at(void *ctx, struct kvs_slice key)
{
    go_on_at(ctx, key);
}

static bool visit_record(void *ctx, struct kvs_slice key, const struct kvs_version *version,
                         struct kvs_slice json)
{
    struct range *range = ctx;
    struct kvs_buf *out = &range->piece;
    if (range->left == 0)
        return false;
    if (out->size >= PIECE_BYTES) {
        go_on_at(range, key);
        return false;
    }
    out->size_max = out->size + key.size * ESCAPED + json.size + MEMBERS;
    kvs_buf_append_str(out, range->some ? ",{\"path\":" : "{\"path\":");
    kvs_json_write_string(out, key);
    kvs_buf_append_slice(out, KVS_SLICE(",\"stored_value\":"));
    kvs_api_append_record(out, version, json);
    kvs_buf_append_char(out, '}');
    range->some = true;
    range->left--;
    return !out->err;
}

static int read_piece(struct range *range)
{
    struct kvs_node_scan scan = {.first = range->first,
                                 .end = range->end,
                                 .visit = visit_record,
                                 .keys_max = PIECE_KEYS,
                                 .pause = pause_at,
                                 .ctx = range};
    range->whole = true;
    bool empty = range->end.size > 0 && kvs_slice_cmp(range->first, range->end) >= 0;
    int err = empty ? 0
                    : kvs_node_scan(range->call->api->options.node, range->call->grant, &scan,
                                    KVS_READ_DISK);
    range->whole = range->whole || range->left == 0;
    return err ? err : range->piece.err;
}

static void begin_range(struct range *range);

static void piece_back_on_loop(struct kvs_task *task)
{
    struct kvs_api_call *call = KVS_CONTAINER_OF(task, struct kvs_http_exchange, task)->state;
    struct range *range = call->input;
    range->reading = false;
    if (!range->streaming)
        begin_range(range);
    else if (range->over)
        end_range(range);
    else
        kvs_http_stream_wake(call->exchange);
}

static void piece_on_worker(struct kvs_task *task)
{
    struct kvs_http_exchange *exchange = KVS_CONTAINER_OF(task, struct kvs_http_exchange, task);
    struct range *range = ((struct kvs_api_call *)exchange->state)->input;
    range->err = read_piece(range);
    exchange->task.run = piece_back_on_loop;
    kvs_executor_post(exchange->loop, &exchange->task);
}

static void ask_for_piece(struct range *range)
{
    struct kvs_http_exchange *exchange = range->call->exchange;
    range->reading = true;
    exchange->task.run = piece_on_worker;
    kvs_executor_post(exchange->workers, &exchange->task);
}

// Gives what has been read and asks for more; behind the last piece, the end.
static bool pull(struct kvs_http_exchange *exchange)
{
    struct kvs_api_call *call = exchange->state;
    struct range *range = call->input;
    if (range->reading)
        return false;
    if (range->err) { // too late for a status: the client sees an interruption
        exchange->cut = true;
        end_range(range);
        return false;
    }
    struct kvs_buf *body = &exchange->response.body;
    kvs_api_body_allow(call, body->size + range->piece.size + MEMBERS);
    kvs_buf_append_slice(body, kvs_buf_slice(&range->piece));
    kvs_buf_clear(&range->piece);
    if (range->whole) {
        kvs_buf_append_slice(body, KVS_SLICE("]}"));
        end_range(range);
    } else {
        ask_for_piece(range);
    }
    return false;
}

static void on_notice(struct kvs_http_exchange *exchange, enum kvs_http_notice notice)
{
    struct range *range = ((struct kvs_api_call *)exchange->state)->input;
    if (notice != KVS_HTTP_GONE)
        return; // it ends by itself, or at the end of the server's patience
    range->over = true;
    if (!range->reading)
        end_range(range);
}

static void begin_range(struct range *range)
{
    struct kvs_http_exchange *exchange = range->call->exchange;
    if (range->err || range->over) {
        int err = range->err ? range->err : KVS_ERR_SHUTDOWN;
        kvs_buf_done(&range->piece);
        exchange->notice = NULL;
        kvs_api_finish(range->call, err);
        return;
    }
    exchange->response.status = 200;
    exchange->response.content_type = "application/json";
    exchange->pull = pull;
    range->streaming = true;
    if (!kvs_http_stream_start(exchange))
        end_range(range);
}

// The scan's end is exclusive, end_key is not: nothing lies between it and itself with 0x01 behind.
static int set_end(struct range *range, struct kvs_slice end_key)
{
    if (end_key.size == 0)
        return 0;
    char *end = kvs_api_alloc(range->call, end_key.size + 1);
    if (!end)
        return KVS_ERR_NOMEM;
    memcpy(end, end_key.data, end_key.size);
    end[end_key.size] = 0x01;
    range->end = kvs_slice(end, end_key.size + 1);
    return 0;
}

static int read_range_input(struct range *range)
{
    struct kvs_api_call *call = range->call;
    const struct kvs_json *root = NULL;
    struct kvs_slice end_key = KVS_SLICE_EMPTY;
    int err = kvs_api_query(call, NULL, 0);
    if (!err)
        err = kvs_peer_body_parse(call, KVS_JSON_OBJECT, &root);
    if (!err)
        err = kvs_peer_body_bound(call, root, "start_key", &range->first);
    if (!err)
        err = kvs_peer_body_bound(call, root, "end_key", &end_key);
    if (!err)
        err = kvs_peer_body_number(call, root, "limit", false, INT64_MAX, &range->left);
    if (range->left == 0)
        range->left = INT64_MAX;
    return err ? err : set_end(range, end_key);
}

void kvs_api_kv_range(struct kvs_api_call *call)
{
    struct range *range = kvs_api_alloc(call, sizeof(*range));
    int err = range ? 0 : KVS_ERR_NOMEM;
    if (!err) {
        *range = (struct range){.call = call, .piece = KVS_BUF_INIT(PIECE_BYTES)};
        call->input = range;
        err = read_range_input(range);
    }
    if (err) {
        kvs_api_finish(call, err);
        return;
    }
    kvs_buf_append_slice(&range->piece, KVS_SLICE("{\"pairs\":["));
    call->exchange->state = call;
    call->exchange->notice = on_notice;
    ask_for_piece(range);
}
