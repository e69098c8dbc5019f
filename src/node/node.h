// SPDX-License-Identifier: Apache-2.0
// A node's operations on its data: what the API's handlers call. Reads run on the calling thread;
// writes go through one commit thread (commit.c) that groups whatever is waiting into one synced
// batch.
//
// INV-1  The current version of a key is the first entry under its prefix; everything else follows.
// INV-2  A write is answered only after its group is as durable as `durability` says.
// INV-3  After a failed sync nothing is acknowledged until the store has been resumed.
// INV-4  A local write's timestamp is greater than that of the version it replaces.
// INV-5  Only the commit thread changes the store (identity at the first start excepted).
#ifndef KVS_NODE_NODE_H
#define KVS_NODE_NODE_H

#include "audit/event.h"
#include "auth/grant.h"
#include "base/clock.h"
#include "base/executor.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/random.h"
#include "codec/record.h"
#include "digest/digest.h"
#include "store/store.h"

enum kvs_node_mode { KVS_NODE_NORMAL, KVS_NODE_READ_ONLY, KVS_NODE_SYNCING };
const char *kvs_node_mode_name(enum kvs_node_mode mode); // "normal", "read-only", "syncing"

enum { KVS_REVISIONS_MAX = 1000 };

// Shows replicated records that are no user's (codec/record.h, kvs_key_is_system) to whoever keeps
// them in memory: at open every current one, afterwards each that becomes current, on the commit
// thread, before its write is answered. `json` is empty for a deletion; slices are valid during the
// call. After a failed store was resumed, all are shown again between `restart` and `restarted`.
struct kvs_node_observer {
    void *ctx;
    void (*restart)(void *ctx);   // what is not shown from here on …
    void (*restarted)(void *ctx); // … to here is to be forgotten
    void (*record)(void *ctx, struct kvs_slice key, const struct kvs_version *version,
                   struct kvs_slice json);
};

struct kvs_cluster_options; // node/cluster.h

struct kvs_node_options {
    const char *data_dir;
    const char *node_id;
    bool read_only;
    enum kvs_durability durability;
    bool compression;
    int compression_level;
    uint32_t revisions;     // versions kept a key, the current one included; 1 when history is off
    int64_t default_ttl_ms; // 0 = never
    int64_t tombstone_retention_ms;
    size_t record_cache_size; // bytes, 0 = default
    const struct kvs_clock *clock;
    struct kvs_random *random;
    struct kvs_log *log;                       // may be NULL
    struct kvs_metrics *metrics;               // may be NULL
    const struct kvs_node_observer *observer;  // may be NULL; outlives the node
    const struct kvs_cluster_options *cluster; // NULL: alone for good; outlives the node
    bool audit;                                // keep an audit log (node/audit.h)
    uint64_t audit_actions;                    // bits of the actions that it records
    // For tests of failing disks: takes the opened store over and returns what stands before it;
    // NULL = none. On an error the store stays the node's.
    int (*wrap_store)(struct kvs_store *store, struct kvs_store **ret_store);
};

struct kvs_node;

// Opens the data directory (locked against a second process), recovers, starts the commit thread
// and housekeeping. Owned by the caller.
KVS_MUST_CHECK int kvs_node_open(const struct kvs_node_options *options, struct kvs_node **ret_node,
                                 struct kvs_message *ret_message);
// Completes every queued write, flushes, closes. All requests must have finished. NULL is fine.
void kvs_node_close(struct kvs_node *node);
KVS_DEFINE_CLEANUP(struct kvs_node, kvs_node_close)

struct kvs_node_status {
    enum kvs_node_mode mode;
    bool writable; // false after a failed sync or on a full disk
    struct kvs_writer self;
    uint64_t log_seq; // newest change
    struct kvs_store_stats store;
};
KVS_MUST_CHECK int kvs_node_status(struct kvs_node *node, struct kvs_node_status *ret_status);

// A record as the cache holds it: immutable, shared between threads by reference count.
struct kvs_record {
    _Atomic uint32_t refs;
    uint32_t key_size;
    uint32_t json_size;
    uint32_t writer_id;
    struct kvs_version version; // without writer.node: writer_id stands for it
    char bytes[];               // key, then JSON
};
static inline struct kvs_slice kvs_record_key(const struct kvs_record *record)
{
    return kvs_slice(record->bytes, record->key_size);
}
static inline struct kvs_slice kvs_record_json(const struct kvs_record *record)
{
    return kvs_slice(record->bytes + record->key_size, record->json_size);
}
void kvs_record_unref(struct kvs_record *record); // NULL is fine
KVS_DEFINE_CLEANUP(struct kvs_record, kvs_record_unref)

