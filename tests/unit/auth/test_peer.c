// SPDX-License-Identifier: Apache-2.0
// Signatures between peers: what is accepted, that nothing signed may be changed, repeated or
// redirected, both secrets of a rotation, and the documented headers.
#include "tests/unit/test.h"

#include "auth/peer.h"

#include <pthread.h>
#include <stdio.h>

#define SECRET "the secret of the cluster"
#define NEXT_SECRET "the next secret of theirs"
#define TARGET "/peer/v1/messages"

struct side {
    struct kvs_random_seeded random;
    struct kvs_peer_auth *auth;
};

static void begin(struct side *side, const char *node_id, const char *secret, const char *previous)
{
    kvs_random_seeded_init(&side->random, (uint64_t)node_id[0]);
    const struct kvs_peer_auth_options options = {.node_id = node_id,
                                                  .secret = secret,
                                                  .previous_secret = previous,
                                                  .stream_max = 4,
                                                  .random = &side->random.base};
    assert_int_equal(kvs_peer_auth_new(&options, &side->auth), 0);
}

// A request as the receiver sees it. The header's value is copied: tests break it.
struct received {
    struct kvs_http_request request;
    struct kvs_http_header headers[2];
    char value[512];
};

static void receive_as(struct received *received, const struct kvs_peer_signed *sent,
                       enum kvs_http_method method, const char *path, const char *query,
                       struct kvs_slice body)
{
    *received = (struct received){.request = {.method = method,
                                              .path = kvs_slice_from_str(path),
                                              .query = kvs_slice_from_str(query),
                                              .has_query = query != NULL,
                                              .headers = received->headers,
                                              .header_count = 1,
                                              .body = body}};
    (void)snprintf(received->value, sizeof(received->value), "%s",
                   sent->header + strlen(KVS_PEER_HEADER ": "));
    received->headers[0] =
        (struct kvs_http_header){KVS_SLICE("x-kvs-peer"), kvs_slice_from_str(received->value)};
}

static void sign(struct side *side, struct kvs_peer_stream *stream, struct kvs_slice body,
                 struct kvs_peer_signed *ret_signed)
{
    assert_int_equal(
        kvs_peer_sign(side->auth, stream, KVS_SLICE("POST"), KVS_SLICE(TARGET), body, ret_signed),
        0);
}

static int verify(struct side *side, const struct received *received,
                  struct kvs_peer_caller *ret_caller)
{
    return kvs_peer_verify(side->auth, &received->request, KVS_PEER_ONCE, ret_caller);
}

// Says hello and takes the answer; false: it was not proven.
static bool greet(struct side *from, struct kvs_peer_stream *stream, struct side *to)
{
    struct kvs_peer_signed sent;
    struct received received;
    struct kvs_peer_caller caller;
    sign(from, stream, KVS_SLICE_EMPTY, &sent);
    receive_as(&received, &sent, KVS_HTTP_POST, TARGET, NULL, KVS_SLICE_EMPTY);
    struct kvs_http_response response = {.status = 204};
    kvs_buf_init(&response.headers, 4096);
    bool proven = false;
    if (kvs_peer_verify(to->auth, &received.request, KVS_PEER_HELLO, &caller) == 0) {
        kvs_peer_sign_answer(to->auth, &caller, &response);
        kvs_buf_append_char(&response.headers, '\0');
        struct kvs_peer_answer answer = {.status = 204};
        const char *text = response.headers.data;
        answer.challenge = kvs_slice(strstr(text, "Challenge: ") + 11, 32);
        answer.signature = kvs_slice(strstr(text, "Signature: ") + 11, 64);
        proven = kvs_peer_accept_answer(from->auth, &sent, &answer, stream);
    }
    kvs_buf_done(&response.headers);
    return proven;
}

