// SPDX-License-Identifier: Apache-2.0
// A key's revisions: listing, reading one, restoring.
#include "api_test.h"

static void put_many(struct api_fixture *f, const char *target, int count)
{
    for (int i = 1; i <= count; i++) {
        char value[20];
        (void)snprintf(value, sizeof(value), "{\"n\":%d}", i);
        assert_in_range(api_put(f, target, value), 200, 201);
    }
}

static void the_last_versions_are_listed_newest_first(void **state)
{
    struct api_fixture *f = *state;
    put_many(f, "/kv/a", 5);
    char uuid[40];
    (void)snprintf(uuid, sizeof(uuid), "%.36s", api_header(f, "ETag") + 1);
    assert_int_equal(api_get(f, "/api/data/a/history"), 200);
    const struct kvs_json *list = api_json(f);
    assert_int_equal(list->child_count, 3);
    char first[200];
    (void)snprintf(
        first, sizeof(first),
        "{\"revision\":1,\"uuid\":\"%s\",\"timestamp\":1790000000127,\"data\":{\"n\":5}}", uuid);
    assert_true(kvs_slice_eq(list->child->source, kvs_slice_from_str(first)));
    assert_contains(api_body(f), "{\"revision\":2,");
    assert_contains(api_body(f), "\"data\":{\"n\":4}},");
    assert_contains(api_body(f), "\"data\":{\"n\":3}}]");
    assert_int_equal(api_send(f, "HEAD", "/api/data/a/history", ""), 200);
}

static void one_revision_is_read_by_its_number(void **state)
{
    struct api_fixture *f = *state;
    put_many(f, "/kv/a", 4);
    assert_int_equal(api_get(f, "/api/data/a/history/1"), 200);
    assert_contains(api_body(f), "{\"revision\":1,");
    assert_contains(api_body(f), "\"data\":{\"n\":4}}");
    assert_int_equal(api_get(f, "/api/data/a/history/3"), 200);
    assert_contains(api_body(f), "{\"revision\":3,");
    assert_contains(api_body(f), "\"data\":{\"n\":2}}");
    assert_int_equal(api_json(f)->type, KVS_JSON_OBJECT);
}

static void a_number_outside_is_400(void **state)
{
    struct api_fixture *f = *state;
    put_many(f, "/kv/a", 3);
    static const char *const numbers[] = {
        "0", "4", "-1", "abc", "1.0", "01x", "99999999999999999999", "+1", "%31"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(numbers); i++) {
        char target[100];
        (void)snprintf(target, sizeof(target), "/api/data/a/history/%s", numbers[i]);
        assert_int_equal(api_get(f, target), 400);
        assert_contains(api_detail(f), "from 1 (the newest) to 3");
        (void)strcat(target, "/restore");
        assert_int_equal(api_post(f, target), 400);
    }
}

static void what_is_not_there_is_404(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(api_get(f, "/api/data/a/history"), 404);
    assert_contains(api_detail(f), "\"a\" has no history");
    assert_int_equal(api_get(f, "/api/data/a/history/1"), 404);
    assert_int_equal(api_post(f, "/api/data/a/history/1/restore"), 404);
    put_many(f, "/kv/a", 2);
    assert_int_equal(api_get(f, "/api/data/a/history/3"), 404);
    assert_contains(api_detail(f), "no revision 3");
    assert_int_equal(api_post(f, "/api/data/a/history/3/restore"), 404);
    assert_contains(api_detail(f), "Revision 3");
}

static void keys_with_slashes_work_as_they_are_and_escaped(void **state)
{
    struct api_fixture *f = *state;
    put_many(f, "/kv/a/b", 1);
    assert_int_equal(api_get(f, "/api/data/a/b/history"), 200);
    assert_int_equal(api_get(f, "/api/data/a%2Fb/history"), 200);
    assert_int_equal(api_get(f, "/api/data/a%2Fb/history/1"), 200);
    assert_int_equal(api_get(f, "/api/data/a/b/history/1"), 200);
    assert_int_equal(api_post(f, "/api/data/a/b/history/1/restore"), 200);
    assert_int_equal(api_get(f, "/api/data/a%252Fb/history"), 404);
}

