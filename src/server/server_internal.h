// SPDX-License-Identifier: Apache-2.0
#ifndef KVS_SERVER_SERVER_INTERNAL_H
#define KVS_SERVER_SERVER_INTERNAL_H

#include "config/config.h"
#include "node/node.h"

// What the configuration says of a node; without log, metrics and observer. Borrows the config's
// texts.
struct kvs_node_options kvs_server_node_options(const struct kvs_config *config);

#endif
