// SPDX-License-Identifier: Apache-2.0
// Backups: one file with every version of a store, its history, deletions, accounts and the node's
// own state, as of one moment between two commits (docs/backups.md; docs/formats/backup.md).
//
// A file gets its name only when it is whole, on the disk, and has been restored to scratch with
// the same fingerprint: whatever is called kvs-backup-….zst was good when it was made. What stands
// here may block for long and belongs to no loop thread. Messages read *what failed: why: what to
// do*.
#ifndef KVS_NODE_BACKUP_H
#define KVS_NODE_BACKUP_H

#include "base/clock.h"
#include "base/random.h"
#include "digest/digest.h"
#include "store/store.h"

enum {
    KVS_BACKUP_FORMAT = 1,
    KVS_BACKUP_NODE_ID_MAX = 253,
    KVS_BACKUP_RELEASE_MAX = 63,
    KVS_BACKUP_SHA256_SIZE = 32,
    KVS_BACKUP_NAME_SIZE = 33, // "kvs-backup-2026-11-23T033547Z.zst" without the NUL
    KVS_BACKUP_RETENTION_DAY_S = 24 * 60 * 60,
};

// Adds up what a backup holds; two stores with the same content have the same one.
struct kvs_backup_content {
    uint64_t keys;     // users' keys that have a value (not deleted, not expired at created_at)
    uint64_t versions; // of users' and system records
    uint64_t entries;  // others: the node's state, change log, audit log
    struct kvs_fingerprint current; // of the current versions
    struct kvs_fingerprint all;     // of all versions
    uint64_t entries_sum;           // of the others
};

// The manifest. Texts are NUL-terminated.
struct kvs_backup_info {
    uint32_t format;
    int64_t created_at_ms;
    struct kvs_writer node;
    char node_id[KVS_BACKUP_NODE_ID_MAX + 1];
    char release[KVS_BACKUP_RELEASE_MAX + 1]; // of KVS that wrote it
    uint64_t log_seq;                         // of the newest change in it
    struct kvs_digest_key prf;                // of the fingerprints
    struct kvs_backup_content content;
    uint64_t content_size; // bytes before compression
    uint64_t file_size;    // bytes
    uint8_t sha256[KVS_BACKUP_SHA256_SIZE];
};

enum kvs_backup_phase {
    KVS_BACKUP_IDLE,
    KVS_BACKUP_WRITING,
    KVS_BACKUP_READING,   // restoring or verifying a file
    KVS_BACKUP_CHECKING,  // looking at what was restored
    KVS_BACKUP_REWRITING, // --as-new-writes
};
const char *kvs_backup_phase_name(enum kvs_backup_phase phase); // "writing"; static

// Looks on, from time to time, and may stop it: false ends with KVS_ERR_SHUTDOWN. `total` may be an
// estimate, or 0.
struct kvs_backup_watch {
    bool (*go_on)(void *ctx, enum kvs_backup_phase phase, uint64_t done, uint64_t total);
    void *ctx;
};

// ---- Making one

// Iterators of one moment: no commit lies between them. Taken on the commit thread, or where
// nothing commits.
struct kvs_backup_view {
    struct kvs_store_iter *iters[KVS_FAMILY_COUNT]; // NULL: not part of backups
    uint64_t versions_estimate;
};
KVS_MUST_CHECK int kvs_backup_view_init(struct kvs_backup_view *view, struct kvs_store *store);
void kvs_backup_view_done(struct kvs_backup_view *view);

struct kvs_backup_options {
    const char *folder;    // created 0700 where it is missing
    const char *node_id;   // NULL: unknown
    int compression_level; // zstd 1-19
    const struct kvs_clock *clock;
    struct kvs_random *random;
    const struct kvs_backup_watch *watch; // may be NULL
};

// Writes, verifies and names a backup of `view`, which is done afterwards in any case, and early.
// On errors nothing is left behind. *ret_path is the caller's.
KVS_MUST_CHECK int kvs_backup_create(const struct kvs_backup_options *options,
                                     struct kvs_backup_view *view, struct kvs_backup_info *ret_info,
                                     char **ret_path, struct kvs_message *ret_message);

// ---- Reading one

// Reads all of it: every checksum, every record, the fingerprints. KVS_ERR_CORRUPT for a damaged or
// incomplete file, KVS_ERR_VERSION for a newer format.
KVS_MUST_CHECK int kvs_backup_verify(const char *path, const struct kvs_backup_watch *watch,
                                     struct kvs_backup_info *ret_info,
                                     struct kvs_message *ret_message);

// The manifest alone: the beginning and the end of the file. What lies between may be damaged.
KVS_MUST_CHECK int kvs_backup_peek(const char *path, struct kvs_backup_info *ret_info,
                                   struct kvs_message *ret_message);

struct kvs_backup_restore_options {
    const char *file;
    const char *data_dir; // missing or empty; appears at the end, whole
    bool as_new_writes;   // every value becomes a new version, of now
    const struct kvs_clock *clock;
    struct kvs_random *random;
    const struct kvs_backup_watch *watch; // may be NULL
};
// *ret_rewritten: values that became new versions.
KVS_MUST_CHECK int kvs_backup_restore(const struct kvs_backup_restore_options *options,
                                      struct kvs_backup_info *ret_info, uint64_t *ret_rewritten,
                                      struct kvs_message *ret_message);

// ---- A folder of them

struct kvs_backup_file {
    char name[KVS_BACKUP_NAME_SIZE + 1];
    int64_t named_s; // the time in its name
    uint64_t size;
    int err;                     // of the manifest: 0, KVS_ERR_CORRUPT, KVS_ERR_VERSION, KVS_ERR_IO
    struct kvs_backup_info info; // when err is 0
};
struct kvs_backup_list {
    struct kvs_backup_file *files; // newest first
    size_t count;
};
// A missing folder is an empty one.
KVS_MUST_CHECK int kvs_backup_list(const char *folder, struct kvs_backup_list *ret_list,
                                   struct kvs_message *ret_message);
void kvs_backup_list_done(struct kvs_backup_list *list);

// Deletes backups of `node` that are older than `days`, but never its newest good one: `good` (a
// name, or NULL) is known to be good, otherwise the newest that verifies is kept. Those of other
// nodes stay. *ret_deleted counts.
KVS_MUST_CHECK int kvs_backup_expire(const char *folder, const struct kvs_uuid *node, int64_t now_s,
                                     int64_t days, const char *good,
                                     const struct kvs_backup_watch *watch, size_t *ret_deleted,
                                     struct kvs_message *ret_message);

// Removes what a crash left in the folder: files and scratch folders of backups that nobody is
// writing any more.
void kvs_backup_clean(const char *folder);

#endif
