// SPDX-License-Identifier: Apache-2.0
// What a put costs in the engine under different storage layouts, one after another in one run: the
// measurement behind docs/decisions/0001. Loads KEYS keys, then overwrites at random in synced
// groups.
//
//   layout_bench [FOLDER]        default: a temporary folder
//
// Prints CPU per overwrite and bytes written per byte of payload for each layout.
#include "bench/measure.h"

#include <rocksdb/c.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEYS = 100000, OVERWRITES = 300000, GROUP = 32, VALUE_SIZE = 250, KEY_MAX = 64 };
enum { DATA, HISTORY, TIME, LOG, FAMILY_COUNT };

struct layout {
    const char *name;
    bool versions_as_entries;
    bool history_copy;
    bool read_replaced; // as without a cache
    bool time_index;
    bool time_delete;
    bool log;
};

static const struct layout layouts[] = {
    {"record + history copy + time index with deletion + log", false, true, true, true, true, true},
    {"record + history copy", false, true, true, false, false, false},
    {"versions as entries", true, false, true, false, false, false},
    {"versions as entries + time index + log", true, false, true, true, false, true},
    {"versions as entries + time index with deletion", true, false, true, true, true, false},
    {"versions as entries, replaced version known", true, false, false, false, false, false},
};

struct bench {
    const struct layout *layout;
    rocksdb_t *db;
    rocksdb_column_family_handle_t *families[FAMILY_COUNT + 1]; // RocksDB's default one first
    rocksdb_writebatch_t *batch;
    rocksdb_iterator_t *iter; // one a group
    uint64_t random;
    uint64_t timestamp;
    char value[VALUE_SIZE];
};

static void die(const char *error)
{
    if (error) {
        (void)fprintf(stderr, "layout_bench: %s\n", error);
        exit(1);
    }
}

static void put_be(char *to, uint64_t value)
{
    for (int i = 7; i >= 0; i--, value >>= 8)
        to[i] = (char)(uint8_t)value;
}

// The prefix extractor of versions as entries: up to and including the first NUL.
static char *prefix_of(void *state, const char *key, size_t size, size_t *ret_size)
{
    (void)state;
    const char *nul = memchr(key, 0, size);
    *ret_size = nul ? (size_t)(nul - key) + 1 : size;
    return (char *)(uintptr_t)key;
}

static unsigned char in_domain(void *state, const char *key, size_t size)
{
    (void)state;
    return memchr(key, 0, size) != NULL;
}

static unsigned char in_range(void *state, const char *key, size_t size)
{
    (void)state;
    (void)key;
    (void)size;
    return 0;
}

static void nothing(void *state)
{
    (void)state;
}

static const char *prefix_name(void *state)
{
    (void)state;
    return "up-to-nul";
}

static void open_store(struct bench *b, const char *folder)
{
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_create_missing_column_families(options, 1);
    rocksdb_options_set_max_total_wal_size(options, 64 << 20);
    rocksdb_options_set_recycle_log_file_num(options, 4);
    rocksdb_options_set_allow_concurrent_memtable_write(options, 0);
    rocksdb_options_set_write_buffer_size(options, 16 << 20);
    rocksdb_options_set_compression(options, rocksdb_lz4_compression);
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_filter_policy(table,
                                                  rocksdb_filterpolicy_create_bloom_full(10));
    rocksdb_block_based_options_set_whole_key_filtering(table, !b->layout->versions_as_entries);
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_options_t *data = rocksdb_options_create_copy(options);
    if (b->layout->versions_as_entries)
        rocksdb_options_set_prefix_extractor(
            data, rocksdb_slicetransform_create(NULL, nothing, prefix_of, in_domain, in_range,
                                                prefix_name));
    const char *names[] = {"default", "data", "history", "time", "log"};
    const rocksdb_options_t *each[] = {options, data, options, options, options};
    char *error = NULL;
    b->db = rocksdb_open_column_families(options, folder, FAMILY_COUNT + 1, names, each,
                                         b->families, &error);
    die(error);
    rocksdb_options_destroy(data);
    rocksdb_options_destroy(options);
    rocksdb_block_based_options_destroy(table);
}

static void put(struct bench *b, int family, const char *key, size_t key_size, const char *value,
                size_t value_size)
{
    rocksdb_writebatch_put_cf(b->batch, b->families[family + 1], key, key_size, value, value_size);
}

// Looks the replaced version up; copies it and drops its place in time as the layout asks.
static void replace(struct bench *b, const rocksdb_readoptions_t *read, const char *key,
                    size_t size)
{
    char entry[KEY_MAX + 16];
    memcpy(entry, key, size);
    entry[size] = '\0';
    if (!b->iter)
        b->iter = rocksdb_create_iterator_cf(b->db, read, b->families[DATA + 1]);
    rocksdb_iter_seek(b->iter, key, b->layout->versions_as_entries ? size + 1 : size);
    if (!rocksdb_iter_valid(b->iter))
        return;
    size_t found_size = 0;
    size_t value_size = 0;
    const char *found = rocksdb_iter_key(b->iter, &found_size);
    const char *value = rocksdb_iter_value(b->iter, &value_size);
    char old_time[8];
    if (b->layout->versions_as_entries) {
        for (int i = 0; i < 8; i++)
            old_time[i] = (char)~found[size + 1 + (size_t)i];
    } else {
        memcpy(old_time, value, 8);
    }
    if (b->layout->history_copy) {
        memcpy(entry + size + 1, old_time, 8);
        put(b, HISTORY, entry, size + 9, value, value_size);
    }
    if (b->layout->time_delete) {
        char time_key[KEY_MAX + 8];
        memcpy(time_key, old_time, 8);
        memcpy(time_key + 8, key, size);
        rocksdb_writebatch_delete_cf(b->batch, b->families[TIME + 1], time_key, size + 8);
    }
}

