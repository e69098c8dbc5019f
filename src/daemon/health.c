// SPDX-License-Identifier: Apache-2.0
#include "daemon/health.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/cleanup.h"

// Splits at the last colon and takes the brackets off an IPv6 address.
static bool split_address(const char *address, char *host, size_t host_size, const char **ret_port)
{
    const char *colon = strrchr(address, ':');
    if (!colon || colon == address)
        return false;
    size_t size = (size_t)(colon - address);
    if (address[0] == '[' && address[size - 1] == ']') {
        address++;
        size -= 2;
    }
    if (size == 0 || size >= host_size)
        return false;
    memcpy(host, address, size);
    host[size] = 0;
    *ret_port = colon + 1;
    return true;
}

static int connect_to(const char *address, int timeout_ms, int *ret_fd)
{
    char host[256];
    const char *port;
    if (!split_address(address, host, sizeof(host), &port))
        return KVS_ERR_INVALID;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found;
    if (getaddrinfo(host, port, &hints, &found) != 0)
        return KVS_ERR_INVALID;
    KVS_CLEANUP(kvs_closep)
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    // The send timeout bounds connect, too (socket(7)).
    const struct timeval timeout = {.tv_sec = timeout_ms / 1000,
                                    .tv_usec = (timeout_ms % 1000) * 1000L};
    bool connected = fd >= 0 &&
                     setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) == 0 &&
                     setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) == 0 &&
                     connect(fd, found->ai_addr, found->ai_addrlen) == 0;
    freeaddrinfo(found);
    if (!connected)
        return KVS_ERR_UNREACHABLE;
    *ret_fd = fd;
    fd = -1;
    return 0;
}

int kvs_health_check(const char *address, const char *host, int timeout_ms,
                     struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_closep) int fd = -1;
    int err = connect_to(address, timeout_ms, &fd);
    if (err != 0)
        return kvs_fail(ret_message, err, "cannot connect to %s: %s", address, strerror(errno));
    char text[1024];
    int size = snprintf(text, sizeof(text),
                        "GET /health HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host);
    if (size <= 0 || (size_t)size >= sizeof(text) ||
        send(fd, text, (size_t)size, MSG_NOSIGNAL) != size)
        return kvs_fail(ret_message, KVS_ERR_UNREACHABLE, "cannot ask %s for /health", address);
    size_t used = 0;
    static const char expected[] = "HTTP/1.1 200 ";
    while (used < sizeof(expected) - 1) {
        ssize_t got = recv(fd, text + used, sizeof(text) - 1 - used, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return kvs_fail(ret_message, got < 0 ? KVS_ERR_TIMEOUT : KVS_ERR_UNREACHABLE,
                            "%s does not answer /health", address);
        used += (size_t)got;
    }
    if (memcmp(text, expected, sizeof(expected) - 1) != 0) {
        text[used] = 0;
        return kvs_fail(ret_message, KVS_ERR_UNREACHABLE, "%s answers /health with '%.*s'", address,
                        (int)strcspn(text, "\r\n"), text);
    }
    return 0;
}
