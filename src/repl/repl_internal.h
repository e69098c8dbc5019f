// SPDX-License-Identifier: Apache-2.0
// The replication core's own state. One file of functions a subject; repl.c dispatches.
#ifndef KVS_REPL_REPL_INTERNAL_H
#define KVS_REPL_REPL_INTERNAL_H

#include "base/assert.h"
#include "repl/clock.h"
#include "repl/mutations.h"
#include "repl/repl.h"

enum {
    ACCUSERS_MAX = 4,
    INDIRECT_PROBES = 3,
    UPDATES_A_PING = 8,
    HEALTH_MAX = 8, // Lifeguard: the worst local health
    REPLY_TIMEOUT_MS = 2000,
    GAP_PATIENCE_MS = 300, // a gap younger than this is probably on its way
    RETRY_MAX_MS = 60000,  // backoff towards dead members and seeds
    SEED_RETRY_MAX_MS = 30000,
    LONELY_MS = 10000, // with no seed reachable for so long an empty node serves
    LEAVE_PATIENCE_MS = 10000,
    STANDSTILL_MS = 100, // a step so much too late: this process stood still
    SYNC_RANGES_MAX = 1024,
    SYNC_QUEUE_MAX = 131072,
    SYNC_KEYS_MAX = 1024,
    READS_MAX = 128,
    TOKENS_MAX = 1024,
    LIVES_KEPT = 16,
};

// What we know of another node as a member.
struct member {
    struct kvs_uuid node;
    char name[KVS_REPL_NAME_MAX];
    char address[KVS_REPL_ADDRESS_MAX];
    uint16_t name_size, address_size;
    int64_t joined_timestamp;
    uint32_t incarnation;
    uint32_t life;
    uint8_t state; // enum kvs_member_state
    struct kvs_uuid accusers[ACCUSERS_MAX];
    uint32_t accuser_count;
    int64_t since_ms; // in this state
    int64_t down_ms;  // DEAD: for so long before since_ms; persisted
    // It no longer counted, so that each side may have forgotten deletions the other never saw: to
    // be compared with before anything is concluded together (gc.c). Persisted.
    bool estranged;
    int64_t heard_ms;
    int64_t agreed_ms; // seen and root were the same then; 0 never
    int64_t caught_ms; // all that it had then is here; 0 never
    // Its word (word.c), of its life `word_life`: what it has of our current life without a gap,
    // and whether it has said what it has seen.
    uint32_t word_life;
    uint32_t acked_count;
    bool word_seen;
    int64_t suspect_until_ms;
    int64_t ask_at_ms;   // SUSPECT: it is asked itself, again and again
    uint32_t told;       // how often its record has been passed on since it changed
    int64_t retry_at_ms; // DEAD: the next ping
    int64_t retry_delay_ms;
    // A second process claims this identity, or another node this name (claim.c).
    uint32_t claim_life;
    bool claim_is_name;
    int64_t claim_until_ms;
    uint32_t claim_probe; // pings up to this number were sent before
    int64_t claim_ask_ms;
    char claim_address[KVS_REPL_ADDRESS_MAX];
    uint16_t claim_address_size;

    struct kvs_clock_offset offset;
    bool offset_noticed;

    // Push: what it has acknowledged of our current life.
    enum { PUSH_IDLE, PUSH_READING, PUSH_SENT } push;
    uint32_t push_cursor;
    uint32_t push_to;
    uint32_t credit_bytes;
    int64_t push_deadline_ms;

    // Status.
    struct kvs_seen seen; // its latest
    bool status_heard;
    int64_t certificate_ms; // its latest
    int64_t watermark_ms;
    bool bootstrapping;
    uint64_t record_count;
    int64_t gap_check_ms; // 0: none
    // The promise we try to certify, and what it had then.
    int64_t promise_ms;
    struct kvs_seen promise_seen;
    int64_t certified_ms;

    // Pull.
    int64_t pull_deadline_ms; // 0: none under way
    struct kvs_uuid pull_node;
    uint32_t pull_life;
    bool sync_wanted; // its log no longer reaches back, or roots differ
};

