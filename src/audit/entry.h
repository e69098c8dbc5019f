// SPDX-License-Identifier: Apache-2.0
// One entry of the audit log: as bytes in the store, which its hashes cover, and as the line of
// JSON that people and exports see. Either form determines the other, byte for byte. Pure.
//
//   format u8 = 1 | seq u64be | timestamp u64be (Unix ms) | flags u8 (1: user) | [user uuid 16] |
//   action, outcome, request_id, resource: each uvarint length + UTF-8 |
//   prev 32 | signature 32
//
// prev is the leaf hash of the entry before, of the first one the log's id. The signature is the
// HMAC-SHA256 of everything before it, with the key of the epoch (audit/key.h). The leaf hash is
// SHA-256 of 0x00 and the whole.
#ifndef KVS_AUDIT_ENTRY_H
#define KVS_AUDIT_ENTRY_H

#include "audit/hash.h"
#include "base/arena.h"
#include "base/uuid.h"

enum {
    KVS_AUDIT_ENTRY_FORMAT = 1,
    KVS_AUDIT_NAME_MAX = 32,       // of an action or outcome
    KVS_AUDIT_REQUEST_ID_MAX = 64, // bytes
    KVS_AUDIT_RESOURCE_MAX = 1024,
    // Of an encoded entry: numbers, names and lengths, resource, hashes.
    KVS_AUDIT_ENTRY_SIZE_MAX = 64 + 3 * 66 + KVS_AUDIT_RESOURCE_MAX + 2 * KVS_AUDIT_HASH_SIZE,
};

struct kvs_audit_entry {
    uint64_t seq; // from 1, without gaps
    int64_t timestamp;
    bool has_user;
    struct kvs_uuid user;
    struct kvs_slice action;     // "data_write"
    struct kvs_slice outcome;    // "ok", or an error's name in lower case
    struct kvs_slice request_id; // may be empty
    struct kvs_slice resource;   // a key, a path, a uuid; may be empty
    struct kvs_audit_hash prev;
    struct kvs_audit_hash signature;
};

// Cuts a text to what an entry holds: at most `size_max` bytes of well-formed UTF-8, with '?' for
// each byte that is none. Borrows from `text` when nothing changes, else from `scratch`.
struct kvs_slice kvs_audit_text(struct kvs_slice text, size_t size_max, char *scratch);

// Appends everything that the signature covers, and then the signature.
void kvs_audit_entry_encode_signed(struct kvs_buf *out, const struct kvs_audit_entry *entry);
void kvs_audit_entry_encode_signature(struct kvs_buf *out, const struct kvs_audit_entry *entry);
// The part of an encoded entry that the signature covers.
struct kvs_slice kvs_audit_entry_signed_part(struct kvs_slice encoded);

// Borrows from `encoded`. KVS_ERR_CORRUPT; KVS_ERR_VERSION for a newer format.
KVS_MUST_CHECK int kvs_audit_entry_decode(struct kvs_slice encoded,
                                          struct kvs_audit_entry *ret_entry);

// {"seq":…,"timestamp":"…","action":"…","user_uuid":"…"|null,"resource":"…","request_id":"…",
//  "outcome":"…","prev":"…","signature":"…"} without a newline.
void kvs_audit_entry_append_json(struct kvs_buf *out, const struct kvs_audit_entry *entry);
// Only the very text that append_json makes; texts live in the arena or borrow from `json`.
// KVS_ERR_SYNTAX, KVS_ERR_NOMEM.
KVS_MUST_CHECK int kvs_audit_entry_parse_json(struct kvs_slice json, struct kvs_arena *arena,
                                              struct kvs_audit_entry *ret_entry);

#endif
