// SPDX-License-Identifier: Apache-2.0
// Who is a member of the cluster: signing requests to peers, verifying theirs, and the answers to
// both. Keys are derived from the cluster secret, which itself never travels from here; the
// documented X-Cluster-Secret and X-Node-ID headers are accepted from scripts and foreign peers.
// Wire format: docs/formats/peer-protocol.md. What an attacker can and cannot do:
// docs/decisions/0035.
//
// Thread-safe. Never logs, never returns a secret.
#ifndef KVS_AUTH_PEER_H
#define KVS_AUTH_PEER_H

#include "auth/peer_mac.h"
#include "auth/peer_window.h"
#include "codec/http.h"

#define KVS_PEER_HEADER "X-KVS-Peer"
#define KVS_PEER_CHALLENGE_HEADER "X-KVS-Peer-Challenge"
#define KVS_PEER_SIGNATURE_HEADER "X-KVS-Peer-Signature"

enum { KVS_PEER_NODE_ID_MAX = 253 };

struct kvs_peer_auth;

struct kvs_peer_auth_options {
    const char *node_id;         // this node's; printable, without spaces, up to 253 bytes
    const char *secret;          // the cluster's
    const char *previous_secret; // accepted as well; "" or NULL: none
    size_t stream_max;           // senders that are told apart; 0 = KVS_PEER_STREAMS_MAX
    struct kvs_random *random;   // borrowed; good enough for secrets
};

// 1 to KVS_PEER_NODE_ID_MAX printable ASCII characters without spaces?
bool kvs_peer_is_node_id(struct kvs_slice text);

// Copies the options. KVS_ERR_NOMEM, KVS_ERR_INVALID (node_id).
KVS_MUST_CHECK int kvs_peer_auth_new(const struct kvs_peer_auth_options *options,
                                     struct kvs_peer_auth **ret_auth);
void kvs_peer_auth_free(struct kvs_peer_auth *auth);
KVS_DEFINE_CLEANUP(struct kvs_peer_auth, kvs_peer_auth_free)

// From now on these are the secrets. KVS_ERR_NOMEM: nothing changes.
KVS_MUST_CHECK int kvs_peer_auth_set_secrets(struct kvs_peer_auth *auth, const char *secret,
                                             const char *previous_secret);
bool kvs_peer_auth_has_previous(struct kvs_peer_auth *auth);

// ---- Receiving

enum kvs_peer_use {
    KVS_PEER_ONCE,  // a request that must not be accepted twice
    KVS_PEER_HELLO, // one that only asks for the challenge
};

// Whom a request comes from. What it holds is needed to sign the answer.
struct kvs_peer_caller {
    struct kvs_slice node_id; // as it calls itself; borrowed from the request
    bool is_signed;           // the signature is right: sign the answer, refusals included
    bool is_stale;            // refused, but only because it was signed for another challenge
    const char *detail;       // refused: why; static
    unsigned char answer_key[KVS_PEER_MAC_SIZE];
    char signature[KVS_PEER_MAC_HEX_SIZE];       // the request's
    char challenge[2 * KVS_PEER_CHALLENGE_SIZE]; // this node's current one
};

// Does the request claim to come from a peer, rightly or not? What does not is a client's.
bool kvs_peer_has_credentials(const struct kvs_http_request *request);

// Are the credentials right as far as the head tells? Says nothing of body and repetition; enough
// to decide whether a large body is worth reading.
bool kvs_peer_verify_head(struct kvs_peer_auth *auth, const struct kvs_http_request *request);

// 0: a member of the cluster. KVS_ERR_UNAUTHORIZED with ret_caller->detail; KVS_ERR_NOMEM. Hashes
// the body: not on a loop when that is large.
KVS_MUST_CHECK int kvs_peer_verify(struct kvs_peer_auth *auth,
                                   const struct kvs_http_request *request, enum kvs_peer_use use,
                                   struct kvs_peer_caller *ret_caller);

// Adds to the answer what lets a signed request's sender believe it; call it when status and body
// are final. Does nothing for a caller whose signature was not right. Without memory the answer
// stays unsigned, and its receiver takes it for nobody's.
void kvs_peer_sign_answer(struct kvs_peer_auth *auth, const struct kvs_peer_caller *caller,
                          struct kvs_http_response *response);

// ---- Sending

// The requests to one peer. One thread at a time.
struct kvs_peer_stream {
    unsigned char id[KVS_PEER_STREAM_SIZE];
    unsigned char challenge[KVS_PEER_CHALLENGE_SIZE]; // the peer's; zero until it has said it
    uint64_t counter;
    bool with_previous; // sign with the previous secret while there is one
};
void kvs_peer_stream_init(struct kvs_peer_auth *auth, struct kvs_peer_stream *stream);

struct kvs_peer_signed {
    char header[512]; // the line for the request, NUL-terminated: "X-KVS-Peer: …"
    char signature[KVS_PEER_MAC_HEX_SIZE];
    unsigned char answer_key[KVS_PEER_MAC_SIZE];
};

// KVS_ERR_NOMEM.
KVS_MUST_CHECK int kvs_peer_sign(struct kvs_peer_auth *auth, struct kvs_peer_stream *stream,
                                 struct kvs_slice method, struct kvs_slice target,
                                 struct kvs_slice body, struct kvs_peer_signed *ret_signed);

struct kvs_peer_answer {
    int status;
    struct kvs_slice body;
    struct kvs_slice challenge; // the header's value; empty without one
    struct kvs_slice signature;
};

// Has whoever answered this very request the secret it was signed with? Then takes the challenge
// over into the stream.
bool kvs_peer_accept_answer(struct kvs_peer_auth *auth, const struct kvs_peer_signed *request,
                            const struct kvs_peer_answer *answer, struct kvs_peer_stream *stream);

// Is the challenge that the stream has been told this node's own? Then whoever answered has only
// sent the request back here, or the address is this node's.
bool kvs_peer_is_own(struct kvs_peer_auth *auth, const struct kvs_peer_stream *stream);

#endif
