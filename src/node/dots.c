// SPDX-License-Identifier: Apache-2.0
#include "node/dots.h"

#include "base/assert.h"
#include "repl/seen.h"

#include <stdlib.h>
#include <string.h>

// places[i] is where the dot base + i * KVS_DOT_STEP lies.
struct kvs_dot_row {
    uint32_t writer_id;
    uint32_t life;
    uint32_t base; // count of the first dot known
    uint32_t last;
    uint64_t newest_log_seq;
    uint64_t *places;
    size_t place_count, place_capacity;
};

void kvs_dots_init(struct kvs_dots *dots)
{
    *dots = (struct kvs_dots){0};
}

void kvs_dots_clear(struct kvs_dots *dots)
{
    for (size_t i = 0; i < dots->count; i++)
        free(dots->rows[i].places);
    dots->count = 0;
}

void kvs_dots_done(struct kvs_dots *dots)
{
    kvs_dots_clear(dots);
    free(dots->rows);
    kvs_dots_init(dots);
}

static struct kvs_dot_row *find_row(const struct kvs_dots *dots, uint32_t writer_id, uint32_t life)
{
    for (size_t i = 0; i < dots->count; i++)
        if (dots->rows[i].writer_id == writer_id && dots->rows[i].life == life)
            return &dots->rows[i];
    return NULL;
}

static struct kvs_dot_row *oldest_row(const struct kvs_dots *dots)
{
    struct kvs_dot_row *oldest = &dots->rows[0];
    for (size_t i = 1; i < dots->count; i++)
        if (dots->rows[i].newest_log_seq < oldest->newest_log_seq)
            oldest = &dots->rows[i];
    return oldest;
}

static struct kvs_dot_row *add_row(struct kvs_dots *dots, uint32_t writer_id, uint32_t life)
{
    struct kvs_dot_row *row = NULL;
    if (dots->count == KVS_DOT_ROWS_MAX) {
        row = oldest_row(dots);
        free(row->places);
    } else {
        if (dots->count == dots->capacity) {
            size_t capacity = dots->capacity ? dots->capacity * 2 : 8;
            struct kvs_dot_row *rows = realloc(dots->rows, capacity * sizeof(*rows));
            if (!rows)
                return NULL;
            dots->rows = rows;
            dots->capacity = capacity;
        }
        row = &dots->rows[dots->count++];
    }
    *row = (struct kvs_dot_row){.writer_id = writer_id, .life = life};
    return row;
}

static bool add_place(struct kvs_dot_row *row, uint64_t log_seq)
{
    if (row->place_count == row->place_capacity) {
        size_t capacity = row->place_capacity ? row->place_capacity * 2 : 16;
        uint64_t *places = realloc(row->places, capacity * sizeof(*places));
        if (!places)
            return false;
        row->places = places;
        row->place_capacity = capacity;
    }
    row->places[row->place_count++] = log_seq;
    return true;
}

void kvs_dots_note(struct kvs_dots *dots, uint32_t writer_id, uint64_t writer_seq, uint64_t log_seq)
{
    uint32_t life = kvs_dot_life(writer_seq);
    uint32_t count = kvs_dot_count(writer_seq);
    struct kvs_dot_row *row = find_row(dots, writer_id, life);
    if (!row)
        row = add_row(dots, writer_id, life);
    if (!row)
        return;
    row->newest_log_seq = log_seq;
    if (row->place_count > 0 && count <= row->last)
        return; // out of its turn, or logged anew
    if (row->place_count == 0 || count > row->last + 1) {
        row->place_count = 0;
        row->base = count;
    }
    row->last = count;
    if ((count - row->base) % KVS_DOT_STEP == 0 && !add_place(row, log_seq))
        row->place_count = 0;
}

bool kvs_dots_find(const struct kvs_dots *dots, uint32_t writer_id, uint64_t writer_seq,
                   uint64_t *ret_log_seq)
{
    const struct kvs_dot_row *row = find_row(dots, writer_id, kvs_dot_life(writer_seq));
    uint32_t count = kvs_dot_count(writer_seq);
    if (!row || row->place_count == 0 || count + 1 < row->base || count >= row->last)
        return false;
    size_t place = (count + 1 - row->base) / KVS_DOT_STEP;
    kvs_assert(place < row->place_count);
    *ret_log_seq = row->places[place];
    return true;
}

static void trim_row(struct kvs_dot_row *row, uint64_t log_floor)
{
    size_t gone = 0;
    while (gone < row->place_count && row->places[gone] < log_floor)
        gone++;
    if (gone == 0)
        return;
    memmove(row->places, row->places + gone, (row->place_count - gone) * sizeof(row->places[0]));
    row->place_count -= gone;
    row->base += (uint32_t)gone * KVS_DOT_STEP;
}

void kvs_dots_trim(struct kvs_dots *dots, uint64_t log_floor)
{
    for (size_t i = 0; i < dots->count; i++)
        trim_row(&dots->rows[i], log_floor);
}
