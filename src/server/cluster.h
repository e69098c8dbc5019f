// SPDX-License-Identifier: Apache-2.0
// Ties a node to its peers: the settings of the cluster, who signs and verifies, the connections to
// peers, and this node's address as peers reach it.
#ifndef KVS_SERVER_CLUSTER_H
#define KVS_SERVER_CLUSTER_H

#include "config/config.h"
#include "net/net.h"
#include "net/peers.h"
#include "node/cluster.h"

struct kvs_server_cluster;

struct kvs_server_cluster_options {
    const struct kvs_config *config; // everything is borrowed until the end
    struct kvs_net *net;             // listens
    struct kvs_log *log;
    struct kvs_metrics *metrics;
    // The process must end, with an error when `reason` (static) is not NULL. On any thread.
    void (*stop)(void *ctx, const char *reason);
    // As in struct kvs_cluster_options.
    void (*system_ready)(void *ctx, bool ready);
    void *ctx;
};

// *ret_cluster is NULL where clustering is off.
KVS_MUST_CHECK int kvs_server_cluster_new(const struct kvs_server_cluster_options *options,
                                          struct kvs_server_cluster **ret_cluster,
                                          struct kvs_message *ret_message);
// For the node to be opened; NULL: alone.
const struct kvs_cluster_options *kvs_server_cluster_node(struct kvs_server_cluster *cluster);
struct kvs_peer_auth *kvs_server_cluster_auth(struct kvs_server_cluster *cluster); // NULL: off
// The node is open: from here on it learns its address from the connections to its peers.
void kvs_server_cluster_attach(struct kvs_server_cluster *cluster, struct kvs_node *node);
// SIGHUP: certificates.
void kvs_server_cluster_reload(struct kvs_server_cluster *cluster, const struct kvs_config *config);
// Says farewell to the peers; then nothing more is sent.
void kvs_server_cluster_stop(struct kvs_server_cluster *cluster);
void kvs_server_cluster_free(struct kvs_server_cluster *cluster); // after the node; NULL is fine

#endif
