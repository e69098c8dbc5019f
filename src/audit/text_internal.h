// SPDX-License-Identifier: Apache-2.0
// Reading the JSON forms of audit/: each is one object whose text must be exactly what its writer
// makes, so the readers only pick members; the caller compares the text in the end.
#ifndef KVS_AUDIT_TEXT_INTERNAL_H
#define KVS_AUDIT_TEXT_INTERNAL_H

#include "audit/hash.h"
#include "base/uuid.h"
#include "codec/json.h"

enum { KVS_AUDIT_LINE_MAX = 64 << 10 }; // bytes of one line of an export

// A JSON object; its members are picked one by one and the error sticks.
struct kvs_audit_reader {
    struct kvs_arena *arena;
    const struct kvs_json *object;
    int err;
};

// Picks from `json`. KVS_ERR_SYNTAX when that is no object.
void kvs_audit_reader_init(struct kvs_audit_reader *reader, struct kvs_slice json,
                           struct kvs_arena *arena);
struct kvs_slice kvs_audit_read_text(struct kvs_audit_reader *reader, const char *name);
uint64_t kvs_audit_read_u64(struct kvs_audit_reader *reader, const char *name);
int64_t kvs_audit_read_time(struct kvs_audit_reader *reader, const char *name);
struct kvs_uuid kvs_audit_read_uuid(struct kvs_audit_reader *reader, const char *name);
void kvs_audit_read_hex(struct kvs_audit_reader *reader, const char *name, void *ret_bytes,
                        size_t size);

// ,"name":"hex" and ,"name":"2026-…Z"
void kvs_audit_append_hex_member(struct kvs_buf *out, const char *name, const void *bytes,
                                 size_t size);
void kvs_audit_append_time(struct kvs_buf *out, int64_t unix_ms);             // with quotes
void kvs_audit_append_uuid(struct kvs_buf *out, const struct kvs_uuid *uuid); // with quotes

#endif
