// SPDX-License-Identifier: Apache-2.0
// How a node in the background tells `kvs start` that it serves, or why it does not: one line over
// a pipe, "ready ADDRESS" or "failed REASON".
#ifndef KVS_DAEMON_READY_H
#define KVS_DAEMON_READY_H

#include "base/err.h"

enum { KVS_READY_FD = 3 }; // the pipe's number in the node's process

// Was this process started by kvs_process_spawn? Then the pipe no longer passes to children.
bool kvs_ready_adopt(void);

// Each reports once and closes the pipe; nothing happens without one. Nobody may listen any more,
// so errors are ignored.
void kvs_ready_report(const char *address);
void kvs_ready_report_failure(const char *reason);

// The other end. Reads one report from `fd`. 0: ready, and where; KVS_ERR_UNREACHABLE: the node's
// reason is in the message ("" when it died without one); KVS_ERR_TIMEOUT.
KVS_MUST_CHECK int kvs_ready_wait(int fd, int timeout_ms, struct kvs_message *ret_address,
                                  struct kvs_message *ret_message);

#endif
