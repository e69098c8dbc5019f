// SPDX-License-Identifier: Apache-2.0
// Node processes from outside: start one in a session of its own, ask it to end, wait until it is
// gone. Signals go to pidfds whose process still held the instance's lock afterwards, so that a
// reused PID is never hit.
#ifndef KVS_DAEMON_PROCESS_H
#define KVS_DAEMON_PROCESS_H

#include <sys/types.h>

#include "daemon/instance.h"

// Starts this program again as `kvs --daemon CONFIG`: own session, no terminal, stdin from
// /dev/null, stdout and stderr to the instance's log, and KVS_READY_FD. *ret_ready_fd: where its
// report arrives.
KVS_MUST_CHECK int kvs_process_spawn(const struct kvs_instance *instance, pid_t *ret_pid,
                                     int *ret_ready_fd, struct kvs_message *ret_message);

// Sends `signal` to the instance's node. KVS_ERR_NOT_FOUND: it does not run (any more). *ret_pidfd:
// to wait for its end, -1 on errors.
KVS_MUST_CHECK int kvs_process_signal(struct kvs_home *home, const struct kvs_instance *instance,
                                      int signal, int *ret_pidfd, struct kvs_message *ret_message);

// Waits until the process has ended. KVS_ERR_TIMEOUT when it has not at `deadline_ms` (monotonic).
KVS_MUST_CHECK int kvs_process_wait(int pidfd, int64_t deadline_ms);

#endif
