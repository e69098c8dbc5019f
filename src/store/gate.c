// SPDX-License-Identifier: Apache-2.0
#include "store/gate.h"

#include "base/assert.h"

#include <errno.h>
#include <time.h>

int kvs_gate_init(struct kvs_gate *gate)
{
    atomic_init(&gate->inside, 0);
    atomic_init(&gate->closed, false);
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0)
        return KVS_ERR_NOMEM;
    int result = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (result == 0)
        result = pthread_cond_init(&gate->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes); // cannot fail on Linux
    if (result != 0)
        return KVS_ERR_NOMEM;
    if (pthread_mutex_init(&gate->lock, NULL) != 0) {
        (void)pthread_cond_destroy(&gate->changed); // nobody waits yet
        return KVS_ERR_NOMEM;
    }
    return 0;
}

void kvs_gate_done(struct kvs_gate *gate)
{
    kvs_assert(atomic_load(&gate->inside) == 0);
    // Both only fail when somebody still uses them, which the line above rules out.
    (void)pthread_mutex_destroy(&gate->lock);
    (void)pthread_cond_destroy(&gate->changed);
}

static void lock(struct kvs_gate *gate)
{
    int result = pthread_mutex_lock(&gate->lock);
    kvs_assert(result == 0);
}

static void unlock(struct kvs_gate *gate)
{
    int result = pthread_mutex_unlock(&gate->lock);
    kvs_assert(result == 0);
}

static void wake_all(struct kvs_gate *gate)
{
    int result = pthread_cond_broadcast(&gate->changed);
    kvs_assert(result == 0);
}

bool kvs_gate_enter(struct kvs_gate *gate, bool wait)
{
    for (;;) {
        // Sequentially consistent on both sides: whoever closes sees us inside, or we see it
        // closed.
        atomic_fetch_add(&gate->inside, 1);
        if (!atomic_load(&gate->closed))
            return true;
        kvs_gate_leave(gate);
        if (!wait)
            return false;
        lock(gate);
        while (atomic_load(&gate->closed))
            (void)pthread_cond_wait(&gate->changed, &gate->lock); // fails on misuse only
        unlock(gate);
    }
}

void kvs_gate_leave(struct kvs_gate *gate)
{
    uint32_t before = atomic_fetch_sub(&gate->inside, 1);
    kvs_assert(before > 0);
    if (before > 1 || !atomic_load(&gate->closed))
        return;
    lock(gate);
    wake_all(gate);
    unlock(gate);
}

int kvs_gate_close(struct kvs_gate *gate, int timeout_ms)
{
    struct timespec deadline;
    (void)clock_gettime(CLOCK_MONOTONIC, &deadline); // cannot fail for this clock
    deadline.tv_sec += timeout_ms / 1000;
    deadline.tv_nsec += (timeout_ms % 1000) * 1000000L;
    if (deadline.tv_nsec >= 1000000000L) {
        deadline.tv_sec++;
        deadline.tv_nsec -= 1000000000L;
    }
    int err = 0;
    lock(gate);
    if (atomic_exchange(&gate->closed, true)) {
        unlock(gate);
        return KVS_ERR_BUSY;
    }
    while (!err && atomic_load(&gate->inside) > 0)
        if (pthread_cond_timedwait(&gate->changed, &gate->lock, &deadline) == ETIMEDOUT)
            err = atomic_load(&gate->inside) > 0 ? KVS_ERR_BUSY : 0;
    if (err) {
        atomic_store(&gate->closed, false);
        wake_all(gate);
    }
    unlock(gate);
    return err;
}

void kvs_gate_open(struct kvs_gate *gate)
{
    lock(gate);
    atomic_store(&gate->closed, false);
    wake_all(gate);
    unlock(gate);
}
