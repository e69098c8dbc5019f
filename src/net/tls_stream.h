// SPDX-License-Identifier: Apache-2.0
// TLS on one accepted, non-blocking socket: what stream.h puts behind its functions. The handshake
// happens inside recv and send; deadlines are the connection's business. Memory: OpenSSL's few
// kilobytes, and one record while there is one.
// Threading: the connection's loop.
#ifndef KVS_NET_TLS_STREAM_H
#define KVS_NET_TLS_STREAM_H

#include "codec/http.h"
#include "net/tls.h"

#include <sys/uio.h>

struct net_tls_stream;

// What every stream of a struct net_tls shares; NULL: out of memory.
BIO_METHOD *net_tls_stream_method_new(void);

// Takes a reference of `tls`; the socket stays the caller's. NULL: out of memory.
struct net_tls_stream *net_tls_stream_new(struct net_tls *tls, int fd);
// NULL is fine. Says nothing to the peer.
void net_tls_stream_free(struct net_tls_stream *stream);

// The contracts of net_stream_recv, _send and _shutdown.
ssize_t net_tls_stream_recv(struct net_tls_stream *stream, void *data, size_t size);
ssize_t net_tls_stream_send(struct net_tls_stream *stream, const struct iovec *iovecs,
                            size_t count);
int net_tls_stream_shutdown(struct net_tls_stream *stream);

bool net_tls_stream_has_more(const struct net_tls_stream *stream);
// recv waits until the socket can be written, send until it can be read.
bool net_tls_stream_recv_waits_for_room(const struct net_tls_stream *stream);
bool net_tls_stream_send_waits_for_data(const struct net_tls_stream *stream);
bool net_tls_stream_is_established(const struct net_tls_stream *stream);
// Once established. Its text is static.
struct kvs_http_tls net_tls_stream_peer(const struct net_tls_stream *stream);

#endif
