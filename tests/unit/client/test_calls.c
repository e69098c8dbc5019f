// SPDX-License-Identifier: Apache-2.0
// Ranges, iterators, history, batches, jobs, health and free requests: what is sent, what is read.
#include "tests/unit/client/client_test.h"

#define ENTRY(key, data)                                                                           \
    "{\"path\":\"" key "\",\"stored_value\":{\"uuid\":\"" UUID "\",\"timestamp\":5,\"data\":" data \
    "}}"

static void range_sends_its_bounds_and_reads_pairs(void **state)
{
    (void)state;
    const char *answers[] = {
        answer(OK_HEAD,
               "{\"pairs\":[" ENTRY("a\\u00e4",
                                    "1.0") ",{\"path\":\"b\",\"stored_value\":"
                                           "{\"uuid\":\"" UUID "\",\"timestamp\":6,\"data\":\"x\","
                                           "\"expires_timestamp\":99}}],\"next\":\"C1\"}"),
        answer(OK_HEAD, "{\"pairs\":[{\"path\":\"b\",\"stored_value\":{\"uuid\":\"" UUID
                        "\",\"timestamp\":6}}],\"next\":null}"),
        NULL};
    struct fake_node *node = fake_node_start(answers);
    struct kvs_client *client = client_of(node);
    struct kvs_client_listing page;
    struct kvs_client_range_options options = {
        .start_key = "a", .end_key = "b c", .limit = 7, .cursor = "C0", .expiry = true};
    assert_int_equal(kvs_client_range(client, &options, &page, NULL), KVS_CLIENT_OK);
    assert_int_equal(page.entry_count, 2);
    assert_string_equal(page.entries[0].key, "a\u00e4");
    assert_string_equal(page.entries[0].json, "1.0");
    assert_int_equal(page.entries[0].expires_ms, 0);
    assert_string_equal(page.entries[1].key, "b");
    assert_string_equal(page.entries[1].json, "\"x\"");
    assert_int_equal(page.entries[1].expires_ms, 99);
    assert_string_equal(page.next, "C1");
    kvs_client_listing_done(&page);
    assert_int_equal(kvs_client_range(client, NULL, &page, NULL), KVS_CLIENT_UNEXPECTED);
    stop(client, node);
    assert_true(
        sent(node, 0, "GET /kv/_range?start_key=a&end_key=b%20c&limit=7&cursor=C0&expires=1 HTTP"));
    assert_true(sent(node, 1, "GET /kv/_range HTTP/1.1\r\n"));
    free(node);
}