static void keys_that_look_like_the_route_have_a_history(void **state)
{
    struct api_fixture *f = *state;
    static const char *const keys[] = {"history", "a/history", "a/history/1",
                                       "a/history/1/restore"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(keys); i++) {
        char target[200];
        (void)snprintf(target, sizeof(target), "/kv/%s", keys[i]);
        put_many(f, target, 1);
        (void)snprintf(target, sizeof(target), "/api/data/%s/history", keys[i]);
        assert_int_equal(api_get(f, target), 200);
        (void)snprintf(target, sizeof(target), "/api/data/%s/history/1", keys[i]);
        assert_int_equal(api_get(f, target), 200);
    }
    assert_int_equal(api_get(f, "/api/data/a%2Fhistory/history"), 200);
    assert_int_equal(api_get(f, "/api/data/a%2Fhistory%2F1/history/1"), 200);
    assert_int_equal(api_get(f, "/api/data/a/history"), 404); // the key "a" has none
}

static void what_is_no_key_is_400(void **state)
{
    struct api_fixture *f = *state;
    static const char *const keys[] = {"", "a//b", ".", "a/../b", "%00", "%FF", "%zz", "_range/x"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(keys); i++) {
        char target[100];
        (void)snprintf(target, sizeof(target), "/api/data/%s/history", keys[i]);
        assert_int_equal(api_get(f, target), 400);
        (void)snprintf(target, sizeof(target), "/api/data/%s/history/1", keys[i]);
        assert_int_equal(api_get(f, target), 400);
    }
    assert_int_equal(api_get(f, "/api/data/a/history?x=1"), 400);
    assert_contains(api_detail(f), "takes none");
}

static void deletions_and_expired_versions_are_listed_without_data(void **state)
{
    struct api_fixture *f = *state;
    put_many(f, "/kv/a", 1);
    assert_int_equal(api_put(f, "/kv/a?ttl=1s", "\"secret\""), 200);
    assert_int_equal(api_delete(f, "/kv/a"), 204);
    f->clock.now_ms += 2000;
    assert_int_equal(api_get(f, "/api/data/a/history"), 200);
    assert_contains(api_body(f), "[{\"revision\":1,");
    assert_contains(api_body(f), "\"data\":null,\"deleted\":true},{\"revision\":2,");
    assert_contains(api_body(f), "\"data\":null,\"expired\":true},{\"revision\":3,");
    assert_contains(api_body(f), "\"data\":{\"n\":1}}]");
    assert_int_equal(api_get(f, "/api/data/a/history/1"), 200);
    assert_contains(api_body(f), "\"data\":null,\"deleted\":true}");
}

static void restore_writes_the_revision_as_a_new_version(void **state)
{
    struct api_fixture *f = *state;
    put_many(f, "/kv/a", 3);
    assert_int_equal(api_post(f, "/api/data/a/history/3/restore"), 200);
    char uuid[40];
    (void)snprintf(uuid, sizeof(uuid), "%.36s", api_header(f, "ETag") + 1);
    assert_string_equal(api_string(f, "uuid"), uuid);
    assert_int_equal(api_get(f, "/kv/a"), 200);
    assert_contains(api_body(f), "\"data\":{\"n\":1}");
    assert_string_equal(api_string(f, "uuid"), uuid);
    assert_int_equal(api_delete(f, "/kv/a"), 204);
    assert_int_equal(api_post(f, "/api/data/a/history/1/restore"), 404); // the deletion itself
    assert_contains(api_detail(f), "deletion");
    assert_int_equal(api_post(f, "/api/data/a/history/2/restore"), 201);
    assert_string_equal(api_header(f, "Location"), "/kv/a");
    assert_int_equal(api_get(f, "/kv/a?raw=1"), 200);
    assert_string_equal(api_body(f), "{\"n\":1}");
}

static void restore_takes_conditions_and_a_ttl(void **state)
{
    struct api_fixture *f = *state;
    put_many(f, "/kv/a", 2);
    assert_int_equal(api_post(f, "/api/data/a/history/2/restore", "If-Match", "\"x\""), 412);
    assert_int_equal(api_post(f, "/api/data/a/history/2/restore", "If-None-Match", "*"), 412);
    assert_int_equal(api_post(f, "/api/data/a/history/2/restore?ttl=x"), 400);
    assert_int_equal(api_post(f, "/api/data/a/history/2/restore?tll=1s"), 400);
    assert_int_equal(api_post(f, "/api/data/a/history/2/restore?ttl=1s"), 200);
    f->clock.now_ms += 1000;
    assert_int_equal(api_get(f, "/kv/a"), 404);
}

