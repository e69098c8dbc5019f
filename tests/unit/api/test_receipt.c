// SPDX-License-Identifier: Apache-2.0
// Prefer: what is understood of it, what a write that waits answers, staleness of reads.
#include "api_test.h"

static int put(struct api_fixture *f, const char *prefer)
{
    return api_put(f, "/kv/a", "1", "Prefer", prefer);
}

static void assert_receipt(struct api_fixture *f, const char *prefer, const char *nodes,
                           const char *applied)
{
    assert_in_range(put(f, prefer), 200, 201);
    if (!nodes) {
        assert_null(api_header(f, "KVS-Nodes"));
        assert_null(api_header(f, "Preference-Applied"));
        return;
    }
    assert_non_null(api_header(f, "KVS-Nodes"));
    assert_string_equal(api_header(f, "KVS-Nodes"), nodes);
    assert_string_equal(api_header(f, "Preference-Applied"), applied);
}

static void a_write_says_how_many_nodes_have_it(void **state)
{
    struct api_fixture *f = *state;
    f->node->clustered = true;
    f->node->receipts = 2;
    assert_receipt(f, "nodes=3, wait=2s", "3", "nodes=3, wait=2s");
    assert_receipt(f, "wait=2,nodes=2", "3", "nodes=2, wait=2s");
    assert_receipt(f, "NODES=\"2\"", "3", "nodes=2");
    assert_receipt(f, "x=\"nodes=9, \\\" ,\", nodes = 3 ; p=1, nodes=7", "3", "nodes=3");
    assert_receipt(f, "wait=0, nodes=9", "3", "wait=0s");
    assert_receipt(f, "nodes=3, wait=1h", "3", "nodes=3, wait=60s");
    assert_receipt(f, "nodes=3, wait=99999999999999999999", "3", "nodes=3");
}

static void what_makes_no_sense_is_ignored(void **state)
{
    struct api_fixture *f = *state;
    static const char *const texts[] = {
        "",
        ",",
        "wait=2s",
        "nodes",
        "nodes=",
        "nodes=0",
        "nodes=-1",
        "nodes=1.5",
        "nodes=258",
        "nodes=18446744073709551617",
        "\"nodes=2\"",
        "x=\"nodes=2",
        "=2",
        ";nodes=2",
        "nodes=\"",
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(texts); i++)
        assert_receipt(f, texts[i], NULL, NULL);
}

static void a_node_alone_answers_at_once(void **state)
{
    assert_receipt(*state, "nodes=2, wait=60s", "1", "wait=60s");
}

static void begin_put(struct api_fixture *f)
{
    static const struct kvs_http_header prefer = {KVS_SLICE("Prefer"),
                                                  KVS_SLICE("nodes=2, wait=5s")};
    reset_exchange(f);
    f->exchange.request = (struct kvs_http_request){.method = KVS_HTTP_PUT,
                                                    .path = KVS_SLICE("/kv/a"),
                                                    .body = KVS_SLICE("1"),
                                                    .headers = &prefer,
                                                    .header_count = 1};
    f->current = &f->loop;
    kvs_api_handle(f->api, &f->exchange);
    for (struct kvs_task *task; (task = test_take(&f->loop));)
        task->run(task);
}

static void a_write_waits_until_told_or_over(void **state)
{
    struct api_fixture *f = *state;
    static const enum kvs_http_notice notices[] = {KVS_HTTP_DUE, KVS_HTTP_DRAINING, KVS_HTTP_GONE};
    f->node->clustered = true;
    for (size_t i = 0; i <= KVS_ARRAY_SIZE(notices); i++) {
        f->node->receipts = 0;
        begin_put(f);
        assert_int_equal(f->finished, 0);
        assert_non_null(f->node->receipt_waiting);
        assert_int_equal(f->exchange.due_ns, (API_NOW_MS + 5000) * 1000000LL);
        f->node->receipts = i == KVS_ARRAY_SIZE(notices);
        if (f->node->receipts > 0)
            kvs_executor_post(&f->loop.base, &f->node->receipt_waiting->task);
        else
            f->exchange.notice(&f->exchange, notices[i]);
        test_run(f);
        assert_int_equal(f->finished, 1);
        check_response(f);
        assert_in_range(f->exchange.response.status, 200, 201);
        assert_string_equal(api_header(f, "Preference-Applied"),
                            f->node->receipts > 0 ? "nodes=2, wait=5s" : "wait=5s");
    }
}

static void staleness_is_for_reads_that_ask(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(api_get(f, "/kv/a", "Prefer", "x, staleness"), 404);
    assert_null(api_header(f, "KVS-Staleness")); // alone
    f->node->clustered = true;
    assert_int_equal(api_get(f, "/kv/a", "Prefer", "x, staleness"), 404);
    assert_string_equal(api_header(f, "KVS-Staleness"), "\"pe?er\";age=1.234, \"new\";never");
    assert_string_equal(api_header(f, "Preference-Applied"), "staleness");
    assert_int_equal(put(f, "staleness"), 201);
    assert_null(api_header(f, "KVS-Staleness"));
    assert_int_equal(api_get(f, "/kv/a"), 200);
    assert_null(api_header(f, "KVS-Staleness"));
    f->node->receipts = 200;
    assert_int_equal(api_get(f, "/kv/a", "Prefer", "x, staleness"), 200);
    assert_in_range(strlen(api_header(f, "KVS-Staleness")), 800, 1100);
    assert_contains(api_header(f, "KVS-Staleness"), ";age=0.005;more=1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        api_test(a_write_says_how_many_nodes_have_it), api_test(what_makes_no_sense_is_ignored),
        api_test(a_node_alone_answers_at_once),        api_test(a_write_waits_until_told_or_over),
        api_test(staleness_is_for_reads_that_ask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