enum token_kind {
    TOKEN_NONE,
    TOKEN_PUSH_READ,   // READ_LOG to push to `node`
    TOKEN_PULL_READ,   // READ_LOG to answer `node`'s pull
    TOKEN_FETCH_READ,  // READ_KEYS to answer `node`'s fetch
    TOKEN_OFFER_READ,  // READ_KEYS to offer to `node`
    TOKEN_PAGE_READ,   // READ_PAGE to answer `node`
    TOKEN_COMPARE,     // COMPARE to answer `node`
    TOKEN_SYNC_LOCAL,  // COMPARE of our own session
    TOKEN_BATCH_APPLY, // APPLY of a batch from `node`
    TOKEN_ITEMS_APPLY, // APPLY of offered items
    TOKEN_SYNC_APPLY,  // APPLY of our own session's items
    TOKEN_SYNC_ADOPT,
    TOKEN_PAGE_APPLY,
    TOKEN_FOLD, // ADOPT of settled lives
    TOKEN_PROMISE,
    TOKEN_PURGE,
};

struct token {
    uint64_t token;
    enum token_kind kind;
    struct kvs_uuid node;
    uint32_t node_life;
    uint32_t session;
    struct kvs_seen_run run;
    bool flag;            // COMPARE: want_seen; BATCH_APPLY: pulled
    bool more;            // BATCH_APPLY: the sender had more than went into it
    bool incomplete;      // COMPARE: not all that we had seen was in the store
    int64_t watermark_ms; // COMPARE: ours when it was asked; …_READ of a log: up to where only
                          // current versions are read
    int64_t forgotten_ms; // COMPARE: that of former clusters
    // COMPARE with want_seen: what we had seen when it was asked. APPLY: what it brings.
    struct kvs_seen seen;
    int64_t made_ms;
};

// One digest sync that we lead.
enum sync_phase {
    SYNC_NONE,
    SYNC_RESTING, // a bootstrap pauses before the next question
    SYNC_ASKING,
    SYNC_COMPARING,
    SYNC_FETCHING,
    SYNC_APPLYING,
    SYNC_ADOPTING
};

// Owns its two keys.
struct sync_range {
    char *bytes; // first, then end
    size_t first_size, end_size;
    struct kvs_fingerprint fingerprint;
    bool list;
};

struct sync {
    enum sync_phase phase;
    uint32_t session;
    struct kvs_uuid node;
    uint32_t node_life;
    int64_t deadline_ms;
    bool asked_for; // it was asked for: if it fails, again
    bool clean;     // everything of the peer's will be here: its `seen` may be adopted
    bool opened;
    bool doubtful; // the answer at hand: what is absent there may be on its way, or just forgotten
    int64_t peer_watermark_ms, peer_forgotten_ms;
    struct kvs_seen peer_seen;
    struct sync_range *queue; // a stack: the last `asked` ones are under way
    size_t queue_count, queue_capacity;
    size_t asked;
    // What the peer answered, while our own store is asked about the same ranges: parts of splits,
    // and ranges whose content it listed. In the arena.
    struct kvs_repl_range *local;
    struct kvs_repl_compared *theirs;
    size_t local_count;
    struct kvs_arena arena;
    char *wanted; // keys to fetch: size (2 bytes) and bytes each
    size_t wanted_size, wanted_capacity;
    size_t wanted_count, wanted_asked;
    uint64_t rounds, fetched, offered, dropped;
};

enum boot_phase { BOOT_DONE, BOOT_SEEKING, BOOT_PAGES, BOOT_SYNC };

struct boot {
    enum boot_phase phase;
    struct kvs_uuid source;
    uint32_t session;
    uint8_t family;
    int64_t before_ms;
    char before_key[KVS_REPL_KEY_MAX];
    uint16_t before_key_size;
    // Where the page under way ends: from there on, when it has been applied.
    int64_t page_ms;
    char page_key[KVS_REPL_KEY_MAX];
    uint16_t page_key_size;
    int64_t next_ms; // ask then
    int64_t deadline_ms;
    bool asking;
    bool page_done;    // the page under way is its family's last
    int64_t asked_ms;  // the latest question to a peer
    int64_t answer_ms; // how long its answer took, the way there and back apart
    int64_t saved_ms;  // how far it came was persisted then
    bool syncing;      // mode
};

