// SPDX-License-Identifier: Apache-2.0
// Internal to repl: keys and versions in the lists of one message, each written as what differs
// from the one before. A packer lives as long as its message; both sides feed theirs alike.
//
// A key is what it shares with the key before, as a size, and the rest. A version's time is told
// from the version before; its writer by number, in full the first time; its dot from that writer's
// last one; expires_at, where there is one, from its time.
#ifndef KVS_REPL_PACK_H
#define KVS_REPL_PACK_H

#include "repl/wire.h"

enum { PACK_WRITERS_MAX = 64 };

struct packer {
    struct kvs_slice key; // the last one; borrowed
    int64_t timestamp;
    struct kvs_writer writers[PACK_WRITERS_MAX];
    uint64_t seqs[PACK_WRITERS_MAX]; // each writer's last
    size_t writer_count;
};

// `key` must stay until the message is written.
void pack_key(struct packer *packer, struct kvs_buf *out, struct kvs_slice key);
void pack_version(struct packer *packer, struct kvs_buf *out, const struct kvs_version *version);

// The key borrows from the message or lies in the arena.
struct kvs_slice unpack_key(struct packer *packer, struct wire_reader *in);
struct kvs_version unpack_version(struct packer *packer, struct wire_reader *in);

#endif
