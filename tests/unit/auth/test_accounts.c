// SPDX-License-Identifier: Apache-2.0
// The index and what it decides. `model_allows` is a second opinion on the 12 bits, written from
// the contract's words with strings and loops, sharing nothing with what it judges.
#include "auth/auth.h"
#include "auth/grant.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/test.h"

enum { NOW_S = 1790000000 };

static struct kvs_accounts *accounts;
static struct kvs_auth *auth;
static struct kvs_arena arena;
static int64_t now_ms;

static int64_t wall_ms(const struct kvs_clock *clock)
{
    (void)clock;
    return now_ms;
}

static int64_t mono_ns(const struct kvs_clock *clock)
{
    return wall_ms(clock) * 1000000;
}

static const struct kvs_clock test_clock = {wall_ms, wall_ms, mono_ns};

static int setup(void **state)
{
    (void)state;
    now_ms = NOW_S * 1000LL;
    kvs_arena_init(&arena, 64 << 20);
    assert_int_equal(kvs_accounts_new(kvs_random_system(), &accounts), 0);
    const struct kvs_auth_options options = {
        .accounts = accounts,
        .cluster_secret = KVS_SLICE("a cluster secret of some length"),
        .random = kvs_random_system(),
        .clock = &test_clock,
        .settings = {.rate_limiting = true,
                     .rate_limit_requests = 3,
                     .rate_limit_window_ms = 1000,
                     .login_failure_limit = 2},
    };
    assert_int_equal(kvs_auth_new(&options, &auth), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kvs_auth_free(auth);
    kvs_accounts_free(accounts);
    kvs_arena_done(&arena);
    return 0;
}

static struct kvs_uuid uuid_of(uint8_t number)
{
    struct kvs_uuid uuid = {{0x10, 0, 0, 0, 0, 0, 0x40, 0, 0x80}};
    uuid.bytes[15] = number;
    return uuid;
}

static void apply(const struct kvs_account_name *name, const struct kvs_account_data *data)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf json = KVS_BUF_INIT(1 << 20);
    struct kvs_account_key key = kvs_account_key_of(name);
    if (data)
        kvs_account_encode(&json, name->kind, data);
    assert_int_equal(json.err, 0);
    assert_int_equal(
        kvs_accounts_apply(accounts, kvs_slice(key.bytes, key.size), kvs_buf_slice(&json)), 0);
}

static void set_party(enum kvs_account_kind kind, uint8_t number, const char *name)
{
    struct kvs_account_data data = {.created_at = NOW_S, .updated_at = NOW_S};
    if (name)
        data.name_hash = kvs_account_hash_of(kvs_slice_from_str(name));
    apply(&(struct kvs_account_name){.kind = kind, .uuid = uuid_of(number)}, name ? &data : NULL);
}

static void set_gone(uint8_t number)
{
    const struct kvs_account_data data = {.created_at = NOW_S};
    apply(&(struct kvs_account_name){.kind = KVS_ACCOUNT_GONE, .uuid = uuid_of(number)}, &data);
}

static void set_member(uint8_t group, uint8_t user, bool member)
{
    const struct kvs_account_data data = {.created_at = NOW_S};
    apply(&(struct kvs_account_name){.kind = KVS_ACCOUNT_MEMBER,
                                     .uuid = uuid_of(group),
                                     .member = uuid_of(user)},
          member ? &data : NULL);
}

static void set_meta(const char *path, uint8_t owner, uint8_t group, int permissions)
{
    const struct kvs_account_data data = {.path = kvs_slice_from_str(path),
                                          .owner = uuid_of(owner),
                                          .group = uuid_of(group),
                                          .permissions = (uint16_t)permissions,
                                          .created_at = NOW_S,
                                          .updated_at = NOW_S};
    apply(&(struct kvs_account_name){.kind = KVS_ACCOUNT_META,
                                     .hash = kvs_account_hash_of(data.path)},
          permissions >= 0 ? &data : NULL);
}

static void set_token(const struct kvs_new_token *token, bool revoked)
{
    const struct kvs_account_data data = {.user = token->claims.user,
                                          .scopes = token->claims.scopes,
                                          .created_at = token->claims.issued_at,
                                          .expires_at = token->claims.expires_at};
    apply(&(struct kvs_account_name){.kind = revoked ? KVS_ACCOUNT_REVOKED : KVS_ACCOUNT_TOKEN,
                                     .hash = token->hash},
          &data);
}

// ---- Records

