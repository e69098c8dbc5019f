// SPDX-License-Identifier: Apache-2.0
// The change feed over connections that break, and the event stream cut anywhere.
#include "tests/unit/client/client_test.h"

#include "client/sse.h"

#define STREAM_HEAD                                                                                \
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
#define EVENT(seq, key)                                                                            \
    "id: " seq "\nevent: change\ndata: {\"seq\":" seq ",\"path\":\"" key "\",\"uuid\":\"" UUID     \
    "\",\"timestamp\":9}\n\n"

static void a_feed_goes_on_behind_the_last_change_after_each_break(void **state)
{
    (void)state;
    const char *answers[] = {STREAM_HEAD ": hello\n\n" EVENT("4", "a")
                                 EVENT("6", "b") "id: 9\ndata: {\"seq\":9,\"pa",
                             "",
                             answer("HTTP/1.1 503 Service Unavailable\r\n", "{}"),
                             STREAM_HEAD EVENT("9", "c"),
                             answer("HTTP/1.1 410 Gone\r\n", "{\"detail\":\"too old\"}"),
                             NULL};
    struct fake_node *node = fake_node_start(answers);
    struct kvs_client *client = client_of(node);
    struct kvs_client_error error;
    struct kvs_client_feed *feed =
        kvs_client_feed_new(client, &(struct kvs_client_feed_options){.since = 3, .prefix = "a b"});
    assert_string_equal(kvs_client_feed_url(feed), "");
    static const char *const keys[] = {"a", "b", "c"};
    static const uint64_t seqs[] = {4, 6, 9};
    for (size_t i = 0; i < 3; i++) {
        struct kvs_client_change change;
        assert_int_equal(kvs_client_feed_next(feed, -1, &change, &error), KVS_CLIENT_OK);
        assert_string_equal(change.key, keys[i]);
        assert_int_equal(change.seq, seqs[i]);
        assert_string_equal(change.version.uuid, UUID);
        assert_false(change.deleted);
        assert_true(change.json[0] == '{' && strlen(change.json) == change.json_size);
        assert_int_equal(kvs_client_feed_since(feed), seqs[i]);
    }
    assert_string_equal(kvs_client_feed_url(feed), node->url);
    struct kvs_client_change change;
    assert_int_equal(kvs_client_feed_next(feed, -1, &change, &error), KVS_CLIENT_GONE);
    assert_string_equal(error.message, "too old");
    kvs_client_feed_free(feed);
    stop(client, node);
    assert_true(sent(node, 0, "GET /changes?feed=sse&since=3&prefix=a%20b HTTP/1.1\r\n"));
    assert_true(sent(node, 0, "\r\nAccept: text/event-stream\r\n"));
    for (int i = 1; i <= 3; i++)
        assert_true(sent(node, i, "since=6&"));
    assert_true(sent(node, 4, "since=9&"));
    free(node);
}

static void a_feed_begins_at_the_first_node_that_can_be_reached_or_says_why_not(void **state)
{
    (void)state;
    const char *answers[] = {answer(OK_HEAD, "{\"changes\":[],\"last_seq\":4,\"more\":false}"),
                             STREAM_HEAD "id: 5\ndata: {\"path\":\"k\",\"uuid\":\"" UUID
                                         "\",\"timestamp\":1,\"deleted\":true}\n\n",
                             answer("HTTP/1.1 401 Unauthorized\r\n", "{\"detail\":\"who?\"}"),
                             NULL};
    struct fake_node *node = fake_node_start(answers);
    const char *urls[] = {"http://127.0.0.1:1", node->url};
    struct kvs_client *client =
        client_with(&(struct kvs_client_options){.urls = urls, .url_count = 2});
    struct kvs_client_feed *feed =
        kvs_client_feed_new(client, &(struct kvs_client_feed_options){.from_now = true});
    struct kvs_client_change change;
    struct kvs_client_error error;
    assert_int_equal(kvs_client_feed_next(feed, -1, &change, &error), KVS_CLIENT_OK);
    assert_int_equal(change.seq, 5); // from the id
    assert_true(change.deleted);
    assert_int_equal(kvs_client_feed_next(feed, -1, &change, &error), KVS_CLIENT_UNAUTHORIZED);
    kvs_client_feed_free(feed);
    stop(client, node);
    assert_true(sent(node, 0, "GET /changes?since=now&limit=1 HTTP/1.1\r\n"));
    assert_true(sent(node, 1, "GET /changes?feed=sse&since=4 HTTP/1.1\r\n"));
    assert_true(sent(node, 2, "GET /changes?feed=sse&since=5 HTTP/1.1\r\n"));
    free(node);

    client = client_with(&(struct kvs_client_options){.urls = urls, .url_count = 1});
    feed = kvs_client_feed_new(client, NULL);
    assert_int_equal(kvs_client_feed_next(feed, -1, &change, &error), KVS_CLIENT_UNREACHABLE);
    kvs_client_feed_free(feed);
    kvs_client_feed_free(NULL);
    kvs_client_free(client);
}

