// SPDX-License-Identifier: Apache-2.0
// The line to a node of one's own: OpenSSL's server at the other end of a socket pair, in a thread.
#include "tests/unit/net/certs.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "daemon/tls_line.h"

enum { DAY_S = 24 * 3600 };

struct fixture {
    struct tempdir dir;
    struct cert node;
    char cert_file[CERT_PATH_SIZE];
    SSL_CTX *context;
    int fds[2]; // the line's, the server's
    pthread_t thread;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    tempdir_init(&f->dir);
    // Signed by itself, for no address, expired: none of it matters.
    f->node = cert_make(&(struct cert_options){.name = "node1", .valid_s = -60});
    cert_write(&f->node, &f->dir, "cert.pem", "w", f->cert_file);
    f->context = SSL_CTX_new(TLS_server_method());
    assert_non_null(f->context);
    assert_int_equal(SSL_CTX_use_certificate(f->context, f->node.x509), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(f->context, f->node.key), 1);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, f->fds), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    kvs_closep(&f->fds[0]);
    kvs_closep(&f->fds[1]);
    SSL_CTX_free(f->context);
    cert_done(&f->node);
    tempdir_done(&f->dir);
    free(f);
    return 0;
}

// Answers one message with "pong", says goodbye and hangs up.
static void *serve(void *arg)
{
    struct fixture *f = arg;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE); // the server's; the line must do without
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    SSL *ssl = SSL_new(f->context);
    char data[16];
    if (ssl && SSL_set_fd(ssl, f->fds[1]) == 1 && SSL_accept(ssl) == 1 &&
        SSL_read(ssl, data, sizeof(data)) > 0 && SSL_write(ssl, "pong", 4) == 4)
        (void)SSL_shutdown(ssl);
    SSL_free(ssl);
    (void)shutdown(f->fds[1], SHUT_WR);
    return NULL;
}

static void talks_to_who_shows_the_certificate(void **state)
{
    struct fixture *f = *state;
    struct kvs_tls_line *line = NULL;
    struct kvs_message message = {{0}};
    assert_int_equal(pthread_create(&f->thread, NULL, serve, f), 0);
    if (kvs_tls_line_open(f->fds[0], f->cert_file, &line, &message) != 0)
        fail_msg("%s", message.text);
    char data[16];
    assert_int_equal(kvs_tls_line_send(line, "ping", 4), 4);
    assert_int_equal(kvs_tls_line_recv(line, data, sizeof(data)), 4);
    assert_memory_equal(data, "pong", 4);
    assert_int_equal(kvs_tls_line_recv(line, data, sizeof(data)), 0);
    assert_int_equal(pthread_join(f->thread, NULL), 0);
    kvs_tls_line_free(line);
}

static int open_error(struct fixture *f, const char *cert_file, struct kvs_message *ret_message)
{
    struct kvs_tls_line *line = NULL;
    int err = kvs_tls_line_open(f->fds[0], cert_file, &line, ret_message);
    assert_null(line);
    return err;
}

static void refuses_who_shows_another_one(void **state)
{
    struct fixture *f = *state;
    struct kvs_message message = {{0}};
    char path[CERT_PATH_SIZE];
    struct cert other =
        cert_make(&(struct cert_options){.name = "node1", .valid_s = DAY_S, .key = NULL});
    cert_write(&other, &f->dir, "other.pem", "w", path);
    cert_done(&other);
    assert_int_equal(pthread_create(&f->thread, NULL, serve, f), 0);
    assert_int_equal(open_error(f, path, &message), KVS_ERR_UNREACHABLE);
    assert_non_null(strstr(message.text, path));
    kvs_closep(&f->fds[0]);
    assert_int_equal(pthread_join(f->thread, NULL), 0);
}

static void names_a_file_that_is_no_certificate(void **state)
{
    struct fixture *f = *state;
    struct kvs_message message = {{0}};
    assert_int_equal(pthread_create(&f->thread, NULL, serve, f), 0);
    assert_int_equal(open_error(f, "/nonexistent/cert.pem", &message), KVS_ERR_NOT_FOUND);
    assert_non_null(strstr(message.text, "/nonexistent/cert.pem"));
    kvs_closep(&f->fds[0]);
    assert_int_equal(pthread_join(f->thread, NULL), 0);
}

static void says_what_went_wrong(void **state)
{
    struct fixture *f = *state;
    struct kvs_message message = {{0}};
    const struct timeval soon = {.tv_usec = 1000};
    assert_int_equal(setsockopt(f->fds[0], SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon)), 0);
    assert_int_equal(open_error(f, f->cert_file, &message), KVS_ERR_TIMEOUT);
    static const char plain[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    assert_int_equal(send(f->fds[1], plain, sizeof(plain) - 1, 0), sizeof(plain) - 1);
    assert_int_equal(open_error(f, f->cert_file, &message), KVS_ERR_UNREACHABLE);
    assert_non_null(strstr(message.text, "the TLS handshake failed"));
    kvs_closep(&f->fds[1]);
    char rest[64];
    while (recv(f->fds[0], rest, sizeof(rest), 0) > 0)
        ;
    assert_int_equal(open_error(f, f->cert_file, &message), KVS_ERR_UNREACHABLE); // no signal
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(talks_to_who_shows_the_certificate),
        TEST(refuses_who_shows_another_one),
        TEST(names_a_file_that_is_no_certificate),
        TEST(says_what_went_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
