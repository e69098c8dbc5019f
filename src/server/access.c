// SPDX-License-Identifier: Apache-2.0
#include "server/access.h"

#include "base/timefmt.h"
#include "node/owner.h"

#include <stdio.h>

enum { NS_PER_MS = 1000 * 1000, MS_PER_S = 1000 };

struct kvs_auth_settings kvs_access_settings(const struct kvs_config *config)
{
    int64_t window_ms = config->rate_limit_window_ns / NS_PER_MS;
    return (struct kvs_auth_settings){
        .anonymous_read = config->allow_anonymous_read,
        .anonymous_write = config->allow_anonymous_write,
        .rate_limiting = config->rate_limiting_enabled,
        .rate_limit_requests = (uint32_t)config->rate_limit_requests,
        .rate_limit_window_ms = window_ms > 0 ? window_ms : 1,
        .login_failure_limit = (uint32_t)config->login_failure_limit,
    };
}

// ---- The observer

static void on_record(void *ctx, struct kvs_slice key, const struct kvs_version *version,
                      struct kvs_slice json)
{
    (void)version; // the node shows what is current
    struct kvs_gatekeeper *gatekeeper = ctx;
    int err = kvs_accounts_apply(gatekeeper->accounts, key, json);
    if (err)
        kvs_log(gatekeeper->log, KVS_LOG_ERROR, "account record not taken in",
                KVS_F_SLICE("key", key), KVS_F_STR("error", kvs_err_text(err)));
}

static void on_restart(void *ctx)
{
    struct kvs_gatekeeper *gatekeeper = ctx;
    kvs_accounts_restart(gatekeeper->accounts);
}

static void on_restarted(void *ctx)
{
    struct kvs_gatekeeper *gatekeeper = ctx;
    kvs_accounts_restarted(gatekeeper->accounts);
}

int kvs_gatekeeper_init(struct kvs_gatekeeper *gatekeeper, const struct kvs_config *config,
                        struct kvs_log *log, struct kvs_message *ret_message)
{
    *gatekeeper = (struct kvs_gatekeeper){
        .log = log,
        .observer = {gatekeeper, on_restart, on_restarted, on_record},
    };
    int err = kvs_accounts_new(kvs_random_system(), &gatekeeper->accounts);
    if (err == 0) {
        const struct kvs_auth_options options = {
            .accounts = gatekeeper->accounts,
            .cluster_secret = kvs_slice_from_str(config->cluster_secret),
            .cluster_secret_previous = kvs_slice_from_str(config->cluster_secret_previous),
            .random = kvs_random_system(),
            .clock = kvs_clock_system(),
            .settings = kvs_access_settings(config),
        };
        err = kvs_auth_new(&options, &gatekeeper->auth);
    }
    return err == 0 ? 0 : kvs_fail(ret_message, err, "accounts: %s", kvs_err_text(err));
}

void kvs_gatekeeper_done(struct kvs_gatekeeper *gatekeeper)
{
    kvs_auth_free(gatekeeper->auth);
    kvs_accounts_free(gatekeeper->accounts);
}

// ---- The first start

static void print_owner(const struct kvs_owner *owner)
{
    char user[KVS_UUID_TEXT_SIZE];
    char group[KVS_UUID_TEXT_SIZE];
    char expires[KVS_RFC3339_SIZE];
    kvs_uuid_format(&owner->user, user);
    kvs_uuid_format(&owner->group, group);
    kvs_time_rfc3339(owner->token.claims.expires_at * MS_PER_S, expires);
    printf("User UUID: %.*s\nGroup UUID: %.*s\nToken: %.*s\nExpires: %.*s\n", KVS_UUID_TEXT_SIZE,
           user, KVS_UUID_TEXT_SIZE, group, KVS_SLICE_FMT(kvs_buf_slice(&owner->token.text)),
           KVS_RFC3339_SIZE, expires);
    (void)fflush(stdout); // a closed stdout is not the node's business: kvs token create helps
}

int kvs_access_first_start(const struct kvs_config *config, struct kvs_node *node,
                           struct kvs_auth *auth, struct kvs_message *ret_message)
{
    struct kvs_owner owner;
    bool joins = config->clustering_enabled && config->seed_nodes.count > 0;
    if (joins || kvs_accounts_has_users(kvs_auth_accounts(auth)))
        return 0;
    int err = kvs_owner_create(node, auth, kvs_random_system(), kvs_clock_system(), KVS_OWNER_TTL_S,
                               &owner);
    if (err == 0)
        print_owner(&owner);
    kvs_owner_done(&owner);
    return err == 0 ? 0 : kvs_fail(ret_message, err, "create the owner: %s", kvs_err_text(err));
}
