// SPDX-License-Identifier: Apache-2.0
// What is signed: the log's birth (its first public key), the roots that end its epochs, breaks,
// and checkpoints. As bytes in the store and as lines of JSON. Pure.
//
// genesis   format u8 = 1 | node uuid 16 | created u64be (Unix ms) | public key 32
//           The log's id is SHA-256 of "kvs audit log" and these bytes.
// seal      format u8 = 1 | kind u8 | epoch u64be | size u64be | timestamp u64be (Unix ms) | root
// 32
//           | next public key 32 | mac key 32 | signature 64
//           The signature is Ed25519 over "kvs audit seal", the log's id and all before it.
//
//   root        ends its epoch: signed with the epoch's key, certifies the next epoch's public key,
//               discloses the key of the epoch's HMACs
//   break       the epoch's key was lost or its head forged: the log goes on with a new key, which
//               signs the break itself. Nothing vouches for what lies between the last root and it
//   checkpoint  the present state, signed with the current key; not stored; its last two keys are 0
#ifndef KVS_AUDIT_SEAL_H
#define KVS_AUDIT_SEAL_H

#include "audit/key.h"
#include "audit/merkle.h"
#include "base/arena.h"
#include "base/uuid.h"

enum { KVS_AUDIT_GENESIS_FORMAT = 1, KVS_AUDIT_SEAL_FORMAT = 1 };

struct kvs_audit_genesis {
    struct kvs_uuid node;
    int64_t created;
    struct kvs_audit_public public_key; // of epoch 1
};
void kvs_audit_genesis_encode(struct kvs_buf *out, const struct kvs_audit_genesis *genesis);
KVS_MUST_CHECK int kvs_audit_genesis_decode(struct kvs_slice encoded,
                                            struct kvs_audit_genesis *ret_genesis);
struct kvs_audit_hash kvs_audit_genesis_id(const struct kvs_audit_genesis *genesis,
                                           struct kvs_audit_hasher *hasher);

enum kvs_audit_seal_kind { KVS_AUDIT_ROOT = 1, KVS_AUDIT_BREAK = 2, KVS_AUDIT_CHECKPOINT = 3 };

struct kvs_audit_seal {
    enum kvs_audit_seal_kind kind;
    uint64_t epoch;
    uint64_t size; // entries, from the first one on
    int64_t timestamp;
    struct kvs_audit_hash root;
    struct kvs_audit_public next_key;
    struct kvs_audit_hash mac_key;
    struct kvs_audit_signature signature;
};
void kvs_audit_seal_encode(struct kvs_buf *out, const struct kvs_audit_seal *seal);
KVS_MUST_CHECK int kvs_audit_seal_decode(struct kvs_slice encoded, struct kvs_audit_seal *ret_seal);
KVS_MUST_CHECK int kvs_audit_seal_sign(struct kvs_audit_seal *seal, const struct kvs_audit_hash *id,
                                       const struct kvs_audit_signer *signer);
bool kvs_audit_seal_holds(const struct kvs_audit_seal *seal, const struct kvs_audit_hash *id,
                          const struct kvs_audit_public *key);

// {"kind":"root","epoch":…,"size":…,"timestamp":"…","root":"…","next_key":"…","mac_key":"…",
//  "signature":"…"}; a break has no mac_key, a checkpoint neither of the two.
void kvs_audit_seal_append_json(struct kvs_buf *out, const struct kvs_audit_seal *seal);
// Only the very text that append_json makes. KVS_ERR_SYNTAX, KVS_ERR_NOMEM.
KVS_MUST_CHECK int kvs_audit_seal_parse_json(struct kvs_slice json, struct kvs_arena *arena,
                                             struct kvs_audit_seal *ret_seal);

// The first line of an export, which begins with entry `first`: the log's genesis and, for an
// export of a part, what came before.
//   {"kind":"log","version":1,"node":"…","created":"…","key":"…","first":…,"prev":"…","peaks":["…"]}
struct kvs_audit_header {
    struct kvs_audit_genesis genesis;
    struct kvs_audit_tree before; // size = first - 1
    struct kvs_audit_hash prev;   // of entry `first`
};
void kvs_audit_header_append_json(struct kvs_buf *out, const struct kvs_audit_header *header);
// Only the very text that append_json makes. KVS_ERR_SYNTAX, KVS_ERR_VERSION, KVS_ERR_NOMEM.
KVS_MUST_CHECK int kvs_audit_header_parse_json(struct kvs_slice json, struct kvs_arena *arena,
                                               struct kvs_audit_header *ret_header);

// ---- The head: the state after the newest entry, in the commit that wrote it.
//
//   format u8 = 1 | epoch u64be | size u64be | leaf hash of the newest entry 32 | the tree's peaks,
//   greatest first, 32 each | HMAC-SHA256 of all before, with the epoch's key
struct kvs_audit_head {
    uint64_t epoch;
    struct kvs_audit_hash leaf; // of the newest entry; the log's id while there is none
    struct kvs_audit_tree tree;
};
// Without its MAC, which follows.
void kvs_audit_head_encode(struct kvs_buf *out, const struct kvs_audit_head *head);
// *ret_signed: what the MAC covers; *ret_mac: what stands there.
KVS_MUST_CHECK int kvs_audit_head_decode(struct kvs_slice encoded, struct kvs_audit_head *ret_head,
                                         struct kvs_slice *ret_signed,
                                         struct kvs_audit_hash *ret_mac);

#endif
