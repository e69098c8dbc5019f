// SPDX-License-Identifier: Apache-2.0
// What the end of a request to a peer means, and what comes next:
//
//     not proven --hello--> answered right --> proven --messages--> delivered --> messages ...
//         ^                     |                 |
//         |             wrong secret: try         +-- connection gone: hello, the same body again
//         |             the other one, once       +-- other challenge: sign again, once
//         +------ wait longer each time <---------+-- anything else
//
// Logs once a change of state, never a secret.
#include "net/peers_internal.h"

enum {
    BACKOFF_MIN_MS = 50,
    BACKOFF_MAX_MS = 2000,
    BODY_KEEP_MAX = 1 << 20,
    DENIALS_MAX = 3, // connections in a row that were gone before they carried a message
};

static void forget_body(struct peer *peer)
{
    if (peer->body.capacity > BODY_KEEP_MAX)
        kvs_buf_done(&peer->body);
    kvs_buf_clear(&peer->body);
    peer->body_count = 0;
}

void peer_drop_body(struct peer *peer, enum kvs_metric reason)
{
    kvs_metrics_add(peer->peers->options.metrics, reason, peer->body_count);
    forget_body(peer);
}

// ---- States

static const char *advice(enum peer_state state)
{
    switch (state) {
    case PEER_WRONG_SECRET:
        return "peer refuses this node: it has another cluster secret: give both nodes the same "
               "cluster_secret; while a new one goes round, name the old one as "
               "cluster_secret_previous";
    case PEER_OTHER_VERSION:
        return "peer refuses this node: it speaks another version of the peer protocol than this "
               "node's 1: run the same release, or neighbouring ones, on all nodes";
    case PEER_NO_PEER:
        return "peer does not answer as a member of the cluster: see that the address is that of a "
               "KVS node with clustering_enabled, reached without a proxy that changes requests, "
               "that cluster_tls_enabled is the same there as here, and that allowed_hosts, where "
               "it is set there, names that address's host";
    case PEER_OVERLOADED:
        return "peer takes no messages at the moment: see its log";
    case PEER_REFUSES:
        return "peer refuses this node, although it has the cluster secret: see the peer's log; "
               "with "
               "cluster_tls_require_client_cert there, cluster_tls_cert_file here must name a "
               "certificate of the cluster's CA that may identify clients";
    case PEER_OURSELVES:
        return "address of a peer is this node's own: nothing is sent there";
    case PEER_UNREACHABLE:
        return "peer unreachable: tried again in the background";
    default:
        return "peer reachable";
    }
}

// Has the address's other connection said so already?
static bool is_known(const struct peer *peer, enum peer_state state)
{
    struct kvs_peers *peers = peer->peers;
    pthread_mutex_lock(&peers->lock);
    const struct peer *other = peers->list;
    while (other && (other == peer || strcmp(other->address, peer->address) != 0))
        other = other->next;
    bool known = other && other->state == state;
    pthread_mutex_unlock(&peers->lock);
    return known;
}

static void change_state(struct peer *peer, enum peer_state state, int status)
{
    if (peer->state == state)
        return;
    peer->state = state;
    if (is_known(peer, state))
        return;
    struct kvs_log *log = peer->peers->options.log;
    if (state == PEER_UP || state == PEER_OURSELVES)
        kvs_log(log, KVS_LOG_INFO, advice(state), KVS_F_STR("address", peer->address));
    else if (state == PEER_UNREACHABLE)
        kvs_log(log, KVS_LOG_WARN, advice(state), KVS_F_STR("address", peer->address),
                KVS_F_STR("error", peer->error));
    else
        kvs_log(log, KVS_LOG_ERROR, advice(state), KVS_F_STR("address", peer->address),
                KVS_F_INT("status", status));
}

static int64_t backoff_ms(struct peer *peer)
{
    int64_t delay_ms = BACKOFF_MAX_MS;
    if (peer->failures < 6)
        delay_ms = (int64_t)BACKOFF_MIN_MS << peer->failures;
    uint64_t jitter_ms = kvs_random_below(peer->peers->options.random, (uint64_t)delay_ms / 2);
    return delay_ms - (int64_t)jitter_ms;
}

static bool is_old(const struct peer *peer)
{
    const struct kvs_peers_options *options = &peer->peers->options;
    int64_t age_ns = kvs_clock_mono_ns(options->clock) - peer->body_at_ns;
    return age_ns > options->message_age_max_ms * INT64_C(1000000);
}

static void fail(struct peer *peer, enum peer_state state, int status)
{
    kvs_metrics_add(peer->peers->options.metrics, KVS_METRIC_PEER_REQUEST_ERRORS, 1);
    peer->retry_at_ms = peers_now_ms(peer->peers) + backoff_ms(peer);
    peer->failures++;
    peer->denials = 0;
    peer->proven = false;
    if (peer->body.size > 0 && is_old(peer))
        peer_drop_body(peer, KVS_METRIC_PEER_DROPS_UNREACHABLE);
    change_state(peer, state, status);
}

// ---- Ends

