// SPDX-License-Identifier: Apache-2.0
// SHA-256 and HMAC-SHA256 for peer.c: algorithms fetched once, contexts kept for the next use.
// Thread-safe.
#ifndef KVS_AUTH_PEER_MAC_H
#define KVS_AUTH_PEER_MAC_H

#include "base/cleanup.h"
#include "base/err.h"
#include "base/slice.h"

enum { KVS_PEER_MAC_SIZE = 32, KVS_PEER_MAC_HEX_SIZE = 2 * KVS_PEER_MAC_SIZE };

struct kvs_peer_macs;

KVS_MUST_CHECK int kvs_peer_macs_new(struct kvs_peer_macs **ret_macs);
void kvs_peer_macs_free(struct kvs_peer_macs *macs);
KVS_DEFINE_CLEANUP(struct kvs_peer_macs, kvs_peer_macs_free)

// Both: KVS_ERR_NOMEM, and *ret_… is then zeroed.
KVS_MUST_CHECK int kvs_peer_hash(struct kvs_peer_macs *macs, struct kvs_slice data,
                                 unsigned char ret_digest[static KVS_PEER_MAC_SIZE]);
// Over the parts as if they stood in one piece.
KVS_MUST_CHECK int kvs_peer_mac(struct kvs_peer_macs *macs, struct kvs_slice key,
                                const struct kvs_slice *parts, size_t part_count,
                                unsigned char ret_mac[static KVS_PEER_MAC_SIZE]);

// Lower-case hexadecimal, without a NUL.
void kvs_peer_hex(const unsigned char *bytes, size_t size, char *ret_text);
// `text` must be exactly `size` bytes in lower-case hexadecimal.
bool kvs_peer_unhex(struct kvs_slice text, size_t size, unsigned char *ret_bytes);

#endif
