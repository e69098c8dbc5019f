// SPDX-License-Identifier: Apache-2.0
// The listening socket: accepts in one place, on the first loop, and hands each connection to the
// loop that has fewest. Must never let a full table of descriptors turn into a busy loop.
#include "net/net_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

enum {
    BACKLOG = 4096,                // the kernel lowers it to net.core.somaxconn
    ACCEPTS_A_TURN = 64,           // then others on the loop have theirs
    REFUSED_POLITELY = 128,        // beyond max_connections this many are told so
    UNACKNOWLEDGED_MS = 60 * 1000, // beyond http's write timeout, which is told
};

static int fail_address(int errnum, const char *address, uint16_t port, struct kvs_message *message)
{
    const char *open = strchr(address, ':') ? "[" : "";
    const char *close = strchr(address, ':') ? "]" : "";
    int err = KVS_ERR_INVALID;
    const char *what = "cannot listen";
    const char *remedy = strerror(errnum);
    switch (errnum) {
    case EADDRINUSE:
        err = KVS_ERR_BUSY;
        what = "address already in use";
        remedy = "another program listens there, choose another port";
        break;
    case EACCES:
        err = KVS_ERR_FORBIDDEN;
        what = "permission denied";
        remedy = "choose a port of 1024 or above, or grant CAP_NET_BIND_SERVICE";
        break;
    case EADDRNOTAVAIL:
        what = "not an address of this machine";
        remedy = "choose one of its own, 127.0.0.1 for local use or 0.0.0.0 for all";
        break;
    case EMFILE:
    case ENFILE:
        err = KVS_ERR_BUSY;
        what = "too many open files";
        remedy = "raise the limit (ulimit -n)";
        break;
    default:
        break;
    }
    return kvs_fail(message, err, "%s%s%s:%u: %s: %s", open, address, close, port, what, remedy);
}

static int bind_and_listen(const struct addrinfo *info)
{
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int on = 1;
    int off = 0;
    // Best effort: without it a restart may have to wait for old connections to leave the kernel.
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (info->ai_family == AF_INET6) // best effort: "::" should serve IPv4 clients too
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int errnum = errno;
    (void)close(fd); // nothing happened on it
    return -errnum;
}

static struct kvs_http_address address_from(const struct sockaddr_storage *sockaddr,
                                            uint16_t *ret_port)
{
    if (sockaddr->ss_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sockaddr, sizeof(in));
        *ret_port = ntohs(in.sin_port);
        return kvs_http_address_v4(&in.sin_addr);
    }
    struct sockaddr_in6 in6;
    memcpy(&in6, sockaddr, sizeof(in6));
    *ret_port = ntohs(in6.sin6_port);
    return kvs_http_address_v6(&in6.sin6_addr);
}

int net_listener_open(struct net_listener *listener, const char *address, uint16_t port,
                      struct kvs_message *ret_message)
{
    char service[8];
    (void)snprintf(service, sizeof(service), "%u", port); // at most five digits
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *info = NULL;
    int failed = getaddrinfo(address, service, &hints, &info);
    if (failed)
        return kvs_fail(ret_message, KVS_ERR_INVALID,
                        "bind_address '%s': %s: give an IP address of this machine", address,
                        gai_strerror(failed));
    int fd = bind_and_listen(info);
    freeaddrinfo(info);
    if (fd < 0)
        return fail_address(-fd, address, port, ret_message);
    struct sockaddr_storage bound = {0};
    socklen_t size = sizeof(bound);
    if (getsockname(fd, (struct sockaddr *)&bound, &size) == 0)
        (void)address_from(&bound, &listener->port); // only the port is wanted
    listener->fd = fd;
    listener->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return 0;
}

void net_listener_close(struct net_listener *listener)
{
    if (listener->polling) {
        uv_close((uv_handle_t *)&listener->poll, NULL);
        listener->polling = false;
    }
    kvs_closep(&listener->fd);
    kvs_closep(&listener->spare_fd);
}