// ---- Reads. Thread-safe. With KVS_READ_CACHED they return KVS_ERR_AGAIN instead of touching the
// disk: the caller then repeats the call with KVS_READ_DISK on a worker. Keys must be valid, a
// user's or a system key.

// The visible record; KVS_ERR_NOT_FOUND when absent, deleted or expired. Unref it.
KVS_MUST_CHECK int kvs_node_get(struct kvs_node *node, const struct kvs_grant *grant,
                                struct kvs_slice key, enum kvs_read_mode mode,
                                struct kvs_record **ret_record);

// Called for one visible record after another in key order; slices are valid during the call.
// Return false to stop (the record counts as not visited).
typedef bool kvs_node_visit_fn(void *ctx, struct kvs_slice key, const struct kvs_version *version,
                               struct kvs_slice json);

struct kvs_node_scan {
    bool system;                // system keys instead of users'
    struct kvs_slice first;     // start here, inclusive; empty = from the beginning
    struct kvs_slice end;       // stop before this key; empty = open
    struct kvs_slice prefix;    // byte prefix every key must have; empty = any
    struct kvs_slice delimiter; // non-empty: keys that hold it behind the prefix are rolled up
    kvs_node_visit_fn *visit;
    // With a delimiter: called once for each rolled-up prefix (which ends with the delimiter) in
    // which something is visible, in order with the keys. Return false to stop.
    bool (*visit_prefix)(void *ctx, struct kvs_slice prefix);
    // With keys_max > 0: after so many keys, seen by the visitors or not, the scan ends early and
    // says where another one goes on.
    uint32_t keys_max;
    void (*pause)(void *ctx, struct kvs_slice key);
    void *ctx;
};
// KVS_ERR_AGAIN may come after some visits: the caller then starts over.
KVS_MUST_CHECK int kvs_node_scan(struct kvs_node *node, const struct kvs_grant *grant,
                                 const struct kvs_node_scan *scan, enum kvs_read_mode mode);

// Versions of a key, newest first, at most `revisions`: tombstones and expired versions included,
// so the visitor sees flags. *ret_count counts them; 0 = the key was never written.
typedef bool kvs_node_revision_fn(void *ctx, uint32_t revision, const struct kvs_version *version,
                                  struct kvs_slice json);
KVS_MUST_CHECK int kvs_node_history(struct kvs_node *node, const struct kvs_grant *grant,
                                    struct kvs_slice key, enum kvs_read_mode mode,
                                    kvs_node_revision_fn *visit, void *ctx, uint32_t *ret_count);

// ---- Writes

enum kvs_write_op {
    KVS_WRITE_PUT,
    KVS_WRITE_DELETE,
    KVS_WRITE_RESTORE,
    // Housekeeping's own, never from a client: they make no version.
    KVS_WRITE_PURGE,    // look at a due key: reclaim what is expired or an old tombstone
    KVS_WRITE_TRIM_LOG, // drop the oldest changes
    KVS_WRITE_RESUME,   // try to make a failed store writable again
    KVS_WRITE_META,     // json under key in KVS_FAMILY_META; no json: delete; no key: nothing.
                        // version gets the last own writer_seq and the clock
    KVS_WRITE_REPLICA,  // what the replication core wants done: node/replica_op.h
    KVS_WRITE_VIEW,     // open a backup's view, between two commits; with an error it is not open
    // The audit log's own (node/audit.h).
    KVS_WRITE_AUDIT,
    KVS_WRITE_AUDIT_SEAL,
};
enum kvs_condition {
    KVS_CONDITION_NONE,
    KVS_CONDITION_EXISTS,     // If-Match: *
    KVS_CONDITION_NOT_EXISTS, // If-None-Match: *
    KVS_CONDITION_UUIDS,      // If-Match: one of these versions is current
    KVS_CONDITION_NOT_UUIDS,  // If-None-Match: none of these versions is current
};
// KEEP: expires when the version that it replaces does.
enum { KVS_TTL_KEEP = -2, KVS_TTL_DEFAULT = -1, KVS_TTL_NONE = 0 };

