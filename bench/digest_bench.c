// SPDX-License-Identifier: Apache-2.0
// The digest index alone: time a write, bytes a key, checkpoint; then what two nodes exchange until
// they know in which keys they differ.
//
//   digest_bench [KEYS [PARTS [LIST_MAX]]]       default: 1000000 16 32
//
// The exchange is the plain one: both sides cut differing ranges into PARTS in turn, all ranges
// of a level in one message, and ranges of at most LIST_MAX keys are listed as (key, version).
// Counted are ranges (end key behind the one before, 16 bytes of sum, count) and lists (key behind
// the one before, 27 bytes of version); not counted are envelopes and values.
#include "base/clock.h"
#include "bench/measure.h"
#include "digest/digest.h"

#include <malloc.h>
#include <stdio.h>

enum { KEY_DIGITS = 10, KEY_SIZE = 5 + KEY_DIGITS, VERSION_SIZE = 27 };

// The records: key number i exists if versions[i] > 0. Keys sort as their numbers.
struct side {
    uint32_t *versions;
    uint64_t count;
    uint32_t parts, list_max; // of the exchange
    struct kvs_digest *digest;
};

static const struct kvs_digest_key prf = {{1, 2, 3}};

static struct kvs_slice key_of(uint64_t number, char buffer[static KEY_SIZE])
{
    memcpy(buffer, "user/", 5);
    for (int i = KEY_SIZE - 1; i >= 5; i--, number /= 10)
        buffer[i] = (char)('0' + number % 10);
    return kvs_slice(buffer, KEY_SIZE);
}

// The first number whose key is at or behind `key`, which is a prefix of one.
static uint64_t number_of(struct kvs_slice key)
{
    uint64_t number = 0;
    for (size_t i = 5; i < KEY_SIZE; i++)
        number = number * 10 + (i < key.size ? (uint64_t)(key.data[i] - '0') : 0);
    return number;
}

static struct kvs_digest_sum item_of(struct kvs_slice key, uint32_t version)
{
    struct kvs_version v = {.timestamp = version};
    return kvs_digest_item(&prf, key, &v, version);
}

static int scan(void *ctx, struct kvs_slice first, struct kvs_slice end, kvs_digest_visit_fn *visit,
                void *visit_ctx)
{
    struct side *side = ctx;
    char buffer[KEY_SIZE];
    uint64_t stop = end.size == 0 ? side->count : number_of(end);
    for (uint64_t i = number_of(first); i < stop && i < side->count; i++) {
        struct kvs_slice key = key_of(i, buffer);
        if (side->versions[i] && !visit(visit_ctx, key, item_of(key, side->versions[i])))
            break;
    }
    return 0;
}

static void check(int err)
{
    if (err) {
        (void)fprintf(stderr, "digest_bench: %s\n", kvs_err_text(err));
        exit(1);
    }
}

static int64_t now_ns(void)
{
    return kvs_clock_mono_ns(kvs_clock_system());
}

static struct kvs_digest_source source_of(struct side *side)
{
    return (struct kvs_digest_source){side, scan};
}

static void side_init(struct side *side, uint64_t count, uint32_t block_size)
{
    *side = (struct side){.versions = calloc(count, sizeof(uint32_t)), .count = count};
    check(side->versions ? 0 : KVS_ERR_NOMEM);
    check(kvs_digest_new(&(struct kvs_digest_options){.block_size = block_size}, &side->digest));
}

static void side_done(struct side *side)
{
    kvs_digest_free(side->digest);
    free(side->versions);
}

static void put(struct side *side, uint64_t number)
{
    char buffer[KEY_SIZE];
    struct kvs_slice key = key_of(number, buffer);
    uint32_t version = side->versions[number]++;
    struct kvs_digest_sum old = version ? item_of(key, version) : (struct kvs_digest_sum){0};
    struct kvs_digest_sum new = item_of(key, version + 1);
    check(kvs_digest_update(side->digest, key, version ? &old : NULL, &new));
}

// Groups of 32, as a commit makes them.
static double put_all(struct side *side, const char *what, uint64_t step)
{
    struct kvs_digest_source source = source_of(side);
    int64_t start = now_ns();
    double cpu = measure_cpu_seconds();
    for (uint64_t i = 0; i < side->count; i++) {
        put(side, i * step % side->count);
        bool more = (i + 1) % 32 == 0 || i + 1 == side->count;
        while (more)
            check(kvs_digest_maintain(side->digest, &source, 8, &more));
    }
    cpu = measure_cpu_seconds() - cpu;
    double us = cpu * 1e6 / (double)side->count;
    printf("%-34s %7.2f us a write (%.1f s)\n", what, us, (double)(now_ns() - start) / 1e9);
    return us;
}

