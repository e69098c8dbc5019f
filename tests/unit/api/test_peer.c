// SPDX-License-Identifier: Apache-2.0
// The routes for peers: who gets in, what is delivered and what is not, and what the log says.
#include "api_test.h"

#include "codec/frames.h"

#define SECRET "the secret of the cluster"

struct sender {
    struct kvs_peer_auth *auth;
    struct kvs_peer_stream stream;
    struct kvs_peer_signed sent;
    char value[512];
};

static char delivered[4096]; // message after message, each with a '|' behind it
static size_t delivered_count;

static void take(void *ctx, struct kvs_slice message)
{
    (void)ctx;
    delivered_count++;
    size_t used = strlen(delivered);
    (void)snprintf(delivered + used, sizeof(delivered) - used, "%.*s|",
                   (int)(message.size < 100 ? message.size : 100), message.data);
}

static struct kvs_peer_auth *new_auth(const char *node_id, const char *secret)
{
    struct kvs_peer_auth *auth = NULL;
    const struct kvs_peer_auth_options options = {
        .node_id = node_id, .secret = secret, .random = kvs_random_system()};
    assert_int_equal(kvs_peer_auth_new(&options, &auth), 0);
    return auth;
}

static void begin(struct api_fixture *f, struct sender *sender, const char *secret)
{
    delivered[0] = '\0';
    delivered_count = 0;
    f->options.peer_auth = new_auth("n1", SECRET);
    f->options.peer_message = take;
    api_renew(f);
    sender->auth = new_auth("n2", secret);
    kvs_peer_stream_init(sender->auth, &sender->stream);
}

static void end(struct api_fixture *f, struct sender *sender)
{
    kvs_peer_auth_free(sender->auth);
    kvs_peer_auth_free((struct kvs_peer_auth *)f->options.peer_auth);
    f->options.peer_auth = NULL;
}

static int post(struct api_fixture *f, struct sender *sender, const char *target,
                struct kvs_slice body)
{
    assert_int_equal(kvs_peer_sign(sender->auth, &sender->stream, KVS_SLICE("POST"),
                                   kvs_slice_from_str(target), body, &sender->sent),
                     0);
    (void)snprintf(sender->value, sizeof(sender->value), "%s", sender->sent.header + 12);
    return api_send_slice(f, "POST", target, body,
                          (const char *const[]){"X-KVS-Peer", sender->value, NULL});
}

// Is the answer a member's, to the last request?
static bool is_proven(struct api_fixture *f, struct sender *sender)
{
    char challenge[64] = "";
    char signature[80] = "";
    const char *value = api_header(f, "X-KVS-Peer-Challenge");
    (void)snprintf(challenge, sizeof(challenge), "%s", value ? value : "");
    value = api_header(f, "X-KVS-Peer-Signature");
    (void)snprintf(signature, sizeof(signature), "%s", value ? value : "");
    const struct kvs_peer_answer answer = {
        .status = f->exchange.response.status,
        .body = kvs_buf_slice(&f->exchange.response.body),
        .challenge = kvs_slice_from_str(challenge),
        .signature = kvs_slice_from_str(signature),
    };
    return kvs_peer_accept_answer(sender->auth, &sender->sent, &answer, &sender->stream);
}

#define HELLO "/peer/v1/hello"
#define MESSAGES "/peer/v1/messages"
#define BODY KVS_SLICE("\x01\x00\x03one\x03two")

static void messages_are_delivered_after_a_hello(void **state)
{
    struct api_fixture *f = *state;
    struct sender sender;
    begin(f, &sender, SECRET);
    assert_int_equal(post(f, &sender, HELLO, KVS_SLICE("")), 204);
    assert_string_equal(api_header(f, "X-KVS-Peer-Protocol"), "1");
    assert_true(is_proven(f, &sender));
    assert_int_equal(post(f, &sender, MESSAGES, BODY), 204);
    assert_true(is_proven(f, &sender));
    assert_string_equal(delivered, "one|two|");
    assert_int_equal(kvs_metrics_counter(f->metrics, KVS_METRIC_PEER_MESSAGES_RECEIVED), 2);
    assert_int_equal(f->worker_runs, 0);
    end(f, &sender);
}