static struct net_loop *least_busy(struct kvs_net *net)
{
    struct net_loop *best = &net->loops[0];
    for (unsigned i = 1; i < net->loop_count; i++)
        if (atomic_load(&net->loops[i].conn_count) < atomic_load(&best->conn_count))
            best = &net->loops[i];
    return best;
}

static void admit(struct kvs_net *net, int fd, const struct kvs_http_address *peer)
{
    unsigned open = atomic_load(&net->conn_count);
    unsigned max = atomic_load(&net->max_connections);
    bool refused = open >= max;
    bool admitted =
        open < max + REFUSED_POLITELY &&
        net_addresses_add(net->addresses, peer, atomic_load(&net->max_connections_per_address));
    if (refused || !admitted)
        kvs_metrics_add(net->options.metrics, KVS_METRIC_HTTP_CONNECTIONS_REFUSED, 1);
    if (!admitted) {
        (void)close(fd); // nothing was exchanged
        return;
    }
    int on = 1;
    unsigned unacknowledged_ms =
        UNACKNOWLEDGED_MS; // a peer that vanished is no peer for a quarter hour
    // Best effort, both.
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms,
                     sizeof(unacknowledged_ms));
    struct net_loop *loop = least_busy(net);
    atomic_fetch_add(&loop->conn_count, 1);
    unsigned count = atomic_fetch_add(&net->conn_count, 1) + 1;
    kvs_metrics_set(net->options.metrics, KVS_METRIC_HTTP_CONNECTIONS, count);
    if (net_conn_start(loop, fd, peer, refused))
        return;
    net_addresses_remove(net->addresses, peer);
    atomic_fetch_sub(&loop->conn_count, 1);
    atomic_fetch_sub(&net->conn_count, 1);
    (void)close(fd); // out of memory
}

// Without descriptors the backlog would keep the listener readable for ever: gives up the spare one
// to take a connection off and close it. 0, or a negative errno: -EAGAIN when none is waiting, for
// accept looks for a descriptor before it looks for a connection.
static int shed(struct net_listener *listener)
{
    kvs_closep(&listener->spare_fd);
    int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
    int err = fd < 0 ? -errno : 0;
    kvs_closep(&fd);
    listener->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return err;
}

// Accepts one connection; false when there is none or none can be taken.
static bool accept_one(struct kvs_net *net)
{
    struct net_listener *listener = &net->listener;
    struct sockaddr_storage sockaddr = {0};
    socklen_t size = sizeof(sockaddr);
    int fd =
        accept4(listener->fd, (struct sockaddr *)&sockaddr, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        uint16_t port = 0;
        struct kvs_http_address peer = address_from(&sockaddr, &port);
        admit(net, fd, &peer);
        return true;
    }
    int err = -errno;
    switch (-err) {
    case EAGAIN:
        return false;
    case EMFILE:
    case ENFILE:
        err = shed(listener);
        if (err == -EAGAIN)
            return false;
        if (err)
            break;
        kvs_metrics_add(net->options.metrics, KVS_METRIC_HTTP_CONNECTIONS_REFUSED, 1);
        return true;
    case ENOBUFS:
    case ENOMEM:
        break;
    default:
        return true; // this connection's own trouble (accept(2)); it is off the backlog
    }
    listener->paused = true;
    (void)uv_poll_stop(&listener->poll); // always 0
    return false;
}

static void on_acceptable(uv_poll_t *poll, int status, int events)
{
    (void)status; // accept says what is wrong
    (void)events;
    for (int i = 0; i < ACCEPTS_A_TURN && accept_one(poll->data); i++)
        ;
}

static void watch(struct net_listener *listener)
{
    (void)uv_poll_start(&listener->poll, UV_READABLE, on_acceptable); // open and not closing
}

void net_listener_resume(struct net_listener *listener)
{
    if (!listener->polling || !listener->paused)
        return;
    listener->paused = false;
    watch(listener);
}

int net_listener_start(struct kvs_net *net)
{
    struct net_listener *listener = &net->listener;
    if (uv_poll_init(&net->loops[0].uv, &listener->poll, listener->fd) != 0)
        return KVS_ERR_IO;
    listener->polling = true;
    listener->poll.data = net;
    watch(listener);
    return 0;
}
