// SPDX-License-Identifier: Apache-2.0
// Signals as calls: one thread waits for SIGINT, SIGTERM and SIGHUP, which all others block, so
// that nothing ever runs in a signal handler.
#ifndef KVS_SERVER_SIGNALS_H
#define KVS_SERVER_SIGNALS_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/err.h"

// All are called on the signals' thread; none may block for long.
struct kvs_signal_actions {
    void *ctx;
    void (*stop)(void *ctx, int signal); // the first SIGINT or SIGTERM
    void (*abandon)(void *ctx);          // a SIGINT after that: the user wants no clean end
    void (*reload)(void *ctx);           // SIGHUP, until stop
};

struct kvs_signals {
    struct kvs_signal_actions actions;
    pthread_t thread;
    atomic_bool done;
};

// Call it before any other thread is made: they inherit the mask. From here on the signals wait for
// kvs_signals_start. Ignores SIGPIPE, too.
void kvs_signals_block(void);

KVS_MUST_CHECK int kvs_signals_start(struct kvs_signals *signals,
                                     const struct kvs_signal_actions *actions,
                                     struct kvs_message *ret_message);
// As if SIGHUP had come.
void kvs_signals_reload(struct kvs_signals *signals);

// Ends the thread. The signals stay blocked: the process is about to end.
void kvs_signals_stop(struct kvs_signals *signals);

#endif
