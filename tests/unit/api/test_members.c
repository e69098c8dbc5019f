// SPDX-License-Identifier: Apache-2.0
// What the list of members and the metrics of peers show of states that take ten minutes to reach,
// or that no cluster should come to.
#include "api_test.h"

enum { MINUTE_MS = 60 * 1000 };

static void begin(struct api_fixture *f)
{
    struct kvs_peer_auth *auth = NULL;
    const struct kvs_peer_auth_options options = {
        .node_id = "n1", .secret = "a secret of the tests", .random = kvs_random_system()};
    assert_int_equal(kvs_peer_auth_new(&options, &auth), 0);
    f->options.peer_auth = auth;
    api_renew(f);
}

static void end(struct api_fixture *f)
{
    kvs_peer_auth_free(f->options.peer_auth);
    f->options.peer_auth = NULL;
}

static struct kvs_member_info *add(struct api_fixture *f, const char *name,
                                   enum kvs_member_state state)
{
    struct kvs_member_info *info = &f->node->members[f->node->member_count++];
    *info = (struct kvs_member_info){.state = state, .synced_age_ms = -1};
    (void)snprintf(info->name, sizeof(info->name), "%s", name);
    (void)snprintf(info->address, sizeof(info->address), "10.0.0.1:80");
    return info;
}

static void the_gone_leave_the_list_after_ten_minutes(void **state)
{
    struct api_fixture *f = *state;
    begin(f);
    add(f, "alive", KVS_MEMBER_ALIVE)->state_age_ms = 1000 * MINUTE_MS;
    add(f, "suspect", KVS_MEMBER_SUSPECT)->state_age_ms = 1000 * MINUTE_MS;
    struct kvs_member_info *dead = add(f, "dead", KVS_MEMBER_DEAD);
    struct kvs_member_info *removed = add(f, "removed", KVS_MEMBER_REMOVED);
    dead->state_age_ms = removed->state_age_ms = 10 * MINUTE_MS;
    assert_int_equal(api_get(f, "/members/"), 200);
    assert_contains(api_body(f), "\"state\":\"dead\"");
    assert_contains(api_body(f), "\"id\":\"removed\"");
    assert_contains(api_body(f), "\"state\":\"left\""); // which is what it amounts to
    dead->state_age_ms = removed->state_age_ms = 10 * MINUTE_MS + 1;
    assert_int_equal(api_get(f, "/members/"), 200);
    assert_null(strstr(api_body(f), "dead"));
    assert_null(strstr(api_body(f), "removed"));
    assert_contains(api_body(f), "\"id\":\"suspect\"");
    assert_contains(api_body(f), "\"id\":\"alive\"");
    assert_int_equal(api_get(f, "/members/?all=1"), 200);
    assert_contains(api_body(f), "\"id\":\"dead\"");
    assert_contains(api_body(f), "\"id\":\"removed\"");
    end(f);
}

static void members_of_a_list_have_all_their_parts(void **state)
{
    struct api_fixture *f = *state;
    begin(f);
    struct kvs_member_info *info = add(f, "n2", KVS_MEMBER_ALIVE);
    info->last_seen_ms = 5;
    info->joined_timestamp = 6;
    info->clock_offset_ms = -7;
    info->lag = 8;
    assert_int_equal(api_get(f, "/members/"), 200);
    assert_string_equal(
        api_body(f),
        "[{\"id\":\"n2\",\"address\":\"10.0.0.1:80\",\"last_seen\":5,\"joined_timestamp\":6,"
        "\"state\":\"alive\",\"foreign\":false,\"self\":false,"
        "\"uuid\":\"00000000-0000-0000-0000-000000000000\",\"clock_offset_ms\":-7,\"lag\":8,"
        "\"last_sync_timestamp\":null}]");
    info->foreign = true;
    assert_int_equal(api_get(f, "/members/"), 200);
    assert_null(strstr(api_body(f), "uuid"));
    end(f);
}

static void health_counts_the_living(void **state)
{
    struct api_fixture *f = *state;
    add(f, "a", KVS_MEMBER_ALIVE);
    add(f, "b", KVS_MEMBER_SUSPECT);
    add(f, "c", KVS_MEMBER_ALIVE);
    assert_int_equal(api_get(f, "/health"), 200);
    assert_contains(api_body(f), "\"member_count\":2,");
}

static size_t count(const char *text, const char *part)
{
    size_t found = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
        found++;
    return found;
}

static void each_peer_has_one_series(void **state)
{
    struct api_fixture *f = *state;
    add(f, "me", KVS_MEMBER_ALIVE)->self = true;
    add(f, "n\"2\\", KVS_MEMBER_ALIVE)->lag = 12;
    add(f, "n\"2\\", KVS_MEMBER_SUSPECT)->lag = 13; // a namesake: a series must not stand twice
    add(f, "stranger", KVS_MEMBER_ALIVE)->foreign = true;
    assert_int_equal(api_get(f, "/metrics"), 200);
    assert_contains(api_body(f), "\nkvs_peer_lag_versions{peer=\"n\\\"2\\\\\"} 12\n");
    assert_int_equal(count(api_body(f), "\nkvs_peer_lag_versions{"), 1);
    assert_int_equal(count(api_body(f), "stranger"), 0);
    f->node->members[1].state = f->node->members[2].state = KVS_MEMBER_DEAD;
    assert_int_equal(api_get(f, "/metrics"), 200);
    assert_int_equal(count(api_body(f), "\nkvs_peer_lag_versions{"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        api_test(the_gone_leave_the_list_after_ten_minutes),
        api_test(members_of_a_list_have_all_their_parts),
        api_test(health_counts_the_living),
        api_test(each_peer_has_one_series),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
