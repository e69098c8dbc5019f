// SPDX-License-Identifier: Apache-2.0
// The routes of backups over a service in memory: what it says, and how it is said.
#include "api_test.h"

static void add_file(struct kvs_backup_service *service, const char *name, int err)
{
    struct kvs_backup_file *file = &service->files[service->file_count++];
    *file = (struct kvs_backup_file){.named_s = 1790000047, .size = 680, .err = err};
    memcpy(file->name, name, sizeof(file->name));
    file->info = (struct kvs_backup_info){.format = 1,
                                          .created_at_ms = 1790000047123,
                                          .node_id = "n\"1",
                                          .release = "1.2.3",
                                          .log_seq = 9,
                                          .content = {.keys = 3, .versions = 7}};
    file->info.content.current.sum.hi = 0xabc;
    file->info.sha256[0] = 0x0f;
}

static struct kvs_backup_service *with_service(struct api_fixture *f,
                                               struct kvs_backup_service *service)
{
    *service = (struct kvs_backup_service){0};
    f->options.backups = service;
    api_renew(f);
    return service;
}

static void without_a_service_there_are_no_routes(void **state)
{
    struct api_fixture *f = *state;
    assert_int_equal(api_send(f, "POST", "/api/backup", ""), 404);
    assert_int_equal(api_get(f, "/api/backup/status"), 404);
    assert_int_equal(api_get(f, "/api/backups"), 404);
}

static void a_backup_is_begun_and_not_waited_for(void **state)
{
    struct api_fixture *f = *state;
    struct kvs_backup_service service;
    with_service(f, &service)->status.last_run = 2;
    assert_int_equal(api_send(f, "POST", "/api/backup", ""), 202);
    assert_string_equal(api_header(f, "Location"), "/api/backup/status");
    assert_string_equal(api_body(f), "{\"id\":3,\"status\":\"/api/backup/status\"}");
    assert_int_equal(api_send(f, "POST", "/api/backup?now=1", ""), 400);
    assert_int_equal(api_send(f, "GET", "/api/backup", ""), 405);
    service.request_err = KVS_ERR_CONFLICT;
    assert_int_equal(api_send(f, "POST", "/api/backup", ""), 409);
    assert_contains(api_detail(f), "/api/backup/status");
    service.request_err = KVS_ERR_SHUTDOWN;
    assert_int_equal(api_send(f, "POST", "/api/backup", ""), 503);
}

static void the_status_says_null_for_never(void **state)
{
    struct api_fixture *f = *state;
    struct kvs_backup_service service;
    (void)with_service(f, &service);
    assert_int_equal(api_get(f, "/api/backup/status"), 200);
    assert_string_equal(api_body(f),
                        "{\"enabled\":false,\"backups_running\":false,\"running\":null,"
                        "\"next_backup_time\":null,\"last_backup_time\":null,"
                        "\"last_backup_success\":null,\"last_backup_error\":null,"
                        "\"last_backup_path\":null,\"last_backup_size\":0,"
                        "\"last_verified_backup_time\":null,\"last_id\":0}");
}

static void the_status_tells_a_failure_beside_the_last_good_one(void **state)
{
    struct api_fixture *f = *state;
    struct kvs_backup_service service;
    struct kvs_backup_status *status = &with_service(f, &service)->status;
    *status = (struct kvs_backup_status){.enabled = true,
                                         .next_s = 30,
                                         .run = 5,
                                         .phase = KVS_BACKUP_CHECKING,
                                         .done = 7,
                                         .total = 8,
                                         .started_s = 25,
                                         .last_run = 4,
                                         .last_s = 20,
                                         .last_error = "write \"x\": full",
                                         .last_path = "/b/good.zst",
                                         .last_size = 680,
                                         .verified_s = 10};
    assert_int_equal(api_get(f, "/api/backup/status"), 200);
    assert_string_equal(api_body(f),
                        "{\"enabled\":true,\"backups_running\":true,\"running\":{\"id\":5,"
                        "\"phase\":\"checking\",\"done\":7,\"total\":8,\"started_at\":25},"
                        "\"next_backup_time\":30,\"last_backup_time\":20,"
                        "\"last_backup_success\":false,"
                        "\"last_backup_error\":\"write \\\"x\\\": full\","
                        "\"last_backup_path\":\"/b/good.zst\",\"last_backup_size\":680,"
                        "\"last_verified_backup_time\":10,\"last_id\":4}");
}

static void the_list_shows_manifests_and_damage(void **state)
{
    struct api_fixture *f = *state;
    struct kvs_backup_service service;
    (void)with_service(f, &service);
    assert_int_equal(api_get(f, "/api/backups"), 200);
    assert_string_equal(api_body(f), "{\"backups\":[],\"next\":null}");
    add_file(&service, "kvs-backup-2026-09-22T141407Z.zst", 0);
    add_file(&service, "kvs-backup-2026-09-21T141407Z.zst", KVS_ERR_CORRUPT);
    assert_int_equal(api_get(f, "/api/backups"), 200);
    assert_int_equal(f->worker_runs, 1); // files are read
    assert_contains(api_body(f), "{\"name\":\"kvs-backup-2026-09-22T141407Z.zst\","
                                 "\"path\":\"/b/kvs-backup-2026-09-22T141407Z.zst\",\"size\":680,"
                                 "\"created_at\":1790000047,\"node_id\":\"n\\\"1\"");
    assert_contains(api_body(f), "\"keys\":3,\"versions\":7,\"log_seq\":9");
    assert_contains(api_body(f), "\"fingerprint\":\"0000000000000abc0000000000000000\"");
    assert_contains(api_body(f), "\"sha256\":\"0f00");
    assert_contains(api_body(f),
                    "\"created_at\":1790000047,\"error\":\"stored data is damaged\"}]");
    service.list_err = KVS_ERR_IO;
    assert_int_equal(api_get(f, "/api/backups"), 503);
    assert_contains(api_detail(f), "/b");
}

static void the_list_comes_in_pages(void **state)
{
    struct api_fixture *f = *state;
    struct kvs_backup_service service;
    (void)with_service(f, &service);
    static const char *const names[] = {"kvs-backup-2026-09-23T141407Z.zst",
                                        "kvs-backup-2026-09-22T141407Z.zst",
                                        "kvs-backup-2026-09-21T141407Z.zst"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(names); i++)
        add_file(&service, names[i], 0);
    char target[200] = "/api/backups?limit=1";
    for (size_t i = 0; i < KVS_ARRAY_SIZE(names); i++) {
        assert_int_equal(api_get(f, target), 200);
        for (size_t j = 0; j < KVS_ARRAY_SIZE(names); j++)
            assert_int_equal(strstr(api_body(f), names[j]) != NULL, i == j);
        (void)snprintf(target, sizeof(target), "/api/backups?limit=1&cursor=%s",
                       api_string(f, "next"));
    }
    assert_string_equal(api_string(f, "next"), "");
    assert_int_equal(api_get(f, "/api/backups?cursor=%20"), 400);
    assert_int_equal(api_get(f, "/api/backups?limit=0"), 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        api_test(without_a_service_there_are_no_routes),
        api_test(a_backup_is_begun_and_not_waited_for),
        api_test(the_status_says_null_for_never),
        api_test(the_status_tells_a_failure_beside_the_last_good_one),
        api_test(the_list_shows_manifests_and_damage),
        api_test(the_list_comes_in_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
