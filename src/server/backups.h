// SPDX-License-Identifier: Apache-2.0
// The node's backups by its configuration.
#ifndef KVS_SERVER_BACKUPS_H
#define KVS_SERVER_BACKUPS_H

#include "config/config.h"
#include "node/backup_service.h"

KVS_MUST_CHECK int kvs_server_backups_start(const struct kvs_config *config, struct kvs_node *node,
                                            struct kvs_log *log, struct kvs_metrics *metrics,
                                            struct kvs_backup_service **ret_service,
                                            struct kvs_message *ret_message);

// Takes over what a reload may change; an error has been logged and changed nothing.
void kvs_server_backups_reload(struct kvs_backup_service *service, const struct kvs_config *config,
                               struct kvs_log *log);

#endif
