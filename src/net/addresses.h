// SPDX-License-Identifier: Apache-2.0
// How many connections each client address has open. Thread-safe: connections are accepted on one
// loop and closed on all.
#ifndef KVS_NET_ADDRESSES_H
#define KVS_NET_ADDRESSES_H

#include "http/address.h"

struct net_addresses;

KVS_MUST_CHECK int net_addresses_new(uint64_t seed, struct net_addresses **ret_addresses);
void net_addresses_free(struct net_addresses *addresses); // NULL is fine

// Counts one more connection; false, counting nothing, where there are `max` already (0 = no limit)
// or no memory is left. IPv6 clients are counted by their /64, which is what one client has.
bool net_addresses_add(struct net_addresses *addresses, const struct kvs_http_address *address,
                       unsigned max);
// Undoes one successful add.
void net_addresses_remove(struct net_addresses *addresses, const struct kvs_http_address *address);

#endif
