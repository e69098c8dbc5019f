// SPDX-License-Identifier: Apache-2.0
// Writing what must be on the disk when the call returns. Both return 0, or -1 with errno.
#ifndef KVS_BASE_DURABLE_H
#define KVS_BASE_DURABLE_H

#include "base/err.h"
#include "base/slice.h"

// All of `content`, then a sync of the file.
KVS_MUST_CHECK int kvs_write_durably(int fd, struct kvs_slice content);

// Syncs the folder that `path` lies in: names that were made or changed there are kept.
KVS_MUST_CHECK int kvs_sync_folder_of(const char *path);

#endif
