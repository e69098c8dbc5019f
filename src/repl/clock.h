// SPDX-License-Identifier: Apache-2.0
// A node's clock for timestamps: as late as the wall clock and as everything seen, never later than
// the wall clock plus the allowed skew because of a peer, and never earlier than promised. Pure;
// the owner serialises calls.
#ifndef KVS_REPL_CLOCK_H
#define KVS_REPL_CLOCK_H

#include <stdint.h>

struct kvs_stamp_clock {
    int64_t latest_ms;   // greatest timestamp given or observed
    int64_t floor_ms;    // promised, or watermark: every new timestamp is greater
    int64_t skew_max_ms; // how far a peer may push it beyond the wall clock
#ifdef KVS_REPL_MUTATIONS
    unsigned mutations;
#endif
};

// `floor_ms` is what the node persisted: it wrote nothing later, or promised to write nothing at or
// below.
void kvs_stamp_clock_init(struct kvs_stamp_clock *clock, int64_t floor_ms, int64_t skew_max_ms);

// The timestamp of a local write: max(wall, clock, replaced + 1), above the floor, with a clock no
// further ahead of the wall than the allowed skew. `replaced_ms` is
// the timestamp of the version it replaces, tombstones included, 0 when there is none.
int64_t kvs_stamp_clock_next(struct kvs_stamp_clock *clock, int64_t wall_ms, int64_t replaced_ms);

// A peer's timestamp was seen.
void kvs_stamp_clock_observe(struct kvs_stamp_clock *clock, int64_t wall_ms, int64_t timestamp_ms);

// The greatest p for which "no later call of next gives a timestamp at or below p" can be promised
// now; the promise is kept from here on.
int64_t kvs_stamp_clock_promise(struct kvs_stamp_clock *clock, int64_t wall_ms);

// Keeps every later timestamp above `floor_ms`: a watermark that was taken over.
void kvs_stamp_clock_raise(struct kvs_stamp_clock *clock, int64_t floor_ms);

// One exchange with a peer, all Unix ms: sent and received by our clock, replied by the peer's.
struct kvs_offset_sample {
    int64_t sent_ms;
    int64_t peer_ms;
    int64_t received_ms;
};
// The peer's clock minus ours, smoothed: keeps the sample with the shortest round trip among the
// last few.
enum { KVS_OFFSET_SAMPLES = 8 };
struct kvs_clock_offset {
    struct {
        int64_t offset_ms;
        int64_t round_trip_ms;
    } samples[KVS_OFFSET_SAMPLES];
    uint32_t count;
};
void kvs_clock_offset_add(struct kvs_clock_offset *offset, const struct kvs_offset_sample *sample);
int64_t kvs_clock_offset_ms(const struct kvs_clock_offset *offset); // 0 before the first sample
// The shortest round trip among them.
int64_t kvs_clock_round_trip_ms(const struct kvs_clock_offset *offset); // 0 before the first sample

#endif
