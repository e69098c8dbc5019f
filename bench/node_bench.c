// SPDX-License-Identifier: Apache-2.0
// Durable writes and cached reads of a node without HTTP: what the commit pipeline alone costs.
//
//   node_bench [KEYS [OVERWRITES [OUTSTANDING]]]       default: 100000 300000 64
//
// OUTSTANDING writes are always under way, as with that many clients. Prints rate, CPU a write,
// latency and bytes written per byte of payload, for new keys and for random overwrites; then
// reads. With KVS_BENCH_AUDIT=1 in the environment each put has its entry in the audit log.
#include "base/cleanup.h"
#include "bench/measure.h"
#include "node/node.h"

#include <ftw.h>
#include <pthread.h>
#include <stdio.h>

enum { VALUE_SIZE = 250, OUTSTANDING_MAX = 4096 };

struct slot {
    struct kvs_write write;
    struct kvs_audit_event event;
    char key[64];
    char value[VALUE_SIZE];
    int64_t start_ns;
};

struct bench {
    struct kvs_executor executor;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct kvs_task *done; // newest first
    struct kvs_node *node;
    struct slot slots[OUTSTANDING_MAX];
    uint64_t random;
    int64_t *latencies_ns;
    bool audit;
};

static void post(struct kvs_executor *executor, struct kvs_task *task)
{
    struct bench *bench = KVS_CONTAINER_OF(executor, struct bench, executor);
    (void)pthread_mutex_lock(&bench->lock);
    task->next = bench->done;
    bench->done = task;
    (void)pthread_cond_signal(&bench->wake);
    (void)pthread_mutex_unlock(&bench->lock);
}

static struct kvs_task *wait_done(struct bench *bench)
{
    (void)pthread_mutex_lock(&bench->lock);
    while (!bench->done)
        (void)pthread_cond_wait(&bench->wake, &bench->lock);
    struct kvs_task *tasks = bench->done;
    bench->done = NULL;
    (void)pthread_mutex_unlock(&bench->lock);
    return tasks;
}

static int64_t now_ns(void)
{
    return kvs_clock_mono_ns(kvs_clock_system());
}

