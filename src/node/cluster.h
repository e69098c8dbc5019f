// SPDX-License-Identifier: Apache-2.0
// A node as a member of its cluster: what it takes to replicate, and what it knows of its peers.
// Thread-safe.
#ifndef KVS_NODE_CLUSTER_H
#define KVS_NODE_CLUSTER_H

#include "node/node.h"
#include "repl/repl.h"

// All times in milliseconds. Everything pointed to outlives the node.
struct kvs_cluster_options {
    const char *address; // host:port, as peers reach this node
    const char *const *seeds;
    size_t seed_count;
    bool push;
    int64_t probe_interval_ms, suspect_timeout_ms;
    int64_t gossip_min_ms, gossip_max_ms;
    int64_t sync_interval_ms, catchup_interval_ms;
    int64_t status_interval_ms;  // peers tell each other what they have seen
    int64_t promise_interval_ms; // how often deletions may be forgotten
    int64_t skew_max_ms;
    int64_t bootstrap_max_age_ms;
    int64_t throttle_delay_ms, fetch_delay_ms;
    // Hands a message to a peer's address, soon and perhaps: never blocks, copies the bytes. Called
    // on the replica's thread.
    void (*send)(void *ctx, struct kvs_slice address, struct kvs_slice message);
    // Are the cluster's system records (accounts, permissions) here? Told once at the start and
    // when it changes; before they are, nobody can be judged. May be NULL. Called on the replica's
    // thread, the first time by kvs_node_open.
    void (*system_ready)(void *ctx, bool ready);
    // This process must end: another one has its identity, or the node has left the cluster. Called
    // once, on the replica's thread.
    void (*stop)(void *ctx, const char *reason);
    void *ctx;
    struct kvs_executor *workers; // for reads that may take a while; NULL: the replica's thread
};

// Is the node replicating at all? Everything below needs it.
bool kvs_node_is_clustered(const struct kvs_node *node);

// A message from an authenticated peer; copied. Dropped when too many wait.
void kvs_node_peer_message(struct kvs_node *node, struct kvs_slice message);

// This node is reached at `address` from now on; copied.
void kvs_node_set_address(struct kvs_node *node, const char *address);

// Peers will be told that this node pauses, and then nothing more is sent.
void kvs_node_pause(struct kvs_node *node);

// Where a pause was asked for, returns when its messages are with the transport, or after ten
// seconds with a node that is stuck: its peers find out by themselves.
void kvs_node_await_pause(struct kvs_node *node);

struct kvs_member_info {
    struct kvs_uuid node; // nil of a foreign one
    char name[KVS_REPL_NAME_MAX + 1];
    char address[KVS_REPL_ADDRESS_MAX + 1];
    int64_t joined_timestamp;
    enum kvs_member_state state;
    int64_t last_seen_ms;    // Unix; 0 never
    int64_t state_age_ms;    // since when it is in this state
    int64_t clock_offset_ms; // the member's clock minus ours
    int64_t synced_age_ms;   // since this node last agreed with it fully; -1 never
    uint64_t lag;            // our writes it has not acknowledged
    bool self;
    bool foreign; // no KVS node: nothing is sent to it
};

// Calls `visit` for this node and each member, in the order of their names.
KVS_MUST_CHECK int kvs_node_members(struct kvs_node *node,
                                    void (*visit)(void *ctx, const struct kvs_member_info *info),
                                    void *ctx);

// This node's place among the others. `alive` counts this node; foreign members are members.
struct kvs_cluster_status {
    size_t alive, suspect, dead;
    uint64_t lag_max;      // writes of this node that the slowest living member has not got
    int64_t offset_max_ms; // the greatest difference of a living member's clock to ours, unsigned
    int64_t synced_age_ms; // since full agreement with the living member where it is oldest; -1:
                           // never with one of them; 0 without any
    int64_t watermark_ms;  // deletions up to here are forgotten; 0: nothing is yet
    uint32_t deferred;     // versions that are kept aside until they are due
    bool behind;           // knows of writes that it has not got
};
void kvs_node_cluster_status(struct kvs_node *node, struct kvs_cluster_status *ret_status);
size_t kvs_node_alive_count(struct kvs_node *node); // this node included; 1 when alone

// Announces this node's leave; the options' `stop` is called when it is done.
void kvs_node_leave(struct kvs_node *node);
// Takes a member out of the cluster. KVS_ERR_NOT_FOUND; KVS_ERR_CONFLICT: it is alive.
KVS_MUST_CHECK int kvs_node_remove_member(struct kvs_node *node, const struct kvs_uuid *member);
// The same for whom a node_id, a foreign member's id or a node's UUID names; this node's own is
// kvs_node_leave. *ret_self tells whether it was that.
KVS_MUST_CHECK int kvs_node_leave_member(struct kvs_node *node, struct kvs_slice id,
                                         bool *ret_self);

// ---- Foreign members (decision 0031): programs that speak the documented routes

enum { KVS_FOREIGN_MEMBERS_MAX = 256 };

struct kvs_foreign_member {
    struct kvs_slice id;      // up to KVS_REPL_NAME_MAX bytes, no NUL
    struct kvs_slice address; // up to KVS_REPL_ADDRESS_MAX
    int64_t joined_timestamp;
    int64_t last_seen_ms; // as others tell, by their clocks; 0 not told
};

// It joins. KVS_ERR_CONFLICT: a living member has the id; KVS_ERR_BUSY: too many.
KVS_MUST_CHECK int kvs_node_foreign_join(struct kvs_node *node,
                                         const struct kvs_foreign_member *member);
// Another member tells of it. Whoever is a KVS node speaks for itself: no news then.
void kvs_node_foreign_told(struct kvs_node *node, const struct kvs_foreign_member *member);
// It has sent a request; nothing where it is no foreign member.
void kvs_node_foreign_heard(struct kvs_node *node, struct kvs_slice id);

#endif
