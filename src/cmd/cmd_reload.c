// SPDX-License-Identifier: Apache-2.0
// `kvs reload`: running nodes read their configs again. A config that would not do is refused here,
// where the person who has written it sees why, and not only in the node's log.
#include <signal.h>
#include <stdio.h>

#include "cmd/nodes.h"
#include "config/config.h"
#include "daemon/process.h"
#include "server/tls.h"

static int check(const char *path)
{
    KVS_CLEANUP(kvs_config_freep) struct kvs_config *config = NULL;
    struct kvs_message message;
    int err = kvs_config_load(path, environ, &config, &message);
    if (err == 0) {
        const struct kvs_net_tls_options tls = kvs_server_tls_listener(config);
        err = kvs_net_check_tls(&tls, &message);
    }
    if (err == 0)
        return KVS_EXIT_OK;
    kvs_cmd_error("%s", message.text);
    return KVS_EXIT_USAGE;
}

static int reload(struct kvs_cmd_nodes *nodes, const char *word)
{
    KVS_CLEANUP(kvs_freep) char *path = NULL;
    KVS_CLEANUP(kvs_closep) int pidfd = -1;
    struct kvs_message message;
    int code = kvs_cmd_nodes_path(nodes, word, &path);
    if (code == KVS_EXIT_OK)
        code = check(path);
    if (code != KVS_EXIT_OK)
        return code;
    const struct kvs_instance *instance = kvs_cmd_nodes_find(nodes, path);
    int err = instance ? kvs_process_signal(nodes->home, instance, SIGHUP, &pidfd, &message)
                       : KVS_ERR_NOT_FOUND;
    if (err == KVS_ERR_NOT_FOUND) {
        kvs_cmd_error("%s: not running ('kvs status' lists the nodes that do)", word);
        return KVS_EXIT_FAILED;
    }
    if (err != 0) {
        kvs_cmd_error("%s: %s", word, message.text);
        return KVS_EXIT_FAILED;
    }
    printf("%s: reads %s again; what that changes is in its log, %s\n", instance->name, path,
           instance->log_path);
    return KVS_EXIT_OK;
}

static int run_reload(const struct kvs_args *args)
{
    struct kvs_cmd_nodes nodes;
    int worst = kvs_cmd_nodes_open(&nodes);
    if (worst != KVS_EXIT_OK)
        return worst;
    for (int i = 0; i < args->operand_count; i++) {
        int code = reload(&nodes, args->operands[i]);
        worst = worst == KVS_EXIT_OK ? code : worst;
    }
    kvs_cmd_nodes_done(&nodes);
    return worst;
}

const struct kvs_command_body kvs_cmd_reload = {
    .run = run_reload,
    .details =
        "Checks each config and sends its node SIGHUP: log level, rate limits, TLS files and the\n"
        "other keys that docs/configuration.md marks take effect at once, without a request lost;\n"
        "the log says what changed and what waits for a restart, and is opened anew, for log\n"
        "rotation. Exit code 2 when a config is wrong, which then changes nothing; 1 when a node\n"
        "does not run.\n"
        "\n"
        "Examples:\n"
        "  kvs reload node1\n"
        "  kvs reload node1 node2 /srv/a/node3.yaml\n",
};
