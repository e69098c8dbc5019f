// SPDX-License-Identifier: Apache-2.0
// ~/.kvs: where a user's nodes leave PID files, logs and a note of where their configs are.
//
//   ~/.kvs/lock               held for moments by whoever changes or reads the rest
//   ~/.kvs/pids/NAME.pid      first line the PID, second the absolute path of the config
//   ~/.kvs/instances/NAME     the path of the config, the log's file name, where the node listens
//                             or last did (may be empty): a line each
//   ~/.kvs/logs/…             one file an instance
//
// Folders are made 0700, files 0600. Paths with control characters are refused: they would break
// the line formats. Not thread-safe; the main thread's alone.
#ifndef KVS_DAEMON_HOME_H
#define KVS_DAEMON_HOME_H

#include "base/cleanup.h"
#include "base/err.h"

struct kvs_home {
    char *root; // absolute, "/home/u/.kvs"
    int lock_fd;
};

// `user_home` is $HOME (NULL: not set). Makes what is missing.
KVS_MUST_CHECK int kvs_home_open(const char *user_home, struct kvs_home **ret_home,
                                 struct kvs_message *ret_message);
void kvs_home_free(struct kvs_home *home);
KVS_DEFINE_CLEANUP(struct kvs_home, kvs_home_free)

// Waits for the lock. Not recursive.
KVS_MUST_CHECK int kvs_home_lock(struct kvs_home *home, struct kvs_message *ret_message);
void kvs_home_unlock(struct kvs_home *home);

// "ROOT/folder/name" + suffix; NULL when out of memory.
char *kvs_home_path(const struct kvs_home *home, const char *folder, const char *name,
                    const char *suffix);

#endif
