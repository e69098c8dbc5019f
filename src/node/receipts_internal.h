// SPDX-License-Identifier: Apache-2.0
// The list of those that wait for receipts, as node.c and replica.c see it. Within node/.
#ifndef KVS_NODE_RECEIPTS_INTERNAL_H
#define KVS_NODE_RECEIPTS_INTERNAL_H

#include "node/receipts.h"

KVS_MUST_CHECK int kvs_receipts_new(struct kvs_receipts **ret_receipts);
void kvs_receipts_free(struct kvs_receipts *receipts); // nobody may wait; NULL is fine
// The replica's thread, behind each step: tells those that have waited long enough.
void kvs_receipts_tell(struct kvs_receipts *receipts, const struct kvs_repl *core);

#endif
