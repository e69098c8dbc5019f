// SPDX-License-Identifier: Apache-2.0
// IP addresses and networks. No sockets and no name service: text and bytes alone.
#include "http/address.h"

#include "base/assert.h"

#include <arpa/inet.h>

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_mapped(const struct kvs_http_address *address)
{
    return memcmp(address->bytes, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

struct kvs_http_address kvs_http_address_v4(const void *bytes4)
{
    struct kvs_http_address address;
    memcpy(address.bytes, mapped_prefix, sizeof(mapped_prefix));
    memcpy(address.bytes + sizeof(mapped_prefix), bytes4, 4);
    return address;
}

struct kvs_http_address kvs_http_address_v6(const void *bytes16)
{
    struct kvs_http_address address;
    memcpy(address.bytes, bytes16, sizeof(address.bytes));
    return address;
}

bool kvs_http_address_parse(struct kvs_slice text, struct kvs_http_address *ret_address)
{
    char copy[KVS_HTTP_ADDRESS_TEXT_MAX];
    if (text.size == 0 || text.size >= sizeof(copy) || memchr(text.data, '\0', text.size))
        return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    uint8_t bytes[16];
    if (inet_pton(AF_INET, copy, bytes) == 1)
        *ret_address = kvs_http_address_v4(bytes);
    else if (inet_pton(AF_INET6, copy, bytes) == 1)
        *ret_address = kvs_http_address_v6(bytes);
    else
        return false;
    return true;
}

size_t kvs_http_address_format(const struct kvs_http_address *address,
                               char ret_text[static KVS_HTTP_ADDRESS_TEXT_MAX])
{
    bool v4 = is_mapped(address);
    const char *text =
        inet_ntop(v4 ? AF_INET : AF_INET6, address->bytes + (v4 ? sizeof(mapped_prefix) : 0),
                  ret_text, KVS_HTTP_ADDRESS_TEXT_MAX);
    kvs_assert(text != NULL); // the buffer holds the longest form
    return strlen(text);
}

bool kvs_http_network_parse(struct kvs_slice text, struct kvs_http_network *ret_network)
{
    const char *slash = text.size > 0 ? memchr(text.data, '/', text.size) : NULL;
    struct kvs_slice host = slash ? kvs_slice(text.data, (size_t)(slash - text.data)) : text;
    struct kvs_http_network network;
    if (!kvs_http_address_parse(host, &network.address))
        return false;
    bool v4 = memchr(host.data, ':', host.size) == NULL;
    uint64_t prefix = v4 ? 32 : 128;
    if (slash) {
        uint64_t given = 0;
        if (!kvs_slice_to_u64(kvs_slice(slash + 1, text.size - host.size - 1), &given) ||
            given > prefix)
            return false;
        prefix = given;
    }
    network.prefix = (unsigned)prefix + (v4 ? 8 * sizeof(mapped_prefix) : 0);
    *ret_network = network;
    return true;
}

bool kvs_http_network_contains(const struct kvs_http_network *network,
                               const struct kvs_http_address *address)
{
    size_t whole = network->prefix / 8;
    unsigned rest = network->prefix % 8;
    if (memcmp(network->address.bytes, address->bytes, whole) != 0)
        return false;
    if (rest == 0)
        return true;
    uint8_t mask = (uint8_t)(0xff << (8 - rest));
    return ((network->address.bytes[whole] ^ address->bytes[whole]) & mask) == 0;
}
