// SPDX-License-Identifier: Apache-2.0
// From the configuration to what decides about access, the observer that feeds it, and the owner
// that a first start makes.
#ifndef KVS_SERVER_ACCESS_H
#define KVS_SERVER_ACCESS_H

#include "auth/auth.h"
#include "config/config.h"
#include "node/node.h"

struct kvs_auth_settings kvs_access_settings(const struct kvs_config *config);

struct kvs_gatekeeper {
    struct kvs_accounts *accounts;
    struct kvs_auth *auth;             // NULL: auth_enabled is off
    struct kvs_log *log;               // borrowed, may be NULL
    struct kvs_node_observer observer; // the node is to be opened with it
};

// Outlives the node and does not move. The caller finishes it with kvs_gatekeeper_done in any case.
KVS_MUST_CHECK int kvs_gatekeeper_init(struct kvs_gatekeeper *gatekeeper,
                                       const struct kvs_config *config, struct kvs_log *log,
                                       struct kvs_message *ret_message);
void kvs_gatekeeper_done(struct kvs_gatekeeper *gatekeeper);

// Where nobody is, and nobody will come from a cluster: makes the owner and prints him, with his
// token, on stdout. The one place where a secret is printed.
KVS_MUST_CHECK int kvs_access_first_start(const struct kvs_config *config, struct kvs_node *node,
                                          struct kvs_auth *auth, struct kvs_message *ret_message);

#endif
