// SPDX-License-Identifier: Apache-2.0
// Must never: let the token choose its algorithm or key beyond naming one of ours, read claims that
// are not signed, compare a signature byte by byte.
#include "auth/jwt.h"

#include "base/assert.h"
#include "codec/json.h"

#include <openssl/crypto.h>

static const char issuer[] = "kvs-server";

static void derive_key(struct kvs_slice secret, struct kvs_jwt_key *ret_key)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t id[KVS_JWT_KEY_ID_SIZE / 2];
    kvs_auth_derive(secret, "token signing key 1", ret_key->bytes, sizeof(ret_key->bytes));
    kvs_auth_derive(secret, "token signing key id 1", id, sizeof(id));
    for (size_t i = 0; i < sizeof(id); i++) {
        ret_key->id[2 * i] = digits[id[i] >> 4];
        ret_key->id[2 * i + 1] = digits[id[i] & 15];
    }
}

void kvs_jwt_keys_init(struct kvs_jwt_keys *keys, struct kvs_slice secret,
                       struct kvs_slice previous)
{
    *keys = (struct kvs_jwt_keys){0};
    derive_key(secret, &keys->items[keys->count++]);
    if (previous.size > 0 && !kvs_slice_eq(previous, secret))
        derive_key(previous, &keys->items[keys->count++]);
}

void kvs_jwt_keys_done(struct kvs_jwt_keys *keys)
{
    OPENSSL_cleanse(keys, sizeof(*keys));
}

// ---- Issuing

static void append_claims(struct kvs_buf *out, const struct kvs_jwt_claims *claims)
{
    char uuid[KVS_UUID_TEXT_SIZE];
    kvs_buf_printf(out, "{\"iss\":\"%s\",\"user_uuid\":\"", issuer);
    kvs_uuid_format(&claims->user, uuid);
    kvs_buf_append(out, uuid, sizeof(uuid));
    kvs_buf_append_str(out, "\",\"scopes\":");
    kvs_scope_set_json(out, claims->scopes);
    kvs_buf_append_str(out, ",\"iat\":");
    kvs_buf_append_i64(out, claims->issued_at);
    kvs_buf_append_str(out, ",\"exp\":");
    kvs_buf_append_i64(out, claims->expires_at);
    kvs_buf_append_str(out, ",\"jti\":\"");
    kvs_uuid_format(&claims->id, uuid);
    kvs_buf_append(out, uuid, sizeof(uuid));
    kvs_buf_append_str(out, "\"}");
}

void kvs_jwt_issue(const struct kvs_jwt_keys *keys, const struct kvs_jwt_claims *claims,
                   struct kvs_buf *out)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf part = KVS_BUF_INIT(KVS_JWT_SIZE_MAX);
    uint8_t mac[KVS_SHA256_SIZE];
    const struct kvs_jwt_key *key = &keys->items[0];
    kvs_assert(keys->count > 0);
    size_t start = out->size;
    kvs_buf_printf(&part, "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"%.*s\"}",
                   KVS_JWT_KEY_ID_SIZE, key->id);
    kvs_base64url_append(out, kvs_buf_slice(&part));
    kvs_buf_clear(&part);
    append_claims(&part, claims);
    kvs_buf_append_char(out, '.');
    kvs_base64url_append(out, kvs_buf_slice(&part));
    if (!out->err && part.err)
        out->err = part.err;
    if (out->err)
        return;
    kvs_auth_hmac_sha256(key->bytes, kvs_slice(out->data + start, out->size - start), mac);
    kvs_buf_append_char(out, '.');
    kvs_base64url_append(out, kvs_slice(mac, sizeof(mac)));
}

// ---- Verifying

struct reader {
    const struct kvs_jwt_keys *keys;
    struct kvs_arena *scratch;
    int64_t not_before; // nbf is none of ours, but who signs one means it
    const char *reason;
    int err;
};

static bool refuse(struct reader *reader, const char *reason)
{
    if (!reader->err) {
        reader->err = KVS_ERR_UNAUTHORIZED;
        reader->reason = reason;
    }
    return false;
}

