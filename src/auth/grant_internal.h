// SPDX-License-Identifier: Apache-2.0
#ifndef KVS_AUTH_GRANT_INTERNAL_H
#define KVS_AUTH_GRANT_INTERNAL_H

#include "auth/accounts.h"
#include "auth/grant.h"
#include "base/clock.h"

struct kvs_grant {
    enum kvs_grant_kind {
        KVS_GRANT_OPEN,
        KVS_GRANT_OWN,
        KVS_GRANT_PEER,
        KVS_GRANT_USER,
        KVS_GRANT_ANONYMOUS,
    } kind;
    struct kvs_accounts *accounts; // USER, ANONYMOUS
    struct kvs_uuid user;          // USER
    kvs_scope_set scopes;          // USER: the token's; ANONYMOUS: what the switches allow
    bool has_token;                // USER: minted from the token of this hash
    struct kvs_account_hash token;
    const struct kvs_clock *clock;
};

#endif
