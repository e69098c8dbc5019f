// SPDX-License-Identifier: Apache-2.0
#include "auth/auth.h"

#include "auth/grant_internal.h"
#include "auth/token_cache.h"

#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    FAILURE_CLIENTS_MAX = 16384,
    FAILURE_WINDOW_MS = 60000,
    SCRATCH_SIZE_MAX = 1 << 20,
};

struct kvs_auth {
    struct kvs_accounts *accounts;
    struct kvs_jwt_keys keys;
    struct kvs_token_cache *cache;
    struct kvs_ratelimit *users;
    struct kvs_ratelimit *addresses;
    struct kvs_ratelimit *failures;
    struct kvs_random *random;
    const struct kvs_clock *clock;
    atomic_bool ready;
    // The settings, each read and written by itself.
    atomic_bool anonymous_read, anonymous_write, rate_limiting;
    _Atomic uint32_t rate_limit_requests, login_failure_limit;
    _Atomic int64_t rate_limit_window_ms;
};

// ---- Life

int kvs_auth_new(const struct kvs_auth_options *options, struct kvs_auth **ret_auth)
{
    KVS_CLEANUP(kvs_auth_freep) struct kvs_auth *auth = calloc(1, sizeof(*auth));
    if (!auth)
        return KVS_ERR_NOMEM;
    auth->accounts = options->accounts;
    auth->random = options->random;
    auth->clock = options->clock;
    atomic_init(&auth->ready, true);
    kvs_jwt_keys_init(&auth->keys, options->cluster_secret, options->cluster_secret_previous);
    kvs_auth_configure(auth, &options->settings);
    int err = kvs_token_cache_new(&auth->cache);
    if (!err)
        err = kvs_ratelimit_new(KVS_RATELIMIT_CLIENTS_DEFAULT, options->random, &auth->users);
    if (!err)
        err = kvs_ratelimit_new(KVS_RATELIMIT_CLIENTS_DEFAULT, options->random, &auth->addresses);
    if (!err)
        err = kvs_ratelimit_new(FAILURE_CLIENTS_MAX, options->random, &auth->failures);
    if (!err)
        *ret_auth = KVS_TAKE(auth);
    return err;
}

void kvs_auth_free(struct kvs_auth *auth)
{
    if (!auth)
        return;
    kvs_jwt_keys_done(&auth->keys);
    kvs_token_cache_free(auth->cache);
    kvs_ratelimit_free(auth->users);
    kvs_ratelimit_free(auth->addresses);
    kvs_ratelimit_free(auth->failures);
    free(auth);
}

void kvs_auth_configure(struct kvs_auth *auth, const struct kvs_auth_settings *settings)
{
    atomic_store(&auth->anonymous_read, settings->anonymous_read);
    atomic_store(&auth->anonymous_write, settings->anonymous_write);
    atomic_store(&auth->rate_limiting, settings->rate_limiting);
    atomic_store(&auth->rate_limit_requests, settings->rate_limit_requests);
    atomic_store(&auth->rate_limit_window_ms, settings->rate_limit_window_ms);
    atomic_store(&auth->login_failure_limit, settings->login_failure_limit);
}

struct kvs_auth_settings kvs_auth_get_settings(struct kvs_auth *auth)
{
    return (struct kvs_auth_settings){
        .anonymous_read = atomic_load(&auth->anonymous_read),
        .anonymous_write = atomic_load(&auth->anonymous_write),
        .rate_limiting = atomic_load(&auth->rate_limiting),
        .rate_limit_requests = atomic_load(&auth->rate_limit_requests),
        .rate_limit_window_ms = atomic_load(&auth->rate_limit_window_ms),
        .login_failure_limit = atomic_load(&auth->login_failure_limit),
    };
}

struct kvs_accounts *kvs_auth_accounts(const struct kvs_auth *auth)
{
    return auth->accounts;
}

void kvs_auth_set_ready(struct kvs_auth *auth, bool ready)
{
    atomic_store(&auth->ready, ready);
}

bool kvs_auth_is_ready(const struct kvs_auth *auth)
{
    return atomic_load_explicit(&auth->ready, memory_order_acquire);
}

// ---- Who

static const struct kvs_grant *make_grant(struct kvs_arena *arena, struct kvs_grant grant)
{
    struct kvs_grant *copy = kvs_arena_alloc(arena, sizeof(*copy));
    if (copy)
        *copy = grant;
    return copy;
}

const struct kvs_grant *kvs_auth_anonymous(struct kvs_auth *auth, struct kvs_arena *arena)
{
    kvs_scope_set scopes = 0;
    if (atomic_load_explicit(&auth->anonymous_read, memory_order_relaxed))
        scopes |= 1U << KVS_SCOPE_READ;
    if (atomic_load_explicit(&auth->anonymous_write, memory_order_relaxed))
        scopes |= 1U << KVS_SCOPE_WRITE;
    return make_grant(arena, (struct kvs_grant){.kind = KVS_GRANT_ANONYMOUS,
                                                .accounts = auth->accounts,
                                                .scopes = scopes});
}

const struct kvs_grant *kvs_auth_user_grant(struct kvs_auth *auth, struct kvs_arena *arena,
                                            const struct kvs_uuid *user, kvs_scope_set scopes)
{
    return make_grant(arena, (struct kvs_grant){.kind = KVS_GRANT_USER,
                                                .accounts = auth->accounts,
                                                .user = *user,
                                                .scopes = scopes});
}

