// SPDX-License-Identifier: Apache-2.0
// Server-sent events (WHATWG HTML, "Server-sent events"): bytes in, events out. Pure.
#ifndef KVS_CLIENT_SSE_H
#define KVS_CLIENT_SSE_H

#include "base/buf.h"

struct kvs_sse {
    struct kvs_buf data; // lines of the event so far, joined by '\n'
    char id[32];         // of the event so far, else of the last one that had one
    char last_id[32];    // the same, of the events that are complete, those without data included
    char event[32];
    bool returned; // it was handed out
};

void kvs_sse_init(struct kvs_sse *sse, size_t event_size_max);
void kvs_sse_done(struct kvs_sse *sse);
// Forgets a half-received event: a new connection begins.
void kvs_sse_reset(struct kvs_sse *sse);

// Takes complete lines off the front of *input. True: an event with data is there, in sse->data,
// ->id and ->event, until the next call. False: more input is needed, or sse->data.err is set.
bool kvs_sse_next(struct kvs_sse *sse, struct kvs_slice *input);

#endif