struct probe {
    bool active;
    bool indirect; // helpers were asked
    uint32_t number;
    struct kvs_uuid target;
    int64_t indirect_at_ms, fail_at_ms;
};

// A ping we sent for someone else.
struct relay {
    uint32_t number; // ours
    uint32_t asked_number;
    struct kvs_uuid asker;
    int64_t until_ms;
};

struct seed {
    char address[KVS_REPL_ADDRESS_MAX];
    uint16_t size;
    int64_t retry_at_ms, retry_delay_ms;
};

struct kvs_repl {
    struct kvs_repl_options options; // its pointers are cleared
    struct member self;
    struct kvs_cluster_id cluster;
    struct kvs_digest_key digest_key;
    struct seed seeds[KVS_REPL_SEEDS_MAX];
    size_t seed_count;
    struct member **members; // others
    size_t member_count, member_capacity;
    size_t probe_at, status_at, repair_at; // round robin
    uint64_t random_state;

    struct kvs_seen seen;
    uint32_t own_count;
    struct kvs_fingerprint root;
    uint32_t deferred_count;
    int64_t watermark_ms, purged_ms, certificate_ms, promise_ms;
    int64_t forgotten_ms; // the greatest watermark of former clusters, ours or a peer's; 0: none
    bool returning;
    bool due_asked; // deferred versions the watermark has passed were called in
    bool state_dirty;
    uint64_t rekey_token; // of the commit from which on `root` is under the present digest key; 0
    uint64_t divergences;
    uint64_t words;

    uint64_t token_last;
    struct token *tokens;
    size_t token_count, token_capacity;

    struct probe probe;
    struct relay relays[INDIRECT_PROBES * 4];
    uint32_t probe_number;
    uint32_t health; // Lifeguard: 0 well … HEALTH_MAX
    int64_t probe_at_ms, status_at_ms, gossip_at_ms, sync_at_ms, promise_at_ms;
    int64_t started_ms;
    int64_t due_ms;        // the next step was asked for by then, at the latest
    int64_t grace_at_ms;   // with time to spare from then on; standstills put it off, too
    int64_t down_saved_ms; // how long others have been down was persisted then
    bool leaving, left;
    int64_t leave_until_ms;

    struct sync sync;
    uint32_t session_last;
    struct boot boot;

    // Of the current step.
    struct kvs_repl_actions *out;
    int64_t now_ms, wall_ms;
    int err; // sticky: out of memory
};

// ---- repl.c
uint64_t repl_random(struct kvs_repl *r);
uint64_t repl_random_below(struct kvs_repl *r, uint64_t bound);
struct kvs_repl_action *repl_emit(struct kvs_repl *r,
                                  enum kvs_repl_action_type type); // NULL: no memory
void *repl_alloc(struct kvs_repl *r, size_t size);                 // of the step; NULL: no memory
struct kvs_slice repl_keep(struct kvs_repl *r, struct kvs_slice bytes);
// Fills the head (all but type) and sends.
void repl_send(struct kvs_repl *r, const struct member *to, struct kvs_repl_message *message);
void repl_send_address(struct kvs_repl *r, struct kvs_slice address, uint32_t receiver_life,
                       struct kvs_repl_message *message);
struct token *repl_token(struct kvs_repl *r, enum token_kind kind, const struct member *member);
bool repl_token_take(struct kvs_repl *r, uint64_t token, struct token *ret_token);
bool repl_token_pending(const struct kvs_repl *r, enum token_kind kind);
void repl_notice(struct kvs_repl *r, enum kvs_repl_notice kind, const struct kvs_uuid *node);
bool repl_is_exact(const struct kvs_repl *r);

// ---- state.c
void state_encode(const struct kvs_repl *r, struct kvs_buf *out);
KVS_MUST_CHECK int state_decode(struct kvs_repl *r, struct kvs_slice bytes);

// ---- member.c
struct member *member_find(const struct kvs_repl *r, const struct kvs_uuid *node);
struct kvs_slice member_address(const struct member *member);
struct kvs_member_record member_record(const struct member *member);
struct member *member_add(struct kvs_repl *r, const struct kvs_member_record *record); // NULL: full
void member_free(struct member *member);
void member_merge(struct kvs_repl *r, const struct kvs_member_record *record);
void member_set_state(struct kvs_repl *r, struct member *member, enum kvs_member_state state);
void member_accuse(struct kvs_repl *r, struct member *member, const struct kvs_uuid *accuser);
int64_t member_down_ms(const struct kvs_repl *r, const struct member *member);
bool member_is_counted(const struct kvs_repl *r, const struct member *member);
bool member_is_reachable(const struct member *member); // alive or suspect
struct member *member_random(struct kvs_repl *r,
                             const struct member *except); // reachable; NULL: none
