// SPDX-License-Identifier: Apache-2.0
#include "server/tls.h"

struct kvs_net_tls_options kvs_server_tls_listener(const struct kvs_config *config)
{
    return (struct kvs_net_tls_options){
        .enabled = config->cluster_tls_enabled,
        .cert_file = config->cluster_tls_cert_file,
        .key_file = config->cluster_tls_key_file,
        .ca_file = config->cluster_tls_ca_file,
        .ask_client_cert = config->cluster_tls_require_client_cert,
    };
}

struct kvs_tls_client kvs_server_tls_client(const struct kvs_config *config)
{
    return (struct kvs_tls_client){
        .ca_file = config->cluster_tls_ca_file,
        .cert_file = config->cluster_tls_cert_file,
        .key_file = config->cluster_tls_key_file,
        .skip_verify = config->cluster_tls_skip_verify,
    };
}

void kvs_server_tls_reload(struct kvs_net *net, const struct kvs_config *started,
                           const struct kvs_config *config, struct kvs_log *log)
{
    struct kvs_message message = {{0}};
    const struct kvs_net_tls_options options = kvs_server_tls_listener(config);
    if (started->cluster_tls_enabled && kvs_net_reload_tls(net, &options, &message) != 0)
        kvs_log(log, KVS_LOG_ERROR, "TLS files not reloaded: the old ones stay in use",
                KVS_F_STR("error", message.text));
}

void kvs_server_tls_warn(const struct kvs_config *config, struct kvs_log *log)
{
    if (config->cluster_tls_enabled && config->cluster_tls_skip_verify)
        kvs_log(log, KVS_LOG_WARN,
                "cluster_tls_skip_verify: the certificates of peers are not verified, so anybody "
                "between them may read and change what they exchange: for tests only");
}