static void a_stale_challenge_comes_back_with_the_current_one(void **state)
{
    struct api_fixture *f = *state;
    struct sender sender;
    begin(f, &sender, SECRET);
    assert_int_equal(post(f, &sender, MESSAGES, BODY), 401);
    assert_contains(api_detail(f), "another challenge");
    assert_string_equal(api_header(f, "WWW-Authenticate"), "KVS-Peer");
    assert_int_equal(delivered_count, 0);
    assert_true(is_proven(f, &sender)); // takes the challenge
    assert_int_equal(post(f, &sender, MESSAGES, BODY), 204);
    assert_int_equal(delivered_count, 2);
    end(f, &sender);
}

static void a_wrong_secret_delivers_nothing_and_proves_nothing(void **state)
{
    struct api_fixture *f = *state;
    struct sender sender;
    begin(f, &sender, "another secret than theirs");
    assert_int_equal(post(f, &sender, HELLO, KVS_SLICE("")), 401);
    assert_string_equal(api_detail(f), "Unauthorized: Invalid cluster secret");
    assert_false(is_proven(f, &sender));
    assert_null(api_header(f, "X-KVS-Peer-Challenge"));
    assert_int_equal(post(f, &sender, MESSAGES, BODY), 401);
    assert_int_equal(delivered_count, 0);
    assert_int_equal(kvs_metrics_counter(f->metrics, KVS_METRIC_PEER_REFUSED), 2);
    end(f, &sender);
}

static void a_repeated_request_is_refused(void **state)
{
    struct api_fixture *f = *state;
    struct sender sender;
    begin(f, &sender, SECRET);
    assert_int_equal(post(f, &sender, HELLO, KVS_SLICE("")), 204);
    assert_true(is_proven(f, &sender));
    assert_int_equal(post(f, &sender, MESSAGES, BODY), 204);
    for (int i = 0; i < 3; i++)
        assert_int_equal(api_send_slice(f, "POST", MESSAGES, BODY,
                                        (const char *const[]){"X-KVS-Peer", sender.value, NULL}),
                         401);
    assert_int_equal(delivered_count, 2);
    end(f, &sender);
}

static void of_a_malformed_body_nothing_is_delivered(void **state)
{
    struct api_fixture *f = *state;
    static const struct {
        struct kvs_slice body;
        const char *detail;
    } cases[] = {
        {KVS_SLICE(""), "malformed"},
        {KVS_SLICE("\x01\x00\x03one\x03tw"), "malformed"},
        {KVS_SLICE("\x01\x00\x03one\x00"), "malformed"},
        {KVS_SLICE("\x02\x00\x03one"), "a later release"},
        {KVS_SLICE("\x01\x01\xff\x00\x00\x00more"), "larger than"},
    };
    struct sender sender;
    begin(f, &sender, SECRET);
    assert_int_equal(post(f, &sender, HELLO, KVS_SLICE("")), 204);
    assert_true(is_proven(f, &sender));
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++) {
        int status = post(f, &sender, MESSAGES, cases[i].body);
        assert_int_equal(status, strcmp(cases[i].detail, "larger than") == 0 ? 413 : 400);
        assert_contains(api_detail(f), cases[i].detail);
        assert_true(is_proven(f, &sender));
    }
    assert_int_equal(delivered_count, 0);
    assert_int_equal(post(f, &sender, MESSAGES "?x=1", BODY), 400);
    assert_int_equal(delivered_count, 0);
    end(f, &sender);
}

static void large_bodies_are_hashed_and_unpacked_on_a_worker(void **state)
{
    struct api_fixture *f = *state;
    struct sender sender;
    struct kvs_frames_packer *packer = NULL;
    static char zeros[1 << 20];
    begin(f, &sender, SECRET);
    assert_int_equal(post(f, &sender, HELLO, KVS_SLICE("")), 204);
    assert_true(is_proven(f, &sender));
    for (int level = 0; level <= 1; level++) { // large as it is, and large when unpacked
        struct kvs_buf body = KVS_BUF_INIT(KVS_FRAMES_BODY_MAX);
        assert_int_equal(kvs_frames_packer_new(level, &packer), 0);
        kvs_frames_add(packer, kvs_slice(zeros, sizeof(zeros)));
        assert_int_equal(kvs_frames_pack(packer, &body), 0);
        assert_int_equal(post(f, &sender, MESSAGES, kvs_buf_slice(&body)), 204);
        assert_int_equal(f->worker_runs, level == 0 ? 2 : 1);
        kvs_frames_packer_free(packer);
        kvs_buf_done(&body);
    }
    assert_int_equal(delivered_count, 2);
    end(f, &sender);
}

