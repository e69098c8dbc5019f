// SPDX-License-Identifier: Apache-2.0
#include "server/backups.h"

static struct kvs_backup_settings settings_of(const struct kvs_config *config)
{
    return (struct kvs_backup_settings){
        .enabled = config->backup_enabled,
        .schedule = config->backup_schedule,
        .folder = config->backup_path,
        .retention_days = config->backup_retention,
    };
}

int kvs_server_backups_start(const struct kvs_config *config, struct kvs_node *node,
                             struct kvs_log *log, struct kvs_metrics *metrics,
                             struct kvs_backup_service **ret_service,
                             struct kvs_message *ret_message)
{
    const struct kvs_backup_service_options options = {
        .node = node,
        .node_id = config->node_id,
        .compression_level = (int)config->compression_level,
        .settings = settings_of(config),
        .clock = kvs_clock_system(),
        .random = kvs_random_system(),
        .log = log,
        .metrics = metrics,
    };
    return kvs_backup_service_start(&options, ret_service, ret_message);
}

void kvs_server_backups_reload(struct kvs_backup_service *service, const struct kvs_config *config,
                               struct kvs_log *log)
{
    const struct kvs_backup_settings settings = settings_of(config);
    struct kvs_message message;
    if (kvs_backup_service_configure(service, &settings, &message) != 0)
        kvs_log(log, KVS_LOG_ERROR, "backups keep their old settings",
                KVS_F_STR("error", message.text));
}
