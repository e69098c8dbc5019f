// SPDX-License-Identifier: Apache-2.0
// The cluster_tls_ settings as the listener and the connections to peers want them. Texts are
// borrowed from the configuration.
#ifndef KVS_SERVER_TLS_H
#define KVS_SERVER_TLS_H

#include "base/tls_client.h"
#include "config/config.h"
#include "net/net.h"

struct kvs_net_tls_options kvs_server_tls_listener(const struct kvs_config *config);
// The node's own certificate is what it shows to peers that ask for one.
struct kvs_tls_client kvs_server_tls_client(const struct kvs_config *config);

// SIGHUP: the listener takes the files anew, under their old names or new ones. Logs what came of
// it. Nothing happens on a node that was started without TLS.
void kvs_server_tls_reload(struct kvs_net *net, const struct kvs_config *started,
                           const struct kvs_config *config, struct kvs_log *log);

// Says at start what is set up so that it protects less than one might think.
void kvs_server_tls_warn(const struct kvs_config *config, struct kvs_log *log);

#endif
