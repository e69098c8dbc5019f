// SPDX-License-Identifier: Apache-2.0
// Writing what must be on the disk when the call returns. All return 0, or -1 with errno.
#ifndef KVS_BASE_DURABLE_H
#define KVS_BASE_DURABLE_H

#include "base/err.h"
#include "base/slice.h"

// All of `content`, then a sync of the file.
KVS_MUST_CHECK int kvs_write_durably(int fd, struct kvs_slice content);

// Syncs the folder that `path` lies in: names that were made or changed there are kept.
KVS_MUST_CHECK int kvs_sync_folder_of(const char *path);

// The same for every folder above `path`, for one that has just been made, perhaps with those above
// it. Passed over are folders that this user may not read and file systems that cannot sync a
// folder.
KVS_MUST_CHECK int kvs_sync_folders_above(const char *path);

#endif
