// SPDX-License-Identifier: Apache-2.0
// All of RocksDB's tuning, and why. docs/formats/store.md says what of it is in the files.
//
// The load: small versions put in random key order (DATA, SYSTEM), entries put in increasing order
// (BY_TIME, LOG, AUDIT), a few hundred entries that are read and rewritten (META, DUE). One thread
// writes, in groups, with one sync a group; many threads read.
#include "store/rocksdb_internal.h"

#include <stdio.h>

enum {
    KIB = 1 << 10,
    MIB = 1 << 20,
    BLOCK_CACHE_DEFAULT = 64 * MIB,
    WRITE_BUFFER_DEFAULT = 16 * MIB,
    WRITE_BUFFER_SMALL = 2 * MIB,
    WRITE_BUFFERS_ALL = 96 * MIB, // of all families together
    WAL_SIZE_MAX = 64 * MIB,
    MANIFEST_PREALLOCATED = 256 * KIB,
    OPENING_WRITES = MIB, // RocksDB's own log, its options, the manifest: 150 KiB
    ZSTD_WINDOW_BITS_DEFAULT = -14,
    INFO_LOG_FATAL = 4, // rocksdb::InfoLogLevel
};

enum shape {
    RANDOM,   // puts all over the key space, versions under a prefix
    APPENDED, // puts at the end
    SMALL,    // hardly any data
};

static const enum shape shapes[KVS_FAMILY_COUNT] = {
    [KVS_FAMILY_META] = SMALL,       [KVS_FAMILY_DATA] = RANDOM,  [KVS_FAMILY_SYSTEM] = RANDOM,
    [KVS_FAMILY_BY_TIME] = APPENDED, [KVS_FAMILY_LOG] = APPENDED, [KVS_FAMILY_DUE] = SMALL,
    [KVS_FAMILY_AUDIT] = APPENDED,
};

bool kvs_rocksdb_has_hints(enum kvs_family family)
{
    return shapes[family] == RANDOM; // elsewhere the next entry goes where the last one went
}

// ---- The database

static void tune_database(rocksdb_options_t *database, rocksdb_env_t *env)
{
    rocksdb_options_set_env(database, env);
    rocksdb_options_set_create_if_missing(database, 1);
    rocksdb_options_set_create_missing_column_families(database, 1);
    rocksdb_options_set_paranoid_checks(database, 1);
    // One thread writes: the machinery for many only costs.
    rocksdb_options_set_allow_concurrent_memtable_write(database, 0);
    rocksdb_options_set_enable_write_thread_adaptive_yield(database, 0);
    // One flush, one compaction at a time: on small machines more would take the cores away from
    // requests.
    rocksdb_options_set_max_background_jobs(database, 2);
    rocksdb_options_set_max_subcompactions(database, 1);
    // What recovery does with damage is decided before it runs (rocksdb_log.c). No recycling of
    // logs, which would spare a sync the writing of the file's size: RocksDB ignores it in this
    // recovery mode, and in the one where it does not, 7.8 crashes at the next flush.
    rocksdb_options_set_wal_recovery_mode(database, rocksdb_point_in_time_recovery);
    // Not all families together, although that would keep the log shorter: with atomic_flush two
    // flushes for different reasons, a full buffer and a close, say, fail an assertion of Debian's
    // 7.8, and that ends the process.
    rocksdb_options_set_max_total_wal_size(database, WAL_SIZE_MAX);
    rocksdb_options_set_db_write_buffer_size(database, WRITE_BUFFERS_ALL);
    // Hand tables to the device while they are written, not all at once at their end: that is what
    // makes a sync of the log wait behind hundreds of megabytes.
    rocksdb_options_set_bytes_per_sync(database, 512 * KIB);
    rocksdb_options_compaction_readahead_size(database, 512 * KIB);
    // Files that an iterator pinned are deleted by a background thread, not by whoever frees it.
    rocksdb_options_set_avoid_unnecessary_blocking_io(database, 1);
    rocksdb_options_set_max_open_files(database, 512);
    rocksdb_options_set_max_manifest_file_size(database, 4 * MIB);
    rocksdb_options_set_manifest_preallocation_size(database, MANIFEST_PREALLOCATED);
    // Silence: no statistics, and in RocksDB's own log nothing behind the options that opening
    // writes; its errors reach us as status. A log in which something is written when the disk is
    // full is worse than none: writing on after an error fails an assertion of Debian's build, and
    // that ends the process.
    rocksdb_options_set_stats_dump_period_sec(database, 0);
    rocksdb_options_set_stats_persist_period_sec(database, 0);
    rocksdb_options_set_info_log_level(database, INFO_LOG_FATAL);
    rocksdb_options_set_max_log_file_size(database, MIB);
    rocksdb_options_set_keep_log_file_num(database, 1);
}

