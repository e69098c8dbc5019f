// SPDX-License-Identifier: Apache-2.0
// Members that are no KVS nodes: programs that speak the documented routes with the cluster secret
// (decision 0031). They are listed, they age, they survive restarts; nothing is ever sent to them.
// Thread-safe.
#ifndef KVS_NODE_FOREIGN_H
#define KVS_NODE_FOREIGN_H

#include "node/cluster.h"

struct kvs_foreign;

// Reads what the store remembers. `silent_ms`: without a word for twice as long a member is
// suspect, for four times as long dead.
KVS_MUST_CHECK int kvs_foreign_new(struct kvs_node *node, int64_t silent_ms,
                                   struct kvs_foreign **ret_foreign);
void kvs_foreign_free(struct kvs_foreign *foreign); // NULL is fine

// Joined, or told of by someone else (`told`). KVS_ERR_CONFLICT: another living one has its id;
// KVS_ERR_BUSY: there are too many.
KVS_MUST_CHECK int kvs_foreign_note(struct kvs_foreign *foreign,
                                    const struct kvs_foreign_member *member, bool told);
// It has spoken; nothing where it is no member.
void kvs_foreign_heard(struct kvs_foreign *foreign, struct kvs_slice id);
KVS_MUST_CHECK int kvs_foreign_leave(struct kvs_foreign *foreign, struct kvs_slice id);

// How many there are, and what is known of each.
size_t kvs_foreign_count(struct kvs_foreign *foreign);
size_t kvs_foreign_list(struct kvs_foreign *foreign, struct kvs_member_info *ret_list, size_t max);

#endif
