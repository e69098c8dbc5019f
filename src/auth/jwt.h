// SPDX-License-Identifier: Apache-2.0
// Tokens as JSON Web Tokens (RFC 7519) in JWS compact form, HS256 and nothing else. Pure but for
// OpenSSL; thread-safe.
//
//   {"alg":"HS256","typ":"JWT","kid":"<16 hex>"}
//   {"iss":"kvs-server","user_uuid":"…","scopes":["read",…],"iat":s,"exp":s,"jti":"<uuid>"}
//
// Accepted is what kvs_jwt_issue writes, and as little else as possible: the header may hold alg,
// typ and kid alone, alg must be "HS256", kid must name one of our keys, no member may stand twice,
// every claim above must be there with its type. The signature is checked before the claims are
// read.
#ifndef KVS_AUTH_JWT_H
#define KVS_AUTH_JWT_H

#include "auth/crypto.h"
#include "auth/scope.h"
#include "base/arena.h"
#include "base/uuid.h"

enum {
    KVS_JWT_SIZE_MAX = 4096, // of a token that is looked at; ours have less than 1 KiB
    KVS_JWT_KEY_ID_SIZE = 16,
    KVS_JWT_KEYS_MAX = 2,
    KVS_JWT_CLOCK_LEEWAY_S = 60, // of the issuing node's clock, for iat and nbf; never for exp
    KVS_JWT_ANY_TIME = -1,       // as `now_s`: expired ones and those of the future too
};

// Both are derived from the cluster secret with HKDF, so that all nodes have the same ones.
struct kvs_jwt_key {
    uint8_t bytes[KVS_SHA256_SIZE];
    char id[KVS_JWT_KEY_ID_SIZE]; // hex; says nothing about the key
};

struct kvs_jwt_keys {
    struct kvs_jwt_key items[KVS_JWT_KEYS_MAX]; // the first one signs, all verify
    size_t count;
};

// `previous` is empty but while a rotation of the secret goes round.
void kvs_jwt_keys_init(struct kvs_jwt_keys *keys, struct kvs_slice secret,
                       struct kvs_slice previous);
void kvs_jwt_keys_done(struct kvs_jwt_keys *keys); // wipes

struct kvs_jwt_claims {
    struct kvs_uuid user;
    kvs_scope_set scopes; // names that this release does not know are left out
    int64_t issued_at;    // Unix seconds
    int64_t expires_at;
    struct kvs_uuid id; // makes two tokens of one second two tokens
};

void kvs_jwt_issue(const struct kvs_jwt_keys *keys, const struct kvs_jwt_claims *claims,
                   struct kvs_buf *out);

// KVS_ERR_UNAUTHORIZED with *ret_reason (static, says nothing of secrets), or KVS_ERR_NOMEM.
// `scratch` is the caller's; what it gets is a few times the token's size.
KVS_MUST_CHECK int kvs_jwt_verify(const struct kvs_jwt_keys *keys, struct kvs_slice token,
                                  int64_t now_s, struct kvs_arena *scratch,
                                  struct kvs_jwt_claims *ret_claims, const char **ret_reason);

#endif
