// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "tests/unit/client/client_test.h"

static void get_encodes_the_key_and_keeps_the_value_byte_for_byte(void **state)
{
    (void)state;
    const char *answers[] = {answer(OK_HEAD, RECORD_OF("{\"b\":1.0,\"a\":\"\\u00e4\",\"b\":2}")),
                             NULL};
    struct fake_node *node = fake_node_start(answers);
    struct kvs_client *client = client_of(node);
    struct kvs_client_record record;
    assert_int_equal(kvs_client_get(client, "\u00e4 b/c%?#", &record, NULL), KVS_CLIENT_OK);
    assert_string_equal(record.json, "{\"b\":1.0,\"a\":\"\\u00e4\",\"b\":2}");
    assert_int_equal(record.json_size, strlen(record.json));
    assert_string_equal(record.version.uuid, UUID);
    assert_int_equal(record.version.timestamp_ms, 1700000000123);
    kvs_client_record_done(&record);
    assert_null(record.json);
    stop(client, node);
    assert_true(sent(node, 0, "GET /kv/%C3%A4%20b/c%25%3F%23 HTTP/1.1\r\n"));
    free(node);
}

static void get_revision_asks_the_history_and_what_holds_no_value_is_not_found(void **state)
{
    (void)state;
    const char *answers[] = {
        answer(OK_HEAD, "{\"revision\":2,\"uuid\":\"" UUID "\",\"timestamp\":5,\"data\":[1]}"),
        answer(OK_HEAD, "{\"revision\":1,\"uuid\":\"" UUID
                        "\",\"timestamp\":6,\"data\":null,\"deleted\":true}"),
        answer(OK_HEAD, "{\"revision\":3,\"uuid\":\"" UUID
                        "\",\"timestamp\":4,\"data\":null,\"expired\":true}"),
        NULL};
    struct fake_node *node = fake_node_start(answers);
    struct kvs_client *client = client_of(node);
    struct kvs_client_record record;
    assert_int_equal(kvs_client_get_revision(client, "a/b", 2, &record, NULL), KVS_CLIENT_OK);
    assert_string_equal(record.json, "[1]");
    kvs_client_record_done(&record);
    for (uint32_t n = 1; n <= 3; n += 2)
        assert_int_equal(kvs_client_get_revision(client, "a/b", n, &record, NULL),
                         KVS_CLIENT_NOT_FOUND);
    stop(client, node);
    assert_true(sent(node, 0, "GET /api/data/a/b/history/2 HTTP/1.1\r\n"));
    free(node);
}

static void put_sends_the_value_the_ttl_and_the_condition(void **state)
{
    (void)state;
    const char *answers[] = {answer("HTTP/1.1 201 Created\r\n", VERSION), answer(OK_HEAD, VERSION),
                             answer(OK_HEAD, VERSION), answer(OK_HEAD, VERSION), NULL};
    struct fake_node *node = fake_node_start(answers);
    struct kvs_client *client = client_of(node);
    struct kvs_client_version version = {0};
    bool created = false;
    assert_int_equal(
        kvs_client_put(client, "k", "{\"a\" : 1.0}", 11, NULL, &version, &created, NULL), 0);
    assert_true(created);
    assert_string_equal(version.uuid, UUID);
    struct kvs_client_put_options options = {.ttl = "1h+", .if_match = UUID};
    assert_int_equal(kvs_client_put(client, "k", "1", 1, &options, NULL, &created, NULL), 0);
    assert_false(created);
    options = (struct kvs_client_put_options){.if_none_match = true};
    assert_int_equal(kvs_client_put(client, "k", "1", 1, &options, NULL, NULL, NULL), 0);
    options = (struct kvs_client_put_options){.if_match = "*"};
    assert_int_equal(kvs_client_put(client, "k", "1", 1, &options, NULL, NULL, NULL), 0);
    stop(client, node);
    assert_true(sent(node, 0, "PUT /kv/k HTTP/1.1\r\n"));
    assert_true(sent(node, 0, "\r\nContent-Length: 11\r\n"));
    assert_true(sent(node, 0, "\r\n\r\n{\"a\" : 1.0}"));
    assert_false(sent(node, 0, "Expect:"));
    assert_true(sent(node, 1, "PUT /kv/k?ttl=1h%2B HTTP/1.1\r\n"));
    assert_true(sent(node, 1, "\r\nIf-Match: \"" UUID "\"\r\n"));
    assert_true(sent(node, 2, "\r\nIf-None-Match: *\r\n"));
    assert_true(sent(node, 3, "\r\nIf-Match: *\r\n"));
    free(node);
}

