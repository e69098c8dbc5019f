// SPDX-License-Identifier: Apache-2.0
// What a node says of itself, over the fake node: states that a real one cannot be asked into.
#include "api_test.h"

static void the_index_links_on(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(api_get(f, "/"), 200);
    assert_string_equal(api_string(f, "name"), "kvs");
    assert_string_equal(api_string(f, "version"), "1.2.3");
    const struct kvs_json *links = kvs_json_member(api_json(f), "links");
    size_t count = 0;
    for (const struct kvs_json *link = links->child; link; link = link->next, count++) {
        struct kvs_slice target;
        assert_int_equal(kvs_json_string(link, &f->exchange.arena, &target), 0);
        struct kvs_route_match match = kvs_route_find(f->api, KVS_HTTP_GET, target);
        assert_non_null(match.route);
    }
    assert_int_equal(count, 5);
    f->options.metrics_enabled = false;
    api_renew(f);
    assert_int_equal(api_get(f, "/"), 200);
    assert_null(strstr(api_body(f), "metrics"));
}

static void health_tells_mode_and_uptime(void **state)
{
    struct api_fixture *f = *state;
    f->clock.now_ms += 61999;
    assert_int_equal(api_get(f, "/health"), 200);
    assert_string_equal(api_body(f), "{\"status\":\"ok\",\"mode\":\"normal\",\"writable\":true,"
                                     "\"node_id\":\"n1\",\"member_count\":1,\"version\":\"1.2.3\","
                                     "\"uptime_seconds\":61}");
    f->node->mode = KVS_NODE_READ_ONLY;
    assert_int_equal(api_get(f, "/health"), 200);
    assert_string_equal(api_string(f, "mode"), "read-only");
    f->node->mode = KVS_NODE_SYNCING;
    assert_int_equal(api_get(f, "/health"), 200);
    assert_string_equal(api_string(f, "mode"), "syncing");
    assert_int_equal(f->worker_runs, 0); // answers while every worker hangs on a bad disk
}

static void health_is_degraded_when_nothing_can_be_written(void **state)
{
    struct api_fixture *f = *state;
    f->node->not_writable = true;
    assert_int_equal(api_get(f, "/health"), 200);
    assert_string_equal(api_string(f, "status"), "degraded");
    assert_contains(api_body(f), "\"writable\":false");
}

static void ready_only_while_clients_are_served_normally(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(api_get(f, "/ready"), 200);
    f->node->mode = KVS_NODE_READ_ONLY;
    assert_int_equal(api_get(f, "/ready"), 200);
    f->node->mode = KVS_NODE_SYNCING;
    assert_int_equal(api_get(f, "/ready"), 503);
    assert_contains(api_detail(f), "peers");
    f->node->mode = KVS_NODE_NORMAL;
    f->node->not_writable = true;
    assert_int_equal(api_get(f, "/ready"), 503);
    assert_contains(api_detail(f), "writes");
    f->node->not_writable = false;
    f->accepting = false;
    assert_int_equal(api_get(f, "/ready"), 503);
    assert_contains(api_detail(f), "shutting down");
    f->options.accepting = NULL;
    api_renew(f);
    assert_int_equal(api_get(f, "/ready"), 200);
}

static void a_status_that_fails_is_an_error(void **state)
{
    struct api_fixture *f = *state;
    f->node->status_err = KVS_ERR_IO;
    assert_int_equal(api_get(f, "/health"), 503);
    assert_int_equal(api_get(f, "/ready"), 503);
    assert_int_equal(api_get(f, "/metrics"), 503);
}

static void metrics_show_the_nodes_state(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(api_get(f, "/metrics"), 200);
    assert_string_equal(f->exchange.response.content_type,
                        "text/plain; version=0.0.4; charset=utf-8");
    assert_contains(api_body(f), "\nkvs_log_seq 42\n");
    assert_contains(api_body(f), "\nkvs_ready 1\n");
    assert_contains(api_body(f), "\nkvs_store_writable 1\n");
    assert_contains(api_body(f), "kvs_build_info{version=\"" KVS_VERSION "\"} 1\n");
    f->node->not_writable = true;
    assert_int_equal(api_get(f, "/metrics"), 200);
    assert_contains(api_body(f), "\nkvs_ready 0\n");
    assert_contains(api_body(f), "\nkvs_store_writable 0\n");
}

static void without_the_feature_there_are_no_metrics(void **state)
{
    struct api_fixture *f = *state;
    f->options.metrics_enabled = false;
    api_renew(f);
    assert_int_equal(api_get(f, "/metrics"), 404);
    f->options.metrics_enabled = true;
    f->options.metrics = NULL;
    api_renew(f);
    assert_int_equal(api_get(f, "/metrics"), 404);
}

static void the_openapi_document_is_served_whole(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(api_get(f, "/openapi.json"), 200);
    assert_string_equal(f->exchange.response.content_type, "application/json");
    assert_string_equal(api_string(f, "openapi"), "3.1.0");
    const struct kvs_json *info = kvs_json_member(api_json(f), "info");
    assert_slice_equal(kvs_json_member(info, "version")->source, "\"" KVS_VERSION "\"");
    assert_non_null(kvs_json_member(kvs_json_member(api_json(f), "paths"), "/kv/{key}"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        api_test(the_index_links_on),
        api_test(health_tells_mode_and_uptime),
        api_test(health_is_degraded_when_nothing_can_be_written),
        api_test(ready_only_while_clients_are_served_normally),
        api_test(a_status_that_fails_is_an_error),
        api_test(metrics_show_the_nodes_state),
        api_test(without_the_feature_there_are_no_metrics),
        api_test(the_openapi_document_is_served_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
