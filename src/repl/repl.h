// SPDX-License-Identifier: Apache-2.0
// The replication core: a pure state machine. One event in, a list of actions out; no clock,
// socket, file, thread or global. Its owner serialises the calls.
//
// Keys here carry a tag byte in front of the user's key, KVS_REPL_TAG_SYSTEM or _DATA: accounts and
// metadata sort first and travel first, and one digest covers both.
//
// INV-R1  `seen`, watermark and certificate never fall (a move to an elder cluster apart).
// INV-R2  Nothing is acknowledged to a peer, promised or certified before it is durable here.
// INV-R3  A version that was seen and forgotten, at or below the watermark of this cluster or a
//         former one, never comes back.
// INV-R4  Equal `seen`, equal watermark, nothing deferred: equal roots.
//
// Performing actions: in the order given. Those marked [commit] are done by the one commit thread,
// in order with local writes; each becomes durable with everything it says, then a COMMIT event is
// given, in order of commit. PERSIST is durable before anything behind it is performed.
#ifndef KVS_REPL_REPL_H
#define KVS_REPL_REPL_H

#include "repl/judge.h"
#include "repl/message.h"

enum { KVS_REPL_TAG_SYSTEM = 1, KVS_REPL_TAG_DATA = 2 };
enum { KVS_REPL_MEMBERS_MAX = 256, KVS_REPL_SEEDS_MAX = 32, KVS_REPL_DAMAGED_MAX = 256 };

struct kvs_repl_options {
    // Who we are. All slices are copied.
    struct kvs_uuid node;
    int64_t joined_timestamp;
    uint32_t life; // greater than in every earlier run: see kvs_repl_next_life
    struct kvs_slice name;
    struct kvs_slice address; // as peers reach us
    const struct kvs_slice *seeds;
    size_t seed_count;
    // For the first start alone: a cluster of one.
    struct kvs_cluster_id cluster;
    struct kvs_digest_key digest_key;
    // What the store holds.
    struct kvs_slice state;      // of the last PERSIST; empty at the first start
    const struct kvs_seen *seen; // as stored with the data; NULL: nothing
    struct kvs_fingerprint root;
    uint64_t random_seed; // for choices, not for secrets
    int64_t now_ms;
    int64_t wall_ms;
    // Settings.
    int64_t probe_interval_ms;
    int64_t suspect_timeout_ms;
    int64_t gossip_min_ms, gossip_max_ms;
    int64_t status_interval_ms; // exchange of `seen`: how soon a gap is pulled
    int64_t sync_interval_ms, catchup_interval_ms;
    int64_t promise_interval_ms; // how often removal may advance
    int64_t retention_ms;        // tombstones live at least as long
    int64_t expire_after_ms;     // a member down for longer no longer holds removal back
    int64_t skew_max_ms;
    int64_t bootstrap_max_age_ms;
    int64_t throttle_delay_ms, fetch_delay_ms;
    uint32_t batch_size_max; // bytes of a pushed or pulled batch
    uint32_t lives_kept;     // of a node, before its oldest ones fold into one; 0: the default
    bool push;
#ifdef KVS_REPL_MUTATIONS
    unsigned mutations;
#endif
};

// ---- Events

enum kvs_repl_event_type {
    KVS_REPL_EVENT_TICK,     // the timer, or at any time
    KVS_REPL_EVENT_MESSAGE,  // from an authenticated peer
    KVS_REPL_EVENT_COMMIT,   // a group is durable: local writes, or an action marked [commit]
    KVS_REPL_EVENT_READ,     // a READ_… is answered
    KVS_REPL_EVENT_COMPARED, // a COMPARE is answered
    KVS_REPL_EVENT_LEAVE,    // an operator wants this node to leave
    KVS_REPL_EVENT_REMOVE,   // an operator wants a dead member gone
    KVS_REPL_EVENT_ADDRESS,  // this node is reached elsewhere from now on
    KVS_REPL_EVENT_PAUSE,    // this process ends soon: peers need not find out by themselves
    KVS_REPL_EVENT_DAMAGED,  // records here cannot be read: fetch them from a peer
};

