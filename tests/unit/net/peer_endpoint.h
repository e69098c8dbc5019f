// SPDX-License-Identifier: Apache-2.0
// One end of the peer network as it is in a node: sockets, HTTP, the routes for peers, and the
// outgoing transport. Received messages go to a callback; the node behind it is not there.
#ifndef KVS_TESTS_UNIT_NET_PEER_ENDPOINT_H
#define KVS_TESTS_UNIT_NET_PEER_ENDPOINT_H

#include "api/api.h"
#include "base/assert.h"
#include "codec/frames.h"
#include "net/net.h"
#include "net/peers.h"

#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ENDLESS_MS = 3600 * 1000, FIRST_PORT = 12000, PORTS = 8000 };

struct endpoint {
    char node_id[16];
    char address[32];
    size_t stream_max;
    size_t connection_max;
    size_t queue_max;
    int64_t answer_timeout_ms; // 0: longer than any test takes
    int compression_level;
    const struct kvs_net_tls_options *tls; // NULL: none
    struct kvs_tls_client tls_client;
    void (*on_message)(void *ctx, struct kvs_slice message);
    struct kvs_log *log; // may be NULL
    struct kvs_peer_auth *auth;
    struct kvs_metrics *metrics;
    struct kvs_api *api;
    struct kvs_net *net;
    struct kvs_peers *peers;
    pthread_t thread;
    char local_ip[64]; // the peers' thread's: read it when that has stopped
    atomic_ulong received;
    atomic_ulong bytes;
    atomic_ulong last; // number in the last message
    atomic_ulong out_of_order;
    atomic_bool frozen; // a message that comes in waits until it is not
};

// Waits for what has no descriptor; a test that never sees it is ended by its harness.
#define AWAIT(condition)                                                                           \
    do {                                                                                           \
        while (!(condition))                                                                       \
            sched_yield();                                                                         \
    } while (0)

static void endpoint_handle(void *ctx, struct kvs_http_exchange *exchange)
{
    struct endpoint *end = ctx;
    kvs_api_handle(end->api, exchange);
}

static size_t endpoint_body_limit(void *ctx, const struct kvs_http_request *request)
{
    const struct endpoint *end = ctx;
    return kvs_api_body_limit(end->api, request);
}

// Messages begin with a number, in the machine's byte order.
static void endpoint_count(void *ctx, struct kvs_slice message)
{
    struct endpoint *end = ctx;
    uint64_t number = 0;
    if (message.size >= sizeof(number))
        memcpy(&number, message.data, sizeof(number));
    AWAIT(!atomic_load(&end->frozen));
    if (number <= atomic_load(&end->last))
        atomic_fetch_add(&end->out_of_order, 1);
    atomic_store(&end->last, number);
    atomic_fetch_add(&end->bytes, message.size);
    atomic_fetch_add(&end->received, 1);
}

static void *endpoint_run(void *arg)
{
    struct endpoint *end = arg;
    kvs_assert(kvs_net_run(end->net, NULL) == 0);
    return NULL;
}

static void endpoint_new_auth(struct endpoint *end, const char *secret, const char *previous)
{
    const struct kvs_peer_auth_options options = {.node_id = end->node_id,
                                                  .secret = secret,
                                                  .previous_secret = previous,
                                                  .stream_max = end->stream_max,
                                                  .random = kvs_random_system()};
    kvs_assert(kvs_peer_auth_new(&options, &end->auth) == 0);
}

