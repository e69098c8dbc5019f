// SPDX-License-Identifier: Apache-2.0
// Long work that a client starts and a node carries out by itself: the deletion of everything below
// a prefix. A job is a small record of this node's own (KVS_FAMILY_META, not replicated; what it
// does to the data is). It survives restarts and goes on where it stopped. One is at work at a
// time, in batches, so that clients' writes always have their turn; others wait for theirs.
// Thread-safe.
//
//     QUEUED --> RUNNING --> DONE
//        '----------'------> CANCELLED
#ifndef KVS_NODE_JOBS_H
#define KVS_NODE_JOBS_H

#include "node/node.h"

enum kvs_job_state {
    KVS_JOB_QUEUED = 1, // the numbers are in the store
    KVS_JOB_RUNNING,
    KVS_JOB_DONE,
    KVS_JOB_CANCELLED,
};
const char *kvs_job_state_name(enum kvs_job_state state); // "queued"; static

enum {
    KVS_JOBS_ACTIVE_MAX = 16,                       // queued and running
    KVS_JOBS_KEPT_MAX = 100,                        // all: older finished ones are forgotten
    KVS_JOBS_KEPT_MS = 7 * 24 * 60 * 60 * 1000,     // after their end
    KVS_JOB_PREFIX_SIZE_MAX = KVS_KEY_SIZE_MAX + 1, // a key and '/'
};

struct kvs_job {
    struct kvs_uuid id;
    enum kvs_job_state state;
    int64_t created_ms;  // wall clock
    int64_t finished_ms; // 0: not yet
    uint64_t deleted;    // records so far; after a crash it may be off by one batch
    int err;             // why it waits and tries again, 0: it does not
    size_t prefix_size;
    char prefix[KVS_JOB_PREFIX_SIZE_MAX]; // ends with '/'
};

// Jobs are shown to those who may delete at their prefix. All of these may block on the disk: not
// for a loop thread.

// Deletes every record whose key begins with `prefix` (a valid key and '/') and that was there when
// the job was made: what is written afterwards on this node stays. KVS_ERR_BUSY: too many jobs are
// active; KVS_ERR_FORBIDDEN: the grant may not delete all of it; KVS_ERR_READ_ONLY, _SYNCING, …
KVS_MUST_CHECK int kvs_node_job_start(struct kvs_node *node, const struct kvs_grant *grant,
                                      struct kvs_slice prefix, struct kvs_job *ret_job);
KVS_MUST_CHECK int kvs_node_job_get(struct kvs_node *node, const struct kvs_grant *grant,
                                    const struct kvs_uuid *id, struct kvs_job *ret_job);
// Newest first; at most KVS_JOBS_KEPT_MAX. Returns how many.
size_t kvs_node_job_list(struct kvs_node *node, const struct kvs_grant *grant,
                         struct kvs_job ret_jobs[static KVS_JOBS_KEPT_MAX]);
// Stops an active job for good (what it has deleted stays so) and shows it; forgets a finished one:
// then *ret_forgotten. KVS_ERR_NOT_FOUND.
KVS_MUST_CHECK int kvs_node_job_cancel(struct kvs_node *node, const struct kvs_grant *grant,
                                       const struct kvs_uuid *id, struct kvs_job *ret_job,
                                       bool *ret_forgotten);

#endif
