// SPDX-License-Identifier: Apache-2.0
// From method and path to a route: unknown paths, wrong methods, body limits, the table itself.
#include "api_test.h"

static void an_unknown_path_is_404_with_every_method(void **state)
{
    struct api_fixture *f = *state;
    static const char *const paths[] = {"/nope",
                                        "/health/",
                                        "/health/x",
                                        "/api",
                                        "/api/data",
                                        "//",
                                        "/kv",
                                        "/HEALTH",
                                        "/%6bv/a",

                                        "/.",
                                        "/%2F",
                                        "/kvx/a",
                                        "/api/data/",
                                        "/api/data/a",
                                        "/api/data/a/history/",
                                        "/api/data/a/history/1/",
                                        "/api/data/history",
                                        "/api/data/history/1",
                                        "/api/data/a/history/1/restore/",
                                        "/changes/"};
    static const char *const methods[] = {"GET",   "HEAD",   "PUT",     "POST",
                                          "PATCH", "DELETE", "OPTIONS", "BREW"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(paths); i++) {
        for (size_t m = 0; m < KVS_ARRAY_SIZE(methods); m++) {
            if (api_send(f, methods[m], paths[i], "") != 404)
                fail_msg("%s %s: %s", methods[m], paths[i], api_body(f));
            assert_contains(api_detail(f), "GET /");
        }
    }
}

static void a_wrong_method_is_405_with_what_is_allowed(void **state)
{
    struct api_fixture *f = *state;
    static const char *const cases[][3] = {
        {"POST", "/kv/a", "GET, HEAD, PUT, PATCH, DELETE"},
        {"BREW", "/kv/a", "GET, HEAD, PUT, PATCH, DELETE"},
        {"OPTIONS", "/kv/a/b", "GET, HEAD, PUT, PATCH, DELETE"},
        {"POST", "/kv/a//b", "GET, HEAD, PUT, PATCH, DELETE"},
        {"PUT", "/health", "GET, HEAD"},
        {"OPTIONS", "/health", "GET, HEAD"},
        {"DELETE", "/", "GET, HEAD"},
        {"POST", "/metrics", "GET, HEAD"},
        {"DELETE", "/ready", "GET, HEAD"},
        {"PUT", "/openapi.json", "GET, HEAD"},
        {"PUT", "/api/data/a/history", "GET, HEAD"},
        {"DELETE", "/api/data/a/history/1", "GET, HEAD"},
        {"GET", "/api/data/a/history/1/restore", "POST"},
        {"HEAD", "/api/data/a/history/1/restore", "POST"},
        {"OPTIONS", "*", "GET, HEAD, PUT, POST, PATCH, DELETE"},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++) {
        assert_int_equal(api_send(f, cases[i][0], cases[i][1], "1"), 405);
        assert_string_equal(api_header(f, "Allow"), cases[i][2]);
        assert_contains(api_detail(f), cases[i][2]);
        assert_null(api_header(f, "Access-Control-Allow-Origin"));
    }
}

static size_t limit(struct api_fixture *f, enum kvs_http_method method, const char *path)
{
    const struct kvs_http_request request = {.method = method, .path = kvs_slice_from_str(path)};
    return kvs_api_body_limit(f->api, &request);
}

static void only_values_have_large_bodies(void **state)
{
    struct api_fixture *f = *state;
    size_t value = API_VALUE_MAX + 64 * 1024;
    assert_int_equal(limit(f, KVS_HTTP_PUT, "/kv/a"), value);
    assert_int_equal(limit(f, KVS_HTTP_PUT, "/kv/a/"), value);
    assert_int_equal(limit(f, KVS_HTTP_GET, "/kv/a"), 1024);
    assert_int_equal(limit(f, KVS_HTTP_HEAD, "/kv/a"), 1024);
    assert_int_equal(limit(f, KVS_HTTP_DELETE, "/kv/a"), 1024);
    assert_int_equal(limit(f, KVS_HTTP_POST, "/api/data/a/history/1/restore"), 1024);
    // 404 and 405 say more than 413 would.
    assert_int_equal(limit(f, KVS_HTTP_POST, "/nope"), value);
    assert_int_equal(limit(f, KVS_HTTP_POST, "/kv/a"), value);
}

