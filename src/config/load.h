// SPDX-License-Identifier: Apache-2.0
// The checks that look at several keys, for loading and reloading.
#ifndef KVS_CONFIG_LOAD_H
#define KVS_CONFIG_LOAD_H

#include "config/config.h"

// KVS_ERR_INVALID when keys contradict each other; `name` is what the message calls the file.
KVS_MUST_CHECK int kvs_config_check_together(struct kvs_config *config, const char *name,
                                             struct kvs_message *ret_message);

#endif
