// SPDX-License-Identifier: Apache-2.0
// `kvs check`: is this configuration right, and what does it amount to?
#include <stdio.h>

#include "cmd/nodes.h"
#include "config/config.h"
#include "server/tls.h"

static int check_path(const char *path)
{
    KVS_CLEANUP(kvs_config_freep) struct kvs_config *config = NULL;
    struct kvs_message message;
    if (kvs_config_load(path, environ, &config, &message) != 0) {
        kvs_cmd_error("%s", message.text);
        return KVS_EXIT_USAGE;
    }
    // Before a restart or a SIGHUP is the time to find a wrong file.
    const struct kvs_net_tls_options tls = kvs_server_tls_listener(config);
    if (kvs_net_check_tls(&tls, &message) != 0) {
        kvs_cmd_error("%s", message.text);
        return KVS_EXIT_USAGE;
    }
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(16 << 20);
    kvs_config_print(config, &out);
    if (out.err != 0) {
        kvs_cmd_error("%s", kvs_err_text(out.err));
        return KVS_EXIT_FAILED;
    }
    (void)fwrite(out.data, 1, out.size, stdout); // kvs_cmd_main checks stdout at the end
    return KVS_EXIT_OK;
}

static int run_check(const struct kvs_args *args)
{
    struct kvs_cmd_nodes nodes;
    int code = kvs_cmd_nodes_open(&nodes);
    if (code != KVS_EXIT_OK)
        return code;
    KVS_CLEANUP(kvs_freep) char *path = NULL;
    code = kvs_cmd_nodes_path(&nodes, args->operands[0], &path);
    if (code == KVS_EXIT_OK)
        code = check_path(path);
    kvs_cmd_nodes_done(&nodes);
    return code;
}

const struct kvs_command_body kvs_cmd_check = {
    .run = run_check,
    .details =
        "Prints every setting with where its value comes from (the file, the environment or\n"
        "the default); secrets are masked. An error names file, line and key and what is\n"
        "allowed, and ends with exit code 2; so does a TLS file that would not do.\n"
        "\n"
        "Examples:\n"
        "  kvs check node1\n"
        "  KVS_CFG_PORT=9000 kvs check /srv/a/node1.yaml\n",
};