static void keys_are_what_they_name(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "\x01user/",
        "\x01user/10000000-0000-4000-8000-00000000000",
        "\x01user/10000000-0000-4000-8000-0000000000011",
        "\x01user/1000000A-0000-4000-8000-000000000001", // one spelling alone
        "\x01member/10000000-0000-4000-8000-000000000001",
        "\x01member/10000000-0000-4000-8000-000000000001/",
        "\x01member/10000000-0000-4000-8000-000000000001/10000000-0000-4000-8000-00000000000x",
        "\x01token/abc",
        "\x01job/1",
        "user/10000000-0000-4000-8000-000000000001",
        "",
    };
    struct kvs_account_name name;
    for (size_t i = 0; i < KVS_ARRAY_SIZE(wrong); i++)
        assert_false(kvs_account_key_parse(kvs_slice_from_str(wrong[i]), &name));
    for (int kind = KVS_ACCOUNT_USER; kind <= KVS_ACCOUNT_META; kind++) {
        struct kvs_account_name made = {.kind = (enum kvs_account_kind)kind};
        bool hash =
            kind == KVS_ACCOUNT_TOKEN || kind == KVS_ACCOUNT_REVOKED || kind == KVS_ACCOUNT_META;
        if (hash)
            made.hash = kvs_account_hash_of(KVS_SLICE("x"));
        else
            made.uuid = uuid_of(1);
        if (kind == KVS_ACCOUNT_MEMBER)
            made.member = uuid_of(2);
        struct kvs_account_key key = kvs_account_key_of(&made);
        assert_true(kvs_account_key_parse(kvs_slice(key.bytes, key.size), &name));
        assert_memory_equal(&name, &made, sizeof(name));
    }
}

static void damaged_records_count_as_absent(void **state)
{
    (void)state;
    static const char *const damaged[] = {
        "{}",
        "[]",
        "nonsense",
        "{\"nickname_hash\":\"abc\",\"created_at\":1,\"updated_at\":1}",
        "{\"a\":1,\"a\":2}",
        "null",
    };
    struct kvs_account_name name = {.kind = KVS_ACCOUNT_USER, .uuid = uuid_of(1)};
    struct kvs_account_key key = kvs_account_key_of(&name);
    for (size_t i = 0; i < KVS_ARRAY_SIZE(damaged); i++) {
        set_party(KVS_ACCOUNT_USER, 1, "ann");
        assert_true(kvs_accounts_has_users(accounts));
        assert_int_equal(kvs_accounts_apply(accounts, kvs_slice(key.bytes, key.size),
                                            kvs_slice_from_str(damaged[i])),
                         KVS_ERR_CORRUPT);
        assert_false(kvs_accounts_has_users(accounts));
    }
}

static void metadata_must_lie_under_its_path(void **state)
{
    (void)state; // or it could be planted where nobody finds it to remove it
    const struct kvs_account_data data = {.path = KVS_SLICE("a"), .owner = uuid_of(1)};
    struct kvs_account_name name = {.kind = KVS_ACCOUNT_META,
                                    .hash = kvs_account_hash_of(KVS_SLICE("b"))};
    struct kvs_account_key key = kvs_account_key_of(&name);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf json = KVS_BUF_INIT(4096);
    kvs_account_encode(&json, KVS_ACCOUNT_META, &data);
    assert_int_equal(
        kvs_accounts_apply(accounts, kvs_slice(key.bytes, key.size), kvs_buf_slice(&json)),
        KVS_ERR_CORRUPT);
    struct kvs_account_meta meta;
    assert_false(kvs_accounts_find_meta(accounts, KVS_SLICE("a"), &meta));
    assert_true(kvs_accounts_allow(accounts, KVS_SLICE("a"), NULL, KVS_ACCESS_DELETE));
}

// ---- Users and groups

static size_t membership_count(enum kvs_account_kind kind, uint8_t number)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf list = KVS_BUF_INIT(1 << 16);
    struct kvs_uuid uuid = uuid_of(number);
    kvs_accounts_memberships(accounts, kind, &uuid, &list);
    return list.size / sizeof(struct kvs_uuid);
}

