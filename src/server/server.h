// SPDX-License-Identifier: Apache-2.0
// The composition root: from a configuration to a serving node, and back. Everything that lives as
// long as the node is made here, passed down, and freed in the opposite order.
//
// Threads: the caller's thread waits for signals (SIGINT and SIGTERM end the node, SIGHUP reloads),
// net's loops serve requests, node's commit thread writes.
#ifndef KVS_SERVER_SERVER_H
#define KVS_SERVER_SERVER_H

#include "config/config.h"

struct kvs_server_options {
    const struct kvs_config *config; // checked, with its cluster secret; outlives the run
    const char *log_path;            // NULL: stdout
    // Called once, when requests are answered at `address` ("127.0.0.1:8080"); may be NULL.
    void (*ready)(void *ctx, const char *address);
    void *ctx;
};

// Serves until a signal ends it. 0 after a clean shutdown; on errors nothing is left running, and
// the message says what failed, why and what to do (it has been logged as well). One a process:
// signal masks, limits and SIGPIPE are the process's.
KVS_MUST_CHECK int kvs_server_run(const struct kvs_server_options *options,
                                  struct kvs_message *ret_message);

#endif
