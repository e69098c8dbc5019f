// SPDX-License-Identifier: Apache-2.0
// The proof that a request was authorised. Only auth/ can make one (the struct is opaque
// elsewhere); node operations demand one: skipping authorisation does not compile.
#ifndef KVS_AUTH_GRANT_H
#define KVS_AUTH_GRANT_H

#include "auth/permission.h"

struct kvs_grant;

// What a node serves while accounts are off or absent: everything to everyone. Static.
const struct kvs_grant *kvs_auth_open_grant(void);

#endif