static void report_memory(struct side *side, const char *what, size_t heap_before)
{
    struct kvs_digest_stats stats;
    kvs_digest_stats(side->digest, &stats);
    double records = (double)stats.records;
    printf("%-34s %7.3f bytes a key (heap: %.3f), %.0f keys a block, depth %u\n", what,
           (double)stats.memory_bytes / records,
           (double)(mallinfo2().uordblks - heap_before) / records, records / (double)stats.blocks,
           stats.depth);
}

static void report_checkpoint(struct side *side)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf bytes = KVS_BUF_INIT(SIZE_MAX);
    int64_t start = now_ns();
    kvs_digest_checkpoint(side->digest, 1, &bytes);
    check(bytes.err);
    int64_t middle = now_ns();
    struct kvs_digest *restored = NULL;
    uint64_t log_seq;
    check(kvs_digest_restore(&(struct kvs_digest_options){0}, kvs_buf_slice(&bytes), &log_seq,
                             &restored));
    printf("%-34s %7.3f bytes a key, written in %.1f ms, read in %.1f ms\n", "checkpoint",
           (double)bytes.size / (double)side->count, (double)(middle - start) / 1e6,
           (double)(now_ns() - middle) / 1e6);
    kvs_digest_free(restored);
}

static void bench_index(uint64_t keys)
{
    struct side side;
    size_t heap_before = mallinfo2().uordblks;
    side_init(&side, keys, 0);
    heap_before = mallinfo2().uordblks;
    put_all(&side, "new keys, random order", 2654435761);
    report_memory(&side, "  index", heap_before);
    put_all(&side, "overwrites, random order", 1442695041);
    report_checkpoint(&side);
    side_done(&side);
    side_init(&side, keys, 0);
    heap_before = mallinfo2().uordblks;
    put_all(&side, "new keys, ascending", 1);
    report_memory(&side, "  index", heap_before);
    side_done(&side);
}

// ---- Two sides

struct range {
    struct kvs_slice first, end; // allocated, for the life of the run
    struct kvs_fingerprint print;
    bool list;
};

struct ranges {
    struct range *items;
    size_t count, capacity;
    struct kvs_slice end; // of the range that is being cut
};

static struct kvs_slice copy(struct kvs_slice slice)
{
    char *data = malloc(slice.size + 1);
    check(data ? 0 : KVS_ERR_NOMEM);
    if (slice.size > 0)
        memcpy(data, slice.data, slice.size);
    return kvs_slice(data, slice.size);
}

static void add(struct ranges *ranges, struct range range)
{
    if (ranges->count == ranges->capacity) {
        ranges->capacity = ranges->capacity ? 2 * ranges->capacity : 64;
        ranges->items = realloc(ranges->items, ranges->capacity * sizeof(range));
        check(ranges->items ? 0 : KVS_ERR_NOMEM);
    }
    ranges->items[ranges->count++] = range;
}

static bool add_part(void *ctx, struct kvs_slice first, struct kvs_fingerprint print)
{
    struct ranges *parts = ctx;
    struct range part = {.first = copy(first), .end = parts->end, .print = print};
    add(parts, part);
    if (parts->count > 1 && parts->items[parts->count - 2].end.data == parts->end.data)
        parts->items[parts->count - 2].end = part.first;
    return true;
}

static void cut(struct side *side, const struct range *range, struct ranges *parts)
{
    struct kvs_digest_source source = source_of(side);
    parts->end = copy(range->end);
    check(kvs_digest_split(side->digest, &source, range->first, range->end, side->parts, add_part,
                           parts));
}

static struct kvs_fingerprint print_of(struct side *side, const struct range *range)
{
    struct kvs_digest_source source = source_of(side);
    struct kvs_fingerprint print;
    check(kvs_digest_range(side->digest, &source, range->first, range->end, &print));
    return print;
}

static size_t key_bytes(struct kvs_slice before, struct kvs_slice key)
{
    size_t common = 0;
    while (common < before.size && common < key.size && before.data[common] == key.data[common])
        common++;
    return 2 + key.size - common;
}

