// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <time.h>

static int64_t read_ns(clockid_t id)
{
    struct timespec now;
    (void)clock_gettime(id, &now); // cannot fail for these two clocks
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t system_wall_ms(const struct kvs_clock *clock)
{
    (void)clock;
    return read_ns(CLOCK_REALTIME) / 1000000;
}

static int64_t system_mono_ms(const struct kvs_clock *clock)
{
    (void)clock;
    return read_ns(CLOCK_MONOTONIC) / 1000000;
}

static int64_t system_mono_ns(const struct kvs_clock *clock)
{
    (void)clock;
    return read_ns(CLOCK_MONOTONIC);
}

static const struct kvs_clock system_clock = {system_wall_ms, system_mono_ms, system_mono_ns};

const struct kvs_clock *kvs_clock_system(void)
{
    return &system_clock;
}
