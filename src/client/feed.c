// SPDX-License-Identifier: Apache-2.0
// The change feed: GET /changes?feed=sse on a connection of its own, driven by the reader, so that
// a reader that does not read takes nothing in. Reconnects to the same node with the last sequence
// number that was handed out. One thread at a time for each feed.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/client_internal.h"
#include "client/sse.h"

enum {
    SILENCE_MAX_MS = 90000, // the node sends heartbeats: a connection without them is dead
    EVENT_SIZE_MAX = 1 << 20,
    POLL_MAX_MS = 1000,
};

struct kvs_client_feed {
    struct kvs_client *client;
    struct kvs_client_call *call;
    CURLM *multi;
    struct curl_slist *headers;
    char *prefix;
    const struct kvs_client_node *node; // followed; NULL: none reached yet
    size_t tried;                       // nodes in vain, before the first is reached
    uint64_t since;
    bool from_now;
    bool running; // the request is under way, or has ended and is not cleared away yet
    bool ended;
    CURLcode result;   // ended: how
    int64_t heard_ms;  // when something last came
    size_t heard_size; // what lay in the buffer then
    int64_t retry_ms;  // when to connect again
    size_t read_size;  // of the buffer, what has been read; moved out when no event is left in it
    uint32_t failures; // since something last came
    struct kvs_sse sse;
    struct kvs_client_memory memory; // of the change handed out
    struct kvs_client_error trouble; // of the last connection
};

// ---- Life

struct kvs_client_feed *kvs_client_feed_new(struct kvs_client *client,
                                            const struct kvs_client_feed_options *options)
{
    struct kvs_client_feed *feed = calloc(1, sizeof(*feed));
    if (!feed)
        return NULL;
    feed->client = client;
    feed->call = kvs_client_call_begin(client);
    feed->multi = curl_multi_init();
    if (options) {
        feed->since = options->since;
        feed->from_now = options->from_now;
        feed->prefix = options->prefix ? strdup(options->prefix) : NULL;
    }
    kvs_sse_init(&feed->sse, EVENT_SIZE_MAX);
    kvs_buf_init(&feed->memory.text, EVENT_SIZE_MAX + 1);
    kvs_arena_init(&feed->memory.arena, 64 * EVENT_SIZE_MAX);
    bool good = feed->call && feed->multi && (!options || !options->prefix || feed->prefix) &&
                kvs_client_add_header(&feed->headers, "Accept: text/event-stream") &&
                kvs_client_add_common_headers(client, &feed->headers);
    if (!good) {
        kvs_client_feed_free(feed);
        return NULL;
    }
    return feed;
}

static void disconnect(struct kvs_client_feed *feed)
{
    if (feed->running)
        curl_multi_remove_handle(feed->multi, feed->call->easy);
    feed->running = false;
    feed->ended = false;
    kvs_sse_reset(&feed->sse);
}

void kvs_client_feed_free(struct kvs_client_feed *feed)
{
    if (!feed)
        return;
    if (feed->call)
        disconnect(feed);
    if (feed->multi)
        curl_multi_cleanup(feed->multi);
    if (feed->call)
        curl_easy_reset(feed->call->easy); // lets go of the headers
    kvs_client_call_end(feed->call);
    curl_slist_free_all(feed->headers);
    kvs_sse_done(&feed->sse);
    kvs_buf_done(&feed->memory.text);
    kvs_arena_done(&feed->memory.arena);
    free(feed->prefix);
    free(feed);
}

uint64_t kvs_client_feed_since(const struct kvs_client_feed *feed)
{
    return feed->since;
}

const char *kvs_client_feed_url(const struct kvs_client_feed *feed)
{
    return feed->node ? feed->node->url : "";
}

// ---- Connecting

static void choose_node(struct kvs_client_feed *feed)
{
    struct kvs_client *client = feed->client;
    size_t index = (atomic_load(&client->current) + feed->tried) % client->node_count;
    feed->call->node = feed->node ? feed->node : &client->nodes[index];
}

