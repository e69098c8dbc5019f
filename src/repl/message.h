// SPDX-License-Identifier: Apache-2.0
// What nodes say to each other: one struct a message with its encoder and decoder. Pure.
//
// Format 1 (docs/formats/replication-messages.md): a fixed head, then a body by type. Integers are
// LEB128 varints unless said otherwise, signed ones zigzag; a byte string is its length and its
// bytes; a list is its length and its elements. Unknown trailing bytes are refused: the version
// says what to expect. Nothing here is trusted: the decoder checks every bound and every limit, and
// the transport has authenticated the bytes before.
#ifndef KVS_REPL_MESSAGE_H
#define KVS_REPL_MESSAGE_H

#include "base/arena.h"
#include "base/buf.h"
#include "digest/digest.h"
#include "repl/seen.h"

enum {
    KVS_MESSAGE_FORMAT = 1,
    KVS_MESSAGE_SIZE_MAX = 256 << 20, // one value may be large; batches aim far lower
    KVS_MESSAGE_LIST_MAX = 65536,
    KVS_REPL_KEY_MAX = 1 + 1024, // family tag + user key
    KVS_REPL_ADDRESS_MAX = 256,
    KVS_REPL_NAME_MAX = 256,
};
#define KVS_MESSAGE_SESSION_REPAIR UINT32_MAX

enum kvs_message_type {
    KVS_MESSAGE_PING = 1,
    KVS_MESSAGE_PONG,
    KVS_MESSAGE_PING_REQUEST, // "ping that one for me"
    KVS_MESSAGE_MEMBERS,      // member list; the first word of a joining node
    KVS_MESSAGE_STATUS,       // what I have seen, and promise
    KVS_MESSAGE_BATCH,        // versions of one writer: pushed, or answering a pull
    KVS_MESSAGE_BATCH_ACK,
    KVS_MESSAGE_PULL,
    KVS_MESSAGE_COMPARE, // fingerprints of ranges
    KVS_MESSAGE_COMPARED,
    KVS_MESSAGE_FETCH, // keys wanted
    KVS_MESSAGE_ITEMS, // current versions of keys: wanted, or offered
    KVS_MESSAGE_PAGE,  // bootstrap: the next page, newest first
    KVS_MESSAGE_PAGE_ANSWER,
    KVS_MESSAGE_DUPLICATE,  // "another process has your identity": stop
    KVS_MESSAGE_NAME_TAKEN, // "another living node has your name": stop
    KVS_MESSAGE_TYPE_COUNT
};
const char *kvs_message_type_name(enum kvs_message_type type); // "ping"; static

// Two clusters that meet become one under the identity of the elder; one that has never held
// anything yields to any other.
struct kvs_cluster_id {
    struct kvs_uuid id;
    int64_t created_ms;
    bool established; // has held data or a second member
};

struct kvs_message_head {
    uint8_t type;
    struct kvs_cluster_id cluster;
    struct kvs_uuid sender;
    uint32_t sender_life;
    uint32_t receiver_life; // 0: not known; another life's message is dropped
    int64_t sent_ms;        // the sender's wall clock
};

enum kvs_member_state {
    KVS_MEMBER_ALIVE,
    KVS_MEMBER_SUSPECT,
    KVS_MEMBER_DEAD,
    KVS_MEMBER_LEFT,
    KVS_MEMBER_REMOVED, // the mark that keeps a ghost from coming back
};
const char *kvs_member_state_name(enum kvs_member_state state); // "alive"; static

// What is told about a member.
struct kvs_member_record {
    struct kvs_uuid node;
    struct kvs_slice name;
    struct kvs_slice address;
    int64_t joined_timestamp;
    uint32_t incarnation;
    uint32_t life;           // also the boot nonce: two lives at once are two processes
    uint8_t state;           // enum kvs_member_state
    struct kvs_uuid accuser; // SUSPECT, DEAD: who says so
};

struct kvs_repl_item {
    struct kvs_slice key; // family tag + user key
    struct kvs_version version;
    struct kvs_slice value;
};

// A key and its version, without the value.
struct kvs_repl_stub {
    struct kvs_slice key;
    struct kvs_version version;
};

struct kvs_repl_range {
    struct kvs_slice first;
    struct kvs_slice end; // empty: to the last key
    struct kvs_fingerprint fingerprint;
    bool list; // do not compare: list what is there
};

enum kvs_compared_kind { KVS_COMPARED_EQUAL, KVS_COMPARED_LISTED, KVS_COMPARED_SPLIT };
// The answer to one range: nothing, its keys, or its parts (each part's range in full).
struct kvs_repl_compared {
    uint8_t kind;
    struct kvs_repl_stub *stubs;
    size_t stub_count;
    struct kvs_repl_range *parts;
    size_t part_count;
    struct kvs_fingerprint fingerprint; // the answerer's, of the whole range; not sent
};

