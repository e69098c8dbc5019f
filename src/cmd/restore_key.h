// SPDX-License-Identifier: Apache-2.0
// The part of `kvs restore` that brings an earlier version of a key back, on a running node.
#ifndef KVS_CMD_RESTORE_KEY_H
#define KVS_CMD_RESTORE_KEY_H

#include "cmd/cmd.h"

// The command's options rev, ttl and if-match, and those of every client command, say how.
int kvs_cmd_restore_key(const struct kvs_args *args);

#endif