static void users_groups_and_groups_members_agree(void **state)
{
    (void)state;
    set_member(10, 1, true); // before either is known, as replication may bring it
    set_member(10, 2, true);
    set_member(11, 1, true);
    assert_int_equal(membership_count(KVS_ACCOUNT_GROUP, 10), 0);
    set_party(KVS_ACCOUNT_USER, 1, "ann");
    set_party(KVS_ACCOUNT_USER, 2, "bob");
    set_party(KVS_ACCOUNT_GROUP, 10, "crew");
    set_party(KVS_ACCOUNT_GROUP, 11, "team");
    assert_int_equal(membership_count(KVS_ACCOUNT_GROUP, 10), 2);
    assert_int_equal(membership_count(KVS_ACCOUNT_USER, 1), 2);
    set_gone(11);
    assert_int_equal(membership_count(KVS_ACCOUNT_USER, 1), 1);
    set_party(KVS_ACCOUNT_USER, 2, NULL);
    assert_int_equal(membership_count(KVS_ACCOUNT_GROUP, 10), 1);
    set_member(10, 1, false);
    assert_int_equal(membership_count(KVS_ACCOUNT_GROUP, 10), 0);
    assert_int_equal(membership_count(KVS_ACCOUNT_USER, 1), 0);
}

static void who_is_gone_stays_gone(void **state)
{
    (void)state;
    struct kvs_account_user user;
    struct kvs_uuid uuid = uuid_of(1);
    set_party(KVS_ACCOUNT_USER, 1, "ann");
    set_gone(1);
    set_party(KVS_ACCOUNT_USER, 1, "anne"); // a node that had not heard of it
    assert_false(kvs_accounts_find(accounts, KVS_ACCOUNT_USER, &uuid, &user));
    assert_false(kvs_accounts_has_users(accounts));
}

static size_t list(enum kvs_account_kind kind, const struct kvs_uuid *after, const char *name,
                   uint32_t limit, bool *ret_more, struct kvs_account_user *ret_users)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(1 << 20);
    struct kvs_account_hash hash = kvs_account_hash_of(kvs_slice_from_str(name));
    kvs_accounts_list(accounts, kind, after, name ? &hash : NULL, limit, &out, ret_more);
    assert_int_equal(out.err, 0);
    memcpy(ret_users, out.data, out.size);
    return out.size / sizeof(*ret_users);
}

static void listings_are_sorted_pages(void **state)
{
    (void)state;
    static struct kvs_account_user users[256];
    bool more;
    for (int i = 200; i > 0; i--) // in the wrong order
        set_party(KVS_ACCOUNT_USER, (uint8_t)i, i % 2 ? "odd" : "even");
    set_gone(7);
    struct kvs_uuid after = uuid_of(0);
    size_t count = 0;
    do {
        size_t got = list(KVS_ACCOUNT_USER, &after, NULL, 30, &more, users + count);
        assert_true(got == 30 || !more);
        count += got;
        after = users[count - 1].uuid;
    } while (more);
    assert_int_equal(count, 199);
    for (size_t i = 1; i < count; i++)
        assert_true(kvs_uuid_cmp(&users[i - 1].uuid, &users[i].uuid) < 0);
    assert_int_equal(list(KVS_ACCOUNT_USER, NULL, "odd", 200, &more, users), 99);
    assert_int_equal(list(KVS_ACCOUNT_USER, NULL, "odd", 99, &more, users), 99);
    assert_false(more);
    assert_int_equal(list(KVS_ACCOUNT_USER, NULL, "odd", 98, &more, users), 98);
    assert_true(more);
    assert_int_equal(list(KVS_ACCOUNT_USER, NULL, "none", 98, &more, users), 0);
    assert_int_equal(list(KVS_ACCOUNT_GROUP, NULL, NULL, 98, &more, users), 0);
}

static void names_are_given_out_once(void **state)
{
    (void)state;
    struct kvs_account_hash name = kvs_account_hash_of(KVS_SLICE("ann"));
    struct kvs_uuid one = uuid_of(1);
    assert_int_equal(kvs_accounts_hold_name(accounts, KVS_ACCOUNT_USER, &name, NULL), 0);
    assert_int_equal(kvs_accounts_hold_name(accounts, KVS_ACCOUNT_USER, &name, NULL),
                     KVS_ERR_CONFLICT);
    assert_int_equal(kvs_accounts_hold_name(accounts, KVS_ACCOUNT_GROUP, &name, NULL), 0);
    kvs_accounts_release_name(accounts, KVS_ACCOUNT_USER, &name);
    set_party(KVS_ACCOUNT_USER, 1, "ann");
    assert_int_equal(kvs_accounts_hold_name(accounts, KVS_ACCOUNT_USER, &name, NULL),
                     KVS_ERR_CONFLICT);
    assert_int_equal(kvs_accounts_hold_name(accounts, KVS_ACCOUNT_USER, &name, &one), 0);
    kvs_accounts_release_name(accounts, KVS_ACCOUNT_USER, &name);
    set_gone(1);
    assert_int_equal(kvs_accounts_hold_name(accounts, KVS_ACCOUNT_USER, &name, NULL), 0);
}