// What a write, or a version that came from a peer, does to one key. Private to node.
struct kvs_effect {
    struct kvs_effect *same_hash; // in the group's overlay
    struct kvs_slice key;
    struct kvs_record *pending; // what becomes current once the group is committed
    bool created;               // nothing visible was there before
    bool removed;               // every version of the key goes
    bool stubbed;               // the current version's payload goes
    struct kvs_version history; // what was added below the current one; timestamp 0: nothing
    // The change in the log; seq 0: none.
    uint64_t log_seq;
    uint32_t writer_id;
    uint64_t writer_seq;
    // What the digest is told.
    bool had_item, has_item;
    bool uncertain; // what was there could not be read: recompute its block
    struct kvs_digest_sum old_item, new_item;
};

struct kvs_replica_op;

struct kvs_write {
    // In. All pointers are borrowed until `done` runs.
    enum kvs_write_op op;
    const struct kvs_grant *grant;
    struct kvs_slice key;  // valid
    struct kvs_slice json; // PUT: compact JSON
    int64_t ttl_ms;        // PUT, RESTORE: KVS_TTL_DEFAULT, _NONE, _KEEP or > 0
    uint32_t revision;     // RESTORE: 1 = newest
    enum kvs_condition condition;
    const struct kvs_uuid *condition_uuids;
    size_t condition_uuid_count;
    const struct kvs_audit_event *audit; // what to record with it, in its commit; NULL: nothing
    struct kvs_executor *executor;       // where `done` runs
    struct kvs_task done;                // its run must be set; called exactly once
    void *owner;                         // for the caller's own use
    // Out.
    int err; // 0; NOT_FOUND (DELETE, RESTORE), PRECONDITION, READ_ONLY, NO_SPACE, IO, SHUTDOWN, …
    bool created; // nothing visible was there before
    bool audited; // the audit log has its entry, whatever came of the write
    struct kvs_version version;
    // Private to node.
    struct kvs_write *next; // in the queue, then in the group
    bool with_next;         // the next one goes into the same group
    struct kvs_effect effect;
    int64_t due_ms;                    // PURGE: the due entry's time
    int64_t watermark_ms;              // PURGE: what lies at or below may go, in a cluster
    uint64_t log_floor;                // TRIM_LOG: oldest change to keep
    struct kvs_replica_op *replica_op; // REPLICA
    struct kvs_backup_view *view;      // VIEW
};

// Does the write's condition hold where `current` is the visible version (NULL: there is none)?
static inline bool kvs_write_condition_holds(const struct kvs_write *write,
                                             const struct kvs_uuid *current)
{
    bool listed = false;
    for (size_t i = 0; current && i < write->condition_uuid_count; i++)
        listed |= kvs_uuid_cmp(&write->condition_uuids[i], current) == 0;
    switch (write->condition) {
    case KVS_CONDITION_EXISTS:
        return current != NULL;
    case KVS_CONDITION_NOT_EXISTS:
        return current == NULL;
    case KVS_CONDITION_UUIDS:
        return listed;
    case KVS_CONDITION_NOT_UUIDS:
        return !listed;
    case KVS_CONDITION_NONE:
        break;
    }
    return true;
}

// Queues it; thread-safe, never blocks, never fails: errors come with `done`.
void kvs_node_write(struct kvs_node *node, struct kvs_write *write);

// The same for several that are committed together, in this order: all of them or, when the batch
// cannot be made durable, none. Each is judged alone: one whose condition fails leaves the others
// as they are. At most KVS_WRITE_GROUP_MAX.
enum { KVS_WRITE_GROUP_MAX = 1024 };
void kvs_node_write_group(struct kvs_node *node, struct kvs_write *writes, size_t count);

// The same for a caller that may block: `executor` and `done` are set here.
void kvs_node_write_group_wait(struct kvs_node *node, struct kvs_write *writes, size_t count);

// One write, whatever the node's mode, for a caller that may block (tools, tests, housekeeping):
// `executor` and `done` are set here. Returns write->err.
KVS_MUST_CHECK int kvs_node_write_wait(struct kvs_node *node, struct kvs_write *write);

// One round of housekeeping now, on the calling thread: reclaim expired records and old tombstones,
// trim the log, compact the time index. It runs by itself about every ten seconds.
KVS_MUST_CHECK int kvs_node_housekeep(struct kvs_node *node);

#endif
