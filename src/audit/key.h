// SPDX-License-Identifier: Apache-2.0
// The keys of an audit log. Each epoch (the entries between two signed roots) has one seed, from
// which come the key of its entries' HMAC and an Ed25519 key that signs its root. The root
// certifies the next epoch's public key and discloses its own HMAC key; then the seed is erased. So
// whoever takes a node over can forge nothing that was sealed before, and everybody who knows the
// first public key can verify everything that was sealed (docs/decisions/0050).
//
// The key file (mode 0600, beside the data) holds the current seed and, around a seal, the next:
//   kvs audit key 1
//   current EPOCH SEED
//   next EPOCH SEED
#ifndef KVS_AUDIT_KEY_H
#define KVS_AUDIT_KEY_H

#include "audit/hash.h"
#include "base/random.h"

enum { KVS_AUDIT_PUBLIC_SIZE = 32, KVS_AUDIT_SIGNATURE_SIZE = 64 };

struct kvs_audit_public {
    uint8_t bytes[KVS_AUDIT_PUBLIC_SIZE];
};
struct kvs_audit_signature {
    uint8_t bytes[KVS_AUDIT_SIGNATURE_SIZE];
};

// The secret of one epoch; forget it with kvs_audit_key_done.
struct kvs_audit_key {
    uint64_t epoch; // from 1; 0 = none
    uint8_t seed[32];
};

struct kvs_audit_key kvs_audit_key_new(uint64_t epoch, struct kvs_random *random);
void kvs_audit_key_done(struct kvs_audit_key *key);

// What a key can do; immutable, may be used by several threads.
struct kvs_audit_signer {
    uint64_t epoch;
    struct kvs_audit_public public_key;
    struct kvs_audit_hash mac_key;
    void *pkey; // OpenSSL's; NULL = none
};
KVS_MUST_CHECK int kvs_audit_signer_init(struct kvs_audit_signer *signer,
                                         const struct kvs_audit_key *key);
void kvs_audit_signer_done(struct kvs_audit_signer *signer); // a zeroed one is fine
// Another handle of the same.
struct kvs_audit_signer kvs_audit_signer_ref(const struct kvs_audit_signer *signer);
KVS_MUST_CHECK int kvs_audit_sign(const struct kvs_audit_signer *signer, struct kvs_slice message,
                                  struct kvs_audit_signature *ret_signature);
bool kvs_audit_signature_holds(const struct kvs_audit_public *key, struct kvs_slice message,
                               const struct kvs_audit_signature *signature);

// ---- The key file

struct kvs_audit_keys {
    struct kvs_audit_key current;
    struct kvs_audit_key next; // epoch 0: none
};
void kvs_audit_keys_done(struct kvs_audit_keys *keys);

// KVS_ERR_NOT_FOUND; KVS_ERR_CORRUPT; _VERSION; _IO. The message names the file.
KVS_MUST_CHECK int kvs_audit_keys_load(const char *path, struct kvs_audit_keys *ret_keys,
                                       struct kvs_message *ret_message);
// Replaces the file; on disk when it returns. What the old one held is overwritten as far as the
// file system lets us.
KVS_MUST_CHECK int kvs_audit_keys_save(const char *path, const struct kvs_audit_keys *keys,
                                       struct kvs_message *ret_message);

#endif