static void a_request_without_memory_is_503(void **state)
{
    struct api_fixture *f = *state;
    f->arena_max = 16;
    assert_int_equal(api_get(f, "/health"), 503);
    assert_int_equal(api_get(f, "/kv/a"), 503);
    assert_int_equal(api_get(f, "/nope"), 503);
}

// Whatever the amount of memory, there is one answer: the right one or 503.
static void memory_that_ends_halfway_is_503(void **state)
{
    struct api_fixture *f = *state;
    char tags[8000] = "\"x\"";
    for (size_t size = 3; size + 45 < sizeof(tags); size += 40)
        (void)strcpy(tags + size, ", \"00000000-0000-4000-8000-000000000000\"");
    char target[4000];
    char folder[4000];
    (void)snprintf(target, sizeof(target), "/kv/%%61%01000d?ra%%77=%%31", 1);
    (void)snprintf(folder, sizeof(folder), "/kv/%%61%01000d/?limit=%%31&cursor=%%41%01000d", 1, 1);
    static const int allowed[] = {200, 201, 204, 400, 404, 412, 503};
    int seen[KVS_ARRAY_SIZE(allowed)] = {0};
    for (size_t max = 16; max < 32 * 1024; max += 1024) {
        f->arena_max = max;
        const int answers[] = {
            api_get(f, target, "If-None-Match", tags),
            api_put(f, target, "1", "If-None-Match", tags),
            api_put(f, "/kv/a", "{\"\\u0074tl\":\"1\\u006d\",\"data\":1}", "If-None-Match", tags),
            api_delete(f, "/kv/a", "If-None-Match", tags, "If-None-Match", tags),
            api_get(f, folder),
            api_get(f, "/api/data/a/history/1"),
        };
        for (size_t i = 0; i < KVS_ARRAY_SIZE(answers); i++) {
            size_t at = 0;
            while (at < KVS_ARRAY_SIZE(allowed) && allowed[at] != answers[i])
                at++;
            assert_true(at < KVS_ARRAY_SIZE(allowed));
            seen[at]++;
        }
    }
    assert_true(seen[1] > 0); // enough memory
    assert_true(seen[6] > 6); // not enough, in several places
}

static void an_overflowing_response_is_our_bug(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(api_put(f, "/kv/a", "1"), 201);
    reset_exchange(f);
    f->exchange.response.headers.size_max = 16;
    f->exchange.request = (struct kvs_http_request){.path = KVS_SLICE("/kv/a")};
    f->current = &f->loop;
    kvs_api_handle(f->api, &f->exchange);
    check_response(f);
    assert_int_equal(f->exchange.response.status, 500);
    assert_contains(api_detail(f), "bug");
}

static void auth_on(struct api_fixture *f)
{
    struct kvs_accounts *accounts = NULL;
    assert_int_equal(kvs_accounts_new(kvs_random_system(), &accounts), 0);
    const struct kvs_auth_options options = {.accounts = accounts,
                                             .cluster_secret = KVS_SLICE("a cluster secret"),
                                             .random = kvs_random_system(),
                                             .clock = &f->clock.base};
    assert_int_equal(kvs_auth_new(&options, &f->options.auth), 0);
    f->options.cluster_secret = "a cluster secret";
    f->options.cluster_secret_previous = "";
    api_renew(f);
}

static void auth_off(struct api_fixture *f)
{
    struct kvs_accounts *accounts = kvs_auth_accounts(f->options.auth);
    kvs_auth_free(f->options.auth);
    kvs_accounts_free(accounts);
    f->options.auth = NULL;
    api_renew(f);
}

