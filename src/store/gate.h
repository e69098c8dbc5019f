// SPDX-License-Identifier: Apache-2.0
// Lets many threads use something that must now and then be taken away and put back: going in and
// out is one atomic operation each; closing waits until everybody is out.
#ifndef KVS_STORE_GATE_H
#define KVS_STORE_GATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/err.h"

struct kvs_gate {
    _Atomic uint32_t inside;
    _Atomic bool closed;
    pthread_mutex_t lock; // for sleeping only
    pthread_cond_t changed;
};

KVS_MUST_CHECK int kvs_gate_init(struct kvs_gate *gate); // KVS_ERR_NOMEM
void kvs_gate_done(struct kvs_gate *gate);

// False when the gate is closed and `wait` is not set.
bool kvs_gate_enter(struct kvs_gate *gate, bool wait);
void kvs_gate_leave(struct kvs_gate *gate);

// Keeps newcomers out and waits until everybody has left. KVS_ERR_BUSY when that takes longer (the
// gate is then open again) or when somebody else has closed it.
KVS_MUST_CHECK int kvs_gate_close(struct kvs_gate *gate, int timeout_ms);
void kvs_gate_open(struct kvs_gate *gate);

#endif