static void a_signed_request_is_accepted_once(void **state)
{
    (void)state;
    struct side a;
    struct side b;
    struct kvs_peer_stream stream;
    struct kvs_peer_caller caller;
    begin(&a, "a", SECRET, NULL);
    begin(&b, "b", SECRET, "");
    kvs_peer_stream_init(a.auth, &stream);
    assert_true(greet(&a, &stream, &b));
    assert_true(kvs_peer_is_own(b.auth, &stream));
    assert_false(kvs_peer_is_own(a.auth, &stream));
    for (int i = 0; i < 300; i++) {
        struct kvs_peer_signed sent;
        struct received received;
        sign(&a, &stream, KVS_SLICE("body"), &sent);
        receive_as(&received, &sent, KVS_HTTP_POST, TARGET, NULL, KVS_SLICE("body"));
        assert_true(kvs_peer_has_credentials(&received.request));
        assert_true(kvs_peer_verify_head(b.auth, &received.request));
        assert_int_equal(verify(&b, &received, &caller), 0);
        assert_slice_equal(caller.node_id, "a");
        assert_true(caller.is_signed);
        assert_int_equal(verify(&b, &received, &caller), KVS_ERR_UNAUTHORIZED);
        assert_string_equal(caller.detail, "Unauthorized: This request has been received before");
    }
    kvs_peer_auth_free(a.auth);
    kvs_peer_auth_free(b.auth);
}

static void nothing_that_is_signed_may_change(void **state)
{
    (void)state;
    struct side a;
    struct side b;
    struct kvs_peer_stream stream;
    struct kvs_peer_caller caller;
    struct kvs_peer_signed sent;
    struct received received;
    begin(&a, "a", SECRET, NULL);
    begin(&b, "b", SECRET, NULL);
    kvs_peer_stream_init(a.auth, &stream);
    assert_true(greet(&a, &stream, &b));
    sign(&a, &stream, KVS_SLICE("body"), &sent);
    size_t size = strlen(sent.header + strlen(KVS_PEER_HEADER ": "));
    for (size_t i = 0; i < size; i++) { // each bit of each byte
        for (unsigned bit = 0; bit < 8; bit++) {
            receive_as(&received, &sent, KVS_HTTP_POST, TARGET, NULL, KVS_SLICE("body"));
            received.value[i] = (char)(received.value[i] ^ (1 << bit));
            assert_int_equal(verify(&b, &received, &caller), KVS_ERR_UNAUTHORIZED);
            assert_true(strncmp(caller.detail, "Unauthorized: ", 14) == 0);
            assert_false(caller.is_signed);
        }
    }
    for (size_t i = 0; i < size; i++) { // cut off
        receive_as(&received, &sent, KVS_HTTP_POST, TARGET, NULL, KVS_SLICE("body"));
        received.headers[0].value.size = i;
        assert_int_equal(verify(&b, &received, &caller), KVS_ERR_UNAUTHORIZED);
    }
    const struct {
        enum kvs_http_method method;
        const char *path, *query;
        struct kvs_slice body;
    } changed[] = {
        {KVS_HTTP_PUT, TARGET, NULL, KVS_SLICE("body")},
        {KVS_HTTP_OTHER, TARGET, NULL, KVS_SLICE("body")},
        {KVS_HTTP_POST, TARGET "/", NULL, KVS_SLICE("body")},
        {KVS_HTTP_POST, TARGET, "", KVS_SLICE("body")},
        {KVS_HTTP_POST, TARGET, "x=1", KVS_SLICE("body")},
        {KVS_HTTP_POST, TARGET, NULL, KVS_SLICE("Body")},
        {KVS_HTTP_POST, TARGET, NULL, KVS_SLICE("body ")},
        {KVS_HTTP_POST, TARGET, NULL, KVS_SLICE("")},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(changed); i++) {
        receive_as(&received, &sent, changed[i].method, changed[i].path, changed[i].query,
                   changed[i].body);
        assert_int_equal(verify(&b, &received, &caller), KVS_ERR_UNAUTHORIZED);
    }
    receive_as(&received, &sent, KVS_HTTP_POST, TARGET, NULL, KVS_SLICE("body"));
    assert_int_equal(verify(&b, &received, &caller), 0); // none of that has used it up
    kvs_peer_auth_free(a.auth);
    kvs_peer_auth_free(b.auth);
}

static void the_query_is_signed_as_it_stands(void **state)
{
    (void)state;
    struct side a;
    struct kvs_peer_stream stream;
    struct kvs_peer_caller caller;
    struct kvs_peer_signed sent;
    struct received received;
    begin(&a, "a", SECRET, NULL);
    kvs_peer_stream_init(a.auth, &stream);
    assert_true(greet(&a, &stream, &a));
    assert_int_equal(kvs_peer_sign(a.auth, &stream, KVS_SLICE("GET"), KVS_SLICE("/kv/a?raw=1"),
                                   KVS_SLICE_EMPTY, &sent),
                     0);
    receive_as(&received, &sent, KVS_HTTP_GET, "/kv/a", "raw=1", KVS_SLICE_EMPTY);
    assert_int_equal(verify(&a, &received, &caller), 0);
    kvs_peer_auth_free(a.auth);
}