static void an_iterator_follows_the_pages_and_survives_an_error(void **state)
{
    (void)state;
    const char *answers[] = {
        answer(OK_HEAD, "{\"pairs\":[" ENTRY("a", "1") "," ENTRY("b", "2") "],\"next\":\"C1\"}"),
        answer(OK_HEAD, "{\"pairs\":[],\"next\":\"C2\"}"),
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 100\r\n\r\n{",
        answer(OK_HEAD, "{\"pairs\":[" ENTRY("c", "3") "],\"next\":null}"), NULL};
    struct fake_node *node = fake_node_start(answers);
    struct kvs_client *client = client_of(node);
    char start[] = "a";
    struct kvs_client_iterator *iterator =
        kvs_client_range_iterator(client, &(struct kvs_client_range_options){.start_key = start});
    start[0] = 'x'; // it has its own copy
    const struct kvs_client_entry *entry = NULL;
    assert_int_equal(kvs_client_iterator_next(iterator, &entry, NULL), KVS_CLIENT_OK);
    assert_string_equal(entry->key, "a");
    assert_null(kvs_client_iterator_cursor(iterator));
    assert_int_equal(kvs_client_iterator_next(iterator, &entry, NULL), KVS_CLIENT_OK);
    assert_string_equal(kvs_client_iterator_cursor(iterator), "C1");
    assert_int_equal(kvs_client_iterator_next(iterator, &entry, NULL), KVS_CLIENT_BROKEN);
    assert_int_equal(kvs_client_iterator_next(iterator, &entry, NULL), KVS_CLIENT_OK);
    assert_string_equal(entry->key, "c");
    for (int i = 0; i < 2; i++)
        assert_int_equal(kvs_client_iterator_next(iterator, &entry, NULL), KVS_CLIENT_END);
    kvs_client_iterator_free(iterator);
    stop(client, node);
    assert_true(sent(node, 0, "?start_key=a&limit=1000 HTTP"));
    assert_true(sent(node, 1, "&cursor=C1 HTTP"));
    assert_true(sent(node, 2, "&cursor=C2 HTTP"));
    assert_true(sent(node, 3, "&cursor=C2 HTTP"));
    free(node);
}

static void a_list_iterator_keeps_its_options(void **state)
{
    (void)state;
    const char *answers[] = {answer(OK_HEAD, "{\"keys\":[],\"prefixes\":[\"p/\"],\"next\":null}"),
                             NULL};
    struct fake_node *node = fake_node_start(answers);
    struct kvs_client *client = client_of(node);
    const struct kvs_client_entry *entry = NULL;
    struct kvs_client_iterator *iterator = kvs_client_list_iterator(
        client,
        &(struct kvs_client_list_options){.prefix = "\u00e4/", .children = true, .limit = 3});
    assert_int_equal(kvs_client_iterator_next(iterator, &entry, NULL), KVS_CLIENT_OK);
    assert_true(entry->is_prefix);
    assert_string_equal(entry->key, "p/");
    kvs_client_iterator_free(iterator);
    kvs_client_iterator_free(NULL);
    stop(client, node);
    assert_true(sent(node, 0, "GET /kv/?prefix=%C3%A4%2F&delimiter=%2F&limit=3 HTTP"));
    free(node);
}

static void get_if_changed_tells_same_from_new(void **state)
{
    (void)state;
    const char *answers[] = {"HTTP/1.1 304 Not Modified\r\n\r\n", answer(OK_HEAD, RECORD_OF("2")),
                             NULL};
    struct fake_node *node = fake_node_start(answers);
    struct kvs_client *client = client_of(node);
    struct kvs_client_record record;
    assert_int_equal(kvs_client_get_if_changed(client, "k", UUID, &record, NULL),
                     KVS_CLIENT_NOT_MODIFIED);
    assert_int_equal(kvs_client_get_if_changed(client, "k", UUID, &record, NULL), KVS_CLIENT_OK);
    kvs_client_record_done(&record);
    assert_int_equal(kvs_client_get_if_changed(client, "k", "\"", &record, NULL),
                     KVS_CLIENT_INVALID);
    stop(client, node);
    assert_true(sent(node, 0, "\r\nIf-None-Match: \"" UUID "\"\r\n"));
    free(node);
}

static void history_reads_revisions_with_their_marks(void **state)
{
    (void)state;
#define REVISION(n, rest) "{\"revision\":" n ",\"uuid\":\"" UUID "\",\"timestamp\":7," rest "}"
    const char *answers[] = {
        answer(OK_HEAD,
               "[" REVISION("1", "\"data\":null,\"deleted\":true") "," REVISION(
                   "2", "\"data\":{\"a\":1.0}") "," REVISION("3", "\"data\":null,\"expired\":"
                                                                  "true") "]"),
        answer(OK_HEAD, "{}"), answer("HTTP/1.1 201 Created\r\n", VERSION), NULL};
    struct fake_node *node = fake_node_start(answers);
    struct kvs_client *client = client_of(node);
    struct kvs_client_history history;
    struct kvs_client_version version;
    assert_int_equal(kvs_client_history(client, "a/b", &history, NULL), KVS_CLIENT_OK);
    assert_int_equal(history.revision_count, 3);
    assert_true(history.revisions[0].deleted);
    assert_string_equal(history.revisions[1].json, "{\"a\":1.0}");
    assert_false(history.revisions[1].deleted || history.revisions[1].expired);
    assert_true(history.revisions[2].expired);
    assert_int_equal(history.revisions[2].revision, 3);
    kvs_client_history_done(&history);
    assert_int_equal(kvs_client_history(client, "a/b", &history, NULL), KVS_CLIENT_UNEXPECTED);
    struct kvs_client_put_options options = {.ttl = "1h", .if_match = UUID};
    assert_int_equal(kvs_client_restore(client, "a/b", 2, &options, &version, NULL), KVS_CLIENT_OK);
    assert_string_equal(version.uuid, UUID);
    stop(client, node);
    assert_true(sent(node, 0, "GET /api/data/a/b/history HTTP/1.1\r\n"));
    assert_true(sent(node, 2, "POST /api/data/a/b/history/2/restore?ttl=1h HTTP/1.1\r\n"));
    assert_true(sent(node, 2, "\r\nIf-Match: \"" UUID "\"\r\n"));
    free(node);
}

static void patch_says_its_kind(void **state)
{
    (void)state;
    const char *answers[] = {answer(OK_HEAD, VERSION), answer(OK_HEAD, VERSION),
                             answer("HTTP/1.1 409 Conflict\r\n", "{\"detail\":\"no /a\"}"), NULL};
    struct fake_node *node = fake_node_start(answers);
    struct kvs_client *client = client_of(node);
    struct kvs_client_error error;
    const struct kvs_client_put_options options = {.ttl = "1h"};
    for (int i = 0; i < 3; i++) {
        enum kvs_client_patch kind = i == 0 ? KVS_CLIENT_MERGE_PATCH : KVS_CLIENT_JSON_PATCH;
        assert_int_equal(kvs_client_patch(client, "k", kind, "{}", 2, &options, NULL, &error),
                         i < 2 ? KVS_CLIENT_OK : KVS_CLIENT_CONFLICT);
    }
    assert_string_equal(error.message, "no /a");
    stop(client, node);
    assert_true(sent(node, 0, "PATCH /kv/k?ttl=1h HTTP/1.1\r\n"));
    assert_true(sent(node, 0, "\r\nContent-Type: application/merge-patch+json\r\n"));
    assert_true(sent(node, 1, "\r\nContent-Type: application/json-patch+json\r\n"));
    free(node);
}

static void a_batch_is_one_array_and_each_result_finds_its_operation(void **state)
{
    (void)state;
    const char *answers[] = {
        answer(OK_HEAD,
               "[{\"status\":201,\"uuid\":\"" UUID "\",\"timestamp\":3},"
               "{\"status\":200,\"uuid\":\"" UUID "\",\"timestamp\":4,\"data\":{\"a\":1.0}},"
               "{\"status\":412,\"title\":\"Precondition Failed\",\"detail\":\"newer\"},"
               "{\"status\":204}]"),
        answer(OK_HEAD, "[]"), NULL};
    struct fake_node *node = fake_node_start(answers);
    struct kvs_client *client = client_of(node);
    const struct kvs_client_operation operations[] = {
        {.kind = KVS_CLIENT_OPERATION_PUT,
         .key = "a\"",
         .json = "1.0",
         .json_size = 3,
         .ttl = "1h"},
        {.kind = KVS_CLIENT_OPERATION_GET, .key = "b"},
        {.kind = KVS_CLIENT_OPERATION_DELETE, .key = "c", .if_match = UUID},
        {.kind = KVS_CLIENT_OPERATION_DELETE, .key = "d"},
    };
    struct kvs_client_results results;
    assert_int_equal(kvs_client_batch(client, operations, 4, &results, NULL), KVS_CLIENT_OK);
    assert_int_equal(results.result_count, 4);
    assert_int_equal(results.results[0].code, KVS_CLIENT_OK);
    assert_int_equal(results.results[0].version.timestamp_ms, 3);
    assert_string_equal(results.results[1].json, "{\"a\":1.0}");
    assert_int_equal(results.results[2].code, KVS_CLIENT_PRECONDITION);
    assert_string_equal(results.results[2].message, "newer");
    assert_int_equal(results.results[3].code, KVS_CLIENT_OK);
    kvs_client_results_done(&results);
    assert_int_equal(kvs_client_batch(client, operations, 4, &results, NULL),
                     KVS_CLIENT_UNEXPECTED);
    stop(client, node);
    assert_true(sent(node, 0, "POST /kv_batch HTTP/1.1\r\n"));
    assert_true(sent(node, 0,
                     "\r\n\r\n[{\"op\":\"put\",\"path\":\"a\\\"\",\"data\":1.0,\"ttl\":\"1h\"},"
                     "{\"op\":\"get\",\"path\":\"b\"},"
                     "{\"op\":\"delete\",\"path\":\"c\",\"if_match\":\"" UUID "\"},"
                     "{\"op\":\"delete\",\"path\":\"d\"}]"));
    free(node);
}

static void a_bad_batch_is_refused_before_it_is_sent(void **state)
{
    (void)state;
    const char *answers[] = {NULL};
    struct fake_node *node = fake_node_start(answers);
    struct kvs_client *client = client_of(node);
    struct kvs_client_results results;
    struct kvs_client_error error;
    const struct kvs_client_operation bad[] = {
        {.kind = KVS_CLIENT_OPERATION_PUT, .key = "a"},
        {.kind = KVS_CLIENT_OPERATION_GET, .key = "a/"},
        {.kind = KVS_CLIENT_OPERATION_GET},
        {.kind = KVS_CLIENT_OPERATION_DELETE, .key = "a", .if_match = "x"},
        {.kind = (enum kvs_client_operation_kind)9, .key = "a"},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(bad); i++) {
        assert_int_equal(kvs_client_batch(client, &bad[i], 1, &results, &error),
                         KVS_CLIENT_INVALID);
        assert_non_null(strstr(error.message, "operation 1: "));
    }
    assert_int_equal(kvs_client_batch(client, bad, 0, &results, &error), KVS_CLIENT_INVALID);
    assert_int_equal(kvs_client_batch(client, bad, KVS_CLIENT_BATCH_MAX + 1, &results, &error),
                     KVS_CLIENT_INVALID);
    stop(client, node);
    assert_int_equal(node->request_count, 0);
    free(node);
}

static void a_subtree_is_deleted_by_a_job_that_tells_how_far_it_is(void **state)
{
    (void)state;
    const char *answers[] = {
        answer(OK_HEAD, "{\"prefix\":\"a b/\",\"dry_run\":true,\"records\":12}"),
        answer("HTTP/1.1 202 Accepted\r\nLocation: /jobs/7\r\n", "{\"state\":\"running\"}"),
        answer(OK_HEAD, "{\"state\":\"running\",\"deleted\":5,\"total\":12}"),
        answer(OK_HEAD, "{\"state\":\"done\",\"deleted\":12,\"total\":12}"),
        answer(OK_HEAD, "{\"state\":\"failed\",\"deleted\":1,\"error\":\"disk\"}"),
        NULL};
    struct fake_node *node = fake_node_start(answers);
    struct kvs_client *client = client_of(node);
    struct kvs_client_job job;
    assert_int_equal(kvs_client_delete_tree(client, "a b/", true, &job, NULL), KVS_CLIENT_OK);
    assert_int_equal(job.done, 12);
    assert_int_equal(job.state, KVS_CLIENT_JOB_DONE);
    assert_int_equal(kvs_client_delete_tree(client, "a b", false, &job, NULL), KVS_CLIENT_OK);
    assert_int_equal(job.state, KVS_CLIENT_JOB_RUNNING);
    char url[128];
    (void)snprintf(url, sizeof(url), "%s/jobs/7", node->url);
    assert_string_equal(job.url, url);
    assert_int_equal(kvs_client_job_refresh(client, &job, NULL), KVS_CLIENT_OK);
    assert_int_equal(job.state, KVS_CLIENT_JOB_RUNNING);
    assert_int_equal(job.done, 5);
    assert_int_equal(job.total, 12);
    assert_int_equal(kvs_client_job_refresh(client, &job, NULL), KVS_CLIENT_OK);
    assert_int_equal(job.state, KVS_CLIENT_JOB_DONE);
    assert_int_equal(kvs_client_job_refresh(client, &job, NULL), KVS_CLIENT_OK);
    assert_int_equal(job.state, KVS_CLIENT_JOB_FAILED);
    assert_string_equal(job.message, "disk");
    struct kvs_client_job foreign = {.url = "http://example.org/jobs/7"};
    assert_int_equal(kvs_client_job_refresh(client, &foreign, NULL), KVS_CLIENT_INVALID);
    assert_int_equal(kvs_client_delete_tree(client, "", false, &job, NULL), KVS_CLIENT_INVALID);
    stop(client, node);
    assert_true(sent(node, 0, "DELETE /kv/a%20b/?recursive=1&dry_run=1 HTTP/1.1\r\n"));
    assert_true(sent(node, 1, "DELETE /kv/a%20b/?recursive=1 HTTP/1.1\r\n"));
    assert_true(sent(node, 2, "GET /jobs/7 HTTP/1.1\r\n"));
    assert_int_equal(node->request_count, 5);
    free(node);
}

static void health_is_read_and_kept_whole(void **state)
{
    (void)state;
#define HEALTH                                                                                     \
    "{\"status\":\"ok\",\"mode\":\"read-only\",\"writable\":false,\"node_id\":\"n1\","             \
    "\"member_count\":3,\"version\":\"0.1.0\",\"extra\":[1]}"
    const char *answers[] = {answer(OK_HEAD, HEALTH), answer(OK_HEAD, "{\"status\":\"ok\"}"), NULL};
    struct fake_node *node = fake_node_start(answers);
    struct kvs_client *client = client_of(node);
    struct kvs_client_health health;
    assert_int_equal(kvs_client_health(client, &health, NULL), KVS_CLIENT_OK);
    assert_string_equal(health.status, "ok");
    assert_string_equal(health.mode, "read-only");
    assert_string_equal(health.node_id, "n1");
    assert_string_equal(health.version, "0.1.0");
    assert_string_equal(health.url, node->url);
    assert_int_equal(health.member_count, 3);
    assert_false(health.writable);
    assert_string_equal(health.json, HEALTH);
    kvs_client_health_done(&health);
    assert_int_equal(kvs_client_health(client, &health, NULL), KVS_CLIENT_UNEXPECTED);
    stop(client, node);
    free(node);
}

static void any_request_can_be_sent_and_none_can_smuggle_another(void **state)
{
    (void)state;
    const char *answers[] = {answer("HTTP/1.1 201 Created\r\n", "{}"), NULL};
    struct fake_node *node = fake_node_start(answers);
    struct kvs_client *client = client_of(node);
    struct kvs_client_response response;
    assert_int_equal(
        kvs_client_request(client, "POST", "/api/users", NULL, "{}", 2, &response, NULL),
        KVS_CLIENT_OK);
    assert_int_equal(response.http_status, 201);
    assert_string_equal(response.body, "{}");
    kvs_client_response_done(&response);
    static const char *const bad[][3] = {
        {"GE T", "/", NULL},   {"GET", "kv", NULL}, {"GET", "/ HTTP/1.1\r\nA: b", NULL},
        {"GET", "/a b", NULL}, {"", "/", NULL},     {"PUT", "/a", "a\r\nb: c"}};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(bad); i++)
        assert_int_equal(
            kvs_client_request(client, bad[i][0], bad[i][1], bad[i][2], NULL, 0, &response, NULL),
            KVS_CLIENT_INVALID);
    stop(client, node);
    assert_int_equal(node->request_count, 1);
    free(node);
}