// ---- The families

static void tune_table(rocksdb_options_t *family, enum shape shape, rocksdb_cache_t *cache)
{
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_format_version(table, 5);
    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_block_based_options_set_block_size(table, 8 * KIB);
    // Indexes and filters count against the cache's limit instead of coming on top of it.
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(table, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(table, 1);
    if (shape == RANDOM) {
        rocksdb_block_based_options_set_filter_policy(table, rocksdb_filterpolicy_create_bloom(10));
        // Entries are looked for by their key's prefix, never by the whole entry key.
        rocksdb_block_based_options_set_whole_key_filtering(table, 0);
    }
    rocksdb_options_set_block_based_table_factory(family, table);
    rocksdb_block_based_options_destroy(table); // the factory has a copy
}

static void tune_compression(rocksdb_options_t *family, const struct kvs_store_options *options)
{
    if (!options->compression) {
        rocksdb_options_set_compression(family, rocksdb_no_compression);
        rocksdb_options_set_bottommost_compression(family, rocksdb_no_compression);
        return;
    }
    rocksdb_options_set_compression(family, rocksdb_lz4_compression);
    rocksdb_options_set_bottommost_compression(family, rocksdb_zstd_compression);
    rocksdb_options_set_bottommost_compression_options(family, ZSTD_WINDOW_BITS_DEFAULT,
                                                       options->compression_level, 0, 0, 1);
}

// Lets an entry be put into the skip list from where the one before was put, however far that is,
// which with groups in key order (rocksdb_batch.c) halves the work. RocksDB keeps a place for each
// prefix; ours is the empty one, of all keys. C knows this option by its name alone. Never where
// ranges are deleted: 7.8 keeps those in a skip list of their own and mixes up the places.
static rocksdb_options_t *with_insert_hints(rocksdb_options_t *family)
{
    rocksdb_options_t *hinted = rocksdb_options_create();
    char *text = NULL;
    rocksdb_get_options_from_string(
        family, "memtable_insert_with_hint_prefix_extractor=rocksdb.CappedPrefix.0", hinted, &text);
    if (text) { // a RocksDB without it is only slower
        rocksdb_free(text);
        rocksdb_options_destroy(hinted);
        return family;
    }
    rocksdb_options_destroy(family);
    return hinted;
}

static void tune_family(rocksdb_options_t *family, enum shape shape,
                        const struct kvs_store_options *options, rocksdb_cache_t *cache)
{
    size_t write_buffer =
        options->write_buffer_size > 0 ? options->write_buffer_size : WRITE_BUFFER_DEFAULT;
    if (shape == SMALL && write_buffer > WRITE_BUFFER_SMALL)
        write_buffer = WRITE_BUFFER_SMALL;
    rocksdb_options_set_write_buffer_size(family, write_buffer);
    rocksdb_options_set_max_write_buffer_number(family, 4);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(family, 1);
    rocksdb_options_set_level0_file_num_compaction_trigger(family, 8);
    rocksdb_options_set_level0_slowdown_writes_trigger(family, 32);
    rocksdb_options_set_level0_stop_writes_trigger(family, 64);
    rocksdb_options_set_target_file_size_base(family, 32 * MIB);
    rocksdb_options_set_max_bytes_for_level_base(family, 128 * MIB);
    if (shape == RANDOM) {
        rocksdb_options_set_prefix_extractor(family, kvs_rocksdb_key_prefix());
        rocksdb_options_set_memtable_prefix_bloom_size_ratio(family, 0.02);
    }
    tune_table(family, shape, cache);
    tune_compression(family, options);
}

// ---- Reading and writing

static rocksdb_readoptions_t *new_read_options(enum kvs_read_mode mode)
{
    rocksdb_readoptions_t *read = rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(read, 1);
    if (mode == KVS_READ_CACHED)
        rocksdb_readoptions_set_read_tier(read, 1); // block cache and write buffers only
    return read;
}

static void init_read_options(struct kvs_rocksdb_settings *settings)
{
    for (int mode = 0; mode < 2; mode++) {
        settings->get[mode] = new_read_options((enum kvs_read_mode)mode);
        for (int prefix_only = 0; prefix_only < 2; prefix_only++)
            for (int skip_fill = 0; skip_fill < 2; skip_fill++) {
                rocksdb_readoptions_t *read = new_read_options((enum kvs_read_mode)mode);
                rocksdb_readoptions_set_total_order_seek(read, !prefix_only);
                rocksdb_readoptions_set_prefix_same_as_start(read, (unsigned char)prefix_only);
                rocksdb_readoptions_set_fill_cache(read, !skip_fill);
                rocksdb_readoptions_set_background_purge_on_iterator_cleanup(read, 1);
                settings->iterate[mode][prefix_only][skip_fill] = read;
            }
    }
}

// A new log is preallocated with a write buffer's size and a tenth. Where that much is not free
// ext4 hands out what there is before it fails, and nothing is left for the rest.
static uint64_t room_to_open(const struct kvs_store_options *options)
{
    uint64_t write_buffer =
        options->write_buffer_size > 0 ? options->write_buffer_size : WRITE_BUFFER_DEFAULT;
    return write_buffer + write_buffer / 10 + MANIFEST_PREALLOCATED + OPENING_WRITES;
}

void kvs_rocksdb_settings_init(struct kvs_rocksdb_settings *settings,
                               const struct kvs_store_options *options)
{
    settings->env = rocksdb_create_default_env();
    settings->cache = rocksdb_cache_create_lru(
        options->block_cache_size > 0 ? options->block_cache_size : BLOCK_CACHE_DEFAULT);
    settings->database = rocksdb_options_create();
    tune_database(settings->database, settings->env);
    for (int i = 0; i < KVS_FAMILY_COUNT; i++) {
        settings->families[i] = rocksdb_options_create();
        if (kvs_rocksdb_has_hints((enum kvs_family)i))
            settings->families[i] = with_insert_hints(settings->families[i]);
        tune_family(settings->families[i], shapes[i], options, settings->cache);
        struct kvs_rocksdb_filter *filter = &settings->filters[i];
        filter->filter = options->filters[i];
        (void)snprintf(filter->name, sizeof(filter->name), "kvs.%s",
                       kvs_family_name((enum kvs_family)i)); // family names are short
        if (filter->filter.begin)
            rocksdb_options_set_compaction_filter_factory(settings->families[i],
                                                          kvs_rocksdb_filter_factory(filter));
    }
    settings->write[KVS_DURABILITY_SYNC] = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(settings->write[KVS_DURABILITY_SYNC], 1);
    settings->write[KVS_DURABILITY_ASYNC] = rocksdb_writeoptions_create();
    init_read_options(settings);
    settings->async_writes = options->async_writes;
    settings->room_to_open = room_to_open(options);
}

void kvs_rocksdb_settings_done(struct kvs_rocksdb_settings *settings)
{
    if (!settings->database)
        return;
    for (int mode = 0; mode < 2; mode++) {
        rocksdb_readoptions_destroy(settings->get[mode]);
        for (int prefix_only = 0; prefix_only < 2; prefix_only++)
            for (int skip_fill = 0; skip_fill < 2; skip_fill++)
                rocksdb_readoptions_destroy(settings->iterate[mode][prefix_only][skip_fill]);
    }
    for (size_t i = 0; i < KVS_ARRAY_SIZE(settings->write); i++)
        rocksdb_writeoptions_destroy(settings->write[i]);
    for (size_t i = 0; i < KVS_FAMILY_COUNT; i++)
        rocksdb_options_destroy(settings->families[i]);
    rocksdb_options_destroy(settings->database);
    rocksdb_cache_destroy(settings->cache);
    rocksdb_env_destroy(settings->env);
}