static void a_heartbeat_moves_on_over_what_the_prefix_hides(void **state)
{
    (void)state;
    const char *answers[] = {STREAM_HEAD
                             "id: 70\n: heartbeat\n\nid: 80\ndata: {\"seq\":80,\"path\":\"ha",
                             STREAM_HEAD EVENT("80", "k"), NULL};
    struct fake_node *node = fake_node_start(answers);
    struct kvs_client *client = client_of(node);
    struct kvs_client_feed *feed =
        kvs_client_feed_new(client, &(struct kvs_client_feed_options){.since = 3});
    struct kvs_client_change change;
    assert_int_equal(kvs_client_feed_next(feed, -1, &change, NULL), KVS_CLIENT_OK);
    assert_int_equal(change.seq, 80);
    kvs_client_feed_free(feed);
    stop(client, node);
    assert_true(sent(node, 1, "since=70 "));
    free(node);
}

static void a_silent_feed_returns_when_the_time_is_over(void **state)
{
    (void)state;
    const char *answers[] = {"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hi\n\n",
                             NULL};
    struct fake_node *node = fake_node_start(answers);
    struct kvs_client *client = client_of(node);
    struct kvs_client_feed *feed = kvs_client_feed_new(client, NULL);
    struct kvs_client_change change;
    assert_int_equal(kvs_client_feed_next(feed, 0, &change, NULL), KVS_CLIENT_TIMEOUT);
    assert_int_equal(kvs_client_feed_next(feed, 50, &change, NULL), KVS_CLIENT_TIMEOUT);
    kvs_client_feed_free(feed);
    stop(client, node);
    free(node);
}

static void what_is_no_change_is_skipped_or_refused(void **state)
{
    (void)state;
    const char *answers[] = {STREAM_HEAD "data: {\"hello\":1}\n\n" EVENT("1", "k") "data: {bad\n\n",
                             NULL};
    struct fake_node *node = fake_node_start(answers);
    struct kvs_client *client = client_of(node);
    struct kvs_client_feed *feed = kvs_client_feed_new(client, NULL);
    struct kvs_client_change change;
    assert_int_equal(kvs_client_feed_next(feed, -1, &change, NULL), KVS_CLIENT_OK);
    assert_string_equal(change.key, "k");
    assert_int_equal(kvs_client_feed_next(feed, -1, &change, NULL), KVS_CLIENT_UNEXPECTED);
    kvs_client_feed_free(feed);
    stop(client, node);
    free(node);
}

// ---- The event stream

static void events_come_out_whole_wherever_the_stream_is_cut(void **state)
{
    (void)state;
    static const char stream[] =
        ": heartbeat\n\nid: 1\r\nevent: change\r\ndata: one\r\n\r\n"
        "data:two\ndata: lines\ndata:\n\nid: 3\n\nretry: 5\ndata\n\ndata: x\n\n";
    static const char *const wanted[] = {"one", "two\nlines\n", "", "x"};
    for (size_t cut = 0; cut < sizeof(stream); cut++) {
        struct kvs_sse sse;
        struct kvs_buf buf = KVS_BUF_INIT(1 << 16);
        size_t found = 0;
        kvs_sse_init(&sse, 1 << 16);
        for (int part = 0; part < 2; part++) {
            kvs_buf_append(&buf, part == 0 ? stream : stream + cut,
                           part == 0 ? cut : sizeof(stream) - 1 - cut);
            struct kvs_slice input = kvs_buf_slice(&buf);
            while (input.size > 0 && kvs_sse_next(&sse, &input)) {
                assert_true(found < 4);
                assert_true(
                    kvs_slice_eq(kvs_buf_slice(&sse.data), kvs_slice_from_str(wanted[found])));
                found++;
            }
            kvs_buf_consume(&buf, buf.size - input.size);
        }
        assert_int_equal(found, 4);
        assert_string_equal(sse.id, "3");
        kvs_sse_done(&sse);
        kvs_buf_done(&buf);
    }
}

static void an_event_beyond_the_limit_is_an_error(void **state)
{
    (void)state;
    struct kvs_sse sse;
    struct kvs_slice input = KVS_SLICE("data: 0123456789\ndata: 0123456789\n\n");
    kvs_sse_init(&sse, 16);
    assert_false(kvs_sse_next(&sse, &input));
    assert_int_equal(sse.data.err, KVS_ERR_TOO_LARGE);
    kvs_sse_done(&sse);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_feed_goes_on_behind_the_last_change_after_each_break),
        cmocka_unit_test(a_feed_begins_at_the_first_node_that_can_be_reached_or_says_why_not),
        cmocka_unit_test(a_heartbeat_moves_on_over_what_the_prefix_hides),
        cmocka_unit_test(a_silent_feed_returns_when_the_time_is_over),
        cmocka_unit_test(what_is_no_change_is_skipped_or_refused),
        cmocka_unit_test(events_come_out_whole_wherever_the_stream_is_cut),
        cmocka_unit_test(an_event_beyond_the_limit_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