// The answer to a HEAD has no body that could say whose it is; its header does.
static void a_head_tells_a_node_from_a_stranger(void **state)
{
    (void)state;
    const char *answers[] = {
        "HTTP/1.1 404 Not Found\r\nContent-Type: application/problem+json\r\n"
        "Content-Length: 99\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 99\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nContent-Type: application/problem+json\r\n"
        "Content-Length: 2\r\n\r\n{}",
        NULL};
    static const enum kvs_client_code codes[] = {KVS_CLIENT_NOT_FOUND, KVS_CLIENT_UNEXPECTED,
                                                 KVS_CLIENT_UNEXPECTED};
    struct fake_node *node = fake_node_start(answers);
    struct kvs_client *client = client_of(node);
    struct kvs_client_response response;
    struct kvs_client_error error;
    for (size_t i = 0; i < KVS_ARRAY_SIZE(codes); i++) {
        assert_int_equal(kvs_client_request(client, i < 2 ? "HEAD" : "GET", "/kv/a", NULL, NULL, 0,
                                            &response, &error),
                         codes[i]);
        assert_int_equal(error.http_status, 404);
        assert_int_equal(!strstr(error.message, "no answer of KVS"), i == 0);
    }
    stop(client, node);
    free(node);
}

static void every_code_has_a_text(void **state)
{
    (void)state;
    for (int code = KVS_CLIENT_OK; code <= KVS_CLIENT_END; code++)
        assert_string_not_equal(kvs_client_code_text(code), "unknown");
    assert_string_equal(kvs_client_code_text(-1), "unknown");
    assert_string_equal(kvs_client_code_text(KVS_CLIENT_END + 1), "unknown");
    assert_string_equal(kvs_client_library_version(), KVS_VERSION);
}

