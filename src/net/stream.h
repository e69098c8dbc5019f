// SPDX-License-Identifier: Apache-2.0
// The one place where bytes of a connection cross the socket, never blocking. TLS belongs behind
// these four functions and nowhere else.
#ifndef KVS_NET_STREAM_H
#define KVS_NET_STREAM_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

struct net_stream {
    int fd; // non-blocking; -1 once closed
};

// Bytes, or a negative errno: -EAGAIN when the socket is not ready. 0 from recv: the end.
ssize_t net_stream_recv(struct net_stream *stream, void *data, size_t size);
ssize_t net_stream_send(struct net_stream *stream, const struct iovec *iovecs, size_t count);
// No more will be sent; the peer sees the end behind what was.
void net_stream_shutdown(struct net_stream *stream);
// `reset`: throw away what the peer has not taken, and tell it.
void net_stream_close(struct net_stream *stream, int reset);

#endif