static void a_restart_forgets_what_is_not_shown_again(void **state)
{
    (void)state;
    struct kvs_account_user user;
    struct kvs_uuid one = uuid_of(1), two = uuid_of(2);
    set_party(KVS_ACCOUNT_USER, 1, "ann");
    set_party(KVS_ACCOUNT_USER, 2, "bob");
    set_meta("a", 1, 10, 0);
    kvs_accounts_restart(accounts);
    set_party(KVS_ACCOUNT_USER, 1, "ann");
    // Nothing is open while records are missing.
    assert_true(kvs_accounts_find(accounts, KVS_ACCOUNT_USER, &two, &user));
    assert_false(kvs_accounts_allow(accounts, KVS_SLICE("a"), &one, KVS_ACCESS_READ));
    kvs_accounts_restarted(accounts);
    assert_true(kvs_accounts_find(accounts, KVS_ACCOUNT_USER, &one, &user));
    assert_false(kvs_accounts_find(accounts, KVS_ACCOUNT_USER, &two, &user));
    assert_true(kvs_accounts_allow(accounts, KVS_SLICE("a"), &one, KVS_ACCESS_READ));
}

static bool reads_below(const char *prefix, uint8_t user)
{
    struct kvs_uuid uuid = uuid_of(user);
    return kvs_accounts_allow_below(accounts, kvs_slice_from_str(prefix), user ? &uuid : NULL,
                                    KVS_ACCESS_READ);
}

static void a_prefix_is_readable_when_all_below_it_is(void **state)
{
    (void)state;
    assert_true(reads_below("", 0));
    set_party(KVS_ACCOUNT_USER, 1, "ann");
    set_meta("a/b", 1, 0, 0xf00); // its owner alone
    static const char *const hidden[] = {"", "a", "a/", "a/b", "a/b/", "a/b/c", "a/b/c/"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(hidden); i++) {
        assert_false(reads_below(hidden[i], 2));
        assert_true(reads_below(hidden[i], 1));
    }
    assert_true(reads_below("a/c", 2));
    assert_true(reads_below("a/bc", 2));
    assert_true(reads_below("b", 0));
    set_meta("a/b/open", 1, 0, 0xfff);
    assert_true(reads_below("a/b/open/", 2));
    assert_false(reads_below("a/b/open", 2)); // a/b/opened is a/b's
}

// ---- Tokens

static int identify(const struct kvs_new_token *token, const struct kvs_grant **ret_grant)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf header = KVS_BUF_INIT(8192);
    const char *reason = NULL;
    kvs_buf_append_str(&header, "bearer ");
    kvs_buf_append_slice(&header, kvs_buf_slice(&token->text));
    return kvs_auth_identify(auth, kvs_buf_slice(&header), &arena, ret_grant, &reason);
}

static void tokens_need_record_user_and_time(void **state)
{
    (void)state;
    struct kvs_uuid one = uuid_of(1);
    struct kvs_new_token token, other;
    const struct kvs_grant *grant = NULL;
    set_party(KVS_ACCOUNT_USER, 1, "ann");
    assert_int_equal(kvs_auth_issue(auth, &one, 1U << KVS_SCOPE_READ, 60, &token), 0);
    assert_int_equal(kvs_auth_issue(auth, &one, 1U << KVS_SCOPE_READ, 60, &other), 0);
    assert_false(kvs_slice_eq(kvs_buf_slice(&token.text), kvs_buf_slice(&other.text)));
    assert_int_equal(identify(&token, &grant), KVS_ERR_UNAUTHORIZED); // its record has not come
    set_token(&token, false);
    set_token(&other, false);
    for (int i = 0; i < 2; i++) { // the second time out of the cache
        assert_int_equal(identify(&token, &grant), 0);
        assert_int_equal(kvs_uuid_cmp(kvs_grant_user(grant), &one), 0);
        assert_int_equal(kvs_grant_scopes(grant), 1U << KVS_SCOPE_READ);
    }
    set_party(KVS_ACCOUNT_USER, 1, "anne"); // editing a user costs nobody his token
    assert_int_equal(identify(&token, &grant), 0);
    set_token(&token, true);
    assert_int_equal(identify(&token, &grant), KVS_ERR_UNAUTHORIZED);
    set_token(&token, false); // shown again, later than its revocation
    assert_int_equal(identify(&token, &grant), KVS_ERR_UNAUTHORIZED);
    assert_int_equal(identify(&other, &grant), 0);
    now_ms += 60000;
    assert_int_equal(identify(&other, &grant), KVS_ERR_UNAUTHORIZED);
    now_ms -= 60000;
    set_gone(1);
    assert_int_equal(identify(&other, &grant), KVS_ERR_UNAUTHORIZED);
    kvs_new_token_done(&token);
    kvs_new_token_done(&other);
}

