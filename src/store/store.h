// SPDX-License-Identifier: Apache-2.0
// An ordered key-value engine behind a small vtable. Nothing above this folder knows RocksDB; one
// day a distributed engine can stand here instead.
//
// Keys are compared bytewise. All functions are thread-safe unless said otherwise; one batch or one
// iterator belongs to one thread at a time. Below `node` nothing is logged: errors travel up.
#ifndef KVS_STORE_STORE_H
#define KVS_STORE_STORE_H

#include "base/buf.h"
#include "base/durability.h"

// Separately tuned key spaces of one store, committed together atomically. The numbers are in no
// file; the names (kvs_family_name) are.
enum kvs_family {
    KVS_FAMILY_META,    // identity, writers, settings of the store itself; tiny
    KVS_FAMILY_DATA,    // users' versions: see codec/record.h for keys and values
    KVS_FAMILY_SYSTEM,  // accounts' and metadata's versions, same layout as DATA
    KVS_FAMILY_BY_TIME, // timestamp + key of every version of DATA; append-mostly
    KVS_FAMILY_LOG,     // sequence number -> change, append-only
    KVS_FAMILY_DUE,     // due time + key: what housekeeping must look at, and when
    KVS_FAMILY_AUDIT,   // audit log, append-only
    KVS_FAMILY_COUNT
};

const char *kvs_family_name(enum kvs_family family); // "data"; static

enum kvs_read_mode {
    KVS_READ_CACHED, // KVS_ERR_AGAIN instead of touching the disk
    KVS_READ_DISK,   // may block
};

// Decides during compaction what becomes of an entry of one family. Called on engine threads; may
// read the store, even while it is being closed, but must not write to it.
enum kvs_filter_verdict { KVS_FILTER_KEEP, KVS_FILTER_DROP, KVS_FILTER_REPLACE };
struct kvs_store_filter {
    void *ctx; // outlives the store
    // One state per compaction, whose entries then arrive in key order; NULL = out of memory: keep
    // all.
    void *(*begin)(void *ctx);
    // REPLACE: the new value was appended to `replacement`.
    enum kvs_filter_verdict (*decide)(void *state, struct kvs_slice key, struct kvs_slice value,
                                      struct kvs_buf *replacement);
    void (*end)(void *state);
};

struct kvs_store_options {
    const char *path;          // directory, created 0700 when missing (parents too)
    bool compression;          // LZ4 above, zstd at the bottom
    int compression_level;     // zstd 1-19
    size_t block_cache_size;   // bytes, 0 = default
    size_t write_buffer_size;  // bytes a family, 0 = default
    bool read_only_if_damaged; // reserved for tools: open what can be read
    bool async_writes;         // KVS_DURABILITY_ASYNC was in use: after a power failure the log may
                               // have holes; cut it at the first instead of calling it damaged
    struct kvs_store_filter filters[KVS_FAMILY_COUNT]; // begin == NULL: none
};

struct kvs_store;
struct kvs_store_batch; // a list of changes, applied atomically in order
struct kvs_store_iter;

struct kvs_store_stats {
    uint64_t keys_estimate[KVS_FAMILY_COUNT];
    uint64_t table_bytes;  // live table files, all families
    uint64_t memory_bytes; // block cache + write buffers + table readers
};

struct kvs_store_iter_options {
    enum kvs_read_mode mode;
    bool prefix_only; // DATA and SYSTEM: only entries that share the sought key up to and including
                      // its first NUL are promised; lets the engine skip files. seek_last is not
                      // allowed
    bool skip_cache_fill; // for scans of everything
};

struct kvs_store_ops {
    void (*close)(struct kvs_store *store);
    int (*get)(struct kvs_store *store, enum kvs_family family, struct kvs_slice key,
               enum kvs_read_mode mode, struct kvs_buf *ret_value);
    struct kvs_store_batch *(*batch_new)(struct kvs_store *store);
    void (*batch_free)(struct kvs_store_batch *batch);
    void (*batch_clear)(struct kvs_store_batch *batch);
    void (*batch_put)(struct kvs_store_batch *batch, enum kvs_family family, struct kvs_slice key,
                      struct kvs_slice value);
    void (*batch_delete)(struct kvs_store_batch *batch, enum kvs_family family,
                         struct kvs_slice key);
    void (*batch_delete_range)(struct kvs_store_batch *batch, enum kvs_family family,
                               struct kvs_slice first, struct kvs_slice end);
    int (*write)(struct kvs_store *store, struct kvs_store_batch *batch,
                 enum kvs_durability durability);
    struct kvs_store_iter *(*iter_new)(struct kvs_store *store, enum kvs_family family,
                                       const struct kvs_store_iter_options *options);
    void (*iter_free)(struct kvs_store_iter *iter);
    void (*iter_seek)(struct kvs_store_iter *iter, struct kvs_slice key);
    void (*iter_seek_before)(struct kvs_store_iter *iter, struct kvs_slice key);
    void (*iter_seek_last)(struct kvs_store_iter *iter);
    void (*iter_next)(struct kvs_store_iter *iter);
    void (*iter_prev)(struct kvs_store_iter *iter);
    bool (*iter_valid)(const struct kvs_store_iter *iter);
    struct kvs_slice (*iter_key)(const struct kvs_store_iter *iter);
    struct kvs_slice (*iter_value)(const struct kvs_store_iter *iter);
    int (*iter_error)(const struct kvs_store_iter *iter);
    int (*checkpoint)(struct kvs_store *store, const char *path);
    int (*flush)(struct kvs_store *store);
    int (*compact)(struct kvs_store *store, enum kvs_family family);
    int (*stats)(struct kvs_store *store, struct kvs_store_stats *ret_stats);
    int (*resume)(struct kvs_store *store);
};

