// SPDX-License-Identifier: Apache-2.0
// What is repeated, where, and what is not.
#include "tests/unit/client/client_test.h"

#include <errno.h>

#define BUSY_HEAD "HTTP/1.1 503 Service Unavailable\r\n"
#define NOBODY "http://127.0.0.1:1"

static struct kvs_client *client_of_urls(const char *const *urls, size_t count, bool retry_writes)
{
    return client_with(&(struct kvs_client_options){
        .urls = urls, .url_count = count, .retry_writes = retry_writes});
}

static void a_read_is_repeated_until_it_succeeds(void **state)
{
    (void)state;
    const char *answers[] = {"", answer(BUSY_HEAD, "{}"), answer("HTTP/1.1 502 Bad\r\n", "x"),
                             NULL};
    const char *good[] = {"", answer(BUSY_HEAD, "{}"), answer(OK_HEAD, RECORD_OF("1")), NULL};
    for (int i = 0; i < 2; i++) {
        struct fake_node *node = fake_node_start(i == 0 ? answers : good);
        const char *urls[] = {node->url};
        struct kvs_client *client = client_of_urls(urls, 1, false);
        struct kvs_client_record record;
        struct kvs_client_error error;
        enum kvs_client_code code = kvs_client_get(client, "k", &record, &error);
        assert_int_equal(code, i == 0 ? KVS_CLIENT_UNEXPECTED : KVS_CLIENT_OK);
        if (code == KVS_CLIENT_OK)
            kvs_client_record_done(&record);
        stop(client, node);
        assert_int_equal(node->request_count, 3);
        free(node);
    }
}

static void a_plain_write_of_unknown_outcome_is_not_repeated_unless_wanted(void **state)
{
    (void)state;
    for (int wanted = 0; wanted < 2; wanted++) {
        const char *answers[] = {"", answer(OK_HEAD, VERSION), answer(BUSY_HEAD, "{}"),
                                 answer(OK_HEAD, VERSION), NULL};
        struct fake_node *node = fake_node_start(answers);
        const char *urls[] = {node->url};
        struct kvs_client *client = client_of_urls(urls, 1, wanted);
        enum kvs_client_code first = kvs_client_put(client, "k", "1", 1, NULL, NULL, NULL, NULL);
        assert_int_equal(first, wanted ? KVS_CLIENT_OK : KVS_CLIENT_BROKEN);
        if (!wanted)
            assert_int_equal(kvs_client_put(client, "k", "1", 1, NULL, NULL, NULL, NULL),
                             KVS_CLIENT_OK);
        enum kvs_client_code second = kvs_client_delete(client, "k", NULL, NULL);
        assert_int_equal(second, wanted ? KVS_CLIENT_OK : KVS_CLIENT_UNAVAILABLE);
        stop(client, node);
        assert_int_equal(node->request_count, wanted ? 4 : 3);
        free(node);
    }
}

static void a_patch_is_never_repeated_but_over_a_known_version(void **state)
{
    (void)state;
    const char *answers[] = {"", "", answer(OK_HEAD, VERSION), NULL};
    struct fake_node *node = fake_node_start(answers);
    const char *urls[] = {node->url};
    struct kvs_client *client = client_of_urls(urls, 1, true);
    struct kvs_client_put_options pinned = {.if_match = UUID};
    assert_int_equal(
        kvs_client_patch(client, "k", KVS_CLIENT_JSON_PATCH, "[]", 2, NULL, NULL, NULL),
        KVS_CLIENT_BROKEN);
    assert_int_equal(
        kvs_client_patch(client, "k", KVS_CLIENT_JSON_PATCH, "[]", 2, &pinned, NULL, NULL),
        KVS_CLIENT_OK);
    stop(client, node);
    assert_int_equal(node->request_count, 3);
    free(node);
}

