// SPDX-License-Identifier: Apache-2.0
// What the commands on backup files share: a progress bar, an interrupt that leaves nothing behind,
// and manifests for people and scripts.
#ifndef KVS_CMD_BACKUP_LOCAL_H
#define KVS_CMD_BACKUP_LOCAL_H

#include "cmd/client_args.h"
#include "cmd/progress.h"
#include "node/backup.h"

struct kvs_cmd_backup_watch {
    struct kvs_backup_watch watch; // hand this on
    struct kvs_progress progress;
    enum kvs_backup_phase phase;
};
// From here on the first SIGINT or SIGTERM lets the work end itself: nothing half-made is left.
void kvs_cmd_backup_watch_begin(struct kvs_cmd_backup_watch *watch);
// Says why it failed; returns the exit code.
int kvs_cmd_backup_failed(struct kvs_cmd_backup_watch *watch, const struct kvs_message *message);

// "4.2 MiB", NUL-terminated.
enum { KVS_CMD_SIZE_TEXT_SIZE = 32 };
const char *kvs_cmd_size_text(uint64_t bytes, char ret_text[static KVS_CMD_SIZE_TEXT_SIZE]);

// A manifest: a few lines for people, one of JSON for scripts; `path` alone into a pipe.
int kvs_cmd_backup_print(enum kvs_cmd_output output, const char *verb, const char *path,
                         const struct kvs_backup_info *info);

// `kvs backup verify FILE`, `kvs backup CONFIG` of a node that does not run.
int kvs_cmd_backup_verify(const struct kvs_args *args, const char *path);
int kvs_cmd_backup_stopped_node(const struct kvs_args *args, const char *word);

#endif
