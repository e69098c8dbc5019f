// SPDX-License-Identifier: Apache-2.0
// Where in the log a writer's dots lie: for each (writer, life) the place of every 64th, noted as
// they are logged, in memory only. It knows what came in an unbroken row; a gap begins a new one,
// and whoever asks for what lies before compares digests instead. Not thread-safe.
#ifndef KVS_NODE_DOTS_H
#define KVS_NODE_DOTS_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct kvs_dot_row;

struct kvs_dots {
    struct kvs_dot_row *rows;
    size_t count, capacity;
};

// Rows beyond it forget the one that has been idle for longest.
enum { KVS_DOT_ROWS_MAX = 1024, KVS_DOT_STEP = 64 };

void kvs_dots_init(struct kvs_dots *dots);
void kvs_dots_done(struct kvs_dots *dots);
void kvs_dots_clear(struct kvs_dots *dots);

// The version `writer_seq` of `writer_id` has been logged as `log_seq`. Without memory it is
// forgotten, as if it had been logged before the start.
void kvs_dots_note(struct kvs_dots *dots, uint32_t writer_id, uint64_t writer_seq,
                   uint64_t log_seq);
// Where the log is to be read to find the dots behind `writer_seq` one after another. False: it
// does not reach back so far, or there is nothing behind it.
bool kvs_dots_find(const struct kvs_dots *dots, uint32_t writer_id, uint64_t writer_seq,
                   uint64_t *ret_log_seq);
// Changes before `log_floor` have gone from the log.
void kvs_dots_trim(struct kvs_dots *dots, uint64_t log_floor);

#endif
