// SPDX-License-Identifier: Apache-2.0
// TLS on a socket pair: the stream of the server at one end, OpenSSL's own client at the other,
// both non-blocking and moved by turns, so that every "not now" is seen.
#include "tests/unit/net/certs.h"

#include "net/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DAY_S = 24 * 3600, TURNS = 1000 };

struct fixture {
    struct tempdir dir;
    struct cert ca;
    struct cert node;
    char cert_file[CERT_PATH_SIZE];
    char key_file[CERT_PATH_SIZE];
    char ca_file[CERT_PATH_SIZE];
    struct net_tls *tls;
    struct net_stream server;
    SSL_CTX *context; // the client's
    SSL *client;
    int client_fd;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    tempdir_init(&f->dir);
    f->ca = cert_make(&(struct cert_options){.name = "test CA", .is_ca = true, .valid_s = DAY_S});
    f->node =
        cert_make(&(struct cert_options){.name = "node1", .issuer = &f->ca, .valid_s = DAY_S});
    cert_write(&f->node, &f->dir, "cert.pem", "w", f->cert_file);
    cert_write_key(&f->node, &f->dir, "key.pem", NULL, f->key_file);
    cert_write(&f->ca, &f->dir, "ca.pem", "w", f->ca_file);
    f->server.fd = -1;
    f->client_fd = -1;
    f->context = SSL_CTX_new(TLS_client_method());
    assert_non_null(f->context);
    assert_int_equal(SSL_CTX_load_verify_file(f->context, f->ca_file), 1);
    SSL_CTX_set_verify(f->context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(f->context,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    *state = f;
    return 0;
}

static void hang_up(struct fixture *f)
{
    SSL_free(f->client);
    f->client = NULL;
    kvs_closep(&f->client_fd);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    net_stream_close(&f->server, 0);
    hang_up(f);
    SSL_CTX_free(f->context);
    net_tls_unref(f->tls);
    cert_done(&f->node);
    cert_done(&f->ca);
    tempdir_done(&f->dir);
    free(f);
    return 0;
}

static void connect_sockets(struct fixture *f, bool ask_client_cert)
{
    const struct kvs_net_tls_options options = {.enabled = true,
                                                .cert_file = f->cert_file,
                                                .key_file = f->key_file,
                                                .ca_file = f->ca_file,
                                                .ask_client_cert = ask_client_cert};
    struct kvs_message message = {{0}};
    if (!f->tls && net_tls_new(&options, &f->tls, &message) != 0)
        fail_msg("%s", message.text);
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(net_stream_init(&f->server, fds[0], f->tls), 0);
    f->client_fd = fds[1];
    f->client = SSL_new(f->context);
    assert_non_null(f->client);
    assert_int_equal(SSL_set_fd(f->client, fds[1]), 1);
    SSL_set_connect_state(f->client);
}

// Moves both until the client's handshake is over; what the server's recv said last.
static ssize_t shake_hands(struct fixture *f)
{
    ssize_t received = -EAGAIN;
    for (int i = 0; i < TURNS; i++) {
        char data[1];
        ERR_clear_error();
        int done = SSL_do_handshake(f->client);
        received = net_stream_recv(&f->server, data, sizeof(data));
        if (received != -EAGAIN || (done == 1 && net_tls_stream_is_established(f->server.tls)))
            break;
    }
    ERR_clear_error();
    return received;
}

static void establish(struct fixture *f)
{
    assert_int_equal(shake_hands(f), -EAGAIN);
    assert_true(SSL_is_init_finished(f->client));
    assert_true(net_tls_stream_is_established(f->server.tls));
}

static void start(struct fixture *f)
{
    connect_sockets(f, false);
    establish(f);
}

static void client_says(struct fixture *f, const char *text)
{
    assert_int_equal(SSL_write(f->client, text, (int)strlen(text)), strlen(text));
}

static void client_hears(struct fixture *f, const char *text)
{
    char data[256];
    int size = SSL_read(f->client, data, sizeof(data));
    assert_int_equal(size, strlen(text));
    assert_memory_equal(data, text, strlen(text));
}

static ssize_t server_says(struct fixture *f, const char *text)
{
    const struct iovec iovec = {(void *)text, strlen(text)};
    return net_stream_send(&f->server, &iovec, 1);
}

static void carries_bytes_both_ways(void **state)
{
    struct fixture *f = *state;
    start(f);
    char data[16];
    assert_int_equal(net_stream_recv(&f->server, data, sizeof(data)), -EAGAIN);
    client_says(f, "hello");
    assert_int_equal(net_stream_recv(&f->server, data, sizeof(data)), 5);
    assert_memory_equal(data, "hello", 5);
    const struct iovec iovecs[] = {{(void *)"good ", 5}, {(void *)"day", 3}};
    assert_int_equal(net_stream_send(&f->server, iovecs, 2), 8);
    client_hears(f, "good ");
    client_hears(f, "day");
}

static void tells_of_bytes_that_the_socket_will_not_announce(void **state)
{
    struct fixture *f = *state;
    start(f);
    assert_false(net_stream_has_more(&f->server));
    client_says(f, "one record");
    char data[4];
    assert_int_equal(net_stream_recv(&f->server, data, sizeof(data)), 4);
    struct pollfd poll_fd = {.fd = f->server.fd, .events = POLLIN};
    assert_int_equal(poll(&poll_fd, 1, 0), 0);
    assert_true(net_stream_has_more(&f->server));
    assert_int_equal(net_stream_recv(&f->server, data, sizeof(data)), 4);
    assert_int_equal(net_stream_recv(&f->server, data, sizeof(data)), 2);
    assert_false(net_stream_has_more(&f->server));
    assert_int_equal(net_stream_recv(&f->server, data, sizeof(data)), -EAGAIN);
}

// What the connection above does: after -EAGAIN it may come back with a longer, moved buffer.
static void writes_in_parts_when_the_socket_is_full(void **state)
{
    struct fixture *f = *state;
    start(f);
    enum { SIZE = 4 * 1024 * 1024 };
    char *data = malloc(SIZE);
    char *moved = malloc(SIZE);
    char *seen = malloc(SIZE);
    assert_true(data && moved && seen);
    for (size_t i = 0; i < SIZE; i++)
        moved[i] = data[i] = (char)(i * 7 + i / 251);
    size_t sent = 0;
    size_t received = 0;
    size_t end = SIZE / 2;
    bool blocked = false;
    while (received < SIZE) {
        const struct iovec iovec = {(blocked ? moved : data) + sent, end - sent};
        ssize_t size = sent < end ? net_stream_send(&f->server, &iovec, 1) : -EAGAIN;
        if (size > 0) {
            sent += (size_t)size;
            continue;
        }
        assert_int_equal(size, -EAGAIN);
        assert_false(net_stream_send_waits_for_data(&f->server));
        blocked = true;
        end = SIZE; // more has been gathered behind it
        int got = SSL_read(f->client, seen + received, SIZE - (int)received);
        assert_true(got > 0);
        received += (size_t)got;
    }
    assert_int_equal(sent, SIZE);
    assert_memory_equal(seen, data, SIZE);
    free(data);
    free(moved);
    free(seen);
}

static void waits_for_room_while_shaking_hands(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 40; i++) // a chain that does not fit into the socket's buffer
        cert_write(&f->ca, &f->dir, "cert.pem", "a", f->cert_file);
    SSL_CTX_set_max_cert_list(f->context, 1 << 20);
    connect_sockets(f, false);
    int small = 1;
    assert_int_equal(setsockopt(f->server.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    char data[1];
    assert_int_equal(SSL_do_handshake(f->client), -1); // its hello
    assert_int_equal(net_stream_recv(&f->server, data, sizeof(data)), -EAGAIN);
    assert_true(net_stream_recv_waits_for_room(&f->server));
    establish(f);
    assert_false(net_stream_recv_waits_for_room(&f->server));
}

static void sends_only_when_hands_are_shaken(void **state)
{
    struct fixture *f = *state;
    connect_sockets(f, false);
    assert_int_equal(server_says(f, "early"), -EAGAIN);
    assert_true(net_stream_send_waits_for_data(&f->server));
    for (int i = 0; i < 4; i++) {
        (void)SSL_do_handshake(f->client);
        ssize_t size = server_says(f, "early");
        if (size == 5)
            break;
        assert_int_equal(size, -EAGAIN);
    }
    client_hears(f, "early");
}

static void says_when_it_ends(void **state)
{
    struct fixture *f = *state;
    start(f);
    assert_int_equal(server_says(f, "bye"), 3);
    assert_int_equal(net_stream_shutdown(&f->server), 0);
    client_hears(f, "bye");
    char data[16];
    int got = SSL_read(f->client, data, sizeof(data));
    assert_int_equal(SSL_get_error(f->client, got), SSL_ERROR_ZERO_RETURN);
    client_says(f, "too late"); // lingering reads it off the socket without a look
    assert_true(net_stream_discard(&f->server, data, sizeof(data)) > 0);
}

static void says_so_when_it_is_closed_in_order_alone(void **state)
{
    struct fixture *f = *state;
    start(f);
    net_stream_close(&f->server, 0);
    char data[16];
    int got = SSL_read(f->client, data, sizeof(data));
    assert_int_equal(SSL_get_error(f->client, got), SSL_ERROR_ZERO_RETURN);
    hang_up(f);
    start(f);
    net_stream_close(&f->server, 1);
    (void)signal(SIGPIPE, SIG_IGN); // the client complains to nobody
    got = SSL_read(f->client, data, sizeof(data));
    assert_int_not_equal(SSL_get_error(f->client, got), SSL_ERROR_ZERO_RETURN);
    ERR_clear_error();
    (void)signal(SIGPIPE, SIG_DFL); // the server must do without
}

static void waits_for_room_to_say_that_it_ends(void **state)
{
    struct fixture *f = *state;
    start(f);
    static char block[16 * 1024];
    size_t filled = 0; // with what is taken off again below TLS
    ssize_t size;
    while ((size = send(f->server.fd, block, filled > 0 ? 1 : sizeof(block), 0)) > 0)
        filled += (size_t)size;
    assert_int_equal(net_stream_shutdown(&f->server), -EAGAIN);
    assert_int_equal(net_stream_shutdown(&f->server), -EAGAIN);
    while (filled > 0) {
        size = recv(f->client_fd, block, filled < sizeof(block) ? filled : sizeof(block), 0);
        assert_true(size > 0);
        filled -= (size_t)size;
    }
    assert_int_equal(net_stream_shutdown(&f->server), 0);
    int got = SSL_read(f->client, block, sizeof(block));
    assert_int_equal(SSL_get_error(f->client, got), SSL_ERROR_ZERO_RETURN);
}

static void sees_the_end_whether_it_is_announced_or_not(void **state)
{
    struct fixture *f = *state;
    char data[16];
    start(f);
    client_says(f, "last");
    assert_int_equal(SSL_shutdown(f->client), 0);
    assert_int_equal(net_stream_recv(&f->server, data, sizeof(data)), 4);
    assert_int_equal(net_stream_recv(&f->server, data, sizeof(data)), 0);
    assert_int_equal(server_says(f, "answer"), 6); // the other direction is still open
    net_stream_close(&f->server, 0);
    hang_up(f);

    start(f);
    client_says(f, "last");
    assert_int_equal(shutdown(f->client_fd, SHUT_WR), 0);
    assert_int_equal(net_stream_recv(&f->server, data, sizeof(data)), 4);
    assert_int_equal(net_stream_recv(&f->server, data, sizeof(data)), 0);
    net_stream_close(&f->server, 0);
    hang_up(f);

    connect_sockets(f, false); // in the middle of the handshake
    assert_int_equal(SSL_do_handshake(f->client), -1);
    hang_up(f);
    ssize_t received;
    while ((received = net_stream_recv(&f->server, data, sizeof(data))) == -EAGAIN)
        ;
    assert_true(received == 0 || received == -EPIPE || received == -ECONNRESET);
    net_stream_close(&f->server, 0);

    connect_sockets(f, false); // a port scanner
    hang_up(f);
    assert_int_equal(net_stream_recv(&f->server, data, sizeof(data)), 0);
}

static void becomes_plain_for_plain_http(void **state)
{
    struct fixture *f = *state;
    static const char *const requests[] = {"GET / HTTP/1.1\r\n\r\n", "DELETE /kv/a HTTP/1.1\r\n",
                                           "P"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(requests); i++) {
        connect_sockets(f, false);
        char data[64];
        assert_true(send(f->client_fd, requests[i], strlen(requests[i]), 0) > 0);
        assert_int_equal(net_stream_recv(&f->server, data, sizeof(data)), -EPROTONOSUPPORT);
        assert_int_equal(server_says(f, "speak TLS"), 9);
        assert_int_equal(recv(f->client_fd, data, sizeof(data), 0), 9);
        assert_memory_equal(data, "speak TLS", 9);
        net_stream_close(&f->server, 0);
        hang_up(f);
    }
    // A server that only wants to say something finds out when it tries.
    connect_sockets(f, false);
    char data[64];
    assert_true(send(f->client_fd, "GET", 3, 0) > 0);
    assert_int_equal(server_says(f, "full"), 4);
    assert_int_equal(recv(f->client_fd, data, sizeof(data), 0), 4);
    assert_memory_equal(data, "full", 4);
}

static void answers_garbage_with_an_alert(void **state)
{
    struct fixture *f = *state;
    static const char garbage[][16] = {
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, // nothing that alerts are for
        {0x16, 3, 1, 0, 8, 99, 0, 0, 4, 1, 2, 3, 4, 0, 0, 0},   // no such handshake message
        {0x17, 3, 3, 0, 4, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0},    // data before the handshake
        {0x16, 3, 1, (char)0xff, (char)0xff, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(garbage); i++) {
        connect_sockets(f, false);
        char data[64];
        assert_int_equal(send(f->client_fd, garbage[i], sizeof(garbage[i]), 0), sizeof(garbage[i]));
        assert_int_equal(net_stream_recv(&f->server, data, sizeof(data)), -EPROTO);
        assert_int_equal(net_stream_recv(&f->server, data, sizeof(data)), -EPROTO);
        assert_int_equal(server_says(f, "no"), -EPROTO);
        assert_int_equal(net_stream_shutdown(&f->server), 0);
        assert_int_equal(recv(f->client_fd, data, sizeof(data), 0), i == 0 ? 0 : 7);
        if (i > 0) {
            assert_int_equal(data[0], 21); // an alert
            assert_int_equal(data[5], 2);  // fatal
        }
        net_stream_close(&f->server, 0);
        hang_up(f);
    }
}

static void refuses_a_record_that_was_tampered_with(void **state)
{
    struct fixture *f = *state;
    start(f);
    char data[64];
    static const char record[] = {0x17, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8,
                                  9,    1, 2, 3, 4,  5, 6, 7, 8, 9, 1, 2};
    assert_int_equal(send(f->client_fd, record, sizeof(record), 0), sizeof(record));
    assert_int_equal(net_stream_recv(&f->server, data, sizeof(data)), -EPROTO);
}

static void speaks_tls_1_2_and_1_3_alone(void **state)
{
    struct fixture *f = *state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(versions); i++) {
        assert_int_equal(SSL_CTX_set_max_proto_version(f->context, versions[i]), 1);
        start(f);
        assert_int_equal(SSL_version(f->client), versions[i]);
        net_stream_close(&f->server, 0);
        hang_up(f);
    }
    SSL_CTX_set_security_level(f->context, 0);
    assert_int_equal(SSL_CTX_set_min_proto_version(f->context, TLS1_VERSION), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(f->context, TLS1_1_VERSION), 1);
    connect_sockets(f, false);
    assert_int_equal(shake_hands(f), -EPROTO);
    assert_false(SSL_is_init_finished(f->client));
}

static void takes_forward_secret_aead_ciphers_alone(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(SSL_CTX_set_max_proto_version(f->context, TLS1_2_VERSION), 1);
    static const struct {
        const char *cipher;
        bool good;
    } cases[] = {{"ECDHE-ECDSA-AES128-GCM-SHA256", true},
                 {"ECDHE-ECDSA-CHACHA20-POLY1305", true},
                 {"ECDHE-ECDSA-AES128-SHA256", false},
                 {"DHE-RSA-AES128-GCM-SHA256", false},
                 {"AES128-GCM-SHA256", false}};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++) {
        assert_int_equal(SSL_CTX_set_cipher_list(f->context, cases[i].cipher), 1);
        connect_sockets(f, false);
        assert_int_equal(shake_hands(f), cases[i].good ? -EAGAIN : -EPROTO);
        assert_int_equal(SSL_is_init_finished(f->client), cases[i].good);
        net_stream_close(&f->server, 0);
        hang_up(f);
    }
}

static void agrees_on_http_1_1(void **state)
{
    struct fixture *f = *state;
    static const unsigned char both[] = "\x02h2\x08http/1.1";
    static const unsigned char other[] = "\x02h2";
    const unsigned char *selected = NULL;
    unsigned size = 0;
    start(f); // without a word about it
    SSL_get0_alpn_selected(f->client, &selected, &size);
    assert_int_equal(size, 0);
    net_stream_close(&f->server, 0);
    hang_up(f);
    assert_int_equal(SSL_CTX_set_alpn_protos(f->context, both, sizeof(both) - 1), 0);
    start(f);
    SSL_get0_alpn_selected(f->client, &selected, &size);
    assert_int_equal(size, 8);
    assert_memory_equal(selected, "http/1.1", 8);
    net_stream_close(&f->server, 0);
    hang_up(f);
    assert_int_equal(SSL_CTX_set_alpn_protos(f->context, other, sizeof(other) - 1), 0);
    connect_sockets(f, false);
    assert_int_equal(shake_hands(f), -EPROTO);
}

static void gives_out_nothing_to_resume_from(void **state)
{
    struct fixture *f = *state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(versions); i++) {
        assert_int_equal(SSL_CTX_set_max_proto_version(f->context, versions[i]), 1);
        start(f);
        assert_int_equal(server_says(f, "x"), 1);
        client_hears(f, "x");
        SSL_SESSION *session = SSL_get1_session(f->client);
        assert_false(SSL_SESSION_is_resumable(session) && SSL_SESSION_has_ticket(session));
        net_stream_close(&f->server, 0);
        hang_up(f);
        connect_sockets(f, false);
        assert_int_equal(SSL_set_session(f->client, session), 1);
        establish(f);
        assert_false(SSL_session_reused(f->client));
        SSL_SESSION_free(session);
        net_stream_close(&f->server, 0);
        hang_up(f);
    }
}

static void does_not_renegotiate(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(SSL_CTX_set_max_proto_version(f->context, TLS1_2_VERSION), 1);
    start(f);
    assert_int_equal(SSL_renegotiate(f->client), 1);
    (void)SSL_do_handshake(f->client);
    char data[16];
    ssize_t received = net_stream_recv(&f->server, data, sizeof(data));
    assert_true(received == -EAGAIN || received == -EPROTO);
    assert_int_not_equal(SSL_do_handshake(f->client), 1); // the server's "no"
    assert_true(SSL_num_renegotiations(f->client) <= 1);
    ERR_clear_error();
}

static struct kvs_http_tls peer_with(struct fixture *f, struct cert *cert)
{
    if (cert) {
        assert_int_equal(SSL_CTX_use_certificate(f->context, cert->x509), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(f->context, cert->key), 1);
    }
    connect_sockets(f, true);
    establish(f);
    struct kvs_http_tls peer = net_tls_stream_peer(f->server.tls);
    assert_true(peer.on && peer.client_cert_asked);
    assert_int_equal(peer.client_cert_verified, peer.client_cert_problem == NULL);
    net_stream_close(&f->server, 0);
    hang_up(f);
    if (cert)
        cert_done(cert);
    return peer;
}

static void knows_what_a_client_certificate_is_worth(void **state)
{
    struct fixture *f = *state;
    struct kvs_http_tls peer = peer_with(f, NULL);
    assert_false(peer.client_cert_verified);
    assert_string_equal(peer.client_cert_problem, "none was presented");

    struct cert good =
        cert_make(&(struct cert_options){.name = "node2", .issuer = &f->ca, .valid_s = DAY_S});
    assert_true(peer_with(f, &good).client_cert_verified);
    struct cert for_both = cert_make(&(struct cert_options){
        .name = "node2", .issuer = &f->ca, .valid_s = DAY_S, .usage = "serverAuth,clientAuth"});
    assert_true(peer_with(f, &for_both).client_cert_verified);

    struct cert expired =
        cert_make(&(struct cert_options){.name = "node2", .issuer = &f->ca, .valid_s = -60});
    peer = peer_with(f, &expired);
    assert_false(peer.client_cert_verified);
    assert_string_equal(peer.client_cert_problem, "certificate has expired");

    struct cert other_ca =
        cert_make(&(struct cert_options){.name = "test CA", .is_ca = true, .valid_s = DAY_S});
    struct cert foreign =
        cert_make(&(struct cert_options){.name = "node2", .issuer = &other_ca, .valid_s = DAY_S});
    assert_false(peer_with(f, &foreign).client_cert_verified);
    cert_done(&other_ca);
    struct cert self = cert_make(&(struct cert_options){.name = "node2", .valid_s = DAY_S});
    assert_false(peer_with(f, &self).client_cert_verified);
    struct cert not_for_clients = cert_make(&(struct cert_options){
        .name = "node2", .issuer = &f->ca, .valid_s = DAY_S, .usage = "serverAuth"});
    assert_false(peer_with(f, &not_for_clients).client_cert_verified);
}

static void asks_for_no_certificate_unless_told_to(void **state)
{
    struct fixture *f = *state;
    struct cert good =
        cert_make(&(struct cert_options){.name = "node2", .issuer = &f->ca, .valid_s = DAY_S});
    assert_int_equal(SSL_CTX_use_certificate(f->context, good.x509), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(f->context, good.key), 1);
    start(f);
    struct kvs_http_tls peer = net_tls_stream_peer(f->server.tls);
    assert_true(peer.on);
    assert_false(peer.client_cert_asked || peer.client_cert_verified || peer.client_cert_problem);
    cert_done(&good);
}

static void outlives_the_settings_it_began_with(void **state)
{
    struct fixture *f = *state;
    start(f);
    net_tls_unref(f->tls); // a reload
    f->tls = NULL;
    client_says(f, "still here");
    char data[16];
    assert_int_equal(net_stream_recv(&f->server, data, sizeof(data)), 10);
    assert_int_equal(server_says(f, "me too"), 6);
    client_hears(f, "me too");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(carries_bytes_both_ways),
        TEST(tells_of_bytes_that_the_socket_will_not_announce),
        TEST(writes_in_parts_when_the_socket_is_full),
        TEST(waits_for_room_while_shaking_hands),
        TEST(sends_only_when_hands_are_shaken),
        TEST(says_when_it_ends),
        TEST(says_so_when_it_is_closed_in_order_alone),
        TEST(waits_for_room_to_say_that_it_ends),
        TEST(sees_the_end_whether_it_is_announced_or_not),
        TEST(becomes_plain_for_plain_http),
        TEST(answers_garbage_with_an_alert),
        TEST(refuses_a_record_that_was_tampered_with),
        TEST(speaks_tls_1_2_and_1_3_alone),
        TEST(takes_forward_secret_aead_ciphers_alone),
        TEST(agrees_on_http_1_1),
        TEST(gives_out_nothing_to_resume_from),
        TEST(does_not_renegotiate),
        TEST(knows_what_a_client_certificate_is_worth),
        TEST(asks_for_no_certificate_unless_told_to),
        TEST(outlives_the_settings_it_began_with),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