static size_t count_bytes(uint64_t count)
{
    return count < 128 ? 1 : count < 16384 ? 2 : count < 2097152 ? 3 : 4;
}

static size_t range_bytes(const struct ranges *ranges, size_t at)
{
    const struct range *range = &ranges->items[at];
    size_t size = key_bytes(range->first, range->end);
    if (at == 0 || !kvs_slice_eq(ranges->items[at - 1].end, range->first))
        size += key_bytes(at ? ranges->items[at - 1].end : KVS_SLICE_EMPTY, range->first);
    return size + (range->list ? 1 : 16 + count_bytes(range->print.count));
}

static size_t list_bytes(uint64_t count)
{
    return (size_t)count * (2 + 1 + VERSION_SIZE); // one or two digits of each key are new
}

struct cost {
    uint64_t bytes, rounds, listed;
};

// One exchange: `asked` by A, answered by B; what A must ask next goes to `next`.
static void exchange(struct side *a, struct side *b, const struct ranges *asked,
                     struct ranges *next, struct cost *cost)
{
    cost->rounds++;
    for (size_t i = 0; i < asked->count; i++) {
        const struct range *range = &asked->items[i];
        cost->bytes += range_bytes(asked, i) + 1; // and the kind of the answer
        struct kvs_fingerprint here = print_of(b, range);
        if (!range->list && kvs_fingerprint_eq(here, range->print))
            continue;
        if (range->list || here.count <= b->list_max || range->print.count <= b->list_max) {
            cost->bytes += list_bytes(here.count);
            cost->listed += here.count;
            continue;
        }
        struct ranges parts = {0};
        cut(b, range, &parts);
        for (size_t k = 0; k < parts.count; k++) {
            struct range part = parts.items[k];
            cost->bytes += range_bytes(&parts, k);
            struct kvs_fingerprint there = part.print;
            part.print = print_of(a, &part);
            if (kvs_fingerprint_eq(there, part.print))
                continue;
            part.list = there.count <= a->list_max || part.print.count <= a->list_max;
            if (part.list)
                add(next, part);
            else
                cut(a, &part, next);
        }
        free(parts.items);
    }
}

static void bench_exchange(uint64_t keys, uint64_t differences, uint32_t parts, uint32_t list_max)
{
    struct side a;
    struct side b;
    side_init(&a, keys, 0);
    side_init(&b, keys, 100); // other blocks
    a.parts = b.parts = parts;
    a.list_max = b.list_max = list_max;
    uint64_t random = MEASURE_RANDOM_SEED;
    for (uint64_t i = 0; i < keys; i++)
        a.versions[i] = b.versions[i] = 1;
    for (uint64_t made = 0; made < differences;) {
        uint64_t at = differences == keys ? made : measure_random(&random) % keys;
        made += b.versions[at] == 1;
        b.versions[at] = 2;
    }
    struct kvs_digest_source source = source_of(&a);
    check(kvs_digest_rebuild(a.digest, &source));
    source = source_of(&b);
    check(kvs_digest_rebuild(b.digest, &source));

    struct cost cost = {0};
    struct ranges asked = {0};
    add(&asked, (struct range){.print = kvs_digest_root(a.digest)});
    double cpu = measure_cpu_seconds();
    while (asked.count > 0) {
        struct ranges next = {0};
        exchange(&a, &b, &asked, &next, &cost);
        free(asked.items);
        asked = next;
    }
    free(asked.items);
    cpu = measure_cpu_seconds() - cpu;
    printf("%9llu differences: %10llu bytes, %llu rounds, %8llu keys listed, %8.1f ms of both\n",
           (unsigned long long)differences, (unsigned long long)cost.bytes,
           (unsigned long long)cost.rounds, (unsigned long long)cost.listed, cpu * 1e3);
    side_done(&a);
    side_done(&b);
}

int main(int argc, char **argv)
{
    uint64_t keys = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    uint32_t parts = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : KVS_DIGEST_FANOUT;
    uint32_t list_max = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 32;
    printf("%llu keys; %u parts, lists of at most %u\n", (unsigned long long)keys, parts, list_max);
    bench_index(keys);
    const uint64_t differences[] = {0, 1, 100, 10000, keys};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(differences); i++)
        if (differences[i] <= keys)
            bench_exchange(keys, differences[i], parts, list_max);
    return 0;
}