struct kvs_repl_commit {
    uint64_t token;        // 0: local writes alone
    uint32_t own_count;    // local writes of this life that are durable
    int64_t own_newest_ms; // the newest one's timestamp
    int64_t promise_ms;    // answers PROMISE, else 0
    struct kvs_fingerprint root;
    uint32_t deferred_count; // versions kept aside until they are due
    int64_t purged_ms;       // everything removable up to here is gone
    bool revived;            // by an APPLY: kvs_judgement.revived of any of its versions
    int err;                 // of an APPLY that could not be made durable: nothing of it counts
};

struct kvs_repl_read {
    uint64_t token;
    int err;
    bool overrun; // READ_LOG: some of the run has gone from the log
    bool more;    // READ_LOG, READ_PAGE: the size limit cut it
    bool damaged; // READ_KEYS: some of the keys are here but cannot be read
    uint32_t to;  // READ_LOG: the last count answered; READ_KEYS: how many keys are dealt with
    const struct kvs_repl_item *items;
    size_t item_count;
};

// Current versions whose records fail their checksum. Each report asks another peer once; report
// again what is still damaged, some seconds later. The host's part:
//   - The digest keeps the item as it was: a damaged record must not look deleted.
//   - READ_LOG answers as if the log ended there (overrun when it is the first); READ_PAGE leaves
//     it out; READ_KEYS leaves it out and says so; list() gives what is known of the version, with
//     a nil writer when that cannot be read.
//   - A version that arrives for the key and is the damaged one (KVS_VERDICT_DUPLICATE) takes its
//     place; a newer one replaces it as ever. If it turns out to be removable
//     (kvs_version_is_removable), it goes as PURGE would have let it go.
//   - A digest rebuilt from the records counts a damaged one, whatever its item.
struct kvs_repl_damaged {
    const struct kvs_slice *keys; // with their tags
    size_t key_count;             // at most KVS_REPL_DAMAGED_MAX are asked for
};

struct kvs_repl_compare_done {
    uint64_t token;
    int err;
    const struct kvs_repl_compared *answers; // one a range
    size_t answer_count;
};

struct kvs_repl_event {
    enum kvs_repl_event_type type;
    int64_t now_ms;  // monotonic
    int64_t wall_ms; // Unix
    union {
        struct kvs_slice message;
        struct kvs_repl_commit commit;
        struct kvs_repl_read read;
        struct kvs_repl_compare_done compared;
        struct kvs_uuid remove;
        struct kvs_slice address;
        struct kvs_repl_damaged damaged;
    };
    // MESSAGE: items of a bootstrap's page have been taken out; this was its last one. NULL: none.
    const struct kvs_repl_item *page_end;
};

// ---- Actions. Everything they point to is valid until the next step.

enum kvs_repl_action_type {
    KVS_REPL_ACTION_SEND,
    KVS_REPL_ACTION_PERSIST,  // keep these bytes as `state` for the next start
    KVS_REPL_ACTION_APPLY,    // [commit] judge and merge versions, kvs_seen_note each in the stored
                              // `seen`, then kvs_seen_advance
    KVS_REPL_ACTION_ADOPT,    // [commit] kvs_seen_adopt into the stored `seen`
    KVS_REPL_ACTION_PROMISE,  // [commit] kvs_stamp_clock_promise, made durable; what was
                              // deferred up to there is merged first, as due
    KVS_REPL_ACTION_PURGE,    // [commit] remove what is removable
    KVS_REPL_ACTION_DROP,     // [commit] if still current: remove the key with its history
    KVS_REPL_ACTION_DUE,      // [commit] merge what was deferred up to here, as due
    KVS_REPL_ACTION_REKEY,    // [commit] recompute the digest under this PRF key
    KVS_REPL_ACTION_READ_LOG, // versions by dot
    KVS_REPL_ACTION_READ_KEYS, // current versions
    KVS_REPL_ACTION_READ_PAGE, // current versions, newest first
    KVS_REPL_ACTION_COMPARE,   // kvs_repl_compare over the store's digest
    KVS_REPL_ACTION_NOTICE,    // for log, metrics and mode
};

