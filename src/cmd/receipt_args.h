// SPDX-License-Identifier: Apache-2.0
// --nodes and --wait: what the commands that write share. A write waits until so many nodes have it
// on their disks, and the exit code tells whether they do.
#ifndef KVS_CMD_RECEIPT_ARGS_H
#define KVS_CMD_RECEIPT_ARGS_H

#include "base/buf.h"
#include "cmd/cmd.h"
#include "kvs/kvs.h"

// Rows for the option table of the command.
#define KVS_CMD_RECEIPT_OPTIONS                                                                    \
    {"nodes", 0, "N", "Wait until N nodes, this one included, have it on their disks"},            \
    {                                                                                              \
        "wait", 0, "DURATION", "… but no longer than this (default 2s, at most 60s)"             \
    }

// What the options ask for; without them nothing. KVS_EXIT_OK, or KVS_EXIT_USAGE after saying why.
int kvs_cmd_receipt_read(const struct kvs_args *args, struct kvs_client_receipt *ret_receipt);

// The same, and what the other options of a command that makes a version of one key ask for: --ttl
// and --if-match, which it has in its table. The receipt outlives the options.
int kvs_cmd_put_options_read(const struct kvs_args *args, struct kvs_client_receipt *ret_receipt,
                             struct kvs_client_put_options *ret_options);

// ,"nodes":N for JSON; nothing where nothing was asked for.
void kvs_cmd_receipt_append(struct kvs_buf *out, const struct kvs_client_receipt *receipt);

// After a write that succeeded, `done` saying what it did ("stored"): KVS_EXIT_OK, or
// KVS_EXIT_PARTIAL after saying on stderr that too few nodes have it.
int kvs_cmd_receipt_check(const struct kvs_client_receipt *receipt, const char *done);

#endif
