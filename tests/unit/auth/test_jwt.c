// SPDX-License-Identifier: Apache-2.0
// Tokens that are ours are accepted, and of everything that resembles one nothing is. The negative
// cases are built here: `forge` signs any header and claims with any key.
#include "auth/jwt.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/test.h"

enum { NOW_S = 1790000000 };

#define SECRET "a cluster secret of some length"

struct fixture {
    struct kvs_jwt_keys keys;
    struct kvs_arena arena;
    struct kvs_jwt_claims claims;
    const char *reason;
    char header[64];   // ours, as JSON
    char payload[512]; // ours, as JSON
};

static struct fixture f;

static int setup(void **state)
{
    (void)state;
    memset(&f, 0, sizeof(f));
    kvs_jwt_keys_init(&f.keys, KVS_SLICE(SECRET), KVS_SLICE_EMPTY);
    kvs_arena_init(&f.arena, 1 << 20);
    (void)snprintf(f.header, sizeof(f.header),
                   "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"%.16s\"}", f.keys.items[0].id);
    (void)snprintf(f.payload, sizeof(f.payload),
                   "{\"iss\":\"kvs-server\",\"user_uuid\":\"00112233-4455-4677-8899-aabbccddeeff\","
                   "\"scopes\":[\"read\",\"admin:users:create\"],\"iat\":%d,\"exp\":%d,"
                   "\"jti\":\"00000000-0000-4000-8000-000000000001\"}",
                   NOW_S - 10, NOW_S + 10);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kvs_arena_done(&f.arena);
    return 0;
}

static void part(struct kvs_buf *out, const char *text)
{
    kvs_base64url_append(out, kvs_slice_from_str(text));
}

// header.claims.signature, signed with `key`.
static void forge(struct kvs_buf *out, const char *header, const char *payload, const uint8_t *key)
{
    uint8_t mac[KVS_SHA256_SIZE];
    kvs_buf_clear(out);
    part(out, header);
    kvs_buf_append_char(out, '.');
    part(out, payload);
    kvs_auth_hmac_sha256(key, kvs_buf_slice(out), mac);
    kvs_buf_append_char(out, '.');
    kvs_base64url_append(out, kvs_slice(mac, sizeof(mac)));
}

static int verify_at(struct kvs_slice token, int64_t now_s)
{
    return kvs_jwt_verify(&f.keys, token, now_s, &f.arena, &f.claims, &f.reason);
}

static void expect_refused(const char *header, const char *payload, const char *reason)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf token = KVS_BUF_INIT(1 << 20);
    forge(&token, header, payload, f.keys.items[0].bytes);
    assert_int_equal(verify_at(kvs_buf_slice(&token), NOW_S), KVS_ERR_UNAUTHORIZED);
    assert_non_null(strstr(f.reason, reason));
}

static void expect_text_refused(const char *token)
{
    assert_int_equal(verify_at(kvs_slice_from_str(token), NOW_S), KVS_ERR_UNAUTHORIZED);
    assert_true(f.reason[0] != '\0');
}

static void issued_tokens_are_accepted(void **state)
{
    (void)state;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf token = KVS_BUF_INIT(KVS_JWT_SIZE_MAX);
    struct kvs_jwt_claims claims = {
        .scopes = KVS_SCOPES_ALL, .issued_at = NOW_S, .expires_at = NOW_S + 3600};
    kvs_random_fill(kvs_random_system(), &claims.user, sizeof(claims.user));
    kvs_random_fill(kvs_random_system(), &claims.id, sizeof(claims.id));
    kvs_jwt_issue(&f.keys, &claims, &token);
    assert_int_equal(token.err, 0);
    assert_int_equal(verify_at(kvs_buf_slice(&token), NOW_S), 0);
    assert_memory_equal(&f.claims, &claims, sizeof(claims));
    assert_int_equal(verify_at(kvs_buf_slice(&token), NOW_S + 3599), 0);
    assert_int_equal(verify_at(kvs_buf_slice(&token), NOW_S + 3600), KVS_ERR_UNAUTHORIZED);
}

