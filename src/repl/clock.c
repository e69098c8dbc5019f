// SPDX-License-Identifier: Apache-2.0
#include "repl/clock.h"

#include "repl/mutations.h"

static int64_t max_i64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

void kvs_stamp_clock_init(struct kvs_stamp_clock *clock, int64_t floor_ms, int64_t skew_max_ms)
{
    *clock = (struct kvs_stamp_clock){.floor_ms = floor_ms, .skew_max_ms = skew_max_ms};
}

int64_t kvs_stamp_clock_next(struct kvs_stamp_clock *clock, int64_t wall_ms, int64_t replaced_ms)
{
    // What was ahead for a while, a clock or a peer, keeps us ahead by no more than is allowed.
    int64_t latest_ms = clock->latest_ms;
    if (latest_ms > wall_ms + clock->skew_max_ms)
        latest_ms = wall_ms + clock->skew_max_ms;
    int64_t stamp = max_i64(max_i64(wall_ms, latest_ms), clock->floor_ms + 1);
    clock->latest_ms = stamp; // without what follows: one key from the future drags no other along
    if (!KVS_MUTATED(clock->mutations, KVS_MUTATION_NO_PLUS_ONE))
        stamp = max_i64(stamp, replaced_ms + 1);
    return stamp;
}

void kvs_stamp_clock_observe(struct kvs_stamp_clock *clock, int64_t wall_ms, int64_t timestamp_ms)
{
    if (timestamp_ms <= wall_ms + clock->skew_max_ms)
        clock->latest_ms = max_i64(clock->latest_ms, timestamp_ms);
}

int64_t kvs_stamp_clock_promise(struct kvs_stamp_clock *clock, int64_t wall_ms)
{
    // A clock that stands still gives one timestamp again and again: promise only what lies before.
    clock->floor_ms = max_i64(clock->floor_ms, max_i64(wall_ms, clock->latest_ms) - 1);
    return clock->floor_ms;
}

void kvs_stamp_clock_raise(struct kvs_stamp_clock *clock, int64_t floor_ms)
{
    clock->floor_ms = max_i64(clock->floor_ms, floor_ms);
}

void kvs_clock_offset_add(struct kvs_clock_offset *offset, const struct kvs_offset_sample *sample)
{
    int64_t round_trip_ms = sample->received_ms - sample->sent_ms;
    if (round_trip_ms < 0)
        return; // our clock jumped meanwhile
    uint32_t at = offset->count++ % KVS_OFFSET_SAMPLES;
    offset->samples[at].round_trip_ms = round_trip_ms;
    offset->samples[at].offset_ms = sample->peer_ms - (sample->sent_ms + round_trip_ms / 2);
}

// The index of the sample with the shortest round trip; 0 where there is none.
static uint32_t best_sample(const struct kvs_clock_offset *offset)
{
    uint32_t held = offset->count < KVS_OFFSET_SAMPLES ? offset->count : KVS_OFFSET_SAMPLES;
    uint32_t best = 0;
    for (uint32_t i = 1; i < held; i++)
        if (offset->samples[i].round_trip_ms < offset->samples[best].round_trip_ms)
            best = i;
    return best;
}

int64_t kvs_clock_offset_ms(const struct kvs_clock_offset *offset)
{
    return offset->count > 0 ? offset->samples[best_sample(offset)].offset_ms : 0;
}

int64_t kvs_clock_round_trip_ms(const struct kvs_clock_offset *offset)
{
    return offset->count > 0 ? offset->samples[best_sample(offset)].round_trip_ms : 0;
}
