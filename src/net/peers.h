// SPDX-License-Identifier: Apache-2.0
// Messages to other nodes, over HTTP connections that are kept alive
// (docs/formats/peer-protocol.md). Datagram-like: what cannot be delivered soon is dropped and
// counted, never queued for ever, and may arrive twice after a broken connection. When nothing is
// under way to an address a message leaves at once; otherwise it goes with the next request,
// together with what else has gathered. Messages from KVS_PEERS_LARGE on have a connection of their
// own, so that a probe never waits behind a giant value; apart from that, messages to one address
// arrive in the order in which they were given.
//
// A slow, frozen or hostile peer costs its own bounded queue and nothing else. Nothing is sent over
// a connection before the other end has proven that it knows the cluster secret.
//
// Threading: one thread of its own; kvs_peers_send and kvs_peers_reload from any thread.
#ifndef KVS_NET_PEERS_H
#define KVS_NET_PEERS_H

#include "auth/peer.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/tls_client.h"

enum { KVS_PEERS_LARGE = 256 * 1024 }; // bytes

struct kvs_peers;

struct kvs_peers_options {
    bool tls; // speak TLS, as `tls_client` says
    struct kvs_tls_client tls_client;
    int compression_level; // of zstd; 0: do not compress
    size_t queue_max;      // bytes that wait for a connection; 0 = 16 MiB. One message always fits.
    size_t queue_total_max;     // for all addresses together; 0 = 256 MiB
    size_t connection_max;      // an address has one, or two with large messages; 0 = 1024
    int64_t connect_timeout_ms; // 0 = 2 s
    int64_t answer_timeout_ms;  // 0 = 5 s, and more for large bodies
    int64_t message_age_max_ms; // for a peer that does not answer; 0 = 3 s
    int64_t idle_max_ms;        // an unused address is forgotten then; 0 = 5 min
    // Everything below is borrowed until kvs_peers_free.
    struct kvs_peer_auth *auth;
    const struct kvs_clock *clock;
    struct kvs_random *random;
    struct kvs_log *log;         // may be NULL
    struct kvs_metrics *metrics; // may be NULL
    // This machine's address on a proven connection to a peer ("10.0.0.7", "fd00::7"): what a node
    // that listens on all addresses can tell others. On the peers' thread; NULL = not wanted.
    void (*local_address)(void *ctx, const char *ip);
    void *ctx;
};

// Copies the options and starts the thread. KVS_ERR_NOMEM, KVS_ERR_INTERNAL.
KVS_MUST_CHECK int kvs_peers_new(const struct kvs_peers_options *options,
                                 struct kvs_peers **ret_peers);

// `address` is "host:port", brackets around IPv6. Copies the message; never waits.
void kvs_peers_send(struct kvs_peers *peers, struct kvs_slice address, struct kvs_slice message);

// The secrets of `auth` or the TLS files have changed: every connection is made and proven anew.
// KVS_ERR_NOMEM: nothing changes.
KVS_MUST_CHECK int kvs_peers_reload(struct kvs_peers *peers,
                                    const struct kvs_tls_client *tls_client);

// Takes no more messages, delivers those that wait for at most `grace_ms`, and ends the thread.
// Only the first call counts.
void kvs_peers_stop(struct kvs_peers *peers, int64_t grace_ms);

// Stops at once where that has not happened yet. NULL is fine.
void kvs_peers_free(struct kvs_peers *peers);
KVS_DEFINE_CLEANUP(struct kvs_peers, kvs_peers_free)

#endif