static void submit(struct bench *bench, struct slot *slot, uint64_t key)
{
    int size =
        snprintf(slot->key, sizeof(slot->key), "bench/some/key%08llu", (unsigned long long)key);
    for (int i = 0; i < 40; i++)
        slot->value[1 + measure_random(&bench->random) % (VALUE_SIZE - 2)] =
            "0123456789abcdef"[measure_random(&bench->random) % 16];
    slot->write = (struct kvs_write){.op = KVS_WRITE_PUT,
                                     .grant = kvs_auth_open_grant(),
                                     .key = kvs_slice(slot->key, (size_t)size),
                                     .json = kvs_slice(slot->value, VALUE_SIZE),
                                     .executor = &bench->executor};
    slot->event = (struct kvs_audit_event){.action = KVS_AUDIT_data_write,
                                           .resource = slot->write.key,
                                           .request_id = KVS_SLICE("138e20f23f210efb-0000000001")};
    slot->write.audit = bench->audit ? &slot->event : NULL;
    slot->start_ns = now_ns();
    kvs_node_write(bench->node, &slot->write);
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void run_writes(struct bench *bench, const char *name, uint64_t count, uint64_t keys,
                       bool random, uint64_t outstanding)
{
    double cpu = measure_cpu_seconds();
    uint64_t written = measure_device_bytes();
    int64_t start_ns = now_ns();
    uint64_t started = 0;
    uint64_t finished = 0;
    for (; started < outstanding; started++)
        submit(bench, &bench->slots[started],
               random ? measure_random(&bench->random) % keys : started);
    while (finished < count) {
        for (struct kvs_task *task = wait_done(bench); task;) {
            struct slot *slot = KVS_CONTAINER_OF(task, struct slot, write.done);
            task = task->next;
            if (slot->write.err) {
                (void)fprintf(stderr, "node_bench: %s\n", kvs_err_text(slot->write.err));
                exit(1);
            }
            bench->latencies_ns[finished++] = now_ns() - slot->start_ns;
            if (started < count) {
                submit(bench, slot, random ? measure_random(&bench->random) % keys : started);
                started++;
            }
        }
    }
    double seconds = (double)(now_ns() - start_ns) / 1e9;
    qsort(bench->latencies_ns, count, sizeof(int64_t), compare);
    printf("%-18s %7.0f /s  %5.1f us CPU  p50 %.2f ms  p99 %.2f ms  max %.1f ms  %.1f x written\n",
           name, (double)count / seconds, (measure_cpu_seconds() - cpu) / (double)count * 1e6,
           (double)bench->latencies_ns[count / 2] / 1e6,
           (double)bench->latencies_ns[count * 99 / 100] / 1e6,
           (double)bench->latencies_ns[count - 1] / 1e6,
           (double)(measure_device_bytes() - written) / ((double)count * VALUE_SIZE));
}

static void run_reads(struct bench *bench, const char *name, uint64_t count, uint64_t keys)
{
    double cpu = measure_cpu_seconds();
    for (uint64_t i = 0; i < count; i++) {
        char key[64];
        int size = snprintf(key, sizeof(key), "bench/some/key%08llu",
                            (unsigned long long)(measure_random(&bench->random) % keys));
        struct kvs_record *record = NULL;
        int err = kvs_node_get(bench->node, kvs_auth_open_grant(), kvs_slice(key, (size_t)size),
                               KVS_READ_DISK, &record);
        if (err) {
            (void)fprintf(stderr, "node_bench: read: %s\n", kvs_err_text(err));
            exit(1);
        }
        kvs_record_unref(record);
    }
    printf("%-18s %5.2f us CPU\n", name, (measure_cpu_seconds() - cpu) / (double)count * 1e6);
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *ftw)
{
    (void)status;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static void open_node(struct bench *bench, const char *folder, size_t cache_size)
{
    const struct kvs_node_options options = {.data_dir = folder,
                                             .node_id = "bench",
                                             .compression = true,
                                             .compression_level = 3,
                                             .revisions = 3,
                                             .tombstone_retention_ms = INT64_C(720) * 3600 * 1000,
                                             .record_cache_size = cache_size,
                                             .audit = bench->audit,
                                             .audit_actions = ~UINT64_C(0),
                                             .clock = kvs_clock_system(),
                                             .random = kvs_random_system()};
    struct kvs_message message = {{0}};
    int64_t start_ns = now_ns();
    if (kvs_node_open(&options, &bench->node, &message)) {
        (void)fprintf(stderr, "node_bench: %s\n", message.text);
        exit(1);
    }
    printf("open               %5.3f s\n", (double)(now_ns() - start_ns) / 1e9);
}

int main(int argc, char **argv)
{
    uint64_t keys = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000;
    uint64_t overwrites = argc > 2 ? strtoull(argv[2], NULL, 10) : 300000;
    uint64_t outstanding = argc > 3 ? strtoull(argv[3], NULL, 10) : 64;
    if (keys < outstanding || overwrites < outstanding || outstanding > OUTSTANDING_MAX ||
        outstanding == 0) {
        (void)fprintf(stderr, "node_bench: OUTSTANDING must be 1-4096, KEYS and OVERWRITES more\n");
        return 2;
    }
    char folder[] = "/tmp/kvs-node-bench-XXXXXX";
    struct bench *bench = calloc(1, sizeof(*bench));
    if (!bench || !mkdtemp(folder))
        return 1;
    bench->executor.post = post;
    bench->audit = getenv("KVS_BENCH_AUDIT") != NULL;
    bench->random = MEASURE_RANDOM_SEED;
    (void)pthread_mutex_init(&bench->lock, NULL); // cannot fail with default attributes
    (void)pthread_cond_init(&bench->wake, NULL);
    bench->latencies_ns = calloc(keys > overwrites ? keys : overwrites, sizeof(int64_t));
    for (uint64_t i = 0; i < OUTSTANDING_MAX; i++) {
        memset(bench->slots[i].value, 'x', VALUE_SIZE);
        bench->slots[i].value[0] = bench->slots[i].value[VALUE_SIZE - 1] = '"';
    }
    open_node(bench, folder, 0);
    run_writes(bench, "put, new keys", keys, keys, false, outstanding);
    run_writes(bench, "put, overwrites", overwrites, keys, true, outstanding);
    run_reads(bench, "get, cached", 300000, keys);
    kvs_node_close(bench->node);
    open_node(bench, folder, 1);
    run_reads(bench, "get, not cached", 300000, keys);
    kvs_node_close(bench->node);
    free(bench->latencies_ns);
    free(bench);
    return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 ? 0 : 1;
}