static void a_request_for_one_node_is_stale_at_another(void **state)
{
    (void)state;
    struct side a;
    struct side b;
    struct side c;
    struct kvs_peer_stream stream;
    struct kvs_peer_caller caller;
    struct kvs_peer_signed sent;
    struct received received;
    begin(&a, "a", SECRET, NULL);
    begin(&b, "b", SECRET, NULL);
    begin(&c, "c", SECRET, NULL);
    kvs_peer_stream_init(a.auth, &stream);
    assert_true(greet(&a, &stream, &b));
    sign(&a, &stream, KVS_SLICE_EMPTY, &sent);
    receive_as(&received, &sent, KVS_HTTP_POST, TARGET, NULL, KVS_SLICE_EMPTY);
    assert_int_equal(verify(&c, &received, &caller), KVS_ERR_UNAUTHORIZED);
    assert_true(caller.is_stale);
    assert_true(caller.is_signed); // so that the refusal, with c's challenge, can be believed
    assert_int_equal(verify(&b, &received, &caller), 0);
    kvs_peer_auth_free(a.auth);
    kvs_peer_auth_free(b.auth);
    kvs_peer_auth_free(c.auth);
}

static void answers_belong_to_one_request(void **state)
{
    (void)state;
    struct side a;
    struct kvs_peer_stream stream;
    struct kvs_peer_signed first;
    struct kvs_peer_signed second;
    struct received received;
    struct kvs_peer_caller caller;
    struct kvs_http_response response = {.status = 200};
    kvs_buf_init(&response.headers, 4096);
    kvs_buf_init(&response.body, 4096);
    kvs_buf_append_str(&response.body, "answer");
    begin(&a, "a", SECRET, NULL);
    kvs_peer_stream_init(a.auth, &stream);
    assert_true(greet(&a, &stream, &a));
    sign(&a, &stream, KVS_SLICE_EMPTY, &first);
    sign(&a, &stream, KVS_SLICE_EMPTY, &second);
    receive_as(&received, &first, KVS_HTTP_POST, TARGET, NULL, KVS_SLICE_EMPTY);
    assert_int_equal(verify(&a, &received, &caller), 0);
    kvs_peer_sign_answer(a.auth, &caller, &response);
    kvs_buf_append_char(&response.headers, '\0');
    const char *text = response.headers.data;
    const struct kvs_peer_answer answer = {
        .status = 200,
        .body = KVS_SLICE("answer"),
        .challenge = kvs_slice(strstr(text, "Challenge: ") + 11, 32),
        .signature = kvs_slice(strstr(text, "Signature: ") + 11, 64),
    };
    assert_true(kvs_peer_accept_answer(a.auth, &first, &answer, &stream));
    assert_false(kvs_peer_accept_answer(a.auth, &second, &answer, &stream));
    struct kvs_peer_answer changed = answer;
    changed.status = 204;
    assert_false(kvs_peer_accept_answer(a.auth, &first, &changed, &stream));
    changed = answer;
    changed.body = KVS_SLICE("answers");
    assert_false(kvs_peer_accept_answer(a.auth, &first, &changed, &stream));
    changed = answer;
    changed.challenge = KVS_SLICE("00112233445566778899aabbccddeeff");
    assert_false(kvs_peer_accept_answer(a.auth, &first, &changed, &stream));
    changed = answer;
    changed.signature = KVS_SLICE_EMPTY;
    assert_false(kvs_peer_accept_answer(a.auth, &first, &changed, &stream));
    assert_false(kvs_peer_accept_answer(a.auth, &first, &(struct kvs_peer_answer){0}, &stream));
    kvs_buf_done(&response.headers);
    kvs_buf_done(&response.body);
    kvs_peer_auth_free(a.auth);
}

