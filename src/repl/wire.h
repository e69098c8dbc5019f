// SPDX-License-Identifier: Apache-2.0
// Internal to repl: writing and reading the pieces of messages and of the persisted state. The
// reader is a cursor with a sticky error: reads after a failure give zeros, and the end is checked
// once.
#ifndef KVS_REPL_WIRE_H
#define KVS_REPL_WIRE_H

#include "repl/message.h"

struct wire_reader {
    const uint8_t *at;
    const uint8_t *end;
    struct kvs_arena *arena;
    int err; // sticky: 0, KVS_ERR_SYNTAX, KVS_ERR_NOMEM
};

void wire_put_u8(struct kvs_buf *out, uint8_t value);
void wire_put_uint(struct kvs_buf *out, uint64_t value);
void wire_put_int(struct kvs_buf *out, int64_t value);
void wire_put_bytes(struct kvs_buf *out, struct kvs_slice bytes);
void wire_put_uuid(struct kvs_buf *out, const struct kvs_uuid *uuid);
void wire_put_seen(struct kvs_buf *out, const struct kvs_seen *seen);
void wire_put_member(struct kvs_buf *out, const struct kvs_member_record *member);
void wire_put_cluster(struct kvs_buf *out, const struct kvs_cluster_id *cluster);

uint8_t wire_get_u8(struct wire_reader *in);
bool wire_get_bool(struct wire_reader *in); // anything but 0 and 1 is an error
uint64_t wire_get_uint(struct wire_reader *in);
uint32_t wire_get_u32(struct wire_reader *in);
int64_t wire_get_int(struct wire_reader *in);
int64_t wire_get_time(struct wire_reader *in); // milliseconds that may be added to and subtracted
struct kvs_slice wire_get_bytes(struct wire_reader *in, size_t size_max);
struct kvs_uuid wire_get_uuid(struct wire_reader *in);
struct kvs_seen wire_get_seen(struct wire_reader *in); // entries in the arena
struct kvs_member_record wire_get_member(struct wire_reader *in);
struct kvs_cluster_id wire_get_cluster(struct wire_reader *in);
// The length of a list, checked against the bytes left: each element takes at least `element_min`.
size_t wire_get_count(struct wire_reader *in, size_t element_min);
// Zeroed memory for a list; NULL when count is 0 or on error.
void *wire_alloc(struct wire_reader *in, size_t count, size_t element_size);

#endif
