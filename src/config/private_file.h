// SPDX-License-Identifier: Apache-2.0
// Files that hold secrets: mode 0600, and never seen half-written.
#ifndef KVS_CONFIG_PRIVATE_FILE_H
#define KVS_CONFIG_PRIVATE_FILE_H

#include "base/err.h"
#include "base/slice.h"

// Creates `path` with this content, on disk when it returns. KVS_ERR_CONFLICT when it exists
// already: of several processes that try at once exactly one succeeds, and the others then find it
// whole.
KVS_MUST_CHECK int kvs_private_file_create(const char *path, struct kvs_slice content,
                                           struct kvs_message *ret_message);

#endif