enum kvs_repl_notice {
    KVS_REPL_NOTICE_MEMBER,       // a member's state changed
    KVS_REPL_NOTICE_DUPLICATE,    // another live process has this identity: stop
    KVS_REPL_NOTICE_NAME_TAKEN,   // another living node has this node's name: stop
    KVS_REPL_NOTICE_NAME_REFUSED, // somebody came with the name of `node`, which lives
    KVS_REPL_NOTICE_DIVERGED,     // INV-R4 broken: a bug, healed by a sync
    KVS_REPL_NOTICE_SYNCED,       // a sync round ended
    KVS_REPL_NOTICE_RETURNED,     // this node had been away for too long and is back
    KVS_REPL_NOTICE_JOINED,       // moved to an elder cluster
    KVS_REPL_NOTICE_SERVING,      // mode normal
    KVS_REPL_NOTICE_LEFT,         // the leave is done
    KVS_REPL_NOTICE_CLOCK,        // a peer's clock is off by more than allowed
};
const char *kvs_repl_notice_name(enum kvs_repl_notice notice); // "member"; static

struct kvs_repl_apply {
    uint64_t token;
    const struct kvs_repl_item *items;
    size_t item_count;
    // Advance the stored `seen` by this run in the same commit.
    struct kvs_seen_run run;
    int64_t watermark_ms;   // for kvs_judge
    int64_t forgotten_ms;   // for kvs_judge
    uint64_t sender_has_us; // for kvs_judge
};

struct kvs_repl_action {
    enum kvs_repl_action_type type;
    union {
        struct {
            struct kvs_slice address;
            struct kvs_slice bytes;
        } send;
        struct kvs_slice persist;
        struct kvs_repl_apply apply;
        struct {
            uint64_t token;
            const struct kvs_seen *seen;
        } adopt;
        struct {
            uint64_t token;
        } promise;
        struct {
            uint64_t token;
            int64_t watermark_ms;
        } purge;
        struct kvs_repl_stub drop;
        struct {
            int64_t upto_ms;
        } due;
        struct kvs_digest_key rekey;
        struct {
            uint64_t token;
            struct kvs_seen_run run; // dots (from, to] of run.node, run.life
            uint32_t size_max;       // bytes; at least one version is answered
            int64_t watermark_ms;    // a version at or below it that is no longer current is
                                     // answered by the key's current one; as is one whose value
                                     // has gone
        } read_log;
        struct {
            uint64_t token;
            const struct kvs_slice *keys;
            size_t key_count;
            uint32_t size_max; // bytes: stop behind the version that reaches it
        } read_keys;
        struct {
            uint64_t token;
            uint8_t family;
            int64_t before_ms; // older than (before_ms, before_key)
            struct kvs_slice before_key;
            uint32_t size_max;
        } read_page;
        struct {
            uint64_t token;
            const struct kvs_repl_range *ranges;
            size_t range_count;
        } compare;
        struct {
            enum kvs_repl_notice kind;
            struct kvs_uuid node;               // MEMBER, DIVERGED, SYNCED, CLOCK: the other one
            enum kvs_member_state state;        // MEMBER
            int64_t offset_ms;                  // CLOCK
            uint64_t fetched, offered, dropped; // SYNCED: versions
            uint64_t rounds;                    // SYNCED
        } notice;
    };
};

struct kvs_repl_actions {
    struct kvs_repl_action *list;
    size_t count;
    int64_t next_ms; // give a TICK then, at the latest
    // Private.
    size_t capacity;
    struct kvs_arena arena;
};

void kvs_repl_actions_init(struct kvs_repl_actions *actions);
void kvs_repl_actions_done(struct kvs_repl_actions *actions);

// ---- The machine

struct kvs_repl;

// KVS_ERR_NOMEM, KVS_ERR_CORRUPT (state), KVS_ERR_VERSION (state of a newer release).
KVS_MUST_CHECK int kvs_repl_new(const struct kvs_repl_options *options, struct kvs_repl **ret_repl);
void kvs_repl_free(struct kvs_repl *repl);
KVS_DEFINE_CLEANUP(struct kvs_repl, kvs_repl_free)

// KVS_ERR_NOMEM: some of the event's consequences are missing, as if messages had been lost; the
// machine stays valid. Malformed and unexpected messages are no errors: they are dropped.
KVS_MUST_CHECK int kvs_repl_step(struct kvs_repl *repl, const struct kvs_repl_event *event,
                                 struct kvs_repl_actions *actions);

