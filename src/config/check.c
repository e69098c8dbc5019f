// SPDX-License-Identifier: Apache-2.0
#include "config/check.h"

#include "base/escape.h"

#include <arpa/inet.h>

enum { HOST_NAME_MAX_SIZE = 253, LABEL_MAX_SIZE = 63 };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_ip(struct kvs_slice text, int family)
{
    char copy[INET6_ADDRSTRLEN + 1];
    unsigned char address[sizeof(struct in6_addr)];
    if (text.size == 0 || text.size >= sizeof(copy))
        return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    return strlen(copy) == text.size && inet_pton(family, copy, address) == 1;
}

// The last label holds a letter, so that 10.0.0.300 is a wrong address and not a name.
static bool is_host_name(struct kvs_slice text)
{
    size_t label = 0;
    bool letter = false;
    if (text.size == 0 || text.size > HOST_NAME_MAX_SIZE)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c == '.') {
            if (label == 0 || text.data[i - 1] == '-')
                return false;
            label = 0;
            letter = false;
            continue;
        }
        bool inner = c == '-' && label > 0;
        if (!is_letter(c) && !is_digit(c) && c != '_' && !inner)
            return false;
        letter = letter || !is_digit(c);
        if (++label > LABEL_MAX_SIZE)
            return false;
    }
    return label > 0 && letter && text.data[text.size - 1] != '-';
}

static bool is_port(struct kvs_slice text)
{
    uint64_t port = 0;
    return text.size <= 5 && kvs_slice_to_u64(text, &port) && port >= 1 && port <= 65535;
}

// Cuts "[v6]" or everything up to the last colon off the front; false when there is no host.
static bool split_host(struct kvs_slice text, struct kvs_slice *ret_rest)
{
    if (text.size > 0 && text.data[0] == '[') {
        const char *end = memchr(text.data, ']', text.size);
        if (!end)
            return false;
        size_t size = (size_t)(end - text.data) + 1;
        *ret_rest = kvs_slice(text.data + size, text.size - size);
        return is_ip(kvs_slice(text.data + 1, size - 2), AF_INET6);
    }
    const char *colon = text.size > 0 ? memchr(text.data, ':', text.size) : NULL;
    size_t size = colon ? (size_t)(colon - text.data) : text.size;
    struct kvs_slice host = kvs_slice(text.data, size);
    *ret_rest = kvs_slice(text.data + size, text.size - size);
    return is_ip(host, AF_INET) || is_host_name(host);
}

bool kvs_check_name(struct kvs_slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] <= ' ' || text.data[i] > '~')
            return false;
    }
    return text.size > 0;
}

bool kvs_check_host(struct kvs_slice text)
{
    return is_ip(text, AF_INET) || is_ip(text, AF_INET6) || is_host_name(text);
}

bool kvs_check_address(struct kvs_slice text)
{
    struct kvs_slice rest = KVS_SLICE_EMPTY;
    return split_host(text, &rest) && rest.size > 1 && rest.data[0] == ':' &&
           is_port(kvs_slice(rest.data + 1, rest.size - 1));
}

bool kvs_check_network(struct kvs_slice text)
{
    const char *slash = text.size > 0 ? memchr(text.data, '/', text.size) : NULL;
    if (!slash)
        return is_ip(text, AF_INET) || is_ip(text, AF_INET6);
    struct kvs_slice address = kvs_slice(text.data, (size_t)(slash - text.data));
    struct kvs_slice prefix = kvs_slice(slash + 1, text.size - address.size - 1);
    uint64_t bits = 0;
    if (prefix.size > 3 || !kvs_slice_to_u64(prefix, &bits))
        return false;
    return (is_ip(address, AF_INET) && bits <= 32) || (is_ip(address, AF_INET6) && bits <= 128);
}

bool kvs_check_origin(struct kvs_slice text)
{
    if (kvs_slice_eq(text, KVS_SLICE("*")))
        return true;
    size_t scheme = kvs_slice_starts_with(text, KVS_SLICE("http://"))    ? 7
                    : kvs_slice_starts_with(text, KVS_SLICE("https://")) ? 8
                                                                         : 0;
    struct kvs_slice rest = KVS_SLICE_EMPTY;
    if (scheme == 0 || !split_host(kvs_slice(text.data + scheme, text.size - scheme), &rest))
        return false;
    return rest.size == 0 ||
           (rest.data[0] == ':' && is_port(kvs_slice(rest.data + 1, rest.size - 1)));
}

bool kvs_check_text(struct kvs_slice text)
{
    while (text.size > 0) {
        size_t step = kvs_escape_utf8_size(text);
        if (step == 0 || text.data[0] == '\0')
            return false;
        text = kvs_slice(text.data + step, text.size - step);
    }
    return true;
}
