// SPDX-License-Identifier: Apache-2.0
// OpenSSL works in memory; the bytes are moved here, so that a peer that is gone is an error and
// not a signal.
#include "daemon/tls_line.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

struct kvs_tls_line {
    SSL_CTX *context;
    SSL *ssl;
    BIO *in; // owned by ssl, as is the next
    BIO *out;
    int fd;
};

void kvs_tls_line_free(struct kvs_tls_line *line)
{
    if (!line)
        return;
    SSL_free(line->ssl);
    SSL_CTX_free(line->context);
    free(line);
}

static bool flush(struct kvs_tls_line *line)
{
    char *data = NULL;
    long size = BIO_get_mem_data(line->out, &data);
    while (size > 0) {
        ssize_t sent = send(line->fd, data, (size_t)size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return false;
        data += sent;
        size -= sent;
    }
    (void)BIO_reset(line->out); // a memory BIO's cannot fail
    return true;
}

// Bytes, 0 at the end, -1.
static ssize_t fill(struct kvs_tls_line *line)
{
    char data[4096];
    ssize_t got;
    do
        got = recv(line->fd, data, sizeof(data), 0);
    while (got < 0 && errno == EINTR);
    if (got > 0 && BIO_write(line->in, data, (int)got) != got) {
        errno = ENOMEM;
        return -1;
    }
    return got;
}

// What to do about a call of OpenSSL that gave `result`: 1, again; 0, it is the end; -1 with errno.
static int go_on(struct kvs_tls_line *line, int result)
{
    int error = SSL_get_error(line->ssl, result);
    if (!flush(line))
        return -1;
    if (error == SSL_ERROR_ZERO_RETURN)
        return 0;
    if (error == SSL_ERROR_WANT_READ) {
        ssize_t got = fill(line);
        return got > 0 ? 1 : (int)got;
    }
    errno = EPROTO;
    return -1;
}

static int shake_hands(struct kvs_tls_line *line, struct kvs_message *ret_message)
{
    for (;;) {
        ERR_clear_error();
        int done = SSL_do_handshake(line->ssl);
        if (done == 1)
            return flush(line) ? 0
                               : kvs_fail(ret_message, KVS_ERR_UNREACHABLE, "%s", strerror(errno));
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());
        int more = go_on(line, done);
        if (more == 0)
            return kvs_fail(ret_message, KVS_ERR_UNREACHABLE,
                            "the connection was closed during the TLS handshake");
        if (more > 0)
            continue;
        int errnum = errno;
        if (errnum == EAGAIN)
            return kvs_fail(ret_message, KVS_ERR_TIMEOUT, "no TLS handshake in time");
        return kvs_fail(ret_message, KVS_ERR_UNREACHABLE, "the TLS handshake failed: %s",
                        errnum == EPROTO && reason ? reason : strerror(errnum));
    }
}

static int compare(struct kvs_tls_line *line, const char *cert_file,
                   struct kvs_message *ret_message)
{
    FILE *file = fopen(cert_file, "re");
    if (!file)
        return kvs_fail(ret_message, kvs_err_from_errno(errno), "%s: cannot be read: %s", cert_file,
                        strerror(errno));
    X509 *expected = PEM_read_X509(file, NULL, NULL, (void *)"");
    (void)fclose(file); // only read from
    X509 *shown = SSL_get0_peer_certificate(line->ssl);
    int err = 0;
    if (!expected)
        err = kvs_fail(ret_message, KVS_ERR_INVALID, "%s: holds no certificate", cert_file);
    else if (!shown || X509_cmp(expected, shown) != 0)
        err = kvs_fail(ret_message, KVS_ERR_UNREACHABLE,
                       "another certificate is shown there than the one in %s: is it another "
                       "program's port?",
                       cert_file);
    X509_free(expected);
    ERR_clear_error();
    return err;
}

int kvs_tls_line_open(int fd, const char *cert_file, struct kvs_tls_line **ret_line,
                      struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_tls_line_freep) struct kvs_tls_line *line = calloc(1, sizeof(*line));
    if (!line)
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    line->fd = fd;
    line->context = SSL_CTX_new(TLS_client_method());
    line->ssl = line->context ? SSL_new(line->context) : NULL;
    line->in = BIO_new(BIO_s_mem());
    line->out = BIO_new(BIO_s_mem());
    if (!line->ssl || !line->in || !line->out) {
        BIO_free(line->in);
        BIO_free(line->out);
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    }
    SSL_set_bio(line->ssl, line->in, line->out);
    SSL_set_verify(line->ssl, SSL_VERIFY_NONE, NULL); // compare() is stricter
    SSL_set_connect_state(line->ssl);
    int err = shake_hands(line, ret_message);
    if (!err)
        err = compare(line, cert_file, ret_message);
    if (!err)
        *ret_line = KVS_TAKE(line);
    return err;
}

ssize_t kvs_tls_line_recv(struct kvs_tls_line *line, void *data, size_t size)
{
    for (;;) {
        ERR_clear_error();
        int got = SSL_read(line->ssl, data, (int)size);
        if (got > 0)
            return got;
        int more = go_on(line, got);
        if (more <= 0)
            return more;
    }
}

ssize_t kvs_tls_line_send(struct kvs_tls_line *line, const void *data, size_t size)
{
    ERR_clear_error();
    int sent = SSL_write(line->ssl, data, (int)size); // into memory: all or an error
    if (sent <= 0) {
        errno = EPROTO;
        return -1;
    }
    return flush(line) ? sent : -1;
}
