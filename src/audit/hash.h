// SPDX-License-Identifier: Apache-2.0
// The hashes of the audit log: SHA-256 of leaves and tree nodes as in RFC 9162 section 2.1, and
// HMAC-SHA256 of entries. A hasher keeps OpenSSL's contexts for reuse and belongs to one thread at
// a time; its error sticks and is asked once, after a run of calls, whose results are worth nothing
// then.
#ifndef KVS_AUDIT_HASH_H
#define KVS_AUDIT_HASH_H

#include "base/buf.h"

enum { KVS_AUDIT_HASH_SIZE = 32 };

struct kvs_audit_hash {
    uint8_t bytes[KVS_AUDIT_HASH_SIZE];
};

static inline struct kvs_slice kvs_audit_hash_slice(const struct kvs_audit_hash *hash)
{
    return kvs_slice(hash->bytes, sizeof(hash->bytes));
}

// In constant time.
bool kvs_audit_hash_eq(const struct kvs_audit_hash *a, const struct kvs_audit_hash *b);

struct kvs_audit_hasher;
KVS_MUST_CHECK int kvs_audit_hasher_new(struct kvs_audit_hasher **ret_hasher);
void kvs_audit_hasher_free(struct kvs_audit_hasher *hasher); // NULL is fine
KVS_DEFINE_CLEANUP(struct kvs_audit_hasher, kvs_audit_hasher_free)

// 0 or KVS_ERR_NOMEM, the only way in which hashing can fail.
KVS_MUST_CHECK int kvs_audit_hasher_error(const struct kvs_audit_hasher *hasher);
void kvs_audit_hasher_clear(struct kvs_audit_hasher *hasher); // the error

// SHA-256 of the bytes as they are.
struct kvs_audit_hash kvs_audit_hash_bytes(struct kvs_audit_hasher *hasher, struct kvs_slice bytes);
// SHA-256(0x00 | entry) and SHA-256(0x01 | left | right).
struct kvs_audit_hash kvs_audit_hash_leaf(struct kvs_audit_hasher *hasher, struct kvs_slice entry);
struct kvs_audit_hash kvs_audit_hash_node(struct kvs_audit_hasher *hasher,
                                          const struct kvs_audit_hash *left,
                                          const struct kvs_audit_hash *right);

// The key of the following kvs_audit_mac calls.
void kvs_audit_hasher_set_key(struct kvs_audit_hasher *hasher, const struct kvs_audit_hash *key);
struct kvs_audit_hash kvs_audit_mac(struct kvs_audit_hasher *hasher, struct kvs_slice message);

// ---- As text: lower-case hexadecimal

void kvs_audit_hex_append(struct kvs_buf *out, const void *bytes, size_t size);
// Exactly `size` bytes in lower case; false otherwise.
bool kvs_audit_hex_parse(struct kvs_slice text, void *ret_bytes, size_t size);

#endif
