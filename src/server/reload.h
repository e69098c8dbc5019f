// SPDX-License-Identifier: Apache-2.0
// SIGHUP: reads the configuration again. What can change at run time is handed back to be applied,
// everything that changed is logged, and what needs a restart is named. A file with an error
// changes nothing.
#ifndef KVS_SERVER_RELOAD_H
#define KVS_SERVER_RELOAD_H

#include "config/config.h"

// `started` is the configuration that the node started with, `current` the one of the last reload
// (or `started`). On success *ret_config is the new one, owned by the caller: only its reloadable
// settings may be used. On errors they have been logged.
KVS_MUST_CHECK int kvs_reload_config(struct kvs_log *log, const struct kvs_config *started,
                                     const struct kvs_config *current,
                                     struct kvs_config **ret_config);

#endif