static bool cut_part(struct kvs_slice *rest, struct kvs_slice *ret_part)
{
    const char *dot = rest->size > 0 ? memchr(rest->data, '.', rest->size) : NULL;
    if (!dot)
        return false;
    *ret_part = kvs_slice(rest->data, (size_t)(dot - rest->data));
    *rest = kvs_slice(dot + 1, rest->size - ret_part->size - 1);
    return true;
}

// The part decoded, which must be a JSON object without repeated names.
static bool parse_part(struct reader *reader, struct kvs_slice part, const struct kvs_json **ret)
{
    size_t size = 0;
    struct kvs_json *root = NULL;
    char *bytes = kvs_arena_alloc(reader->scratch, part.size + 1);
    if (!bytes) {
        reader->err = KVS_ERR_NOMEM;
        return false;
    }
    if (!kvs_base64url_decode(part, bytes, &size))
        return refuse(reader, "the token is not base64url");
    int err =
        kvs_json_parse(kvs_slice(bytes, size), KVS_JSON_UNIQUE_KEYS, reader->scratch, &root, NULL);
    if (err == KVS_ERR_NOMEM) {
        reader->err = err;
        return false;
    }
    if (err || root->type != KVS_JSON_OBJECT)
        return refuse(reader, "the token is not made of JSON objects");
    *ret = root;
    return true;
}

// A member that must be a string; empty when it is absent or something else, which no caller takes.
static struct kvs_slice text_of(struct reader *reader, const struct kvs_json *object,
                                const char *name)
{
    const struct kvs_json *member = kvs_json_member(object, name);
    struct kvs_slice text = KVS_SLICE_EMPTY;
    if (!member || member->type != KVS_JSON_STRING)
        return text;
    int err = kvs_json_string(member, reader->scratch, &text);
    if (err && !reader->err)
        reader->err = err;
    return err ? KVS_SLICE_EMPTY : text;
}

static bool is_known_header(const struct kvs_json *member, struct reader *reader)
{
    struct kvs_slice name = KVS_SLICE_EMPTY;
    int err = kvs_json_key(member, reader->scratch, &name);
    if (err && !reader->err)
        reader->err = err;
    return kvs_slice_eq(name, KVS_SLICE("alg")) || kvs_slice_eq(name, KVS_SLICE("typ")) ||
           kvs_slice_eq(name, KVS_SLICE("kid"));
}

static const struct kvs_jwt_key *find_key(struct reader *reader, struct kvs_slice part)
{
    const struct kvs_json *header = NULL;
    if (!parse_part(reader, part, &header))
        return NULL;
    for (const struct kvs_json *member = header->child; member; member = member->next)
        if (!is_known_header(member, reader) && !refuse(reader, "the token's header is not ours"))
            return NULL;
    if (!kvs_slice_eq(text_of(reader, header, "alg"), KVS_SLICE("HS256")) &&
        !refuse(reader, "the token's algorithm is not HS256"))
        return NULL;
    if (kvs_json_member(header, "typ") &&
        !kvs_slice_eq(text_of(reader, header, "typ"), KVS_SLICE("JWT")) &&
        !refuse(reader, "the token's header is not ours"))
        return NULL;
    struct kvs_slice id = text_of(reader, header, "kid");
    for (size_t i = 0; i < reader->keys->count; i++)
        if (kvs_slice_eq(id, kvs_slice(reader->keys->items[i].id, KVS_JWT_KEY_ID_SIZE)))
            return &reader->keys->items[i];
    (void)refuse(reader, "the token was signed with another cluster's secret"); // remembered
    return NULL;
}

static bool check_signature(struct reader *reader, const struct kvs_jwt_key *key,
                            struct kvs_slice signed_text, struct kvs_slice signature)
{
    enum { TEXT_SIZE = (KVS_SHA256_SIZE * 8 + 5) / 6 };
    uint8_t mac[KVS_SHA256_SIZE];
    char given[TEXT_SIZE];
    size_t size = 0;
    if (signature.size != TEXT_SIZE || !kvs_base64url_decode(signature, given, &size) ||
        size != KVS_SHA256_SIZE)
        return refuse(reader, "the token's signature is malformed");
    kvs_auth_hmac_sha256(key->bytes, signed_text, mac);
    if (!kvs_auth_equal(kvs_slice(mac, sizeof(mac)), kvs_slice(given, size)))
        return refuse(reader, "the token's signature is wrong");
    return true;
}

