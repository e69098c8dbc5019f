// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/health.h"

// Answers one connection with fixed bytes and keeps what was asked.
struct answerer {
    pthread_t thread;
    int fd;
    char address[64];
    const char *answer;
    char asked[1024];
};

static void *answer(void *arg)
{
    struct answerer *answerer = arg;
    int fd = accept(answerer->fd, NULL, NULL);
    size_t used = 0;
    while (!strstr(answerer->asked, "\r\n\r\n")) {
        ssize_t got = recv(fd, answerer->asked + used, sizeof(answerer->asked) - 1 - used, 0);
        if (got <= 0)
            break;
        used += (size_t)got;
    }
    // Byte by byte: the reader must not take the first piece for the whole.
    for (const char *p = answerer->answer; *p; p++)
        (void)send(fd, p, 1, MSG_NOSIGNAL);
    (void)close(fd);
    return NULL;
}

static void listen_on_loopback(struct answerer *answerer)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    answerer->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(answerer->fd >= 0);
    assert_int_equal(bind(answerer->fd, (const struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(answerer->fd, 1), 0);
    assert_int_equal(getsockname(answerer->fd, (struct sockaddr *)&address, &size), 0);
    (void)snprintf(answerer->address, sizeof(answerer->address), "127.0.0.1:%u",
                   (unsigned)ntohs(address.sin_port));
}

static int check(const char *text, struct answerer *answerer, struct kvs_message *ret_message)
{
    *answerer = (struct answerer){.answer = text};
    listen_on_loopback(answerer);
    assert_int_equal(pthread_create(&answerer->thread, NULL, answer, answerer), 0);
    int err = kvs_health_check(answerer->address, "kvs.example:80", NULL, 60000, ret_message);
    assert_int_equal(pthread_join(answerer->thread, NULL), 0);
    (void)close(answerer->fd);
    return err;
}

static void takes_200_for_health(void **state)
{
    (void)state;
    struct answerer answerer;
    struct kvs_message message;
    assert_int_equal(check("HTTP/1.1 200 OK\r\n\r\n", &answerer, &message), 0);
    assert_memory_equal(answerer.asked, "GET /health HTTP/1.1\r\n", 22);
    assert_non_null(strstr(answerer.asked, "\r\nHost: kvs.example:80\r\n"));
}

static void takes_nothing_else_for_health(void **state)
{
    (void)state;
    struct answerer answerer;
    struct kvs_message message;
    static const char *const answers[] = {"HTTP/1.1 503 Service Unavailable\r\n\r\n",
                                          "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 20", "",
                                          "SSH-2.0-OpenSSH\r\n"};
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
        assert_int_not_equal(check(answers[i], &answerer, &message), 0);
}

static void says_that_nobody_listens(void **state)
{
    (void)state;
    struct answerer answerer = {0};
    struct kvs_message message;
    listen_on_loopback(&answerer);
    (void)close(answerer.fd);
    assert_int_equal(kvs_health_check(answerer.address, "x", NULL, 60000, &message),
                     KVS_ERR_UNREACHABLE);
    assert_non_null(strstr(message.text, answerer.address));
}

static void refuses_what_is_no_address(void **state)
{
    (void)state;
    struct kvs_message message;
    static const char *const addresses[] = {"", ":80", "127.0.0.1", "[]:80"};
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
        assert_int_equal(kvs_health_check(addresses[i], "x", NULL, 60000, &message),
                         KVS_ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_200_for_health),
        cmocka_unit_test(takes_nothing_else_for_health),
        cmocka_unit_test(says_that_nobody_listens),
        cmocka_unit_test(refuses_what_is_no_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
