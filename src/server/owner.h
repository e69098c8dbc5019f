// SPDX-License-Identifier: Apache-2.0
// The owner of a node that is not running, straight in its store.
#ifndef KVS_SERVER_OWNER_H
#define KVS_SERVER_OWNER_H

#include "config/config.h"
#include "node/owner.h"

// Opens the node's data, makes what is missing of the owner, issues a token and closes again.
// KVS_ERR_BUSY when a node holds the data. The caller finishes *ret_owner with kvs_owner_done,
// whatever is returned.
KVS_MUST_CHECK int kvs_server_make_owner(const struct kvs_config *config,
                                         struct kvs_owner *ret_owner,
                                         struct kvs_message *ret_message);

#endif