// Every engine's first member.
struct kvs_store {
    const struct kvs_store_ops *ops;
};
struct kvs_store_batch {
    const struct kvs_store_ops *ops;
};
struct kvs_store_iter {
    const struct kvs_store_ops *ops;
};

// Opens or creates a RocksDB store. A directory that another process has open, one written by a
// newer format, damaged files, missing permissions and a full disk each give their own message.
// Owned by the caller.
KVS_MUST_CHECK int kvs_store_open(const struct kvs_store_options *options,
                                  struct kvs_store **ret_store, struct kvs_message *ret_message);

// Flushes, then closes; iterators and batches must be gone. NULL is fine.
void kvs_store_close(struct kvs_store *store);
KVS_DEFINE_CLEANUP(struct kvs_store, kvs_store_close)

// Appends the value. KVS_ERR_NOT_FOUND, _AGAIN (mode CACHED), _CORRUPT, _IO, _NOMEM.
KVS_MUST_CHECK int kvs_store_get(struct kvs_store *store, enum kvs_family family,
                                 struct kvs_slice key, enum kvs_read_mode mode,
                                 struct kvs_buf *ret_value);

struct kvs_store_batch *kvs_store_batch_new(struct kvs_store *store); // NULL: out of memory
void kvs_store_batch_free(struct kvs_store_batch *batch);
void kvs_store_batch_clear(struct kvs_store_batch *batch);
void kvs_store_batch_put(struct kvs_store_batch *batch, enum kvs_family family,
                         struct kvs_slice key, struct kvs_slice value);
void kvs_store_batch_delete(struct kvs_store_batch *batch, enum kvs_family family,
                            struct kvs_slice key);
// [first, end); not in DATA and SYSTEM
void kvs_store_batch_delete_range(struct kvs_store_batch *batch, enum kvs_family family,
                                  struct kvs_slice first, struct kvs_slice end);

// All or nothing. After an error other than NOMEM nothing of the batch may be taken as durable; the
// engine refuses writes until kvs_store_resume succeeds.
KVS_MUST_CHECK int kvs_store_write(struct kvs_store *store, struct kvs_store_batch *batch,
                                   enum kvs_durability durability);

// A consistent view of one family as of now. NULL: out of memory. Hold it briefly: it pins files.
struct kvs_store_iter *kvs_store_iter_new(struct kvs_store *store, enum kvs_family family,
                                          const struct kvs_store_iter_options *options);
void kvs_store_iter_free(struct kvs_store_iter *iter);
KVS_DEFINE_CLEANUP(struct kvs_store_iter, kvs_store_iter_free)
void kvs_store_iter_seek(struct kvs_store_iter *iter, struct kvs_slice key);        // first >= key
void kvs_store_iter_seek_before(struct kvs_store_iter *iter, struct kvs_slice key); // last <= key
void kvs_store_iter_seek_last(struct kvs_store_iter *iter);
void kvs_store_iter_next(struct kvs_store_iter *iter);
void kvs_store_iter_prev(struct kvs_store_iter *iter);
// False at the end and on an error: then ask kvs_store_iter_error (0, _AGAIN, _CORRUPT, _IO).
bool kvs_store_iter_valid(const struct kvs_store_iter *iter);
KVS_MUST_CHECK int kvs_store_iter_error(const struct kvs_store_iter *iter);
// Both valid until the next move.
struct kvs_slice kvs_store_iter_key(const struct kvs_store_iter *iter);
struct kvs_slice kvs_store_iter_value(const struct kvs_store_iter *iter);

// A consistent copy (hard links where it can) in a new directory `path`, while writes go on.
KVS_MUST_CHECK int kvs_store_checkpoint(struct kvs_store *store, const char *path);
KVS_MUST_CHECK int kvs_store_flush(struct kvs_store *store); // write buffers to tables
KVS_MUST_CHECK int kvs_store_compact(struct kvs_store *store, enum kvs_family family);
KVS_MUST_CHECK int kvs_store_stats(struct kvs_store *store, struct kvs_store_stats *ret_stats);
// After a write error (a full disk): makes the store writable again if the cause is gone. A batch
// that failed is then there as a whole or not at all: read again what was derived from it. Waits a
// moment for iterators; KVS_ERR_BUSY when some stay, so the caller must hold none.
KVS_MUST_CHECK int kvs_store_resume(struct kvs_store *store);

#endif
