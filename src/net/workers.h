// SPDX-License-Identifier: Apache-2.0
// Threads for work that may block on the disk: an executor that any thread may post to. Unlike
// libuv's own pool it needs no memory a task, so posting cannot fail, and no detour over a loop.
#ifndef KVS_NET_WORKERS_H
#define KVS_NET_WORKERS_H

#include "base/cleanup.h"
#include "base/err.h"
#include "base/executor.h"

struct kvs_workers;

KVS_MUST_CHECK int kvs_workers_new(unsigned thread_count, struct kvs_workers **ret_workers);
struct kvs_executor *kvs_workers_executor(struct kvs_workers *workers);
// Runs what is queued, then ends the threads. NULL is fine.
void kvs_workers_free(struct kvs_workers *workers);
KVS_DEFINE_CLEANUP(struct kvs_workers, kvs_workers_free)

#endif
