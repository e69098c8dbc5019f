// SPDX-License-Identifier: Apache-2.0
// `kvs restore -r PREFIX`: what was deleted under a prefix comes back.
#ifndef KVS_CMD_RESTORE_TREE_H
#define KVS_CMD_RESTORE_TREE_H

#include "cmd/cmd.h"

// Exit code 4 when nothing was deleted there, 9 when some records could not be brought back.
int kvs_cmd_restore_tree(const struct kvs_args *args);

#endif
