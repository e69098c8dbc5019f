// SPDX-License-Identifier: Apache-2.0
// How far long work has come, on stderr, where a person sees it: a line that is drawn over a few
// times a second, only when stderr is a terminal. Scripts and logs get nothing. One thread.
#ifndef KVS_CMD_PROGRESS_H
#define KVS_CMD_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct kvs_progress {
    const char *what; // "imported": borrowed
    bool shown;       // stderr is a terminal, and --quiet was not given
    bool drawn;
    int64_t started_ms;
    int64_t drawn_ms;
};

void kvs_progress_begin(struct kvs_progress *progress, const char *what, bool quiet);

// `count` records so far; `part` of `whole` is what the bar shows, in any unit (whole 0: no bar).
void kvs_progress_update(struct kvs_progress *progress, uint64_t count, uint64_t part,
                         uint64_t whole);

// Wipes the line, so that messages begin at the left; the next update draws it again.
void kvs_progress_clear(struct kvs_progress *progress);

// Milliseconds since the beginning, at least 1.
int64_t kvs_progress_elapsed_ms(const struct kvs_progress *progress);

// "1 234 567", NUL-terminated.
enum { KVS_PROGRESS_NUMBER_SIZE = 32 };
const char *kvs_progress_number(uint64_t number, char ret_text[static KVS_PROGRESS_NUMBER_SIZE]);

#endif
