// SPDX-License-Identifier: Apache-2.0
// Small files of a few lines, as PID files and the notes about instances are.
#ifndef KVS_DAEMON_TEXTFILE_H
#define KVS_DAEMON_TEXTFILE_H

#include <stddef.h>

#include "base/err.h"

enum { KVS_TEXTFILE_SIZE_MAX = 16 * 1024 };

// Reads exactly `count` lines, each ended by a newline, into *ret_text (owned by the caller) and
// points `ret_lines` at them. KVS_ERR_SYNTAX when the file looks different; KVS_ERR_IO, _NOMEM.
KVS_MUST_CHECK int kvs_textfile_read(int fd, size_t count, char **ret_lines, char **ret_text);

// Writes the lines to `path` (0600) by way of `temporary`, on the same file system: a crash leaves
// the old file or the new one.
KVS_MUST_CHECK int kvs_textfile_write(const char *path, const char *temporary, size_t count,
                                      const char *const *lines, struct kvs_message *ret_message);

#endif
