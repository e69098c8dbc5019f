// SPDX-License-Identifier: Apache-2.0
#include "client/sse.h"

#include <stdio.h>

void kvs_sse_init(struct kvs_sse *sse, size_t event_size_max)
{
    *sse = (struct kvs_sse){.data = KVS_BUF_INIT(event_size_max)};
}

void kvs_sse_done(struct kvs_sse *sse)
{
    kvs_buf_done(&sse->data);
}

void kvs_sse_reset(struct kvs_sse *sse)
{
    kvs_buf_clear(&sse->data);
    sse->event[0] = 0;
    sse->returned = false;
}

static void take_line(struct kvs_sse *sse, struct kvs_slice line)
{
    const char *colon = memchr(line.data, ':', line.size);
    struct kvs_slice name = line;
    struct kvs_slice value = KVS_SLICE_EMPTY;
    if (colon) {
        name.size = (size_t)(colon - line.data);
        value = kvs_slice(colon + 1, line.size - name.size - 1);
    }
    if (value.size > 0 && value.data[0] == ' ')
        value = kvs_slice(value.data + 1, value.size - 1);
    if (kvs_slice_eq(name, KVS_SLICE("data"))) {
        kvs_buf_append_slice(&sse->data, value);
        kvs_buf_append_char(&sse->data, '\n');
    } else if (kvs_slice_eq(name, KVS_SLICE("id")) && value.size < sizeof(sse->id)) {
        (void)snprintf(sse->id, sizeof(sse->id), "%.*s", KVS_SLICE_FMT(value));
    } else if (kvs_slice_eq(name, KVS_SLICE("event")) && value.size < sizeof(sse->event)) {
        (void)snprintf(sse->event, sizeof(sse->event), "%.*s", KVS_SLICE_FMT(value));
    } // comments (no name) keep the connection alive; other fields mean nothing to us
}

bool kvs_sse_next(struct kvs_sse *sse, struct kvs_slice *input)
{
    if (sse->returned)
        kvs_sse_reset(sse);
    size_t at = 0;
    bool complete = false;
    while (!complete && !sse->data.err && at < input->size) {
        const char *start = input->data + at;
        const char *end = memchr(start, '\n', input->size - at);
        if (!end)
            break;
        size_t size = (size_t)(end - start);
        at += size + 1;
        if (size > 0 && start[size - 1] == '\r')
            size--;
        if (size > 0) {
            take_line(sse, kvs_slice(start, size));
            continue;
        }
        memcpy(sse->last_id, sse->id, sizeof(sse->id));
        complete = sse->data.size > 0;
        if (!complete)
            sse->event[0] = 0; // an event without data is none, but its id counts
    }
    *input = kvs_slice(input->data + at, input->size - at);
    if (complete)
        sse->data.size--; // the last line's '\n'
    sse->returned = complete;
    return complete;
}
