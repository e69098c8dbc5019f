// SPDX-License-Identifier: Apache-2.0
// Time as an argument: production passes kvs_clock_system(), tests and the simulator their own.
#ifndef KVS_BASE_CLOCK_H
#define KVS_BASE_CLOCK_H

#include <stdint.h>

struct kvs_clock {
    // Wall clock, Unix milliseconds; may jump either way.
    int64_t (*wall_ms)(const struct kvs_clock *clock);
    // Monotonic milliseconds and nanoseconds since an arbitrary start.
    int64_t (*mono_ms)(const struct kvs_clock *clock);
    int64_t (*mono_ns)(const struct kvs_clock *clock);
};

// The machine's clocks; static, thread-safe.
const struct kvs_clock *kvs_clock_system(void);

static inline int64_t kvs_clock_wall_ms(const struct kvs_clock *clock)
{
    return clock->wall_ms(clock);
}

static inline int64_t kvs_clock_mono_ms(const struct kvs_clock *clock)
{
    return clock->mono_ms(clock);
}

static inline int64_t kvs_clock_mono_ns(const struct kvs_clock *clock)
{
    return clock->mono_ns(clock);
}

#endif
