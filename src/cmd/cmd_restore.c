// SPDX-License-Identifier: Apache-2.0
// `kvs restore`: a key's earlier version on a node, or, with --data-dir, a backup into a new
// folder.
#include "cmd/client_args.h"
#include "cmd/restore_backup.h"
#include "cmd/restore_key.h"

static int run_restore(const struct kvs_args *args)
{
    static const char *const of_keys[] = {"rev", "ttl", "if-match", "url"};
    if (!kvs_args_value(args, "data-dir")) {
        if (kvs_args_flag(args, "as-new-writes"))
            return kvs_cmd_usage_error(args->command, "--as-new-writes needs --data-dir");
        return kvs_cmd_restore_key(args);
    }
    for (size_t i = 0; i < sizeof(of_keys) / sizeof(of_keys[0]); i++)
        if (kvs_args_value(args, of_keys[i]))
            return kvs_cmd_usage_error(
                args->command, "--%s is for keys, --data-dir for backups: not both", of_keys[i]);
    return kvs_cmd_restore_backup(args);
}

static const struct kvs_cmd_option restore_options[] = {
    {"rev", 0, "N", "Which version: 1 is the newest, 2 (the default) the one before"},
    {"ttl", 0, "DURATION", "Let it expire: 30s, 1h30m; 0: never (default: the node's default_ttl)"},
    {"if-match", 0, "UUID", "Only over this version"},
    {"data-dir", 'd', "DIR",
     "Restore a backup: the folder to make; it must not exist, or be empty"},
    {"as-new-writes", 0, NULL,
     "Every value of the backup becomes a new write of now and wins over the cluster's"},
    KVS_CMD_CLIENT_OPTIONS,
    {0},
};

const struct kvs_command_body kvs_cmd_restore = {
    .run = run_restore,
    .options = restore_options,
    .details =
        "KEY: writes an earlier version as a new one. Nothing is lost, and restoring again undoes\n"
        "it. Without --rev it undoes the last change, a deletion too. Prints the new version's\n"
        "UUID. Exit code 4 where that version does not exist or holds no value, 5 when --if-match\n"
        "did not hold.\n"
        "\n"
        "FILE --data-dir DIR: puts a backup into a new data folder: every version, deletions,\n"
        "history, accounts and the node's own identity, as they were. The folder appears when all\n"
        "of it is there and has been compared with the backup's fingerprint; a damaged or\n"
        "incomplete file, or one of a newer KVS, is refused with the reason and leaves nothing.\n"
        "A node of a cluster that is started on it has been away since the backup: it takes over\n"
        "what happened since, and brings nothing back that was deleted. To bring the backup's\n"
        "values back, add --as-new-writes: then they win, on every node. Keys that were made\n"
        "since stay, and so do deletions that were in the backup.\n"
        "\n" KVS_CMD_CLIENT_DETAILS "\n"
        "Examples:\n"
        "  kvs restore app/config            # undo the last change\n"
        "  kvs history app/config            # what there is to choose from\n"
        "  kvs restore app/config --rev 3\n"
        "  kvs stop node1 && mv data data.old\n"
        "  kvs restore backups/kvs-backup-2026-11-23T000000Z.zst --data-dir data\n",
};