static void the_forger_can_make_a_good_one(void **state)
{
    (void)state; // or the refusals below would prove nothing
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf token = KVS_BUF_INIT(1 << 20);
    forge(&token, f.header, f.payload, f.keys.items[0].bytes);
    assert_int_equal(verify_at(kvs_buf_slice(&token), NOW_S), 0);
    assert_true(kvs_scope_in(f.claims.scopes, KVS_SCOPE_READ));
    assert_true(kvs_scope_in(f.claims.scopes, KVS_SCOPE_ADMIN_USERS_CREATE));
    assert_false(kvs_scope_in(f.claims.scopes, KVS_SCOPE_WRITE));
}

static void every_changed_bit_is_found(void **state)
{
    (void)state;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf token = KVS_BUF_INIT(1 << 20);
    forge(&token, f.header, f.payload, f.keys.items[0].bytes);
    for (size_t i = 0; i < token.size * 8; i++) {
        token.data[i / 8] ^= (char)(1 << i % 8);
        assert_int_equal(verify_at(kvs_buf_slice(&token), NOW_S), KVS_ERR_UNAUTHORIZED);
        token.data[i / 8] ^= (char)(1 << i % 8);
        kvs_arena_reset(&f.arena);
    }
    for (size_t size = 0; size < token.size; size++)
        assert_int_equal(verify_at(kvs_slice(token.data, size), NOW_S), KVS_ERR_UNAUTHORIZED);
    assert_int_equal(verify_at(kvs_buf_slice(&token), NOW_S), 0);
}

static void other_algorithms_are_refused(void **state)
{
    (void)state;
    static const char *const algorithms[] = {
        "\"none\"",
        "\"None\"",
        "\"nOnE\"",
        "\"HS384\"",
        "\"HS512\"",
        "\"RS256\"",
        "\"ES256\"",
        "\"PS256\"",
        "\"EdDSA\"",
        "\"hs256\"",
        "\"HS256 \"",
        "\"\"",
        "null",
        "256",
        "[\"HS256\"]",
        "{\"a\":\"HS256\"}",
        "\"HS256\\u0000\"",
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(algorithms); i++) {
        char header[160];
        (void)snprintf(header, sizeof(header), "{\"alg\":%s,\"kid\":\"%.16s\"}", algorithms[i],
                       f.keys.items[0].id);
        expect_refused(header, f.payload, "algorithm");
    }
    char header[160];
    (void)snprintf(header, sizeof(header), "{\"typ\":\"JWT\",\"kid\":\"%.16s\"}",
                   f.keys.items[0].id);
    expect_refused(header, f.payload, "algorithm");
}

static void unsigned_tokens_are_refused(void **state)
{
    (void)state;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf token = KVS_BUF_INIT(1 << 20);
    static const char *const headers[] = {"{\"alg\":\"none\"}", "{\"alg\":\"HS256\"}", NULL};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(headers); i++) {
        kvs_buf_clear(&token);
        part(&token, headers[i] ? headers[i] : f.header);
        kvs_buf_append_char(&token, '.');
        part(&token, f.payload);
        assert_int_equal(verify_at(kvs_buf_slice(&token), NOW_S), KVS_ERR_UNAUTHORIZED);
        kvs_buf_append_char(&token, '.');
        assert_int_equal(verify_at(kvs_buf_slice(&token), NOW_S), KVS_ERR_UNAUTHORIZED);
    }
}

static void headers_that_bring_their_own_key_are_refused(void **state)
{
    (void)state;
    static const char *const members[] = {
        "\"jwk\":{\"kty\":\"oct\",\"k\":\"AAAA\"}",
        "\"jku\":\"http://127.0.0.1/keys\"",
        "\"x5u\":\"http://127.0.0.1/cert\"",
        "\"x5c\":[]",
        "\"crit\":[\"exp\"]",
        "\"b64\":false",
        "\"zip\":\"DEF\"",
        "\"enc\":\"A256GCM\"",
        "\"cty\":\"JWT\"",
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(members); i++) {
        char header[160];
        (void)snprintf(header, sizeof(header), "{\"alg\":\"HS256\",\"kid\":\"%.16s\",%s}",
                       f.keys.items[0].id, members[i]);
        expect_refused(header, f.payload, "header");
    }
}

static void key_ids_name_our_keys_only(void **state)
{
    (void)state;
    static const char *const ids[] = {
        "\"0000000000000000\"", "\"../../../dev/null\"", "\"' OR 1=1\"", "\"\"", "null", "0", "[]",
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(ids); i++) {
        char header[160];
        (void)snprintf(header, sizeof(header), "{\"alg\":\"HS256\",\"kid\":%s}", ids[i]);
        expect_refused(header, f.payload, "another cluster");
    }
    expect_refused("{\"alg\":\"HS256\"}", f.payload, "another cluster");
}