size_t member_updates(struct kvs_repl *r, const struct member *to, const struct member *news,
                      struct kvs_member_record *ret_records); // UPDATES_A_PING
void member_list_send(struct kvs_repl *r, const struct member *to, bool want_reply);
void member_list_send_address(struct kvs_repl *r, struct kvs_slice address, bool want_reply);
// claim.c: does the sender of a list claim the identity of `member`, which lives elsewhere, or a
// name that is not its own? True: believe nothing of it now.
bool claim_of_identity(struct kvs_repl *r, struct member *member,
                       const struct kvs_member_record *record);
bool claim_of_name(struct kvs_repl *r, const struct kvs_message_members *list,
                   const struct kvs_member_record *own);
// The holder of what may be claimed has spoken; it has answered the ping of this number.
void claim_tick(struct kvs_repl *r);
void claim_heard(const struct kvs_repl *r, struct member *holder);
void claim_answer(struct kvs_repl *r, struct member *holder, uint32_t probe);
void member_on_list(struct kvs_repl *r, const struct kvs_repl_message *message);
// False: the message is not for us, or from a process that is not whom it says: drop it.
bool member_admit(struct kvs_repl *r, const struct kvs_message_head *head);
bool member_claim(struct kvs_repl *r, const struct kvs_repl_message *message);
void member_tick(struct kvs_repl *r);
void member_stood_still(struct kvs_repl *r, int64_t ms); // moves what others must do by a deadline
void member_leave(struct kvs_repl *r);
void member_remove(struct kvs_repl *r, const struct kvs_uuid *node);
void member_pause(struct kvs_repl *r);
void member_set_address(struct kvs_repl *r, struct kvs_slice address);

// ---- probe.c
void probe_tick(struct kvs_repl *r);
void probe_stood_still(struct kvs_repl *r, int64_t ms);
void probe_on_ping(struct kvs_repl *r, const struct kvs_repl_message *message);
void probe_on_pong(struct kvs_repl *r, const struct kvs_repl_message *message);
void probe_on_request(struct kvs_repl *r, const struct kvs_repl_message *message);
void probe_send(struct kvs_repl *r, const struct member *to, struct kvs_slice address,
                uint32_t receiver_life, uint32_t number);
void probe_send_news(struct kvs_repl *r, const struct member *to, const struct member *news);

// ---- cluster.c
bool cluster_admit(struct kvs_repl *r, const struct kvs_repl_message *message);

// ---- status.c
void status_tick(struct kvs_repl *r);
void status_send(struct kvs_repl *r, const struct member *to, bool want_reply);
void status_on_message(struct kvs_repl *r, struct member *from,
                       const struct kvs_repl_message *message);

// ---- word.c
void word_on_ack(struct kvs_repl *r, struct member *from, uint32_t count);
void word_on_status(struct kvs_repl *r, struct member *from);
void word_caught_up(struct kvs_repl *r, struct member *with, int64_t at_ms);

// ---- push.c
void push_kick(struct kvs_repl *r);
void push_tick(struct kvs_repl *r);
void push_on_read(struct kvs_repl *r, const struct token *token, const struct kvs_repl_read *read);
void push_on_ack(struct kvs_repl *r, struct member *from, const struct kvs_message_batch_ack *ack);
void batch_on_message(struct kvs_repl *r, struct member *from,
                      const struct kvs_message_batch *batch);
void batch_on_applied(struct kvs_repl *r, const struct token *token,
                      const struct kvs_repl_commit *commit);
void note_applied(struct kvs_repl *r, const struct token *token,
                  const struct kvs_repl_commit *commit);
// Emits the APPLY; its versions are noted in `seen` when it is durable.
void apply_items(struct kvs_repl *r, struct token *token, const struct kvs_repl_item *items,
                 size_t count, const struct kvs_seen_run *run, uint64_t sender_has_us);

