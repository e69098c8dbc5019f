// SPDX-License-Identifier: Apache-2.0
// The few primitives that accounts need, from OpenSSL: hashes as names of records, keys derived
// from the cluster secret, comparison in constant time, strict base64url. Thread-safe.
#ifndef KVS_AUTH_CRYPTO_H
#define KVS_AUTH_CRYPTO_H

#include "base/buf.h"

enum {
    KVS_SHA3_TEXT_SIZE = 128, // SHA3-512 in lower-case hex, no NUL
    KVS_SHA256_SIZE = 32,
};

// What tokens, nicknames and group names are stored as.
void kvs_auth_sha3_512(struct kvs_slice text, char ret_hex[static KVS_SHA3_TEXT_SIZE]);
void kvs_auth_sha256(struct kvs_slice text, uint8_t ret_digest[static KVS_SHA256_SIZE]);
void kvs_auth_hmac_sha256(const uint8_t key[static KVS_SHA256_SIZE], struct kvs_slice text,
                          uint8_t ret_mac[static KVS_SHA256_SIZE]);
// HKDF-SHA-256 (RFC 5869) with the salt "kvs": `info` says what the bytes are for.
void kvs_auth_derive(struct kvs_slice secret, const char *info, void *ret_bytes, size_t size);

// Time depends on the sizes alone.
bool kvs_auth_equal(struct kvs_slice a, struct kvs_slice b);

enum { KVS_SEAL_KEY_SIZE = 32, KVS_SEAL_OVERHEAD = 12 + 16 };

// AES-256-GCM under a random nonce, which goes before: size + KVS_SEAL_OVERHEAD bytes.
void kvs_auth_seal(const uint8_t key[static KVS_SEAL_KEY_SIZE], struct kvs_slice text,
                   char *ret_sealed);
// Writes sealed.size - KVS_SEAL_OVERHEAD bytes; false when it was not sealed with this key.
bool kvs_auth_unseal(const uint8_t key[static KVS_SEAL_KEY_SIZE], struct kvs_slice sealed,
                     char *ret_text);

// base64url without padding (RFC 7515 section 2). Decoding refuses everything that encoding does
// not write: padding, other characters, left-over bits.
void kvs_base64url_append(struct kvs_buf *out, struct kvs_slice bytes);
// Writes at most text.size bytes; false when `text` is not what encoding writes.
bool kvs_base64url_decode(struct kvs_slice text, char *ret_bytes, size_t *ret_size);

#endif
