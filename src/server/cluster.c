// SPDX-License-Identifier: Apache-2.0
// A node that listens on all addresses has none of its own: it begins with the first that its
// interfaces have, and believes the first connection to a peer that proves another one right.
#include "server/cluster.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/tls.h"

enum { FAREWELL_MS = 3000, PROMISE_INTERVAL_MS = 600000, STATUS_INTERVAL_MS = 1000 };

struct kvs_server_cluster {
    struct kvs_server_cluster_options options;
    struct kvs_cluster_options node_options;
    struct kvs_peer_auth *auth;
    struct kvs_peers *peers;
    char address[KVS_REPL_ADDRESS_MAX + 1];
    pthread_mutex_t lock; // guards what follows
    struct kvs_node *node;
    bool learning;             // the address is a guess
    char early_ip[NI_MAXHOST]; // learned before there was a node to tell; "": none
};

// ---- This node's address

static bool is_wildcard(const char *address)
{
    return strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0;
}

static void set_address(char ret_address[static KVS_REPL_ADDRESS_MAX + 1], const char *host,
                        unsigned port)
{
    bool brackets = strchr(host, ':') != NULL;
    (void)snprintf(ret_address, KVS_REPL_ADDRESS_MAX + 1, "%s%s%s:%u", brackets ? "[" : "", host,
                   brackets ? "]" : "", port);
}

// The first address of an interface that is up and no loopback; else the loopback's.
static void guess_host(bool v6, char *ret_host, size_t size)
{
    struct ifaddrs *list = NULL;
    (void)snprintf(ret_host, size, "%s", v6 ? "::1" : "127.0.0.1");
    if (getifaddrs(&list) != 0)
        return;
    for (const struct ifaddrs *i = list; i; i = i->ifa_next) {
        int family = v6 ? AF_INET6 : AF_INET;
        socklen_t length = v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
        char host[NI_MAXHOST];
        if (!i->ifa_addr || i->ifa_addr->sa_family != family || !(i->ifa_flags & IFF_UP) ||
            (i->ifa_flags & IFF_LOOPBACK))
            continue;
        if (getnameinfo(i->ifa_addr, length, host, sizeof(host), NULL, 0, NI_NUMERICHOST) == 0 &&
            !strchr(host, '%')) { // not a link's own
            (void)snprintf(ret_host, size, "%s", host);
            break;
        }
    }
    freeifaddrs(list);
}

static void choose_address(struct kvs_server_cluster *c)
{
    const struct kvs_config *config = c->options.config;
    unsigned port = kvs_net_port(c->options.net);
    char host[NI_MAXHOST];
    if (config->advertise_address[0] != '\0') {
        (void)snprintf(c->address, sizeof(c->address), "%s", config->advertise_address);
    } else if (is_wildcard(config->bind_address)) {
        guess_host(strchr(config->bind_address, ':') != NULL, host, sizeof(host));
        set_address(c->address, host, port);
        c->learning = true;
    } else {
        set_address(c->address, config->bind_address, port);
    }
}

static void on_local_address(void *ctx, const char *ip)
{
    struct kvs_server_cluster *c = ctx;
    char address[KVS_REPL_ADDRESS_MAX + 1];
    (void)pthread_mutex_lock(&c->lock);
    struct kvs_node *node = c->learning ? c->node : NULL;
    if (node)
        c->learning = false;
    else if (!c->node)
        (void)snprintf(c->early_ip, sizeof(c->early_ip), "%s", ip);
    (void)pthread_mutex_unlock(&c->lock);
    if (!node)
        return;
    set_address(address, ip, kvs_net_port(c->options.net));
    kvs_node_set_address(node, address);
    kvs_log(c->options.log, KVS_LOG_INFO, "address learned from a connection to a peer",
            KVS_F_STR("address", address));
}

void kvs_server_cluster_attach(struct kvs_server_cluster *c, struct kvs_node *node)
{
    if (!c)
        return;
    (void)pthread_mutex_lock(&c->lock);
    c->node = node;
    bool early = c->early_ip[0] != '\0';
    (void)pthread_mutex_unlock(&c->lock);
    if (early) // is written no more
        on_local_address(c, c->early_ip);
}

// ---- Settings

static void on_send(void *ctx, struct kvs_slice address, struct kvs_slice message)
{
    const struct kvs_server_cluster *c = ctx;
    kvs_peers_send(c->peers, address, message);
}

static void on_stop(void *ctx, const char *reason)
{
    const struct kvs_server_cluster *c = ctx;
    c->options.stop(c->options.ctx, reason);
}

