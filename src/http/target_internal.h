// SPDX-License-Identifier: Apache-2.0
// Request targets (RFC 9112 §3.2) and host names.
#ifndef KVS_HTTP_TARGET_INTERNAL_H
#define KVS_HTTP_TARGET_INTERNAL_H

#include "base/slice.h"
#include "http/refusal_internal.h"

struct http_target {
    struct kvs_slice path; // "/…", or "*"
    struct kvs_slice query;
    bool has_query;
    struct kvs_slice authority; // of an absolute-form target; data == NULL otherwise
};

// `is_options`: the one method that may have the target "*".
enum http_refusal http_target_parse(struct kvs_slice raw, bool is_options,
                                    struct http_target *ret_target);

// HOST or HOST:PORT, where HOST is a name, an IPv4 address or an IPv6 address in brackets; not
// empty. *ret_host is HOST.
bool http_host_parse(struct kvs_slice text, struct kvs_slice *ret_host);

#endif
