// SPDX-License-Identifier: Apache-2.0
// How the commands that make a version of one key tell of it.
#ifndef KVS_CMD_WRITTEN_H
#define KVS_CMD_WRITTEN_H

#include "cmd/cmd.h"
#include "kvs/kvs.h"

struct kvs_cmd_written {
    const char *done;   // "created"
    const char *detail; // for people, behind the key; "" for none
    const char *json;   // further members, with a comma in front; "" for none
    const struct kvs_client_version *version;
    const struct kvs_client_receipt *receipt;
};

// Of the command's first operand. KVS_EXIT_OK, or what kvs_cmd_print returns.
int kvs_cmd_show_written(const struct kvs_args *args, const struct kvs_cmd_written *written);

#endif