static void a_receipt_is_asked_for_and_told(void **state)
{
    (void)state;
    const char *const answers[] = {
        answer(OK_HEAD "KVS-Nodes: 3\r\n", VERSION),
        answer(OK_HEAD "KVS-Nodes: 1\r\n", VERSION),
        answer("HTTP/1.1 204 No Content\r\nKVS-Nodes: 2\r\n", ""),
        answer(OK_HEAD "kvs-nodes: 2\r\n", "[{\"status\":204}]"),
        answer(OK_HEAD, VERSION),
        answer("HTTP/1.1 412 Precondition Failed\r\nKVS-Nodes: 9\r\n", "{\"title\":\"T\"}"),
        NULL};
    struct fake_node *node = fake_node_start(answers);
    struct kvs_client *client = client_of(node);
    struct kvs_client_receipt receipt = {.nodes_wanted = 2, .wait_ms = 1500};
    const struct kvs_client_put_options options = {.receipt = &receipt};
    const struct kvs_client_operation operation = {.kind = KVS_CLIENT_OPERATION_DELETE, .key = "a"};
    struct kvs_client_results results;
    assert_int_equal(kvs_client_put(client, "a", "1", 1, &options, NULL, NULL, NULL), 0);
    assert_true(receipt.nodes == 3 && receipt.reached);
    receipt.wait_ms = 0;
    assert_int_equal(
        kvs_client_patch(client, "a", KVS_CLIENT_MERGE_PATCH, "{}", 2, &options, NULL, NULL), 0);
    assert_true(receipt.nodes == 1 && !receipt.reached);
    receipt.wait_ms = 1000000; // more than a node waits
    assert_int_equal(kvs_client_delete_receipt(client, "a", NULL, &receipt, NULL), 0);
    assert_true(receipt.nodes == 2 && receipt.reached);
    assert_int_equal(kvs_client_batch_receipt(client, &operation, 1, &receipt, &results, NULL), 0);
    kvs_client_results_done(&results);
    assert_true(receipt.nodes == 2 && receipt.reached);
    assert_int_equal(kvs_client_restore(client, "a", 2, &options, NULL, NULL), 0); // an older node
    assert_true(receipt.nodes == 0 && !receipt.reached);
    receipt = (struct kvs_client_receipt){.nodes_wanted = 1, .nodes = 7, .reached = true};
    assert_int_equal(kvs_client_put(client, "a", "1", 1, &options, NULL, NULL, NULL),
                     KVS_CLIENT_PRECONDITION);
    assert_true(receipt.nodes == 0 && !receipt.reached);
    receipt.nodes_wanted = 258;
    assert_int_equal(kvs_client_put(client, "a", "1", 1, &options, NULL, NULL, NULL),
                     KVS_CLIENT_INVALID);
    stop(client, node);
    assert_int_equal(node->request_count, 6);
    assert_true(sent(node, 0, "\r\nPrefer: nodes=2, wait=1500ms\r\n"));
    assert_true(sent(node, 1, "\r\nPrefer: nodes=2, wait=2000ms\r\n"));
    assert_true(sent(node, 2, "\r\nPrefer: nodes=2, wait=60000ms\r\n"));
    free(node);
}

