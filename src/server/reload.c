// SPDX-License-Identifier: Apache-2.0
#include "server/reload.h"

#include <unistd.h>

struct changes {
    struct kvs_log *log;
    bool reloadable; // which ones to log
    unsigned count;
};

static void log_change(void *context, const struct kvs_option *option, const char *old_text,
                       const char *new_text)
{
    struct changes *changes = context;
    if (option->reloadable != changes->reloadable)
        return;
    changes->count++;
    kvs_log(changes->log, option->reloadable ? KVS_LOG_INFO : KVS_LOG_WARN,
            option->reloadable ? "setting changed"
                               : "setting changed: takes effect after a restart",
            KVS_F_STR("key", option->name), KVS_F_STR("from", old_text), KVS_F_STR("to", new_text));
}

static int load(const struct kvs_config *started, struct kvs_config **ret_config,
                struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_config_freep) struct kvs_config *config = NULL;
    int err = kvs_config_load(started->path, environ, &config, ret_message);
    if (err == 0)
        err = kvs_config_cluster_secret_ensure(config, getenv("HOME"), kvs_random_system(),
                                               ret_message);
    if (err == 0)
        *ret_config = KVS_TAKE(config);
    return err;
}

int kvs_reload_config(struct kvs_log *log, const struct kvs_config *started,
                      const struct kvs_config *current, struct kvs_config **ret_config)
{
    struct kvs_message message;
    KVS_CLEANUP(kvs_config_freep) struct kvs_config *config = NULL;
    struct changes now = {.log = log, .reloadable = true};
    struct changes later = {.log = log, .reloadable = false};
    int err = load(started, &config, &message);
    if (err != 0) {
        kvs_log(log, KVS_LOG_ERROR, "configuration not reloaded: nothing changes",
                KVS_F_STR("error", message.text));
        return err;
    }
    err = kvs_config_reload_diff(current, config, log_change, &now);
    if (err == 0)
        err = kvs_config_reload_diff(started, config, log_change, &later);
    if (err != 0) {
        kvs_log(log, KVS_LOG_ERROR, "configuration not reloaded: nothing changes",
                KVS_F_STR("error", kvs_err_text(err)));
        return err;
    }
    kvs_log(log, KVS_LOG_INFO, "configuration reloaded", KVS_F_UINT("changed", now.count),
            KVS_F_UINT("need_restart", later.count));
    *ret_config = KVS_TAKE(config);
    return 0;
}