static void hello_proven(struct peer *peer)
{
    const struct kvs_peers_options *options = &peer->peers->options;
    const char *ip = NULL;
    peer->proven = true;
    peer->tried_other = false;
    if (options->local_address &&
        curl_easy_getinfo(peer->easy, CURLINFO_LOCAL_IP, &ip) == CURLE_OK && ip && ip[0] != '\0')
        options->local_address(options->ctx, ip);
    if (peer->body.size == 0) { // its messages had grown old
        peer->failures = 0;
        change_state(peer, PEER_UP, 204);
    }
}

static enum peer_state meaning_of(int status)
{
    switch (status) {
    case 401:
        return PEER_WRONG_SECRET;
    case 501:
        return PEER_OTHER_VERSION;
    case 408:
    case 429:
        return PEER_OVERLOADED;
    default:
        return status >= 500 ? PEER_OVERLOADED : PEER_NO_PEER;
    }
}

static void hello_ended(struct peer *peer, int status)
{
    bool proven = peer_answer_is_proven(peer, status);
    if (proven && status == 204) {
        if (kvs_peer_is_own(peer->peers->options.auth, &peer->stream))
            fail(peer, PEER_OURSELVES, status); // or a stranger asked us what we had asked him
        else
            hello_proven(peer);
        return;
    }
    if (proven) {
        fail(peer, status == 401 ? PEER_REFUSES : meaning_of(status), status);
        return;
    }
    bool has_other =
        peer->stream.with_previous || kvs_peer_auth_has_previous(peer->peers->options.auth);
    if (status == 401 && has_other && !peer->tried_other) {
        peer->tried_other = true;
        peer->stream.with_previous = !peer->stream.with_previous;
        return;
    }
    peer->tried_other = false;
    fail(peer, meaning_of(status), status);
}

static void messages_delivered(struct peer *peer)
{
    const struct kvs_peers_options *options = &peer->peers->options;
    kvs_metrics_add(options->metrics, KVS_METRIC_PEER_REQUESTS, 1);
    kvs_metrics_add(options->metrics, KVS_METRIC_PEER_BYTES_SENT, peer->body.size);
    kvs_metrics_add(options->metrics, KVS_METRIC_PEER_MESSAGES_SENT, peer->body_count);
    kvs_metrics_observe_ns(options->metrics, KVS_METRIC_PEER_DELIVERY_DURATION,
                           kvs_clock_mono_ns(options->clock) - peer->body_at_ns);
    forget_body(peer);
    peer->failures = 0;
    peer->denials = 0;
    change_state(peer, PEER_UP, 204);
}

static void messages_ended(struct peer *peer, int status)
{
    bool proven = peer_answer_is_proven(peer, status);
    if (proven && status == 204) {
        messages_delivered(peer);
    } else if (proven && status == 401 && !peer->signed_again) {
        peer->signed_again = true; // for the challenge that came with the answer
    } else if (proven && status / 100 == 4 && status != 401) {
        // A member that does not understand this body will not understand it later either.
        peer_drop_body(peer, KVS_METRIC_PEER_DROPS_UNREACHABLE);
        fail(peer, PEER_OTHER_VERSION, status);
    } else if (!proven && status == 401 && ++peer->denials < DENIALS_MAX) {
        peer->proven = false; // its secret has changed: a hello finds out
    } else {
        fail(peer, proven && status == 401 ? PEER_REFUSES : meaning_of(status), status);
    }
}

static void failed(struct peer *peer, enum peer_request request, CURLcode code)
{
    bool lost = request == PEER_REQUEST_MESSAGES && peer->denied;
    peer->proven = false;
    if (lost && ++peer->denials < DENIALS_MAX)
        return; // a hello over a new connection comes next, and then the same body
    if (peer->error[0] == '\0')
        (void)snprintf(peer->error, sizeof(peer->error), "%s", curl_easy_strerror(code));
    bool was_sent = request == PEER_REQUEST_MESSAGES && !peer->denied;
    if (was_sent && peer->body_failed)
        peer_drop_body(peer, KVS_METRIC_PEER_DROPS_UNREACHABLE);
    peer->body_failed = was_sent;
    fail(peer, PEER_UNREACHABLE, 0);
}

void peer_request_ended(struct peer *peer, CURLcode code)
{
    enum peer_request request = peer->request;
    long status = 0;
    curl_easy_getinfo(peer->easy, CURLINFO_RESPONSE_CODE, &status);
    peer_request_end(peer);
    if (code != CURLE_OK)
        failed(peer, request, code);
    else if (request == PEER_REQUEST_HELLO)
        hello_ended(peer, (int)status);
    else
        messages_ended(peer, (int)status);
}

bool peer_go_on(struct peer *peer)
{
    int64_t now_ms = peers_now_ms(peer->peers);
    if (peer->request != PEER_REQUEST_NONE || peer->retry_at_ms > now_ms)
        return false;
    if (peer->body.size == 0 && !peer_pack(peer))
        return false;
    peer->used_at_ms = now_ms;
    if (peer_request_start(peer, peer->proven ? PEER_REQUEST_MESSAGES : PEER_REQUEST_HELLO) == 0)
        return true;
    peer_drop_body(peer, KVS_METRIC_PEER_DROPS_QUEUE); // out of memory
    return false;
}
