// SPDX-License-Identifier: Apache-2.0
// Tokens whose signature has been verified, by the SHA-256 of their text: the text itself is not
// kept. A hit says that the claims are authentic, nothing more; whether the token is still good is
// asked of the accounts each time. Thread-safe; of a fixed size, older entries make way.
#ifndef KVS_AUTH_TOKEN_CACHE_H
#define KVS_AUTH_TOKEN_CACHE_H

#include "auth/account_record.h"
#include "auth/jwt.h"

struct kvs_token_cache;

struct kvs_verified_token {
    struct kvs_account_hash hash; // what its record is found by
    struct kvs_jwt_claims claims;
};

KVS_MUST_CHECK int kvs_token_cache_new(struct kvs_token_cache **ret_cache);
void kvs_token_cache_free(struct kvs_token_cache *cache); // NULL is fine

bool kvs_token_cache_get(struct kvs_token_cache *cache,
                         const uint8_t digest[static KVS_SHA256_SIZE],
                         struct kvs_verified_token *ret_token);
void kvs_token_cache_put(struct kvs_token_cache *cache,
                         const uint8_t digest[static KVS_SHA256_SIZE],
                         const struct kvs_verified_token *token);

#endif
