// SPDX-License-Identifier: Apache-2.0
// What texts in the configuration may look like. Nothing is looked up or opened here.
#ifndef KVS_CONFIG_CHECK_H
#define KVS_CONFIG_CHECK_H

#include "base/slice.h"

// Visible ASCII without spaces; fits into an HTTP header as it stands.
bool kvs_check_name(struct kvs_slice text);
// An IPv4 address, an IPv6 address without brackets, or a host name (RFC 1123 §2.1; `_` as well).
bool kvs_check_host(struct kvs_slice text);
// host:port, an IPv6 address in brackets; the port is 1 to 65535.
bool kvs_check_address(struct kvs_slice text);
// An IP address, or one with a prefix length: 10.0.0.0/8, fd00::/8.
bool kvs_check_network(struct kvs_slice text);
// scheme://host[:port] with http or https and nothing behind it (RFC 6454 §6.2), or *.
bool kvs_check_origin(struct kvs_slice text);
// Well-formed UTF-8 without NUL.
bool kvs_check_text(struct kvs_slice text);

#endif
