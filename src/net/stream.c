// SPDX-License-Identifier: Apache-2.0
// Plain TCP.
#include "net/stream.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

ssize_t net_stream_recv(struct net_stream *stream, void *data, size_t size)
{
    ssize_t received;
    do
        received = recv(stream->fd, data, size, 0);
    while (received < 0 && errno == EINTR);
    return received < 0 ? -errno : received;
}

ssize_t net_stream_send(struct net_stream *stream, const struct iovec *iovecs, size_t count)
{
    // sendmsg rather than writev: a peer that is gone must be an error, not a signal.
    const struct msghdr message = {.msg_iov = (struct iovec *)iovecs, .msg_iovlen = count};
    ssize_t sent;
    do
        sent = sendmsg(stream->fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

void net_stream_shutdown(struct net_stream *stream)
{
    (void)shutdown(stream->fd, SHUT_WR); // fails when the peer is gone, which is as good
}

void net_stream_close(struct net_stream *stream, int reset)
{
    if (stream->fd < 0)
        return;
    if (reset) {
        const struct linger linger = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)); // best effort
    }
    (void)close(stream->fd); // nothing is left to report to anyone
    stream->fd = -1;
}
