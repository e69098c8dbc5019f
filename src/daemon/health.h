// SPDX-License-Identifier: Apache-2.0
// One `GET /health` over a socket: does a node answer there?
#ifndef KVS_DAEMON_HEALTH_H
#define KVS_DAEMON_HEALTH_H

#include <stdint.h>

#include "base/err.h"

// `address` is "127.0.0.1:8080" or "[::1]:8080", `host` what the Host header says. `cert_file` is
// the node's own certificate where it speaks TLS, NULL where it does not: exactly that certificate
// must be shown there, whatever its names, dates and CA are. 0 when it answered 200 within the
// time; KVS_ERR_UNREACHABLE, KVS_ERR_TIMEOUT.
KVS_MUST_CHECK int kvs_health_check(const char *address, const char *host, const char *cert_file,
                                    int timeout_ms, struct kvs_message *ret_message);

#endif
