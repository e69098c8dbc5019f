// SPDX-License-Identifier: Apache-2.0
// The proof that a request was authorised. Only auth/ can make one (the struct is opaque
// elsewhere); node operations demand one: skipping authorisation does not compile.
#ifndef KVS_AUTH_GRANT_H
#define KVS_AUTH_GRANT_H

#include "base/uuid.h"

struct kvs_grant;

// What a node serves while accounts are off or absent: everything to everyone. Static.
const struct kvs_grant *kvs_auth_open_grant(void);

// Whose request it is; NULL for the open grant. Valid as long as the grant.
const struct kvs_uuid *kvs_grant_user(const struct kvs_grant *grant);

enum kvs_access { KVS_ACCESS_READ, KVS_ACCESS_WRITE, KVS_ACCESS_CREATE, KVS_ACCESS_DELETE };

#endif
