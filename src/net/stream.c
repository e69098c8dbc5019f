// SPDX-License-Identifier: Apache-2.0
// Plain TCP, and the way to TLS.
#include "net/stream.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

int net_stream_init(struct net_stream *stream, int fd, struct net_tls *tls)
{
    *stream = (struct net_stream){.fd = fd};
    if (!tls)
        return 0;
    stream->tls = net_tls_stream_new(tls, fd);
    return stream->tls ? 0 : KVS_ERR_NOMEM;
}

static ssize_t receive(int fd, void *data, size_t size)
{
    ssize_t received;
    do
        received = recv(fd, data, size, 0);
    while (received < 0 && errno == EINTR);
    return received < 0 ? -errno : received;
}

static void drop_tls(struct net_stream *stream)
{
    net_tls_stream_free(stream->tls);
    stream->tls = NULL;
}

ssize_t net_stream_recv(struct net_stream *stream, void *data, size_t size)
{
    if (!stream->tls)
        return receive(stream->fd, data, size);
    ssize_t received = net_tls_stream_recv(stream->tls, data, size);
    if (received == -EPROTONOSUPPORT)
        drop_tls(stream);
    return received;
}

ssize_t net_stream_send(struct net_stream *stream, const struct iovec *iovecs, size_t count)
{
    if (stream->tls) {
        ssize_t size = net_tls_stream_send(stream->tls, iovecs, count);
        if (size != -EPROTONOSUPPORT)
            return size;
        drop_tls(stream);
    }
    // sendmsg rather than writev: a peer that is gone must be an error, not a signal.
    const struct msghdr message = {.msg_iov = (struct iovec *)iovecs, .msg_iovlen = count};
    ssize_t sent;
    do
        sent = sendmsg(stream->fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

int net_stream_shutdown(struct net_stream *stream)
{
    if (stream->tls && net_tls_stream_shutdown(stream->tls) == -EAGAIN)
        return -EAGAIN;
    (void)shutdown(stream->fd, SHUT_WR); // fails when the peer is gone, which is as good
    return 0;
}

ssize_t net_stream_discard(struct net_stream *stream, void *scratch, size_t size)
{
    return receive(stream->fd, scratch, size);
}

void net_stream_close(struct net_stream *stream, int reset)
{
    if (stream->fd < 0)
        return;
    if (reset) {
        const struct linger linger = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)); // best effort
    } else if (stream->tls) {
        (void)net_tls_stream_shutdown(stream->tls); // the same
    }
    drop_tls(stream);
    (void)close(stream->fd); // nothing is left to report to anyone
    stream->fd = -1;
}
