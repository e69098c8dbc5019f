// SPDX-License-Identifier: Apache-2.0
// Reads all records of a running node of the original Go system, or of any node, over documented
// routes: POST /kv_range as a peer, or GET /kv/_range as a client. One thread.
#ifndef KVS_CMD_FOREIGN_H
#define KVS_CMD_FOREIGN_H

#include "base/slice.h"
#include "kvs/kvs.h"

struct kvs_foreign {
    struct kvs_client *client;
    bool as_peer;   // the client sends the cluster secret with every request
    uint32_t limit; // of a page; 0: a default
};

// Called for each record in key order; `key` may be none that KVS takes. Returns an exit code;
// other than KVS_EXIT_OK ends the reading.
typedef int kvs_foreign_visit_fn(void *context, const char *key, struct kvs_slice json);

// Returns an exit code, after saying why. `start` NULL: from the first key.
int kvs_foreign_read(const struct kvs_foreign *foreign, const char *start,
                     kvs_foreign_visit_fn *visit, void *context);

#endif
