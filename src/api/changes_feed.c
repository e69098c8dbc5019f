// SPDX-License-Identifier: Apache-2.0
// GET /changes?feed=sse: server-sent events (WHATWG HTML section 9.2), for as long as both sides
// like.
//
// What a feed holds is a cursor into the log and one piece of events, made when the client has
// taken the one before; a slow client costs no more. Pulled on the loop: what is not at hand there
// a worker reads; when all has been given the feed subscribes.
//
//     pull --> a piece at hand: send it
//          '-> read a little: something: send it
//              nothing, but more --> worker --> wake --> pull
//              nothing left ------> subscribe --> told --> wake --> pull
#include "api/changes_internal.h"

static void end(struct kvs_feed *feed)
{
    struct kvs_http_exchange *exchange = feed->call->exchange;
    kvs_buf_done(&feed->ready);
    exchange->notice = NULL;
    kvs_http_finish(exchange);
}

// The worker is back, or the log has grown.
static void wake(struct kvs_feed *feed)
{
    if (feed->over)
        end(feed);
    else
        kvs_http_stream_wake(feed->call->exchange);
}

static void set_heartbeat(struct kvs_feed *feed)
{
    feed->beat = false;
    feed->call->exchange->due_ns =
        kvs_clock_mono_ns(feed->call->api->options.clock) + feed->heartbeat_ms * 1000 * 1000;
}

// Sends the piece at hand; false: there is none.
static bool give(struct kvs_feed *feed)
{
    struct kvs_buf *body = &feed->call->exchange->response.body;
    bool some = feed->ready.size > 0;
    if (some) {
        kvs_api_body_allow(feed->call, body->size + feed->ready.size);
        kvs_buf_append_slice(body, kvs_buf_slice(&feed->ready));
        size_t size_max = feed->ready.size_max;
        kvs_buf_done(&feed->ready); // thousands of feeds wait with nothing
        kvs_buf_init(&feed->ready, size_max);
        set_heartbeat(feed);
    }
    feed->given = feed->reader.since;
    return some;
}

// A comment, and the id alone: it moves the client's Last-Event-ID over what it may not or does not
// want to see, without an event.
static void beat(struct kvs_feed *feed)
{
    struct kvs_buf *body = &feed->call->exchange->response.body;
    kvs_buf_append_slice(body, KVS_SLICE(":\nid: "));
    kvs_buf_append_u64(body, feed->given);
    kvs_buf_append_slice(body, KVS_SLICE("\n\n"));
    set_heartbeat(feed);
}

static bool is_complete(const struct kvs_feed *feed)
{
    return feed->reader.found_max > 0 && feed->reader.found == feed->reader.found_max;
}

// The last event: why there is none after it. Anything but a lost place looks like an interruption,
// after which the client comes back.
static void fail(struct kvs_feed *feed, int err)
{
    struct kvs_http_exchange *exchange = feed->call->exchange;
    struct kvs_buf *body = &exchange->response.body;
    if (err == KVS_ERR_GONE) {
        kvs_api_body_allow(feed->call, body->size + 4096);
        kvs_buf_append_slice(body, KVS_SLICE("event: gone\ndata: "));
        kvs_api_append_problem(body, kvs_err_http_status(err), feed->call->detail);
        kvs_buf_append_slice(body, KVS_SLICE("\n\n"));
    } else {
        exchange->cut = true;
    }
    end(feed);
}

// What has been read, or must be read: false when somebody will wake the stream.
static bool go_on(struct kvs_feed *feed, int err)
{
    if (err && err != KVS_ERR_AGAIN) {
        fail(feed, err);
        return false;
    }
    bool given = give(feed);
    if (is_complete(feed)) {
        end(feed);
        return false;
    }
    if (given)
        return true;
    if (err == KVS_ERR_AGAIN || feed->reader.more)
        kvs_feed_read_on_worker(feed, wake);
    else
        kvs_feed_wait(feed, wake);
    return false;
}

static bool pull(struct kvs_http_exchange *exchange)
{
    struct kvs_api_call *call = exchange->state;
    struct kvs_feed *feed = call->input;
    if (!feed->greeted) {
        feed->greeted = true;
        kvs_buf_append_slice(&exchange->response.body, KVS_SLICE("retry: 1000\n\n"));
    }
    if (feed->beat)
        beat(feed);
    if (feed->reading || feed->waiting)
        return false;
    int err = call->err; // of a worker that is back
    call->err = 0;
    if (!err && feed->ready.size == 0 && !is_complete(feed))
        err = kvs_feed_read(feed, KVS_READ_CACHED, KVS_FEED_LOOP_WALK);
    return go_on(feed, err);
}

static void on_notice(struct kvs_http_exchange *exchange, enum kvs_http_notice notice)
{
    struct kvs_feed *feed = ((struct kvs_api_call *)exchange->state)->input;
    if (notice == KVS_HTTP_DUE) {
        feed->beat = true;
        if (feed->streaming)
            kvs_http_stream_wake(exchange);
        return;
    }
    feed->over = true;
    if (kvs_feed_is_free(feed))
        end(feed);
}

// The first reading has been done: only now is it known that there is no error to answer with.
static void begin(struct kvs_feed *feed)
{
    struct kvs_http_exchange *exchange = feed->call->exchange;
    int err = feed->call->err;
    feed->call->err = 0;
    if (err) {
        kvs_buf_done(&feed->ready);
        exchange->notice = NULL;
        kvs_api_finish(feed->call, err);
        return;
    }
    exchange->response.status = 200;
    exchange->response.content_type = "text/event-stream";
    // The second is for nginx, which would gather events in a buffer of its own.
    kvs_buf_append_slice(&exchange->response.headers,
                         KVS_SLICE("Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n"));
    exchange->pull = pull;
    kvs_api_audit_note(feed->call);
    set_heartbeat(feed);
    feed->streaming = true;
    if (feed->over || !kvs_http_stream_start(exchange))
        end(feed);
}

void kvs_feed_stream(struct kvs_feed *feed)
{
    struct kvs_http_exchange *exchange = feed->call->exchange;
    feed->given = feed->reader.since;
    feed->reader.out = &feed->ready;
    feed->reader.size_max = KVS_FEED_PIECE;
    feed->reader.events = true;
    exchange->state = feed->call;
    exchange->notice = on_notice;
    feed->call->err = kvs_feed_read(feed, KVS_READ_CACHED, KVS_FEED_LOOP_WALK);
    if (feed->call->err == KVS_ERR_AGAIN)
        kvs_feed_read_on_worker(feed, begin);
    else
        begin(feed);
}
