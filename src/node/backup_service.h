// SPDX-License-Identifier: Apache-2.0
// A node's backups: by schedule, on request, one at a time, on a thread of their own that runs at a
// low priority. Each is verified by a scratch restore before it counts; then old ones expire.
//
// All functions are thread-safe and, but for start, free and list, never wait for a disk.
#ifndef KVS_NODE_BACKUP_SERVICE_H
#define KVS_NODE_BACKUP_SERVICE_H

#include "node/backup.h"
#include "node/node.h"

struct kvs_backup_service;

// What a reload may change. Texts are copied.
struct kvs_backup_settings {
    bool enabled;           // by schedule; on request it works either way
    const char *schedule;   // cron
    const char *folder;     // absolute
    int64_t retention_days; // at least 1
};

struct kvs_backup_service_options {
    struct kvs_node *node; // outlives the service
    const char *node_id;   // copied
    int compression_level;
    struct kvs_backup_settings settings;
    const struct kvs_clock *clock;
    struct kvs_random *random;
    struct kvs_log *log;         // may be NULL
    struct kvs_metrics *metrics; // may be NULL
};

// Looks what backups there are, removes what a crash left of one, and starts the thread. A folder
// that is missing or cannot be read is no error here: it is reported when a backup is made.
KVS_MUST_CHECK int kvs_backup_service_start(const struct kvs_backup_service_options *options,
                                            struct kvs_backup_service **ret_service,
                                            struct kvs_message *ret_message);
// Ends the thread; a running backup stops soon and leaves nothing. Before the node is closed. NULL
// is fine.
void kvs_backup_service_stop(struct kvs_backup_service *service);
// Stops it first where that has not been done. NULL is fine.
void kvs_backup_service_free(struct kvs_backup_service *service);
KVS_DEFINE_CLEANUP(struct kvs_backup_service, kvs_backup_service_free)

// On an error everything stays as it was.
KVS_MUST_CHECK int kvs_backup_service_configure(struct kvs_backup_service *service,
                                                const struct kvs_backup_settings *settings,
                                                struct kvs_message *ret_message);

// Begins a backup now; *ret_run is its number. KVS_ERR_CONFLICT: one runs, or is about to.
KVS_MUST_CHECK int kvs_backup_service_request(struct kvs_backup_service *service,
                                              uint64_t *ret_run);

struct kvs_backup_status {
    bool enabled;
    int64_t next_s; // 0: none
    uint64_t run;   // number of the running one, from 1 since the start; 0: none runs
    enum kvs_backup_phase phase;
    uint64_t done, total; // versions of this phase; total may be an estimate
    int64_t started_s;
    uint64_t last_run; // number of the last finished one; 0: none since the start
    int64_t last_s;    // when the last one ended; 0: never. Those that were found at start count
    bool last_success;
    char last_error[512]; // "" after a success
    char last_path[4200]; // newest good one; "": none
    uint64_t last_size;   // of that, bytes
    int64_t verified_s;   // when it was made and verified; 0: never
};
void kvs_backup_service_status(struct kvs_backup_service *service,
                               struct kvs_backup_status *ret_status);

// Of all nodes that share the folder. Reads files.
KVS_MUST_CHECK int kvs_backup_service_list(struct kvs_backup_service *service,
                                           struct kvs_backup_list *ret_list, char **ret_folder,
                                           struct kvs_message *ret_message);

#endif