static bool read_time(const struct kvs_json *claims, const char *name, int64_t *ret_time)
{
    const struct kvs_json *member = kvs_json_member(claims, name);
    return member && member->type == KVS_JSON_NUMBER && kvs_json_to_i64(member, ret_time) &&
           *ret_time >= 0;
}

static bool read_scopes(struct reader *reader, const struct kvs_json *claims, kvs_scope_set *ret)
{
    const struct kvs_json *list = kvs_json_member(claims, "scopes");
    if (!list || list->type != KVS_JSON_ARRAY)
        return false;
    *ret = 0;
    for (const struct kvs_json *item = list->child; item; item = item->next) {
        struct kvs_slice name;
        enum kvs_scope scope;
        if (item->type != KVS_JSON_STRING || kvs_json_string(item, reader->scratch, &name) != 0)
            return false;
        if (kvs_scope_parse(name, &scope))
            *ret |= 1U << scope;
    }
    return true;
}

static bool read_claims(struct reader *reader, struct kvs_slice part, struct kvs_jwt_claims *ret)
{
    const struct kvs_json *claims = NULL;
    if (!parse_part(reader, part, &claims))
        return false;
    bool whole = kvs_slice_eq(text_of(reader, claims, "iss"), kvs_slice_from_str(issuer)) &&
                 kvs_uuid_parse(text_of(reader, claims, "user_uuid"), &ret->user) &&
                 kvs_uuid_parse(text_of(reader, claims, "jti"), &ret->id) &&
                 read_scopes(reader, claims, &ret->scopes) &&
                 read_time(claims, "iat", &ret->issued_at) &&
                 read_time(claims, "exp", &ret->expires_at) &&
                 (!kvs_json_member(claims, "nbf") || read_time(claims, "nbf", &reader->not_before));
    return whole || refuse(reader, "the token's claims are not ours");
}

static bool check_times(struct reader *reader, const struct kvs_jwt_claims *claims, int64_t now_s)
{
    if (now_s == KVS_JWT_ANY_TIME)
        return true;
    if (claims->expires_at <= now_s)
        return refuse(reader, "the token has expired");
    if (claims->issued_at > now_s + KVS_JWT_CLOCK_LEEWAY_S ||
        reader->not_before > now_s + KVS_JWT_CLOCK_LEEWAY_S)
        return refuse(reader, "the token is not valid yet");
    return true;
}

static bool verify(struct reader *reader, struct kvs_slice token, int64_t now_s,
                   struct kvs_jwt_claims *ret_claims)
{
    struct kvs_slice rest = token;
    struct kvs_slice header;
    struct kvs_slice claims;
    if (token.size > KVS_JWT_SIZE_MAX)
        return refuse(reader, "the token is too long");
    if (!cut_part(&rest, &header) || !cut_part(&rest, &claims) ||
        (rest.size > 0 && memchr(rest.data, '.', rest.size)))
        return refuse(reader, "the token does not have three parts");
    const struct kvs_jwt_key *key = find_key(reader, header);
    struct kvs_slice signed_text = kvs_slice(token.data, header.size + 1 + claims.size);
    return key && check_signature(reader, key, signed_text, rest) &&
           read_claims(reader, claims, ret_claims) && check_times(reader, ret_claims, now_s);
}

int kvs_jwt_verify(const struct kvs_jwt_keys *keys, struct kvs_slice token, int64_t now_s,
                   struct kvs_arena *scratch, struct kvs_jwt_claims *ret_claims,
                   const char **ret_reason)
{
    struct reader reader = {.keys = keys, .scratch = scratch, .reason = ""};
    bool good = verify(&reader, token, now_s, ret_claims);
    *ret_reason = reader.reason;
    kvs_assert(good || reader.err);
    return reader.err;
}
