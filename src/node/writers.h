// SPDX-License-Identifier: Apache-2.0
// The nodes that ever wrote a version held here, by the number that stands for each in records and
// in the log (KVS_FAMILY_META, "writer/" u32be). Numbers are given by the commit thread and never
// change. Thread-safe.
#ifndef KVS_NODE_WRITERS_H
#define KVS_NODE_WRITERS_H

#include "base/err.h"
#include "codec/version.h"

struct kvs_writers;

// Every node whose disk was replaced is a new writer: far more than a cluster ever sees.
enum { KVS_WRITERS_MAX = 1 << 20 };

KVS_MUST_CHECK int kvs_writers_new(struct kvs_writers **ret_writers);
void kvs_writers_free(struct kvs_writers *writers); // NULL is fine
void kvs_writers_clear(struct kvs_writers *writers);

// KVS_ERR_NOMEM, KVS_ERR_TOO_LARGE. An id that is known keeps its writer.
KVS_MUST_CHECK int kvs_writers_add(struct kvs_writers *writers, uint32_t id,
                                   const struct kvs_writer *writer);
// False: there is none of that id.
bool kvs_writers_get(struct kvs_writers *writers, uint32_t id, struct kvs_writer *ret_writer);
// 0: not known.
uint32_t kvs_writers_find(struct kvs_writers *writers, const struct kvs_writer *writer);
// Of the node alone; 0: not known.
uint32_t kvs_writers_find_node(struct kvs_writers *writers, const struct kvs_uuid *node);
// Greater than every id that is known.
uint32_t kvs_writers_next_id(struct kvs_writers *writers);

#endif
