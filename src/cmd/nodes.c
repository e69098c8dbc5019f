// SPDX-License-Identifier: Apache-2.0
#include "cmd/nodes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "config/config.h"
#include "daemon/resolve.h"

int kvs_cmd_nodes_open(struct kvs_cmd_nodes *ret_nodes)
{
    *ret_nodes = (struct kvs_cmd_nodes){0};
    (void)umask(077);
    struct kvs_message message;
    ret_nodes->folder = getcwd(NULL, 0);
    if (!ret_nodes->folder) {
        kvs_cmd_error("the current folder: %s", strerror(errno));
        return KVS_EXIT_FAILED;
    }
    if (kvs_home_open(getenv("HOME"), &ret_nodes->home, &message) != 0 ||
        kvs_instance_list(ret_nodes->home, &ret_nodes->known, &message) != 0) {
        kvs_cmd_error("%s", message.text);
        kvs_cmd_nodes_done(ret_nodes);
        return KVS_EXIT_FAILED;
    }
    return KVS_EXIT_OK;
}

void kvs_cmd_nodes_done(struct kvs_cmd_nodes *nodes)
{
    kvs_instance_list_done(&nodes->known);
    kvs_home_free(nodes->home);
    free(nodes->folder);
    *nodes = (struct kvs_cmd_nodes){0};
}

int kvs_cmd_nodes_refresh(struct kvs_cmd_nodes *nodes)
{
    struct kvs_message message;
    kvs_instance_list_done(&nodes->known);
    if (kvs_instance_list(nodes->home, &nodes->known, &message) == 0)
        return KVS_EXIT_OK;
    kvs_cmd_error("%s", message.text);
    return KVS_EXIT_FAILED;
}

int kvs_cmd_nodes_path(const struct kvs_cmd_nodes *nodes, const char *word, char **ret_path)
{
    struct kvs_message note, message;
    if (kvs_config_path_resolve(word, nodes->folder, &nodes->known, ret_path, &note, &message) !=
        0) {
        kvs_cmd_error("%s", message.text);
        return KVS_EXIT_USAGE;
    }
    if (note.text[0])
        kvs_cmd_error("%s", note.text);
    return KVS_EXIT_OK;
}

int kvs_cmd_config_create(const char *path)
{
    if (access(path, F_OK) == 0)
        return KVS_EXIT_OK;
    char secret[KVS_CLUSTER_SECRET_TEXT_SIZE];
    struct kvs_message message;
    kvs_config_cluster_secret_new(kvs_random_system(), secret);
    int err = kvs_config_write_default(path, secret, &message);
    explicit_bzero(secret, sizeof(secret));
    if (err == 0) {
        fprintf(stderr, "kvs: created %s with defaults\n", path);
        return KVS_EXIT_OK;
    }
    if (err == KVS_ERR_CONFLICT) // somebody else created it at this moment
        return KVS_EXIT_OK;
    kvs_cmd_error("%s", message.text);
    return KVS_EXIT_FAILED;
}

const struct kvs_instance *kvs_cmd_nodes_find(const struct kvs_cmd_nodes *nodes, const char *path)
{
    for (size_t i = 0; i < nodes->known.count; i++) {
        if (strcmp(nodes->known.items[i]->config_path, path) == 0)
            return nodes->known.items[i];
    }
    return NULL;
}