// The token behind "Bearer", whatever its case (RFC 9110 section 11.1).
static bool cut_scheme(struct kvs_slice authorization, struct kvs_slice *ret_token)
{
    static const struct kvs_slice scheme = {"Bearer ", 7};
    if (authorization.size < scheme.size ||
        !kvs_slice_eq_nocase(kvs_slice(authorization.data, scheme.size), scheme))
        return false;
    *ret_token = kvs_slice_trim(
        kvs_slice(authorization.data + scheme.size, authorization.size - scheme.size));
    return ret_token->size > 0;
}

static int verify_signature(struct kvs_auth *auth, struct kvs_slice token, int64_t now_s,
                            struct kvs_verified_token *ret_token, const char **ret_reason)
{
    struct kvs_arena scratch;
    kvs_arena_init(&scratch, SCRATCH_SIZE_MAX);
    int err = kvs_jwt_verify(&auth->keys, token, now_s, &scratch, &ret_token->claims, ret_reason);
    kvs_arena_done(&scratch);
    if (!err)
        ret_token->hash = kvs_account_hash_of(token);
    return err;
}

static int verify(struct kvs_auth *auth, struct kvs_slice token,
                  struct kvs_verified_token *verified, const char **ret_reason)
{
    int64_t now_s = kvs_clock_wall_ms(auth->clock) / 1000;
    uint8_t digest[KVS_SHA256_SIZE];
    if (token.size > KVS_JWT_SIZE_MAX) {
        *ret_reason = "the token is too long";
        return KVS_ERR_UNAUTHORIZED;
    }
    kvs_auth_sha256(token, digest);
    bool cached = kvs_token_cache_get(auth->cache, digest, verified);
    if (!cached) {
        int err = verify_signature(auth, token, now_s, verified, ret_reason);
        if (err)
            return err;
        kvs_token_cache_put(auth->cache, digest, verified);
    }
    if (verified->claims.expires_at <= now_s) {
        *ret_reason = "the token has expired";
        return KVS_ERR_UNAUTHORIZED;
    }
    return kvs_accounts_check_token(auth->accounts, &verified->hash, now_s, ret_reason);
}

int kvs_auth_identify(struct kvs_auth *auth, struct kvs_slice authorization,
                      struct kvs_arena *arena, const struct kvs_grant **ret_grant,
                      const char **ret_reason)
{
    struct kvs_slice token;
    struct kvs_verified_token verified;
    if (!cut_scheme(authorization, &token)) {
        *ret_reason = "the Authorization header is not \"Bearer TOKEN\"";
        return KVS_ERR_UNAUTHORIZED;
    }
    int err = verify(auth, token, &verified, ret_reason);
    if (err)
        return err;
    *ret_grant = make_grant(arena, (struct kvs_grant){.kind = KVS_GRANT_USER,
                                                      .accounts = auth->accounts,
                                                      .user = verified.claims.user,
                                                      .scopes = verified.claims.scopes,
                                                      .has_token = true,
                                                      .token = verified.hash,
                                                      .clock = auth->clock});
    return *ret_grant ? 0 : KVS_ERR_NOMEM;
}

// ---- How often

bool kvs_auth_count(struct kvs_auth *auth, const struct kvs_grant *grant, struct kvs_slice address,
                    struct kvs_ratelimit_verdict *ret_verdict)
{
    if (!atomic_load_explicit(&auth->rate_limiting, memory_order_relaxed) ||
        kvs_grant_is_open(grant))
        return false;
    const struct kvs_uuid *user = kvs_grant_user(grant);
    struct kvs_ratelimit_id id;
    if (user)
        memcpy(id.bytes, user->bytes, sizeof(id.bytes));
    else
        id = kvs_ratelimit_address(address);
    *ret_verdict = kvs_ratelimit_take(
        user ? auth->users : auth->addresses, &id, kvs_clock_mono_ms(auth->clock),
        atomic_load(&auth->rate_limit_requests), atomic_load(&auth->rate_limit_window_ms));
    return true;
}

struct kvs_ratelimit_verdict kvs_auth_count_failure(struct kvs_auth *auth, struct kvs_slice address)
{
    struct kvs_ratelimit_id id = kvs_ratelimit_address(address);
    return kvs_ratelimit_take(auth->failures, &id, kvs_clock_mono_ms(auth->clock),
                              atomic_load(&auth->login_failure_limit), FAILURE_WINDOW_MS);
}

// ---- Tokens

int kvs_auth_issue(struct kvs_auth *auth, const struct kvs_uuid *user, kvs_scope_set scopes,
                   int64_t ttl_s, struct kvs_new_token *ret_token)
{
    int64_t now_s = kvs_clock_wall_ms(auth->clock) / 1000;
    *ret_token = (struct kvs_new_token){
        .text = KVS_BUF_INIT(KVS_JWT_SIZE_MAX),
        .claims = {.user = *user,
                   .scopes = scopes,
                   .issued_at = now_s,
                   .id = kvs_uuid_new(auth->random)},
    };
    if (__builtin_add_overflow(now_s, ttl_s, &ret_token->claims.expires_at))
        ret_token->claims.expires_at = INT64_MAX;
    kvs_jwt_issue(&auth->keys, &ret_token->claims, &ret_token->text);
    if (!ret_token->text.err)
        ret_token->hash = kvs_account_hash_of(kvs_buf_slice(&ret_token->text));
    return ret_token->text.err;
}

void kvs_new_token_done(struct kvs_new_token *token)
{
    if (token->text.data)
        OPENSSL_cleanse(token->text.data, token->text.capacity);
    kvs_buf_done(&token->text);
}

bool kvs_auth_is_ours(struct kvs_auth *auth, struct kvs_slice token, struct kvs_arena *scratch,
                      struct kvs_jwt_claims *ret_claims)
{
    const char *reason = NULL;
    return kvs_jwt_verify(&auth->keys, token, KVS_JWT_ANY_TIME, scratch, ret_claims, &reason) == 0;
}
