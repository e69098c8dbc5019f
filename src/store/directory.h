// SPDX-License-Identifier: Apache-2.0
// The directory of a store: is it ours, in which format, and has somebody got it open? The first
// two are answered by the file FORMAT in it (magic and version), the last by a lock.
#ifndef KVS_STORE_DIRECTORY_H
#define KVS_STORE_DIRECTORY_H

#include "base/err.h"

enum { KVS_STORE_FORMAT = 1 };

// Makes `path` a store's directory if it is missing or empty (0700, parents too), and locks it.
// *ret_fd holds the lock: close it last. KVS_ERR_BUSY: another process has it; KVS_ERR_VERSION: a
// newer format; KVS_ERR_CONFLICT: it holds something else.
KVS_MUST_CHECK int kvs_directory_open(const char *path, int *ret_fd,
                                      struct kvs_message *ret_message);

// Marks a finished copy of a store's files as a store and makes it private.
KVS_MUST_CHECK int kvs_directory_mark(const char *path);

#endif
