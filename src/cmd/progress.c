// SPDX-License-Identifier: Apache-2.0
#include "cmd/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

enum { DRAW_EVERY_MS = 100, BAR_COLUMNS = 24 };

static int64_t now_ms(void)
{
    return kvs_clock_mono_ms(kvs_clock_system());
}

void kvs_progress_begin(struct kvs_progress *progress, const char *what, bool quiet)
{
    const char *term = getenv("TERM");
    bool plain = term && strcmp(term, "dumb") == 0; // cannot draw over a line
    *progress = (struct kvs_progress){
        .what = what,
        .shown = !quiet && !plain && isatty(STDERR_FILENO),
        .started_ms = now_ms(),
    };
}

int64_t kvs_progress_elapsed_ms(const struct kvs_progress *progress)
{
    int64_t elapsed = now_ms() - progress->started_ms;
    return elapsed > 0 ? elapsed : 1;
}

const char *kvs_progress_number(uint64_t number, char ret_text[static KVS_PROGRESS_NUMBER_SIZE])
{
    char digits[24];
    int size = snprintf(digits, sizeof(digits), "%" PRIu64, number);
    size_t at = 0;
    for (int i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0)
            ret_text[at++] = ' ';
        ret_text[at++] = digits[i];
    }
    ret_text[at] = 0;
    return ret_text;
}

static void draw_bar(uint64_t part, uint64_t whole, int64_t elapsed_ms)
{
    double done = part < whole ? (double)part / (double)whole : 1.0;
    int filled = (int)(done * BAR_COLUMNS);
    char bar[BAR_COLUMNS + 1];
    memset(bar, '.', BAR_COLUMNS);
    memset(bar, '#', (size_t)filled);
    bar[BAR_COLUMNS] = 0;
    fprintf(stderr, "[%s] %3d %%  ", bar, (int)(done * 100));
    if (done > 0.01 && done < 1.0) {
        int64_t left_s = (int64_t)((double)elapsed_ms / done * (1.0 - done) / 1000.0) + 1;
        fprintf(stderr, "%" PRId64 ":%02d left  ", left_s / 60, (int)(left_s % 60));
    }
}

void kvs_progress_update(struct kvs_progress *progress, uint64_t count, uint64_t part,
                         uint64_t whole)
{
    if (!progress->shown)
        return;
    int64_t now = now_ms();
    if (progress->drawn && now - progress->drawn_ms < DRAW_EVERY_MS)
        return;
    int64_t elapsed_ms = kvs_progress_elapsed_ms(progress);
    char counted[KVS_PROGRESS_NUMBER_SIZE];
    char rate[KVS_PROGRESS_NUMBER_SIZE];
    fputs("\r\033[K", stderr);
    if (whole > 0)
        draw_bar(part, whole, elapsed_ms);
    fprintf(stderr, "%s %s  %s/s", kvs_progress_number(count, counted), progress->what,
            kvs_progress_number(count * 1000 / (uint64_t)elapsed_ms, rate));
    (void)fflush(stderr); // only looks
    progress->drawn = true;
    progress->drawn_ms = now;
}

void kvs_progress_clear(struct kvs_progress *progress)
{
    if (progress->shown && progress->drawn)
        fputs("\r\033[K", stderr);
    progress->drawn = false;
}
