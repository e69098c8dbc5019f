// SPDX-License-Identifier: Apache-2.0
#include "server/owner.h"

#include "server/access.h"
#include "server/server_internal.h"

static int make(const struct kvs_config *config, struct kvs_gatekeeper *gatekeeper,
                struct kvs_owner *ret_owner, struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_node_closep) struct kvs_node *node = NULL;
    struct kvs_node_options options = kvs_server_node_options(config);
    options.observer = &gatekeeper->observer;
    int err = kvs_node_open(&options, &node, ret_message);
    if (err != 0)
        return err;
    err = kvs_owner_create(node, gatekeeper->auth, kvs_random_system(), kvs_clock_system(),
                           KVS_OWNER_TTL_S, ret_owner);
    return err == 0 ? 0 : kvs_fail(ret_message, err, "create the owner: %s", kvs_err_text(err));
}

int kvs_server_make_owner(const struct kvs_config *config, struct kvs_owner *ret_owner,
                          struct kvs_message *ret_message)
{
    struct kvs_gatekeeper gatekeeper;
    *ret_owner = (struct kvs_owner){0};
    int err = kvs_gatekeeper_init(&gatekeeper, config, NULL, ret_message);
    if (err == 0)
        err = make(config, &gatekeeper, ret_owner, ret_message);
    kvs_gatekeeper_done(&gatekeeper);
    return err;
}