// Where "now" is, so that a connection that breaks before the first change leaves no gap.
static enum kvs_client_code find_now(struct kvs_client_feed *feed,
                                     struct kvs_client_error *ret_error)
{
    KVS_CLEANUP(kvs_client_memory_freep) struct kvs_client_memory *memory = NULL;
    struct kvs_client_call *call = feed->call;
    struct kvs_json *root = NULL;
    const struct kvs_client_request request = {.method = "GET",
                                               .target = KVS_SLICE("/changes?since=now&limit=1")};
    enum kvs_client_code code =
        kvs_client_send_once(call, &request, feed->client->timeout_ms, ret_error);
    if (code == KVS_CLIENT_OK)
        code = kvs_client_answer_take(call, &memory, &root, ret_error);
    if (code != KVS_CLIENT_OK)
        return code;
    if (!kvs_client_read_u64(kvs_json_member(root, "last_seq"), &feed->since))
        return kvs_client_fail_unexpected(call, ret_error);
    feed->from_now = false;
    feed->node = call->node; // the number is this node's
    return KVS_CLIENT_OK;
}

static enum kvs_client_code connect_node(struct kvs_client_feed *feed,
                                         struct kvs_client_error *ret_error)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf target = KVS_BUF_INIT(KVS_CLIENT_TARGET_SIZE_MAX);
    struct kvs_client *client = feed->client;
    struct kvs_client_call *call = feed->call;
    kvs_buf_append_str(&target, "/changes?feed=sse");
    kvs_client_target_add_number(&target, "since", feed->since);
    kvs_client_target_add(&target, "prefix", feed->prefix);
    kvs_client_prepare(call);
    curl_easy_setopt(call->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)client->connect_timeout_ms);
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, feed->headers);
    curl_easy_setopt(call->easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(call->easy, CURLOPT_FORBID_REUSE, 1L);
    if (target.err || kvs_client_set_url(call, kvs_buf_slice(&target)) != KVS_CLIENT_OK ||
        curl_multi_add_handle(feed->multi, call->easy) != CURLM_OK)
        return kvs_client_fail_nomem(ret_error);
    feed->running = true;
    feed->heard_ms = kvs_client_now_ms();
    feed->heard_size = 0;
    feed->read_size = 0;
    return KVS_CLIENT_OK;
}

static bool is_stream(const struct kvs_client_call *call)
{
    long status = 0;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    return status == 200;
}

static void retry_later(struct kvs_client_feed *feed)
{
    int64_t ms = kvs_client_backoff_ms(feed->failures++);
    if (ms < feed->trouble.retry_after_ms)
        ms = feed->trouble.retry_after_ms;
    feed->retry_ms = kvs_client_now_ms() + ms;
}

// The connection has ended. KVS_CLIENT_OK: it is tried again.
static enum kvs_client_code lose(struct kvs_client_feed *feed, enum kvs_client_code why,
                                 struct kvs_client_error *ret_error)
{
    disconnect(feed);
    bool reached = feed->node != NULL;
    switch (why) {
    case KVS_CLIENT_OK: // the node ended the stream
    case KVS_CLIENT_UNREACHABLE:
    case KVS_CLIENT_BROKEN:
    case KVS_CLIENT_RATE_LIMITED:
    case KVS_CLIENT_UNAVAILABLE:
        break;
    default:
        if (feed->trouble.http_status < 500) {
            if (ret_error)
                *ret_error = feed->trouble;
            return why;
        }
    }
    if (!reached && ++feed->tried >= feed->client->node_count) {
        feed->tried = 0;
        if (ret_error)
            *ret_error = feed->trouble;
        return why == KVS_CLIENT_OK ? KVS_CLIENT_BROKEN : why;
    }
    if (reached)
        retry_later(feed);
    return KVS_CLIENT_OK;
}

