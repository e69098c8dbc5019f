// SPDX-License-Identifier: Apache-2.0
// A store as of one moment, entry after entry in the order of a backup. Reads only. A family's
// iterator is freed as soon as it has been walked: what it pins (files, write buffers) is needed by
// nobody else.
#include "node/backup_internal.h"

#include "codec/index.h"

enum { WATCH_EVERY = 32 };

// The digest's checkpoint (ledger_store.c): large, and made anew where it is missing.
static const enum kvs_family kept[] = {KVS_FAMILY_META, KVS_FAMILY_AUDIT,  KVS_FAMILY_LOG,
                                       KVS_FAMILY_DUE,  KVS_FAMILY_SYSTEM, KVS_FAMILY_DATA};

int kvs_backup_view_init(struct kvs_backup_view *view, struct kvs_store *store)
{
    *view = (struct kvs_backup_view){0};
    const struct kvs_store_iter_options options = {.mode = KVS_READ_DISK, .skip_cache_fill = true};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(kept); i++) {
        struct kvs_store_iter *iter = kvs_store_iter_new(store, kept[i], &options);
        if (!iter) {
            kvs_backup_view_done(view);
            return KVS_ERR_NOMEM;
        }
        view->iters[kept[i]] = iter;
    }
    struct kvs_store_stats stats;
    if (kvs_store_stats(store, &stats) == 0) // for the progress bar only
        view->versions_estimate =
            stats.keys_estimate[KVS_FAMILY_DATA] + stats.keys_estimate[KVS_FAMILY_SYSTEM];
    return 0;
}

void kvs_backup_view_done(struct kvs_backup_view *view)
{
    for (size_t i = 0; i < KVS_FAMILY_COUNT; i++)
        if (view->iters[i])
            kvs_store_iter_free(KVS_TAKE(view->iters[i]));
}

bool kvs_backup_go_on(const struct kvs_backup_watch *watch, enum kvs_backup_phase phase,
                      uint64_t done, uint64_t total)
{
    return !watch || watch->go_on(watch->ctx, phase, done, total);
}

int kvs_backup_fail_stopped(struct kvs_message *ret_message)
{
    return kvs_fail(ret_message, KVS_ERR_SHUTDOWN, "stopped before it was finished");
}

const char *kvs_backup_phase_name(enum kvs_backup_phase phase)
{
    static const char *const names[] = {"idle", "writing", "reading", "checking", "rewriting"};
    return names[phase];
}

// ---- Identity

static int get_meta(struct kvs_store_iter *iter, const char *key, struct kvs_slice *ret_value)
{
    struct kvs_slice wanted = kvs_slice_from_str(key);
    kvs_store_iter_seek(iter, wanted);
    if (!kvs_store_iter_valid(iter) || !kvs_slice_eq(kvs_store_iter_key(iter), wanted)) {
        int err = kvs_store_iter_error(iter);
        return err ? err : KVS_ERR_NOT_FOUND;
    }
    *ret_value = kvs_store_iter_value(iter);
    return 0;
}

int kvs_backup_view_identify(struct kvs_backup_view *view, struct kvs_backup_info *info,
                             struct kvs_message *ret_message)
{
    struct kvs_store_iter *iter = view->iters[KVS_FAMILY_META];
    struct kvs_slice value;
    struct kvs_identity identity = {0};
    int err = get_meta(iter, "identity", &value);
    if (err == KVS_ERR_NOT_FOUND)
        return kvs_fail(ret_message, err, "this store has never been a node's: nothing to back up");
    if (!err)
        err = kvs_identity_decode(value, &identity);
    struct kvs_commit_state state = {0};
    if (!err) {
        err = get_meta(iter, "state", &value);
        err = err == KVS_ERR_NOT_FOUND ? 0 : err ? err : kvs_commit_state_decode(value, &state);
    }
    if (err)
        return kvs_fail(ret_message, err, "read the node's own state: %s", kvs_err_text(err));
    info->node = identity.self;
    info->log_seq = state.log_seq;
    return 0;
}

// ---- The walk

static int fail_entry(const struct kvs_backup_entry *entry, int err,
                      struct kvs_message *ret_message)
{
    if (err == KVS_ERR_NOMEM)
        return kvs_fail(ret_message, err, "out of memory");
    return kvs_fail(
        ret_message, err, "stored record '%.*s' of %s: %s: restore or delete that record first",
        (int)(entry->key.size < 200 ? entry->key.size : 200),
        entry->key.data ? entry->key.data : "", kvs_family_name(entry->family), kvs_err_text(err));
}

