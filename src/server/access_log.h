// SPDX-License-Identifier: Apache-2.0
// One log line a request, as `access_log` says: the failed and the slow ones, all, or none. Bodies,
// queries and headers never appear in it. Thread-safe.
#ifndef KVS_SERVER_ACCESS_LOG_H
#define KVS_SERVER_ACCESS_LOG_H

#include "base/log.h"
#include "config/config.h"
#include "http/http.h"

enum { KVS_ACCESS_SLOW_MS = 1000 };

void kvs_access_log(struct kvs_log *log, enum kvs_access_log which,
                    const struct kvs_http_access *access);

#endif
