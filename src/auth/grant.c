// SPDX-License-Identifier: Apache-2.0
// The one place where access to a key is decided.
#include "auth/grant_internal.h"

#include "codec/record.h"

const struct kvs_grant *kvs_auth_open_grant(void)
{
    static const struct kvs_grant open = {.kind = KVS_GRANT_OPEN};
    return &open;
}

const struct kvs_grant *kvs_auth_own_grant(void)
{
    static const struct kvs_grant own = {.kind = KVS_GRANT_OWN};
    return &own;
}

const struct kvs_grant *kvs_auth_peer_grant(void)
{
    static const struct kvs_grant peer = {.kind = KVS_GRANT_PEER};
    return &peer;
}

static enum kvs_scope scope_of(enum kvs_access access)
{
    switch (access) {
    case KVS_ACCESS_READ:
        return KVS_SCOPE_READ;
    case KVS_ACCESS_DELETE:
        return KVS_SCOPE_DELETE;
    case KVS_ACCESS_WRITE:
    case KVS_ACCESS_CREATE:
        break;
    }
    return KVS_SCOPE_WRITE;
}

int kvs_grant_check(const struct kvs_grant *grant, struct kvs_slice key, enum kvs_access access)
{
    if (grant->kind == KVS_GRANT_OPEN || grant->kind == KVS_GRANT_OWN)
        return 0;
    if (kvs_key_is_system(key))
        return KVS_ERR_FORBIDDEN;
    if (grant->kind == KVS_GRANT_PEER)
        return 0;
    bool user = grant->kind == KVS_GRANT_USER;
    if (!kvs_scope_in(grant->scopes, scope_of(access)))
        return user ? KVS_ERR_FORBIDDEN : KVS_ERR_UNAUTHORIZED;
    bool allowed = kvs_accounts_allow(grant->accounts, key, user ? &grant->user : NULL, access);
    return allowed ? 0 : KVS_ERR_FORBIDDEN;
}

bool kvs_grant_is_good(const struct kvs_grant *grant)
{
    const char *reason = NULL;
    return !grant->has_token ||
           kvs_accounts_check_token(grant->accounts, &grant->token,
                                    kvs_clock_wall_ms(grant->clock) / 1000, &reason) == 0;
}

bool kvs_grant_reads_below(const struct kvs_grant *grant, struct kvs_slice prefix)
{
    if (kvs_grant_is_open(grant))
        return true;
    bool user = grant->kind == KVS_GRANT_USER;
    return kvs_scope_in(grant->scopes, KVS_SCOPE_READ) &&
           kvs_accounts_allow_below(grant->accounts, prefix, user ? &grant->user : NULL,
                                    KVS_ACCESS_READ);
}

bool kvs_grant_is_open(const struct kvs_grant *grant)
{
    return grant->kind == KVS_GRANT_OPEN || grant->kind == KVS_GRANT_OWN ||
           grant->kind == KVS_GRANT_PEER;
}

bool kvs_grant_any_mode(const struct kvs_grant *grant)
{
    return grant->kind == KVS_GRANT_OWN || grant->kind == KVS_GRANT_PEER;
}

const struct kvs_uuid *kvs_grant_user(const struct kvs_grant *grant)
{
    return grant->kind == KVS_GRANT_USER ? &grant->user : NULL;
}

kvs_scope_set kvs_grant_scopes(const struct kvs_grant *grant)
{
    return grant->kind == KVS_GRANT_USER ? grant->scopes : 0;
}

bool kvs_grant_is_peer(const struct kvs_grant *grant)
{
    return grant->kind == KVS_GRANT_PEER;
}

bool kvs_grant_is_anonymous(const struct kvs_grant *grant)
{
    return grant->kind == KVS_GRANT_ANONYMOUS;
}