// port 0: any. `api` has no node: the routes for peers do without.
static void endpoint_listen(struct endpoint *end, uint16_t port)
{
    static char no_node;
    const struct kvs_api_options api = {.node = (struct kvs_node *)(void *)&no_node,
                                        .metrics = end->metrics,
                                        .log = end->log,
                                        .clock = kvs_clock_system(),
                                        .node_id = end->node_id,
                                        .version = "1",
                                        .max_json_size = 1 << 20,
                                        .revisions = 3,
                                        .peer_auth = end->auth,
                                        .peer_message =
                                            end->on_message ? end->on_message : endpoint_count,
                                        .peer_message_ctx = end};
    kvs_assert(kvs_api_new(&api, &end->api) == 0);
    const struct kvs_net_tls_options no_tls = {0};
    const struct kvs_net_options net = {
        .address = "127.0.0.1",
        .port = port,
        .threads = 1,
        .tls = end->tls ? *end->tls : no_tls,
        .handler = {.ctx = end, .handle = endpoint_handle, .body_limit = endpoint_body_limit},
        .clock = kvs_clock_system(),
        .random = kvs_random_system(),
        .log = end->log,
        .metrics = end->metrics};
    struct kvs_message message = {{0}};
    kvs_assert(kvs_net_new(&net, &end->net, &message) == 0);
    kvs_assert(kvs_net_listen(end->net, &message) == 0);
    (void)snprintf(end->address, sizeof(end->address), "%s:%u",
                   end->tls ? "localhost" : "127.0.0.1", (unsigned)kvs_net_port(end->net));
    kvs_assert(pthread_create(&end->thread, NULL, endpoint_run, end) == 0);
}

static void endpoint_hang_up(struct endpoint *end)
{
    kvs_net_stop(end->net, 0);
    kvs_assert(pthread_join(end->thread, NULL) == 0);
    kvs_net_free(end->net);
    kvs_api_free(end->api);
    end->net = NULL;
    end->api = NULL;
}

static void endpoint_learn_address(void *ctx, const char *ip)
{
    struct endpoint *end = ctx;
    (void)snprintf(end->local_ip, sizeof(end->local_ip), "%s", ip);
}

static void endpoint_new_peers(struct endpoint *end)
{
    const struct kvs_peers_options options = {
        .auth = end->auth,
        .compression_level = end->compression_level,
        .tls = end->tls,
        .tls_client = end->tls_client,
        .queue_max = end->queue_max,
        .connection_max = end->connection_max,
        .connect_timeout_ms = ENDLESS_MS,
        .answer_timeout_ms = end->answer_timeout_ms ? end->answer_timeout_ms : ENDLESS_MS,
        .clock = kvs_clock_system(),
        .random = kvs_random_system(),
        .log = end->log,
        .metrics = end->metrics,
        .local_address = endpoint_learn_address,
        .ctx = end};
    kvs_assert(kvs_peers_new(&options, &end->peers) == 0);
}

// A port for somebody who goes away and comes back: none that the kernel gives to clients
// meanwhile, and another one in each process, as long as there are enough.
static inline uint16_t endpoint_lasting_port(void)
{
    static unsigned asked;
    for (;;) {
        unsigned place = ((unsigned)getpid() * 16 + asked++) % PORTS;
        const struct sockaddr_in address = {.sin_family = AF_INET,
                                            .sin_port = htons((uint16_t)(FIRST_PORT + place)),
                                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int on = 1;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        kvs_assert(fd >= 0);
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        int err = bind(fd, (const struct sockaddr *)&address, sizeof(address));
        (void)close(fd);
        if (err == 0)
            return ntohs(address.sin_port);
    }
}

static void endpoint_start_on(struct endpoint *end, const char *node_id, const char *secret,
                              uint16_t port)
{
    (void)snprintf(end->node_id, sizeof(end->node_id), "%s", node_id);
    kvs_assert(kvs_metrics_new(&end->metrics) == 0);
    endpoint_new_auth(end, secret, NULL);
    endpoint_listen(end, port);
    endpoint_new_peers(end);
}

static void endpoint_start(struct endpoint *end, const char *node_id, const char *secret)
{
    endpoint_start_on(end, node_id, secret, 0);
}

static void endpoint_stop(struct endpoint *end)
{
    kvs_peers_free(end->peers);
    if (end->net)
        endpoint_hang_up(end);
    kvs_peer_auth_free(end->auth);
    kvs_metrics_free(end->metrics);
}

static void endpoint_send(struct endpoint *from, const char *to, uint64_t number, size_t size,
                          const char *filling)
{
    KVS_CLEANUP(kvs_freep) char *message = malloc(size);
    kvs_assert(message);
    for (size_t i = 0; i < size; i++)
        message[i] = filling[i % strlen(filling)];
    memcpy(message, &number, sizeof(number));
    kvs_peers_send(from->peers, kvs_slice_from_str(to), kvs_slice(message, size));
}

#endif
