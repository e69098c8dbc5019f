// SPDX-License-Identifier: Apache-2.0
// The one place where bytes of a connection cross the socket, never blocking, in the clear or in
// TLS. TLS belongs behind these functions and nowhere else.
// Threading: the connection's loop.
#ifndef KVS_NET_STREAM_H
#define KVS_NET_STREAM_H

#include "net/tls_stream.h"

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

struct net_stream {
    int fd;                     // non-blocking; -1 once closed
    struct net_tls_stream *tls; // NULL: plain TCP
};

// `tls` NULL: plain TCP. KVS_ERR_NOMEM; the socket is the caller's then.
KVS_MUST_CHECK int net_stream_init(struct net_stream *stream, int fd, struct net_tls *tls);

// Bytes, or a negative errno: -EAGAIN when the socket is not ready. 0 from recv: the end.
// -EPROTO: the peer broke the rules of TLS, and has been told: shut down and linger.
// -EPROTONOSUPPORT, from recv: it speaks plain HTTP where TLS is spoken. From now on so does this
// stream, so that it can be told.
ssize_t net_stream_recv(struct net_stream *stream, void *data, size_t size);
// After -EAGAIN the next call must begin with the same bytes; more may stand behind them.
ssize_t net_stream_send(struct net_stream *stream, const struct iovec *iovecs, size_t count);
// No more will be sent; the peer sees the end behind what was. -EAGAIN: once more when the socket
// can be written.
int net_stream_shutdown(struct net_stream *stream);
// What the peer still sends, to be thrown away: bytes, 0 at the end, or a negative errno.
ssize_t net_stream_discard(struct net_stream *stream, void *scratch, size_t size);
// `reset`: throw away what the peer has not taken, and tell it.
void net_stream_close(struct net_stream *stream, int reset);

// Bytes wait here that the socket will not announce again: recv has them.
static inline bool net_stream_has_more(const struct net_stream *stream)
{
    return stream->tls && net_tls_stream_has_more(stream->tls);
}

// After -EAGAIN recv is usually waiting for the socket to be readable, send for it to be writable;
// these say that it is the other way round.
static inline bool net_stream_recv_waits_for_room(const struct net_stream *stream)
{
    return stream->tls && net_tls_stream_recv_waits_for_room(stream->tls);
}

static inline bool net_stream_send_waits_for_data(const struct net_stream *stream)
{
    return stream->tls && net_tls_stream_send_waits_for_data(stream->tls);
}

#endif