static void without_a_receipt_nothing_is_asked(void **state)
{
    (void)state;
    const char *const answers[] = {answer(OK_HEAD "KVS-Nodes: 3\r\n", VERSION),
                                   answer(OK_HEAD, VERSION), NULL};
    struct fake_node *node = fake_node_start(answers);
    struct kvs_client *client = client_of(node);
    struct kvs_client_receipt receipt = {.wait_ms = 5, .nodes = 7};
    const struct kvs_client_put_options options = {.receipt = &receipt};
    assert_int_equal(kvs_client_put(client, "a", "1", 1, &options, NULL, NULL, NULL), 0);
    assert_true(receipt.nodes == 0 && receipt.reached);
    assert_int_equal(kvs_client_put(client, "a", "1", 1, NULL, NULL, NULL, NULL), 0);
    stop(client, node);
    assert_false(sent(node, 0, "Prefer") || sent(node, 1, "Prefer"));
    free(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(range_sends_its_bounds_and_reads_pairs),
        cmocka_unit_test(an_iterator_follows_the_pages_and_survives_an_error),
        cmocka_unit_test(a_list_iterator_keeps_its_options),
        cmocka_unit_test(get_if_changed_tells_same_from_new),
        cmocka_unit_test(history_reads_revisions_with_their_marks),
        cmocka_unit_test(patch_says_its_kind),
        cmocka_unit_test(a_batch_is_one_array_and_each_result_finds_its_operation),
        cmocka_unit_test(a_bad_batch_is_refused_before_it_is_sent),
        cmocka_unit_test(a_subtree_is_deleted_by_a_job_that_tells_how_far_it_is),
        cmocka_unit_test(health_is_read_and_kept_whole),
        cmocka_unit_test(any_request_can_be_sent_and_none_can_smuggle_another),
        cmocka_unit_test(a_head_tells_a_node_from_a_stranger),
        cmocka_unit_test(every_code_has_a_text),
        cmocka_unit_test(a_receipt_is_asked_for_and_told),
        cmocka_unit_test(without_a_receipt_nothing_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