static void duplicate_members_are_refused(void **state)
{
    (void)state;
    char text[1024];
    (void)snprintf(text, sizeof(text), "{\"alg\":\"none\",%s", f.header + 1);
    expect_refused(text, f.payload, "not made of JSON");
    (void)snprintf(text, sizeof(text), "%.*s,\"exp\":9999999999}", (int)strlen(f.payload) - 1,
                   f.payload);
    expect_refused(f.header, text, "not made of JSON");
    (void)snprintf(text, sizeof(text), "%.*s,\"\\u0065xp\":9999999999}", (int)strlen(f.payload) - 1,
                   f.payload);
    expect_refused(f.header, text, "not made of JSON");
}

static void broken_claims_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
    } changes[] = {
        {"\"kvs-server\"", "\"kvs-servers\""},
        {"\"kvs-server\"", "null"},
        {"00112233-4455-4677-8899-aabbccddeeff", "00112233-4455-4677-8899-aabbccddeef"},
        {"\"user_uuid\"", "\"user\""},
        {"\"scopes\":[", "\"scopes\":[1,"},
        {"\"scopes\":", "\"scope\":"},
        {"[\"read\",\"admin:users:create\"]", "\"read admin:users:create\""},
        {"\"iat\":", "\"iat\":1.5,\"i\":"},
        {"\"iat\":", "\"iat\":-"},
        {"\"exp\":", "\"exp\":\"9999999999\",\"e\":"},
        {"\"exp\":", "\"exp\":1e400,\"e\":"},
        {"\"exp\":", "\"exp\":99999999999999999999,\"e\":"},
        {"\"exp\":", "\"exp\":null,\"e\":"},
        {"\"exp\":", "\"e\":"},
        {"\"jti\":", "\"j\":"},
        {"\"jti\":", "\"nbf\":\"now\",\"jti\":"},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(changes); i++) {
        char text[1024];
        const char *at = strstr(f.payload, changes[i].from);
        assert_non_null(at);
        (void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - f.payload), f.payload,
                       changes[i].to, at + strlen(changes[i].from));
        expect_refused(f.header, text, "claims");
    }
    static const char *const whole[] = {"[]", "\"x\"", "1", "null", "", "{", "{}x", "\xff\xfe"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(whole); i++)
        expect_refused(f.header, whole[i], "JSON");
    expect_refused(f.header, "{}", "claims");
}

static void tokens_of_the_future_are_refused(void **state)
{
    (void)state;
    char text[512];
    (void)snprintf(text, sizeof(text),
                   "{\"iss\":\"kvs-server\",\"user_uuid\":\"00112233-4455-4677-8899-aabbccddeeff\","
                   "\"scopes\":[],\"iat\":%d,\"exp\":%d,"
                   "\"jti\":\"00000000-0000-4000-8000-000000000001\"}",
                   NOW_S + 3600, NOW_S + 7200);
    expect_refused(f.header, text, "not valid yet");
    (void)snprintf(text, sizeof(text), "%.*s,\"nbf\":%d}", (int)strlen(f.payload) - 1, f.payload,
                   NOW_S + 3600);
    expect_refused(f.header, text, "not valid yet");
    (void)snprintf(text, sizeof(text), "%.*s,\"nbf\":%d}", (int)strlen(f.payload) - 1, f.payload,
                   NOW_S - 3600);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf token = KVS_BUF_INIT(1 << 20);
    forge(&token, f.header, text, f.keys.items[0].bytes);
    assert_int_equal(verify_at(kvs_buf_slice(&token), NOW_S), 0);
}

