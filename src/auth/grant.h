// SPDX-License-Identifier: Apache-2.0
// The proof that a request was authorised, and what it may do with which key. Only auth/ can make
// one (the struct is opaque elsewhere); node operations demand one and ask it for each key they
// touch: skipping authorisation does not compile. Immutable: shared by all threads.
#ifndef KVS_AUTH_GRANT_H
#define KVS_AUTH_GRANT_H

#include "auth/permission.h"
#include "auth/scope.h"
#include "base/uuid.h"

struct kvs_grant;

// What a node serves while accounts are off, and how handlers reach system records: everything,
// system keys included. Static.
const struct kvs_grant *kvs_auth_open_grant(void);
// The same for what a node does on its own behalf, in any mode. Static.
const struct kvs_grant *kvs_auth_own_grant(void);
// A cluster member's: all users' keys, whatever their permissions say. Static.
const struct kvs_grant *kvs_auth_peer_grant(void);

// May the bearer do this with this key? Scopes first, then the 12 bits of the key or of its nearest
// ancestor that has some, as they are at this moment. 0, KVS_ERR_FORBIDDEN, or KVS_ERR_UNAUTHORIZED
// when a token is missing altogether.
KVS_MUST_CHECK int kvs_grant_check(const struct kvs_grant *grant, struct kvs_slice key,
                                   enum kvs_access access);
// Is the token that it was minted from still good? For requests that last: streams, jobs.
bool kvs_grant_is_good(const struct kvs_grant *grant);
// May it read every key there could be that begins with `prefix`? False also where that would take
// too long to say.
bool kvs_grant_reads_below(const struct kvs_grant *grant, struct kvs_slice prefix);
// May nothing be hidden from the bearer by scopes or permissions?
bool kvs_grant_is_open(const struct kvs_grant *grant);

// May it write on a node that is read-only or syncing?
bool kvs_grant_any_mode(const struct kvs_grant *grant);

// NULL: not a user's.
const struct kvs_uuid *kvs_grant_user(const struct kvs_grant *grant);
// Of a user's token; empty for anonymous callers and peers.
kvs_scope_set kvs_grant_scopes(const struct kvs_grant *grant);
bool kvs_grant_is_peer(const struct kvs_grant *grant);
bool kvs_grant_is_anonymous(const struct kvs_grant *grant);

#endif