static void delete_needs_no_body_in_the_answer(void **state)
{
    (void)state;
    const char *answers[] = {"HTTP/1.1 204 No Content\r\n\r\n", NULL};
    struct fake_node *node = fake_node_start(answers);
    struct kvs_client *client = client_of(node);
    assert_int_equal(kvs_client_delete(client, "k", UUID, NULL), KVS_CLIENT_OK);
    stop(client, node);
    assert_true(sent(node, 0, "DELETE /kv/k HTTP/1.1\r\n"));
    assert_true(sent(node, 0, "\r\nIf-Match: \"" UUID "\"\r\n"));
    free(node);
}

static void list_merges_keys_and_prefixes_into_one_order(void **state)
{
    (void)state;
    const char *answers[] = {answer(OK_HEAD, "{\"keys\":[{\"path\":\"a\",\"uuid\":\"" UUID
                                             "\",\"timestamp\":1,\"data\":[ ]},"
                                             "{\"path\":\"b\\u00e4\",\"uuid\":\"" UUID
                                             "\",\"timestamp\":2}],"
                                             "\"prefixes\":[\"a/\",\"c/\"],\"next\":\"cur+sor\"}"),
                             answer(OK_HEAD, "{\"keys\":[],\"prefixes\":[],\"next\":null}"), NULL};
    struct fake_node *node = fake_node_start(answers);
    struct kvs_client *client = client_of(node);
    struct kvs_client_listing listing;
    struct kvs_client_list_options options = {
        .prefix = "a&b/", .children = true, .values = true, .limit = 7};
    assert_int_equal(kvs_client_list(client, &options, &listing, NULL), KVS_CLIENT_OK);
    static const char *const keys[] = {"a", "a/", "b\u00e4", "c/"};
    assert_int_equal(listing.entry_count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(listing.entries[i].key, keys[i]);
        assert_int_equal(listing.entries[i].is_prefix, i == 1 || i == 3);
    }
    assert_string_equal(listing.entries[0].json, "[ ]");
    assert_null(listing.entries[2].json);
    assert_int_equal(listing.entries[2].version.timestamp_ms, 2);
    assert_string_equal(listing.next, "cur+sor");
    struct kvs_client_list_options more = {.cursor = listing.next};
    struct kvs_client_listing last;
    assert_int_equal(kvs_client_list(client, &more, &last, NULL), KVS_CLIENT_OK);
    assert_int_equal(last.entry_count, 0);
    assert_null(last.next);
    kvs_client_listing_done(&listing);
    kvs_client_listing_done(&last);
    stop(client, node);
    assert_true(
        sent(node, 0, "GET /kv/?prefix=a%26b%2F&delimiter=%2F&values=1&limit=7 HTTP/1.1\r\n"));
    assert_true(sent(node, 1, "GET /kv/?cursor=cur%2Bsor HTTP/1.1\r\n"));
    free(node);
}

static void calls_share_one_connection(void **state)
{
    (void)state;
    const char *answers[] = {answer(OK_HEAD, RECORD_OF("1")),
                             answer("HTTP/1.1 404 Not Found\r\n", "{\"title\":\"T\"}"),
                             answer(OK_HEAD, VERSION), NULL};
    struct fake_node *node = fake_node_start(answers);
    struct kvs_client *client = client_of(node);
    struct kvs_client_record record;
    assert_int_equal(kvs_client_get(client, "k", &record, NULL), KVS_CLIENT_OK);
    kvs_client_record_done(&record);
    assert_int_equal(kvs_client_get(client, "k", &record, NULL), KVS_CLIENT_NOT_FOUND);
    assert_int_equal(kvs_client_put(client, "k", "1", 1, NULL, NULL, NULL, NULL), KVS_CLIENT_OK);
    stop(client, node);
    assert_int_equal(node->request_count, 3);
    assert_int_equal(node->connection_count, 1);
    free(node);
}