// The route that a row's pattern stands for finds that row and no earlier one.
static void every_row_is_reachable(void **state)
{
    struct api_fixture *f = *state;
    static const struct {
        enum kvs_http_method method;
        const char *pattern;
    } rows[] = {
#define KVS_ROUTE(method, pattern, scope, permission, body, audit, feature, handler, summary)      \
    {KVS_HTTP_##method, pattern},
#include "tables/routes.def"
#undef KVS_ROUTE
    };
    struct kvs_backup_service backups = {0};
    f->options.backups = &backups; // every feature is on
    const struct kvs_peer_auth_options peers = {
        .node_id = "n1", .secret = "a secret of the tests", .random = kvs_random_system()};
    assert_int_equal(kvs_peer_auth_new(&peers, &f->options.peer_auth), 0);
    api_renew(f);
    auth_on(f);
    for (size_t i = 0; i < KVS_ARRAY_SIZE(rows); i++) {
        struct kvs_route_match match =
            kvs_route_find(f->api, rows[i].method, kvs_slice_from_str(rows[i].pattern));
        assert_non_null(match.route);
        assert_string_equal(match.route->pattern, rows[i].pattern);
        assert_int_equal(match.route->method, rows[i].method);
        assert_true(strlen(match.route->summary) > 0);
        // What touches users' keys asks for scope and permission alike.
        bool data = match.route->scope < KVS_SCOPE_COUNT &&
                    kvs_scope_in(KVS_SCOPES_DATA, match.route->scope);
        if (match.route->scope == KVS_SCOPE_TOKEN) // each operation of it is judged by itself
            data = match.route->permission != KVS_PERMISSION_NONE;
        assert_int_equal(data, match.route->permission != KVS_PERMISSION_NONE);
    }
    kvs_peer_auth_free(f->options.peer_auth);
    f->options.peer_auth = NULL;
    f->options.backups = NULL;
    auth_off(f);
}

static void aliases_lead_to_the_same_rows(void **state)
{
    struct api_fixture *f = *state;
    static const struct {
        const char *alias, *pattern;
        enum kvs_http_method method;
    } cases[] = {
        {"/auth/users", "/api/users", KVS_HTTP_POST},
        {"/auth/users/abc", "/api/users/{uuid}", KVS_HTTP_GET},
        {"/auth/tokens", "/api/tokens", KVS_HTTP_GET},
        {"/auth/tokens/abc", "/api/tokens/{hash}", KVS_HTTP_DELETE},
        {"/auth/tokens/revoke", "/api/tokens/revoke", KVS_HTTP_POST},
        {"/auth/groups", NULL, KVS_HTTP_GET},
        {"/auth/users/", NULL, KVS_HTTP_GET},
        {"/auth/users/a/b", NULL, KVS_HTTP_GET},
        {"/auth/api/users", NULL, KVS_HTTP_GET},
        {"/authx/users", NULL, KVS_HTTP_GET},
        {"/auth", NULL, KVS_HTTP_GET},
    };
    auth_on(f);
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++) {
        struct kvs_route_match match =
            kvs_route_find(f->api, cases[i].method, kvs_slice_from_str(cases[i].alias));
        assert_int_equal(match.route != NULL, cases[i].pattern != NULL);
        if (match.route)
            assert_string_equal(match.route->pattern, cases[i].pattern);
    }
    auth_off(f);
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++)
        assert_null(
            kvs_route_find(f->api, cases[i].method, kvs_slice_from_str(cases[i].alias)).route);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        api_test(an_unknown_path_is_404_with_every_method),
        api_test(a_wrong_method_is_405_with_what_is_allowed),
        api_test(only_values_have_large_bodies),
        api_test(a_request_without_memory_is_503),
        api_test(memory_that_ends_halfway_is_503),
        api_test(an_overflowing_response_is_our_bug),
        api_test(every_row_is_reachable),
        api_test(aliases_lead_to_the_same_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
