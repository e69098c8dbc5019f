// SPDX-License-Identifier: Apache-2.0
// `kvs restore KEY`: an earlier version of a key comes back, on a running node. `kvs restore FILE
// --data-dir DIR`: a backup becomes a data folder that a node can be started on.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cmd/backup_local.h"
#include "cmd/client_args.h"
#include "cmd/receipt_args.h"
#include "cmd/restore_key.h"
#include "cmd/restore_tree.h"

static int print_result(enum kvs_cmd_output output, const char *data_dir,
                        const struct kvs_backup_info *info, uint64_t rewritten)
{
    char number[KVS_PROGRESS_NUMBER_SIZE];
    int code = KVS_EXIT_OK;
    if (output != KVS_CMD_OUTPUT_PLAIN)
        code = kvs_cmd_backup_print(output, "restored and verified", data_dir, info);
    if (output == KVS_CMD_OUTPUT_HUMAN && rewritten > 0)
        printf("  anew      %s values are new writes of now\n",
               kvs_progress_number(rewritten, number));
    if (output == KVS_CMD_OUTPUT_HUMAN)
        printf("Set data_dir to it, and start the node.\n");
    return code;
}

static int restore_backup(const struct kvs_args *args, const char *data_dir)
{
    struct kvs_cmd_backup_watch watch;
    const struct kvs_backup_restore_options options = {
        .file = args->operands[0],
        .data_dir = data_dir,
        .as_new_writes = kvs_args_flag(args, "as-new-writes"),
        .clock = kvs_clock_system(),
        .random = kvs_random_system(),
        .watch = &watch.watch,
    };
    struct kvs_backup_info info = {0};
    struct kvs_message message = {{0}};
    uint64_t rewritten = 0;
    (void)umask(077); // what is restored is as private as the backup
    kvs_cmd_backup_watch_begin(&watch);
    if (kvs_backup_restore(&options, &info, &rewritten, &message) != 0)
        return kvs_cmd_backup_failed(&watch, &message);
    kvs_progress_clear(&watch.progress);
    return print_result(kvs_cmd_output(args), data_dir, &info, rewritten);
}

// The options of the one mean nothing to the other.
static int check_options(const struct kvs_args *args, bool of_backup)
{
    static const char *const key_only[] = {"rev", "ttl", "if-match", "recursive", "nodes", "wait"};
    static const char *const one_only[] = {"rev", "if-match", "nodes", "wait"};
    static const char *const tree_only[] = {"since", "dry-run"};
    bool of_tree = kvs_args_flag(args, "recursive");
    if (!of_backup && kvs_args_flag(args, "as-new-writes"))
        return kvs_cmd_usage_error(args->command, "--as-new-writes goes with --data-dir");
    for (size_t i = 0; of_backup && i < KVS_ARRAY_SIZE(key_only); i++)
        if (kvs_args_flag(args, key_only[i]))
            return kvs_cmd_usage_error(args->command, "--%s is for a KEY, not for a backup",
                                       key_only[i]);
    for (size_t i = 0; of_tree && i < KVS_ARRAY_SIZE(one_only); i++)
        if (kvs_args_flag(args, one_only[i]))
            return kvs_cmd_usage_error(args->command, "--%s is for one KEY, not for --recursive",
                                       one_only[i]);
    for (size_t i = 0; !of_tree && i < KVS_ARRAY_SIZE(tree_only); i++)
        if (kvs_args_flag(args, tree_only[i]))
            return kvs_cmd_usage_error(args->command, "--%s goes with --recursive", tree_only[i]);
    return KVS_EXIT_OK;
}

static int run_restore(const struct kvs_args *args)
{
    const char *data_dir = kvs_args_value(args, "data-dir");
    if (data_dir && !*data_dir)
        return kvs_cmd_usage_error(args->command, "--data-dir is empty");
    int code = check_options(args, data_dir != NULL);
    if (code != KVS_EXIT_OK)
        return code;
    if (!data_dir && kvs_args_flag(args, "recursive"))
        return kvs_cmd_restore_tree(args);
    struct stat status;
    bool is_file = args->operands[0][0] == '/' || // no key begins so
                   (strchr(args->operands[0], '/') && stat(args->operands[0], &status) == 0 &&
                    S_ISREG(status.st_mode));
    if (!data_dir && is_file)
        return kvs_cmd_usage_error(args->command,
                                   "'%s' is a file: to restore a backup, say --data-dir DIR",
                                   args->operands[0]);
    return data_dir ? restore_backup(args, data_dir) : kvs_cmd_restore_key(args);
}

static const struct kvs_cmd_option restore_options[] = {
    {"rev", 0, "N", "Which version: 1 is the newest, 2 (the default) the one before"},
    {"ttl", 0, "DURATION", "Let it expire: 30s, 1h30m; 0: never (the node's default_ttl)"},
    {"if-match", 0, "UUID", "Only over this version"},
    KVS_CMD_RECEIPT_OPTIONS,
    {"recursive", 'r', NULL, "Every record under KEY/ that was deleted and is not there again"},
    {"since", 's', "AGE", "With -r: what was deleted in the last 10m, 24h"},
    {"dry-run", 'n', NULL, "With -r: only say which"},
    {"data-dir", 'd', "DIR", "The folder to make; it must not exist, or be empty"},
    {"as-new-writes", 0, NULL, "Every value is a new write and wins over the cluster's"},
    KVS_CMD_CLIENT_OPTIONS,
    {0},
};

const struct kvs_command_body kvs_cmd_restore = {
    .run = run_restore,
    .options = restore_options,
    .details =
        "Writes an earlier version as a new one: nothing is lost, and restoring again undoes\n"
        "it. Without --rev it undoes the last change, a deletion too. Prints the new\n"
        "version's UUID.\n"
        "Exit code 4 where that version does not exist or holds no value, 5 when --if-match\n"
        "did not hold, 9 when fewer than --nodes had it in time.\n"
        "\n"
        "With --recursive it undoes deletions under KEY, such as those of 'kvs delete -r KEY': "
        "each\n"
        "record there that is deleted now gets the value back that it had before. A key that has\n"
        "a value stays as it is. Prints the keys. Exit code 4 when there were none, 9 when some\n"
        "could not be restored.\n"
        "\n" KVS_CMD_CLIENT_DETAILS "\n"
        "With --data-dir it puts a backup into a new data folder: every version, deletions,\n"
        "history, accounts and the node's own identity, as they were. The folder appears when\n"
        "all of it is there and has been compared with the backup's fingerprint; a damaged or\n"
        "incomplete file, or one of a newer KVS, is refused with the reason and leaves nothing.\n"
        "\n"
        "A node of a cluster that is started on it has been away since the backup: it takes over\n"
        "what happened since, and brings nothing back that was deleted. To bring the backup's\n"
        "values back, add --as-new-writes: then they win, on every node. Keys that were made\n"
        "since stay, and so do deletions that were in the backup.\n"
        "\n"
        "Examples:\n"
        "  kvs restore app/config            # undo the last change\n"
        "  kvs restore app/config --rev 3    # see 'kvs history app/config'\n"
        "  kvs restore -r app --since 10m    # undo 'kvs delete -r app'\n"
        "  kvs stop node1 && mv data data.old\n"
        "  kvs restore backups/kvs-backup-2026-11-23T000000Z.zst --data-dir data\n"
        "  kvs restore yesterday.zst --data-dir data --as-new-writes\n",
};
