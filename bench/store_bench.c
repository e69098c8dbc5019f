// SPDX-License-Identifier: Apache-2.0
// What the store costs by itself: puts in synced groups, overwrites, reads, starts.
//
//     store_bench DIR [keys=100000] [group=32] [value=250] [rounds=1]
//
// Works in DIR/store, which must not exist, and leaves it behind. A put is what a node writes for
// one: an entry of DATA in random key order and one of LOG. `rounds` counts the overwrites of all
// keys behind the first fill; nothing is ever removed, so they are history.
// Columns: thousand puts a second; processor time of all threads a put; latency of a group's write
// (median, 99th and 99.9th percentile, longest, how many above 50 ms); bytes written to the device
// over bytes of payload (key and value); resident memory.
#include <stdio.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/random.h"
#include "codec/record.h"
#include "store/store.h"

struct bench {
    struct kvs_store_options options;
    struct kvs_store *store;
    uint64_t keys, group, value_size, rounds;
    struct kvs_random_seeded random;
    uint64_t seq; // of LOG
    struct kvs_buf key, value, json;
};

static _Noreturn void die(const char *what, int err)
{
    (void)fprintf(stderr, "store_bench: %s: %s\n", what, kvs_err_name(err));
    exit(1);
}

static void check(const char *what, int err)
{
    if (err)
        die(what, err);
}

static int64_t now_ns(void)
{
    return kvs_clock_mono_ns(kvs_clock_system());
}

