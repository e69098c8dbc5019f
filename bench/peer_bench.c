// SPDX-License-Identifier: Apache-2.0
// Messages between two ends of the peer network in one process, over loopback:
//     peer_bench [MESSAGES [SIZE]]
// Latency from kvs_peers_send to the receiver's callback, one message at a time and at 2000 a
// second; then throughput with as much under way as the queue takes.
#include "tests/unit/net/peer_endpoint.h"

#include <time.h>

enum { SAMPLES = 20000, QUEUE = 8 << 20 };

static int64_t sent_at_ns[SAMPLES];
static int64_t took_ns[SAMPLES];
static atomic_size_t arrived;

static int64_t now_ns(void)
{
    return kvs_clock_mono_ns(kvs_clock_system());
}

static void on_message(void *ctx, struct kvs_slice message)
{
    struct endpoint *end = ctx;
    size_t index = atomic_load(&arrived);
    if (index < SAMPLES)
        took_ns[index] = now_ns() - sent_at_ns[index];
    atomic_fetch_add(&arrived, 1);
    endpoint_count(end, message);
}

static int compare(const void *a, const void *b)
{
    const int64_t *x = a;
    const int64_t *y = b;
    return (*x > *y) - (*x < *y);
}

static void report(const char *what, size_t count)
{
    qsort(took_ns, count, sizeof(took_ns[0]), compare);
    printf("%-34s p50 %6.1f us   p99 %6.1f us   max %6.1f us\n", what,
           (double)took_ns[count / 2] / 1e3, (double)took_ns[count * 99 / 100] / 1e3,
           (double)took_ns[count - 1] / 1e3);
}

static void pause_until(int64_t at_ns)
{
    const struct timespec at = {at_ns / 1000000000, at_ns % 1000000000};
    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

static void measure_latency(struct endpoint *a, struct endpoint *b, size_t size, size_t count,
                            int64_t every_ns)
{
    atomic_store(&arrived, 0);
    int64_t begin_ns = now_ns();
    for (size_t i = 0; i < count; i++) {
        if (every_ns > 0)
            pause_until(begin_ns + (int64_t)i * every_ns);
        sent_at_ns[i] = now_ns();
        endpoint_send(a, b->address, i + 1, size, "{\"some\":\"json, more or less\"}");
        if (every_ns == 0)
            AWAIT(atomic_load(&arrived) == i + 1);
    }
    AWAIT(atomic_load(&arrived) == count);
    report(every_ns == 0 ? "one message at a time" : "2000 a second", count);
}

static void measure_throughput(struct endpoint *a, struct endpoint *b, size_t size, size_t count)
{
    atomic_store(&b->received, 0);
    int64_t begin_ns = now_ns();
    for (size_t i = 0; i < count; i++) {
        AWAIT((i - atomic_load(&b->received)) * size < QUEUE);
        endpoint_send(a, b->address, i + 1, size, "{\"some\":\"json, more or less\"}");
    }
    AWAIT(atomic_load(&b->received) == count);
    double seconds = (double)(now_ns() - begin_ns) / 1e9;
    printf("%-34s %.0f messages/s, %.1f MB/s\n", "as fast as it goes", (double)count / seconds,
           (double)(count * size) / seconds / 1e6);
}

int main(int argc, char **argv)
{
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
    size_t size = argc > 2 ? strtoul(argv[2], NULL, 10) : 300;
    for (int level = 0; level <= 3; level += 3) {
        struct endpoint a = {.compression_level = level};
        struct endpoint b = {.on_message = on_message};
        endpoint_start(&a, "a", "a secret of benchmarks");
        endpoint_start(&b, "b", "a secret of benchmarks");
        printf("%zu bytes a message, %s\n", size, level == 0 ? "uncompressed" : "zstd 3");
        measure_latency(&a, &b, size, 1, 0); // makes the connection
        measure_latency(&a, &b, size, SAMPLES, 0);
        measure_latency(&a, &b, size, SAMPLES, 500000);
        measure_throughput(&a, &b, size, count);
        endpoint_stop(&a);
        endpoint_stop(&b);
    }
    return 0;
}