static int give(struct kvs_backup_walk *walk, struct kvs_backup_entry *entry,
                struct kvs_message *ret_message)
{
    int err = kvs_backup_tally_add(walk->tally, entry);
    if (err)
        return fail_entry(entry, err, ret_message);
    const struct kvs_backup_content *content = &walk->tally->content;
    if ((content->versions + content->entries) % WATCH_EVERY == 0 &&
        !kvs_backup_go_on(walk->watch, walk->phase, content->versions, walk->total))
        return kvs_backup_fail_stopped(ret_message);
    return walk->sink ? walk->sink(walk->ctx, entry) : 0;
}

// False: nothing to give.
static int read_writer(struct kvs_slice key, struct kvs_slice value,
                       struct kvs_backup_entry *ret_entry)
{
    struct kvs_cursor cursor =
        kvs_cursor(kvs_slice(key.data + KVS_META_WRITER.size, key.size - KVS_META_WRITER.size));
    *ret_entry = (struct kvs_backup_entry){.kind = KVS_BACKUP_WRITER, .family = KVS_FAMILY_META};
    ret_entry->writer_id = kvs_wire_get_u32be(&cursor);
    int err = kvs_writer_decode(value, &ret_entry->version.writer);
    return err ? err : kvs_cursor_finished(&cursor) ? 0 : KVS_ERR_CORRUPT;
}

static int read_version(enum kvs_family family, struct kvs_slice key, struct kvs_slice value,
                        struct kvs_backup_entry *ret_entry)
{
    struct kvs_record_view view;
    int err = kvs_record_decode(key, value, &view);
    *ret_entry =
        (struct kvs_backup_entry){.kind = KVS_BACKUP_VERSION, .family = family, .key = key};
    if (err)
        return err;
    ret_entry->key = view.key;
    ret_entry->value = view.json;
    ret_entry->writer_id = view.writer_id;
    ret_entry->version = view.version;
    return 0;
}

static int walk_writers(struct kvs_backup_walk *walk, struct kvs_message *ret_message)
{
    struct kvs_store_iter *iter = walk->view->iters[KVS_FAMILY_META];
    for (kvs_store_iter_seek(iter, KVS_META_WRITER);
         kvs_store_iter_valid(iter) &&
         kvs_slice_starts_with(kvs_store_iter_key(iter), KVS_META_WRITER);
         kvs_store_iter_next(iter)) {
        struct kvs_backup_entry entry;
        int err = read_writer(kvs_store_iter_key(iter), kvs_store_iter_value(iter), &entry);
        err = err ? fail_entry(&entry, err, ret_message) : give(walk, &entry, ret_message);
        if (err)
            return err;
    }
    return 0; // an error shows again below
}

// One entry of a family; writers have been given already, what can be derived is left out.
static int walk_entry(struct kvs_backup_walk *walk, enum kvs_family family,
                      struct kvs_store_iter *iter, struct kvs_message *ret_message)
{
    struct kvs_slice key = kvs_store_iter_key(iter);
    struct kvs_slice value = kvs_store_iter_value(iter);
    struct kvs_backup_entry entry = {
        .kind = KVS_BACKUP_PLAIN, .family = family, .key = key, .value = value};
    if (family == KVS_FAMILY_META &&
        (kvs_slice_starts_with(key, KVS_META_WRITER) || kvs_slice_eq(key, KVS_META_DIGEST)))
        return 0;
    if (family != KVS_FAMILY_DATA && family != KVS_FAMILY_SYSTEM)
        return give(walk, &entry, ret_message);
    int err = read_version(family, key, value, &entry);
    if (err)
        return fail_entry(&entry, err, ret_message);
    int64_t joined_timestamp = entry.version.writer.joined_timestamp;
    err = give(walk, &entry, ret_message);
    if (!err && entry.version.writer.joined_timestamp != joined_timestamp)
        err = fail_entry(&entry, KVS_ERR_CORRUPT, ret_message);
    return err;
}

static int walk_family(struct kvs_backup_walk *walk, enum kvs_family family,
                       struct kvs_message *ret_message)
{
    struct kvs_store_iter *iter = walk->view->iters[family];
    int err = 0;
    for (kvs_store_iter_seek(iter, KVS_SLICE_EMPTY); !err && kvs_store_iter_valid(iter);
         kvs_store_iter_next(iter))
        err = walk_entry(walk, family, iter, ret_message);
    if (!err && (err = kvs_store_iter_error(iter)))
        err = kvs_fail(ret_message, err, "read %s: %s", kvs_family_name(family), kvs_err_text(err));
    kvs_store_iter_free(KVS_TAKE(walk->view->iters[family]));
    return err;
}

int kvs_backup_walk(struct kvs_backup_walk *walk, struct kvs_message *ret_message)
{
    if (!kvs_backup_go_on(walk->watch, walk->phase, 0, walk->total))
        return kvs_backup_fail_stopped(ret_message);
    int err = walk_writers(walk, ret_message);
    for (size_t i = 0; !err && i < KVS_ARRAY_SIZE(kept); i++)
        err = walk_family(walk, kept[i], ret_message);
    return err;
}
