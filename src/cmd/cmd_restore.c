// SPDX-License-Identifier: Apache-2.0
// `kvs restore KEY`.
#include "cmd/client_args.h"
#include "cmd/restore_key.h"

static const struct kvs_cmd_option restore_options[] = {
    {"rev", 0, "N", "Which version: 1 is the newest, 2 (the default) the one before"},
    {"ttl", 0, "DURATION", "Let it expire: 30s, 1h30m; 0: never (default: the node's default_ttl)"},
    {"if-match", 0, "UUID", "Only over this version"},
    KVS_CMD_CLIENT_OPTIONS,
    {0},
};

const struct kvs_command_body kvs_cmd_restore = {
    .run = kvs_cmd_restore_key,
    .options = restore_options,
    .details =
        "Writes an earlier version as a new one: nothing is lost, and restoring again undoes\n"
        "it. Without --rev it undoes the last change, a deletion too. Prints the new\n"
        "version's UUID.\n"
        "Exit code 4 where that version does not exist or holds no value, 5 when --if-match\n"
        "did not hold.\n"
        "\n" KVS_CMD_CLIENT_DETAILS "\n"
        "Examples:\n"
        "  kvs restore app/config            # undo the last change\n"
        "  kvs history app/config            # what there is to choose from\n"
        "  kvs restore app/config --rev 3\n",
};