static double cpu_us(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return 0;
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

// A figure out of a file of "name: number" lines in /proc/self; 0 where there is none.
static uint64_t proc_figure(const char *path, const char *name)
{
    char line[256];
    uint64_t value = 0;
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    while (fgets(line, sizeof(line), file))
        if (strncmp(line, name, strlen(name)) == 0)
            value = strtoull(line + strlen(name), NULL, 10);
    (void)fclose(file); // read-only
    return value;
}

static uint64_t device_bytes(void)
{
    return proc_figure("/proc/self/io", "write_bytes:");
}

// ---- Data

// Spreads 0..keys-1 over the key space, each once: the multiplier is prime.
static void make_key(struct bench *b, uint64_t i, uint64_t round)
{
    char text[64];
    uint64_t scattered = (i * 2654435761U) % b->keys;
    int size = snprintf(text, sizeof(text), "users/%02u/profile-%010llu",
                        (unsigned)(scattered % 97), (unsigned long long)scattered);
    struct kvs_version version = {
        .timestamp = (int64_t)(1700000000000 + b->seq + round),
        .writer.joined_timestamp = 1690000000000,
        .writer_seq = b->seq,
    };
    kvs_random_fill(&b->random.base, version.uuid.bytes, sizeof(version.uuid.bytes));
    kvs_buf_clear(&b->key);
    kvs_record_encode_key(&b->key, kvs_slice(text, (size_t)size), &version);
    kvs_buf_clear(&b->json);
    kvs_buf_printf(
        &b->json, "{\"id\":\"%016llx\",\"name\":\"user %llu\",\"active\":true,\"score\":%u",
        (unsigned long long)kvs_random_u64(&b->random.base), (unsigned long long)scattered,
        (unsigned)kvs_random_below(&b->random.base, 100000));
    static const char *const words[] = {"alpha", "bravo", "delta", "echo",  "golf", "hotel",
                                        "india", "kilo",  "lima",  "oscar", "papa", "tango"};
    kvs_buf_append_str(&b->json, ",\"note\":\"");
    while (b->json.size + 10 < b->value_size)
        kvs_buf_printf(&b->json, "%s ",
                       words[kvs_random_below(&b->random.base, KVS_ARRAY_SIZE(words))]);
    kvs_buf_append_str(&b->json, "\"}");
    kvs_buf_clear(&b->value);
    kvs_record_encode_value(&b->value, kvs_buf_slice(&b->key), &version, 1,
                            kvs_buf_slice(&b->json));
}

// ---- Writing

static int compare_ns(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void add_put(struct bench *b, struct kvs_store_batch *batch)
{
    uint8_t seq[8];
    b->seq++;
    for (int i = 0; i < 8; i++)
        seq[i] = (uint8_t)(b->seq >> (56 - 8 * i));
    kvs_store_batch_put(batch, KVS_FAMILY_DATA, kvs_buf_slice(&b->key), kvs_buf_slice(&b->value));
    kvs_store_batch_put(batch, KVS_FAMILY_LOG, kvs_slice(seq, sizeof(seq)), kvs_buf_slice(&b->key));
}

static void run_puts(struct bench *b, const char *name, uint64_t round)
{
    uint64_t groups = b->keys / b->group, stalls = 0, payload = 0;
    int64_t *latency = calloc(groups, sizeof(*latency));
    struct kvs_store_batch *batch = kvs_store_batch_new(b->store);
    if (!latency || !batch)
        die(name, KVS_ERR_NOMEM);
    double cpu = cpu_us(), make_cpu = 0;
    uint64_t device = device_bytes();
    int64_t begin = now_ns(), make_ns = 0;
    for (uint64_t g = 0; g < groups; g++) {
        int64_t make_begin = now_ns();
        double cpu_begin = cpu_us();
        kvs_store_batch_clear(batch);
        for (uint64_t i = 0; i < b->group; i++) {
            make_key(b, g * b->group + i, round);
            payload += b->key.size + b->json.size;
            add_put(b, batch);
        }
        int64_t write_begin = now_ns();
        make_ns += write_begin - make_begin;
        make_cpu += cpu_us() - cpu_begin;
        check(name, kvs_store_write(b->store, batch, KVS_DURABILITY_SYNC));
        latency[g] = now_ns() - write_begin;
        stalls += latency[g] > 50000000;
    }
    double puts = (double)(groups * b->group);
    double seconds = (double)(now_ns() - begin - make_ns) / 1e9;
    cpu = cpu_us() - cpu - make_cpu;
    check("flush", kvs_store_flush(b->store));
    device = device_bytes() - device;
    qsort(latency, groups, sizeof(*latency), compare_ns);
    printf("%-9s %7.1f k/s %6.2f us  p50 %6.2f ms  p99 %6.2f  p99.9 %6.2f  max %7.2f  >50ms %3llu  "
           "device %4.2f x  rss %4llu MB\n",
           name, puts / seconds / 1e3, cpu / puts, (double)latency[groups / 2] / 1e6,
           (double)latency[groups * 99 / 100] / 1e6, (double)latency[groups * 999 / 1000] / 1e6,
           (double)latency[groups - 1] / 1e6, (unsigned long long)stalls,
           (double)device / (double)payload,
           (unsigned long long)proc_figure("/proc/self/status", "VmRSS:") / 1024);
    kvs_store_batch_free(batch);
    free(latency);
}

// ---- Reading

// The current version of a key, as a node finds it: the first entry under the prefix.
static void run_gets(struct bench *b, const char *name, uint64_t distinct, bool reuse)
{
    struct kvs_store_iter_options options = {.mode = KVS_READ_DISK, .prefix_only = true};
    uint64_t gets = 50000;
    struct kvs_store_iter *iter = kvs_store_iter_new(b->store, KVS_FAMILY_DATA, &options);
    double cpu = cpu_us();
    int64_t begin = now_ns();
    for (uint64_t i = 0; i < gets; i++) {
        char text[64];
        uint64_t n = kvs_random_below(&b->random.base, distinct);
        int size = snprintf(text, sizeof(text), "users/%02u/profile-%010llu", (unsigned)(n % 97),
                            (unsigned long long)n);
        if (!reuse) {
            kvs_store_iter_free(iter);
            iter = kvs_store_iter_new(b->store, KVS_FAMILY_DATA, &options);
        }
        kvs_store_iter_seek(iter, kvs_slice(text, (size_t)size + 1));
        struct kvs_record_view view;
        if (!kvs_store_iter_valid(iter))
            die(name, KVS_ERR_NOT_FOUND);
        check(name, kvs_record_decode(kvs_store_iter_key(iter), kvs_store_iter_value(iter), &view));
    }
    kvs_store_iter_free(iter);
    printf("%-9s %7.1f k/s %6.2f us\n", name, (double)gets / (double)(now_ns() - begin) * 1e6,
           (cpu_us() - cpu) / (double)gets);
}

static void run_scan(struct bench *b)
{
    struct kvs_store_iter_options options = {.mode = KVS_READ_DISK, .skip_cache_fill = true};
    struct kvs_store_iter *iter = kvs_store_iter_new(b->store, KVS_FAMILY_DATA, &options);
    int64_t begin = now_ns();
    uint64_t count = 0;
    for (kvs_store_iter_seek(iter, KVS_SLICE_EMPTY); kvs_store_iter_valid(iter);
         kvs_store_iter_next(iter))
        count++;
    check("scan", kvs_store_iter_error(iter));
    kvs_store_iter_free(iter);
    printf("%-9s %7.1f k/s\n", "scan", (double)count / (double)(now_ns() - begin) * 1e6);
}

static void open_store(struct bench *b, const char *name)
{
    struct kvs_message message = {0};
    int64_t begin = now_ns();
    int err = kvs_store_open(&b->options, &b->store, &message);
    if (err)
        die(message.text, err);
    printf("%-9s %7.1f ms  rss %llu MB\n", name, (double)(now_ns() - begin) / 1e6,
           (unsigned long long)proc_figure("/proc/self/status", "VmRSS:") / 1024);
}

static uint64_t argument(int argc, char **argv, int i, uint64_t fallback)
{
    return argc > i ? strtoull(argv[i], NULL, 10) : fallback;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        (void)fprintf(stderr, "usage: store_bench DIR [keys] [group] [value] [rounds]\n");
        return 2;
    }
    char path[4096];
    (void)snprintf(path, sizeof(path), "%s/store", argv[1]);
    struct bench b = {
        .options = {.path = path, .compression = true, .compression_level = 3},
        .keys = argument(argc, argv, 2, 100000),
        .group = argument(argc, argv, 3, 32),
        .value_size = argument(argc, argv, 4, 250),
        .rounds = argument(argc, argv, 5, 1),
        .key = KVS_BUF_INIT(1 << 20),
        .value = KVS_BUF_INIT(64 << 20),
        .json = KVS_BUF_INIT(64 << 20),
    };
    b.keys -= b.keys % b.group;
    kvs_random_seeded_init(&b.random, 1);
    open_store(&b, "create");
    run_puts(&b, "fill", 0);
    for (uint64_t round = 1; round <= b.rounds; round++)
        run_puts(&b, "overwrite", round);
    run_gets(&b, "get hot", 1000, false);
    run_gets(&b, "get", b.keys, false);
    run_gets(&b, "get again", b.keys, true);
    run_scan(&b);
    struct kvs_store_stats stats;
    check("stats", kvs_store_stats(b.store, &stats));
    printf("%-9s %7.1f MB in tables, %.1f MB in memory\n", "size", (double)stats.table_bytes / 1e6,
           (double)stats.memory_bytes / 1e6);
    kvs_store_close(b.store);
    open_store(&b, "reopen");
    kvs_store_close(b.store);
    kvs_buf_done(&b.key);
    kvs_buf_done(&b.value);
    kvs_buf_done(&b.json);
    return 0;
}