static void a_problem_becomes_code_message_and_request_id(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        enum kvs_client_code code;
    } cases[] = {
        {"HTTP/1.1 400 Bad Request\r\n", KVS_CLIENT_INVALID},
        {"HTTP/1.1 401 Unauthorized\r\n", KVS_CLIENT_UNAUTHORIZED},
        {"HTTP/1.1 403 Forbidden\r\n", KVS_CLIENT_FORBIDDEN},
        {"HTTP/1.1 404 Not Found\r\n", KVS_CLIENT_NOT_FOUND},
        {"HTTP/1.1 412 Precondition Failed\r\n", KVS_CLIENT_PRECONDITION},
        {"HTTP/1.1 413 Content Too Large\r\n", KVS_CLIENT_TOO_LARGE},
        {"HTTP/1.1 429 Too Many Requests\r\n", KVS_CLIENT_RATE_LIMITED},
        {"HTTP/1.1 503 Service Unavailable\r\n", KVS_CLIENT_UNAVAILABLE},
        {"HTTP/1.1 507 Insufficient Storage\r\n", KVS_CLIENT_UNAVAILABLE},
        {"HTTP/1.1 500 Internal Server Error\r\n", KVS_CLIENT_UNEXPECTED},
        {"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n", KVS_CLIENT_UNEXPECTED},
    };
    const char *answers[KVS_ARRAY_SIZE(cases) + 1] = {0};
    char heads[KVS_ARRAY_SIZE(cases)][128];
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++) {
        (void)snprintf(heads[i], sizeof(heads[i]), "%sx-request-id:  id-%zu \r\n", cases[i].head,
                       i);
        answers[i] = answer(heads[i], "{\"title\":\"T\",\"detail\":\"what\\u001b[31m to\\ndo\"}");
    }
    struct fake_node *node = fake_node_start(answers);
    struct kvs_client *client = client_of(node);
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++) {
        struct kvs_client_error error = {0};
        char id[16];
        (void)snprintf(id, sizeof(id), "id-%zu", i);
        assert_int_equal(kvs_client_delete(client, "k", NULL, &error), cases[i].code);
        assert_int_equal(error.code, cases[i].code);
        assert_int_equal(error.http_status, atoi(cases[i].head + 9));
        assert_string_equal(error.message, "what [31m to do"); // no escape reaches a terminal
        assert_string_equal(error.request_id, id);
    }
    stop(client, node);
    free(node);
}

// Another server, or a proxy in between, knows nothing of records.
static void the_status_of_a_stranger_says_nothing_of_a_record(void **state)
{
    (void)state;
    static const char *const heads[] = {"HTTP/1.1 404 Not Found\r\n", "HTTP/1.1 409 Conflict\r\n",
                                        "HTTP/1.1 410 Gone\r\n",
                                        "HTTP/1.1 412 Precondition Failed\r\n"};
    const char *answers[2 * KVS_ARRAY_SIZE(heads) + 1] = {0};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(heads); i++)
        answers[2 * i] = answers[2 * i + 1] = answer(heads[i], "<html>");
    struct fake_node *node = fake_node_start(answers);
    struct kvs_client *client = client_of(node);
    for (size_t i = 0; i < KVS_ARRAY_SIZE(heads); i++) {
        struct kvs_client_error error = {0};
        assert_int_equal(kvs_client_delete(client, "k", NULL, &error), KVS_CLIENT_UNEXPECTED);
        assert_int_equal(error.code, KVS_CLIENT_UNEXPECTED);
        assert_int_equal(error.http_status, atoi(heads[i] + 9));
        assert_non_null(strstr(error.message, "no answer of KVS"));
        assert_int_equal(kvs_client_delete(client, "k", NULL, NULL), KVS_CLIENT_UNEXPECTED);
    }
    stop(client, node);
    free(node);
}

