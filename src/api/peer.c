// SPDX-License-Identifier: Apache-2.0
// The routes between nodes: who may use them, and the messages that nodes hand to each other
// (docs/formats/peer-protocol.md). Nothing of a request is looked at before its signature has
// proven right; of a body that is not whole, nothing is delivered. Large bodies are hashed and
// unpacked on a worker.
#include "api/api_internal.h"

#include "auth/client_cert.h"
#include "base/assert.h"
#include "codec/frames.h"
#include "node/cluster.h"

#include <pthread.h>

enum {
    INLINE_BODY_MAX = 64 * 1024, // what a loop may hash and unpack
    INLINE_PAYLOAD_MAX = 256 * 1024,
    SPARE_MAX = 4,
};

#define PROTOCOL_HEADER "X-KVS-Peer-Protocol"

struct kvs_api_peers {
    struct kvs_api_peer_log *log;
    pthread_mutex_t lock; // the spare ones
    struct kvs_frames_unpacker *spare[SPARE_MAX];
    size_t spare_count;
};

int kvs_api_peers_new(const struct kvs_api_options *options, struct kvs_api_peers **ret_peers)
{
    kvs_assert(options->peer_auth);
    struct kvs_api_peers *peers = calloc(1, sizeof(*peers));
    if (!peers)
        return KVS_ERR_NOMEM;
    kvs_assert(pthread_mutex_init(&peers->lock, NULL) == 0);
    int err = kvs_api_peer_log_new(&peers->log);
    if (err) {
        kvs_api_peers_free(peers);
        return err;
    }
    *ret_peers = peers;
    return 0;
}

void kvs_api_peers_free(struct kvs_api_peers *peers)
{
    if (!peers)
        return;
    while (peers->spare_count > 0)
        kvs_frames_unpacker_free(peers->spare[--peers->spare_count]);
    kvs_api_peer_log_free(peers->log);
    (void)pthread_mutex_destroy(&peers->lock); // all exchanges have finished
    free(peers);
}

static struct kvs_frames_unpacker *take_unpacker(struct kvs_api_peers *peers)
{
    struct kvs_frames_unpacker *unpacker = NULL;
    pthread_mutex_lock(&peers->lock);
    if (peers->spare_count > 0)
        unpacker = peers->spare[--peers->spare_count];
    pthread_mutex_unlock(&peers->lock);
    if (!unpacker && kvs_frames_unpacker_new(&unpacker) != 0)
        return NULL;
    return unpacker;
}

static void give_back(struct kvs_api_peers *peers, struct kvs_frames_unpacker *unpacker)
{
    kvs_frames_release(unpacker);
    pthread_mutex_lock(&peers->lock);
    bool keep = peers->spare_count < SPARE_MAX;
    if (keep)
        peers->spare[peers->spare_count++] = unpacker;
    pthread_mutex_unlock(&peers->lock);
    if (!keep)
        kvs_frames_unpacker_free(unpacker);
}

// ---- Who may

void kvs_api_peer_log_once(struct kvs_api_call *call, const char *what, const char *node_key,
                           struct kvs_slice node_value)
{
    const struct kvs_api *api = call->api;
    struct kvs_slice address = call->exchange->request.client_address;
    if (kvs_api_peer_log_is_due(api->peers->log, address, what,
                                kvs_clock_mono_ms(api->options.clock)))
        kvs_log(api->options.log, KVS_LOG_WARN, what, KVS_F_SLICE("client_address", address),
                KVS_F_SLICE(node_key, node_value));
}

static const char *advice(const struct kvs_peer_caller *caller)
{
    if (!caller->detail)
        return "peer request refused: it has the cluster secret, but comes without a client "
               "certificate of the cluster's CA, which cluster_tls_require_client_cert demands";
    if (strstr(caller->detail, "received before"))
        return "peer request refused: it has been received before; if this goes on, somebody "
               "replays recorded traffic: use TLS";
    if (strstr(caller->detail, "version"))
        return "peer request refused: it is signed in a way that this release does not know: run "
               "the same release, or neighbouring ones, on all nodes";
    if (strstr(caller->detail, "not the one that was signed"))
        return "peer request refused: its body was changed on the way: look for a proxy that does "
               "so, or use TLS";
    return "peer request refused: it does not come with this node's cluster secret: give both "
           "nodes the same cluster_secret; while a new one goes round, name the old one as "
           "cluster_secret_previous";
}

static void go_on(struct kvs_api_call *call, int err)
{
    struct kvs_peer_caller *caller = call->peer;
    if (err == KVS_ERR_UNAUTHORIZED) {
        if (caller->detail)
            call->detail = kvs_slice_from_str(caller->detail);
        kvs_metrics_add(call->api->options.metrics, KVS_METRIC_PEER_REFUSED, 1);
        if (!caller->is_stale && kvs_peer_has_credentials(&call->exchange->request))
            kvs_api_peer_log_once(call, advice(caller), "node", caller->node_id);
    }
    if (err) {
        kvs_api_finish(call, err);
        return;
    }
    call->grant = kvs_auth_peer_grant();
    if (!caller->is_signed)
        kvs_node_foreign_heard(call->api->options.node, caller->node_id);
    call->route->handler(call);
}

static int verify(struct kvs_api_call *call)
{
    const struct kvs_http_request *request = &call->exchange->request;
    bool is_hello = call->route->handler == kvs_api_peer_hello;
    int err = kvs_peer_verify(call->api->options.peer_auth, request,
                              is_hello ? KVS_PEER_HELLO : KVS_PEER_ONCE, call->peer);
    struct kvs_message detail;
    if (err == 0 && kvs_client_cert_demand(request, &detail) != 0)
        err = kvs_api_fail(call, KVS_ERR_UNAUTHORIZED, "%s", detail.text);
    return err;
}

