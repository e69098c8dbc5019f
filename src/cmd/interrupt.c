// SPDX-License-Identifier: Apache-2.0
#include "cmd/interrupt.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

void kvs_interrupt_begin(struct kvs_interrupt *interrupt)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    sigset_t set;
    *interrupt = (struct kvs_interrupt){.fd = -1};
    (void)sigemptyset(&set); // none of these fails with signals that there are
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        struct sigaction action;
        // One that is ignored, as under nohup, stays so.
        if (sigaction(signals[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            (void)sigaddset(&set, signals[i]);
    }
    if (pthread_sigmask(SIG_BLOCK, &set, &interrupt->before) != 0)
        return;
    interrupt->fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (interrupt->fd < 0)
        (void)pthread_sigmask(SIG_SETMASK, &interrupt->before, NULL);
}

bool kvs_interrupt_caught(struct kvs_interrupt *interrupt)
{
    struct signalfd_siginfo info;
    if (interrupt->caught || interrupt->fd < 0 ||
        read(interrupt->fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return interrupt->caught != 0;
    interrupt->caught = (int)info.ssi_signo;
    (void)pthread_sigmask(SIG_SETMASK, &interrupt->before, NULL); // the next one ends us
    return true;
}

bool kvs_interrupt_wait_readable(struct kvs_interrupt *interrupt, int fd)
{
    if (kvs_interrupt_caught(interrupt))
        return false;
    struct pollfd waited[] = {{.fd = fd, .events = POLLIN},
                              {.fd = interrupt->fd, .events = POLLIN}};
    (void)poll(waited, 2, -1); // whatever it says, the two are asked themselves
    return !kvs_interrupt_caught(interrupt);
}

void kvs_interrupt_end(struct kvs_interrupt *interrupt)
{
    if (interrupt->fd < 0)
        return;
    (void)close(interrupt->fd); // only read from
    interrupt->fd = -1;
    if (interrupt->caught) {
        (void)fflush(NULL); // what failed shows in no other way
        (void)raise(interrupt->caught);
    }
    (void)pthread_sigmask(SIG_SETMASK, &interrupt->before, NULL);
}