static void both_secrets_hold_while_one_is_rotated(void **state)
{
    (void)state;
    struct side old;
    struct side both;
    struct side other;
    struct kvs_peer_stream stream;
    begin(&old, "o", SECRET, NULL);
    begin(&both, "b", NEXT_SECRET, SECRET);
    begin(&other, "x", "a third secret of nobody", NULL);
    kvs_peer_stream_init(old.auth, &stream);
    assert_true(greet(&old, &stream, &both));
    assert_false(greet(&other, &stream, &both));
    kvs_peer_stream_init(both.auth, &stream);
    assert_false(greet(&both, &stream, &old)); // signs with the next one
    assert_true(kvs_peer_auth_has_previous(both.auth));
    stream.with_previous = true;
    assert_true(greet(&both, &stream, &old));
    assert_int_equal(kvs_peer_auth_set_secrets(both.auth, NEXT_SECRET, NULL), 0);
    assert_false(kvs_peer_auth_has_previous(both.auth));
    assert_false(greet(&both, &stream, &old));
    assert_false(stream.with_previous); // there is none any more
    assert_false(greet(&old, &stream, &both));
    assert_int_equal(kvs_peer_auth_set_secrets(old.auth, NEXT_SECRET, ""), 0);
    assert_true(greet(&old, &stream, &both));
    kvs_peer_auth_free(old.auth);
    kvs_peer_auth_free(both.auth);
    kvs_peer_auth_free(other.auth);
}

// Without a previous secret its keys are zeros: nobody may sign with those.
static void no_previous_secret_is_no_secret(void **state)
{
    (void)state;
    struct side a;
    struct kvs_peer_caller caller;
    begin(&a, "a", SECRET, NULL);
    struct kvs_peer_macs *macs = NULL;
    assert_int_equal(kvs_peer_macs_new(&macs), 0);
    static const char zeros[KVS_PEER_MAC_SIZE];
    static const char empty_sha256[] =
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    char text[512];
    char value[512];
    unsigned char mac[KVS_PEER_MAC_SIZE];
    char hex[KVS_PEER_MAC_HEX_SIZE];
    static const char id[] = "00112233445566778899aabbccddeeff";
    int size = snprintf(text, sizeof(text), "kvs-peer-request-v1\nPOST\n%s\nx\n%s\n%s\n1\n%s",
                        TARGET, id, id, empty_sha256);
    struct kvs_slice part = kvs_slice(text, (size_t)size);
    assert_int_equal(kvs_peer_mac(macs, kvs_slice(zeros, sizeof(zeros)), &part, 1, mac), 0);
    kvs_peer_hex(mac, sizeof(mac), hex);
    (void)snprintf(value, sizeof(value), "1 x %s %s 1 %s %.*s", id, id, empty_sha256,
                   KVS_PEER_MAC_HEX_SIZE, hex);
    const struct kvs_http_header header = {KVS_SLICE("X-KVS-Peer"), kvs_slice_from_str(value)};
    const struct kvs_http_request request = {
        .method = KVS_HTTP_POST, .path = KVS_SLICE(TARGET), .headers = &header, .header_count = 1};
    assert_int_equal(kvs_peer_verify(a.auth, &request, KVS_PEER_HELLO, &caller),
                     KVS_ERR_UNAUTHORIZED);
    assert_string_equal(caller.detail, "Unauthorized: Invalid cluster secret");
    kvs_peer_macs_free(macs);
    kvs_peer_auth_free(a.auth);
}

