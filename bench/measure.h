// SPDX-License-Identifier: Apache-2.0
// What the benchmarks of parts share: CPU time, bytes sent to the device, cheap random numbers.
#ifndef KVS_BENCH_MEASURE_H
#define KVS_BENCH_MEASURE_H

#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>

// User and system time of this process, all threads.
static inline double measure_cpu_seconds(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

// What this process has caused to be written to storage.
static inline uint64_t measure_device_bytes(void)
{
    unsigned long long bytes = 0;
    char line[128];
    FILE *io = fopen("/proc/self/io", "r");
    while (io && fgets(line, sizeof(line), io))
        (void)sscanf(line, "write_bytes: %llu", &bytes);
    if (io)
        (void)fclose(io);
    return bytes;
}

#define MEASURE_RANDOM_SEED UINT64_C(88172645463325252)

// xorshift64; `state` must not be 0.
static inline uint64_t measure_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

#endif