static void add_put(struct bench *b, uint64_t id, bool overwrite, const rocksdb_readoptions_t *read)
{
    char key[KEY_MAX];
    size_t size =
        (size_t)snprintf(key, sizeof(key), "bench/some/key%08llu", (unsigned long long)id);
    if (overwrite && b->layout->read_replaced)
        replace(b, read, key, size);
    b->timestamp++;
    for (int i = 0; i < 40; i++)
        b->value[measure_random(&b->random) % VALUE_SIZE] =
            "0123456789abcdef"[measure_random(&b->random) % 16];
    char entry[KEY_MAX + 40];
    memcpy(entry, key, size);
    if (b->layout->versions_as_entries) {
        entry[size] = '\0';
        put_be(entry + size + 1, ~b->timestamp);
        memset(entry + size + 9, 7, 8);
        memcpy(entry + size + 17, b->value, 16);
        put(b, DATA, entry, size + 33, b->value, VALUE_SIZE);
    } else {
        char record[VALUE_SIZE + 40];
        put_be(record, b->timestamp);
        memcpy(record + 8, b->value, 32);
        memcpy(record + 40, b->value, VALUE_SIZE);
        put(b, DATA, key, size, record, sizeof(record));
    }
    if (b->layout->time_index) {
        char time_key[KEY_MAX + 8];
        put_be(time_key, b->timestamp);
        memcpy(time_key + 8, key, size);
        put(b, TIME, time_key, size + 8, "", 0);
    }
    if (b->layout->log) {
        char seq[8];
        put_be(seq, b->timestamp);
        memcpy(entry, key, size);
        memcpy(entry + size, b->value, 30);
        put(b, LOG, seq, sizeof(seq), entry, size + 30);
    }
}

static void commit(struct bench *b, const rocksdb_writeoptions_t *write)
{
    char *error = NULL;
    rocksdb_write(b->db, write, b->batch, &error);
    die(error);
    rocksdb_writebatch_clear(b->batch);
    if (b->iter)
        rocksdb_iter_destroy(b->iter);
    b->iter = NULL;
}

static void run_layout(const struct layout *layout, const char *folder)
{
    struct bench b = {.layout = layout, .random = MEASURE_RANDOM_SEED, .timestamp = 1700000000000u};
    open_store(&b, folder);
    b.batch = rocksdb_writebatch_create();
    memset(b.value, 'x', sizeof(b.value));
    rocksdb_writeoptions_t *write = rocksdb_writeoptions_create();
    rocksdb_readoptions_t *read = rocksdb_readoptions_create();
    rocksdb_readoptions_set_prefix_same_as_start(read, layout->versions_as_entries);
    for (uint64_t i = 0; i < KEYS; i++) {
        add_put(&b, i * 2654435761u % KEYS, false, read);
        if (i % GROUP == GROUP - 1)
            commit(&b, write);
    }
    commit(&b, write);
    rocksdb_writeoptions_set_sync(write, 1);
    double cpu = measure_cpu_seconds();
    uint64_t written = measure_device_bytes();
    for (int i = 0; i < OVERWRITES; i++) {
        add_put(&b, measure_random(&b.random) % KEYS, true, read);
        if (i % GROUP == GROUP - 1)
            commit(&b, write);
    }
    commit(&b, write);
    printf("%-55s  %5.1f us CPU  %4.1f x written\n", layout->name,
           (measure_cpu_seconds() - cpu) / OVERWRITES * 1e6,
           (double)(measure_device_bytes() - written) / ((double)OVERWRITES * VALUE_SIZE));
    rocksdb_readoptions_destroy(read);
    rocksdb_writeoptions_destroy(write);
    rocksdb_writebatch_destroy(b.batch);
    for (int i = 0; i <= FAMILY_COUNT; i++)
        rocksdb_column_family_handle_destroy(b.families[i]);
    rocksdb_close(b.db);
}

int main(int argc, char **argv)
{
    char temporary[] = "/tmp/kvs-layout-XXXXXX";
    const char *base = argc > 1 ? argv[1] : mkdtemp(temporary);
    die(base ? NULL : "no temporary folder");
    for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
        char folder[512];
        (void)snprintf(folder, sizeof(folder), "%s/%zu", base, i);
        run_layout(&layouts[i], folder);
        rocksdb_options_t *options = rocksdb_options_create();
        char *error = NULL;
        rocksdb_destroy_db(options, folder, &error);
        die(error);
        rocksdb_options_destroy(options);
    }
    (void)rmdir(base); // empty by now; a folder of the user's may hold other things
    return 0;
}