static void without_the_feature_its_routes_do_not_exist(void **state)
{
    struct api_fixture *f = *state;
    put_many(f, "/kv/a", 2);
    f->options.revision_history_enabled = false;
    api_renew(f);
    assert_int_equal(api_get(f, "/api/data/a/history"), 404);
    assert_contains(api_detail(f), "revision_history_enabled is false");
    assert_int_equal(api_get(f, "/api/data/a/history/1"), 404);
    assert_int_equal(api_post(f, "/api/data/a/history/1/restore"), 404);
    assert_int_equal(api_post(f, "/api/data/a/history"), 404);
}

static void a_history_is_read_on_a_worker(void **state)
{
    struct api_fixture *f = *state;
    put_many(f, "/kv/a", 3);
    assert_int_equal(api_get(f, "/api/data/a/history"), 200);
    assert_int_equal(f->worker_runs, 1);
    assert_int_equal(api_get(f, "/api/data/a/history/1"), 200);
    assert_int_equal(f->worker_runs, 1);
    assert_int_equal(api_get(f, "/api/data/a/history/9"), 400);
    assert_int_equal(f->worker_runs, 0);
}

#ifndef KVS_TEST_REAL_NODE

static void the_loser_of_a_conflict_is_marked_and_can_be_restored(void **state)
{
    struct api_fixture *f = *state;
    put_many(f, "/kv/a", 2);
    f->node->keys[0].versions[1].version.flags |= KVS_VERSION_CONFLICT_LOSER;
    assert_int_equal(api_get(f, "/api/data/a/history"), 200);
    assert_contains(api_body(f), ",\"conflict\":true}]");
    assert_int_equal(api_get(f, "/api/data/a/history/1"), 200);
    assert_null(strstr(api_body(f), "conflict"));
    assert_int_equal(api_get(f, "/api/data/a/history/2"), 200);
    assert_contains(api_body(f), ",\"conflict\":true}");
    assert_int_equal(api_post(f, "/api/data/a/history/2/restore"), 200);
}

static void a_failing_disk_is_told(void **state)
{
    struct api_fixture *f = *state;
    put_many(f, "/kv/a", 3);
    f->node->read_err = KVS_ERR_IO;
    assert_int_equal(api_get(f, "/api/data/a/history"), 503);
    assert_int_equal(api_get(f, "/api/data/a/history/1"), 503);
}

static void a_history_beyond_its_limit_is_413_but_readable_one_by_one(void **state)
{
    struct api_fixture *f = *state;
    enum { SIZE = 33 * 1024 * 1024 };
    f->options.max_json_size = SIZE;
    api_renew(f);
    char *value = malloc(SIZE + 1);
    memset(value, '7', SIZE);
    value[SIZE] = '\0';
    assert_int_equal(api_put(f, "/kv/a", value), 201);
    assert_int_equal(api_put(f, "/kv/a", value), 200);
    free(value);
    assert_int_equal(api_get(f, "/api/data/a/history"), 413);
    assert_contains(api_detail(f), "revision by revision");
    assert_int_equal(api_get(f, "/api/data/a/history/2"), 200);
    assert_true(f->exchange.response.body.size > SIZE);
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        api_test(the_last_versions_are_listed_newest_first),
        api_test(one_revision_is_read_by_its_number),
        api_test(a_number_outside_is_400),
        api_test(what_is_not_there_is_404),
        api_test(keys_with_slashes_work_as_they_are_and_escaped),
        api_test(keys_that_look_like_the_route_have_a_history),
        api_test(what_is_no_key_is_400),
        api_test(deletions_and_expired_versions_are_listed_without_data),
        api_test(restore_writes_the_revision_as_a_new_version),
        api_test(restore_takes_conditions_and_a_ttl),
        api_test(without_the_feature_its_routes_do_not_exist),
        api_test(a_history_is_read_on_a_worker),
#ifndef KVS_TEST_REAL_NODE
        api_test(the_loser_of_a_conflict_is_marked_and_can_be_restored),
        api_test(a_failing_disk_is_told),
        api_test(a_history_beyond_its_limit_is_413_but_readable_one_by_one),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
