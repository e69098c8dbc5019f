// SPDX-License-Identifier: Apache-2.0
// What the files behind peers.h share: peers.c (queues and the thread's loop), peers_request.c (one
// request over libcurl) and peers_state.c (what its end means).
#ifndef KVS_NET_PEERS_INTERNAL_H
#define KVS_NET_PEERS_INTERNAL_H

#include "codec/frames.h"
#include "net/peers.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>

struct peer_message {
    struct peer_message *next;
    int64_t at_ns; // given to kvs_peers_send
    size_t size;
    char bytes[];
};

enum peer_request { PEER_REQUEST_NONE, PEER_REQUEST_HELLO, PEER_REQUEST_MESSAGES };

// For logging once a change.
enum peer_state {
    PEER_UNKNOWN,
    PEER_UP,
    PEER_UNREACHABLE,
    PEER_WRONG_SECRET,
    PEER_OTHER_VERSION,
    PEER_NO_PEER,    // no KVS node, or one without clustering
    PEER_REFUSES,    // a member, although the secret is right
    PEER_OVERLOADED, // a member that takes nothing at the moment
    PEER_OURSELVES,
};

// One connection to one address.
struct peer {
    struct peer *next; // written by the thread, and under the lock when it is new
    struct kvs_peers *peers;
    char *address;
    bool large; // for large messages; another one has the others
    char *hello_url;
    char *messages_url;

    // Under the lock.
    struct peer_message *first;
    struct peer_message **last;
    size_t queue_bytes;

    atomic_bool under_way; // a request: the thread comes back to the queue by itself

    // The thread's alone.
    CURL *easy;
    struct curl_slist *headers;
    enum peer_request request;
    bool proven;       // the connection: whoever is there knows the secret
    bool denied;       // libcurl wanted another connection than that
    bool tried_other;  // secret, since the last hello that was answered right
    bool signed_again; // this body, for another challenge
    unsigned denials;  // in a row
    struct kvs_peer_stream stream;
    struct kvs_peer_signed signature; // of the request under way
    struct kvs_buf body; // packed messages, until they are delivered or given up; empty: none
    size_t body_count;   // of messages in it
    int64_t body_at_ns;  // of its oldest message
    bool body_failed;    // once already
    struct kvs_buf answer;
    char challenge[2 * KVS_PEER_CHALLENGE_SIZE + 1];
    char answer_signature[KVS_PEER_MAC_HEX_SIZE + 1];
    char error[CURL_ERROR_SIZE];
    enum peer_state state;
    unsigned failures; // in a row
    int64_t retry_at_ms;
    int64_t used_at_ms;
};

struct kvs_peers {
    struct kvs_peers_options options; // its TLS file names are unused: see tls_files
    pthread_t thread;
    bool has_thread;
    struct kvs_frames_packer *packer; // the thread's
    int64_t tended_ms;                // the thread's

    pthread_mutex_t lock; // everything below
    CURLM *multi;         // replaced under the lock; otherwise the thread's
    bool woken;
    bool reload;
    bool crowded; // somebody found no room for another address
    bool stopping;
    int64_t stop_at_ms;
    struct peer *list;
    size_t peer_count;
    size_t queue_bytes;
    char *tls_files[3]; // CA, certificate, key
};

static inline int64_t peers_now_ms(const struct kvs_peers *peers)
{
    return kvs_clock_mono_ms(peers->options.clock);
}

// ---- peers_request.c: all on the thread

// KVS_ERR_NOMEM
KVS_MUST_CHECK int peer_request_start(struct peer *peer, enum peer_request request);
// Frees what the request needed; forgets nothing of the peer.
void peer_request_end(struct peer *peer);
// Is the answer proven to come from a member? Takes its challenge.
bool peer_answer_is_proven(struct peer *peer, int status);

// ---- peers_state.c: all on the thread

// The request that was under way has ended, with `code`.
void peer_request_ended(struct peer *peer, CURLcode code);
// Starts what there is to do and may be done now; false: nothing.
bool peer_go_on(struct peer *peer);
void peer_drop_body(struct peer *peer, enum kvs_metric reason);

// ---- peers.c: on the thread

// Packs what waits into the peer's body, which is empty. False: nothing waits.
bool peer_pack(struct peer *peer);

#endif
