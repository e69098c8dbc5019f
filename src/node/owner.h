// SPDX-License-Identifier: Apache-2.0
// The owner of a node: user root in group admin, with a token of all scopes. Made at a first start
// and by `kvs token create`, for whoever has the cluster secret or the disk in his hands.
#ifndef KVS_NODE_OWNER_H
#define KVS_NODE_OWNER_H

#include "auth/auth.h"
#include "node/node.h"

#define KVS_OWNER_NICKNAME "root"
#define KVS_OWNER_GROUP "admin"

enum { KVS_OWNER_TTL_S = 24 * 60 * 60 };

struct kvs_owner {
    struct kvs_uuid user;
    struct kvs_uuid group;
    struct kvs_new_token token;
};

// Creates what is missing of root and admin and issues a token for `ttl_s`. May block. The caller
// finishes *ret_owner with kvs_owner_done, whatever is returned.
KVS_MUST_CHECK int kvs_owner_create(struct kvs_node *node, struct kvs_auth *auth,
                                    struct kvs_random *random, const struct kvs_clock *clock,
                                    int64_t ttl_s, struct kvs_owner *ret_owner);
void kvs_owner_done(struct kvs_owner *owner);

#endif