static void a_condition_that_fails_on_the_second_try_leaves_the_outcome_open(void **state)
{
    (void)state;
    const char *answers[] = {
        "", answer("HTTP/1.1 412 Precondition Failed\r\n", "{\"title\":\"T\"}"),
        answer("HTTP/1.1 412 Precondition Failed\r\n", "{\"title\":\"T\"}"), NULL};
    struct fake_node *node = fake_node_start(answers);
    const char *urls[] = {node->url};
    struct kvs_client *client = client_of_urls(urls, 1, false);
    struct kvs_client_put_options once = {.if_none_match = true};
    struct kvs_client_error error;
    assert_int_equal(kvs_client_put(client, "k", "1", 1, &once, NULL, NULL, &error),
                     KVS_CLIENT_BROKEN);
    assert_non_null(strstr(error.message, "read the key"));
    assert_int_equal(kvs_client_put(client, "k", "1", 1, &once, NULL, NULL, &error),
                     KVS_CLIENT_PRECONDITION);
    stop(client, node);
    assert_int_equal(node->request_count, 3);
    free(node);
}

static void a_refused_connection_moves_any_request_to_the_next_node(void **state)
{
    (void)state;
    const char *answers[] = {answer(OK_HEAD, VERSION), "HTTP/1.1 204 No Content\r\n\r\n",
                             answer(OK_HEAD, VERSION), NULL};
    struct fake_node *node = fake_node_start(answers);
    const char *urls[] = {NOBODY, NOBODY, node->url};
    struct kvs_client *client = client_of_urls(urls, 3, false);
    assert_int_equal(kvs_client_put(client, "k", "1", 1, NULL, NULL, NULL, NULL), KVS_CLIENT_OK);
    assert_int_equal(kvs_client_delete(client, "k", NULL, NULL), KVS_CLIENT_OK);
    assert_int_equal(
        kvs_client_patch(client, "k", KVS_CLIENT_MERGE_PATCH, "{}", 2, NULL, NULL, NULL),
        KVS_CLIENT_OK);
    stop(client, node);
    assert_int_equal(node->request_count, 3);
    free(node);
}

static void a_broken_read_moves_to_the_next_node_and_stays_there(void **state)
{
    (void)state;
    const char *broken[] = {"", NULL};
    const char *good[] = {answer(OK_HEAD, RECORD_OF("1")), answer(OK_HEAD, RECORD_OF("1")), NULL};
    struct fake_node *first = fake_node_start(broken);
    struct fake_node *second = fake_node_start(good);
    const char *urls[] = {first->url, second->url};
    struct kvs_client *client = client_of_urls(urls, 2, false);
    for (int i = 0; i < 2; i++) {
        struct kvs_client_record record;
        assert_int_equal(kvs_client_get(client, "k", &record, NULL), KVS_CLIENT_OK);
        kvs_client_record_done(&record);
    }
    stop(client, first);
    fake_node_stop(second);
    assert_int_equal(first->request_count, 1);
    assert_int_equal(second->request_count, 2);
    free(first);
    free(second);
}

static void a_busy_node_is_asked_again_and_its_wish_is_told(void **state)
{
    (void)state;
#define LIMITED "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\n"
    const char *answers[] = {answer("HTTP/1.1 429 Too Many Requests\r\n", "{}"),
                             answer(OK_HEAD, VERSION), answer(LIMITED, "{\"detail\":\"slow\"}"),
                             NULL};
    struct fake_node *node = fake_node_start(answers);
    const char *urls[] = {node->url};
    struct kvs_client *client = client_with(&(struct kvs_client_options){
        .urls = urls, .url_count = 1, .timeout_ms = 3000}); // less than it asks to wait
    struct kvs_client_error error;
    assert_int_equal(kvs_client_put(client, "k", "1", 1, NULL, NULL, NULL, NULL), KVS_CLIENT_OK);
    assert_int_equal(kvs_client_put(client, "k", "1", 1, NULL, NULL, NULL, &error),
                     KVS_CLIENT_RATE_LIMITED);
    assert_int_equal(error.retry_after_ms, 7000);
    assert_string_equal(error.problem, "{\"detail\":\"slow\"}");
    stop(client, node);
    assert_int_equal(node->request_count, 3);
    free(node);
}

