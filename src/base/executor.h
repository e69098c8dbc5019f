// SPDX-License-Identifier: Apache-2.0
// Where work runs. `net` provides two executors an event loop: the loop itself (post from any
// thread) and its worker pool for work that may block on the disk. Layers below `net` know only
// this interface.
#ifndef KVS_BASE_EXECUTOR_H
#define KVS_BASE_EXECUTOR_H

#include <stdbool.h>

struct kvs_task {
    void (*run)(struct kvs_task *task); // called once, on the executor's thread
    struct kvs_task *next;              // the executor's while queued
};

struct kvs_executor {
    // Queues `task`; thread-safe; never fails, never runs it inline. The task is embedded in its
    // owner (KVS_CONTAINER_OF) and must stay valid until run is called.
    void (*post)(struct kvs_executor *executor, struct kvs_task *task);
    // The same for several at once, linked by `next` from the last to be run to the first. NULL:
    // they are posted one by one.
    void (*post_list)(struct kvs_executor *executor, struct kvs_task *last, struct kvs_task *first);
    // Has `call` called on the executor's thread when that has dealt with all that is ready now,
    // before it waits for more; once, however often the same is asked for until then. For whoever
    // wakes another thread with something of which more may come at once. False: nothing will
    // happen, this is another thread. NULL: there is no such moment.
    bool (*call_idle)(struct kvs_executor *executor, void (*call)(void *ctx), void *ctx);
};

static inline void kvs_executor_post(struct kvs_executor *executor, struct kvs_task *task)
{
    executor->post(executor, task);
}

#endif