static void what_is_no_answer_of_a_node_is_said_so(void **state)
{
    (void)state;
    const char *answers[] = {
        answer("HTTP/1.1 502 Bad Gateway\r\n", "<html>"),
        answer(OK_HEAD, ""),
        answer(OK_HEAD, "[]"),
        answer(OK_HEAD, "<html>"),
        answer(OK_HEAD, "{\"uuid\":\"short\",\"timestamp\":1,\"data\":1}"),
        answer(OK_HEAD, "{\"uuid\":\"" UUID "\",\"timestamp\":\"1\",\"data\":1}"),
        answer(OK_HEAD, "{\"uuid\":\"" UUID "\",\"timestamp\":1}"),
        answer(OK_HEAD, "{\"uuid\":5,\"timestamp\":1,\"data\":1}"),
        NULL};
    struct fake_node *node = fake_node_start(answers);
    struct kvs_client *client = client_of(node);
    struct kvs_client_record record;
    struct kvs_client_error error;
    for (int i = 0; answers[i]; i++) {
        assert_int_equal(kvs_client_get(client, "k", &record, &error), KVS_CLIENT_UNEXPECTED);
        assert_non_null(strstr(error.message, node->url));
    }
    stop(client, node);
    free(node);
}

static void a_broken_answer_is_broken_and_a_write_is_sent_once(void **state)
{
    (void)state;
    const char *answers[] = {
        "", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 100\r\n\r\n{", "", NULL};
    struct fake_node *node = fake_node_start(answers);
    struct kvs_client *client = client_of(node);
    struct kvs_client_record record;
    assert_int_equal(kvs_client_put(client, "k", "1", 1, NULL, NULL, NULL, NULL),
                     KVS_CLIENT_BROKEN);
    assert_int_equal(kvs_client_get(client, "k", &record, NULL), KVS_CLIENT_BROKEN);
    struct kvs_client_put_options once = {.if_none_match = true};
    assert_int_equal(kvs_client_put(client, "k", "1", 1, &once, NULL, NULL, NULL),
                     KVS_CLIENT_BROKEN);
    stop(client, node);
    assert_int_equal(node->request_count, 3);
    free(node);
}

static void an_answer_beyond_the_limit_is_refused(void **state)
{
    (void)state;
    const char *answers[] = {answer(OK_HEAD, RECORD_OF("1")), NULL};
    struct fake_node *node = fake_node_start(answers);
    const char *urls[] = {node->url};
    struct kvs_client *client = kvs_client_new(
        &(struct kvs_client_options){.urls = urls, .url_count = 1, .answer_size_max = 20}, NULL);
    struct kvs_client_record record;
    assert_int_equal(kvs_client_get(client, "k", &record, NULL), KVS_CLIENT_TOO_LARGE);
    stop(client, node);
    free(node);
}

static void the_next_node_serves_where_one_cannot_be_connected_to(void **state)
{
    (void)state;
    const char *answers[] = {answer(OK_HEAD, VERSION), answer(OK_HEAD, VERSION), NULL};
    struct fake_node *node = fake_node_start(answers);
    const char *urls[] = {"http://127.0.0.1:1", node->url};
    struct kvs_client *client =
        kvs_client_new(&(struct kvs_client_options){.urls = urls, .url_count = 2}, NULL);
    for (int i = 0; i < 2; i++)
        assert_int_equal(kvs_client_put(client, "k", "1", 1, NULL, NULL, NULL, NULL),
                         KVS_CLIENT_OK);
    stop(client, node);
    assert_int_equal(node->request_count, 2);
    free(node);
}

static void an_unreachable_node_is_named(void **state)
{
    (void)state;
    const char *urls[] = {"http://127.0.0.1:1/"};
    struct kvs_client_error error;
    struct kvs_client *client =
        kvs_client_new(&(struct kvs_client_options){.urls = urls, .url_count = 1}, &error);
    assert_int_equal(kvs_client_delete(client, "k", NULL, &error), KVS_CLIENT_UNREACHABLE);
    assert_non_null(strstr(error.message, "http://127.0.0.1:1:"));
    assert_int_equal(error.http_status, 0);
    assert_string_equal(error.request_id, "");
    kvs_client_free(client);
}

static void bad_arguments_are_refused_before_anything_is_sent(void **state)
{
    (void)state;
    const char *answers[] = {NULL};
    struct fake_node *node = fake_node_start(answers);
    struct kvs_client *client = client_of(node);
    struct kvs_client_record record;
    struct kvs_client_error error;
    static const char *const bad_keys[] = {"", "a/", "/a", "a//b", "..", "a\n", "\xff", "_range/a"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(bad_keys); i++) {
        assert_int_equal(kvs_client_get(client, bad_keys[i], &record, &error), KVS_CLIENT_INVALID);
        assert_non_null(strstr(error.message, "bad key"));
    }
    static const char *const bad_versions[] = {"", "x", "\"" UUID "\"", UUID "\r\nA: b", "W/*"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(bad_versions); i++)
        assert_int_equal(kvs_client_delete(client, "k", bad_versions[i], NULL), KVS_CLIENT_INVALID);
    struct kvs_client_put_options both = {.if_match = "*", .if_none_match = true};
    assert_int_equal(kvs_client_put(client, "k", "1", 1, &both, NULL, NULL, NULL),
                     KVS_CLIENT_INVALID);
    stop(client, node);
    assert_int_equal(node->request_count, 0);
    free(node);
}

static void bad_urls_and_tokens_are_refused(void **state)
{
    (void)state;
    static const char *const bad_urls[] = {
        "",           "127.0.0.1:8080/",  "ftp://a",    "file:///etc/passwd",
        "http://",    "http://u:p@a",     "http://a?b", "http://a#b",
        "http://a b", "http://a:99999999"};
    struct kvs_client_error error;
    for (size_t i = 0; i < KVS_ARRAY_SIZE(bad_urls); i++) {
        error.code = KVS_CLIENT_OK;
        assert_null(kvs_client_new(
            &(struct kvs_client_options){.urls = &bad_urls[i], .url_count = 1}, &error));
        assert_int_equal(error.code, KVS_CLIENT_INVALID);
    }
    static const char *const bad_tokens[] = {"", "a b", "a\r\nX: y", "\x7f", "\u00e4"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(bad_tokens); i++) {
        assert_null(kvs_client_new(&(struct kvs_client_options){.token = bad_tokens[i]}, &error));
        assert_int_equal(error.code, KVS_CLIENT_INVALID);
        assert_null(bad_tokens[i][0] ? strstr(error.message, bad_tokens[i]) : NULL);
    }
}

static void the_token_is_sent_and_no_proxy_is_asked_for_a_local_node(void **state)
{
    (void)state;
    const char *answers[] = {answer(OK_HEAD, VERSION), NULL};
    struct fake_node *node = fake_node_start(answers);
    char slashed[80];
    (void)snprintf(slashed, sizeof(slashed), "%s//", node->url);
    const char *urls[] = {slashed};
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    struct kvs_client *client = kvs_client_new(
        &(struct kvs_client_options){.urls = urls, .url_count = 1, .token = "abc.d-e_f"}, NULL);
    assert_int_equal(kvs_client_put(client, "k", "1", 1, NULL, NULL, NULL, NULL), KVS_CLIENT_OK);
    unsetenv("http_proxy");
    stop(client, node);
    assert_true(sent(node, 0, "PUT /kv/k HTTP/1.1\r\n"));
    assert_true(sent(node, 0, "\r\nAuthorization: Bearer abc.d-e_f\r\n"));
    free(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get_encodes_the_key_and_keeps_the_value_byte_for_byte),
        cmocka_unit_test(get_revision_asks_the_history_and_what_holds_no_value_is_not_found),
        cmocka_unit_test(put_sends_the_value_the_ttl_and_the_condition),
        cmocka_unit_test(delete_needs_no_body_in_the_answer),
        cmocka_unit_test(list_merges_keys_and_prefixes_into_one_order),
        cmocka_unit_test(calls_share_one_connection),
        cmocka_unit_test(a_problem_becomes_code_message_and_request_id),
        cmocka_unit_test(the_status_of_a_stranger_says_nothing_of_a_record),
        cmocka_unit_test(what_is_no_answer_of_a_node_is_said_so),
        cmocka_unit_test(a_broken_answer_is_broken_and_a_write_is_sent_once),
        cmocka_unit_test(an_answer_beyond_the_limit_is_refused),
        cmocka_unit_test(the_next_node_serves_where_one_cannot_be_connected_to),
        cmocka_unit_test(an_unreachable_node_is_named),
        cmocka_unit_test(bad_arguments_are_refused_before_anything_is_sent),
        cmocka_unit_test(bad_urls_and_tokens_are_refused),
        cmocka_unit_test(the_token_is_sent_and_no_proxy_is_asked_for_a_local_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