static void the_number_of_attempts_is_bounded(void **state)
{
    (void)state;
    const char *answers[] = {"", "", "", "", "", "", NULL};
    struct fake_node *node = fake_node_start(answers);
    const char *urls[] = {node->url, NOBODY};
    struct kvs_client *client =
        client_with(&(struct kvs_client_options){.urls = urls, .url_count = 2, .attempts_max = 4});
    struct kvs_client_record record;
    assert_int_not_equal(kvs_client_get(client, "k", &record, NULL), KVS_CLIENT_OK);
    stop(client, node);
    assert_int_equal(node->request_count, 2);
    free(node);
}

enum { THREADS = 4, CALLS = 7 };

static void *get_often(void *context)
{
    for (int i = 0; i < CALLS; i++) {
        struct kvs_client_record record;
        if (kvs_client_get(context, "k", &record, NULL) != KVS_CLIENT_OK)
            return NULL;
        if (strcmp(record.json, "[1,2]") != 0)
            return NULL;
        kvs_client_record_done(&record);
    }
    return context;
}

static void threads_share_a_client(void **state)
{
    (void)state;
    const char *answers[THREADS * CALLS + 1] = {0};
    for (int i = 0; i < THREADS * CALLS; i++)
        answers[i] = answer(OK_HEAD, RECORD_OF("[1,2]"));
    struct fake_node *node = fake_node_start(answers);
    struct kvs_client *client = client_of(node);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, get_often, client), 0);
    for (int i = 0; i < THREADS; i++) {
        void *result = NULL;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_ptr_equal(result, client);
    }
    stop(client, node);
    assert_int_equal(node->request_count, THREADS * CALLS);
    assert_true(node->connection_count <= THREADS);
    free(node);
}

// Where others could be asked, a node has connect_timeout_ms to answer, and the wait behind it.
static void a_write_that_waits_is_not_taken_for_hanging(void **state)
{
    (void)state;
    enum { CONNECT_MS = 1000, ANSWERED_AFTER_MS = 1500, WAIT_MS = 60000 };
    const char *const answers[] = {answer(OK_HEAD "KVS-Nodes: 2\r\n", VERSION), NULL};
    const char *const others[] = {answer(OK_HEAD, VERSION), NULL};
    struct fake_node *slow = fake_node_start_slow(answers, ANSWERED_AFTER_MS);
    struct fake_node *other = fake_node_start(others);
    const char *urls[] = {slow->url, other->url};
    struct kvs_client *client = client_with(&(struct kvs_client_options){
        .urls = urls, .url_count = 2, .connect_timeout_ms = CONNECT_MS, .timeout_ms = CONNECT_MS});
    struct kvs_client_receipt receipt = {.nodes_wanted = 2, .wait_ms = WAIT_MS};
    const struct kvs_client_put_options pinned = {.if_match = UUID, .receipt = &receipt};
    assert_int_equal(kvs_client_put(client, "a", "1", 1, &pinned, NULL, NULL, NULL), KVS_CLIENT_OK);
    assert_true(receipt.reached);
    stop(client, slow);
    fake_node_stop(other);
    assert_int_equal(slow->request_count, 1);
    assert_int_equal(other->request_count, 0);
    free(slow);
    free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_is_repeated_until_it_succeeds),
        cmocka_unit_test(a_plain_write_of_unknown_outcome_is_not_repeated_unless_wanted),
        cmocka_unit_test(a_patch_is_never_repeated_but_over_a_known_version),
        cmocka_unit_test(a_condition_that_fails_on_the_second_try_leaves_the_outcome_open),
        cmocka_unit_test(a_refused_connection_moves_any_request_to_the_next_node),
        cmocka_unit_test(a_broken_read_moves_to_the_next_node_and_stays_there),
        cmocka_unit_test(a_busy_node_is_asked_again_and_its_wish_is_told),
        cmocka_unit_test(the_number_of_attempts_is_bounded),
        cmocka_unit_test(threads_share_a_client),
        cmocka_unit_test(a_write_that_waits_is_not_taken_for_hanging),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