static void the_documented_headers_are_accepted(void **state)
{
    (void)state;
    static const struct {
        const char *secret, *node_id, *detail;
    } cases[] = {
        {SECRET, "n2", NULL},
        {NEXT_SECRET, "n2", NULL},
        {NULL, NULL, "Unauthorized: Missing cluster secret"},
        {NULL, "n2", "Unauthorized: Missing cluster secret"},
        {"", "n2", "Unauthorized: Missing cluster secret"},
        {"wrong", "n2", "Unauthorized: Invalid cluster secret"},
        {"wrong", NULL, "Unauthorized: Invalid cluster secret"},
        {SECRET " ", "n2", "Unauthorized: Invalid cluster secret"},
        {"the secret of the cluste", "n2", "Unauthorized: Invalid cluster secret"},
        {SECRET, NULL, "Unauthorized: Missing node ID"},
        {SECRET, "", "Unauthorized: Missing node ID"},
        {SECRET, "no de", "Unauthorized: Invalid node ID"},
    };
    struct side a;
    begin(&a, "a", NEXT_SECRET, SECRET);
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++) {
        struct kvs_http_header headers[2];
        struct kvs_http_request request = {
            .method = KVS_HTTP_GET, .path = KVS_SLICE("/merkle_tree/root"), .headers = headers};
        struct kvs_peer_caller caller;
        if (cases[i].secret)
            headers[request.header_count++] = (struct kvs_http_header){
                KVS_SLICE("X-Cluster-Secret"), kvs_slice_from_str(cases[i].secret)};
        if (cases[i].node_id)
            headers[request.header_count++] = (struct kvs_http_header){
                KVS_SLICE("x-node-id"), kvs_slice_from_str(cases[i].node_id)};
        int err = kvs_peer_verify(a.auth, &request, KVS_PEER_ONCE, &caller);
        assert_int_equal(kvs_peer_has_credentials(&request), cases[i].secret != NULL);
        assert_int_equal(kvs_peer_verify_head(a.auth, &request), err == 0);
        assert_false(caller.is_signed);
        if (cases[i].detail)
            assert_string_equal(caller.detail, cases[i].detail);
        else
            assert_slice_equal(caller.node_id, "n2");
        assert_int_equal(err, cases[i].detail ? KVS_ERR_UNAUTHORIZED : 0);
    }
    kvs_peer_auth_free(a.auth);
}

static void refuses_node_ids_that_fit_no_header(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "a b", "a\nb", "\x7f"};
    struct side a = {0};
    kvs_random_seeded_init(&a.random, 1);
    for (size_t i = 0; i < KVS_ARRAY_SIZE(bad); i++) {
        const struct kvs_peer_auth_options options = {
            .node_id = bad[i], .secret = SECRET, .random = &a.random.base};
        assert_int_equal(kvs_peer_auth_new(&options, &a.auth), KVS_ERR_INVALID);
    }
}

// The longest name fits into the header; several threads share one object.
static void *verify_many(void *arg)
{
    struct side *a = arg;
    struct kvs_peer_stream stream;
    struct kvs_peer_caller caller;
    kvs_peer_stream_init(a->auth, &stream);
    for (int i = 0; i < 2000; i++) {
        struct kvs_peer_signed sent;
        struct received received;
        sign(a, &stream, KVS_SLICE("b"), &sent);
        receive_as(&received, &sent, KVS_HTTP_POST, TARGET, NULL, KVS_SLICE("b"));
        assert_int_equal(kvs_peer_verify(a->auth, &received.request, KVS_PEER_HELLO, &caller), 0);
        assert_int_equal(caller.node_id.size, KVS_PEER_NODE_ID_MAX);
    }
    return NULL;
}

static void threads_share_it(void **state)
{
    (void)state;
    char name[KVS_PEER_NODE_ID_MAX + 1] = {0};
    memset(name, 'n', KVS_PEER_NODE_ID_MAX);
    const struct kvs_peer_auth_options options = {
        .node_id = name, .secret = SECRET, .random = kvs_random_system()};
    struct side a;
    pthread_t threads[3];
    assert_int_equal(kvs_peer_auth_new(&options, &a.auth), 0);
    for (size_t i = 0; i < KVS_ARRAY_SIZE(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, verify_many, &a), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(kvs_peer_auth_set_secrets(a.auth, SECRET, NEXT_SECRET), 0);
    for (size_t i = 0; i < KVS_ARRAY_SIZE(threads); i++)
        pthread_join(threads[i], NULL);
    kvs_peer_auth_free(a.auth);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signed_request_is_accepted_once),
        cmocka_unit_test(nothing_that_is_signed_may_change),
        cmocka_unit_test(the_query_is_signed_as_it_stands),
        cmocka_unit_test(a_request_for_one_node_is_stale_at_another),
        cmocka_unit_test(answers_belong_to_one_request),
        cmocka_unit_test(both_secrets_hold_while_one_is_rotated),
        cmocka_unit_test(no_previous_secret_is_no_secret),
        cmocka_unit_test(the_documented_headers_are_accepted),
        cmocka_unit_test(refuses_node_ids_that_fit_no_header),
        cmocka_unit_test(threads_share_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