static void only_bearer_tokens_are_read(void **state)
{
    (void)state;
    static const char *const headers[] = {"",           "Bearer",  "Bearer ", "Bearer  ",
                                          "Basic YTpi", "Token x", "Bearerx", "Bearer a b"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(headers); i++) {
        const struct kvs_grant *grant = NULL;
        const char *reason = NULL;
        assert_int_equal(
            kvs_auth_identify(auth, kvs_slice_from_str(headers[i]), &arena, &grant, &reason),
            KVS_ERR_UNAUTHORIZED);
        assert_non_null(reason);
    }
}

static void tokens_are_listed_while_they_last(void **state)
{
    (void)state;
    struct kvs_uuid users[] = {uuid_of(1), uuid_of(2)};
    struct kvs_new_token token;
    bool more;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(kvs_auth_issue(auth, &users[i % 2], KVS_SCOPES_DATA, 60, &token), 0);
        set_token(&token, false);
        if (i == 4)
            set_token(&token, true);
        kvs_new_token_done(&token);
    }
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(1 << 20);
    kvs_accounts_list_tokens(accounts, NULL, NULL, NOW_S, 4, &out, &more);
    assert_int_equal(out.size / sizeof(struct kvs_account_token), 4);
    assert_true(more);
    kvs_buf_clear(&out);
    kvs_accounts_list_tokens(accounts, NULL, &users[0], NOW_S, 100, &out, &more);
    assert_int_equal(out.size / sizeof(struct kvs_account_token), 5);
    int revoked = 0;
    for (size_t i = 0; i < 5; i++)
        revoked += ((const struct kvs_account_token *)(void *)out.data)[i].revoked;
    assert_int_equal(revoked, 1);
    kvs_buf_clear(&out);
    kvs_accounts_list_tokens(accounts, NULL, NULL, NOW_S + 60, 100, &out, &more);
    assert_int_equal(out.size, 0);
}

// ---- Permissions

static const struct kvs_grant *grant_of(uint8_t user, kvs_scope_set scopes)
{
    struct kvs_uuid uuid = uuid_of(user);
    return kvs_auth_user_grant(auth, &arena, &uuid, scopes);
}

static void bits_are_where_the_contract_puts_them(void **state)
{
    (void)state;
    static const enum kvs_access order[] = {KVS_ACCESS_CREATE, KVS_ACCESS_DELETE, KVS_ACCESS_WRITE,
                                            KVS_ACCESS_READ};
    static const enum kvs_class classes[] = {KVS_CLASS_OWNER, KVS_CLASS_GROUP, KVS_CLASS_OTHER};
    for (int bit = 11; bit >= 0; bit--)
        for (int class = 0; class < 3; class ++)
            for (int access = 0; access < 4; access++)
                assert_int_equal(
                    kvs_permission_allows((uint16_t)(1 << bit), classes[class], order[access]),
                    11 - bit == class * 4 + access);
    static const char want[] = "111100110001"; // the default, as the contract spells it
    for (int i = 0; i < 12; i++)
        assert_int_equal(
            kvs_permission_allows(KVS_PERMISSIONS_DEFAULT, classes[i / 4], order[i % 4]),
            want[i] == '1');
}

static void scopes_come_before_bits(void **state)
{
    (void)state;
    struct kvs_slice key = KVS_SLICE("a");
    set_meta("a", 1, 10, KVS_PERMISSIONS_MAX);
    const struct kvs_grant *reader = grant_of(1, 1U << KVS_SCOPE_READ);
    assert_int_equal(kvs_grant_check(reader, key, KVS_ACCESS_READ), 0);
    assert_int_equal(kvs_grant_check(reader, key, KVS_ACCESS_WRITE), KVS_ERR_FORBIDDEN);
    assert_int_equal(kvs_grant_check(reader, key, KVS_ACCESS_CREATE), KVS_ERR_FORBIDDEN);
    assert_int_equal(kvs_grant_check(reader, key, KVS_ACCESS_DELETE), KVS_ERR_FORBIDDEN);
    set_meta("a", 1, 10, 0); // no scope bypasses the bits, an owner's neither
    assert_int_equal(kvs_grant_check(grant_of(1, KVS_SCOPES_ALL), key, KVS_ACCESS_READ),
                     KVS_ERR_FORBIDDEN);
    assert_int_equal(kvs_grant_check(kvs_auth_peer_grant(), key, KVS_ACCESS_READ), 0);
    assert_int_equal(kvs_grant_check(kvs_auth_open_grant(), key, KVS_ACCESS_READ), 0);
}

