// SPDX-License-Identifier: Apache-2.0
// Who asks, and how often: from a request's Authorization header and address to a grant, or to the
// reason why not. One object a node, made when auth_enabled is on. Thread-safe.
#ifndef KVS_AUTH_AUTH_H
#define KVS_AUTH_AUTH_H

#include "auth/accounts.h"
#include "auth/grant.h"
#include "auth/jwt.h"
#include "auth/ratelimit.h"
#include "base/clock.h"

struct kvs_auth;

// All of it may change while the node runs.
struct kvs_auth_settings {
    bool anonymous_read;
    bool anonymous_write;
    bool rate_limiting;
    uint32_t rate_limit_requests;
    int64_t rate_limit_window_ms;
    uint32_t login_failure_limit; // a minute and address
};

struct kvs_auth_options {
    struct kvs_accounts *accounts; // borrowed; outlives it
    struct kvs_slice cluster_secret;
    struct kvs_slice cluster_secret_previous; // empty: none
    struct kvs_random *random;                // fit for secrets
    const struct kvs_clock *clock;
    struct kvs_auth_settings settings;
};

KVS_MUST_CHECK int kvs_auth_new(const struct kvs_auth_options *options, struct kvs_auth **ret_auth);
void kvs_auth_free(struct kvs_auth *auth); // NULL is fine
KVS_DEFINE_CLEANUP(struct kvs_auth, kvs_auth_free)

void kvs_auth_configure(struct kvs_auth *auth, const struct kvs_auth_settings *settings);

struct kvs_accounts *kvs_auth_accounts(const struct kvs_auth *auth);

// While a joining node lacks the cluster's accounts it can judge nobody: it answers 503 then. Ready
// from the start, unless told otherwise.
void kvs_auth_set_ready(struct kvs_auth *auth, bool ready);
bool kvs_auth_is_ready(const struct kvs_auth *auth);

// ---- Who

// A grant without a token: what the anonymous switches allow. In the arena; NULL: out of memory.
const struct kvs_grant *kvs_auth_anonymous(struct kvs_auth *auth, struct kvs_arena *arena);
// From the value of an Authorization header to a user's grant, in the arena. KVS_ERR_UNAUTHORIZED
// with a static reason; KVS_ERR_NOMEM.
KVS_MUST_CHECK int kvs_auth_identify(struct kvs_auth *auth, struct kvs_slice authorization,
                                     struct kvs_arena *arena, const struct kvs_grant **ret_grant,
                                     const char **ret_reason);
// The same for whoever acts in a user's name later on (a job that goes on after a restart).
const struct kvs_grant *kvs_auth_user_grant(struct kvs_auth *auth, struct kvs_arena *arena,
                                            const struct kvs_uuid *user, kvs_scope_set scopes);

// ---- How often

// The window and limit that are in force, for the headers that tell.
struct kvs_auth_settings kvs_auth_get_settings(struct kvs_auth *auth);
// Counts one request of a user, or of an anonymous caller's address. False: nobody is limited, and
// *ret_verdict is not set.
bool kvs_auth_count(struct kvs_auth *auth, const struct kvs_grant *grant, struct kvs_slice address,
                    struct kvs_ratelimit_verdict *ret_verdict);
// Counts one failed authentication from the address.
struct kvs_ratelimit_verdict kvs_auth_count_failure(struct kvs_auth *auth,
                                                    struct kvs_slice address);

// ---- Tokens

struct kvs_new_token {
    struct kvs_buf text; // the token; wipe with kvs_new_token_done
    struct kvs_account_hash hash;
    struct kvs_jwt_claims claims;
};

// Signs a token that is valid from now; its record is the caller's to store.
KVS_MUST_CHECK int kvs_auth_issue(struct kvs_auth *auth, const struct kvs_uuid *user,
                                  kvs_scope_set scopes, int64_t ttl_s,
                                  struct kvs_new_token *ret_token);
void kvs_new_token_done(struct kvs_new_token *token);

// Is it signed by this cluster, expired or not? For revoking one whose record has not arrived.
bool kvs_auth_is_ours(struct kvs_auth *auth, struct kvs_slice token, struct kvs_arena *scratch,
                      struct kvs_jwt_claims *ret_claims);

#endif