static void strangers_bodies_are_not_read(void **state)
{
    struct api_fixture *f = *state;
    struct sender sender;
    begin(f, &sender, SECRET);
    assert_int_equal(post(f, &sender, MESSAGES, BODY), 401);
    const size_t large = kvs_api_body_limit(f->api, &f->exchange.request);
    assert_true(large >= (size_t)80 << 20);
    sender.value[strlen(sender.value) - 1] ^= 1;
    assert_true(kvs_api_body_limit(f->api, &f->exchange.request) <= 64 * 1024);
    end(f, &sender);
}

static void the_documented_headers_get_in(void **state)
{
    struct api_fixture *f = *state;
    struct sender sender;
    begin(f, &sender, SECRET);
    assert_int_equal(
        api_send_slice(f, "POST", MESSAGES, BODY,
                       (const char *const[]){"X-Cluster-Secret", SECRET, "X-Node-ID", "n9", NULL}),
        204);
    assert_null(api_header(f, "X-KVS-Peer-Signature"));
    assert_string_equal(delivered, "one|two|");
    assert_int_equal(api_post(f, MESSAGES), 401);
    assert_string_equal(api_detail(f), "Unauthorized: Missing cluster secret");
    assert_int_equal(api_post(f, MESSAGES, "X-Cluster-Secret", "wrong", "X-Node-ID", "n9"), 401);
    assert_string_equal(api_detail(f), "Unauthorized: Invalid cluster secret");
    assert_int_equal(api_post(f, MESSAGES, "X-Cluster-Secret", SECRET), 401);
    assert_string_equal(api_detail(f), "Unauthorized: Missing node ID");
    end(f, &sender);
}

static void other_versions_are_told_which_one_this_is(void **state)
{
    struct api_fixture *f = *state;
    struct sender sender;
    begin(f, &sender, SECRET);
    assert_int_equal(api_post(f, "/peer/v2/hello"), 501);
    assert_string_equal(api_header(f, "X-KVS-Peer-Protocol"), "1");
    assert_int_equal(api_post(f, "/peer/v10/messages"), 501);
    assert_int_equal(api_post(f, "/peer/v1/nothing"), 404);
    assert_int_equal(api_post(f, "/peer/else"), 404);
    assert_int_equal(api_get(f, "/peer/v1/messages"), 405);
    end(f, &sender);
}

static void without_clustering_there_are_no_such_routes(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(api_post(f, HELLO), 404);
    assert_int_equal(api_post(f, MESSAGES), 404);
    assert_int_equal(api_post(f, "/peer/v2/hello"), 404);
}

static void a_line_a_peer_and_reason_is_enough(void **state)
{
    (void)state;
    struct kvs_api_peer_log *log = NULL;
    assert_int_equal(kvs_api_peer_log_new(&log), 0);
    struct kvs_slice address = KVS_SLICE("10.0.0.1");
    assert_true(kvs_api_peer_log_is_due(log, address, "one", 0));
    assert_false(kvs_api_peer_log_is_due(log, address, "one", 1000));
    assert_true(kvs_api_peer_log_is_due(log, address, "two", 1000));
    assert_true(kvs_api_peer_log_is_due(log, KVS_SLICE("10.0.0.2"), "one", 1000));
    assert_true(kvs_api_peer_log_is_due(log, address, "one", 600000));
    unsigned due = 0;
    for (unsigned i = 0; i < 10000; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "%u", i);
        due += kvs_api_peer_log_is_due(log, kvs_slice_from_str(name), "one", 700000 + i);
    }
    assert_int_equal(due, 20); // whoever they are
    kvs_api_peer_log_free(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        api_test(messages_are_delivered_after_a_hello),
        api_test(a_stale_challenge_comes_back_with_the_current_one),
        api_test(a_wrong_secret_delivers_nothing_and_proves_nothing),
        api_test(a_repeated_request_is_refused),
        api_test(of_a_malformed_body_nothing_is_delivered),
        api_test(large_bodies_are_hashed_and_unpacked_on_a_worker),
        api_test(strangers_bodies_are_not_read),
        api_test(the_documented_headers_get_in),
        api_test(other_versions_are_told_which_one_this_is),
        api_test(without_clustering_there_are_no_such_routes),
        api_test(a_line_a_peer_and_reason_is_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
