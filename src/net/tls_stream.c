// SPDX-License-Identifier: Apache-2.0
// OpenSSL reaches the socket through a BIO of ours: a peer that is gone must be an error, not a
// signal, and a first byte that is a letter is no TLS but somebody's plain HTTP.
//
// OpenSSL reads no further than the record that it needs (no read-ahead), so what it holds besides
// is at most the rest of one record: net_tls_stream_has_more.
#include "net/tls_stream.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <sys/socket.h>

struct net_tls_stream {
    SSL *ssl;
    struct net_tls *tls;
    int fd;
    int errnum; // what the socket failed with
    bool begun; // the first byte has come
    bool speaks_plainly;
    bool ended;  // the peer has shut its side down, with or without saying so in TLS
    bool broken; // nothing more can be said
    bool established;
    bool said_end; // OpenSSL's own flag is set before the alert has left
    bool recv_waits_for_room;
    bool send_waits_for_data;
};

// ---- The socket, as OpenSSL sees it

static int bio_read(BIO *bio, char *data, int size)
{
    struct net_tls_stream *stream = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t received;
    do
        received = recv(stream->fd, data, (size_t)size, 0);
    while (received < 0 && errno == EINTR);
    if (received < 0) {
        if (errno == EAGAIN)
            BIO_set_retry_read(bio);
        else
            stream->errnum = errno;
        return -1;
    }
    stream->ended = received == 0;
    if (received > 0 && !stream->begun) {
        stream->begun = true;
        char first = (char)(data[0] | ('a' ^ 'A'));
        stream->speaks_plainly = first >= 'a' && first <= 'z';
    }
    return stream->speaks_plainly ? -1 : (int)received;
}

static int bio_write(BIO *bio, const char *data, int size)
{
    struct net_tls_stream *stream = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t sent;
    do
        sent = send(stream->fd, data, (size_t)size, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return (int)sent;
    if (errno == EAGAIN)
        BIO_set_retry_write(bio);
    else
        stream->errnum = errno;
    return -1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)number;
    (void)pointer;
    const struct net_tls_stream *stream = BIO_get_data(bio);
    switch (command) {
    case BIO_CTRL_FLUSH:
        return 1; // nothing is held back
    case BIO_CTRL_EOF:
        return stream->ended;
    default:
        return 0;
    }
}

BIO_METHOD *net_tls_stream_method_new(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "kvs socket");
    if (method && BIO_meth_set_read(method, bio_read) == 1 &&
        BIO_meth_set_write(method, bio_write) == 1 && BIO_meth_set_ctrl(method, bio_ctrl) == 1)
        return method;
    BIO_meth_free(method);
    return NULL;
}

struct net_tls_stream *net_tls_stream_new(struct net_tls *tls, int fd)
{
    struct net_tls_stream *stream = calloc(1, sizeof(*stream));
    if (!stream)
        return NULL;
    stream->fd = fd;
    stream->tls = net_tls_ref(tls);
    stream->ssl = SSL_new(net_tls_context(tls));
    BIO *bio = stream->ssl ? BIO_new(net_tls_method(tls)) : NULL;
    if (!bio) {
        net_tls_stream_free(stream);
        ERR_clear_error();
        return NULL;
    }
    BIO_set_data(bio, stream);
    BIO_set_init(bio, 1);
    SSL_set_bio(stream->ssl, bio, bio); // takes it over
    SSL_set_accept_state(stream->ssl);
    return stream;
}

void net_tls_stream_free(struct net_tls_stream *stream)
{
    if (!stream)
        return;
    SSL_free(stream->ssl);
    net_tls_unref(stream->tls);
    free(stream);
}

// ---- Bytes

// What an SSL call that did not succeed means; sets `broken` on what cannot be mended.
static ssize_t judge(struct net_tls_stream *stream, int result)
{
    int error = SSL_get_error(stream->ssl, result);
    ERR_clear_error();
    if (stream->speaks_plainly) {
        stream->broken = true;
        return -EPROTONOSUPPORT;
    }
    if (stream->errnum) {
        stream->broken = true;
        return -stream->errnum;
    }
    switch (error) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        stream->broken = true;
        return stream->ended ? 0 : -EPROTO;
    }
}

static void note_progress(struct net_tls_stream *stream)
{
    if (!stream->established)
        stream->established = SSL_is_init_finished(stream->ssl) != 0;
}

ssize_t net_tls_stream_recv(struct net_tls_stream *stream, void *data, size_t size)
{
    if (stream->broken)
        return -EPROTO;
    stream->recv_waits_for_room = false;
    ERR_clear_error();
    int received = SSL_read(stream->ssl, data, size < INT_MAX ? (int)size : INT_MAX);
    note_progress(stream);
    if (received > 0)
        return received;
    ssize_t result = judge(stream, received);
    stream->recv_waits_for_room = result == -EAGAIN && SSL_want_write(stream->ssl);
    return result;
}

ssize_t net_tls_stream_send(struct net_tls_stream *stream, const struct iovec *iovecs, size_t count)
{
    if (stream->broken)
        return -EPROTO;
    stream->send_waits_for_data = false;
    ssize_t total = 0;
    for (size_t i = 0; i < count; i++) {
        size_t size = iovecs[i].iov_len < INT_MAX ? iovecs[i].iov_len : INT_MAX;
        ERR_clear_error();
        int sent = SSL_write(stream->ssl, iovecs[i].iov_base, (int)size);
        note_progress(stream);
        if (sent <= 0) {
            ssize_t result = judge(stream, sent);
            stream->send_waits_for_data = result == -EAGAIN && SSL_want_read(stream->ssl);
            // Nobody can answer a peer whose TLS is at its end.
            if (result == 0)
                result = -EPIPE;
            return total > 0 && result == -EAGAIN ? total : result;
        }
        total += sent;
        if ((size_t)sent < iovecs[i].iov_len)
            break;
    }
    return total;
}

int net_tls_stream_shutdown(struct net_tls_stream *stream)
{
    if (stream->broken || !stream->established || stream->said_end)
        return 0;
    ERR_clear_error();
    int result = SSL_shutdown(stream->ssl);
    stream->said_end = result >= 0 || judge(stream, result) != -EAGAIN;
    return stream->said_end ? 0 : -EAGAIN;
}

// ---- State

bool net_tls_stream_has_more(const struct net_tls_stream *stream)
{
    return !stream->broken && SSL_pending(stream->ssl) > 0;
}

bool net_tls_stream_recv_waits_for_room(const struct net_tls_stream *stream)
{
    return stream->recv_waits_for_room;
}

bool net_tls_stream_send_waits_for_data(const struct net_tls_stream *stream)
{
    return stream->send_waits_for_data;
}

bool net_tls_stream_is_established(const struct net_tls_stream *stream)
{
    return stream->established;
}

struct kvs_http_tls net_tls_stream_peer(const struct net_tls_stream *stream)
{
    struct kvs_http_tls peer = {.on = true};
    if (!net_tls_asks_client(stream->tls))
        return peer;
    peer.client_cert_asked = true;
    long verdict = SSL_get_verify_result(stream->ssl);
    if (!SSL_get0_peer_certificate(stream->ssl))
        peer.client_cert_problem = "none was presented";
    else if (verdict != X509_V_OK)
        peer.client_cert_problem = X509_verify_cert_error_string(verdict);
    else
        peer.client_cert_verified = true;
    return peer;
}