static enum kvs_client_code take_end(struct kvs_client_feed *feed,
                                     struct kvs_client_error *ret_error)
{
    CURLcode result = feed->result;
    long status = 0;
    struct kvs_client_call *call = feed->call;
    enum kvs_client_code why = KVS_CLIENT_OK;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    call->status = (int)status;
    if (result != CURLE_OK)
        why = kvs_client_fail_transfer(call, result, &feed->trouble);
    else if (status != 200)
        why = kvs_client_fail_answer(call, &feed->trouble);
    else
        (void)kvs_client_fail(&feed->trouble, KVS_CLIENT_BROKEN, "%s ended the feed",
                              call->node->url);
    return lose(feed, why, ret_error);
}

// Lets libcurl work; takes note of what came, and of the connection's end.
static enum kvs_client_code work(struct kvs_client_feed *feed, struct kvs_client_error *ret_error)
{
    int running = 0;
    int left = 0;
    if (curl_multi_perform(feed->multi, &running) != CURLM_OK)
        return kvs_client_fail_nomem(ret_error);
    const struct kvs_buf *body = &feed->call->answer;
    bool heard = body->size != feed->heard_size;
    if (is_stream(feed->call) && (heard || !feed->node)) {
        feed->node = feed->call->node;
        feed->heard_ms = kvs_client_now_ms();
        feed->trouble = (struct kvs_client_error){0};
        if (heard)
            feed->failures = 0;
    }
    feed->heard_size = body->size;
    const CURLMsg *message = curl_multi_info_read(feed->multi, &left);
    if (message && message->msg == CURLMSG_DONE) {
        feed->ended = true; // taken up when what has come with it is read
        feed->result = message->data.result;
    } else if (kvs_client_now_ms() - feed->heard_ms > SILENCE_MAX_MS) {
        (void)kvs_client_fail(&feed->trouble, KVS_CLIENT_BROKEN, "%s has gone silent",
                              feed->call->node->url);
        return lose(feed, KVS_CLIENT_BROKEN, ret_error);
    }
    return KVS_CLIENT_OK;
}

// ---- Changes

// The event in feed->sse. KVS_CLIENT_END: it is none that concerns a key.
static enum kvs_client_code read_change(struct kvs_client_feed *feed,
                                        struct kvs_client_change *ret_change,
                                        struct kvs_client_error *ret_error)
{
    struct kvs_client_memory *memory = &feed->memory;
    struct kvs_json *root = NULL;
    struct kvs_client_change change = {0};
    kvs_arena_reset(&memory->arena);
    kvs_buf_clear(&memory->text);
    kvs_buf_append_slice(&memory->text, kvs_buf_slice(&feed->sse.data));
    kvs_buf_append_char(&memory->text, 0);
    struct kvs_slice whole = kvs_arena_copy(&memory->arena, kvs_buf_slice(&feed->sse.data));
    if (memory->text.err || !whole.data)
        return kvs_client_fail_nomem(ret_error);
    change.json = whole.data;
    change.json_size = whole.size;
    struct kvs_json_error error;
    if (kvs_json_parse(kvs_slice(memory->text.data, whole.size), 0, &memory->arena, &root, &error) <
        0)
        return kvs_client_fail(ret_error, KVS_CLIENT_UNEXPECTED, "%s sent a change that is no JSON",
                               kvs_client_feed_url(feed));
    if (!kvs_json_member(root, "path"))
        return KVS_CLIENT_END;
    if ((!kvs_client_read_u64(kvs_json_member(root, "seq"), &change.seq) &&
         !kvs_slice_to_u64(kvs_slice_from_str(feed->sse.id), &change.seq)) ||
        !kvs_client_read_version(root, memory, &change.version) ||
        !kvs_client_read_text(kvs_json_member(root, "path"), memory, &change.key))
        return kvs_client_fail(ret_error, KVS_CLIENT_UNEXPECTED,
                               "%s sent a change without its parts", kvs_client_feed_url(feed));
    change.deleted = kvs_client_is_true(kvs_json_member(root, "deleted"));
    feed->since = change.seq;
    *ret_change = change;
    return KVS_CLIENT_OK;
}

