// SPDX-License-Identifier: Apache-2.0
// What a config says of a node of this machine: where it is reached, and the cluster secret, by
// which whoever may read the config proves to be of the cluster. The secret is not sent: requests
// are signed with it as nodes sign theirs (docs/formats/peer-protocol.md), and a success is
// believed only of who has it, too. Messages go to stderr here; functions return exit codes.
#ifndef KVS_CMD_OWN_NODE_H
#define KVS_CMD_OWN_NODE_H

#include "cmd/cmd.h"
#include "config/config.h"
#include "kvs/kvs.h"

// The config at `path`, with its cluster secret. Free it with kvs_config_free.
int kvs_cmd_config_open(const char *path, struct kvs_config **ret_config);

struct kvs_cmd_proof;                                 // signs for one client
void kvs_cmd_proof_free(struct kvs_cmd_proof *proof); // NULL is fine; behind its client

// Says hello to the node, which proves that it has the secret, too. `who`: what the node logs as
// the caller's name. All requests of the client are signed from now on, but for /health, which
// everybody may ask. *ret_proof is the caller's, also where an error is returned.
int kvs_cmd_prove(struct kvs_client *client, const char *who, const char *secret,
                  struct kvs_cmd_proof **ret_proof);

// A client of the config's node that proves to be of the cluster. A node without clustering knows
// no signatures and is sent the secret itself: to its own address, on this machine. *ret_proof is
// NULL then.
int kvs_cmd_own_node_open(const struct kvs_config *config, const char *who,
                          struct kvs_client **ret_client, struct kvs_cmd_proof **ret_proof);

#endif
