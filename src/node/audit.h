// SPDX-License-Identifier: Apache-2.0
// The audit log of a node: what is recorded, and reading it. What a write does is recorded in the
// commit that does it (struct kvs_write, `audit`); everything else in a commit of its own.
// docs/audit.md says what the log promises, docs/decisions/0050 to 0052 why.
//
// A store that takes no writes takes no entries either: events are counted then (metric
// kvs_audit_lost_total), and the first entry afterwards, "audit_gap", says how many are missing.
#ifndef KVS_NODE_AUDIT_H
#define KVS_NODE_AUDIT_H

#include "audit/entry.h"
#include "audit/proof.h"
#include "audit/seal.h"
#include "node/node.h"

#define KVS_AUDIT_KEY_FILE "audit.key" // in the data directory
#define KVS_AUDIT_GAP "audit_gap"

// Does the node keep an audit log at all, and does it record `action`? Cheap, thread-safe.
bool kvs_node_has_audit(const struct kvs_node *node);
bool kvs_node_audits(const struct kvs_node *node, enum kvs_audit_action action);

// Records write->audit with the outcome write->err, if its action is recorded; nothing else of the
// write counts. What was refused for its credentials or permissions is an auth_failure, whatever it
// tried, where that is recorded; the same holds for the events of other writes. `done` runs when
// the entry is durable, with write->audited set, or cannot be made, with write->err set. Goes ahead
// on a read-only node. Thread-safe, never blocks.
void kvs_node_audit(struct kvs_node *node, struct kvs_write *write);

// Records an event and does not wait for it; copies what it needs. At most KVS_AUDIT_NOTES_MAX wait
// at a time; what comes then is counted as lost. Thread-safe, never blocks.
enum { KVS_AUDIT_NOTES_MAX = 1024 };
void kvs_node_audit_note(struct kvs_node *node, const struct kvs_audit_event *event, int outcome);

// An event that somebody wanted recorded was not: it is counted, and confessed with the next entry.
void kvs_node_audit_lost(struct kvs_node *node);

// Ends the epoch with a signed root now, if there are entries since the last one. Housekeeping does
// it every hour and closing the node too. May block.
KVS_MUST_CHECK int kvs_node_audit_seal(struct kvs_node *node);

// ---- Reading. Thread-safe; they read the disk. KVS_ERR_NOT_FOUND without an audit log.

// `encoded` is the entry as it is stored; it decodes, or the visit ends with KVS_ERR_CORRUPT.
typedef bool kvs_node_audit_fn(void *ctx, const struct kvs_audit_entry *entry);
// The entries from `seq` on, upward, or from it downward.
KVS_MUST_CHECK int kvs_node_audit_visit(struct kvs_node *node, const struct kvs_grant *grant,
                                        uint64_t seq, bool downward, kvs_node_audit_fn *visit,
                                        void *ctx);
typedef bool kvs_node_audit_seal_fn(void *ctx, const struct kvs_audit_seal *seal);
KVS_MUST_CHECK int kvs_node_audit_visit_seals(struct kvs_node *node, const struct kvs_grant *grant,
                                              uint64_t epoch, bool downward,
                                              kvs_node_audit_seal_fn *visit, void *ctx);

// The log's birth and, for an export that begins at `first`, what came before.
// KVS_ERR_INVALID when the log ends before `first - 1`.
KVS_MUST_CHECK int kvs_node_audit_header(struct kvs_node *node, const struct kvs_grant *grant,
                                         uint64_t first, struct kvs_audit_header *ret_header);
// The state after the newest committed entry, signed now.
KVS_MUST_CHECK int kvs_node_audit_checkpoint(struct kvs_node *node, const struct kvs_grant *grant,
                                             struct kvs_audit_seal *ret_checkpoint,
                                             struct kvs_audit_public *ret_key);
// That entry `seq` belongs to the first signed root that covers it, or to a checkpoint. The entry's
// texts are in `scratch`. KVS_ERR_NOT_FOUND: there is no such entry.
KVS_MUST_CHECK int kvs_node_audit_prove(struct kvs_node *node, const struct kvs_grant *grant,
                                        uint64_t seq, struct kvs_buf *scratch,
                                        struct kvs_audit_proof *ret_proof);
// That the log of `from` entries is the beginning of the present one. KVS_ERR_INVALID: there are
// fewer, or from is 0.
KVS_MUST_CHECK int kvs_node_audit_prove_growth(struct kvs_node *node, const struct kvs_grant *grant,
                                               uint64_t from, struct kvs_audit_proof *ret_proof);

#endif