struct kvs_message_ping {
    uint32_t probe;
    int64_t echo_sent_ms; // PONG: the ping's head.sent_ms
    struct kvs_uuid target;
    struct kvs_slice target_address; // PING_REQUEST
    struct kvs_member_record *updates;
    size_t update_count;
};

struct kvs_message_members {
    bool want_reply;
    struct kvs_digest_key digest_key; // of the sender's cluster
    struct kvs_member_record *members;
    size_t member_count;
};

struct kvs_message_status {
    bool want_reply;
    bool exact;             // root speaks of exactly `seen` and `watermark`
    bool bootstrapping;     // not a source for others
    int64_t watermark_ms;   // what has been removed everywhere
    int64_t certificate_ms; // the sender has all that anybody wrote up to here
    int64_t promise_ms;     // the sender writes nothing at or below
    struct kvs_fingerprint root;
    struct kvs_seen seen; // when decoded, in the arena: never kvs_seen_done
};

struct kvs_message_batch {
    bool pulled;
    bool overrun; // the log no longer reaches back: compare digests instead
    bool more;
    struct kvs_seen_run run;
    uint64_t receiver_seen; // the receiver's newest writer_seq that the sender has
    int64_t watermark_ms;   // no version at or below it is here that something newer replaced
    struct kvs_repl_item *items;
    size_t item_count;
};

struct kvs_message_batch_ack {
    struct kvs_seen_run run; // as sent
    uint32_t seen_count;     // of run.node, run.life, contiguous and durable
    uint32_t credit_bytes;   // how much the next batch may hold; 0: wait
};

struct kvs_message_pull {
    struct kvs_uuid node;
    uint32_t life;
    uint32_t from;
    uint32_t size_max;    // bytes
    int64_t watermark_ms; // the asker's
};

struct kvs_message_compare {
    uint32_t session;
    bool want_seen; // the first of a session
    int64_t watermark_ms;
    struct kvs_repl_range *ranges;
    size_t range_count;
};

struct kvs_message_compared {
    uint32_t session;
    bool has_seen;
    bool bootstrapping;
    int64_t watermark_ms;
    int64_t forgotten_ms; // of former clusters: deletions up to there are forgotten, too
    struct kvs_seen seen; // as before the first answer of the session
    struct kvs_repl_compared *answers;
    size_t answer_count;
};

struct kvs_message_fetch {
    uint32_t session;
    struct kvs_slice *keys;
    size_t key_count;
};

struct kvs_message_items {
    uint32_t session;  // 0: offered; of a sync; or KVS_MESSAGE_SESSION_REPAIR
    uint32_t answered; // keys of the FETCH that are dealt with, absent ones included
    bool damaged;      // some of these could not be read: whoever asked has not everything
    struct kvs_repl_item *items;
    size_t item_count;
};

struct kvs_message_page {
    uint32_t session;
    uint8_t family;    // tag of the keys wanted
    int64_t before_ms; // versions older than (before_ms, before_key); INT64_MAX to begin
    struct kvs_slice before_key;
    uint32_t size_max; // bytes
};

struct kvs_message_page_answer {
    uint32_t session;
    bool done;
    struct kvs_repl_item *items; // newest first
    size_t item_count;
    // Never on the wire: the last item it came with, when some have been taken out since; or NULL.
    const struct kvs_repl_item *end;
};

struct kvs_repl_message {
    struct kvs_message_head head;
    union {
        struct kvs_message_ping ping; // PING, PONG, PING_REQUEST
        struct kvs_message_members members;
        struct kvs_message_status status;
        struct kvs_message_batch batch;
        struct kvs_message_batch_ack batch_ack;
        struct kvs_message_pull pull;
        struct kvs_message_compare compare;
        struct kvs_message_compared compared;
        struct kvs_message_fetch fetch;
        struct kvs_message_items items;
        struct kvs_message_page page;
        struct kvs_message_page_answer page_answer;
    };
};

// out->err tells what went wrong.
void kvs_repl_message_encode(const struct kvs_repl_message *message, struct kvs_buf *out);
// Slices borrow from `bytes`, lists are in the arena. KVS_ERR_SYNTAX, KVS_ERR_VERSION,
// KVS_ERR_NOMEM.
KVS_MUST_CHECK int kvs_repl_message_decode(struct kvs_slice bytes, struct kvs_arena *arena,
                                           struct kvs_repl_message *ret_message);

#endif
