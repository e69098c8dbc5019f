// SPDX-License-Identifier: Apache-2.0
// IP addresses and networks as text and bytes, and which client a chain of proxies speaks for.
#ifndef KVS_HTTP_ADDRESS_H
#define KVS_HTTP_ADDRESS_H

#include "base/err.h"
#include "base/slice.h"

enum { KVS_HTTP_ADDRESS_TEXT_MAX = 46 };

// IPv4 in its IPv6-mapped form (RFC 4291 §2.5.5.2), so that both compare alike.
struct kvs_http_address {
    uint8_t bytes[16];
};

struct kvs_http_network {
    struct kvs_http_address address;
    unsigned prefix; // bits, 0 to 128
};

// "192.0.2.1", "2001:db8::1"; false on anything else.
bool kvs_http_address_parse(struct kvs_slice text, struct kvs_http_address *ret_address);
// From the bytes of an in_addr or in6_addr.
struct kvs_http_address kvs_http_address_v4(const void *bytes4);
struct kvs_http_address kvs_http_address_v6(const void *bytes16);
// NUL-terminated; returns its length. A mapped address is written as IPv4.
size_t kvs_http_address_format(const struct kvs_http_address *address,
                               char ret_text[static KVS_HTTP_ADDRESS_TEXT_MAX]);

// An address, or "192.0.2.0/24", "2001:db8::/32"; false on anything else.
bool kvs_http_network_parse(struct kvs_slice text, struct kvs_http_network *ret_network);
bool kvs_http_network_contains(const struct kvs_http_network *network,
                               const struct kvs_http_address *address);

#endif
