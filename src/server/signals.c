// SPDX-License-Identifier: Apache-2.0
#include "server/signals.h"

#include <signal.h>
#include <string.h>

static void fill_set(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
}

static void *wait_for_signals(void *arg)
{
    struct kvs_signals *signals = arg;
    const struct kvs_signal_actions *actions = &signals->actions;
    bool stopping = false;
    sigset_t set;
    fill_set(&set);
    for (;;) {
        int signal;
        if (sigwait(&set, &signal) != 0)
            continue;
        if (atomic_load(&signals->done))
            return NULL;
        if (signal == SIGHUP) {
            if (!stopping)
                actions->reload(actions->ctx);
        } else if (!stopping) {
            stopping = true;
            actions->stop(actions->ctx, signal);
        } else if (signal == SIGINT) {
            actions->abandon(actions->ctx);
        }
    }
}

void kvs_signals_block(void)
{
    sigset_t set;
    fill_set(&set);
    (void)signal(SIGPIPE, SIG_IGN);               // neither can fail with what it
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL); // is given here
}

int kvs_signals_start(struct kvs_signals *signals, const struct kvs_signal_actions *actions,
                      struct kvs_message *ret_message)
{
    signals->actions = *actions;
    atomic_init(&signals->done, false);
    int errnum = pthread_create(&signals->thread, NULL, wait_for_signals, signals);
    if (errnum != 0)
        return kvs_fail(ret_message, kvs_err_from_errno(errnum), "cannot wait for signals: %s",
                        strerror(errnum));
    return 0;
}

void kvs_signals_reload(struct kvs_signals *signals)
{
    (void)pthread_kill(signals->thread, SIGHUP); // it has not been joined yet
}

void kvs_signals_stop(struct kvs_signals *signals)
{
    atomic_store(&signals->done, true);
    kvs_signals_reload(signals); // wakes it
    (void)pthread_join(signals->thread, NULL);
}