static void system_keys_are_out_of_reach(void **state)
{
    (void)state;
    struct kvs_slice key = KVS_SLICE("\x01user/x");
    for (int access = KVS_ACCESS_READ; access <= KVS_ACCESS_DELETE; access++) {
        enum kvs_access a = (enum kvs_access)access;
        assert_int_equal(kvs_grant_check(grant_of(1, KVS_SCOPES_ALL), key, a), KVS_ERR_FORBIDDEN);
        assert_int_equal(kvs_grant_check(kvs_auth_peer_grant(), key, a), KVS_ERR_FORBIDDEN);
        assert_int_equal(kvs_grant_check(kvs_auth_anonymous(auth, &arena), key, a),
                         KVS_ERR_FORBIDDEN);
        assert_int_equal(kvs_grant_check(kvs_auth_own_grant(), key, a), 0);
    }
}

static void anonymous_callers_follow_the_switches(void **state)
{
    (void)state;
    struct kvs_slice key = KVS_SLICE("a");
    struct kvs_auth_settings settings = {.anonymous_read = true};
    const struct kvs_grant *none = kvs_auth_anonymous(auth, &arena);
    assert_int_equal(kvs_grant_check(none, key, KVS_ACCESS_READ), KVS_ERR_UNAUTHORIZED);
    kvs_auth_configure(auth, &settings);
    const struct kvs_grant *reader = kvs_auth_anonymous(auth, &arena);
    assert_int_equal(kvs_grant_check(reader, key, KVS_ACCESS_READ), 0);
    assert_int_equal(kvs_grant_check(reader, key, KVS_ACCESS_WRITE), KVS_ERR_UNAUTHORIZED);
    settings = (struct kvs_auth_settings){.anonymous_write = true};
    kvs_auth_configure(auth, &settings);
    const struct kvs_grant *writer = kvs_auth_anonymous(auth, &arena);
    assert_int_equal(kvs_grant_check(writer, key, KVS_ACCESS_READ), KVS_ERR_UNAUTHORIZED);
    assert_int_equal(kvs_grant_check(writer, key, KVS_ACCESS_CREATE), 0);
    assert_int_equal(kvs_grant_check(writer, key, KVS_ACCESS_DELETE), KVS_ERR_UNAUTHORIZED);
    set_meta("a", 1, 10, 0xff0); // others nothing
    assert_int_equal(kvs_grant_check(writer, key, KVS_ACCESS_CREATE), KVS_ERR_FORBIDDEN);
    set_meta("a", 1, 10, 0x002);
    assert_int_equal(kvs_grant_check(writer, key, KVS_ACCESS_WRITE), 0);
    assert_int_equal(kvs_grant_check(writer, key, KVS_ACCESS_CREATE), KVS_ERR_FORBIDDEN);
}

// ---- The second opinion

enum { MODEL_METAS_MAX = 12, MODEL_USERS = 4, MODEL_GROUPS = 3 };

struct model {
    struct {
        char path[64];
        int owner, group, bits; // bits -1: none
    } metas[MODEL_METAS_MAX];
    bool member[MODEL_GROUPS][MODEL_USERS];
    bool group_gone[MODEL_GROUPS];
};

// user -1: anonymous with both switches on.
static bool model_allows(const struct model *model, const char *key, int user, const char *verb)
{
    size_t longest = 0;
    int found = -1;
    for (int i = 0; i < MODEL_METAS_MAX; i++) {
        const char *path = model->metas[i].path;
        size_t size = strlen(path);
        bool above = strcmp(path, key) == 0 || (strncmp(path, key, size) == 0 && key[size] == '/');
        if (model->metas[i].bits >= 0 && above && size > longest) {
            longest = size;
            found = i;
        }
    }
    if (found < 0)
        return true;
    int group = model->metas[found].group;
    const char *who = "other";
    if (user >= 0 && model->metas[found].owner == user)
        who = "owner";
    else if (user >= 0 && model->member[group][user] && !model->group_gone[group])
        who = "group";
    char text[13];
    for (int i = 0; i < 12; i++)
        text[i] = model->metas[found].bits & (1 << (11 - i)) ? 'y' : 'n';
    const char *four = text + (strcmp(who, "owner") == 0 ? 0 : strcmp(who, "group") == 0 ? 4 : 8);
    const char *verbs[] = {"create", "delete", "write", "read"};
    for (int i = 0; i < 4; i++)
        if (strcmp(verbs[i], verb) == 0)
            return four[i] == 'y';
    abort();
}