static void malformed_texts_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        ".",
        "..",
        "...",
        "a",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        " . . ",
        "=.=.=",
        "e30.e30.",
        "e30.e30.e30",
        "e30.e30.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", // {} {} and 32 zero bytes
        "eyJhbGciOiJub25lIn0.e30.",
        "{\"alg\":\"HS256\"}.{}.", // not encoded at all
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(texts); i++)
        expect_text_refused(texts[i]);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf token = KVS_BUF_INIT(2 << 20);
    forge(&token, f.header, f.payload, f.keys.items[0].bytes);
    // Padding, the other alphabet, white space, a fourth part.
    static const char *const endings[] = {"=", "==", " ", "\n", ".", ".e30", "A", "%3D"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(endings); i++) {
        size_t size = token.size;
        kvs_buf_append_str(&token, endings[i]);
        assert_int_equal(verify_at(kvs_buf_slice(&token), NOW_S), KVS_ERR_UNAUTHORIZED);
        token.size = size;
    }
    kvs_buf_clear(&token);
    for (size_t i = 0; i < 1 << 20; i++)
        kvs_buf_append_char(&token, 'a');
    assert_int_equal(verify_at(kvs_buf_slice(&token), NOW_S), KVS_ERR_UNAUTHORIZED);
    assert_string_equal(f.reason, "the token is too long");
}

static void the_last_character_has_one_spelling(void **state)
{
    (void)state; // 32 bytes leave two bits of the 43rd character, which must be zero
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf token = KVS_BUF_INIT(1 << 20);
    forge(&token, f.header, f.payload, f.keys.items[0].bytes);
    char *last = &token.data[token.size - 1];
    char original = *last;
    int accepted = 0;
    for (const char *c = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"; *c;
         c++) {
        *last = *c;
        bool good = verify_at(kvs_buf_slice(&token), NOW_S) == 0;
        assert_true(!good || *c == original);
        accepted += good;
    }
    assert_int_equal(accepted, 1);
}

static void keys_come_from_the_secret(void **state)
{
    (void)state;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf token = KVS_BUF_INIT(1 << 20);
    struct kvs_jwt_keys other;
    kvs_jwt_keys_init(&other, KVS_SLICE("another cluster secret"), KVS_SLICE_EMPTY);
    forge(&token, f.header, f.payload, other.items[0].bytes); // our key id, another key
    assert_int_equal(verify_at(kvs_buf_slice(&token), NOW_S), KVS_ERR_UNAUTHORIZED);
    forge(&token, f.header, f.payload, (const uint8_t *)SECRET "................................");
    assert_int_equal(verify_at(kvs_buf_slice(&token), NOW_S), KVS_ERR_UNAUTHORIZED);
    struct kvs_jwt_keys again;
    kvs_jwt_keys_init(&again, KVS_SLICE(SECRET), KVS_SLICE_EMPTY);
    assert_memory_equal(&again, &f.keys, sizeof(again)); // the same on every node
    kvs_jwt_keys_done(&again);
    assert_int_equal(again.count, 0);
}

static void both_secrets_verify_while_one_is_replaced(void **state)
{
    (void)state;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf token = KVS_BUF_INIT(1 << 20);
    forge(&token, f.header, f.payload, f.keys.items[0].bytes);
    kvs_jwt_keys_init(&f.keys, KVS_SLICE("the new cluster secret"), KVS_SLICE(SECRET));
    assert_int_equal(verify_at(kvs_buf_slice(&token), NOW_S), 0);
    struct kvs_jwt_claims claims = {.issued_at = NOW_S, .expires_at = NOW_S + 1};
    kvs_buf_clear(&token);
    kvs_jwt_issue(&f.keys, &claims, &token);
    kvs_jwt_keys_init(&f.keys, KVS_SLICE("the new cluster secret"), KVS_SLICE_EMPTY);
    assert_int_equal(verify_at(kvs_buf_slice(&token), NOW_S), 0); // signed with the new one
    kvs_jwt_keys_init(&f.keys, KVS_SLICE(SECRET), KVS_SLICE_EMPTY);
    assert_int_equal(verify_at(kvs_buf_slice(&token), NOW_S), KVS_ERR_UNAUTHORIZED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(issued_tokens_are_accepted, setup, teardown),
        cmocka_unit_test_setup_teardown(the_forger_can_make_a_good_one, setup, teardown),
        cmocka_unit_test_setup_teardown(every_changed_bit_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(other_algorithms_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(unsigned_tokens_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(headers_that_bring_their_own_key_are_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(key_ids_name_our_keys_only, setup, teardown),
        cmocka_unit_test_setup_teardown(duplicate_members_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(broken_claims_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(tokens_of_the_future_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(malformed_texts_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(the_last_character_has_one_spelling, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_come_from_the_secret, setup, teardown),
        cmocka_unit_test_setup_teardown(both_secrets_verify_while_one_is_replaced, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