// ---- pull.c
void pull_tick(struct kvs_repl *r);
void pull_next(struct kvs_repl *r, struct member *from);
void pull_on_request(struct kvs_repl *r, struct member *from, const struct kvs_message_pull *pull);
void pull_on_read(struct kvs_repl *r, const struct token *token, const struct kvs_repl_read *read);

// ---- sync.c: leading a digest sync
void sync_tick(struct kvs_repl *r);
void sync_start(struct kvs_repl *r, struct member *with);
void sync_abort(struct kvs_repl *r);
bool sync_is_wanted(const struct kvs_repl *r); // with anyone who can be reached
void sync_with_all(struct kvs_repl *r);
void sync_on_compared(struct kvs_repl *r, struct member *from,
                      const struct kvs_message_compared *body);
void sync_on_items(struct kvs_repl *r, struct member *from, const struct kvs_message_items *body);
void sync_on_applied(struct kvs_repl *r, const struct token *token,
                     const struct kvs_repl_commit *commit);
void sync_done(struct sync *sync);
struct member *sync_peer(struct kvs_repl *r); // of the session; NULL: it has gone
void sync_enqueue(struct kvs_repl *r, const struct kvs_repl_range *range,
                  bool list);                             // to be asked about; copies
void sync_want(struct kvs_repl *r, struct kvs_slice key); // to be fetched; copies
void sync_proceed(struct kvs_repl *r); // with what comes next, when nothing is under way

// ---- settle.c: what both sides' answers say
void sync_on_local(struct kvs_repl *r, const struct token *token,
                   const struct kvs_repl_compare_done *done);

// ---- serve.c: answering others
void serve_compare(struct kvs_repl *r, struct member *from, const struct kvs_message_compare *body);
void serve_compared(struct kvs_repl *r, const struct token *token,
                    const struct kvs_repl_compare_done *done);
void serve_fetch(struct kvs_repl *r, struct member *from, const struct kvs_message_fetch *body);
void serve_items(struct kvs_repl *r, const struct token *token, const struct kvs_repl_read *read);
void serve_offer(struct kvs_repl *r, const struct member *to, const struct kvs_slice *keys,
                 size_t count);
// Asks the next member for records that are damaged here; its ITEMS are applied as they come.
void repair_start(struct kvs_repl *r, const struct kvs_repl_damaged *damaged);
void serve_page(struct kvs_repl *r, struct member *from, const struct kvs_message_page *body);
void serve_page_read(struct kvs_repl *r, const struct token *token,
                     const struct kvs_repl_read *read);

// ---- gc.c
void gc_tick(struct kvs_repl *r);
void gc_on_promised(struct kvs_repl *r, int64_t promise_ms);
void gc_update(struct kvs_repl *r); // certificates and the watermark, from what is known now
void gc_heard_watermark(struct kvs_repl *r, int64_t watermark_ms);
bool gc_is_estranged(const struct kvs_repl *r); // from anyone who can be reached
void gc_raise(struct kvs_repl *r, int64_t watermark_ms);
int64_t gc_forgotten_ms(const struct kvs_repl *r); // in this cluster or a former one

// ---- bootstrap.c
void boot_tick(struct kvs_repl *r);
void boot_anew(struct kvs_repl *r);             // it holds nothing, and knows of data somewhere
int64_t boot_next_ms(const struct kvs_repl *r); // when it has something to do; 0: nothing
void boot_stood_still(struct kvs_repl *r, int64_t ms);
void boot_on_page(struct kvs_repl *r, struct member *from,
                  const struct kvs_message_page_answer *body);
void boot_on_applied(struct kvs_repl *r, const struct token *token,
                     const struct kvs_repl_commit *commit);
void boot_on_synced(struct kvs_repl *r);
// Pacing: of questions to peers, while there is anything to read. The pause before the next one;
// 0: none, or no bootstrap.
void boot_asked(struct kvs_repl *r);
void boot_answered(struct kvs_repl *r, const struct member *by);
int64_t boot_pause_ms(const struct kvs_repl *r, int64_t delay_ms);
bool boot_is_gathering(const struct kvs_repl *r); // let peers gather what they push

static inline int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}
static inline int64_t max_i64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

#endif