static uint64_t pick(struct kvs_random_seeded *random, uint64_t bound)
{
    return kvs_random_below(&random->base, bound);
}

static void random_path(struct kvs_random_seeded *random, char path[static 64])
{
    static const char *const names[] = {"a", "b", "ab", "a b", "\xc3\xa4"};
    size_t depth = 1 + pick(random, 4);
    path[0] = '\0';
    for (size_t i = 0; i < depth; i++) {
        if (i > 0)
            strcat(path, "/");
        strcat(path, names[pick(random, KVS_ARRAY_SIZE(names))]);
    }
}

static void random_world(struct kvs_random_seeded *random, struct model *model)
{
    for (int i = 0; i < MODEL_METAS_MAX; i++) {
        if (model->metas[i].bits >= 0 && model->metas[i].path[0])
            set_meta(model->metas[i].path, 0, 0, -1);
        bool twice = true;
        while (twice) {
            random_path(random, model->metas[i].path);
            twice = false;
            for (int j = 0; j < i; j++)
                twice |= strcmp(model->metas[j].path, model->metas[i].path) == 0;
        }
    }
    for (int i = 0; i < MODEL_METAS_MAX; i++) {
        model->metas[i].owner = (int)pick(random, MODEL_USERS);
        model->metas[i].group = (int)pick(random, MODEL_GROUPS);
        model->metas[i].bits = pick(random, 3) ? (int)pick(random, 4096) : -1;
        if (model->metas[i].bits >= 0)
            set_meta(model->metas[i].path, (uint8_t)model->metas[i].owner,
                     (uint8_t)(100 + model->metas[i].group), model->metas[i].bits);
    }
    for (int group = 0; group < MODEL_GROUPS; group++)
        for (int user = 0; user < MODEL_USERS; user++) {
            model->member[group][user] = pick(random, 2);
            set_member((uint8_t)(100 + group), (uint8_t)user, model->member[group][user]);
        }
}

static void two_models_of_the_bits_agree(void **state)
{
    (void)state;
    static const char *const verbs[] = {"read", "write", "create", "delete"};
    static const enum kvs_access accesses[] = {KVS_ACCESS_READ, KVS_ACCESS_WRITE, KVS_ACCESS_CREATE,
                                               KVS_ACCESS_DELETE};
    struct kvs_random_seeded random;
    struct model model = {0};
    const struct kvs_auth_settings settings = {.anonymous_read = true, .anonymous_write = true};
    int allowed_count = 0;
    kvs_random_seeded_init(&random, 20261126);
    kvs_auth_configure(auth, &settings);
    for (int i = 0; i < MODEL_METAS_MAX; i++)
        model.metas[i].bits = -1;
    for (uint8_t i = 0; i < MODEL_USERS; i++)
        set_party(KVS_ACCOUNT_USER, i, "user");
    for (uint8_t i = 0; i < MODEL_GROUPS; i++)
        set_party(KVS_ACCOUNT_GROUP, (uint8_t)(100 + i), "group");
    set_gone(102);
    model.group_gone[2] = true;
    for (int i = 0; i < 10000; i++) {
        if (i % 20 == 0)
            random_world(&random, &model);
        char key[80];
        random_path(&random, key);
        if (pick(&random, 2)) // at or below one that has some
            (void)snprintf(key, sizeof(key), "%s%s", model.metas[pick(&random, 6)].path,
                           pick(&random, 2) ? "" : "/a");
        int user = (int)pick(&random, MODEL_USERS + 1) - 1;
        size_t verb = pick(&random, 4);
        if (user < 0 && accesses[verb] == KVS_ACCESS_DELETE)
            verb = 0; // never without a token: not a matter of bits
        const struct kvs_grant *grant =
            user < 0 ? kvs_auth_anonymous(auth, &arena) : grant_of((uint8_t)user, KVS_SCOPES_DATA);
        bool want = model_allows(&model, key, user, verbs[verb]);
        assert_int_equal(kvs_grant_check(grant, kvs_slice_from_str(key), accesses[verb]),
                         want ? 0 : KVS_ERR_FORBIDDEN);
        allowed_count += want;
    }
    assert_in_range(allowed_count, 4000, 8000); // both answers occur
}

