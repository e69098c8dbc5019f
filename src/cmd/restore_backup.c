// SPDX-License-Identifier: Apache-2.0
// `kvs restore FILE --data-dir DIR`: a backup becomes a data folder that a node can be started on.
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "cmd/backup_local.h"
#include "cmd/restore_backup.h"

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

int kvs_cmd_restore_backup(const struct kvs_args *args)
{
    const char *data_dir = kvs_args_value(args, "data-dir");
    if (!*data_dir)
        return kvs_cmd_usage_error(args->command, "--data-dir is empty");
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
