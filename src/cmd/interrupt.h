// SPDX-License-Identifier: Apache-2.0
// Ctrl-C, and SIGTERM and SIGHUP, in the middle of long work: the first one asks the command to
// come to a point where it can be taken up again, a second one ends it at once. One thread; begin
// before others are started, which then leave signals to this one.
#ifndef KVS_CMD_INTERRUPT_H
#define KVS_CMD_INTERRUPT_H

#include <signal.h>
#include <stdbool.h>

struct kvs_interrupt {
    int fd; // a signalfd; -1: signals do what they always do
    sigset_t before;
    int caught; // the signal's number; 0: none
};

void kvs_interrupt_begin(struct kvs_interrupt *interrupt);
// Has one come? Never waits.
bool kvs_interrupt_caught(struct kvs_interrupt *interrupt);
// Waits until `fd` can be read. False: a signal has come first.
bool kvs_interrupt_wait_readable(struct kvs_interrupt *interrupt, int fd);
// When a signal was caught the process ends by it, as whoever sent it expects; output is flushed
// before that.
void kvs_interrupt_end(struct kvs_interrupt *interrupt);

#endif