// The next change out of what has come; KVS_CLIENT_END: nothing yet.
static enum kvs_client_code next_received(struct kvs_client_feed *feed,
                                          struct kvs_client_change *ret_change,
                                          struct kvs_client_error *ret_error)
{
    struct kvs_buf *body = &feed->call->answer;
    enum kvs_client_code code = KVS_CLIENT_END;
    if (!feed->running || !is_stream(feed->call) || body->size == 0)
        return KVS_CLIENT_END;
    struct kvs_slice left = kvs_slice(body->data + feed->read_size, body->size - feed->read_size);
    while (code == KVS_CLIENT_END && kvs_sse_next(&feed->sse, &left))
        code = read_change(feed, ret_change, ret_error);
    feed->read_size = body->size - left.size;
    uint64_t seq; // heartbeats move on over what the prefix hides
    if (code == KVS_CLIENT_END && kvs_slice_to_u64(kvs_slice_from_str(feed->sse.last_id), &seq) &&
        seq > feed->since)
        feed->since = seq;
    if (code == KVS_CLIENT_END) {
        kvs_buf_consume(body, feed->read_size);
        feed->read_size = 0;
    }
    feed->heard_size = body->size;
    if (code == KVS_CLIENT_END && (feed->sse.data.err || body->err))
        return kvs_client_fail(ret_error, KVS_CLIENT_TOO_LARGE, "%s sent a change of over %d bytes",
                               kvs_client_feed_url(feed), EVENT_SIZE_MAX);
    return code;
}

static void wait_ms(struct kvs_client_feed *feed, int64_t ms)
{
    if (ms > POLL_MAX_MS)
        ms = POLL_MAX_MS;
    (void)curl_multi_poll(feed->multi, NULL, 0, ms > 0 ? (int)ms : 0, NULL); // at worst too short
}

// Connects, receives, or takes the end of the connection up. *ret_wait_ms: nothing to do before.
static enum kvs_client_code step(struct kvs_client_feed *feed, int64_t *ret_wait_ms,
                                 struct kvs_client_error *ret_error)
{
    int64_t now = kvs_client_now_ms();
    *ret_wait_ms = 0;
    if (feed->ended)
        return take_end(feed, ret_error);
    if (!feed->running && feed->retry_ms > now) {
        *ret_wait_ms = feed->retry_ms - now;
        return KVS_CLIENT_OK;
    }
    if (!feed->running) {
        choose_node(feed);
        enum kvs_client_code found =
            feed->from_now ? find_now(feed, &feed->trouble) : KVS_CLIENT_OK;
        if (found != KVS_CLIENT_OK)
            return lose(feed, found, ret_error);
        enum kvs_client_code connected = connect_node(feed, ret_error);
        if (connected != KVS_CLIENT_OK)
            return connected;
    }
    size_t before = feed->call->answer.size;
    enum kvs_client_code code = work(feed, ret_error);
    bool idle = feed->running && !feed->ended && feed->call->answer.size == before;
    *ret_wait_ms = idle ? POLL_MAX_MS : 0;
    return code;
}

enum kvs_client_code kvs_client_feed_next(struct kvs_client_feed *feed, int64_t timeout_ms,
                                          struct kvs_client_change *ret_change,
                                          struct kvs_client_error *ret_error)
{
    int64_t deadline = timeout_ms < 0 ? INT64_MAX : kvs_client_now_ms() + timeout_ms;
    for (;;) {
        int64_t pause_ms = 0;
        enum kvs_client_code code = next_received(feed, ret_change, ret_error);
        if (code != KVS_CLIENT_END)
            return code;
        code = step(feed, &pause_ms, ret_error);
        if (code != KVS_CLIENT_OK)
            return code;
        int64_t left = deadline - kvs_client_now_ms();
        if (left <= 0 && pause_ms > 0)
            return kvs_client_fail(ret_error, KVS_CLIENT_TIMEOUT, "%s", feed->trouble.message);
        if (pause_ms > 0)
            wait_ms(feed, pause_ms < left ? pause_ms : left);
    }
}
