// SPDX-License-Identifier: Apache-2.0
// What the node's compaction filters cost: the CPU time of one compaction of everything.
//
//   compaction_bench [KEYS [CACHED]]       default: 1000000 1000000
//
// Each key has more versions than are kept. DATA is compacted as the filter finds them when all are
// younger than whatever was removed, when one may be older (so that the store is asked, key by key)
// and without a filter; BY_TIME with the newest versions of the first CACHED keys in the cache,
// likewise. Decision 0073 has the figures.
#include "bench/measure.h"
#include "codec/index.h"
#include "node/node_internal.h"

#include <ftw.h>

enum { REVISIONS = 3, VERSIONS = 5, VALUE_SIZE = 100, BATCH = 1000, START_MS = 1000000 };

struct bench {
    uint64_t keys, cached;
    struct kvs_node_filter filter;
    struct kvs_store *store;
    struct kvs_store_batch *batch;
    struct kvs_buf key, value;
    char json[VALUE_SIZE];
};

static void check(int err, const char *what)
{
    if (!err)
        return;
    (void)fprintf(stderr, "compaction_bench: %s: %s\n", what, kvs_err_text(err));
    exit(1);
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *ftw)
{
    (void)status;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static struct kvs_slice key_of(uint64_t number, char text[static 32])
{
    // Spread, as keys of a day are.
    int size = snprintf(text, 32, "bench/%016llx",
                        (unsigned long long)(number * UINT64_C(0x9e3779b97f4a7c15)));
    return kvs_slice(text, (size_t)size);
}

static struct kvs_version version_of(uint64_t number, uint64_t round)
{
    struct kvs_version version = {.timestamp = START_MS + (int64_t)round, .writer_seq = number + 1};
    memcpy(version.uuid.bytes, &number, sizeof(number));
    return version;
}

static void put(struct bench *bench, enum kvs_family family)
{
    check(bench->key.err ? bench->key.err : bench->value.err, "encode");
    kvs_store_batch_put(bench->batch, family, kvs_buf_slice(&bench->key),
                        kvs_buf_slice(&bench->value));
    kvs_buf_clear(&bench->key);
    kvs_buf_clear(&bench->value);
}

static void put_version(struct bench *bench, uint64_t number, uint64_t round)
{
    char text[32];
    struct kvs_slice key = key_of(number, text);
    struct kvs_version version = version_of(number, round);
    kvs_record_encode_key(&bench->key, key, &version);
    kvs_record_encode_value(&bench->value, kvs_buf_slice(&bench->key), &version, 1,
                            kvs_slice(bench->json, VALUE_SIZE));
    put(bench, KVS_FAMILY_DATA);
    kvs_by_time_key_encode(&bench->key, version.timestamp, key);
    put(bench, KVS_FAMILY_BY_TIME);
}

// Without a store to ask no filter drops anything, so that all of it is left for the end.
static void fill(struct bench *bench)
{
    for (uint64_t round = 0; round < VERSIONS; round++)
        for (uint64_t i = 0; i < bench->keys; i++) {
            put_version(bench, i, round);
            if (i % BATCH != BATCH - 1 && i != bench->keys - 1)
                continue;
            check(kvs_store_write(bench->store, bench->batch, KVS_DURABILITY_ASYNC), "write");
            kvs_store_batch_clear(bench->batch);
        }
}

static void fill_cache(const struct bench *bench, struct kvs_cache *cache)
{
    for (uint64_t i = 0; i < bench->cached; i++) {
        char text[32];
        struct kvs_version version = version_of(i, VERSIONS - 1);
        struct kvs_record *record = kvs_record_new(key_of(i, text), &version, 1, KVS_SLICE_EMPTY);
        check(record ? 0 : KVS_ERR_NOMEM, "cache");
        kvs_cache_publish(cache, record, false);
        kvs_record_unref(record);
    }
}

static void compact(const struct bench *bench, const char *name, enum kvs_family family)
{
    double cpu = measure_cpu_seconds();
    check(kvs_store_compact(bench->store, family), name);
    cpu = measure_cpu_seconds() - cpu;
    printf("%-40s %6.2f s CPU  %5.2f us a version\n", name, cpu,
           cpu / (double)(bench->keys * VERSIONS) * 1e6);
    (void)fflush(stdout);
}

// One store a figure: a compaction leaves nothing to measure.
static void run(struct bench *bench, const char *name, enum kvs_family family, int64_t removed_ms,
                struct kvs_cache *cache)
{
    char folder[] = "/tmp/kvs-compaction-bench-XXXXXX";
    struct kvs_store_options options = {
        .path = folder, .compression = true, .compression_level = 3, .async_writes = true};
    struct kvs_message message = {{0}};
    check(mkdtemp(folder) ? 0 : KVS_ERR_IO, folder);
    atomic_store(&bench->filter.store, NULL);
    atomic_store(&bench->filter.removed_ms, INT64_MAX);
    kvs_node_set_filters(&bench->filter, &options);
    check(kvs_store_open(&options, &bench->store, &message), message.text);
    bench->batch = kvs_store_batch_new(bench->store);
    check(bench->batch ? 0 : KVS_ERR_NOMEM, "batch");
    fill(bench);
    atomic_store(&bench->filter.removed_ms, removed_ms);
    atomic_store(&bench->filter.cache, cache);
    if (removed_ms >= 0)
        atomic_store(&bench->filter.store, bench->store);
    compact(bench, name, family);
    kvs_store_batch_free(bench->batch);
    kvs_store_close(bench->store);
    (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(int argc, char **argv)
{
    struct bench bench = {.keys = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000,
                          .filter = {.clock = kvs_clock_system(), .revisions = REVISIONS},
                          .key = KVS_BUF_INIT(1 << 20),
                          .value = KVS_BUF_INIT(1 << 20)};
    bench.cached = argc > 2 ? strtoull(argv[2], NULL, 10) : bench.keys;
    struct kvs_cache *cache = NULL;
    memset(bench.json, 'x', VALUE_SIZE);
    bench.json[0] = bench.json[VALUE_SIZE - 1] = '"';
    check(kvs_cache_new(SIZE_MAX / 2, NULL, &cache), "cache");
    fill_cache(&bench, cache);
    run(&bench, "versions, nothing dropped", KVS_FAMILY_DATA, -1, NULL);
    run(&bench, "versions, the store asked for each key", KVS_FAMILY_DATA, INT64_MAX, NULL);
    run(&bench, "versions, all younger than removed ones", KVS_FAMILY_DATA, 0, NULL);
    run(&bench, "times, nothing dropped", KVS_FAMILY_BY_TIME, -1, NULL);
    run(&bench, "times, the store asked for each entry", KVS_FAMILY_BY_TIME, 0, NULL);
    run(&bench, "times, the cache asked first", KVS_FAMILY_BY_TIME, 0, cache);
    kvs_cache_free(cache);
    kvs_buf_done(&bench.key);
    kvs_buf_done(&bench.value);
    return 0;
}
