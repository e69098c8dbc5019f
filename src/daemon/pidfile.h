// SPDX-License-Identifier: Apache-2.0
// PID files: the PID on the first line, the absolute path of the config on the second, and a lock
// (an open file description's, fcntl(2)) that the running node holds on the file. All of these are
// called with the home's lock held, so that nobody sees a file half written or removes a new one.
#ifndef KVS_DAEMON_PIDFILE_H
#define KVS_DAEMON_PIDFILE_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct kvs_pidfile {
    bool locked;        // a process holds it: the node runs
    pid_t pid;          // 0: unreadable
    char *config_path;  // "" when unreadable; owned
    int64_t started_ms; // when it was written, Unix ms
};

void kvs_pidfile_done(struct kvs_pidfile *pidfile);

// KVS_ERR_NOT_FOUND when there is none.
KVS_MUST_CHECK int kvs_pidfile_read(const char *path, struct kvs_pidfile *ret_pidfile);

// Creates, locks and writes it for this process. KVS_ERR_BUSY when another process holds it. The
// lock lives as long as *ret_fd.
KVS_MUST_CHECK int kvs_pidfile_take(const char *path, const char *config_path, int *ret_fd,
                                    struct kvs_message *ret_message);

#endif