// ---- Limits

static void users_and_addresses_are_counted_apart(void **state)
{
    (void)state;
    struct kvs_ratelimit_verdict verdict;
    const struct kvs_grant *user = grant_of(1, 0);
    const struct kvs_grant *none = kvs_auth_anonymous(auth, &arena);
    struct kvs_slice here = KVS_SLICE("127.0.0.1"), there = KVS_SLICE("127.0.0.2");
    for (int i = 0; i < 3; i++) {
        assert_true(kvs_auth_count(auth, user, i ? here : there, &verdict));
        assert_true(verdict.allowed);
        assert_true(kvs_auth_count(auth, none, here, &verdict));
        assert_true(verdict.allowed);
    }
    assert_true(kvs_auth_count(auth, user, here, &verdict));
    assert_false(verdict.allowed);
    assert_true(kvs_auth_count(auth, none, here, &verdict));
    assert_false(verdict.allowed);
    assert_true(kvs_auth_count(auth, none, there, &verdict));
    assert_true(verdict.allowed);
    assert_false(kvs_auth_count(auth, kvs_auth_peer_grant(), here, &verdict));
    const struct kvs_auth_settings off = {.login_failure_limit = 2};
    kvs_auth_configure(auth, &off);
    assert_false(kvs_auth_count(auth, user, here, &verdict));
    assert_true(kvs_auth_count_failure(auth, here).allowed); // with the feature off too
    assert_true(kvs_auth_count_failure(auth, here).allowed);
    assert_false(kvs_auth_count_failure(auth, here).allowed);
    assert_true(kvs_auth_count_failure(auth, there).allowed);
}

// ---- Threads

static atomic_bool stop;

static void *read_on(void *unused)
{
    (void)unused;
    struct kvs_uuid one = uuid_of(1);
    struct kvs_account_user user;
    bool more;
    while (!atomic_load(&stop)) {
        KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(1 << 20);
        (void)kvs_accounts_allow(accounts, KVS_SLICE("a/b/c"), &one, KVS_ACCESS_READ);
        (void)kvs_accounts_find(accounts, KVS_ACCOUNT_USER, &one, &user);
        kvs_accounts_memberships(accounts, KVS_ACCOUNT_USER, &one, &out);
        kvs_buf_clear(&out);
        kvs_accounts_list(accounts, KVS_ACCOUNT_USER, NULL, NULL, 10, &out, &more);
    }
    return NULL;
}

static void readers_and_the_writer_get_along(void **state)
{
    (void)state;
    pthread_t readers[2];
    atomic_store(&stop, false);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_on, NULL), 0);
    for (int i = 0; i < 300; i++) {
        set_party(KVS_ACCOUNT_USER, (uint8_t)(i % 5), i % 7 ? "ann" : NULL);
        set_party(KVS_ACCOUNT_GROUP, 10, i % 3 ? "crew" : NULL);
        set_member(10, (uint8_t)(i % 5), i % 2);
        set_meta("a/b", 1, 10, i % 4 ? 0xfff : -1);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_join(readers[i], NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys_are_what_they_name, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_records_count_as_absent, setup, teardown),
        cmocka_unit_test_setup_teardown(metadata_must_lie_under_its_path, setup, teardown),
        cmocka_unit_test_setup_teardown(users_groups_and_groups_members_agree, setup, teardown),
        cmocka_unit_test_setup_teardown(who_is_gone_stays_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(listings_are_sorted_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(names_are_given_out_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_prefix_is_readable_when_all_below_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(a_restart_forgets_what_is_not_shown_again, setup, teardown),
        cmocka_unit_test_setup_teardown(tokens_need_record_user_and_time, setup, teardown),
        cmocka_unit_test_setup_teardown(only_bearer_tokens_are_read, setup, teardown),
        cmocka_unit_test_setup_teardown(tokens_are_listed_while_they_last, setup, teardown),
        cmocka_unit_test_setup_teardown(bits_are_where_the_contract_puts_them, setup, teardown),
        cmocka_unit_test_setup_teardown(scopes_come_before_bits, setup, teardown),
        cmocka_unit_test_setup_teardown(system_keys_are_out_of_reach, setup, teardown),
        cmocka_unit_test_setup_teardown(anonymous_callers_follow_the_switches, setup, teardown),
        cmocka_unit_test_setup_teardown(two_models_of_the_bits_agree, setup, teardown),
        cmocka_unit_test_setup_teardown(users_and_addresses_are_counted_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(readers_and_the_writer_get_along, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