static void on_system_ready(void *ctx, bool ready)
{
    const struct kvs_server_cluster *c = ctx;
    c->options.system_ready(c->options.ctx, ready);
}

static struct kvs_cluster_options node_options(struct kvs_server_cluster *c)
{
    const struct kvs_config *config = c->options.config;
    return (struct kvs_cluster_options){
        .address = c->address,
        .seeds = (const char *const *)config->seed_nodes.items,
        .seed_count = config->seed_nodes.count,
        .push = config->replication_push,
        .probe_interval_ms = config->probe_interval_ms,
        .suspect_timeout_ms = config->suspect_timeout_ms,
        .gossip_min_ms = config->gossip_interval_min * 1000,
        .gossip_max_ms = config->gossip_interval_max * 1000,
        .sync_interval_ms = config->sync_interval * 1000,
        .catchup_interval_ms = config->catchup_interval * 1000,
        .status_interval_ms = STATUS_INTERVAL_MS,
        .promise_interval_ms = PROMISE_INTERVAL_MS,
        .skew_max_ms = config->max_clock_skew_ms,
        .bootstrap_max_age_ms = config->bootstrap_max_age_hours * 3600 * 1000,
        .throttle_delay_ms = config->throttle_delay_ms,
        .fetch_delay_ms = config->fetch_delay_ms,
        .send = on_send,
        .stop = on_stop,
        .system_ready = on_system_ready,
        .ctx = c,
        .workers = kvs_net_workers(c->options.net),
    };
}

static int make_auth(struct kvs_server_cluster *c)
{
    const struct kvs_config *config = c->options.config;
    const struct kvs_peer_auth_options options = {
        .node_id = config->node_id,
        .secret = config->cluster_secret,
        .previous_secret = config->cluster_secret_previous,
        .random = kvs_random_system(),
    };
    return kvs_peer_auth_new(&options, &c->auth);
}

static int make_peers(struct kvs_server_cluster *c)
{
    const struct kvs_config *config = c->options.config;
    const struct kvs_peers_options options = {
        .tls = config->cluster_tls_enabled,
        .tls_client = kvs_server_tls_client(config),
        .compression_level = config->compression_enabled ? (int)config->compression_level : 0,
        .auth = c->auth,
        .clock = kvs_clock_system(),
        .random = kvs_random_system(),
        .log = c->options.log,
        .metrics = c->options.metrics,
        .local_address = on_local_address,
        .ctx = c,
    };
    return kvs_peers_new(&options, &c->peers);
}

// ---- Life

int kvs_server_cluster_new(const struct kvs_server_cluster_options *options,
                           struct kvs_server_cluster **ret_cluster, struct kvs_message *ret_message)
{
    *ret_cluster = NULL;
    if (!options->config->clustering_enabled)
        return 0;
    struct kvs_server_cluster *c = calloc(1, sizeof(*c));
    if (!c)
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    c->options = *options;
    (void)pthread_mutex_init(&c->lock, NULL); // cannot fail with default attributes
    choose_address(c);
    c->node_options = node_options(c);
    int err = make_auth(c);
    if (!err)
        err = make_peers(c);
    if (err) {
        kvs_server_cluster_free(c);
        return kvs_fail(ret_message, err, "connections to peers: %s", kvs_err_text(err));
    }
    *ret_cluster = c;
    return 0;
}

const struct kvs_cluster_options *kvs_server_cluster_node(struct kvs_server_cluster *c)
{
    return c ? &c->node_options : NULL;
}

struct kvs_peer_auth *kvs_server_cluster_auth(struct kvs_server_cluster *c)
{
    return c ? c->auth : NULL;
}

void kvs_server_cluster_reload(struct kvs_server_cluster *c, const struct kvs_config *config)
{
    if (!c || !c->options.config->cluster_tls_enabled)
        return;
    const struct kvs_tls_client tls = kvs_server_tls_client(config);
    int err = kvs_peers_reload(c->peers, &tls);
    if (err)
        kvs_log(c->options.log, KVS_LOG_ERROR, "connections to peers keep their certificates",
                KVS_F_STR("error", kvs_err_text(err)));
}

void kvs_server_cluster_stop(struct kvs_server_cluster *c)
{
    if (c)
        kvs_peers_stop(c->peers, FAREWELL_MS);
}

void kvs_server_cluster_free(struct kvs_server_cluster *c)
{
    if (!c)
        return;
    kvs_peers_free(c->peers);
    kvs_peer_auth_free(c->auth);
    (void)pthread_mutex_destroy(&c->lock); // nobody holds it
    free(c);
}
