// SPDX-License-Identifier: Apache-2.0
// Settings with defaults applied and lists parsed; immutable once made.
#ifndef KVS_HTTP_SETTINGS_INTERNAL_H
#define KVS_HTTP_SETTINGS_INTERNAL_H

#include "http/http.h"

#include <stdatomic.h>

struct kvs_http_settings {
    atomic_uint refs;
    int64_t request_timeout_ns;
    int64_t idle_timeout_ns;
    int64_t write_timeout_ns;
    size_t body_max;
    char **allowed_hosts;
    size_t allowed_host_count;
    struct kvs_http_network *trusted_proxies;
    size_t trusted_proxy_count;
};

// `host` without port; true for every host when none are listed.
bool http_settings_allow_host(const struct kvs_http_settings *settings, struct kvs_slice host);
bool http_settings_trust(const struct kvs_http_settings *settings,
                         const struct kvs_http_address *address);

#endif