static struct kvs_api_call *call_of(struct kvs_task *task)
{
    return KVS_CONTAINER_OF(task, struct kvs_http_exchange, task)->state;
}

static void go_on_back_on_loop(struct kvs_task *task)
{
    struct kvs_api_call *call = call_of(task);
    go_on(call, call->err);
}

static void verify_on_worker(struct kvs_task *task)
{
    struct kvs_api_call *call = call_of(task);
    call->err = verify(call);
    call->exchange->task.run = go_on_back_on_loop;
    kvs_executor_post(call->exchange->loop, &call->exchange->task);
}

void kvs_api_peer_admit(struct kvs_api_call *call)
{
    call->peer = kvs_api_alloc(call, sizeof(*call->peer));
    if (!call->peer) {
        kvs_api_finish(call, KVS_ERR_NOMEM);
        return;
    }
    *call->peer = (struct kvs_peer_caller){0};
    if (call->exchange->request.body.size <= INLINE_BODY_MAX) {
        go_on(call, verify(call));
        return;
    }
    call->exchange->state = call;
    call->exchange->task.run = verify_on_worker;
    kvs_executor_post(call->exchange->workers, &call->exchange->task);
}

void kvs_api_peer_sign(struct kvs_api_call *call)
{
    struct kvs_http_response *response = &call->exchange->response;
    if (response->status == 401)
        kvs_http_response_header(response, "WWW-Authenticate", KVS_SLICE("KVS-Peer"));
    kvs_peer_sign_answer(call->api->options.peer_auth, call->peer, response);
}

// ---- POST /peer/v1/hello

void kvs_api_peer_hello(struct kvs_api_call *call)
{
    int err = kvs_api_query(call, NULL, 0);
    if (!err) {
        call->exchange->response.status = 204;
        kvs_http_response_header(&call->exchange->response, PROTOCOL_HEADER, KVS_SLICE("1"));
    }
    kvs_api_finish(call, err);
}

// ---- POST /peer/v1/messages

static int fail_unpack(struct kvs_api_call *call, int err)
{
    if (err == KVS_ERR_TOO_LARGE)
        return kvs_api_fail(call, err, "The messages are larger than %d bytes together.",
                            KVS_FRAMES_PAYLOAD_MAX);
    if (err == KVS_ERR_VERSION)
        return kvs_api_fail(call, KVS_ERR_INVALID,
                            "The messages are framed in a format of a later release: this node "
                            "knows format %d.",
                            KVS_FRAMES_FORMAT);
    if (err == KVS_ERR_SYNTAX)
        return kvs_api_fail(call, err, "The frames of the messages are malformed.");
    return err;
}

static int deliver(struct kvs_api_call *call, struct kvs_frames_unpacker *unpacker)
{
    const struct kvs_api_options *options = &call->api->options;
    struct kvs_slice body = call->exchange->request.body;
    struct kvs_slice payload;
    struct kvs_slice message;
    size_t count = 0;
    int err = kvs_frames_unpack(unpacker, body, &payload, &count);
    if (err)
        return fail_unpack(call, err);
    kvs_metrics_add(options->metrics, KVS_METRIC_PEER_BYTES_RECEIVED, body.size);
    kvs_metrics_add(options->metrics, KVS_METRIC_PEER_MESSAGES_RECEIVED, count);
    while (options->peer_message && kvs_frames_next(&payload, &message))
        options->peer_message(options->peer_message_ctx, message);
    call->exchange->response.status = 204;
    return 0;
}

static int take_messages(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    struct kvs_slice body = call->exchange->request.body;
    if (mode == KVS_READ_CACHED &&
        (body.size > INLINE_BODY_MAX || kvs_frames_unpacked_size(body) > INLINE_PAYLOAD_MAX))
        return KVS_ERR_AGAIN;
    struct kvs_frames_unpacker *unpacker = take_unpacker(call->api->peers);
    if (!unpacker)
        return KVS_ERR_NOMEM;
    int err = deliver(call, unpacker);
    give_back(call->api->peers, unpacker);
    return err;
}

void kvs_api_peer_messages(struct kvs_api_call *call)
{
    int err = kvs_api_query(call, NULL, 0);
    if (err)
        kvs_api_finish(call, err);
    else
        kvs_api_read(call, take_messages);
}

// ---- Other versions

// "v2/messages"
static bool is_other_version(struct kvs_slice path)
{
    return path.size > 2 && path.data[0] == 'v' && path.data[1] >= '0' && path.data[1] <= '9';
}

void kvs_api_peer_unknown(struct kvs_api_call *call)
{
    if (!is_other_version(call->key) || kvs_slice_starts_with(call->key, KVS_SLICE("v1/"))) {
        kvs_api_finish(call, kvs_api_fail(call, KVS_ERR_NOT_FOUND,
                                          "There is no such route; GET / lists where to begin."));
        return;
    }
    kvs_api_peer_log_once(
        call,
        "peer refused: it speaks another version of the peer protocol than this node's 1: run "
        "the same release, or neighbouring ones, on all nodes",
        "path", call->exchange->request.path);
    struct kvs_http_response *response = &call->exchange->response;
    kvs_api_problem(response, 501,
                    KVS_SLICE("This node speaks version 1 of the peer protocol: run the same "
                              "release, or neighbouring ones, on all nodes."));
    kvs_http_response_header(response, PROTOCOL_HEADER, KVS_SLICE("1"));
    kvs_api_finish(call, 0);
}