// The life of the run that starts now: greater than the previous one (0: none), and different from
// what a copy of this directory would take.
uint32_t kvs_repl_next_life(uint32_t previous_life, int64_t wall_ms, uint64_t random);

// ---- What the store's side asks, on any thread

// The ranges of a COMPARE against this store. Lists a range that holds at most `list_max` records
// here or there, or of which a list is wanted; splits a larger one.
struct kvs_repl_ranges {
    void *ctx;
    int (*fingerprint)(void *ctx, struct kvs_slice first, struct kvs_slice end,
                       struct kvs_fingerprint *ret_fingerprint);
    int (*split)(void *ctx, struct kvs_slice first, struct kvs_slice end, uint32_t parts,
                 kvs_digest_part_fn *visit, void *visit_ctx);
    // Current versions in key order; false from `visit` stops.
    int (*list)(void *ctx, struct kvs_slice first, struct kvs_slice end,
                bool (*visit)(void *visit_ctx, struct kvs_slice key,
                              const struct kvs_version *version),
                void *visit_ctx);
};
// Cutting in 8 and listing at 16 costs the fewest bytes (docs/digest.md).
enum { KVS_REPL_PARTS = 8, KVS_REPL_LIST_MAX = 16, KVS_REPL_LIST_LIMIT = 16384 };
// Answers and everything in them lie in the arena.
KVS_MUST_CHECK int kvs_repl_compare(const struct kvs_repl_ranges *store,
                                    const struct kvs_repl_range *ranges, size_t range_count,
                                    uint32_t list_max, struct kvs_arena *arena,
                                    struct kvs_repl_compared **ret_answers);

// ---- Looking in: for /members/, metrics and tests

struct kvs_repl_member_view {
    struct kvs_member_record record; // valid until the next step
    int64_t since_ms;                // monotonic: in this state since
    int64_t heard_ms;                // monotonic; 0 never
    int64_t clock_offset_ms;
    int64_t agreed_ms;    // monotonic: when both had seen the same, roots and all; 0 never
    int64_t caught_ms;    // monotonic: all that it had then is here; 0 never
    uint32_t push_cursor; // of our current life, acknowledged
    bool counted;         // holds removal back: not left, removed, or down for too long
};
struct kvs_repl_view {
    struct kvs_cluster_id cluster;
    struct kvs_digest_key digest_key;
    const struct kvs_seen *seen;
    int64_t watermark_ms, certificate_ms, promise_ms;
    bool syncing;             // bootstrap: no client is served
    bool lacks_system;        // has begun to read, and the system records are not all here yet
    bool behind;              // knows of writes it does not have
    bool returning;           // was away for too long and is not back yet
    uint32_t own_count;       // writes of this life
    struct kvs_slice address; // this node's; valid until the next step
    bool bootstrapping;       // has not read everything yet, whether it serves or not
    size_t member_count;      // others
    uint64_t divergences;     // INV-R4 broken, ever
    uint64_t words;           // rises when kvs_repl_acked may have changed
};
void kvs_repl_view(const struct kvs_repl *repl, struct kvs_repl_view *ret_view);
// The same as in the view, whose `behind` compares with every member: for after each step.
bool kvs_repl_lacks_system(const struct kvs_repl *repl);
// index < member_count
void kvs_repl_member(const struct kvs_repl *repl, size_t index,
                     struct kvs_repl_member_view *ret_view);

// How many writes of our current life the member has acknowledged as durable, without a gap.
uint32_t kvs_repl_acked(const struct kvs_repl *repl, size_t index);

// Does the member have the version of this dot, or what superseded it, durably, by its own word?
// UNKNOWN: it has not spoken in its current life, or cannot be reached and had not had it.
enum kvs_repl_has { KVS_REPL_HAS_NO, KVS_REPL_HAS_YES, KVS_REPL_HAS_UNKNOWN };
enum kvs_repl_has kvs_repl_has(const struct kvs_repl *repl, size_t index,
                               const struct kvs_uuid *node, uint64_t writer_seq);

#endif
