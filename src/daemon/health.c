// SPDX-License-Identifier: Apache-2.0
#include "daemon/health.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/cleanup.h"
#include "daemon/tls_line.h"

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

struct line {
    int fd;
    struct kvs_tls_line *tls; // NULL: plain
};

static void close_line(struct line *line)
{
    kvs_tls_line_free(line->tls);
    kvs_closep(&line->fd);
}

static int open_line(const char *address, const char *cert_file, int timeout_ms, struct line *line,
                     struct kvs_message *ret_message)
{
    int err = connect_to(address, timeout_ms, &line->fd);
    if (err != 0)
        return kvs_fail(ret_message, err, "cannot connect to %s: %s", address, strerror(errno));
    if (!cert_file)
        return 0;
    err = kvs_tls_line_open(line->fd, cert_file, &line->tls, ret_message);
    return err != 0 ? kvs_fail_wrap(ret_message, err, "cannot ask %s for /health", address) : 0;
}

static ssize_t line_send(struct line *line, const char *text, size_t size)
{
    return line->tls ? kvs_tls_line_send(line->tls, text, size)
                     : send(line->fd, text, size, MSG_NOSIGNAL);
}

static ssize_t line_recv(struct line *line, char *text, size_t size)
{
    ssize_t got;
    do
        got = line->tls ? kvs_tls_line_recv(line->tls, text, size) : recv(line->fd, text, size, 0);
    while (got < 0 && errno == EINTR);
    return got;
}

int kvs_health_check(const char *address, const char *host, const char *cert_file, int timeout_ms,
                     struct kvs_message *ret_message)
{
    KVS_CLEANUP(close_line) struct line line = {.fd = -1};
    int err = open_line(address, cert_file, timeout_ms, &line, ret_message);
    if (err != 0)
        return err;
    char text[1024];
    int size = snprintf(text, sizeof(text),
                        "GET /health HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host);
    if (size <= 0 || (size_t)size >= sizeof(text) || line_send(&line, text, (size_t)size) != size)
        return kvs_fail(ret_message, KVS_ERR_UNREACHABLE, "cannot ask %s for /health", address);
    size_t used = 0;
    static const char expected[] = "HTTP/1.1 200 ";
    while (used < sizeof(expected) - 1) {
        ssize_t got = line_recv(&line, text + used, sizeof(text) - 1 - used);
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
