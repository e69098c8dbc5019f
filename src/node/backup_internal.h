// SPDX-License-Identifier: Apache-2.0
// What the files of backups share: walking a store, writing and reading a backup file, and putting
// one into a store.
#ifndef KVS_NODE_BACKUP_INTERNAL_H
#define KVS_NODE_BACKUP_INTERNAL_H

#include "node/backup_format.h"
#include "node/meta_keys.h"

// ---- Walking a store (backup_view.c)

typedef int kvs_backup_sink_fn(void *ctx, const struct kvs_backup_entry *entry);

struct kvs_backup_walk {
    struct kvs_backup_view *view; // each family is let go as soon as it has been walked
    struct kvs_backup_tally *tally;
    kvs_backup_sink_fn *sink; // NULL: only add up. It says itself what went wrong
    void *ctx;
    const struct kvs_backup_watch *watch;
    enum kvs_backup_phase phase;
    uint64_t total;
};
KVS_MUST_CHECK int kvs_backup_walk(struct kvs_backup_walk *walk, struct kvs_message *ret_message);

// Whose store is this, and where did its log end?
KVS_MUST_CHECK int kvs_backup_view_identify(struct kvs_backup_view *view,
                                            struct kvs_backup_info *info,
                                            struct kvs_message *ret_message);

bool kvs_backup_go_on(const struct kvs_backup_watch *watch, enum kvs_backup_phase phase,
                      uint64_t done, uint64_t total);
// "stopped" and KVS_ERR_SHUTDOWN.
int kvs_backup_fail_stopped(struct kvs_message *ret_message);

// ---- Files

// backup_write.c: header, content, trailer into `fd`, synced. Completes *info.
KVS_MUST_CHECK int kvs_backup_write_file(int fd, const char *path, int compression_level,
                                         struct kvs_backup_view *view,
                                         const struct kvs_backup_watch *watch,
                                         struct kvs_backup_info *info,
                                         struct kvs_message *ret_message);

// backup_read.c: reads a backup from anywhere. *ret_size 0 is its end.
struct kvs_backup_source {
    int (*read)(void *ctx, char *bytes, size_t size, size_t *ret_size);
    void *ctx;
};

struct kvs_backup_reader;

// Reads the header. The reader is made in any case but KVS_ERR_NOMEM, for its message.
KVS_MUST_CHECK int kvs_backup_reader_open(const struct kvs_backup_source *source,
                                          struct kvs_backup_reader **ret_reader,
                                          struct kvs_message *ret_message);
void kvs_backup_reader_free(struct kvs_backup_reader *reader);
KVS_DEFINE_CLEANUP(struct kvs_backup_reader, kvs_backup_reader_free)

// The next entry, checked, valid until the next call. KVS_ERR_NOT_FOUND: that was all, and
// everything in it was as its writer left it.
KVS_MUST_CHECK int kvs_backup_reader_next(struct kvs_backup_reader *reader,
                                          struct kvs_backup_entry *ret_entry,
                                          struct kvs_message *ret_message);
// Complete once everything has been read.
const struct kvs_backup_info *kvs_backup_reader_info(const struct kvs_backup_reader *reader);

// ---- Restoring (backup_restore.c)

// Puts the backup into a new store at `path` and looks whether all of it is there.
KVS_MUST_CHECK int kvs_backup_load(const char *file, const char *path,
                                   const struct kvs_backup_watch *watch,
                                   struct kvs_backup_info *ret_info,
                                   struct kvs_message *ret_message);

// backup_rewrite.c: every value in the store at `path` becomes a new version, of now.
KVS_MUST_CHECK int kvs_backup_rewrite(const struct kvs_backup_restore_options *options,
                                      const char *path, uint64_t total, uint64_t *ret_rewritten,
                                      struct kvs_message *ret_message);

// A store for restoring: small caches, nothing but what the files say.
KVS_MUST_CHECK int kvs_backup_open_store(const char *path, struct kvs_store **ret_store,
                                         struct kvs_message *ret_message);

// ---- The file system (backup_folder.c)

KVS_MUST_CHECK int kvs_backup_sync_folder(const char *path); // of a folder
// Removes a folder with everything in it; what is not there is removed already. Where it is called
// behind another error, its own is of no interest.
int kvs_backup_remove_tree(const char *path);
// The folder that `path` lies in; the caller's, NULL when out of memory.
char *kvs_backup_parent(const char *path);

#endif
