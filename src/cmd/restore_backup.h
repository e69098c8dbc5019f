// SPDX-License-Identifier: Apache-2.0
// `kvs restore FILE --data-dir DIR`: the half of `restore` that works on files.
#ifndef KVS_CMD_RESTORE_BACKUP_H
#define KVS_CMD_RESTORE_BACKUP_H

#include "cmd/cmd.h"

// `data-dir` has been given. Returns an enum kvs_exit_code.
int kvs_cmd_restore_backup(const struct kvs_args *args);

#endif
